"""Videos: how long a verdict on 30 full-HD frames takes, and how well fresh clips are ranked.

Fresh clips come from `judge.scenes.clips` by their seed, encoded as `judge scenes --video` writes them.
Time is that of `Judge.__call__` on the bytes of a file: listing, decoding, measuring, the model. Accuracy is
against the exact truth, overall, and among the clips whose only fault is of one kind, where only its strength
differs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from eval.metrics.agreement import Measure, accuracy, plcc, srcc
from eval.metrics.bootstrap import bootstrap
from judge import Sample
from judge.scenes.clips import ClipFacts, draw_clip
from judge.scenes.dataset import seeds
from judge.scenes.encoding import encode
from judge.scenes.vocabulary import FAULTS
from judge.types import Labels, Verdict

FULL_HD = (1920, 1080)
FRAMES = 30
GOOD = 4.6
"""The mildest fault there is leaves 4.4 of its dimension."""
MANY = 8
"""Least clips of a kind that a correlation is told of."""


def run(
    judge: Any, *, count: int, seed: int, rounds: int, batch: int, tick: Callable[[], None]
) -> dict[str, Any]:
    """Time full-HD verdicts, judge fresh clips at both depths, and measure."""
    seconds = _timed(judge, rounds, tick)
    facts: list[ClipFacts] = []
    truth: list[Labels] = []
    samples = []
    for number, one in enumerate(seeds(_SALT + seed, count)):
        clip = draw_clip(one)
        data = encode(clip.frames, clip.size, clip.facts.rate)
        facts.append(clip.facts)
        truth.append(clip.sample.labels)
        asked = [e.name for e in clip.sample.labels.elements]
        samples.append(Sample(id=str(number), video=data, prompt=clip.sample.prompt, elements=asked))
        tick()
    start = time.perf_counter()
    full = _judged(judge, samples, "verdict", batch, tick)
    each = (time.perf_counter() - start) / count
    short = _judged(judge, samples, "score", batch, tick)
    measures, intervals, notes = _measured(facts, truth, full, short)
    return {**seconds, "seconds_per_clip": each, **measures, "interval_95": intervals, "notes": notes,
            "unscored": sum(v.status == "unscored" for v in full), "count": count, "seed": seed}  # fmt: skip


_SALT = 40_000
"""Keeps the bench's clips away from those of training pools, whose seeds are small."""


def _timed(judge: Any, rounds: int, tick: Callable[[], None]) -> dict[str, float]:
    """Median seconds of a verdict and of a score on one full-HD clip, the model loaded."""
    clip = draw_clip(1, size=FULL_HD, frames=FRAMES, fault="jitter")
    data = encode(clip.frames, clip.size, 30)
    judge(video=data)
    found = {}
    for name, depth in (("verdict", "verdict"), ("score", "score")):
        laps = []
        for _ in range(rounds):
            start = time.perf_counter()
            judge(video=data, depth=depth)
            laps.append(time.perf_counter() - start)
            tick()
        found[f"seconds_full_hd_{name}"] = statistics.median(laps)
    return found


def _judged(
    judge: Any, samples: list[Sample], depth: str, batch: int, tick: Callable[[], None]
) -> list[Verdict]:
    found = []
    for verdict in judge.many(samples, depth=depth, batch=batch):
        found.append(verdict)
        tick()
    return found


def _measured(
    facts: list[ClipFacts], truth: list[Labels], full: list[Verdict], short: list[Verdict]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    scores, quality = _sides(truth, full, ""), _sides(truth, full, "quality")
    measures: dict[str, Measure] = {
        "score_srcc": srcc(*scores.T),
        "score_plcc": plcc(*scores.T),
        "score_srcc_score_depth": srcc(*_sides(truth, short, "").T),
        "quality_srcc": srcc(*quality.T),
    }
    for kind in FAULTS:
        measures[f"dimension_srcc/{kind}"] = srcc(*_sides(truth, full, kind).T)
        only = [n for n, f in enumerate(facts) if [fault.kind for fault in f.faults] == [kind]]
        pairs = _sides([truth[n] for n in only], [full[n] for n in only], "quality")
        few = Measure(None, f"{len(only)} clips have it as their only fault; at least {MANY} are asked for")
        measures[f"quality_srcc_among/{kind}"] = srcc(*pairs.T) if len(only) >= MANY else few
    worst = [f.faults[0].kind if f.faults else "none" for f in facts]
    measures["fault_named"] = accuracy([_named(verdict) for verdict in full], worst)
    commonest = max(worst.count(kind) for kind in worst)
    measures["fault_constant"] = Measure(commonest / len(worst), "", len(worst))
    measures["element_accuracy"] = _elements(truth, full)
    spans = {
        "score_srcc": bootstrap(lambda draw: srcc(*scores[draw].T).value, len(scores)),
        "quality_srcc": bootstrap(lambda draw: srcc(*quality[draw].T).value, len(quality)),
    }
    return (
        {name: measure.value for name, measure in measures.items()},
        {name: [span.low, span.high] for name, span in spans.items()},
        {name: measure.note for name, measure in measures.items() if measure.note},
    )


def _named(verdict: Verdict) -> str | None:
    """The fault whose dimension is the lowest; "none" where all are over `GOOD`."""
    told = {kind: verdict.dimensions[kind].score for kind in FAULTS if kind in verdict.dimensions}
    if not told:
        return None
    kind = min(told, key=told.__getitem__)
    return kind if told[kind] <= GOOD else "none"


def _sides(truth: list[Labels], verdicts: list[Verdict], dimension: str) -> np.ndarray[Any, Any]:
    """(n, 2): what was said and what is true, of the clips that have both."""
    rows = []
    for labels, verdict in zip(truth, verdicts, strict=True):
        wanted = labels.dimensions.get(dimension) if dimension else labels.score
        given = verdict.dimensions[dimension].score if dimension in verdict.dimensions else verdict.score
        if wanted is not None and given is not None:
            rows.append((given, wanted))
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def _elements(truth: list[Labels], verdicts: list[Verdict]) -> Measure:
    said, wanted = [], []
    for labels, verdict in zip(truth, verdicts, strict=True):
        found = {element.name: element.present for element in verdict.elements}
        said += [found.get(element.name) for element in labels.elements]
        wanted += [element.present for element in labels.elements]
    return accuracy(said, wanted)
