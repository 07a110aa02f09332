"""A folder of verdicts, written in parts that are whole or not there.

    manifest.json      what was asked: rows, model, rubric, depth, ...
    part-000001.jsonl  verdicts, one `Verdict` a line; or .parquet: id, status, score, reason and the verdict
    part-000001.json   the units in that part: piece, first row, rows, digest of their ids, bytes of lines
    complete.json      written at the end: how many rows each piece has

A part is put in place by one rename, after its list of units; it is never written again. So a process that
dies loses what it had not yet put into a part, a minute's work, and whoever goes on judges exactly that. The
order of rows is that in which workers were done; `in_order` gives them back in the order of the source.
"""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Literal

from judge.batch.units import Coverage, Judged, Place
from judge.errors import InputError

Format = Literal["jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("jsonl", "parquet")
MANIFEST, COMPLETE = "manifest.json", "complete.json"
KIND = "score"
ROWS = 10_000
"""Rows of a part at most, and ..."""
BYTES = 64 << 20
SECONDS = 60.0
"""... seconds that a verdict waits for the rest of its part."""


class Results:
    """The folder, local or at an address that fsspec knows.

    Args:
        out: where; made when it is not there.
        asked: what is asked. Going on needs the same, but that pieces may have been added at the end.
        layout: of the parts.

    Raises:
        InputError: it is no such folder, or of another run, or cannot be written.
    """

    def __init__(self, out: str, asked: dict[str, Any], layout: Format = "jsonl") -> None:
        self.folder, self.layout = Folder(out), layout
        self.coverage, self.done = Coverage(), dict[int, list[Place]]()
        self.rows = self.unscored = self.before = 0
        self._held: list[Judged] = []
        self._weight, self._since = 0, time.monotonic()
        self._number = 0
        self._begin({"format": 1, "kind": KIND, **asked})

    def _begin(self, asked: dict[str, Any]) -> None:
        names = self.folder.names()
        if MANIFEST in names:
            known = self.folder.json(MANIFEST)
            _check_same(known, asked, self.folder.out)
            if known == asked and COMPLETE in names:
                self.coverage.ends = dict(enumerate(self.folder.json(COMPLETE)["rows"]))
        elif names:
            mend = f"it holds other files and no {MANIFEST}: name another folder"
            raise InputError("out", self.folder.out, "an empty folder, or one that does not exist", mend)
        self.folder.put(MANIFEST, json.dumps(asked, indent=2).encode())
        for name in names:
            if not _is_index(name):
                continue
            self._number = max(self._number, int(name[5:11]))
            index = self.folder.json(name)
            if index["part"] not in names:
                continue
            for place in map(_place_of, index["units"]):
                self.coverage.add(place)
                self.done.setdefault(place.piece, []).append(place)
                self.before += place.count
            self.unscored += index["unscored"]
        self.rows = self.before

    @property
    def complete(self) -> bool:
        """Every row has its verdict, and that was so when the folder was last written."""
        return bool(self.coverage.ends) and not self.coverage.missing(len(self.coverage.ends))

    def add(self, judged: Judged) -> None:
        """Take a unit's verdicts; one that is in already is dropped."""
        if judged.end is not None:
            self.coverage.ends[judged.place.piece] = judged.end
            return
        if not self.coverage.add(judged.place):
            return
        self.done.setdefault(judged.place.piece, []).append(judged.place)
        self._held.append(judged)
        self._weight += sum(map(len, judged.lines))
        self.rows += judged.place.count
        self.unscored += judged.unscored
        held = sum(one.place.count for one in self._held)
        if held >= ROWS or self._weight >= BYTES or time.monotonic() - self._since >= SECONDS:
            self.flush()

    def flush(self) -> None:
        """Put what is held into a part."""
        if self._held:
            self._number += 1
            name = f"part-{self._number:06}"
            part = f"{name}.{self.layout}"
            chunks = [("\n".join(one.lines) + "\n").encode() for one in self._held]
            units = [
                [one.place.piece, one.place.first, one.place.count, one.place.digest, len(chunk)]
                for one, chunk in zip(self._held, chunks, strict=True)
            ]
            unscored = sum(one.unscored for one in self._held)
            data = b"".join(chunks)
            self.folder.put(
                f"{name}.json", json.dumps({"part": part, "unscored": unscored, "units": units}).encode()
            )
            self.folder.put(part, data if self.layout == "jsonl" else _parquet(data), new=True)
        self._held, self._weight, self._since = [], 0, time.monotonic()

    def finish(self, pieces: int) -> list[str]:
        """Put all into parts. Returns what is missing, in words; nothing, when the folder is complete."""
        self.flush()
        missing = self.coverage.missing(pieces)
        if not missing:
            rows = [self.coverage.ends[piece] for piece in range(pieces)]
            self.folder.put(COMPLETE, json.dumps({"rows": rows, "unscored": self.unscored}).encode())
        return missing


def _check_same(known: dict[str, Any], asked: dict[str, Any], out: str) -> None:
    differ = [
        f"{name} was {known.get(name)} and is now {asked.get(name)}"
        for name in {**asked, **known}
        if name not in ("rows", "sizes") and known.get(name) != asked.get(name)
    ]
    then, now = known.get("rows", []), asked["rows"]
    if now[: len(then)] != then:
        differ.append("the rows are others")
    if differ:
        mend = f"{'; '.join(differ[:3])}: go on as it was begun, or name another folder"
        raise InputError("out", out, "the folder of the same run", mend)


def _is_index(name: str) -> bool:
    return name.startswith("part-") and name.endswith(".json") and name[5:11].isdigit()


def _place_of(unit: Sequence[Any]) -> Place:
    return Place(unit[0], unit[1], unit[2], unit[3])


def _parquet(data: bytes) -> bytes:
    import pyarrow
    from pyarrow import parquet

    lines = data.decode().splitlines()
    verdicts = list(map(json.loads, lines))
    columns: dict[str, list[Any]] = {
        name: [verdict[name] for verdict in verdicts] for name in ("id", "status", "score", "reason")
    }
    score = pyarrow.array(columns.pop("score"), pyarrow.float64())
    table = pyarrow.table({**columns, "score": score, "verdict": lines})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()


# -- Reading them back ---------------------------------------------------------------------------------


class Recorded:
    """A complete folder, read. Raises `InputError`: it is none, or rows are missing or doubled."""

    def __init__(self, out: str) -> None:
        self.folder = Folder(out)
        names = set(self.folder.names())
        if MANIFEST not in names or COMPLETE not in names:
            what = "it is not complete: give its command again" if MANIFEST in names else f"no {MANIFEST}"
            raise InputError("run", out, "a folder that judge score completed", what)
        self.manifest, coverage = self.folder.json(MANIFEST), Coverage()
        self.total: list[int] = self.folder.json(COMPLETE)["rows"]
        coverage.ends = dict(enumerate(self.total))
        self._units: list[tuple[Place, str, int, int, int]] = []
        for name in filter(_is_index, sorted(names)):
            index = self.folder.json(name)
            if index["part"] not in names:
                continue
            row = byte = 0
            for unit in index["units"]:
                place = _place_of(unit)
                if not coverage.add(place):
                    mend = f"piece {place.piece + 1} from row {place.first + 1}: judge again"
                    raise InputError("run", f"{out}/{index['part']}", "each row once", mend)
                self._units.append((place, index["part"], row, byte, unit[4]))
                row, byte = row + place.count, byte + unit[4]
        if missing := coverage.missing(len(self.total)):
            mend = f"missing are {', '.join(missing[:3])}: give its command again"
            raise InputError("run", out, "a verdict for every row", mend)
        self._units.sort(key=lambda unit: (unit[0].piece, unit[0].first))
        self._texts = lru_cache(maxsize=4)(self._texts_of)

    def in_order(self) -> Iterator[str]:
        """The verdicts, as lines of JSON, in the order of the source."""
        for place, part, row, byte, size in self._units:
            if part.endswith(".parquet"):
                yield from self._texts(part)[row : row + place.count]
            else:
                yield from self.folder.span(part, byte, size).decode().splitlines()

    def _texts_of(self, part: str) -> list[str]:
        from pyarrow import parquet

        table = parquet.read_table(io.BytesIO(self.folder.whole(part)), columns=["verdict"])
        texts: list[str] = table["verdict"].to_pylist()
        return texts


# -- Files ---------------------------------------------------------------------------------------------


class Folder:
    """A folder on any file system, with whole files put into it. Raises `InputError` where that fails."""

    def __init__(self, out: str) -> None:
        import fsspec

        self.out = out
        try:
            self._system, self._path = fsspec.core.url_to_fs(out)
            if self._system.isfile(self._path):
                raise InputError("out", out, "a folder", "it is a file: name another")
            self._system.makedirs(self._path, exist_ok=True)
        except InputError:
            raise
        except Exception as error:  # every file system has errors of its own
            raise self._failed(error) from None
        self._local = "file" in self._system.protocol

    def names(self) -> list[str]:
        listed = self._system.ls(self._path, detail=False, refresh=True)
        names = (str(path).rsplit("/", 1)[-1] for path in listed)
        return sorted(name for name in names if not name.startswith("."))

    def put(self, name: str, data: bytes, new: bool = False) -> None:
        """Write a whole file; `new`: it must not be there yet."""
        path = f"{self._path}/{name}"
        try:
            if not self._local:
                if new and self._system.exists(path):
                    raise FileExistsError
                self._system.pipe_file(path, data)
                return
            draft = f"{self._path}/.{name}.{os.getpid()}"
            try:
                with open(draft, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(draft, path) if new else os.replace(draft, path)
            finally:
                if os.path.exists(draft):
                    os.unlink(draft)
        except FileExistsError:
            mend = f"another process writes it ({name} appeared): wait for it, or name another folder"
            raise InputError("out", self.out, "a folder that nobody else writes", mend) from None
        except Exception as error:
            raise self._failed(error) from None

    def whole(self, name: str) -> bytes:
        data: bytes = self._system.cat_file(f"{self._path}/{name}")
        return data

    def span(self, name: str, start: int, size: int) -> bytes:
        data: bytes = self._system.cat_file(f"{self._path}/{name}", start=start, end=start + size)
        return data

    def json(self, name: str) -> Any:
        try:
            return json.loads(self.whole(name))
        except ValueError as error:
            mend = f"it is damaged ({error}): judge into another folder"
            raise InputError("out", f"{self.out}/{name}", "a file of judge score", mend) from None

    def _failed(self, error: Exception) -> InputError:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:150]
        return InputError("out", self.out, "a folder that can be written", reason or type(error).__name__)
