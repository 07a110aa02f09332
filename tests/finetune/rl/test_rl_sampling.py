"""Answers that are sampled under the grammar of a form, and their log-probabilities in training."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from rl_runs import build_backend, build_engine, draw_examples, rl_config

from finetune.rl.policy import read_policy
from finetune.rl.rollouts import Group
from finetune.rl.sampling import THOUGHT
from judge.rubrics.form_nodes import BOX_CORNERS


def flat_logs(groups: list[Group]) -> torch.Tensor:
    """The log-probabilities by which all decisions were sampled."""
    return torch.tensor([d.log for group in groups for r in group.rollouts for d in r.decisions])


@pytest.mark.parametrize("texts", ["drawn", "likeliest"])
@pytest.mark.parametrize("name", ["nano-rl", "qwen3-vl-4b-rl"])
def test_the_training_pass_gives_the_log_probabilities_of_the_sampler(
    folder: Path, name: str, texts: str
) -> None:
    base = {"nano-rl": "nano/base", "qwen3-vl-4b-rl": "qwen3_vl"}[name]
    changes = {"policy.texts": texts, "rewards.consistency": 0, "policy.temperature": 0.8, "policy.group": 2}
    config = rl_config(folder, name, base, **changes)
    model, backend = build_backend(config)
    assert (backend.vocabulary is None) is (name == "nano-rl")
    count = 1 if texts == "drawn" else 2
    groups = build_engine(config, backend).sample(draw_examples(config, count), step=0)
    output = read_policy(backend.network(""), groups, backend.tokenizer, 0.8)
    assert len(output.logs) > 20
    assert torch.allclose(output.logs, flat_logs(groups), rtol=1e-4, atol=1e-4)
    for group in groups:
        assert len(group.answers) == 2
        for rollout, answer in zip(group.rollouts, group.answers, strict=True):
            blanks = {decision.blank for decision in rollout.decisions}
            assert ("explanation" in blanks) is (texts == "drawn")
            assert set(answer["elements"]) == set(group.example.target.elements)
    output.logs.sum().backward()
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_the_distribution_of_a_blank_is_that_of_its_choices(folder: Path) -> None:
    config = rl_config(folder)
    _, backend = build_backend(config)
    groups = build_engine(config, backend).sample(draw_examples(config, 1), step=0)
    output = read_policy(backend.network(""), groups, backend.tokenizer, 1.0)
    decisions = [d for rollout in groups[0].rollouts for d in rollout.decisions]
    for decision, logs in zip(decisions, output.choice_logs, strict=True):
        if decision.choices:
            shares = logs.exp()[: len(decision.choices)].detach().numpy()
            assert np.allclose(shares, decision.shares, atol=1e-4)
            assert len(decision.labels) in (0, len(decision.choices))


def test_labels_are_drawn_as_often_as_their_probability_says(folder: Path) -> None:
    config = rl_config(folder, **{"policy.group": 200})
    _, backend = build_backend(config)
    [group] = build_engine(config, backend).sample(draw_examples(config, 1), step=0)
    first = [rollout.decisions[0] for rollout in group.rollouts]
    counts = Counter(decision.token for decision in first)
    for token, share in zip(first[0].choices, first[0].shares, strict=True):
        assert abs(counts[token] / 200 - share) < 0.15  # four standard deviations


def test_the_same_step_gives_the_same_answers_and_another_step_others(folder: Path) -> None:
    config = rl_config(folder)
    _, backend = build_backend(config)
    engine, examples = build_engine(config, backend), draw_examples(config, 2)
    texts = [
        [r.text for group in engine.sample(examples, step) for r in group.rollouts] for step in (0, 0, 1)
    ]
    assert texts[0] == texts[1] != texts[2]
    # The random numbers of an image do not depend on the images beside it.
    assert [r.text for r in engine.sample(examples[1:], 0, first=1)[0].rollouts] == texts[0][3:]


def test_a_coordinate_is_drawn_digit_by_digit_and_is_always_valid(folder: Path) -> None:
    changes = {"policy.group": 6, "policy.texts": "likeliest", "rewards.consistency": 0}
    config = rl_config(folder, "qwen3-vl-4b-rl", "qwen3_vl", **changes)
    _, backend = build_backend(config)
    groups = build_engine(config, backend).sample(draw_examples(config, 2), step=0)
    boxes = [d["box"] for group in groups for answer in group.answers for d in answer["defects"]]
    assert boxes and all(0 <= x1 < x2 <= 1000 and 0 <= y1 < y2 <= 1000 for x1, y1, x2, y2 in boxes)
    decisions = [d for group in groups for r in group.rollouts for d in r.decisions]
    corners = [d for d in decisions if d.blank.rpartition(".")[2] in BOX_CORNERS]
    assert len(corners) > 4 * len(boxes)
    assert all(d.blank != THOUGHT for d in decisions)


def test_a_thought_is_drawn_and_trained_before_the_form(folder: Path) -> None:
    """Qwen3.5 has layers with a state, for which each answer is a sequence of its own."""
    changes = {"model.thinking": 5, "policy.texts": "likeliest", "rewards.consistency": 0, "policy.group": 2}
    config = rl_config(folder, "qwen3-vl-4b-rl", "qwen3_5", **changes)
    _, backend = build_backend(config)
    groups = build_engine(config, backend).sample(draw_examples(config, 1), step=0)
    output = read_policy(backend.network(""), groups, backend.tokenizer, 1.0)
    assert (output.logs - flat_logs(groups)).abs().max().item() < 1e-3
    for rollout in groups[0].rollouts:
        thought = [d for d in rollout.decisions if d.blank == THOUGHT]
        assert 1 <= len(thought) <= 5 and rollout.decisions[: len(thought)] == thought
        text = backend.tokenizer.decode(rollout.tokens)
        assert text.partition("</think>\n\n")[2].startswith('{"elements":')
