"""The RUN folder on disk: its file names, its creation, its lock and its write errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from judge.errors import InputError

MANIFEST = "manifest.json"
RESULTS = "results.jsonl"
LOCK = "lock"
PARTS = "parts"
"""Subfolder with the verdicts of Ray workers. It is removed when all rows are judged."""


def create_run_folder(out: Path) -> None:
    """Create the RUN folder if it does not exist.

    Raises:
        InputError: `out` is a file, holds files of something else, or cannot be created.
    """
    if out.exists() and not out.is_dir():
        raise InputError("out", str(out), "a folder", "name a folder, or one that does not exist yet")
    if out.is_dir() and not (out / MANIFEST).exists() and not _is_usable(out):
        mend = f"it holds other files and no {MANIFEST}: name another folder"
        raise InputError("out", str(out), "a RUN folder, an empty one, or one that does not exist", mend)
    with write_errors(out):
        out.mkdir(parents=True, exist_ok=True)


def _is_usable(out: Path) -> bool:
    """Return whether a folder without a manifest is empty or holds verdicts of Ray workers."""
    names = {file.name for file in out.iterdir()} - {LOCK}
    return not names or PARTS in names


@contextmanager
def lock_run_folder(out: Path) -> Iterator[None]:
    """Hold the lock of a RUN folder, so that no other process writes it.

    The system releases the lock when the process ends, also when it is killed with signal 9.

    The lock is a record lock (`fcntl.lockf`) and not `flock`. Child processes inherit an `flock`: a process
    forked by the engine of a model would keep holding it after its parent was killed.

    Raises:
        InputError: another process holds the lock, or the folder cannot be written.
    """
    import fcntl

    with write_errors(out):
        file = (out / LOCK).open("a+", encoding="ascii")
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read(20).strip()
            who = f"process {holder} is writing it" if holder.isdigit() else "another process is writing it"
            raise InputError(
                "out", str(out), "a RUN that no other process writes", f"{who}: wait, or name another folder"
            ) from None
        with write_errors(out):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        yield


@contextmanager
def write_errors(out: Path) -> Iterator[None]:
    """Turn an `OSError` raised while writing into the folder into an `InputError` that names it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("out", str(out), "a folder that can be written", reason) from None
