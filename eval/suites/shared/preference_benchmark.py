"""Benchmarks of preferences: which of several images of one prompt people prefer.

An image is judged once, regardless of the number of comparisons it takes part in; `GroundTruth.ranks` holds
its rank in each. Except for ImageReward, these benchmarks have no prediction file of their own. Accepted is a
JSON object `{name: score}`, or lines `name,score`, with the names of the label file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from eval.metrics.classification import accuracy
from eval.metrics.metric_value import MetricValue
from eval.metrics.pairwise.pair_accuracy import inversion_accuracy
from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_json
from eval.suites.shared.name_matching import check_names
from eval.suites.shared.reading import ReadLabels, read_samples
from eval.suites.shared.samples import GroundTruth, JudgedSample, SuiteSample, get_predicted_score
from eval.suites.shared.scoring import add_note, build_unscored_metric, count_extra
from eval.suites.shared.suite import Metrics, ReadSamples, Suite
from judge.errors import InputError

Comparisons = dict[str, list[tuple[float | None, float]]]
"""Comparison -> (predicted score or None, human rank) of each image in it."""
ComparisonRule = Callable[[Comparisons], Metrics]


# ---------------------------------------------------------------------------------------------- reading


@dataclass
class ComparedImage:
    """One image with its ranks in all comparisons, while a label file is read."""

    name: str
    prompt: str
    generator: str = ""
    group: str = ""
    ranks: dict[str, float] = field(default_factory=dict)
    """Comparison -> rank in it, 1 is best."""


class ComparisonTable:
    """Collect the images of a label file, each once. The same image under two prompts counts as two."""

    def __init__(self) -> None:
        self._images: dict[tuple[str, str], ComparedImage] = {}

    def add_rank(
        self, comparison: str, name: str, prompt: str, rank: float, *, generator: str = "", group: str = ""
    ) -> None:
        """Add the rank of an image in a comparison.

        Args:
            comparison: name of the comparison, unique within the label file.
            name: name of the image.
            prompt: its prompt.
            rank: 1 is best; equal ranks are a tie.
            generator: the model that made the image.
            group: what the image is compared within.
        """
        image = self._images.setdefault((name, prompt), ComparedImage(name, prompt, generator, group))
        image.ranks[comparison] = rank

    def samples(self) -> Iterator[SuiteSample]:
        """Yield the images in order of first appearance. Ids are names, with `#2` at a second prompt."""
        occurrences: dict[str, int] = {}
        for image in self._images.values():
            number = occurrences[image.name] = occurrences.get(image.name, 0) + 1
            yield SuiteSample(
                id=image.name if number == 1 else f"{image.name}#{number}",
                image=image.name,
                prompt=image.prompt,
                generator=image.generator,
                group=image.group,
                labels=GroundTruth(ranks=image.ranks),
            )


def read_json_rows(path: Path, keys: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place for errors, object) for each object of a JSON list.

    Raises:
        InputError: the file is not such a list, or an object lacks one of the keys.
    """
    rows = read_json(path, ".json", field="truth")
    required = list(keys)
    if not isinstance(rows, list) or not rows:
        expected = f"a JSON list of {{{', '.join(required)}}}"
        raise InputError("truth", str(path), expected, "take the set's file")
    for number, row in enumerate(rows, 1):
        place = f"{path.name} row {number}"
        absent = [key for key in required if key not in row] if isinstance(row, dict) else required
        if absent:
            raise InputError(place, row, f"an object with {', '.join(required)}", f"{absent[0]} is missing")
        yield place, row


def read_parallel_lists(
    row: Mapping[str, Any], names_key: str, numbers_key: str, place: str
) -> tuple[list[str], list[float]]:
    """Return two lists of one object, names and numbers, of equal length.

    Raises:
        InputError: the values are not two lists of equal length, or a number is not finite.
    """
    names, values = row[names_key], row[numbers_key]
    if not isinstance(names, list) or not isinstance(values, list) or len(names) != len(values):
        raise InputError(place, row, f"{names_key} and {numbers_key} of one length", "fix the row")
    return [str(name) for name in names], [parse_number(value, place, numbers_key) for value in values]


def read_scores_by_name(path: Path) -> dict[str, float]:
    """Read predictions: a JSON object `{name: score}`, or lines `name,score`.

    Raises:
        InputError: the file cannot be read, or has another layout.
    """
    if path.suffix.lower() != ".json":
        return read_score_lines(path)
    scores = read_json(path, ".json", field="pred")
    if not isinstance(scores, Mapping) or not scores:
        raise InputError("pred", str(path), "an object {name: score}", "write the file in this layout")
    return {str(name): parse_number(value, f"{path.name}: {name}") for name, value in scores.items()}


# ---------------------------------------------------------------------------------------------- rules


def pair_accuracy(comparisons: Comparisons) -> Metrics:
    """Compute the accuracy over all pairs that people order.

    A pair that the judge ties or did not score is wrong.
    """
    predicted, truth, groups = [], [], []
    for comparison, images in comparisons.items():
        for (a, rank_a), (b, rank_b) in combinations(images, 2):
            if rank_a != rank_b:
                predicted.append(None if a is None or b is None or a == b else a > b)
                truth.append(rank_a < rank_b)
                groups.append(comparison)
    return {"accuracy": accuracy(predicted, truth, groups=groups, interval=True)}


def list_accuracy(comparisons: Comparisons) -> Metrics:
    """Compute the mean over lists of 1 - inversions / pairs. Lists with an unscored image are left out."""
    complete = {n: images for n, images in comparisons.items() if all(a is not None for a, _ in images)}
    scores = [a for images in complete.values() for a, _ in images]
    ranks = [rank for images in complete.values() for _, rank in images]
    groups = [name for name, images in complete.items() for _ in images]
    value = inversion_accuracy(scores, ranks, groups, interval=True)  # type: ignore[arg-type]
    skipped = len(comparisons) - len(complete)
    note = f"{skipped} of {len(comparisons)} lists have an unscored image and are left out" if skipped else ""
    return {"accuracy": add_note(value, note), "pair_accuracy": pair_accuracy(comparisons)["accuracy"]}


# ------------------------------------------------------------------------------------- verdicts and files


def build_preference_suite(
    *,
    name: str,
    title: str,
    source: str,
    read_labels: ReadLabels,
    label_files: Mapping[str, tuple[str, ...]],
    default_split: str,
    rule: ComparisonRule,
    read: ReadSamples | None = None,
    score_files: Callable[[Path, Path], Metrics] | None = None,
) -> Suite:
    """Build the suite of a benchmark of preferences.

    Args:
        name: name of the suite.
        title: name of the benchmark in words.
        source: where the data set is officially obtained.
        read_labels: reads a label file.
        label_files: split -> names that its label file may have.
        default_split: split that is read when none is requested.
        rule: computes the official numbers: `pair_accuracy`, `list_accuracy`, or one of its own.
        read: replaces the usual reader.
        score_files: replaces the usual scorer of prediction files.
    """
    return Suite(
        name=name,
        title=title,
        source=source,
        read=read
        or partial(
            read_samples,
            read_labels=read_labels,
            label_files=label_files,
            default_split=default_split,
            source=source,
        ),
        evaluate=partial(evaluate_preferences, rule=rule),
        score_files=score_files or partial(score_preference_files, read_labels=read_labels, rule=rule),
        depth="score",
        splits=tuple(label_files),
        default_split=default_split,
    )


def evaluate_preferences(judged_samples: Iterable[JudgedSample], *, rule: ComparisonRule) -> Metrics:
    """Compare verdicts with human preferences by one of the rules above.

    Comparisons of which only one image was judged are left out and counted in the metric `cut`.
    """
    comparisons: Comparisons = {}
    unscored = total = 0
    for judged in judged_samples:
        score, total = get_predicted_score(judged), total + 1
        unscored += score is None
        for comparison, rank in judged.sample.labels.ranks.items():
            comparisons.setdefault(comparison, []).append((score, rank))
    incomplete = sum(len(images) < 2 for images in comparisons.values())
    metrics = rule({name: images for name, images in comparisons.items() if len(images) > 1})
    if incomplete:
        note = "comparisons of which only one image was judged; left out"
        metrics["cut"] = MetricValue(float(incomplete), note, len(comparisons))
    return metrics | build_unscored_metric(unscored, total)


def score_preference_files(
    pred: Path,
    truth: Path,
    *,
    read_labels: ReadLabels,
    rule: ComparisonRule,
    others: Iterable[str] = (),
) -> Metrics:
    """Compute the official numbers of scores by name against a label file.

    Args:
        pred: the scores.
        truth: the labels.
        read_labels: reads the labels.
        rule: computes the numbers.
        others: further names that have scores for a reason; not counted in `extra`.

    Raises:
        InputError: a file cannot be read, or scores are missing.
    """
    samples, scores = list(read_labels(truth)), read_scores_by_name(pred)
    comparisons, absent = collect_comparisons(scores, samples)
    if absent:
        wanted = dict.fromkeys(str(sample.image) for sample in samples)
        check_names(scores, wanted, pred, what="a score", unit="images")
    names = {name for sample in samples for name in (sample.id, str(sample.image))} | set(others)
    return rule(comparisons) | count_extra([name for name in scores if name not in names])


def collect_comparisons(
    scores: Mapping[str, float], samples: Iterable[SuiteSample]
) -> tuple[Comparisons, list[str]]:
    """Return the comparisons of samples with predicted scores, and the ids that have none."""
    comparisons: Comparisons = {}
    absent = []
    for sample in samples:
        name = sample.id if sample.id in scores else str(sample.image)
        if name not in scores:
            absent.append(sample.id)
            continue
        for comparison, rank in sample.labels.ranks.items():
            comparisons.setdefault(comparison, []).append((scores[name], rank))
    return comparisons, absent
