"""Training tasks about scenes: each has a valid answer, and the names in a text are found in the scene."""

from __future__ import annotations

from random import Random

import pytest

from finetune.nano import tasks
from judge.rubrics.rubric import Rubric
from judge.scenes import vocabulary

PRETRAINING_TASKS = [
    tasks.describe,
    tasks.locate,
    tasks.count,
    tasks.check,
    tasks.find_damage,
    tasks.inspect_objects,
]


@pytest.mark.parametrize("make_task", PRETRAINING_TASKS, ids=lambda f: f.__name__)
def test_the_form_of_a_task_parses_its_rendered_answer(make_task, scene_facts):
    for seed, facts in enumerate(scene_facts):
        task = make_task(Random(seed), facts)
        assert task.form.parse(task.form.render(task.values)) == task.values


@pytest.mark.parametrize("name", ["default"])
@pytest.mark.parametrize("score_only", [False, True])
def test_judging_targets_use_the_rubrics_own_form_and_messages(name, score_only, scene_facts):
    rubric = Rubric.load(name)
    for seed, facts in enumerate(scene_facts):
        task = tasks.judge_scene(Random(seed), facts, rubric, score_only=score_only)
        assert task.form.parse(task.form.render(task.values)) == task.values
        assert task.prompt.endswith("Scores only.") == score_only
        assert all(1 <= score <= 5 for score in task.exact_scores.values())


def test_mentions_are_the_objects_that_a_text_names(scene_facts):
    facts = scene_facts[0]
    first = facts.objects[0]
    text = f"is there a {first.name}?"
    ((end, boxes),) = tasks.find_mentions(text, facts)
    assert text[end] == first.kind[-1]
    assert first.box in boxes
    absent = next(kind for kind in vocabulary.OBJECT_KINDS if facts.count("", kind) == 0)
    assert list(tasks.find_mentions(absent, facts))[0][1] == []


def test_inspection_names_the_defect_of_each_damaged_object_and_no_other(scene_facts):
    facts = next(f for f in scene_facts if f.defects and len(f.objects) > 1)
    states = tasks.inspect_objects(Random(0), facts).values["state"]
    damaged = {facts.objects[n].name for defect in facts.defects for n in defect.object_indices}
    assert {name for name, state in states.items() if state != "none"} == damaged
    assert set(states) == {scene_object.name for scene_object in facts.objects}
