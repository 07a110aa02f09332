"""Rows and batches: which targets they have, and how much each weighs."""

from __future__ import annotations

from random import Random

from finetune.nano import tasks
from finetune.nano.data.spatial_targets import cells_of_box
from finetune.nano.data.target_tags import NUMBER_WEIGHT, TAGS
from finetune.nano.network import IMAGE_TOKENS
from judge.rubrics.rubric import Rubric


def test_numbers_in_a_summary_weigh_more_than_its_words(tokenizer, build_batch, drawn_scenes):
    scene = drawn_scenes[0]
    task = tasks.judge_scene(Random(1), scene.facts, Rubric.load("default"), score_only=False)
    batch = build_batch([[task]], [scene])
    columns = (batch.tags[0] == TAGS.index("text")).nonzero()[:, 0]
    heavy = {tokenizer.decode(batch.targets[0][i]) for i in columns if batch.weights[0][i] == NUMBER_WEIGHT}
    assert heavy
    assert all(text.isdigit() for text in heavy)


def test_score_depth_has_placeholders_as_inputs_and_true_labels_as_targets(
    tokenizer, build_batch, drawn_scenes
):
    scene = next(s for s in drawn_scenes if s.facts.degradation != "none")
    task = tasks.judge_scene(Random(5), scene.facts, Rubric.load("default"), score_only=True)
    batch = build_batch([[task]], [scene])
    attributes = batch.tags[0] == TAGS.index("attribute")
    assert tokenizer.decode(batch.ids[0][attributes][:1]) == "none"
    assert tokenizer.decode(batch.targets[0][attributes][:1]) == scene.facts.degradation.split()[0]


def test_the_cells_of_a_box_cover_it_and_a_tiny_box_has_one():
    assert cells_of_box((0, 0, 224, 224)).all()
    assert cells_of_box((100, 100, 103, 103)).sum() == 1
    assert cells_of_box((0, 0, 32, 32)).nonzero()[0].tolist() == [0]
    assert len(cells_of_box((0, 0, 1, 1))) == IMAGE_TOKENS
