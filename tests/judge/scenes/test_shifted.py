"""The shifted examination: labels that its pictures bear out, and nothing of it in the usual scenes."""

from __future__ import annotations

import numpy as np
import pytest

from eval.bench.accuracy import shifted as bench
from finetune.lora.config import Config
from judge.rubrics.rubric import Rubric
from judge.scenes import draw, shifted
from judge.scenes.vocabulary import DEFECTS

SEEDS = range(7_000_000, 7_000_030)


@pytest.fixture(scope="module")
def drawn():
    return [shifted.draw(seed) for seed in SEEDS]


def flaws(scene, striped: bool):
    return [f for f in scene.facts.flaws if (f.kind == shifted.KIND) is striped]


def test_the_new_kind_is_in_half_of_the_pictures_and_in_no_usual_one(drawn):
    assert shifted.KIND not in DEFECTS
    assert 10 <= sum(bool(flaws(scene, True)) for scene in drawn) <= 20
    kinds = Rubric.load(shifted.RUBRIC).defects.kinds["artifact"]
    assert set(kinds) == {*DEFECTS, shifted.KIND}


def test_what_changed_in_the_picture_is_what_the_labels_say(drawn):
    for seed, scene in zip(SEEDS, drawn, strict=True):
        changed = (scene.image != draw(seed).image).any(-1)
        new = flaws(scene, True)
        assert bool(new) == changed.any()
        for flaw in new:
            x1, y1, x2, y2 = flaw.box
            assert changed[y1:y2, x1:x2].sum() > 0.9 * changed.sum()  # faint ends do not count
            mask = scene.masks[scene.facts.flaws.index(flaw)]
            assert mask[y1:y2, x1:x2].sum() == mask.sum()
            # What is striped must still be seen, or its element would be a lie.
            assert (~changed & (scene.things == flaw.things[0] + 1)).sum() > 30


def test_the_scale_forgives_less_and_the_rubrics_rule_gives_the_score(drawn):
    rubric = Rubric.load(shifted.RUBRIC)
    for seed, scene in zip(SEEDS, drawn, strict=True):
        labels, usual = scene.sample.labels, draw(seed).sample.labels
        assert labels.score == pytest.approx(rubric.combine(labels.dimensions))
        assert labels.score <= usual.score + 1e-9
        if scene.facts.flaws:
            assert labels.dimensions["structure"] < 3.4


def test_the_bench_measures_the_recall_of_the_new_kind():
    scenes = bench.draw_scenes(12, seed=3)
    with_it = [s for s in scenes if any(d.kind == shifted.KIND for d in s.defects)]
    assert all(s.mask.any() for s in with_it)

    class Seen:
        def __init__(self, kinds):
            self.defects = [type("D", (), {"kind": kind}) for kind in kinds]

    verdicts = {s.sample.id: Seen([]) for s in scenes} | {with_it[0].sample.id: Seen([shifted.KIND])}
    assert bench._recall(scenes, verdicts) == pytest.approx(1 / len(with_it))


def test_its_configuration_finds_its_rubric_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = Config.load("nano-shifted")
    assert Rubric.load(config.data[0].rubric).name == "shifted"
    assert Rubric.load(config.held.rubric).hash == Rubric.load(shifted.RUBRIC).hash


def test_drawing_is_repeatable():
    assert np.array_equal(shifted.draw(5).image, shifted.draw(5).image)
