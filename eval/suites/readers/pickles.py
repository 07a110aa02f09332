"""Pickled predictions, read by `judge.runtime.unpickle`, which runs nothing of what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from judge.runtime import unpickle


def load(path: Path, data: bytes | None = None, *, field: str = "pred") -> Any:
    """The value in a pickle file; `data` are its bytes where they have been read already.

    Raises:
        InputError: as `judge.runtime.unpickle.loads`, or no such file.
    """
    if data is None:
        from eval.suites.readers.files import content

        data = content(path, ".pkl", ".pickle", field=field)
    return unpickle.loads(data, str(path), field=field)
