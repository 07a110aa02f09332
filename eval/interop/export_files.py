"""What the exports share: their result, files that are written in one step, and the names of images."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.runs.atomic_file import open_atomic
from eval.suites.shared.samples import SuiteSample
from judge.errors import InputError
from judge.media.sources import is_data_url


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote."""

    files: tuple[Path, ...]
    images: int
    """Number of images."""
    regions: int
    """Number of reported regions."""
    unjudged: int = 0
    """Rows that are left out, as their image could not be read and has no size."""


@contextmanager
def open_output(path: Path) -> Iterator[Any]:
    """Open a text file that gets its name when all of it is written; create its folder.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open_atomic(path) as file:
            yield file
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("out", str(path), "a file that can be written", reason) from None


@contextmanager
def json_list(file: Any) -> Iterator[Callable[[Any], None]]:
    """Write a JSON list to an open file.

    Yields:
        A function that writes one value of the list.
    """
    start = "[\n"

    def add(value: Any) -> None:
        nonlocal start
        file.write(start + json.dumps(value, ensure_ascii=False))
        start = ",\n"

    yield add
    file.write("[]\n" if start == "[\n" else "\n]\n")


def image_name(sample: SuiteSample, root: Path) -> str:
    """Return the path of a sample's image below the data's folder, or the sample's id if it has no file."""
    path = image_file(sample)
    if path is None:
        return sample.id
    folder = root if root.is_dir() else root.parent
    return (path.relative_to(folder) if path.is_relative_to(folder) else path).as_posix()


def image_file(sample: SuiteSample) -> Path | None:
    """Return the file of a sample's image or video; None if it is held in memory."""
    source = sample.image if sample.video is None else sample.video
    return Path(source) if isinstance(source, str | os.PathLike) and not is_data_url(source) else None


def to_xywh(box: Any) -> list[float]:
    """Convert a box from (x1, y1, x2, y2) to [x, y, width, height]."""
    x1, y1, x2, y2 = box
    return [x1, y1, x2 - x1, y2 - y1]
