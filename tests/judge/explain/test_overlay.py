"""The overlay must be readable on any image, and show what was judged and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from example_verdict import example_unscored_verdict, example_verdict
from PIL import Image, ImageChops
from writing import line

from judge.errors import InputError, MediaError
from judge.explain.overlay import MAX_SIDE, MIN_SIDE, overlay
from judge.types import Verdict


def grey_image(width: int, height: int, value: int) -> Image.Image:
    return Image.new("RGB", (width, height), (value, value, value))


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize(
    "size", [(64, 64), (224, 224), (1000, 700), (3840, 2160), (1, 1), (1, 3000), (900, 40)]
)
def test_boxes_are_visible_on_light_and_dark_images_of_any_size(size: tuple[int, int], value: int) -> None:
    source = grey_image(*size, value)
    drawn = overlay(example_verdict(size), source)
    assert drawn.mode == "RGB"
    assert source.getextrema() == ((value, value),) * 3, "the source image must not change"
    # On any background, the frame has pixels of very different values.
    assert np.abs(np.asarray(drawn).astype(int) - value).max(-1).max() > 120


def test_small_images_are_enlarged_and_very_large_ones_reduced() -> None:
    assert overlay(example_verdict((64, 64)), grey_image(64, 64, 9)).width == MIN_SIDE
    assert overlay(example_verdict((3, 20_000)), grey_image(3, 20_000, 9)).height < MAX_SIDE + 2000
    assert overlay(example_verdict((1500, 900)), grey_image(1500, 900, 9)).width == 1500


def test_boxes_are_drawn_at_their_place() -> None:
    """The only box lies in the right half of a black image, so the left half stays black."""
    defects = example_verdict((100, 100)).defects[2:3]
    verdict = example_verdict((100, 100), defect_count=0).model_copy(update={"defects": defects})
    pixels = np.asarray(overlay(verdict, grey_image(100, 100, 0)))
    middle_row = pixels[350]
    assert middle_row[:340].max() == 0
    assert middle_row[340:].max() > 100


@pytest.mark.parametrize("defect_count", [0, 1, 4, 12])
@pytest.mark.parametrize("element_count", [0, 1, 12])
def test_the_strip_has_room_for_any_number_of_rows(defect_count: int, element_count: int) -> None:
    verdict = example_verdict(defect_count=defect_count, element_count=element_count)
    drawn = overlay(verdict, grey_image(64, 64, 40))
    assert drawn.height > MIN_SIDE + 20 * (defect_count + element_count)


def test_an_unscored_verdict_shows_its_reason() -> None:
    verdict = example_unscored_verdict("no reply " * 40)
    pixels = np.asarray(overlay(verdict, grey_image(64, 64, 40)))
    assert (pixels[MIN_SIDE:, :, 0] > 200).any()


def test_a_verdict_read_from_json_needs_its_image(tmp_path: Path) -> None:
    verdict = Verdict.model_validate_json(example_verdict().model_dump_json())
    with pytest.raises(InputError, match="pass overlay"):
        verdict.overlay()
    grey_image(64, 64, 3).save(tmp_path / "image.png")
    assert verdict.overlay(tmp_path / "image.png").width == MIN_SIDE


def test_an_image_of_another_size_than_the_judged_one_is_an_error() -> None:
    """Boxes drawn on another image would look like a verdict about it."""
    with pytest.raises(InputError, match="64 x 64"):
        overlay(example_verdict((64, 64)), grey_image(65, 64, 3))
    with pytest.raises(MediaError):
        overlay(example_verdict(), "missing.png")


def test_lines_of_writing_are_outlined() -> None:
    image = Image.new("RGB", (700, 400), (90, 120, 30))
    plain, outlined = (
        example_verdict(image.size, 0, texts=texts).overlay(image) for texts in ([], [line("OPEN", 200, 100)])
    )
    difference = ImageChops.difference(plain.crop((0, 0, 700, 400)), outlined.crop((0, 0, 700, 400)))
    assert difference.getbbox() == pytest.approx((200, 100, 240, 120), abs=4)
