"""Measures teacher and student on held-out samples."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from eval.metrics.correlation import srcc
from eval.suites.shared.samples import JudgedSample
from finetune.distill.config import Config
from finetune.distill.teacher import create_teacher, estimates_of
from finetune.lora.targets import read_samples
from judge.judge import Judge
from judge.rubrics.rubric import Rubric


def evaluate_held_out(config: Config, number: int, out: Path, tuned: Path | None) -> dict[str, Any]:
    """Measure teacher and student: against people, against each other, and their times.

    Args:
        config: the configuration.
        number: index in `config.held`.
        out: folder of the distillation, with `student`.
        tuned: the teacher's adapter of the second round; None without one.

    Returns:
        An entry of `held` in `run.json`. Times are in milliseconds for an image.
    """
    held_out, rubric = config.held[number], Rubric.load(config.rubric)
    suite, held_samples = read_samples(held_out, f"held.{number}")
    judges = {
        "teacher": create_teacher(config, rubric, None),
        "student": Judge(str(out / "student"), rubric=rubric, calibration=False, out_of_domain="score"),
    }
    if tuned is not None:
        judges["teacher_tuned"] = create_teacher(config, rubric, str(tuned))
    result: dict[str, Any] = {
        "path": str(held_out.path),
        "metric": held_out.metric,
        "pictures": len(held_samples),
    }
    scores: dict[str, list[float]] = {}
    for name, judge in judges.items():
        samples = [sample.to_sample() for sample in held_samples]
        first_batch = islice(samples, held_out.batch)
        with estimates_of(config):
            list(judge.many(first_batch, depth="score", batch=held_out.batch))  # loads the model
            start = time.perf_counter()
            verdicts = list(judge.many(samples, depth="score", batch=held_out.batch))
        result[f"{name}_ms"] = 1000 * (time.perf_counter() - start) / len(held_samples)
        judged = [JudgedSample(s, verdict) for s, verdict in zip(held_samples, verdicts, strict=True)]
        result[name] = suite.evaluate(judged)[held_out.metric].value
        scores[name] = [np.nan if verdict.score is None else verdict.score for verdict in verdicts]
    result["agreement_srcc"] = srcc(np.array(scores["student"]), np.array(scores["teacher"])).value
    result["times"] = result["teacher_ms"] / result["student_ms"]
    return result
