"""The words that scenes are described with.

Drawing, prompts and training all use these lists, so they always agree on the words.
"""

from __future__ import annotations

SHAPES = ("circle", "square", "triangle", "star", "diamond", "heart", "ring", "cross")
"""Objects that are one plain shape."""
FIGURES = (
    "person", "hand", "cat", "bird", "fish", "car", "bicycle", "house",
    "tree", "flower", "cup", "chair", "boat", "umbrella", "mushroom", "butterfly",
)  # fmt: skip
"""Objects that consist of several parts."""
OBJECT_KINDS = SHAPES + FIGURES

COLORS: dict[str, tuple[int, int, int]] = {
    "red": (214, 40, 40),
    "green": (40, 160, 70),
    "blue": (40, 80, 210),
    "yellow": (245, 205, 40),
    "purple": (130, 50, 170),
    "orange": (245, 130, 30),
    "pink": (245, 130, 190),
    "black": (25, 25, 25),
    "brown": (125, 78, 40),
    "white": (250, 250, 250),
}
"""Colour name -> RGB, 0 to 255."""
EXACT_COLORS: dict[str, tuple[tuple[int, int, int], ...]] = {
    "red": ((255, 0, 0), (220, 20, 60), (200, 0, 0)),
    "green": ((0, 128, 0), (0, 255, 0), (50, 205, 50), (0, 160, 0)),
    "blue": ((0, 0, 255), (65, 105, 225), (30, 144, 255), (0, 0, 200)),
    "yellow": ((255, 255, 0), (255, 215, 0)),
    "purple": ((128, 0, 128), (160, 32, 240)),
    "orange": ((255, 165, 0), (255, 140, 0)),
    "pink": ((255, 192, 203), (255, 105, 180), (255, 0, 255)),
    "black": ((0, 0, 0),),
    "brown": ((139, 69, 19), (165, 42, 42)),
    "white": ((255, 255, 255),),
}
"""Colour name -> colours that programs and people use by that name: CSS, X11 and full channels."""
COUNTS = {1: "one", 2: "two", 3: "three", 4: "four"}
RELATIONS = ("left of", "right of", "above", "below")
BACKGROUNDS = ("plain", "striped", "dotted", "gradient", "landscape")
STYLES = ("flat", "outlined", "shaded", "sketchy", "textured")
DEFECT_KINDS = (
    "missing part", "extra part", "displaced part", "fused",
    "smeared", "warped", "cut", "erased", "noise", "tint",
)  # fmt: skip
"""Local defects. The first three change the parts of a figure, the others change pixels."""
DEGRADATIONS = ("none", "blur", "noise", "jpeg", "banding", "low contrast")
"""Damage to the image as a whole."""
CLIP_FAULTS = ("flicker", "jitter", "freezing", "skipping", "morphing", "blur")
"""Faults of a clip. They are dimensions of the rubric `video`."""
SEVERITIES = ("none", "slight", "moderate", "strong")
"""Names of the degradation levels 0 to 3."""

_PLURALS = {
    "cross": "crosses", "person": "people", "fish": "fish", "butterfly": "butterflies",
}  # fmt: skip


def pluralize(kind: str) -> str:
    """Return the plural of an object kind."""
    return _PLURALS.get(kind, kind + "s")


def name_objects(count: int, color: str, kind: str) -> str:
    """Return the element text for a number of objects, for example "red cat" or "two red cats".

    Args:
        count: number of objects, 1 to 4.
        color: a key of `COLORS`; empty to leave the colour out.
        kind: one of `OBJECT_KINDS`.
    """
    words = [COUNTS[count]] if count > 1 else []
    words += [color] if color else []
    return " ".join([*words, pluralize(kind) if count > 1 else kind])
