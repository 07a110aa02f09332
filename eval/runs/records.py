"""Recorded runs: read `manifest.json` and `results.jsonl` of RUN folders.

`results.jsonl` has one `Verdict` a line, in the order in which the suite reads its data. Shard i of n holds
the batches i, i + n, i + 2n, ... A verdict therefore belongs to the sample at the same position, and the ids
are compared to check it. Nothing is kept in memory, so a run may have any number of rows.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from eval import suites
from eval.runs.run_folder import MANIFEST, RESULTS
from eval.suites.shared.samples import JudgedSample, SuiteSample
from eval.suites.shared.suite import Suite
from judge.errors import InputError
from judge.pipeline.validation import replace_surrogates

FORMAT = 1
"""Version of the manifest's format."""

Manifest = dict[str, Any]
SHARED_KEYS = ("suite", "data", "split", "limit", "options", "depth", "seed", "max_defects", "max_pixels",
               "batch", "model", "adapter", "rubric", "loaded", "versions", "format")  # fmt: skip
"""Keys whose values all shards of one run share; `data` is compared by its fingerprint."""


@dataclass(frozen=True)
class RecordedRun:
    """One run, read from the folders of its shards."""

    folders: tuple[Path, ...]
    """The folders of shard 1, 2, ...; a single folder for a run without shards."""
    manifest: Manifest
    """The manifest of the first shard."""
    suite: Suite
    data: Path
    """The suite's data: where the run read it, or where the caller says it is now."""

    @property
    def name(self) -> str:
        """The name of the run's (first) folder."""
        return self.folders[0].resolve().name

    @property
    def rubric(self) -> str:
        """The name of the rubric."""
        return str(self.manifest["rubric"]["name"])

    def rows(self, *, media: bool = True) -> Iterator[JudgedSample | SuiteSample]:
        """Yield a `JudgedSample` for each judged sample and a `SuiteSample` for each that is not judged yet.

        Samples come in the order of the data.

        Args:
            media: also find the image files; if False, samples may have no image.

        Raises:
            InputError: the data is missing, or its ids are not those of the results.
        """
        with ExitStack() as stack:
            shards = [stack.enter_context(_VerdictFile(folder)) for folder in self.folders]
            batch = self.manifest["batch"]
            for number, sample in enumerate(self.samples(media=media)):
                shard, line = number // batch % len(shards), number // batch // len(shards) * batch
                verdict = next(shards[shard], None)
                if verdict is None:
                    yield sample
                    continue
                check_same_id(sample, verdict, self.folders[shard], line + number % batch + 1)
                yield JudgedSample(sample, verdict)

    def judged_rows(self, *, media: bool = False) -> Iterator[JudgedSample]:
        """Yield the rows that have a verdict."""
        return (row for row in self.rows(media=media) if isinstance(row, JudgedSample))

    def samples(self, *, media: bool = True) -> Iterator[SuiteSample]:
        """Yield the samples of the data, without verdicts."""
        return read_samples(
            self.suite,
            self.data,
            self.manifest["split"],
            self.manifest["limit"],
            self.manifest["options"],
            media=media,
        )


def read_samples(
    suite: Suite,
    data: Path,
    split: str | None = None,
    limit: int | None = None,
    options: Mapping[str, str] | None = None,
    *,
    media: bool = True,
) -> Iterator[SuiteSample]:
    """Yield the first `limit` samples of a suite, lazily.

    Raises:
        InputError: as `Suite.read`.
    """
    return islice(suite.read(data, split, media=media, **(options or {})), limit)


def load_runs(folders: Sequence[Path], data: Path | None = None) -> list[RecordedRun]:
    """Load the runs in these folders; the shards of one run become one `RecordedRun`.

    Args:
        folders: RUN folders, in any order.
        data: where the data is now; default: where the run read it.

    Raises:
        InputError: a folder is no RUN folder, or a shard is missing or named twice.
    """
    groups: dict[str, list[tuple[Path, Manifest]]] = {}
    for folder in folders:
        manifest = read_manifest(folder)
        _, count = manifest["shard"]
        if count == 1:
            key = str(folder.resolve())
            if key in groups:
                raise InputError("run", str(folder), "each RUN once", "name it once")
        else:
            key = json.dumps([count, *_shared_values(manifest)], sort_keys=True)
        groups.setdefault(key, []).append((folder, manifest))
    return [_join_shards(group, data) for group in groups.values()]


def _shared_values(manifest: Manifest) -> list[Any]:
    return [manifest["data"]["fingerprint"] if key == "data" else manifest[key] for key in SHARED_KEYS]


def _join_shards(group: list[tuple[Path, Manifest]], data: Path | None) -> RecordedRun:
    count = group[0][1]["shard"][1]
    shards = {manifest["shard"][0]: folder for folder, manifest in group}
    if len(shards) < len(group):
        raise InputError("run", str(group[-1][0]), "each shard once", "one of its shards is given twice")
    if missing := [str(i) for i in range(1, count + 1) if i not in shards]:
        mend = f"also name the folders of the missing shards: {', '.join(missing)} of {count}"
        raise InputError("run", str(group[0][0]), f"all {count} shards of a run", mend)
    manifest = group[0][1]
    return RecordedRun(
        folders=tuple(shards[i] for i in range(1, count + 1)),
        manifest=manifest,
        suite=suites.load_suite(manifest["suite"]),
        data=data or Path(manifest["data"]["path"]),
    )


def read_manifest(folder: Path) -> Manifest:
    """Read and check the manifest of a RUN folder.

    Raises:
        InputError: the folder is no RUN folder, or its manifest is damaged or of another format.
    """
    file = folder / MANIFEST
    try:
        manifest: Manifest = json.loads(file.read_text(encoding="utf-8"))
        is_supported = manifest["format"] == FORMAT and all(
            key in manifest for key in (*SHARED_KEYS, "shard")
        )
    except FileNotFoundError:
        mend = "create it with judge eval run" if folder.is_dir() else "no such folder: check the path"
        raise InputError("run", str(folder), f"a folder with {MANIFEST}", mend) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        mend = f"it is damaged ({error}): judge again into another folder"
        raise InputError("run", str(file), "the manifest of a run", mend) from None
    if not is_supported:
        mend = "judge again into another folder"
        raise InputError("run", str(file), f"a manifest of format {FORMAT}", mend)
    return manifest


def check_same_id(sample: SuiteSample, verdict: Mapping[str, Any], folder: Path, line: int) -> None:
    """Check that a verdict of the results has the id of its sample.

    Args:
        sample: the sample at this position of the data.
        verdict: the verdict at this position of the results.
        folder: RUN folder, for the error.
        line: line number in the results, from 1, for the error.

    Raises:
        InputError: the ids differ.
    """
    if verdict.get("id") != replace_surrogates(sample.id):
        raise InputError(
            f"{folder / RESULTS} line {line}",
            verdict.get("id"),
            f"{replace_surrogates(sample.id)!r}, as in the data",
            "the data or the results were changed: judge again into another folder",
        )


class _VerdictFile:
    """The verdicts of a results file as dictionaries, without an incomplete last line.

    This is a context manager and not a generator, so that the file is closed when its reader stops early.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / RESULTS

    def __enter__(self) -> Iterator[dict[str, Any]]:
        self._file = self.path.open("rb") if self.path.exists() else None
        return read_verdicts(self._file, self.path) if self._file else iter(())

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()


def read_verdicts(
    file: Any, path: Path, on_line: Callable[[int], None] = lambda end: None
) -> Iterator[dict[str, Any]]:
    """Yield the parsed lines of a results file; stop before an incomplete last line.

    Args:
        file: the results, opened for reading bytes, at their start.
        path: the path of the file, for errors.
        on_line: called with the offset of the end of each line before the line is yielded.

    Raises:
        InputError: a line that is not the last one is no verdict.
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
                return  # after a power failure the last line may be complete and still hold garbage
            mend = f"it is damaged ({error}): judge again into another folder"
            raise InputError(f"{path} line {number}", line[:40], "a verdict as JSON", mend) from None
        end += len(line)
        on_line(end)
        yield verdict
