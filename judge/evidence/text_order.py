"""The order in which lines of writing are read.

Lines are turned upright by the median of their angles and put into blocks: lines below each other that
overlap from left to right and are of like height. Blocks and the lines in them are read row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from judge.types import TextLine

ROW_DISTANCE = 0.5
"""Lines are in one row if their centres differ in height by less than this part of the lower one, and"""
ROW_OVERLAP = 0.3
"""if less than this share of the shorter one has the other above or below it."""
BLOCK_GAP = 1.2
"""Largest gap between two lines of a block, in heights of a line."""
BLOCK_OVERLAP = 0.3
"""Share of the shorter line that two lines of a block have below each other."""
HEIGHT_RATIO = 2.5
"""Lines of a block differ in height by less than this factor."""


@dataclass(frozen=True)
class _Upright:
    """A line, or a block of lines, in turned coordinates."""

    lines: tuple[TextLine, ...]
    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def height(self) -> float:
        return max(1e-6, self.y2 - self.y1)


def sort_lines(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return lines in reading order: block by block, from top to bottom and left to right."""
    blocks = _find_blocks(_turn_upright(lines))
    return [line for block in _sort_rows(blocks) for line in block.lines]


def reading_orders(lines: Sequence[TextLine]) -> list[list[TextLine]]:
    """Return the orders in which lines may belong together, the likeliest first.

    Args:
        lines: lines in reading order.

    Returns:
        By blocks, by rows over the whole image, from left to right (curved writing), and from right to left
        (columns of Chinese and Japanese); each once.
    """
    upright = _turn_upright(lines)
    rows = [line for item in _sort_rows(upright) for line in item.lines]
    across = [line for item in sorted(upright, key=lambda item: item.x1) for line in item.lines]
    orders: list[list[TextLine]] = []
    for order in (list(lines), rows, across, across[::-1]):
        if order not in orders:
            orders.append(order)
    return orders


def _turn_upright(lines: Sequence[TextLine]) -> list[_Upright]:
    angle = median(map(_angle, lines)) if lines else 0.0
    cosine, sine = math.cos(-angle), math.sin(-angle)
    turned = []
    for line in lines:
        points = [(x * cosine - y * sine, x * sine + y * cosine) for x, y in line.polygon]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        turned.append(_Upright((line,), min(xs), min(ys), max(xs), max(ys)))
    return turned


def _angle(line: TextLine) -> float:
    """Return the direction of a line in radians; 0 for vertical writing and for nearly square boxes."""
    (x1, y1), (x2, y2) = line.polygon[0], line.polygon[1]
    length, height = math.dist(*line.polygon[:2]), math.dist(*line.polygon[1:3])
    return math.atan2(y2 - y1, x2 - x1) if length > 1.5 * height else 0.0


def _find_blocks(items: Sequence[_Upright]) -> list[_Upright]:
    """Join lines that stand below each other."""
    groups: list[list[_Upright]] = []
    for item in sorted(items, key=lambda item: (item.y1, item.x1)):
        joined = [group for group in groups if any(_are_stacked(other, item) for other in group)]
        if len(joined) == 1:
            joined[0].append(item)
        else:  # below several columns: a block of its own
            groups.append([item])
    return [
        _Upright(
            tuple(line for item in _sort_rows(group) for line in item.lines),
            min(item.x1 for item in group),
            min(item.y1 for item in group),
            max(item.x2 for item in group),
            max(item.y2 for item in group),
        )
        for group in groups
    ]


def _are_stacked(upper: _Upright, lower: _Upright) -> bool:
    low, high = sorted((upper.height, lower.height))
    shared = min(upper.x2, lower.x2) - max(upper.x1, lower.x1)
    width = min(upper.x2 - upper.x1, lower.x2 - lower.x1)
    gap = lower.y1 - upper.y2
    return high < HEIGHT_RATIO * low and gap < BLOCK_GAP * low and shared > BLOCK_OVERLAP * width


def _sort_rows(items: Sequence[_Upright]) -> list[_Upright]:
    """Return items row by row, each row from left to right."""
    rows: list[list[_Upright]] = []
    for item in sorted(items, key=lambda item: (item.y1 + item.y2, item.x1)):
        row = next((row for row in rows if all(_are_beside(other, item) for other in row)), None)
        if row is None:
            rows.append([item])
        else:
            row.append(item)
    return [item for row in rows for item in sorted(row, key=lambda item: item.x1)]


def _are_beside(a: _Upright, b: _Upright) -> bool:
    distance = abs(a.y1 + a.y2 - b.y1 - b.y2) / 2
    shared = min(a.x2, b.x2) - max(a.x1, b.x1)
    is_level = distance < ROW_DISTANCE * min(a.height, b.height)
    return is_level and shared < ROW_OVERLAP * min(a.x2 - a.x1, b.x2 - b.x1)
