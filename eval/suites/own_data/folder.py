"""Your own images: a folder, a table or a data set of images, prompts and, where they exist, labels.

Source: your own data.

Data is one of:

- a folder of images or of videos (the prompt of `NAME.png` is read from `NAME.txt`);
- a folder with `labels.csv`, `rows.jsonl`, `metadata.csv`, `metadata.jsonl` or Parquet files;
- such a file itself (CSV, TSV, JSONL, JSON list, Parquet);
- a folder that `datasets.save_to_disk` wrote;
- the name of a Hugging Face data set that is on this machine already (nothing is downloaded; `split` names
  its split, default train).

Labels: columns are found by their usual names, or mapped by options: `image=file prompt=text score=mos`.
Elements are a list, "a; b; c", or an object {element: 0 or 1}, whose values become labels. Images are paths
relative to the table, or encoded bytes in the data set.

Predictions: lines `id,score`, against a table with scores.

Numbers: SRCC, raw PLCC and KRCC with the scores, accuracy of labelled elements, and the mean score. Without
scores a run reports the mean score only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval.metrics.averages import mean
from eval.metrics.metric_value import MetricValue
from eval.suites.own_data.row_sources import Row, open_rows
from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number
from eval.suites.shared.accumulators import ElementAccumulator
from eval.suites.shared.mos_benchmark import MosProtocol, evaluate_mos, score_mos_files
from eval.suites.shared.reading import check_unique_ids, resolve_media
from eval.suites.shared.samples import GroundTruth, JudgedSample, SuiteSample, get_predicted_score
from eval.suites.shared.suite import MediaKind, Metrics, Suite
from judge.errors import InputError
from judge.types import ElementLabel

SOURCE = "the maker of this data"
COLUMN_NAMES = {
    "image": ("image", "file_name", "filename", "img_path", "image_path", "path", "name", "file"),
    "video": ("video", "video_path", "Video"),
    "prompt": ("prompt", "prompt_en", "caption", "text"),
    "negative_prompt": ("negative_prompt", "negative"),
    "score": ("score", "mos", "MOS", "mos_quality", "total_score", "rating"),
    "id": ("id",),
    "elements": ("elements", "element_score"),
    "generator": ("generator", "model", "model_name"),
    "group": ("group", "prompt_id", "scene"),
}
"""What a column holds -> its usual names, in order of preference."""
OPTIONS = {
    role: f"column of the {role}; usual names: {', '.join(names)}" for role, names in COLUMN_NAMES.items()
}
PROTOCOL = MosProtocol(weights={})


# ---------------------------------------------------------------------------------------------- reading


def read(
    data: Path, split: str | None = None, *, media: bool = True, **columns: str
) -> Iterator[SuiteSample]:
    """Read samples in the order of the data.

    Ids are the column `id`, or else the names of the images (`#2` where a name occurs again).

    Args:
        data: see the module's docstring.
        split: split of a data set.
        media: False does not look for the images.
        columns: what a column holds -> its name in the data, for names that are not usual.

    Raises:
        InputError: the data does not exist, is empty, or has no column of images.
    """
    for role in columns:
        if role not in OPTIONS:
            raise InputError("option", role, ", ".join(OPTIONS), "choose one of these")
    read_rows, root = open_rows(data, split)
    first = next(read_rows(), None)
    if first is None:
        raise InputError("data", str(data), "at least one row, image or video", "name another folder or file")
    column_of = _find_columns(first[1], columns, str(data))
    kind: MediaKind = "image" if "image" in column_of else "video"

    def samples() -> Iterator[SuiteSample]:
        id_counts: dict[str, int] = {}
        rows = enumerate(read_rows(), 1)
        return check_unique_ids(
            (_build_sample(row, column_of, place, number, id_counts) for number, (place, row) in rows), data
        )

    yield from resolve_media(samples, root, SOURCE, kind=kind, media=media)


def _find_columns(row: Row, chosen: Mapping[str, str], place: str) -> dict[str, str]:
    """Return what a column holds -> its name, for the columns that the data has."""
    column_of = {}
    spelled = {str(column).strip().casefold(): column for column in row}
    for role, usual_names in COLUMN_NAMES.items():
        if role in chosen and chosen[role] not in row:
            raise InputError(
                role, chosen[role], f"a column of {place}: {', '.join(row)}", "name one of these"
            )
        column = chosen.get(role) or next((name for name in usual_names if name in row), None)
        column = column or next((spelled[n.casefold()] for n in usual_names if n.casefold() in spelled), None)
        if column is not None:
            column_of[role] = column
    if "image" not in column_of and "video" not in column_of:
        raise InputError("image", ", ".join(row), "a column of images", "map it: image=COLUMN")
    if "video" in chosen:
        column_of.pop("image", None)
    return column_of


def _build_sample(
    row: Row, column_of: Mapping[str, str], place: str, number: int, id_counts: dict[str, int]
) -> SuiteSample:
    """Build the sample of one row.

    Args:
        row: the row.
        column_of: what a column holds -> its name.
        place: the row's place, for errors.
        number: the row's number, from 1.
        id_counts: how often each name has occurred; updated.
    """

    def cell(role: str) -> Any:
        return row.get(column_of[role]) if role in column_of else None

    kind = "image" if "image" in column_of else "video"
    source, name = _parse_media(cell(kind), place, kind)
    if cell("id") in (None, ""):
        sample_id = name or f"row-{number}"
        count = id_counts[sample_id] = id_counts.get(sample_id, 0) + 1
        sample_id = sample_id if count == 1 else f"{sample_id}#{count}"
    else:
        sample_id = str(cell("id"))
    score = cell("score")
    elements, element_labels = _parse_elements(cell("elements"), place)
    mos = None if score in (None, "") else _mean_number(score, place)
    return SuiteSample(
        id=sample_id,
        prompt=str(cell("prompt") or ""),
        negative_prompt=str(cell("negative_prompt") or ""),
        elements=elements,
        generator=str(cell("generator") or ""),
        group=str(cell("group") if cell("group") is not None else ""),
        labels=GroundTruth(mos=mos, elements=element_labels),
        **{kind: Path(source) if kind == "video" and isinstance(source, str) else source},
    )


def _mean_number(value: Any, place: str) -> float:
    """Return a number, or the mean of a list of numbers."""
    if isinstance(value, list) and value:
        return sum(parse_number(v, place) for v in value) / len(value)
    return parse_number(value, place)


def _parse_media(value: Any, place: str, kind: str) -> tuple[Any, str]:
    """Return the image or video as a judge accepts it, and its name where it has one."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) == 1:
        value = value[0]
    if isinstance(value, Mapping):  # An encoded image of a Hugging Face data set.
        name = Path(str(value.get("path") or "")).name
        content = value.get("bytes") or value.get("path")
        if content:
            return content, name
    if isinstance(value, bytes) and value:
        return value, ""
    if isinstance(value, str) and value:
        return value, "" if value.startswith("data:") else value
    raise InputError(f"{place}: {kind}", value, "a path or an encoded image", "fill in the column")


def _parse_elements(value: Any, place: str) -> tuple[list[str] | None, list[ElementLabel]]:
    """Return the elements to check, and their labels where the data has any."""
    field = f"{place}: elements"
    if value in (None, "", [], {}):
        return None, []
    if isinstance(value, str):
        if not value.lstrip().startswith(("[", "{")):
            return [name.strip() for name in value.split(";") if name.strip()], []
        try:
            value = json.loads(value)
        except ValueError:
            raise InputError(field, value, "JSON, or a; b; c", "fix the row") from None
    if isinstance(value, Mapping):
        shares = {str(name): _mean_number(share, place) for name, share in value.items() if share is not None}
        return list(shares), [ElementLabel(name=name, present=share >= 0.5) for name, share in shares.items()]
    if isinstance(value, Iterable) and all(isinstance(name, str) for name in value):
        return [str(name) for name in value], []
    raise InputError(field, value, "a list of texts", "fix the row")


# ---------------------------------------------------------------------------------------------- metrics


def evaluate(judged_samples: Iterable[JudgedSample]) -> Metrics:
    """Compute correlations and accuracies where there are labels, and the mean score in any case."""
    elements, scores = ElementAccumulator(), []
    labelled = 0

    def collect() -> Iterator[JudgedSample]:
        """Pass the samples on, and note scores and elements on the way: they can be read only once."""
        nonlocal labelled
        for judged in judged_samples:
            score = get_predicted_score(judged)
            labelled += judged.sample.labels.mos is not None
            if score is not None:
                scores.append(score)
            elements.add(judged)
            yield judged

    metrics = evaluate_mos(collect(), protocol=PROTOCOL)
    if not labelled:
        metrics = {"srcc": MetricValue(None, "the data has no scores"), "unscored": metrics["unscored"]}
    metrics["mean_score"] = mean(scores, interval=True)
    return metrics | (elements.metrics() if elements.truth else {})


def score_files(pred: Path, truth: Path) -> Metrics:
    """Compare lines `id,score` with a table with scores.

    Raises:
        InputError: a file cannot be read, or predictions are missing.
    """
    return score_mos_files(
        pred,
        truth,
        read_labels=lambda path: read(path, media=False),
        read_predictions=read_score_lines,
        protocol=PROTOCOL,
    )


SUITE = Suite(
    name="folder",
    title="Your own images: a folder, table or data set",
    source=SOURCE,
    read=read,
    evaluate=evaluate,
    score_files=score_files,
    options=OPTIONS,
)
