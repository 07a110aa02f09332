"""Measure videos: the time of a verdict on 30 full-HD frames, and the accuracy on drawn clips.

Clips are drawn by `judge.scenes.clips` from their seed and encoded as `judge scenes --video` writes them.
The time is that of `Judge.__call__` on the bytes of a file: finding and decoding frames, measured facts,
and the model. Accuracy is compared with the exact truth, over all clips and among the clips whose only
fault is of one kind, which differ only in its strength.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from eval.metrics.bootstrap import bootstrap_interval
from eval.metrics.classification import accuracy
from eval.metrics.correlation import plcc, srcc
from eval.metrics.metric_value import MetricValue
from judge import Sample
from judge.scenes.clips import ClipFacts, draw_clip
from judge.scenes.dataset import drawing_seeds
from judge.scenes.video_encoding import encode_video
from judge.scenes.vocabulary import CLIP_FAULTS
from judge.types import Labels, Verdict

FULL_HD = (1920, 1080)
FRAMES = 30
MIN_FAULTLESS_SCORE = 4.6
"""Scores of a dimension above this mean that the clip has no such fault; the mildest fault gives 4.4."""
MIN_CLIPS = 8
"""Smallest number of clips of a kind for which a correlation is reported."""


def measure_video(
    judge: Any, *, count: int, seed: int, rounds: int, batch: int, tick: Callable[[], None]
) -> dict[str, Any]:
    """Time full-HD verdicts, judge drawn clips at both depths, and measure the verdicts.

    Args:
        judge: a `judge.Judge` with the rubric `video`.
        count: number of clips.
        seed: seed of the clips.
        rounds: how often each depth is timed on a full-HD clip.
        batch: number of clips that are judged together.
        tick: called after each clip that is drawn, judged or timed.
    """
    seconds = _time_full_hd(judge, rounds, tick)
    facts: list[ClipFacts] = []
    truth: list[Labels] = []
    samples = []
    for number, clip_seed in enumerate(drawing_seeds(SEED_OFFSET + seed, count)):
        clip = draw_clip(clip_seed)
        data = encode_video(clip.frames, clip.size, clip.facts.frame_rate)
        facts.append(clip.facts)
        truth.append(clip.sample.labels)
        names = [e.name for e in clip.sample.labels.elements]
        samples.append(Sample(id=str(number), video=data, prompt=clip.sample.prompt, elements=names))
        tick()
    start = time.perf_counter()
    verdicts = _judge_clips(judge, samples, "verdict", batch, tick)
    seconds_per_clip = (time.perf_counter() - start) / count
    scores = _judge_clips(judge, samples, "score", batch, tick)
    measures, intervals, notes = _compute_measures(facts, truth, verdicts, scores)
    return {
        **seconds,
        "seconds_per_clip": seconds_per_clip,
        **measures,
        "interval_95": intervals,
        "notes": notes,
        "unscored": sum(v.status == "unscored" for v in verdicts),
        "count": count,
        "seed": seed,
    }


SEED_OFFSET = 40_000
"""Added to the seed, so that clips of the bench differ from those of training sets, whose seeds are small."""


def _time_full_hd(judge: Any, rounds: int, tick: Callable[[], None]) -> dict[str, float]:
    """Return the median seconds of a verdict and a score on one full-HD clip, after the model is loaded."""
    clip = draw_clip(1, size=FULL_HD, frames=FRAMES, fault="jitter")
    data = encode_video(clip.frames, clip.size, 30)
    judge(video=data)
    medians = {}
    for depth in ("verdict", "score"):
        seconds = []
        for _ in range(rounds):
            start = time.perf_counter()
            judge(video=data, depth=depth)
            seconds.append(time.perf_counter() - start)
            tick()
        medians[f"seconds_full_hd_{depth}"] = statistics.median(seconds)
    return medians


def _judge_clips(
    judge: Any, samples: list[Sample], depth: str, batch: int, tick: Callable[[], None]
) -> list[Verdict]:
    verdicts = []
    for verdict in judge.many(samples, depth=depth, batch=batch):
        verdicts.append(verdict)
        tick()
    return verdicts


def _compute_measures(
    facts: list[ClipFacts], truth: list[Labels], verdicts: list[Verdict], scores: list[Verdict]
) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    overall, quality = _score_pairs(truth, verdicts, ""), _score_pairs(truth, verdicts, "quality")
    measures: dict[str, MetricValue] = {
        "score_srcc": srcc(*overall.T),
        "score_plcc": plcc(*overall.T),
        "score_srcc_score_depth": srcc(*_score_pairs(truth, scores, "").T),
        "quality_srcc": srcc(*quality.T),
    }
    for kind in CLIP_FAULTS:
        measures[f"dimension_srcc/{kind}"] = srcc(*_score_pairs(truth, verdicts, kind).T)
        only = [n for n, f in enumerate(facts) if [fault.kind for fault in f.faults] == [kind]]
        pairs = _score_pairs([truth[n] for n in only], [verdicts[n] for n in only], "quality")
        too_few = MetricValue(
            None, f"{len(only)} clips have it as their only fault; at least {MIN_CLIPS} are needed"
        )
        measures[f"quality_srcc_among/{kind}"] = srcc(*pairs.T) if len(only) >= MIN_CLIPS else too_few
    worst = [f.faults[0].kind if f.faults else "none" for f in facts]
    measures["fault_named"] = accuracy([_predict_fault(verdict) for verdict in verdicts], worst)
    most_frequent = max(worst.count(kind) for kind in worst)
    measures["fault_constant"] = MetricValue(most_frequent / len(worst), "", len(worst))
    measures["element_accuracy"] = _measure_elements(truth, verdicts)
    intervals = {
        "score_srcc": bootstrap_interval(lambda draw: srcc(*overall[draw].T).value, len(overall)),
        "quality_srcc": bootstrap_interval(lambda draw: srcc(*quality[draw].T).value, len(quality)),
    }
    return (
        {name: measure.value for name, measure in measures.items()},
        {name: [interval.low, interval.high] for name, interval in intervals.items()},
        {name: measure.note for name, measure in measures.items() if measure.note},
    )


def _predict_fault(verdict: Verdict) -> str | None:
    """Return the fault whose dimension has the lowest score; "none" if all are over `MIN_FAULTLESS_SCORE`."""
    scores = {kind: verdict.dimensions[kind].score for kind in CLIP_FAULTS if kind in verdict.dimensions}
    if not scores:
        return None
    kind = min(scores, key=scores.__getitem__)
    return kind if scores[kind] <= MIN_FAULTLESS_SCORE else "none"


def _score_pairs(truth: list[Labels], verdicts: list[Verdict], dimension: str) -> np.ndarray[Any, Any]:
    """Return (predicted score, true score) of the clips that have both, shape (n, 2).

    Args:
        truth: labels of the clips.
        verdicts: their verdicts.
        dimension: the dimension; empty: the overall score.
    """
    rows = []
    for labels, verdict in zip(truth, verdicts, strict=True):
        true = labels.dimensions.get(dimension) if dimension else labels.score
        predicted = verdict.dimensions[dimension].score if dimension in verdict.dimensions else verdict.score
        if true is not None and predicted is not None:
            rows.append((predicted, true))
    return np.array(rows, dtype=np.float64).reshape(-1, 2)


def _measure_elements(truth: list[Labels], verdicts: list[Verdict]) -> MetricValue:
    predicted, true = [], []
    for labels, verdict in zip(truth, verdicts, strict=True):
        answers = {element.name: element.present for element in verdict.elements}
        predicted += [answers.get(element.name) for element in labels.elements]
        true += [element.present for element in labels.elements]
    return accuracy(predicted, true)
