"""Compare the verdicts of the same judge on several backends.

Drawn scenes are judged on transformers, on vLLM in process and on a vLLM server behind the openai backend;
each backend is compared with the first one, scene by scene. The defects of two verdicts are the same if
they have the same kinds and severities in the same order, and no edge of a box differs by more than a
hundredth of the image's side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from eval.bench.accuracy.scenes import JudgeLike
from judge.types import Sample, Verdict

MAX_SCORE_DIFFERENCE = 0.02
"""Scores that differ by no more than this are the same."""
MAX_EDGE_DIFFERENCE = 0.01
"""Edges of boxes that differ by no more than this share of the image's side are the same."""


def measure_parity(
    judges: Sequence[tuple[str, Callable[[], Any], int]],
    samples: Sequence[Sample],
    *,
    batch: int = 32,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Compare judges with the first of them, at both depths.

    Args:
        judges: name; function that opens a context manager which yields the judge; number of samples, the
            first ones, that it judges.
        samples: the samples.
        batch: number of images that are judged together.
        tick: called after each verdict.
    """
    result: dict[str, Any] = {"scenes": len(samples), "alike_within": MAX_SCORE_DIFFERENCE}
    reference: dict[str, list[Verdict]] = {}
    for name, open_judge, count in judges:
        with open_judge() as judge:
            for depth in ("verdict", "score"):
                verdicts = list(_judge_samples(judge, samples[:count], depth, batch, tick))
                if depth not in reference:
                    reference[depth] = verdicts
                else:
                    comparison = compare_verdicts(reference[depth][: len(verdicts)], verdicts)
                    result.setdefault(name, {})[depth] = comparison
    return result


def _judge_samples(
    judge: JudgeLike, samples: Sequence[Sample], depth: str, batch: int, tick: Callable[[], None]
) -> Iterator[Verdict]:
    for verdict in judge.many(samples, depth=depth, batch=batch):
        tick()
        yield verdict


def compare_verdicts(reference: Sequence[Verdict], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the shares of scenes on which two backends agree, and quantiles of their score differences."""
    pairs = list(zip(reference, verdicts, strict=True))
    scores = [(a.score, b.score) for a, b in pairs if a.score is not None and b.score is not None]
    differences = np.abs([a - b for a, b in scores] or [np.nan])
    same = [_same_verdict(a, b) for a, b in pairs]
    return {
        "scenes": len(pairs),
        "same_status": _share([a.status == b.status for a, b in pairs]),
        "same_elements": _share([_element_answers(a) == _element_answers(b) for a, b in pairs]),
        "same_defects": _share([_same_defects(a, b) for a, b in pairs]),
        "scores_alike": _share([abs(a - b) <= MAX_SCORE_DIFFERENCE for a, b in scores]),
        "same_verdict": _share(same),
        "score_difference": {
            **{f"p{q}": float(np.quantile(differences, q / 100)) for q in (50, 90, 99)},
            "max": float(differences.max()),
        },
        "differing": [a.id for (a, _), is_same in zip(pairs, same, strict=True) if not is_same],
    }


def _same_verdict(a: Verdict, b: Verdict) -> bool:
    if a.score is None or b.score is None:
        return a.status == b.status
    return (
        abs(a.score - b.score) <= MAX_SCORE_DIFFERENCE
        and _element_answers(a) == _element_answers(b)
        and _same_defects(a, b)
    )


def _element_answers(verdict: Verdict) -> list[tuple[str, bool]]:
    return [(element.name, element.present) for element in verdict.elements]


def _same_defects(a: Verdict, b: Verdict) -> bool:
    if len(a.defects) != len(b.defects):
        return False
    width, height = a.size or (1, 1)
    sides = np.array([width, height, width, height])
    return all(
        (one.kind, one.severity) == (other.kind, other.severity)
        and bool((np.abs(np.subtract(one.box, other.box)) <= MAX_EDGE_DIFFERENCE * sides).all())
        for one, other in zip(a.defects, b.defects, strict=True)
    )


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None
