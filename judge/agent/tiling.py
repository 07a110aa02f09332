"""Crops of an image for closer looks: windows around a box, and tiles where detail was lost."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from judge.types import Box

CELL_PIXELS = 16
"""Side in pixels of the squares in which lost detail is measured."""
MIN_LOST_DETAIL = 6.0
"""Lost detail (mean difference of a cell, 0..255) from which a tile is worth a look; faint noise loses
less."""
TILE_OVERLAP = 0.25
"""Minimum overlap of neighbouring tiles, as a share of a tile's side, so that a small object is whole in
one."""
MAX_TILE_SHARE = 0.6
"""Maximum side of a tile, as a share of the image's longer side. Larger tiles show hardly more than the first
look."""
TILE_GROWTH = 1.12
"""Factor by which the side of the tiles grows until the budget is enough."""


def center_view(whole: Box, share: float) -> Box:
    """Return a box around the centre of the image.

    Args:
        whole: the box (0, 0, width, height) of the image in pixels.
        share: sides of the view, as a share of the image's sides.
    """
    x, y = (side * (1 - share) / 2 for side in whole[2:])
    return float(round(x)), float(round(y)), float(round(whole[2] - x)), float(round(whole[3] - y))


def square_around(box: Box, side: float, size: tuple[int, int]) -> Box:
    """Return a square around the centre of a box, moved so that it lies inside the image.

    Args:
        box: the box in pixels.
        side: side of the square in pixels; reduced to the image's width or height where that is less.
        size: width and height of the image in pixels.
    """
    width, height = min(side, size[0]), min(side, size[1])
    x = min(max((box[0] + box[2] - width) / 2, 0), size[0] - width)
    y = min(max((box[1] + box[3] - height) / 2, 0), size[1] - height)
    return float(round(x)), float(round(y)), float(round(x + width)), float(round(y + height))


def tile_lost_detail(image: Image.Image, model_view: Image.Image, min_side: int, max_tiles: int) -> list[Box]:
    """Return overlapping square tiles over the parts of an image in which the model's view has lost detail.

    Args:
        image: the original.
        model_view: the image as the model was shown it.
        min_side: side in pixels of the smallest tile, which the model sees in full detail.
        max_tiles: the tiles are enlarged until at most this many are needed.

    Returns:
        Boxes in pixels of the original, most lost detail first. Empty if tiles of more than `MAX_TILE_SHARE`
        of the image would be needed.
    """
    lost = measure_lost_detail(image, model_view)
    side, longer_side = float(min_side), max(image.size)
    while side <= longer_side * MAX_TILE_SHARE:
        tiles = [(_max_lost_detail(lost, box), box) for box in _grid_boxes(image.size, round(side))]
        tiles = [tile for tile in tiles if tile[0] >= MIN_LOST_DETAIL]
        if len(tiles) <= max_tiles:
            return [box for _, box in sorted(tiles, key=lambda tile: -tile[0])]
        side *= TILE_GROWTH
    return []


def measure_lost_detail(image: Image.Image, model_view: Image.Image) -> NDArray[np.float32]:
    """Measure the difference between an image and the model's view of it.

    Args:
        image: RGB.
        model_view: RGB of any size; it is enlarged to the size of the image.

    Returns:
        (rows, columns): mean absolute difference (0..255) in cells of `CELL_PIXELS`, maximum over the
        channels.
    """
    enlarged = model_view.resize(image.size, Image.Resampling.BICUBIC)
    difference = ImageChops.difference(image, enlarged)
    lost: NDArray[np.float32] = np.asarray(difference.reduce(CELL_PIXELS), dtype=np.float32).max(axis=2)
    return lost


def crop_region(image: Image.Image, region: Box) -> Image.Image:
    """Cut a region out of an image, with its corners rounded to whole pixels."""
    x1, y1, x2, y2 = map(round, region)
    return image.crop((x1, y1, x2, y2))


def _grid_boxes(size: tuple[int, int], side: int) -> Iterator[Box]:
    xs, ys = (_tile_starts(length, side) for length in size)
    for y in ys:
        for x in xs:
            yield float(x), float(y), float(min(x + side, size[0])), float(min(y + side, size[1]))


def _tile_starts(length: int, side: int) -> list[int]:
    """Return where the tiles begin along one edge: evenly spaced, overlapping by at least `TILE_OVERLAP`."""
    if length <= side:
        return [0]
    count = math.ceil((length - side) / (side * (1 - TILE_OVERLAP))) + 1
    return [round(n * (length - side) / (count - 1)) for n in range(count)]


def _max_lost_detail(lost: NDArray[np.float32], box: Box) -> float:
    x1, y1, x2, y2 = (int(v) // CELL_PIXELS for v in box)
    return float(lost[y1 : y2 + 1, x1 : x2 + 1].max())
