"""Face restoration in the wild, NTIRE 2025: a weighted ranking from values of metrics, and an identity check.

Source: https://github.com/zhengchen1999/NTIRE2025_RealWorld_Face_Restoration

Predictions, in the layouts of the organisers' `eval.py`:

- `NAME_total.csv`: `Dataset,NIQE,CLIP_IQA,MANIQA,MUSIQ,QALIGN,FID,ID_Sim,low_ID_Sim,Total`, with a row for
  each subset, then `All` and `Weighted Score`. The numbers are those of the row `All`; the other rows are not
  averaged.
- `NAME.csv`: `Filename,CLIP_IQA,Dataset,ID_Sim,MANIQA,MUSIQ,NIQE,QALIGN`, a row per image. FID is a number of
  the whole set: it is taken from `NAME_total.csv` beside the file, or given by `--option fid=VALUE`.

or a CSV of metric values of other packages: columns `clipiqa, maniqa, musiq, niqe, qalign, fid` in any
spelling (`CLIP-IQA`, `Q-Align`), one row per image or one row for the set. Optional columns: `method`
(several methods are ranked), `image`, and `cosine` in place of the truth's.

Truth of `judge eval score`: a CSV of `image,subset` with an optional column `cosine` (AdaFace similarity of
the restored face to the input), also as the organisers call them (`Filename, ID_Sim, Dataset`), or the
repository's `face_alignment/test_face.csv` (`filename,dataset,...`, names without suffix). The subset is
CelebA, LFW, CelebChild, Wider or WebPhoto, in any spelling such as `LFW-Test`.

Numbers: final = CLIPIQA + MANIQA + MUSIQ / 100 + max(0, (10 - NIQE) / 10) + QALIGN / 5 + max(0, (100 - FID) /
100). Each metric is the mean over the subsets of the subset's mean, weighted by 100 images for each subset
and 50 for CelebChild. The identity check fails below a cosine of .5 (CelebA), .6 (LFW, CelebChild), .3
(Wider, WebPhoto). More than 10 failures make a method invalid: `valid` is 0 and its note says so; the score
is unchanged.

What differs: where subsets are missing, which stops their script, the weights of those that are there are
used, and a note says so. Rows of unknown subset are averaged without weights.

Data of a run: a folder with the restored images, one subfolder per subset. A run reports the judge's mean
scores; they are not part of the ranking.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from eval.metrics.averages import mean
from eval.metrics.bootstrap import ratio_interval
from eval.metrics.metric_value import MetricValue
from eval.suites.readers.text_files import parse_number, read_csv_table
from eval.suites.shared.media_files import list_images
from eval.suites.shared.name_matching import check_names
from eval.suites.shared.reading import build_missing_files_error, check_split
from eval.suites.shared.samples import JudgedSample, SuiteSample, get_predicted_score
from eval.suites.shared.scoring import add_note, build_unscored_metric, prefix_names
from eval.suites.shared.suite import Metrics, Suite
from judge.errors import InputError

SOURCE = "https://github.com/zhengchen1999/NTIRE2025_RealWorld_Face_Restoration"
METRICS = ("clipiqa", "maniqa", "musiq", "niqe", "qalign", "fid")
MIN_COSINE = {"celeba": 0.5, "lfw": 0.6, "celebchild": 0.6, "wider": 0.3, "webphoto": 0.3}
"""Subset -> cosine below which the identity check fails."""
SUBSET_IMAGES = {"celeba": 100, "lfw": 100, "celebchild": 50, "webphoto": 100, "wider": 100}
"""Subset -> number of images in the challenge's test set, the weight of the subset's mean."""
COLUMN_NAMES = {"filename": "image", "dataset": "subset", "idsim": "cosine", "lowidsim": "failures"}
"""Column of the organisers' files, in lower-case letters -> its name here."""
MAX_FAILURES = 10
"""Number of failed identity checks that a method may have."""
T = TypeVar("T")


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


def score_files(pred: Path, truth: Path, *, fid: str = "") -> Metrics:
    """Compute the ranking score and the identity check of each method in a CSV.

    Args:
        pred: metric values, in one of the layouts above.
        truth: images with their subsets.
        fid: FID of the set, where `pred` has a row per image.

    Raises:
        InputError: a file cannot be read, or a metric is missing.
    """
    images = _read_images(truth)
    methods: dict[str, list[dict[str, str]]] = {}
    for _, row in read_csv_table(pred, [], "pred"):
        normalised = {_rename_column(name): value.strip() for name, value in row.items()}
        methods.setdefault(normalised.get("method", ""), []).append(normalised)
    if not methods:
        raise InputError("pred", str(pred), "at least one row of metric values", "write them into it")
    metrics: Metrics = {}
    for method, rows in methods.items():
        own = _score_method(rows, images, pred, fid)
        metrics |= own if len(methods) == 1 else prefix_names(method, own)
    return metrics


def _rename_column(name: str) -> str:
    """Return the name of a column, whichever of the known names the file uses."""
    normalised = normalise_name(name)
    return COLUMN_NAMES.get(normalised, normalised)


def _score_method(
    rows: list[dict[str, str]], images: Mapping[str, tuple[str, str]], pred: Path, fid: str
) -> Metrics:
    total = _find_total(rows)
    if total is not None:
        return _score_total(rows, total, pred)
    named = [_drop_suffix(row["image"]) for row in rows if row.get("image")]
    if named and images and not any(_find_image(name, images) for name in named):
        check_names(named, images, pred, what="a row", unit="images")
    subsets = [_subset_of(row, images) for row in rows]
    weights, note = _weigh_rows(subsets)
    metrics: Metrics = {}
    for metric in METRICS:
        pairs = [
            (parse_number(row[metric], pred.name, metric), weight)
            for row, weight in zip(rows, weights, strict=True)
            if row.get(metric)
        ]
        if pairs and metric != "fid":
            metrics[metric] = add_note(_weighted_mean(pairs), note)
        elif pairs:
            metrics[metric] = mean([value for value, _ in pairs])
        elif metric == "fid":
            metrics[metric] = _find_fid(rows, pred, fid)
        else:
            columns = ", ".join(sorted({name for row in rows for name in row}))
            raise InputError(f"{pred.name}: header", columns, ", ".join(METRICS), f"{metric} is missing")
    return metrics | {"final": _rank(metrics, len(rows))} | _check_identity(rows, images, pred)


def _rank(metrics: Metrics, count: int) -> MetricValue:
    """Return the ranking score, or the reason why there is none."""
    values = {metric: metrics[metric].value for metric in METRICS}
    defined = {metric: value for metric, value in values.items() if value is not None}
    if len(defined) < len(METRICS):
        return MetricValue(None, f"undefined without fid ({metrics['fid'].note})", count)
    return MetricValue(compute_ranking_score(defined), metrics["clipiqa"].note, count)


# ------------------------------------------------------------------------------------- the organisers' files


def _find_total(rows: Sequence[Mapping[str, str]]) -> dict[str, str] | None:
    """Return the row `All` of a `NAME_total.csv`; None when the rows are of another file."""
    return next((dict(row) for row in rows if normalise_name(row.get("subset", "")) == "all"), None)


def _score_total(rows: Sequence[Mapping[str, str]], total: Mapping[str, str], pred: Path) -> Metrics:
    """Return the numbers of a `NAME_total.csv`, and compare its `Total` with the formula."""
    absent = [metric for metric in METRICS if not total.get(metric)]
    if absent:
        raise InputError(
            f"{pred.name}: header", ", ".join(total), ", ".join(METRICS), f"{absent[0]} is missing"
        )
    metrics = {m: MetricValue(parse_number(total[m], f"{pred.name}: All", m), "", 1) for m in METRICS}
    final = _rank(metrics, 1)
    weighted = next((row for row in rows if normalise_name(row.get("subset", "")) == "weightedscore"), {})
    if weighted.get("total") and final.value is not None:
        theirs = parse_number(weighted["total"], f"{pred.name}: Weighted Score", "Total")
        if abs(theirs - final.value) > 1e-6:
            final = add_note(final, f"the file's own Total is {theirs:.6g}, its metrics were changed")
    metrics["final"] = final
    if not total.get("failures"):
        reason = "the file has no column low_ID_Sim"
        return metrics | {name: MetricValue(None, reason) for name in ("identity_failures", "valid")}
    failures = int(parse_number(total["failures"], f"{pred.name}: All", "low_ID_Sim"))
    return metrics | _state_identity(failures, sum(SUBSET_IMAGES.values()))


def _find_fid(rows: Sequence[Mapping[str, str]], pred: Path, fid: str) -> MetricValue:
    """Return the FID of the set: the option's, else that of `NAME_total.csv` beside `NAME.csv`."""
    if fid:
        return MetricValue(parse_number(fid, "option", "fid"), "given by the option fid", 1)
    sibling = pred.with_name(f"{pred.stem}_total{pred.suffix}")
    if sibling.is_file():
        table = [
            {_rename_column(name): value for name, value in row.items()}
            for _, row in read_csv_table(sibling, [], "pred")
        ]
        total = _find_total(table) or {}
        if total.get("fid"):
            return MetricValue(parse_number(total["fid"], sibling.name, "FID"), f"from {sibling.name}", 1)
    if not any("subset" in row for row in rows):
        columns = ", ".join(sorted({name for row in rows for name in row}))
        raise InputError(f"{pred.name}: header", columns, ", ".join(METRICS), "fid is missing")
    reason = "FID is not measured per image: score NAME_total.csv, put it beside NAME.csv, or give "
    return MetricValue(None, reason + "--option fid=VALUE")


def _subset_of(row: Mapping[str, str], images: Mapping[str, tuple[str, str]]) -> str | None:
    """Return the subset of a row, of its own column or by its image; None when neither says it."""
    own = row.get("subset") or (_find_image(row.get("image", ""), images) or ("", ""))[0]
    return parse_subset(own)


def _weigh_rows(subsets: Sequence[str | None]) -> tuple[list[float], str]:
    """Return the weight of each row, so that each subset weighs its number of images, and a note."""
    if not all(subsets):
        return [1.0] * len(subsets), ""
    counts = Counter(subset for subset in subsets if subset)
    absent = [subset for subset in SUBSET_IMAGES if subset not in counts]
    note = f"without the subsets {', '.join(absent)}, which the challenge has too" if absent else ""
    return [SUBSET_IMAGES[subset] / counts[subset] for subset in subsets if subset], note


def _weighted_mean(pairs: Sequence[tuple[float, float]]) -> MetricValue:
    """Return the weighted mean of (value, weight) pairs, with a bootstrap interval over rows."""
    if len({weight for _, weight in pairs}) == 1:
        return mean([value for value, _ in pairs], interval=len(pairs) > 1)
    table = np.array([[value * weight, weight] for value, weight in pairs])
    sums, values = table.sum(axis=0), [value for value, _ in pairs]
    interval = ratio_interval(table, (min(values), max(values)))
    return MetricValue(float(sums[0] / sums[1]), "", len(pairs), interval)


# ------------------------------------------------------------------------------------------------- identity


def _check_identity(rows: list[dict[str, str]], images: Mapping[str, tuple[str, str]], pred: Path) -> Metrics:
    """Return the metrics `identity_failures` and `valid` of one method."""
    own = {_drop_suffix(row["image"]): row for row in rows if row.get("image") and row.get("cosine")}
    known = images or {name: (row.get("subset", ""), "") for name, row in own.items()}
    cosines = [
        (subset, parse_number(text, pred.name, "cosine"))
        for name, (subset, true_cosine) in known.items()
        if (text := (_find_image(name, own) or {}).get("cosine", "") or true_cosine)
    ]
    if len(cosines) < len(known) or not known:
        reason = f"{len(known) - len(cosines)} of {len(known)} images have no cosine of identity"
        return {"identity_failures": MetricValue(None, reason), "valid": MetricValue(None, reason)}
    return _state_identity(count_failures(cosines), len(cosines))


def _state_identity(failures: int, count: int) -> Metrics:
    is_valid = failures <= MAX_FAILURES
    note = "" if is_valid else f"{failures} failures of identity, more than {MAX_FAILURES}: invalid"
    return {
        "identity_failures": MetricValue(float(failures), note, count),
        "valid": MetricValue(float(is_valid), note, count),
    }


def _drop_suffix(name: str) -> str:
    """Return the name of an image without its suffix, as `test_face.csv` has it."""
    folder, slash, base = name.replace("\\", "/").rpartition("/")
    return folder + slash + (base.rpartition(".")[0] or base)


def _find_image(name: str, images: Mapping[str, T]) -> T | None:
    """Return what belongs to an image: by its path without suffix, else by its file name alone."""
    path = _drop_suffix(name)
    return images.get(path, images.get(path.rpartition("/")[2]))


def _read_images(path: Path) -> dict[str, tuple[str, str]]:
    """Return image without suffix -> (subset, cosine as text or empty).

    Raises:
        InputError: the file cannot be read, or has no columns of images and subsets.
    """
    images: dict[str, tuple[str, str]] = {}
    for number, row in read_csv_table(path, [], "truth"):
        named = {_rename_column(name): value.strip() for name, value in row.items()}
        if "subset" not in named or "image" not in named:
            if _find_total([named]) is not None or "subset" in named:
                return {}  # A NAME_total.csv, which has no images.
            expected = "image,subset or filename,dataset"
            raise InputError(f"{path.name}: header", ", ".join(row), expected, "rename the columns")
        name = _drop_suffix(named["image"])
        if name in images and images[name] != (named["subset"], named.get("cosine", "")):
            raise InputError(
                f"{path.name} line {number}", name, "each image once", "remove the duplicate row"
            )
        images[name] = named["subset"], named.get("cosine", "")
    return images


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
    default_split="all",
    score_options={"fid": "FID of the whole set, for a file with a row per image"},
)
