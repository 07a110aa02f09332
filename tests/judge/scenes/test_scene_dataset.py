"""Scenes on disk: complete, repeatable, and readable as labelled samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from judge.errors import InputError
from judge.scenes import Scene, make_contact_sheet, write_scenes
from judge.scenes.drawing.defects import mask_bounds
from judge.types import LabelledSample


def read_pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_written_scenes_are_read_as_labelled_samples_with_their_masks(tmp_path: Path) -> None:
    directory = tmp_path / "scenes"
    assert list(write_scenes(directory, 8, seed=4, workers=1)) == list(range(1, 9))
    lines = (directory / "rows.jsonl").read_text().splitlines()
    rows = [LabelledSample.model_validate_json(line) for line in lines]
    assert [row.id for row in rows] == [f"{n:06d}" for n in range(8)]
    masks = 0
    for row in rows:
        assert read_pixels(directory / row.image).shape == (224, 224, 3)
        for defect in row.labels.defects:
            mask = read_pixels(directory / str(defect.mask)) > 127
            assert mask_bounds(mask) == defect.box
            masks += 1
    assert masks
    assert not list(directory.glob("*.part"))


def test_writing_twice_gives_the_same_files(tmp_path: Path) -> None:
    for name in "ab":
        list(write_scenes(tmp_path / name, 3, seed=9, workers=1))
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


@pytest.mark.parametrize(("count", "seed", "field"), [(-1, 0, "count"), (1, -1, "seed"), (10**8, 0, "count")])
def test_a_count_or_seed_out_of_range_is_an_error(tmp_path: Path, count: int, seed: int, field: str) -> None:
    with pytest.raises(InputError) as error:
        list(write_scenes(tmp_path, count, seed))
    assert error.value.field == field


def test_a_contact_sheet_shows_every_scene_and_needs_one(scenes: list[Scene]) -> None:
    sheet = make_contact_sheet(scenes[:7], columns=3)
    assert sheet.width == 3 * 232
    assert sheet.height == 3 * (224 + 92)
    with pytest.raises(InputError):
        make_contact_sheet([])
