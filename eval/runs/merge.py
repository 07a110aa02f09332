"""Shards joined to what one run would have left, after checking that nothing is missing or doubled."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from eval.runs.records import MANIFEST, RESULTS, recorded
from eval.suites.base import Row
from judge.batch import results
from judge.errors import InputError


def merge(folders: Sequence[Path], out: Path, data: Path | None = None) -> int:
    """Join the shards of `judge eval run` into a RUN, or the folders of `judge score` into a file.

    Args:
        folders: all shards of one run, in any order.
        out: the RUN folder, or the JSONL file of verdicts in the order of the rows, to write.
        data: of a benchmark, where it is now.

    Returns:
        The number of rows.

    Raises:
        InputError: shards are missing, doubled or of different runs; a row is missing or doubled.
    """
    if out.exists():
        raise InputError("out", str(out), "a place where nothing is yet", "name another")
    kinds = {_kind(folder) for folder in folders}
    if len(kinds) > 1:
        mend = "name those of one kind"
        raise InputError("run", str(folders[-1]), "folders of one command", mend)
    draft = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if kinds == {results.KIND}:
            count = _write(draft, _scored(folders))
            os.replace(draft, out)
            return count
        manifest, lines = _run(folders, data)
        draft.mkdir()
        count = _write(draft / RESULTS, lines)
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", "utf-8")
        os.replace(draft, out)
        return count
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("out", str(out), "a place that can be written", reason) from None
    finally:
        _drop(draft)


def _kind(folder: Path) -> str:
    try:
        return str(json.loads((folder / MANIFEST).read_text("utf-8")).get("kind", "run"))
    except (OSError, ValueError, AttributeError):
        return "run"  # `recorded` says what is wrong with it


def _write(file: Path, lines: Iterator[str]) -> int:
    count = 0
    with file.open("w", encoding="utf-8") as written:
        for line in lines:
            written.write(line + "\n")
            count += 1
        written.flush()
        os.fsync(written.fileno())
    return count


def _drop(draft: Path) -> None:
    if draft.is_dir():
        for file in draft.iterdir():
            file.unlink()
        draft.rmdir()
    else:
        draft.unlink(missing_ok=True)


def _run(folders: Sequence[Path], data: Path | None) -> tuple[dict[str, Any], Iterator[str]]:
    runs = recorded(folders, data)
    if len(runs) > 1:
        raise InputError("run", str(folders[1]), "all shards of one run", "name the others apart")
    (run,) = runs

    def lines() -> Iterator[str]:
        count = 0
        for row in run.rows(media=False):
            if not isinstance(row, Row):
                mend = "judge eval run goes on with its shard"
                raise InputError("run", row.id, "a verdict for every row", mend)
            count += 1
            yield json.dumps(row.verdict, ensure_ascii=False, separators=(",", ":"))
        held = sum(_lines(folder / RESULTS) for folder in run.folders)
        if held != count:
            mend = f"they hold {held} verdicts: judge again into other folders"
            raise InputError("run", str(run.folders[0]), f"{count} rows, each once", mend)

    return {**run.manifest, "shard": [1, 1]}, lines()


def _lines(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(line.endswith(b"\n") for line in lines)


# -- Folders of judge score ----------------------------------------------------------------------------


def _scored(folders: Sequence[Path]) -> Iterator[str]:
    shards = [results.Recorded(str(folder)) for folder in folders]
    first = shards[0].manifest
    n, batch = first["shard"][1], first["batch"]
    by_number: dict[int, results.Recorded] = {}
    for folder, shard in zip(folders, shards, strict=True):
        differ = [key for key in {**first, **shard.manifest}
                  if key != "shard" and first.get(key) != shard.manifest.get(key)]  # fmt: skip
        if differ or shard.manifest["shard"][1] != n:
            what = differ[0] if differ else "the number of shards"
            mend = f"{what} differs: name the others apart"
            raise InputError("run", str(folder), "shards of one run", mend)
        if by_number.setdefault(shard.manifest["shard"][0], shard) is not shard:
            raise InputError("run", str(folder), "each shard once", "one of its shards is given twice")
    if absent := [str(i) for i in range(1, n + 1) if i not in by_number]:
        mend = f"name the folders of its other shards too: {', '.join(absent)} of {n}"
        raise InputError("run", str(folders[0]), f"all {n} shards of a run", mend)
    _check_lengths([sum(by_number[i].total) for i in range(1, n + 1)], batch, folders)
    streams = [by_number[i].in_order() for i in range(1, n + 1)]
    return _in_turn(streams, batch)


def _check_lengths(lengths: list[int], batch: int, folders: Sequence[Path]) -> None:
    """Shards of the same rows have so many each; others were made of rows that had changed meanwhile."""
    rounds, rest = divmod(sum(lengths), batch * len(lengths))
    for number, length in enumerate(lengths):
        if length != rounds * batch + min(batch, max(0, rest - number * batch)):
            mend = f"shard {number + 1} has {length} rows: the rows were changed between the shards"
            raise InputError("run", str(folders[0]), "shards of the same rows", mend)


def _in_turn(streams: list[Iterator[str]], batch: int) -> Iterator[str]:
    while True:
        empty = True
        for stream in streams:
            for line in islice(stream, batch):
                empty = False
                yield line
        if empty:
            return
