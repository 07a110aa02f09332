"""Where rows of your own data come from: folders of images, tables, Parquet files, Hugging Face data sets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from eval.suites.readers.parquet import read_parquet_rows
from eval.suites.readers.text_files import read_csv_table, read_json, read_json_lines, read_text
from eval.suites.shared.media_files import list_images, list_videos
from eval.suites.shared.reading import check_split
from judge.errors import InputError
from judge.media.file_names import is_hidden
from judge.tables.separated import TABLE_SUFFIXES

TABLES = ("labels.csv", "rows.jsonl", "metadata.jsonl", "metadata.csv", "data.csv", "labels.jsonl")
"""Names of tables that are looked for in a folder, in order of preference."""
Row = dict[str, Any]
Rows = Iterator[tuple[str, Row]]
"""(place for errors, row)."""


def open_rows(data: Path, split: str | None) -> tuple[Callable[[], Rows], Path]:
    """Find out what `data` is.

    Args:
        data: a table, a folder of images or tables, a folder that `datasets.save_to_disk` wrote, or the name
            of a Hugging Face data set on this machine.
        split: split of a data set, or beginning of the names of Parquet files.

    Returns:
        A function that reads the rows from the start, and the folder that paths of images are relative to.

    Raises:
        InputError: `data` is none of these.
    """
    if data.is_file():
        return partial(_read_table, data), data.parent
    if data.is_dir():
        if any((data / name).is_file() for name in ("dataset_info.json", "dataset_dict.json")):
            return partial(_read_saved_dataset, data, split), data
        for name in TABLES:
            if (data / name).is_file():
                return partial(_read_table, data / name), data
        parts = sorted(
            path
            for path in data.rglob(f"{split or ''}*.parquet")
            if path.is_file() and not is_hidden(path.relative_to(data).as_posix())
        )
        if parts:
            return partial(_read_tables, parts), data
        return partial(_read_image_folder, data), data
    if "/" in str(data).strip("/") and str(data).count("/") == 1 and not data.suffix:
        return partial(_read_named_dataset, str(data), split), data
    raise InputError("data", str(data), "a folder, table or data set that exists", "check the path")


# ---------------------------------------------------------------------------------------- tables, folders


def _read_tables(paths: list[Path]) -> Rows:
    for path in paths:
        yield from _read_table(path)


def _read_table(path: Path) -> Rows:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        for number, row in enumerate(read_parquet_rows(path), 1):
            yield f"{path.name} row {number}", row
    elif suffix in TABLE_SUFFIXES:
        for number, cells in read_csv_table(path, [], "data"):
            yield f"{path.name} line {number}", dict(cells)
    elif suffix in (".jsonl", ".ndjson"):
        for number, value in read_json_lines(path, "data"):
            place = f"{path.name} line {number}"
            yield place, _check_object(value, place)
    elif suffix == ".json":
        values = read_json(path, field="data")
        if not isinstance(values, list):
            raise InputError("data", str(path), "a JSON list of objects", "write the file in this layout")
        for number, value in enumerate(values, 1):
            place = f"{path.name} row {number}"
            yield place, _check_object(value, place)
    else:
        raise InputError("data", str(path), ".csv, .tsv, .jsonl, .json and .parquet files", "rename the file")


def _check_object(value: Any, place: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(place, value, "an object", "fix the row")
    return value


def _read_image_folder(root: Path) -> Rows:
    """Yield all images below a folder, or all videos; the prompt of `NAME.png` is read from `NAME.txt`.

    Raises:
        InputError: the folder holds both.
    """
    images, videos = list_images(root), list_videos(root)
    if images and videos:
        shown = f"{len(images)} images and {len(videos)} videos"
        raise InputError("data", shown, "a folder of one of them", f"separate them in {root}")
    for path in images or videos:
        prompt_file = path.with_suffix(".txt")
        prompt = read_text(prompt_file, field="prompt").strip() if prompt_file.is_file() else ""
        kind = "image" if images else "video"
        yield str(path), {kind: path.relative_to(root).as_posix(), "prompt": prompt}


# ------------------------------------------------------------------------------------ Hugging Face data sets


def _read_saved_dataset(root: Path, split: str | None) -> Rows:
    with _translate_errors(root):
        dataset = _import_datasets(root).load_from_disk(str(root))
    yield from _read_dataset(dataset, split, str(root))


def _read_named_dataset(name: str, split: str | None) -> Rows:
    library = _import_datasets(Path(name))
    with _translate_errors(Path(name)), _offline(library):
        dataset = library.load_dataset(name)
    yield from _read_dataset(dataset, split, name)


def _read_dataset(dataset: Any, split: str | None, name: str) -> Rows:
    import datasets

    if isinstance(dataset, datasets.DatasetDict):
        default = "train" if "train" in dataset else next(iter(dataset))
        dataset = dataset[check_split(split, tuple(dataset), default)]
    for column, feature in list(dataset.features.items()):
        if isinstance(feature, datasets.Image | datasets.Video):
            dataset = dataset.cast_column(column, type(feature)(decode=False))
    yield from ((f"{name} row {number}", row) for number, row in enumerate(dataset, 1))


def _import_datasets(data: Path) -> Any:
    try:
        import datasets
    except ImportError:
        mend = "pip install datasets (in judge[train])"
        raise InputError("data", str(data), "a folder or table", mend) from None
    return datasets


@contextmanager
def _translate_errors(data: Path) -> Iterator[None]:
    """Turn any error of the library into an `InputError`."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
        raise InputError("data", str(data), "a data set on this machine", reason) from None


@contextmanager
def _offline(library: Any) -> Iterator[None]:
    """Read data sets that are on this machine only, and download nothing."""
    import huggingface_hub.constants as hub

    before = library.config.HF_HUB_OFFLINE, hub.HF_HUB_OFFLINE
    library.config.HF_HUB_OFFLINE = hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        library.config.HF_HUB_OFFLINE, hub.HF_HUB_OFFLINE = before
