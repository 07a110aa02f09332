"""Rows wherever they lie: local files and folders, or any address that fsspec knows.

A source is a list of pieces (files), and each piece is read as a stream, in one and the same order every
time. A row that is no sample, and the rest of a file that cannot be read on, are `BadRow`s and never silence.
"""

from __future__ import annotations

import csv
import json
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Protocol

from judge.errors import InputError
from judge.media.image import MAX_BYTES
from judge.pipeline.rows import FIELDS, JSON_LINES, BadRow, parsed, sample
from judge.pipeline.validation import printable
from judge.types import Sample

Row = Sample | BadRow
TARS = (".tar", ".tar.gz", ".tgz")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".avif")
FILES = (*JSON_LINES, ".csv", ".parquet", *TARS)
UNREADABLE = (OSError, ValueError, EOFError, csv.Error, tarfile.TarError, zlib.error)
"""What readers raise over damaged files."""


class Source(Protocol):
    """Rows in pieces; picklable, so that a worker on another machine can read a piece."""

    @property
    def pieces(self) -> tuple[str, ...]:
        """Their names."""
        ...

    def read(self, piece: int) -> Iterator[Row]:
        """The rows of a piece, in order; the same ones every time."""
        ...

    def fetch(self, row: Sample) -> Sample:
        """The row with its picture at hand: fetched, where it lies elsewhere. Raises `InputError`."""
        ...


@dataclass(frozen=True)
class Files:
    """Files of rows, or a folder of pictures, below one file system.

    Pictures of rows are named relative to their file, as in `judge.pipeline.rows`. In a tar, members that share the
    name up to its first dot are a row: a picture, `.json` with the row's other fields, `.txt` with the
    prompt. A picture of a folder has its prompt in a `.txt` beside it, and its relative path as id.
    """

    protocol: str
    """Of fsspec; "file" for this machine."""
    pieces: tuple[str, ...]
    """Paths within the file system."""
    sizes: tuple[int, ...]
    """Bytes of each; 0 for a folder."""

    @property
    def local(self) -> bool:
        return self.protocol == "file"

    @property
    def system(self) -> Any:
        import fsspec

        return fsspec.filesystem(self.protocol)

    def read(self, piece: int) -> Iterator[Row]:
        path, number = self.pieces[piece], 0
        try:
            for row in self._reader(path)(path):
                yield row
                number += 1
        except UNREADABLE as error:
            name = PurePosixPath(path).name
            reason = " ".join(str(error).split())[:150] or type(error).__name__
            yield BadRow(
                f"{name}#{number + 1}", f"rows: {name} cannot be read from row {number + 1} on: {reason}"
            )

    def fetch(self, row: Sample) -> Sample:
        if self.local:
            return row
        found = {}
        for field in ("image", "reference"):
            place = getattr(row, field)
            if not isinstance(place, PurePath):
                continue
            try:
                found[field] = self.system.cat_file(str(place))
            except UNREADABLE as error:
                reason = " ".join(str(error).split())[:150] or type(error).__name__
                raise InputError(field, str(place), "a picture that can be fetched", reason) from None
        return row.model_copy(update=found)

    def count(self) -> int | None:
        """Rows of all pieces, where that can be told without fetching them; bad ones may be off by one."""
        if not self.local:
            return None
        try:
            return sum(sum(1 for _ in self._reader(path, count=True)(path)) for path in self.pieces)
        except UNREADABLE:
            return None

    def _reader(self, path: str, count: bool = False) -> Callable[[str], Iterator[Any]]:
        name = path.lower()
        if name.endswith(JSON_LINES):
            return self._lines if count else self._json_lines
        if name.endswith(".csv"):
            return self._csv
        if name.endswith(".parquet"):
            return partial(self._parquet, count=count)
        if name.endswith(TARS):
            return self._keys if count else self._tar
        return self._folder

    def _place(self, path: str) -> PurePath:
        return Path(path) if self.local else PurePosixPath(path)

    def _text(self, path: str, newline: str) -> Any:
        return self.system.open(path, "r", encoding="utf-8-sig", errors="surrogateescape", newline=newline)

    def _lines(self, path: str) -> Iterator[bytes]:
        with self.system.open(path, "rb") as file:
            yield from (line for line in file if not line.isspace())

    def _json_lines(self, path: str) -> Iterator[Row]:
        with self._text(path, "\n") as file:
            for number, row in enumerate(parsed(file), 1):
                yield sample(row, number, self._place(path))

    def _csv(self, path: str) -> Iterator[Row]:
        with self._text(path, "") as file:
            for number, row in enumerate(csv.DictReader(file), 1):
                yield sample(row, number, self._place(path))

    def _parquet(self, path: str, count: bool = False) -> Iterator[Any]:
        from pyarrow.parquet import ParquetFile

        with self.system.open(path, "rb") as file:
            table = ParquetFile(file)
            if count:
                yield from range(table.metadata.num_rows)
                return
            names = [name for name in table.schema_arrow.names if name in FIELDS]
            number = 0
            for batch in table.iter_batches(batch_size=64, columns=names):
                for row in batch.to_pylist():
                    number += 1
                    yield _with_bytes(row, number, self._place(path))

    def _keys(self, path: str) -> Iterator[str]:
        key = ""
        with tarfile.open(path) as tar:
            for member in tar:
                if member.isfile() and _key(member.name) != key:
                    key = _key(member.name)
                    yield key

    def _tar(self, path: str) -> Iterator[Row]:
        """Rows of a WebDataset shard: neighbouring members of one key."""
        key, parts, number = "", dict[str, bytes](), 0
        with (
            self.system.open(path, "rb") as file,
            tarfile.open(fileobj=file, mode="r|*", tarinfo=_Member) as tar,
        ):
            for member in tar:
                if not member.isfile():
                    continue
                if parts and _key(member.name) != key:
                    number += 1
                    yield _of_parts(key, parts, number, self._place(path))
                    parts = {}
                key = _key(member.name)
                content = tar.extractfile(member)
                assert content is not None
                parts[member.name[len(key) :].lower()] = content.read(MAX_BYTES + 1)
        if parts:
            yield _of_parts(key, parts, number + 1, self._place(path))

    def _folder(self, path: str) -> Iterator[Row]:
        system, root = self.system, self._place(path)
        found = [str(file) for file in sorted(system.find(path))]
        texts = {file for file in found if file.lower().endswith(".txt")}
        for file in found:
            if not file.lower().endswith(PICTURES):
                continue
            place = self._place(file)
            prompt, beside = "", str(place.with_suffix(".txt"))
            if beside in texts:
                prompt = system.cat_file(beside).decode("utf-8", "replace").strip()
            yield Sample(id=printable(place.relative_to(root)), image=place, prompt=prompt)


class _Member(tarfile.TarInfo):
    """A member's head. tarfile takes an archive that was cut off between members for a whole one."""

    @classmethod
    def fromtarfile(cls, tarfile_: Any) -> Any:
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError):  # type: ignore[attr-defined]
            raise tarfile.ReadError("it is cut off: its end mark is missing") from None


def _key(name: str) -> str:
    """A member's name up to the first dot of its last part, as WebDataset has it."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.split(".", 1)[0]


def _of_parts(key: str, parts: dict[str, bytes], number: int, path: PurePath) -> Row:
    fields: Any = {}
    if ".json" in parts:
        try:
            fields = json.loads(parts[".json"])
        except (ValueError, RecursionError) as error:
            return BadRow(key, f"row: {key}.json is not JSON ({' '.join(str(error).split())[:100]})")
    if not isinstance(fields, dict):
        return BadRow(key, f"row: {key}.json is not an object")
    row = {name: value for name, value in fields.items() if name in FIELDS}
    row.setdefault("id", key)
    if ".txt" in parts:
        row["prompt"] = parts[".txt"].decode("utf-8", "replace").strip()
    row["image"] = next((data for name, data in parts.items() if name.endswith(PICTURES)), None)
    return _with_bytes(row, number, path)


def _with_bytes(row: dict[str, Any], number: int, path: PurePath) -> Row:
    """A row whose picture may be given as bytes, or as the `datasets` library keeps it: {"bytes", "path"}."""
    image = row.get("image")
    if isinstance(image, dict):
        image = image.get("bytes") or image.get("path")
    if not isinstance(image, bytes):
        return sample({**row, "image": image}, number, path)
    made = sample({**row, "image": "within the row"}, number, path)
    return made if isinstance(made, BadRow) else made.model_copy(update={"image": image})


def files(place: str) -> Files:
    """The rows at a path, an address, or a pattern with `*`.

    A folder stands for all files of rows in it; if it has none, for the pictures below it.

    Raises:
        InputError: there is nothing, or nothing of a known kind; or it cannot be reached.
    """
    import fsspec

    kinds = f"{', '.join(FILES)}, or a folder of them or of pictures"
    try:
        system, path = fsspec.core.url_to_fs(place)
        if isinstance(system.protocol, str):
            protocol = system.protocol
        else:
            protocol = "file" if "file" in system.protocol else str(system.protocol[0])
        if any(mark in path for mark in "*?["):
            found = sorted(str(one) for one in system.glob(path))
        elif system.isdir(path):
            listed = sorted(str(one) for one in system.ls(path, detail=False))
            found = [one for one in listed if one.lower().endswith(FILES)] or [path]
        else:
            found = [path] if system.exists(path) else []
        wrong = [one for one in found if not one.lower().endswith(FILES) and not system.isdir(one)]
        sizes = tuple(0 if system.isdir(one) else int(system.size(one) or 0) for one in found)
    except ImportError as error:
        raise InputError("rows", place, kinds, f"{error}") from None
    except Exception as error:  # every file system has errors of its own
        reason = " ".join(str(error).split())[:150] or type(error).__name__
        raise InputError("rows", place, kinds, f"it cannot be reached: {reason}") from None
    if not found:
        raise InputError("rows", place, kinds, "there is nothing: check the path")
    if wrong:
        raise InputError("rows", wrong[0], kinds, "name the file so")
    return Files(protocol, tuple(found), sizes)
