"""Labels of scenes: elements are true of the drawn objects, and scores follow the documented formula."""

from __future__ import annotations

import json
from random import Random

import pytest

from judge.elements.splitting import split_prompt
from judge.scenes import Scene, label_scene, make_elements, vocabulary, write_prompt
from judge.scenes.scene_facts import defect_severity, scene_score


def test_elements_are_true_of_the_drawn_objects(scenes: list[Scene]) -> None:
    checked = 0
    for scene in scenes:
        objects = [thing.color_and_kind for thing in scene.facts.objects]
        for element in scene.sample.labels.elements:
            if element.kind == "object" and " " in element.name:
                assert element.present == (tuple(element.name.split()) in objects)
            elif element.kind == "background":
                assert element.present == (element.name == f"{scene.facts.background} background")
            elif element.kind == "count":
                number, color, plural = element.name.split()
                count = sum(c == color and vocabulary.pluralize(k) == plural for c, k in objects)
                assert element.present == (count == [*vocabulary.COUNTS.values()].index(number) + 1)
            else:
                continue
            checked += 1
    assert checked > 100


def test_relations_agree_with_the_centres_and_are_used_only_if_clear(scenes: list[Scene]) -> None:
    checked = set()
    for scene in scenes:
        by_name = {thing.name: thing for thing in scene.facts.objects}
        for element in make_elements(Random(1), scene.facts, 40):
            if element.kind != "relation":
                continue
            for relation in vocabulary.RELATIONS:
                a, separator, b = element.name.partition(f" {relation} ")
                if separator:
                    dx, dy = by_name[b].x - by_name[a].x, by_name[b].y - by_name[a].y
                    gap = {"left of": dx, "right of": -dx, "above": dy, "below": -dy}[relation]
                    assert element.present == (gap > 0)
                    assert abs(gap) >= 22
                    checked.add((relation, element.present))
    assert len(checked) == 2 * len(vocabulary.RELATIONS)


def test_the_score_follows_the_documented_formula(scenes: list[Scene]) -> None:
    assert scene_score(1, 1) == 5
    assert scene_score(0, 1) == 1
    for scene in scenes:
        labels, facts = scene.sample.labels, scene.facts
        area = facts.size**2
        loss = sum(0.22 + 1.5 * (b[2] - b[0]) * (b[3] - b[1]) / area for b in (f.box for f in facts.defects))
        q = max(0.0, 1 - loss - 0.17 * facts.level)
        a = sum(e.present for e in labels.elements) / len(labels.elements)
        assert labels.score == pytest.approx(1 + 4 * a * (0.45 + 0.55 * q))
        assert labels.dimensions == pytest.approx({"alignment": 1 + 4 * a, "structure": 1 + 4 * q})


def test_severity_grows_with_the_share_of_the_image() -> None:
    severities = [defect_severity((0, 0, side, side), 224) for side in (20, 40, 80)]
    assert severities == ["negligible", "moderate", "critical"]


def test_the_splitter_finds_the_elements_of_a_prompt(scenes: list[Scene]) -> None:
    found = total = 0
    for n, scene in enumerate(scenes):
        elements = scene.sample.labels.elements
        parts = split_prompt(write_prompt(Random(n), elements))
        total += len(elements)
        found += sum(e.name in parts for e in elements)
    assert found / total > 0.9


def test_a_scene_without_elements_has_perfect_alignment(scenes: list[Scene]) -> None:
    labels = label_scene(Random(0), scenes[0].facts, []).labels
    assert labels.dimensions["alignment"] == 5


def test_a_labelled_sample_is_plain_json(scenes: list[Scene]) -> None:
    row = json.loads(scenes[0].sample.model_dump_json())
    assert set(row) == {"id", "image", "video", "prompt", "elements", "reference", "labels"}
