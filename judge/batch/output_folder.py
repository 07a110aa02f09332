"""The folder of a batch run: its file format, and reading and writing its files.

    manifest.json      what the verdicts depend on: rows, model, rubric, depth, ...
    part-000001.jsonl  verdicts, one `Verdict` per line; or .parquet: id, status, score, reason and the
    verdict part-000001.json   index of that part: its chunks as [piece, first row, rows, digest of ids,
    bytes of lines] complete.json      written at the end: the number of rows of each piece

The index of a part is written first. Then the part is put in place by one rename and never written again. A
process that dies therefore loses only the verdicts that it had not yet written, a minute's work, and a run
that resumes judges exactly those. Rows are in the order in which workers finished them;
`judge.batch.reader` returns them in the order of the source.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any, Literal

from judge.batch.chunks import RowRange
from judge.errors import InputError

Format = Literal["jsonl", "parquet"]
FORMATS: tuple[Format, ...] = ("jsonl", "parquet")
MANIFEST = "manifest.json"
COMPLETE = "complete.json"
KIND = "score"
"""Value of `kind` in the manifest of `judge score`."""


class OutputFolder:
    """A folder on any file system of fsspec, in which files are written as a whole.

    Args:
        path: a path or an fsspec URL; the folder is created if it does not exist.

    Raises:
        InputError: the path is a file, or cannot be reached or created.
    """

    def __init__(self, path: str) -> None:
        import fsspec

        self.path = path
        try:
            self._system, self._system_path = fsspec.core.url_to_fs(path)
            if self._system.isfile(self._system_path):
                raise InputError("out", path, "a folder", "it is a file: name another path")
            self._system.makedirs(self._system_path, exist_ok=True)
        except InputError:
            raise
        except Exception as error:  # every file system has errors of its own
            raise self._write_error(error) from None
        self._is_local = "file" in self._system.protocol

    def list_names(self) -> list[str]:
        """Return the names of the files, sorted, without hidden ones."""
        paths = self._system.ls(self._system_path, detail=False, refresh=True)
        names = (str(path).rsplit("/", 1)[-1] for path in paths)
        return sorted(name for name in names if not name.startswith("."))

    def write(self, name: str, data: bytes, must_be_new: bool = False) -> None:
        """Write a whole file. On a local file system, it appears at once and complete.

        Args:
            name: of the file.
            data: its content.
            must_be_new: refuse to replace a file.

        Raises:
            InputError: the file cannot be written, or `must_be_new` and it exists.
        """
        path = f"{self._system_path}/{name}"
        try:
            if not self._is_local:
                if must_be_new and self._system.exists(path):
                    raise FileExistsError
                self._system.pipe_file(path, data)
                return
            temporary = f"{self._system_path}/.{name}.{os.getpid()}"
            try:
                with open(temporary, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.link(temporary, path) if must_be_new else os.replace(temporary, path)
            finally:
                if os.path.exists(temporary):
                    os.unlink(temporary)
        except FileExistsError:
            mend = f"another process writes it ({name} appeared): wait for it, or name another folder"
            raise InputError("out", self.path, "a folder that no other process writes", mend) from None
        except Exception as error:
            raise self._write_error(error) from None

    def read(self, name: str) -> bytes:
        """Return the content of a file."""
        data: bytes = self._system.cat_file(f"{self._system_path}/{name}")
        return data

    def read_range(self, name: str, start: int, size: int) -> bytes:
        """Return `size` bytes of a file from byte `start`."""
        data: bytes = self._system.cat_file(f"{self._system_path}/{name}", start=start, end=start + size)
        return data

    def read_json(self, name: str) -> Any:
        """Return the content of a JSON file.

        Raises:
            InputError: the file is damaged.
        """
        try:
            return json.loads(self.read(name))
        except ValueError as error:
            mend = f"it is damaged ({error}): judge into another folder"
            raise InputError("out", f"{self.path}/{name}", "a file of judge score", mend) from None

    def _write_error(self, error: Exception) -> InputError:
        """Return a file system's error as an `InputError`."""
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:150]
        return InputError("out", self.path, "a folder that can be written", reason or type(error).__name__)


def is_part_index(name: str) -> bool:
    """Whether a file name is that of a part's index."""
    return name.startswith("part-") and name.endswith(".json") and name[5:11].isdigit()


def part_number(index_name: str) -> int:
    """Return the number of the part that an index belongs to."""
    return int(index_name[5:11])


def parse_row_range(entry: Sequence[Any]) -> RowRange:
    """Return the row range of an entry of a part's index."""
    return RowRange(entry[0], entry[1], entry[2], entry[3])
