"""Labels become targets, targets become rows, and rows are encoded as a backend encodes them."""

from __future__ import annotations

import json

import pytest
from training_data import tiny_config

from finetune.lora.base_model import check_base, load_trainable_model
from finetune.lora.config import LossConfig
from finetune.lora.dataset import GroupedSampler, TrainingDataset
from finetune.lora.encoding import RowEncoder
from finetune.lora.evaluation import TrainingBackend
from finetune.lora.targets import load_target_set
from judge.backends.models.boxes import BoxConvention
from judge.pipeline.model_info import ModelInfo
from judge.pipeline.pipeline import Pipeline
from judge.rubrics.form import Form
from judge.rubrics.rubric import Rubric

# -- Targets -------------------------------------------------------------------------------------------


def test_human_scores_are_converted_to_one_to_five_with_their_spread(folder):
    config = tiny_config(folder, "nano-photos", "photos").data[0].model_copy(update={"skip": 0})
    target_set = load_target_set(config, "data.0")
    opinion = target_set.targets[0].opinions["score"]
    assert (opinion.mean, opinion.spread) == pytest.approx((1 + 4 * 0.05, 0.6))
    assert target_set.depths == ("score",)


def test_blanks_that_nobody_labelled_are_marked(folder):
    config = tiny_config(folder, "qwen2.5-vl-7b-structure", "structure")
    (target, *_) = load_target_set(config.data[0], "data.0").targets
    assert all(map(target.is_labelled, ("defects.0.box.x1", "score", "defects.0.open")))
    unlabelled = ("defects.0.kind", "attributes.degradation", "dimensions.alignment")
    assert not any(map(target.is_labelled, unlabelled))
    assert target.values["defects"][0]["box"] == [60, 80, 620, 620]


def test_the_agreement_on_an_element_depends_on_its_annotators(folder):
    config = tiny_config(folder, "qwen3-vl-8b-evalmuse", "evalmuse").data[0]
    first, second = load_target_set(config, "data.0").targets[:2]
    assert first.elements == ("cat", "mat")
    assert first.agreement["elements.1"] == 1
    assert first.agreement["elements.0"] == pytest.approx(1)  # row 3: all three see it
    assert second.agreement["elements.0"] == pytest.approx(1 / 3)  # row 4: two of three


def test_training_uses_the_form_and_the_rubric_of_serving(folder):
    target_set = load_target_set(tiny_config(folder).data[0], "data.0")
    assert isinstance(target_set.rubric.form(target_set.targets[0].elements), Form)
    assert target_set.rubric.hash == Rubric.load("default").hash


# -- Rows and batches ----------------------------------------------------------------------------------


def test_answers_are_encoded_as_a_backend_reads_them(folder, encoder, monkeypatch):
    """At verdict depth the row ends in the JSON of the form.

    At score depth it ends in the right labels, or in placeholders for a brief model, which is read so.
    """
    target_set = load_target_set(tiny_config(folder).data[0], "data.0")
    target = target_set.targets[0]
    form = target_set.rubric.form(target.elements)
    verdict_row = encoder.encode(target, target_set.rubric, "verdict")
    text = encoder.tokenizer.decode(verdict_row.ids[-verdict_row.answer_length : -1])
    written, labelled = form.parse(text), form.parse(form.render(target.values))
    for defect, expected in zip(written["defects"], labelled["defects"], strict=True):
        # The labels are on the rubric's grid of 10, the row has the coordinates that the family writes.
        assert defect.pop("box") == pytest.approx(expected.pop("box"), abs=5)
    assert written == labelled
    score_row = encoder.encode(target, target_set.rubric, "score")
    inputs = json.loads(encoder.tokenizer.decode(score_row.ids[-score_row.answer_length : -1]))
    assert inputs == {
        "elements": {"a cat": False}, "degradation": "blur", "alignment": 1, "structure": 2, "score": 4,
    }  # fmt: skip
    monkeypatch.setattr(encoder.backend, "brief", True)
    score_row = encoder.encode(target, target_set.rubric, "score")
    inputs = json.loads(encoder.tokenizer.decode(score_row.ids[-score_row.answer_length : -1]))
    assert inputs == {
        "elements": {"a cat": True}, "degradation": "none", "alignment": 1, "structure": 1, "score": 1,
    }  # fmt: skip
    degradation = encoder.tokenizer.encode_text("blur")[0]
    assert degradation in {token for token, _ in score_row.token_targets.values()}


@pytest.mark.parametrize("family", ["qwen3_vl", "qwen2_5_vl"])
def test_a_video_batch_gives_the_probabilities_of_the_backend(folder, family):
    """The batch's forward pass and a verdict give the same probabilities of the score labels."""
    config = tiny_config(folder, "qwen3-vl-4b-video", "videos", **{"model.base": folder / family})
    base = check_base(config.model)
    model, processor = load_trainable_model(base, config.model, config.lora)
    backend = TrainingBackend(model.eval(), processor, base)
    target_set = load_target_set(config.data[0], "data.0")
    encoder = RowEncoder(backend, LossConfig(), max_pixels=40_000)
    targets = target_set.targets[:3]
    rows = [encoder.encode(target, target_set.rubric, "score") for target in targets]
    batch, answer_length = encoder.collate(rows), max(row.answer_length for row in rows)
    soft = batch.pop("targets")["soft"]
    logits = model(**batch).logits.float()
    pipeline = Pipeline(target_set.rubric, lambda: ModelInfo.from_backend(backend), max_pixels=40_000)
    for n, target in enumerate(targets):
        sample = target.sample.to_sample().model_copy(update={"elements": list(target.elements)})
        (reply,) = backend.choose([pipeline.prepare(sample, "score").request])
        (place,) = (place for row, place in soft["at"].tolist() if row == n)
        shares = logits[n, place - answer_length - 1][encoder.score_tokens].softmax(-1)
        assert shares.tolist() == pytest.approx(list(reply.probabilities["score"].values()), abs=1e-4)


def test_a_loss_that_is_switched_off_has_no_weight(folder, backend, monkeypatch):
    monkeypatch.setattr(backend, "boxes", BoxConvention("grid"))  # corners that are one token each
    target_set = load_target_set(tiny_config(folder).data[0], "data.0")
    names = ("literals", "text", "attributes", "branches", "kinds", "elements", "scores")
    boxes_only = RowEncoder(backend, LossConfig(**dict.fromkeys(names, 0.0)), max_pixels=10**6)
    target = next(t for t in target_set.targets if t.values["defects"])
    row = boxes_only.encode(target, target_set.rubric, "verdict")
    assert {weight for _, weight in row.token_targets.values()} <= {0.0}
    assert len(row.soft_targets) == 4  # the corners of its box


def test_rows_of_one_prompt_are_sampled_together_and_as_often_as_their_weight_says(folder, encoder):
    config = tiny_config(folder, "qwen3-vl-8b-evalmuse", "evalmuse", **{"data.0.skip": 4, "held.limit": 4})
    target_set = load_target_set(config.data[0].model_copy(update={"weight": 1.5}), "data.0")
    dataset = TrainingDataset([target_set], encoder)
    sampler = GroupedSampler(dataset, seed=1)
    sampled = list(sampler)
    assert len(sampled) == len(sampler) == 12
    groups = [dataset.rows[index][2].group for index in sampled]
    assert all(a == b for a, b in zip(groups[::2], groups[1::2], strict=True))
    sampler.set_epoch(1)
    assert sorted(set(sampler)) == sorted(set(sampled))
