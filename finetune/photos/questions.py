"""From an example of a pool to questions for training: the form of the rubric `quality`, filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, get_args

import numpy as np

from finetune.nano.tasks import Task, relative
from finetune.photos.estimates import SEEN
from finetune.photos.pool import Example
from judge.evidence.facts import KINDS, SEEMS
from judge.rubrics.rubric import Rubric
from judge.scenes.distorted import Spot
from judge.types import Depth, Severity

LEVELS = (0.0, 0.15, 0.5, 0.85)
"""Strengths that the labels none, slight, moderate and strong stand for."""
SEVERITIES = (0.25, 0.5, 0.8)
"""Those of negligible, moderate and critical areas."""
JITTER = 0.012
"""Deviation of the noise on told facts (of 1): a number's exact step must not matter."""
MISSED = 0.03
"""Areas whose strength times share of the picture is less are not asked for."""


def ask(r: Random, rubric: Rubric, example: Example, facts: Mapping[str, float], *, score_only: bool) -> Task:
    """The rubric's form about a picture, at either depth, with slightly different facts every time."""
    example = example if example.kind else supposed(example, facts)
    told = {name: min(1.0, max(0.0, facts[name] + r.gauss(0, JITTER))) for name in rubric.facts}
    depth: Depth = "score" if score_only else "verdict"
    form = rubric.form().at_depth(depth)
    levels = rubric.attributes[1].labels
    known: dict[str, Any] = {
        "degradation": example.kind or "none",
        "severity": levels[rounded(r, example.strength, LEVELS)] if example.kind != "none" else "none",
        "defects": [
            _defect(r, spot) for spot in _worth(example.spots)[: rubric.defects.max if rubric.defects else 0]
        ],
        "score": min(5, max(1, round(example.score))),
    }
    values = {name: known[name] for name, _ in form.root.members}
    user = rubric.messages(brief=True, depth=depth, facts=told)[0]["content"][1]["text"]
    return Task(user, form, values, soft={"score": example.score}, placeholders=score_only)


def supposed(example: Example, facts: Mapping[str, float]) -> Example:
    """A photograph of which only an opinion is known, with what spoils it as the estimates have it: the
    answers that will stand before the score when the judge is asked."""
    best = max(range(len(KINDS)), key=lambda n: facts[SEEMS[n]])
    strength = (facts[SEEMS[best]] - SEEN) / (1 - SEEN)
    return (
        replace(example, kind=KINDS[best], strength=strength)
        if strength > 0
        else replace(example, kind="none")
    )


def rounded(r: Random, value: float, steps: Sequence[float]) -> int:
    """The index of one of the two nearest steps, by chance in proportion to how near each is: over many
    visits the same as a soft label."""
    place = float(np.interp(value, steps, range(len(steps))))
    return int(place) + (r.random() < place % 1)


def _worth(spots: Sequence[Spot]) -> list[Spot]:
    return [s for s in spots if s.strength * (s.box[2] - s.box[0]) * (s.box[3] - s.box[1]) >= MISSED]


def _defect(r: Random, spot: Spot) -> dict[str, Any]:
    return {
        "kind": spot.kind,
        "box": relative(spot.box, 1),
        "severity": get_args(Severity)[rounded(r, spot.strength, SEVERITIES)],
    }
