"""Pictures of your own: a folder, a table or a data set of images, prompts and, where there are any, labels.

Data is one of: a folder of pictures (a prompt in `NAME.txt` beside `NAME.png` is read); a folder with
`labels.csv`, `rows.jsonl`, `metadata.csv`, `metadata.jsonl` or parquet files; such a file itself (CSV, TSV,
JSONL, JSON list, parquet); a folder that `datasets.save_to_disk` wrote; or the name of a Hugging Face data
set that is on this machine already (nothing is fetched; `split` names its split, default train).

Columns are found by their usual names, or mapped by options: `image=file prompt=text score=mos`. Elements are
a list, "a; b; c", or an object {element: 0 or 1}, whose values become labels. Pictures are paths relative to
the table, or encoded bytes in the data set. Without scores a run reports the mean score only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from eval.metrics.agreement import Measure, mean
from eval.suites import base, opinions
from eval.suites.base import Item, Measures, Row, Suite, Truth, answer_of
from eval.suites.opinions import Rule
from eval.suites.readers import files
from eval.suites.tally import Elements
from judge.errors import InputError
from judge.types import ElementLabel

SOURCE = "the maker of this data"
TABLES = ("labels.csv", "rows.jsonl", "metadata.jsonl", "metadata.csv", "data.csv", "labels.jsonl")
USUAL = {
    "image": ("image", "file_name", "filename", "img_path", "image_path", "path", "name", "file"),
    "video": ("video", "video_path", "Video"),
    "prompt": ("prompt", "prompt_en", "caption", "text"),
    "score": ("score", "mos", "MOS", "mos_quality", "total_score", "rating"),
    "id": ("id",),
    "elements": ("elements", "element_score"),
    "generator": ("generator", "model", "model_name"),
    "group": ("group", "prompt_id", "scene"),
}
OPTIONS = {name: f"column of the {name}; usual names: {', '.join(names)}" for name, names in USUAL.items()}
RULE = Rule(weights={})
Rows = Iterator[tuple[str, dict[str, Any]]]
"""(where, row)."""


def read(data: Path, split: str | None = None, *, media: bool = True, **columns: str) -> Iterator[Item]:
    """Items in the data's order; ids are the `id` column, else pictures' names (#2 where one comes again)."""
    for name in columns:
        if name not in OPTIONS:
            raise InputError("option", name, ", ".join(OPTIONS), "choose one of these")
    rows, root = _source(data, split)
    first = next(rows(), None)
    if first is None:
        raise InputError("data", str(data), "at least one row or picture", "name another folder or file")
    found = _columns(first[1], columns, str(data))
    kind: base.Kind = "image" if "image" in found else "video"

    def items() -> Iterator[Item]:
        times: dict[str, int] = {}
        for number, (where, row) in enumerate(rows(), 1):
            yield _item(row, found, where, number, times)

    named = isinstance(first[1].get(found[kind]), str)
    again = partial(_unique, items, data)
    yield from base.with_media(again, root, SOURCE, kind=kind, media=media and named)


def _unique(items: Callable[[], Iterator[Item]], data: Path) -> Iterator[Item]:
    return base.unique(items(), data)


def _source(data: Path, split: str | None) -> tuple[Callable[[], Rows], Path]:
    """A maker of rows, and the folder their pictures are relative to."""
    if data.is_file():
        return partial(_table, data), data.parent
    if data.is_dir():
        if any((data / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
            return partial(_saved, data, split), data
        for name in TABLES:
            if (data / name).is_file():
                return partial(_table, data / name), data
        parts = sorted(p for p in data.rglob(f"{split or ''}*.parquet") if p.is_file())
        if parts:
            return lambda: (row for part in parts for row in _table(part)), data
        return partial(_pictures, data), data
    if "/" in str(data).strip("/") and str(data).count("/") == 1 and not data.suffix:
        return partial(_named, str(data), split), data
    raise InputError("data", str(data), "a folder, table or data set that exists", "check the path")


def _table(path: Path) -> Rows:
    ending = path.suffix.lower()
    if ending == ".parquet":
        from eval.suites.readers.parquet import rows

        yield from ((f"{path.name} row {at}", row) for at, row in enumerate(rows(path), 1))
    elif ending == ".csv":
        yield from ((f"{path.name} line {at}", dict(row)) for at, row in files.table(path, [], "data"))
    elif ending == ".tsv":
        lines = files.cells(path, tuple(range(1, 1000)), separator="\t", field="data")
        _, header = next(lines, (0, []))
        yield from ((f"{path.name} line {at}", dict(zip(header, row, strict=False))) for at, row in lines)
    elif ending in (".jsonl", ".ndjson"):
        for at, row in files.json_lines(path, "data"):
            yield f"{path.name} line {at}", _object(row, f"{path.name} line {at}")
    elif ending == ".json":
        value = files.json_of(path, field="data")
        if not isinstance(value, list):
            raise InputError("data", str(path), "a JSON list of objects", "write it so")
        for at, row in enumerate(value, 1):
            yield f"{path.name} row {at}", _object(row, f"{path.name} row {at}")
    else:
        raise InputError(
            "data", str(path), ".csv, .tsv, .jsonl, .json and .parquet files", "name the file so"
        )


def _object(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise InputError(where, row, "an object", "mend the row")
    return row


def _pictures(root: Path) -> Rows:
    for path in base.pictures(root):
        beside = path.with_suffix(".txt")
        prompt = files.text(beside, field="prompt").strip() if beside.is_file() else ""
        yield str(path), {"image": path.relative_to(root).as_posix(), "prompt": prompt}


def _saved(root: Path, split: str | None) -> Rows:
    with _datasets(root) as library:
        found = library.load_from_disk(str(root))
    yield from _set(found, split, str(root))


def _named(name: str, split: str | None) -> Rows:
    with _datasets(Path(name)) as library, _offline(library):
        found = library.load_dataset(name)
    yield from _set(found, split, name)


@contextmanager
def _offline(library: Any) -> Iterator[None]:
    """What is on this machine is looked for, and nothing is fetched."""
    import huggingface_hub.constants as hub

    before = library.config.HF_HUB_OFFLINE, hub.HF_HUB_OFFLINE
    library.config.HF_HUB_OFFLINE = hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        library.config.HF_HUB_OFFLINE, hub.HF_HUB_OFFLINE = before


class _datasets:
    """The library, with its errors as ours."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def __enter__(self) -> Any:
        try:
            import datasets
        except ImportError:
            raise InputError(
                "data", str(self.data), "a folder or table", "pip install datasets (in judge[train])"
            ) from None
        return datasets

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, InputError):
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
            raise InputError("data", str(self.data), "a data set on this machine", reason) from None


def _set(found: Any, split: str | None, name: str) -> Rows:
    import datasets

    if isinstance(found, datasets.DatasetDict):
        part = opinions.checked_split(split, tuple(found), "train" if "train" in found else next(iter(found)))
        found = found[part]
    for column, kind in list(found.features.items()):
        if isinstance(kind, datasets.Image):
            found = found.cast_column(column, datasets.Image(decode=False))
    yield from ((f"{name} row {at}", row) for at, row in enumerate(found, 1))


def _columns(row: Mapping[str, Any], asked: Mapping[str, str], where: str) -> dict[str, str]:
    """What is read -> column of the data."""
    found = {}
    for name, usual in USUAL.items():
        if name in asked and asked[name] not in row:
            raise InputError(name, asked[name], f"a column of {where}: {', '.join(row)}", "name one of these")
        column = asked.get(name) or next((known for known in usual if known in row), None)
        if column is not None:
            found[name] = column
    if "image" not in found and "video" not in found:
        raise InputError("image", ", ".join(row), "a column of pictures", "map it: image=COLUMN")
    if "video" in asked:
        found.pop("image", None)
    return found


def _item(
    row: Mapping[str, Any], columns: Mapping[str, str], where: str, number: int, times: dict[str, int]
) -> Item:
    def cell(name: str) -> Any:
        return row.get(columns[name]) if name in columns else None

    kind = "image" if "image" in columns else "video"
    media, name = _media(cell(kind), where, kind)
    given = cell("id")
    id_ = str(given) if given not in (None, "") else name or f"row-{number}"
    if given in (None, ""):
        n = times[id_] = times.get(id_, 0) + 1
        id_ = id_ if n == 1 else f"{id_}#{n}"
    score = cell("score")
    names, known = _elements(cell("elements"), where)
    mos = None if score in (None, "") else _number(score, where)
    return Item(
        id=id_,
        prompt=str(cell("prompt") or ""),
        elements=names,
        generator=str(cell("generator") or ""),
        group=str(cell("group") if cell("group") is not None else ""),
        labels=Truth(mos=mos, elements=known),
        **{kind: media if kind == "image" else Path(str(media))},
    )


def _number(value: Any, where: str) -> float:
    if isinstance(value, list) and value:
        return sum(files.number(v, where) for v in value) / len(value)
    return files.number(value, where)


def _media(value: Any, where: str, kind: str) -> tuple[Any, str]:
    """The picture as a judge takes it, and its name where it has one."""
    if isinstance(value, Mapping):  # an encoded image of a data set
        name = Path(str(value.get("path") or "")).name
        value = value.get("bytes") or value.get("path")
        return value, name
    if isinstance(value, bytes) and value:
        return value, ""
    if isinstance(value, str) and value:
        return value, "" if value.startswith("data:") else value
    raise InputError(f"{where}: {kind}", value, "a path or an encoded picture", "give the row one")


def _elements(value: Any, where: str) -> tuple[list[str] | None, list[ElementLabel]]:
    """The elements to ask for, and their labels where the data has any."""
    if value in (None, "", [], {}):
        return None, []
    if isinstance(value, str):
        if value.lstrip().startswith(("[", "{")):
            try:
                value = json.loads(value)
            except ValueError:
                raise InputError(f"{where}: elements", value, "JSON, or a; b; c", "mend the row") from None
        else:
            return [name.strip() for name in value.split(";") if name.strip()], []
    if isinstance(value, Mapping):
        known = {str(name): _number(share, where) for name, share in value.items() if share is not None}
        return list(known), [ElementLabel(name=name, present=share >= 0.5) for name, share in known.items()]
    if isinstance(value, Iterable) and all(isinstance(name, str) for name in value):
        return [str(name) for name in value], []
    raise InputError(f"{where}: elements", value, "a list of texts", "mend the row")


def measure(rows: Iterable[Row]) -> Measures:
    """Correlations and accuracies where there are labels, and the mean score in any case."""
    elements, scores = Elements(), []
    labelled = 0

    def seen() -> Iterator[Row]:
        nonlocal labelled
        for row in rows:
            answer = answer_of(row)
            labelled += row.sample.labels.mos is not None
            if answer is not None:
                scores.append(answer)
            elements.add(row)
            yield row

    found = opinions.measured(seen(), rule=RULE)
    if not labelled:
        found = {"srcc": Measure(None, "the data has no scores"), "unscored": found["unscored"]}
    found["mean_score"] = mean(scores, interval=True)
    return found | (elements.measures() if elements.true else {})


def score(pred: Path, truth: Path) -> Measures:
    """Lines `id,score` against a table with scores."""
    return opinions.scored(
        pred,
        truth,
        labels=lambda path: read(path, media=False),
        predictions=files.scored_lines,
        rule=RULE,
    )


SUITE = Suite(
    name="folder",
    title="Pictures of your own: a folder, table or data set",
    source=SOURCE,
    read=read,
    measure=measure,
    score=score,
    options=OPTIONS,
)
