"""Face restoration in the wild, NTIRE 2025: a weighted ranking from values of metrics, and an identity check.

Source: https://github.com/zhengchen1999/NTIRE2025_RealWorld_Face_Restoration

Truth of `judge eval score`: a CSV `image,subset` with an optional column `cosine` (AdaFace similarity of the
restored face to the input). The subset is CelebA, LFW, CelebChild, Wider or WebPhoto, in any spelling such as
`LFW-Test`.

Predictions: a CSV of metric values, of this project or of other packages. Columns `clipiqa, maniqa, musiq,
niqe, qalign, fid` in any spelling (`CLIP-IQA`, `Q-Align`), one row per image (means are taken) or one row for
the set. Optional columns: `method` (several methods are ranked), `image`, and `cosine` in place of the
truth's.

Numbers: final = CLIPIQA + MANIQA + MUSIQ / 100 + max(0, (10 - NIQE) / 10) + QALIGN / 5 + max(0, (100 - FID) /
100). The identity check fails below a cosine of .5 (CelebA), .6 (LFW, CelebChild), .3 (Wider, WebPhoto). More
than 10 failures make a method invalid: `valid` is 0 and its note says so; the score is unchanged.

Data of a run: a folder with the restored images, one subfolder per subset. A run reports the judge's mean
scores; they are not part of the ranking.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from eval.metrics.averages import mean
from eval.metrics.metric_value import MetricValue
from eval.suites.readers.text_files import parse_number, read_csv_table
from eval.suites.shared.media_files import list_images
from eval.suites.shared.reading import build_missing_files_error, check_split
from eval.suites.shared.samples import JudgedSample, SuiteSample, get_predicted_score
from eval.suites.shared.scoring import build_unscored_metric, prefix_names
from eval.suites.shared.suite import Metrics, Suite
from judge.errors import InputError

SOURCE = "https://github.com/zhengchen1999/NTIRE2025_RealWorld_Face_Restoration"
METRICS = ("clipiqa", "maniqa", "musiq", "niqe", "qalign", "fid")
MIN_COSINE = {"celeba": 0.5, "lfw": 0.6, "celebchild": 0.6, "wider": 0.3, "webphoto": 0.3}
"""Subset -> cosine below which the identity check fails."""
MAX_FAILURES = 10
"""Number of failed identity checks that a method may have."""


# ------------------------------------------------------------------------------------------ prediction files


def compute_ranking_score(values: Mapping[str, float]) -> float:
    """Compute the weighted sum of the means of the six metrics."""
    return (
        values["clipiqa"]
        + values["maniqa"]
        + values["musiq"] / 100
        + max(0.0, (10 - values["niqe"]) / 10)
        + values["qalign"] / 5
        + max(0.0, (100 - values["fid"]) / 100)
    )


def normalise_name(name: str) -> str:
    """Return a name in lower case, letters and digits only: "CLIP-IQA" -> "clipiqa"."""
    return "".join(c for c in name.lower() if c.isalnum())


def parse_subset(name: str) -> str | None:
    """Return the subset that a name means ("LFW-Test" -> "lfw"), or None."""
    normalised = normalise_name(name)
    matches = [key for key in MIN_COSINE if normalised.startswith(key)]
    return max(matches, key=len) if matches else None


def count_failures(cosines: Iterable[tuple[str, float]]) -> int:
    """Count the (subset, cosine) pairs below the threshold of their subset.

    Raises:
        InputError: a subset is unknown.
    """
    count = 0
    for name, cosine in cosines:
        subset = parse_subset(name)
        if subset is None:
            raise InputError("subset", name, ", ".join(MIN_COSINE), "use one of these names")
        count += cosine < MIN_COSINE[subset]
    return count


def score_files(pred: Path, truth: Path) -> Metrics:
    """Compute the ranking score and the identity check of each method in a CSV.

    Raises:
        InputError: a file cannot be read, or a metric is missing.
    """
    images = _read_images(truth)
    methods: dict[str, list[dict[str, str]]] = {}
    for _, row in read_csv_table(pred, [], "pred"):
        normalised = {normalise_name(name): value for name, value in row.items()}
        methods.setdefault(normalised.get("method", ""), []).append(normalised)
    if not methods:
        raise InputError("pred", str(pred), "at least one row of metric values", "write them into it")
    metrics: Metrics = {}
    for method, rows in methods.items():
        own = _score_method(rows, images, pred)
        metrics |= own if len(methods) == 1 else prefix_names(method, own)
    return metrics


def _score_method(rows: list[dict[str, str]], images: Mapping[str, tuple[str, str]], pred: Path) -> Metrics:
    metrics: Metrics = {}
    for metric in METRICS:
        values = [parse_number(row[metric], pred.name, metric) for row in rows if row.get(metric)]
        if not values:
            columns = ", ".join(sorted({name for row in rows for name in row}))
            raise InputError(f"{pred.name}: header", columns, ", ".join(METRICS), f"{metric} is missing")
        metrics[metric] = mean(values, interval=metric != "fid" and len(values) > 1)
    final = compute_ranking_score({metric: metrics[metric].value or 0.0 for metric in METRICS})
    metrics["final"] = MetricValue(final, "", len(rows))
    return metrics | _check_identity(rows, images, pred)


def _check_identity(rows: list[dict[str, str]], images: Mapping[str, tuple[str, str]], pred: Path) -> Metrics:
    """Return the metrics `identity_failures` and `valid` of one method."""
    own_cosines = {row["image"]: row["cosine"] for row in rows if row.get("image") and row.get("cosine")}
    cosines = [
        (subset, parse_number(text, pred.name, "cosine"))
        for name, (subset, true_cosine) in images.items()
        if (text := own_cosines.get(name, true_cosine))
    ]
    if len(cosines) < len(images) or not images:
        reason = f"{len(images) - len(cosines)} of {len(images)} images have no cosine of identity"
        return {"identity_failures": MetricValue(None, reason), "valid": MetricValue(None, reason)}
    failures = count_failures(cosines)
    is_valid = failures <= MAX_FAILURES
    note = "" if is_valid else f"{failures} failures of identity, more than {MAX_FAILURES}: invalid"
    return {
        "identity_failures": MetricValue(float(failures), note, len(cosines)),
        "valid": MetricValue(float(is_valid), note, len(cosines)),
    }


def _read_images(path: Path) -> dict[str, tuple[str, str]]:
    """Return image -> (subset, cosine as text or empty)."""
    return {
        row["image"]: (row["subset"], row.get("cosine", ""))
        for _, row in read_csv_table(path, ["image", "subset"], "truth")
    }


# ------------------------------------------------------------------------------------------------- runs


def read(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[SuiteSample]:
    """Read the restored images of a folder; the group is the subset.

    Raises:
        InputError: `data` is not a folder, or holds none of the subsets.
    """
    check_split(split, ("all",), "all")
    if not data.is_dir():
        raise InputError("data", str(data), "a folder of restored images", f"get the set at {SOURCE}")
    images = [
        (path, subset)
        for path in list_images(data)
        if (subset := parse_subset(path.relative_to(data).parts[0])) is not None
    ]
    if not images:
        subsets = ["CelebA", "LFW", "CelebChild", "Wider", "WebPhoto"]
        raise build_missing_files_error("subsets", subsets, len(subsets), data, SOURCE)
    for path, subset in images:
        yield SuiteSample(id=str(path.relative_to(data)), image=str(path), group=subset)


def evaluate(judged_samples: Iterable[JudgedSample]) -> Metrics:
    """Compute the judge's mean score, overall and by subset. It is not part of the official ranking."""
    scores_by_subset: dict[str, list[float]] = {}
    total = 0
    for judged in judged_samples:
        total += 1
        score = get_predicted_score(judged)
        if score is not None:
            scores_by_subset.setdefault(judged.sample.group, []).append(score)
    scores = [score for values in scores_by_subset.values() for score in values]
    metrics = {"mean_score": mean(scores, interval=True)}
    for subset, values in sorted(scores_by_subset.items()):
        metrics[f"mean_score/{subset}"] = mean(values, interval=True)
    return metrics | build_unscored_metric(total - len(scores), total)


SUITE = Suite(
    name="face-restoration",
    title="Real-world face restoration (NTIRE 2025): the ranking formula and the check of identity",
    source=SOURCE,
    read=read,
    evaluate=evaluate,
    score_files=score_files,
    rubric="quality",
    depth="score",
    splits=("all",),
)
