"""Merge the shards of one run, after checking that no row is missing or occurs twice."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from eval.runs.records import load_runs
from eval.runs.run_folder import MANIFEST, RESULTS
from eval.suites.shared.samples import JudgedSample
from judge.batch.output_folder import KIND
from judge.batch.reader import ResultsReader
from judge.errors import InputError


def merge_shards(folders: Sequence[Path], out: Path, data: Path | None = None) -> int:
    """Merge the shards of `judge eval run` into a RUN folder, or those of `judge score` into one file.

    Args:
        folders: all shards of one run, in any order.
        out: what to write: for `judge eval run` a RUN folder, for `judge score` a JSONL file with the
            verdicts in the order of the rows.
        data: for `judge eval run`: where the benchmark is now; default: where the run read it.

    Returns:
        The number of rows.

    Raises:
        InputError: shards are missing, named twice or of different runs, or a row is missing or occurs twice.
    """
    if out.exists():
        raise InputError("out", str(out), "a path that does not exist yet", "name another one")
    kinds = {_run_kind(folder) for folder in folders}
    if len(kinds) > 1:
        raise InputError("run", str(folders[-1]), "folders of one command", "name folders of one kind")
    temporary = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if kinds == {KIND}:
            count = _write_lines(temporary, _read_score_shards(folders))
        else:
            manifest, lines = _read_run_shards(folders, data)
            temporary.mkdir()
            count = _write_lines(temporary / RESULTS, lines)
            text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
            (temporary / MANIFEST).write_text(text, "utf-8")
        os.replace(temporary, out)
        return count
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("out", str(out), "a path that can be written", reason) from None
    finally:
        _remove(temporary)


def _run_kind(folder: Path) -> str:
    """Return `score` for a folder of `judge score`, `run` for any other folder."""
    try:
        return str(json.loads((folder / MANIFEST).read_text("utf-8")).get("kind", "run"))
    except (OSError, ValueError, AttributeError):
        return "run"  # `load_runs` reports what is wrong with the folder


def _write_lines(file: Path, lines: Iterator[str]) -> int:
    """Write lines to a file, sync it to the disk and return their number."""
    count = 0
    with file.open("w", encoding="utf-8") as stream:
        for line in lines:
            stream.write(line + "\n")
            count += 1
        stream.flush()
        os.fsync(stream.fileno())
    return count


def _remove(temporary: Path) -> None:
    """Remove the temporary file or folder, if it is still there."""
    if temporary.is_dir():
        for file in temporary.iterdir():
            file.unlink()
        temporary.rmdir()
    else:
        temporary.unlink(missing_ok=True)


# -- Folders of judge eval run -------------------------------------------------------------------------


def _read_run_shards(folders: Sequence[Path], data: Path | None) -> tuple[dict[str, Any], Iterator[str]]:
    """Return the manifest and the lines of the merged run. The lines are checked while they are read."""
    runs = load_runs(folders, data)
    if len(runs) > 1:
        raise InputError("run", str(folders[1]), "all shards of one run", "merge the other runs separately")
    (run,) = runs

    def read_lines() -> Iterator[str]:
        count = 0
        for row in run.rows(media=False):
            if not isinstance(row, JudgedSample):
                mend = "resume its shard with judge eval run"
                raise InputError("run", row.id, "a verdict for every row", mend)
            count += 1
            yield json.dumps(row.verdict, ensure_ascii=False, separators=(",", ":"))
        recorded = sum(_count_lines(folder / RESULTS) for folder in run.folders)
        if recorded != count:
            mend = f"they hold {recorded} verdicts: judge again into other folders"
            raise InputError("run", str(run.folders[0]), f"{count} rows, each once", mend)

    return {**run.manifest, "shard": [1, 1]}, read_lines()


def _count_lines(file: Path) -> int:
    with file.open("rb") as lines:
        return sum(line.endswith(b"\n") for line in lines)


# -- Folders of judge score ----------------------------------------------------------------------------


def _read_score_shards(folders: Sequence[Path]) -> Iterator[str]:
    """Check the shards of `judge score` and return their lines in the order of the rows."""
    shards = [ResultsReader(str(folder)) for folder in folders]
    first = shards[0].manifest
    n, batch = first["shard"][1], first["batch"]
    by_number: dict[int, ResultsReader] = {}
    for folder, shard in zip(folders, shards, strict=True):
        differences = [key for key in {**first, **shard.manifest}
                       if key != "shard" and first.get(key) != shard.manifest.get(key)]  # fmt: skip
        if differences or shard.manifest["shard"][1] != n:
            difference = differences[0] if differences else "the number of shards"
            mend = f"{difference} differs: merge the other runs separately"
            raise InputError("run", str(folder), "shards of one run", mend)
        if by_number.setdefault(shard.manifest["shard"][0], shard) is not shard:
            raise InputError("run", str(folder), "each shard once", "one of its shards is given twice")
    if missing := [str(i) for i in range(1, n + 1) if i not in by_number]:
        mend = f"also name the folders of the missing shards: {', '.join(missing)} of {n}"
        raise InputError("run", str(folders[0]), f"all {n} shards of a run", mend)
    _check_shard_sizes([sum(by_number[i].piece_lengths) for i in range(1, n + 1)], batch, folders)
    streams = [by_number[i].lines() for i in range(1, n + 1)]
    return _interleave(streams, batch)


def _check_shard_sizes(sizes: list[int], batch: int, folders: Sequence[Path]) -> None:
    """Check that the shards have the sizes that shards of the same rows have.

    Raises:
        InputError: a size differs, so the rows were changed between two shards.
    """
    rounds, rest = divmod(sum(sizes), batch * len(sizes))
    for number, size in enumerate(sizes):
        if size != rounds * batch + min(batch, max(0, rest - number * batch)):
            mend = f"shard {number + 1} has {size} rows: the rows were changed between the shards"
            raise InputError("run", str(folders[0]), "shards of the same rows", mend)


def _interleave(streams: list[Iterator[str]], batch: int) -> Iterator[str]:
    """Yield `batch` lines of each stream in turn, until all are exhausted."""
    while True:
        empty = True
        for stream in streams:
            for line in islice(stream, batch):
                empty = False
                yield line
        if empty:
            return
