"""What a run leaves in its folder, and reading it back: manifest.json and results.jsonl.

`results.jsonl` has one `Verdict` a line, in the order in which the suite reads its data; shard i of n holds
its batches i, i + n, i + 2n, ... So verdicts meet their items by position, and the ids prove it: nothing has
to be kept in memory, however long the run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from eval.suites import suite as suite_called
from eval.suites.base import Item, Row, Suite
from judge.errors import InputError
from judge.pipeline.validation import printable

MANIFEST = "manifest.json"
RESULTS = "results.jsonl"
FORMAT = 1

Manifest = dict[str, Any]
SAME = ("suite", "data", "split", "limit", "options", "depth", "seed", "max_defects", "max_pixels", "batch",
        "model", "adapter", "rubric", "loaded", "versions", "format")  # fmt: skip
"""What the shards of one run have in common; `data` is compared by its fingerprint."""


@dataclass(frozen=True)
class Recorded:
    """One run, read from the folders of its shards."""

    folders: tuple[Path, ...]
    """The folder of shard 1, 2, ...; a single folder for a run in one piece."""
    manifest: Manifest
    """Of the first shard."""
    suite: Suite
    data: Path
    """The suite's data, where the run found it or where the caller says it is now."""

    @property
    def name(self) -> str:
        """What people call the run: the name of its (first) folder."""
        return self.folders[0].resolve().name

    @property
    def rubric(self) -> str:
        return str(self.manifest["rubric"]["name"])

    def rows(self, *, media: bool = True) -> Iterator[Row | Item]:
        """The items in the data's order, each with its verdict; alone where it is not judged yet.

        Args:
            media: look for the pictures too; without, items may have none.

        Raises:
            InputError: the data is not there, or its ids are not those of the results.
        """
        with ExitStack() as stack:
            shards = [stack.enter_context(_verdicts(folder)) for folder in self.folders]
            batch = self.manifest["batch"]
            for number, item in enumerate(self.items(media=media)):
                shard, line = number // batch % len(shards), number // batch // len(shards) * batch
                verdict = next(shards[shard], None)
                if verdict is None:
                    yield item
                    continue
                check_same(item, verdict, self.folders[shard], line + number % batch + 1)
                yield Row(item, verdict)

    def judged(self, *, media: bool = False) -> Iterator[Row]:
        """The rows that have a verdict."""
        return (row for row in self.rows(media=media) if isinstance(row, Row))

    def items(self, *, media: bool = True) -> Iterator[Item]:
        return items_of(
            self.suite,
            self.data,
            self.manifest["split"],
            self.manifest["limit"],
            self.manifest["options"],
            media=media,
        )


def items_of(
    suite: Suite,
    data: Path,
    split: str | None = None,
    limit: int | None = None,
    options: Mapping[str, str] | None = None,
    *,
    media: bool = True,
) -> Iterator[Item]:
    """The first `limit` items of a suite, lazily. Raises `InputError` as `Suite.read` does."""
    return islice(suite.read(data, split, media=media, **(options or {})), limit)


def recorded(folders: Sequence[Path], data: Path | None = None) -> list[Recorded]:
    """The runs in these folders; shards of one run are put together, whatever the order they are given in.

    Args:
        folders: RUN folders.
        data: where the data is now; default: where the run found it.

    Raises:
        InputError: a folder is no run, a shard is missing or given twice.
    """
    groups: dict[str, list[tuple[Path, Manifest]]] = {}
    for folder in folders:
        manifest = read_manifest(folder)
        index, count = manifest["shard"]
        key = str(folder.resolve()) if count == 1 else json.dumps([count, *(_same(manifest))], sort_keys=True)
        if count == 1 and key in groups:
            raise InputError("run", str(folder), "each RUN once", "name it once")
        groups.setdefault(key, []).append((folder, manifest))
    return [_merged(group, data) for group in groups.values()]


def _same(manifest: Manifest) -> list[Any]:
    return [manifest["data"]["fingerprint"] if key == "data" else manifest[key] for key in SAME]


def _merged(group: list[tuple[Path, Manifest]], data: Path | None) -> Recorded:
    count = group[0][1]["shard"][1]
    shards = {manifest["shard"][0]: folder for folder, manifest in group}
    if len(shards) < len(group):
        raise InputError("run", str(group[-1][0]), "each shard once", "one of its shards is given twice")
    if absent := [str(i) for i in range(1, count + 1) if i not in shards]:
        mend = f"name the folders of its other shards too: {', '.join(absent)} of {count}"
        raise InputError("run", str(group[0][0]), f"all {count} shards of a run", mend)
    folder, manifest = group[0]
    place = data or Path(manifest["data"]["path"])
    return Recorded(
        tuple(shards[i] for i in range(1, count + 1)), manifest, suite_called(manifest["suite"]), place
    )


def read_manifest(folder: Path) -> Manifest:
    """Raises `InputError`: the folder is no run, or one of another version."""
    file = folder / MANIFEST
    try:
        manifest: Manifest = json.loads(file.read_text(encoding="utf-8"))
        known = manifest["format"] == FORMAT and all(key in manifest for key in (*SAME, "shard"))
    except FileNotFoundError:
        mend = "judge eval run makes one" if folder.is_dir() else "no such folder: check the path"
        raise InputError("run", str(folder), f"a folder with {MANIFEST}", mend) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "run",
            str(file),
            "the manifest of a run",
            f"it is damaged ({error}): judge again into another folder",
        ) from None
    if not known:
        raise InputError(
            "run", str(file), f"a manifest of format {FORMAT}", "judge again into another folder"
        )
    return manifest


def check_same(item: Item, verdict: Mapping[str, Any], folder: Path, line: int) -> None:
    """Raises `InputError`: the verdict is about something else than the item."""
    if verdict.get("id") != printable(item.id):
        raise InputError(
            f"{folder / RESULTS} line {line}",
            verdict.get("id"),
            f"{printable(item.id)!r}, as in the data",
            "the data or the results were changed: judge again into another folder",
        )


class _verdicts:
    """The verdicts of a results file as dictionaries; a torn last line is left out.

    A context manager rather than a generator, so that the file is closed when its reader stops early.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / RESULTS

    def __enter__(self) -> Iterator[dict[str, Any]]:
        self._file = self.path.open("rb") if self.path.exists() else None
        return lines(self._file, self.path) if self._file else iter(())

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()


def lines(
    file: Any, path: Path, passed: Callable[[int], None] = lambda end: None
) -> Iterator[dict[str, Any]]:
    """The whole lines of a results file, parsed.

    Args:
        file: opened for reading bytes, at its start.
        path: what errors call it.
        passed: told the offset behind each line as it is yielded.

    Raises:
        InputError: a line before the last is no verdict.
    """
    end = 0
    for number, line in enumerate(file, 1):
        if not line.endswith(b"\n"):
            return
        try:
            verdict = json.loads(line)
            if not isinstance(verdict, dict) or "status" not in verdict:
                raise ValueError("no verdict")
        except ValueError as error:
            if not file.peek(1):
                return  # the last line of a machine that lost power may be whole and yet nonsense
            mend = f"it was damaged ({error}): judge again into another folder"
            raise InputError(f"{path} line {number}", line[:40], "a verdict as JSON", mend) from None
        end += len(line)
        passed(end)
        yield verdict
