"""The words that scenes are described with. One list each, so that drawing, prompts and training agree."""

from __future__ import annotations

SHAPES = ("circle", "square", "triangle", "star", "diamond", "heart", "ring", "cross")
FIGURES = (
    "person", "hand", "cat", "bird", "fish", "car", "bicycle", "house",
    "tree", "flower", "cup", "chair", "boat", "umbrella", "mushroom", "butterfly",
)  # fmt: skip
KINDS = SHAPES + FIGURES

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
COUNTS = {1: "one", 2: "two", 3: "three", 4: "four"}
RELATIONS = ("left of", "right of", "above", "below")
BACKGROUNDS = ("plain", "striped", "dotted", "gradient", "landscape")
STYLES = ("flat", "outlined", "shaded", "sketchy", "textured")
DEFECTS = (
    "missing part", "extra part", "displaced part", "fused",
    "smeared", "warped", "cut", "erased", "noise", "tint",
)  # fmt: skip
DEGRADATIONS = ("none", "blur", "noise", "jpeg", "banding", "low contrast")
FAULTS = ("flicker", "jitter", "freezing", "skipping", "morphing", "blur")
"""What may be wrong with a clip; dimensions of the rubric `video`."""
SEVERITIES = ("none", "slight", "moderate", "strong")
"""Names of the degradation levels 0..3."""

_PLURALS = {
    "cross": "crosses", "person": "people", "fish": "fish", "butterfly": "butterflies",
}  # fmt: skip


def plural(kind: str) -> str:
    """`kind` as two or more of it are called."""
    return _PLURALS.get(kind, kind + "s")


def named(count: int, color: str, kind: str) -> str:
    """The element text for `count` objects: "red cat", "two red cats"; an empty colour is left out."""
    words = [COUNTS[count]] if count > 1 else []
    words += [color] if color else []
    return " ".join([*words, plural(kind) if count > 1 else kind])
