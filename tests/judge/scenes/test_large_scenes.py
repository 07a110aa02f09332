"""Large scenes and their crops: one small defect, which a crop shows completely or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from judge.scenes.crops import draw_crops
from judge.scenes.dataset import drawing_seeds, write_crops
from judge.scenes.large_scenes import draw_large_scene
from judge.types import LabelledSample


def test_a_large_scene_is_damaged_in_one_small_window() -> None:
    damaged, intact = (draw_large_scene(4, (960, 540), defect_side=side) for side in (48, 0))
    assert damaged.image.shape == intact.image.shape == (540, 960, 3)
    assert intact.defect is None and damaged.defect is not None
    x1, y1, x2, y2 = map(int, damaged.defect.box)
    assert 30 <= x2 - x1 <= 48 and 30 <= y2 - y1 <= 48
    ys, xs = np.nonzero((damaged.image != intact.image).any(axis=2))
    assert xs.max() - xs.min() < 48 and ys.max() - ys.min() < 48
    assert xs.min() <= x1 and x2 <= xs.max() + 1 and ys.min() <= y1 and y2 <= ys.max() + 1


def test_crops_show_the_defect_of_their_scene_completely_or_not_at_all(tmp_path: Path) -> None:
    assert list(write_crops(tmp_path, 3, seed=5)) == [1, 2, 3]
    lines = (tmp_path / "rows.jsonl").read_text("utf-8").splitlines()
    rows = [LabelledSample.model_validate_json(line) for line in lines]
    assert len({row.id for row in rows}) == len(rows) >= 9
    for row in rows:
        assert row.elements == [] and row.labels.attributes == {"degradation": "none"}
        with Image.open(tmp_path / row.image) as image:
            assert image.size == (224, 224)
        for defect in row.labels.defects:
            x1, y1, x2, y2 = defect.box
            assert 0 <= x1 < x2 <= 224 and 0 <= y1 < y2 <= 224
        assert (row.labels.dimensions["structure"] < 4.2) == bool(row.labels.defects)
    assert sum(bool(row.labels.defects) for row in rows) == 6


def test_a_defect_at_the_edge_of_a_crop_ends_exactly_at_the_edge() -> None:
    """Without clipping, rounding would put this edge at 224.00000000000003."""
    first, *_ = draw_crops(drawing_seeds(21, 7016)[-1])
    assert first.sample.labels.defects[0].box[2] == 224.0


def test_all_crops_of_a_scene_show_the_same_defect() -> None:
    for seed in range(3):
        with_defect = [crop for crop in draw_crops(seed) if crop.sample.labels.defects]
        kinds = {crop.sample.labels.defects[0].kind for crop in with_defect}
        assert len(with_defect) == 2 and len(kinds) == 1
