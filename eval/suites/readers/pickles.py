"""Read pickled predictions with `judge.runtime.safe_pickle`, which runs no code from the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eval.suites.readers.text_files import read_bytes
from judge.runtime import safe_pickle


def read_pickle(path: Path, *names: str, field: str = "pred") -> Any:
    """Return the value of a pickle file, or of one member of a zip archive.

    Args:
        path: the file or archive.
        names: names, or endings of names, of the archive's member; default: `.pkl` or `.pickle`.
        field: what the caller calls this input.

    Raises:
        InputError: as `read_bytes`, or the file holds more than plain containers and arrays of numbers; see
            `judge.runtime.safe_pickle.parse_pickle`.
    """
    data = read_bytes(path, *(names or (".pkl", ".pickle")), field=field)
    return safe_pickle.parse_pickle(data, str(path), field=field)
