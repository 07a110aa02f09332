"""Video super-resolution quality: a ranking from pairs (AIM 2024, over 150,000 votes on 1,124 videos).

Source: https://challenges.videoprocessing.ai

Labels: the layout of the challenge's label file could not be verified. Accepted is `pairs.csv` with the
columns `first,second,winner` (one vote per row; winner is the name of one of the two, or `tie`) and
optionally `group` (the source video: only videos of one group are compared), or a CSV `name,score` of
finished subjective scores with an optional `group`. Votes become Bradley-Terry strengths within each group.

Predictions: lines `name,score`.

Numbers: the means over groups of SRCC, PLCC (raw) and KRCC, because scores of different sources have no
common scale, and the share of votes that the predictions agree with (`accuracy`; human ties are left out).
There is no single official number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from eval.metrics.averages import mean
from eval.metrics.classification import accuracy
from eval.metrics.correlation import krcc, plcc, srcc
from eval.metrics.metric_value import MetricValue
from eval.metrics.pairwise.ranking import bradley_terry
from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_csv_columns, read_csv_table
from eval.suites.shared.reading import check_unique_ids, read_samples
from eval.suites.shared.samples import GroundTruth, JudgedSample, SuiteSample, get_predicted_score
from eval.suites.shared.scoring import build_unscored_metric, match_names
from eval.suites.shared.suite import Metrics, Suite
from judge.errors import InputError

SOURCE = "https://challenges.videoprocessing.ai"
LABEL_FILES = {"all": ("pairs.csv", "scores.csv")}
Votes = dict[str, list[tuple[str, str, float]]]
"""Group -> (first, second, 1 where the first won, 0 where the second won, 0.5 for a tie)."""


# ---------------------------------------------------------------------------------------------- reading


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read one sample per video, with its strength within its group; undefined strengths are None."""
    if not _has_votes(path):
        for number, row in read_csv_table(path, ["name", "score"], "truth"):
            mos = parse_number(row["score"], f"{path.name} line {number}")
            yield _build_sample(row["name"], row.get("group", ""), mos)
        return
    for group, votes in read_votes(path).items():
        first, second = [first for first, _, _ in votes], [second for _, second, _ in votes]
        for competitor in bradley_terry(first, second, [outcome for _, _, outcome in votes]):
            yield _build_sample(competitor.name, group, competitor.strength.value)


def _has_votes(path: Path) -> bool:
    """Return whether the header of a label file has the column `winner`."""
    return "winner" in read_csv_columns(path, "truth")


def read_votes(path: Path) -> Votes:
    """Read the votes of a file of pairs.

    Raises:
        InputError: a winner is neither of the two videos nor `tie`, or a column is missing.
    """
    votes: Votes = {}
    for number, row in read_csv_table(path, ["first", "second", "winner"], "truth"):
        outcome = {row["first"]: 1.0, row["second"]: 0.0, "tie": 0.5}.get(row["winner"])
        if outcome is None or row["first"] == row["second"]:
            place = f"{path.name} line {number}"
            raise InputError(place, row["winner"], "first, second or tie", "fix the line")
        votes.setdefault(row.get("group", ""), []).append((row["first"], row["second"], outcome))
    return votes


def _build_sample(name: str, group: str, mos: float | None) -> SuiteSample:
    return SuiteSample(id=name, video=Path(name), group=group, labels=GroundTruth(mos=mos))


# ---------------------------------------------------------------------------------------------- metrics


def compute_metrics(scores: Mapping[str, float], samples: Iterable[SuiteSample], votes: Votes) -> Metrics:
    """Compute the means over groups of the correlations, and the share of votes agreed with.

    Args:
        scores: predicted score by name.
        samples: videos with their strengths.
        votes: single votes; empty where they are unknown.
    """
    groups: dict[str, list[tuple[float, float]]] = {}
    for sample in samples:
        if sample.id in scores and sample.labels.mos is not None:
            groups.setdefault(sample.group, []).append((scores[sample.id], sample.labels.mos))
    metrics: Metrics = {}
    for name, correlation in (("srcc", srcc), ("plcc", plcc), ("krcc", krcc)):
        values = [
            value
            for pairs in groups.values()
            if (value := correlation([p for p, _ in pairs], [t for _, t in pairs]).value) is not None
        ]
        reason = "undefined within each group (votes that leave a ranking open, or fewer than 2 videos)"
        metrics[name] = mean(values, interval=True) if values else MetricValue(None, reason)
    decided = [
        (first, second, outcome)
        for group_votes in votes.values()
        for first, second, outcome in group_votes
        if outcome != 0.5 and first in scores and second in scores
    ]
    predicted = [None if scores[a] == scores[b] else float(scores[a] > scores[b]) for a, b, _ in decided]
    agreement = accuracy(predicted, [outcome for _, _, outcome in decided], interval=True)
    metrics["accuracy"] = agreement if decided else MetricValue(None, "the labels hold no single votes")
    return metrics


def score_files(pred: Path, truth: Path) -> Metrics:
    """Compute the numbers of a prediction file.

    Raises:
        InputError: a file cannot be read, or predictions are missing.
    """
    samples = {sample.id: sample for sample in check_unique_ids(read_labels(truth), truth)}
    scores = read_score_lines(pred)
    _, extra = match_names(scores, samples, pred)
    votes = read_votes(truth) if _has_votes(truth) else {}
    return compute_metrics(scores, samples.values(), votes) | extra


def evaluate(judged_samples: Iterable[JudgedSample]) -> Metrics:
    """Compare verdicts with strengths. A run holds no single votes, so `accuracy` is undefined."""
    scores: dict[str, float] = {}
    samples = []
    for judged in judged_samples:
        sample = judged.sample
        labels = GroundTruth(mos=sample.labels.mos)
        samples.append(SuiteSample(id=sample.id, group=sample.group, labels=labels))
        score = get_predicted_score(judged)
        if score is not None:
            scores[sample.id] = score
    total = len(samples)
    return compute_metrics(scores, samples, {}) | build_unscored_metric(total - len(scores), total)


SUITE = Suite(
    name="video-sr",
    title="Video super-resolution quality (AIM 2024), a ranking from pairs",
    source=SOURCE,
    read=partial(
        read_samples,
        read_labels=read_labels,
        label_files=LABEL_FILES,
        default_split="all",
        source=SOURCE,
        kind="video",
    ),
    evaluate=evaluate,
    score_files=score_files,
    rubric="video",
    kind="video",
    depth="score",
    splits=tuple(LABEL_FILES),
    default_split="all",
)
