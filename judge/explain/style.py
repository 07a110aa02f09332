"""Colours of the overlay, RGB 0..255."""

from __future__ import annotations

Color = tuple[int, int, int]

DEFECT_COLORS: tuple[Color, ...] = (
    (255, 82, 82),
    (255, 193, 7),
    (64, 196, 255),
    (105, 240, 174),
    (234, 128, 252),
    (255, 145, 64),
)
BACKGROUND: Color = (24, 26, 30)
TEXT_COLOR: Color = (240, 242, 245)
FAINT_TEXT_COLOR: Color = (158, 165, 175)
GOOD_COLOR: Color = (92, 214, 128)
BAD_COLOR: Color = (255, 105, 97)


def defect_color(index: int) -> Color:
    """Return the colour of the defect of this index; colours repeat after the sixth."""
    return DEFECT_COLORS[index % len(DEFECT_COLORS)]


OUT_OF_DOMAIN_MARK = "outside what this judge was trained on: the numbers mean little"
"""Shown with a verdict that was scored outside the judge's domain."""
