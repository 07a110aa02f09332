"""Shifted scenes: exact labels of a new kind of defect, and the bench and configuration that use them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eval.bench.accuracy import shifted as bench
from finetune.lora.config import Config
from judge.rubrics.rubric import Rubric
from judge.scenes import Scene, draw_scene
from judge.scenes.scene_facts import SceneDefect
from judge.scenes.shifted_scenes import SHIFTED_RUBRIC_PATH, STRIPED, draw_shifted_scene
from judge.scenes.vocabulary import DEFECT_KINDS

SEEDS = range(7_000_000, 7_000_030)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [draw_shifted_scene(seed) for seed in SEEDS]


def striped_defects(scene: Scene) -> list[SceneDefect]:
    return [defect for defect in scene.facts.defects if defect.kind == STRIPED]


def test_about_half_of_the_scenes_have_the_new_kind_of_defect(scenes: list[Scene]) -> None:
    assert STRIPED not in DEFECT_KINDS
    assert 10 <= sum(bool(striped_defects(scene)) for scene in scenes) <= 20
    kinds = Rubric.load(SHIFTED_RUBRIC_PATH).defects.kinds["artifact"]
    assert set(kinds) == {*DEFECT_KINDS, STRIPED}


def test_the_labels_agree_with_the_changed_pixels(scenes: list[Scene]) -> None:
    for seed, scene in zip(SEEDS, scenes, strict=True):
        changed = (scene.image != draw_scene(seed).image).any(-1)
        striped = striped_defects(scene)
        assert bool(striped) == changed.any()
        for defect in striped:
            x1, y1, x2, y2 = defect.box
            assert changed[y1:y2, x1:x2].sum() > 0.9 * changed.sum()  # faint ends of stripes do not count
            mask = scene.masks[scene.facts.defects.index(defect)]
            assert mask[y1:y2, x1:x2].sum() == mask.sum()
            # Enough of the striped object must be visible, or its element would be false.
            assert (~changed & (scene.object_map == defect.object_indices[0] + 1)).sum() > 30


def test_scores_are_stricter_and_follow_the_rule_of_the_rubric(scenes: list[Scene]) -> None:
    rubric = Rubric.load(SHIFTED_RUBRIC_PATH)
    for seed, scene in zip(SEEDS, scenes, strict=True):
        labels, usual = scene.sample.labels, draw_scene(seed).sample.labels
        assert labels.score == pytest.approx(rubric.combine(labels.dimensions))
        assert labels.score <= usual.score + 1e-9
        if scene.facts.defects:
            assert labels.dimensions["structure"] < 3.4


def test_the_bench_measures_the_recall_of_the_new_kind() -> None:
    scenes = bench.draw_shifted_scenes(12, seed=3)
    striped = [scene for scene in scenes if any(d.kind == STRIPED for d in scene.defects)]
    assert all(scene.mask.any() for scene in striped)

    class FakeVerdict:
        def __init__(self, kinds: list[str]) -> None:
            self.defects = [type("FakeDefect", (), {"kind": kind}) for kind in kinds]

    verdicts = {scene.sample.id: FakeVerdict([]) for scene in scenes}
    verdicts[striped[0].sample.id] = FakeVerdict([STRIPED])
    assert bench.recall_of_new_kind(scenes, verdicts) == pytest.approx(1 / len(striped))


def test_the_configuration_finds_the_rubric_from_any_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = Config.load("nano-shifted")
    assert Rubric.load(config.data[0].rubric).name == "shifted"
    assert Rubric.load(config.held.rubric).hash == Rubric.load(SHIFTED_RUBRIC_PATH).hash


def test_the_same_seed_draws_the_same_scene() -> None:
    assert np.array_equal(draw_shifted_scene(5).image, draw_shifted_scene(5).image)
