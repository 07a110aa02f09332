"""Scenes for training: where they come from, and in what they vary without another label."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from random import Random

import numpy as np
import pytest
from typer.testing import CliRunner

from eval.trust.injection import INJECTIONS
from finetune.nano.cli import app
from finetune.nano.data import scene_dataset
from finetune.nano.data.painted_text import MAX_COVERED_DEFECT, MAX_COVERED_OBJECT, paint_text, write_text
from finetune.nano.data.scene_dataset import FreshScenes, SceneDataset, write_scene_dataset
from finetune.nano.data.training_scenes import draw_training_scene
from judge.scenes import draw_scene
from judge.scenes.held_out import held_out_seeds
from judge.scenes.scene import DEFECT_SHARES


def test_without_variation_a_scene_is_the_usual_one() -> None:
    scene, usual = draw_training_scene(DEFECT_SHARES, 0.0, 4_000_001), draw_scene(4_000_001)
    assert np.array_equal(scene.image, usual.image) and scene.facts == usual.facts


def test_varied_scenes_are_plain_or_have_a_text_or_both() -> None:
    shares = (1.0, 0.0, 0.0, 0.0)
    scenes = [draw_training_scene(shares, 0.5, seed) for seed in range(4_000_000, 4_000_040)]
    usual = [draw_training_scene(shares, 0.0, seed) for seed in range(4_000_000, 4_000_040)]
    same = sum(np.array_equal(a.image, b.image) for a, b in zip(scenes, usual, strict=True))
    assert 4 <= same <= 18  # about a quarter
    assert all(scene.patches.shape == (3, 14, 14) and scene.facts.objects for scene in scenes)


def test_a_painted_text_leaves_the_objects_and_the_defects_to_be_seen() -> None:
    box, defect = (60.0, 80.0, 120.0, 140.0), (100.0, 100.0, 140.0, 150.0)
    blank = np.full((224, 224, 3), 128, np.uint8)
    painted = 0
    for seed in range(60):
        changed = (paint_text(Random(seed), blank, [box], [defect]) != blank).any(-1)
        painted += bool(changed.any())
        for (x1, y1, x2, y2), most in ((box, MAX_COVERED_OBJECT), (defect, MAX_COVERED_DEFECT)):
            assert changed[int(y1) : int(y2), int(x1) : int(x2)].mean() <= most
    assert painted > 45


def test_no_training_text_is_one_that_the_trust_suite_paints() -> None:
    r = Random(3)
    texts = " ".join(write_text(r) for _ in range(2000)).lower()
    assert not any(" ".join(text.lower().split()[:5]) in texts for text in INJECTIONS)


def test_new_scenes_come_as_often_as_asked_and_are_in_no_other_set(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def draw(shares: tuple[float, ...], varied: float, seed: int) -> int:
        drawn.append(seed)
        return seed

    monkeypatch.setattr(scene_dataset, "draw_training_scene", draw)
    monkeypatch.setattr(scene_dataset, "KEPT_SCENES", 5)
    shown = list(islice(FreshScenes(visits=3).scenes(Random(1)), 300))
    counts = {seed: shown.count(seed) for seed in drawn}
    assert max(counts.values()) == 3 and sum(count == 3 for count in counts.values()) > 80
    assert min(drawn) > max(held_out_seeds(1000, 1))


def test_a_dataset_of_varied_scenes_is_read_back(tmp_path: Path) -> None:
    write_scene_dataset(tmp_path, count=3, seed=8, workers=1, varied=1.0)
    dataset = SceneDataset(tmp_path)
    assert len(dataset) == 3
    expected = draw_training_scene(DEFECT_SHARES, 1.0, 8 * 10_000_019 + 2)
    assert np.array_equal(dataset[2].image, expected.image) and dataset[2].facts == expected.facts


@pytest.mark.parametrize("option", [("--varied", "0.5"), ("--visits", "2")])
def test_options_of_new_scenes_are_refused_beside_a_dataset(tmp_path: Path, option: tuple[str, str]) -> None:
    for part in ("pool", "held"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "facts.pkl").touch()
    (tmp_path / "config.json").touch()
    arguments = ["adapt", str(tmp_path / "pool"), "--init", str(tmp_path), "--held", str(tmp_path / "held")]
    result = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "out"), *option])
    assert result.exit_code == 2 and option[0] in result.output and "about new scenes" in result.output
