"""Training tasks for the rubric `quality`: its form, filled from what is known of an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, get_args

import numpy as np

from finetune.nano.tasks import Task, to_relative_grid
from finetune.photos.estimators import MIN_TARGET
from finetune.photos.image_jobs import Example
from judge.evidence.facts import ESTIMATE_FACTS, ESTIMATED_KINDS
from judge.rubrics.rubric import Rubric
from judge.scenes.distorted_photos import DistortedArea
from judge.types import Depth, Severity

LEVEL_STRENGTHS = (0.0, 0.15, 0.5, 0.85)
"""Strengths that the labels none, slight, moderate and strong stand for."""
SEVERITY_STRENGTHS = (0.25, 0.5, 0.8)
"""Strengths that the severities negligible, moderate and critical of an area stand for."""
FACT_NOISE = 0.012
"""Standard deviation of the noise on facts (0..1) in the prompt, so that their exact steps do not matter."""
MIN_AREA_STRENGTH = 0.03
"""An area is a target if its strength times its share of the image is at least this."""


def judge_photo(
    r: Random, rubric: Rubric, example: Example, facts: Mapping[str, float], *, score_only: bool
) -> Task:
    """Fill the rubric's form about an image. The facts in the prompt get new noise at each call.

    Args:
        r: random generator.
        rubric: `quality`.
        example: what is known of the image.
        facts: measured and estimated facts of the image.
        score_only: depth `score` instead of `verdict`.
    """
    example = example if example.kind else add_estimated_distortion(example, facts)
    noisy = {name: min(1.0, max(0.0, facts[name] + r.gauss(0, FACT_NOISE))) for name in rubric.facts}
    depth: Depth = "score" if score_only else "verdict"
    form = rubric.form().at_depth(depth)
    levels = rubric.attributes[1].labels
    max_defects = rubric.defects.max if rubric.defects else 0
    answers: dict[str, Any] = {
        "degradation": example.kind or "none",
        "severity": (
            levels[round_randomly(r, example.strength, LEVEL_STRENGTHS)] if example.kind != "none" else "none"
        ),
        "defects": [_defect_value(r, area) for area in _visible_areas(example.areas)[:max_defects]],
        "score": min(5, max(1, round(example.score))),
    }
    values = {name: answers[name] for name, _ in form.root.members}
    prompt = rubric.messages(brief=True, depth=depth, facts=noisy)[0]["content"][1]["text"]
    return Task(prompt, form, values, exact_scores={"score": example.score}, placeholders=score_only)


def add_estimated_distortion(example: Example, facts: Mapping[str, float]) -> Example:
    """Add the distortion that the estimates name to a photograph of which only a score is known.

    The judge writes this answer before the score when it is used.
    """
    best = max(range(len(ESTIMATED_KINDS)), key=lambda n: facts[ESTIMATE_FACTS[n]])
    strength = (facts[ESTIMATE_FACTS[best]] - MIN_TARGET) / (1 - MIN_TARGET)
    return (
        replace(example, kind=ESTIMATED_KINDS[best], strength=strength)
        if strength > 0
        else replace(example, kind="none")
    )


def round_randomly(r: Random, value: float, steps: Sequence[float]) -> int:
    """Return the index of one of the two nearest steps, at random in proportion to how near each is.

    Over many visits this has the effect of a soft label.
    """
    position = float(np.interp(value, steps, range(len(steps))))
    return int(position) + (r.random() < position % 1)


def _visible_areas(areas: Sequence[DistortedArea]) -> list[DistortedArea]:
    return [
        area
        for area in areas
        if area.strength * (area.box[2] - area.box[0]) * (area.box[3] - area.box[1]) >= MIN_AREA_STRENGTH
    ]


def _defect_value(r: Random, area: DistortedArea) -> dict[str, Any]:
    return {
        "kind": area.kind,
        "box": to_relative_grid(area.box, 1),
        "severity": get_args(Severity)[round_randomly(r, area.strength, SEVERITY_STRENGTHS)],
    }
