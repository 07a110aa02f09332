"""Tiles over the parts of an image in which the model's view has lost detail."""

from __future__ import annotations

import numpy as np
from patch_finder import INPUT_SIDE, draw_wall
from PIL import Image

from judge.agent.tiling import MIN_LOST_DETAIL, tile_lost_detail


def half_flat_image() -> Image.Image:
    """1200 x 600 pixels: flat up to x = 800, fine noise from there on."""
    pixels = np.full((600, 1200, 3), 120, np.uint8)
    pixels[:, 800:] = np.asarray(draw_wall(None))[:600, :400]
    return Image.fromarray(pixels)


def test_tiles_cover_the_lost_detail_and_leave_out_flat_parts() -> None:
    image = half_flat_image()
    tiles = tile_lost_detail(image, image.resize((INPUT_SIDE, INPUT_SIDE)), INPUT_SIDE, 200)
    assert tiles and all(x2 > 780 for _, _, x2, _ in tiles)
    is_covered = np.zeros((600, 1200), bool)
    for x1, y1, x2, y2 in tiles:
        is_covered[int(y1) : int(y2), int(x1) : int(x2)] = True
    assert is_covered[:, 820:].all()


def test_tiles_are_enlarged_until_the_budget_is_enough() -> None:
    image = half_flat_image()
    tiles = tile_lost_detail(image, image.resize((INPUT_SIDE, INPUT_SIDE)), INPUT_SIDE, 40)
    assert len(tiles) <= 40


def test_a_flat_image_has_no_tiles() -> None:
    image, view = Image.new("RGB", (1200, 600)), Image.new("RGB", (INPUT_SIDE, INPUT_SIDE))
    assert MIN_LOST_DETAIL > 0
    assert tile_lost_detail(image, view, INPUT_SIDE, 200) == []
