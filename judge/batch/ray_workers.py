"""Workers on a Ray cluster, each with a judge of its own, fed by Ray Data. Needs the extra `ray`.

    pieces -> reading tasks, which stream units -> a pool of actors around a `Judge` -> the driver

Units are small, so that the cluster holds a few of them for each worker, however many rows there are. A
worker that dies is started again, here or on another machine, and what it had in hand is judged again; a
machine that goes takes its workers along, and those left do the rest.
"""

from __future__ import annotations

import logging
import pickle
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
import ray.data
from ray.util.annotations import RayDeprecationWarning

from judge.batch.sources import Source
from judge.batch.units import Judged, Place, Unit, WorkersLost, fault_of, judged, units
from judge.errors import InputError
from judge.judge import Judge
from judge.types import Depth

SPARE = 0.25
"""CPUs that workers leave to Ray Data's own tasks."""
RETRIES = 3
"""How often a unit is tried again whose worker died over it."""


@dataclass(frozen=True)
class Fleet:
    """Judges on the cluster that this process is a driver of.

    Args:
        make: makes a worker's judge; pickled, and called where the worker runs.
        depth, batch, pixels: as in `judge.batch.units.judged`.
        workers: how many; None: as many as there is room for.
        cpus, gpus: what each of them takes; fractions are allowed.
        patience: seconds without an answer after which, where a node was lost, a round ends with what it has.
    """

    make: Callable[[], Judge]
    depth: Depth = "verdict"
    batch: int = 16
    pixels: int | None = None
    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    patience: float = 120.0

    def __call__(self, source: Source, done: Mapping[int, list[Place]]) -> Iterator[Judged]:
        """The verdicts on what is not done, in the order in which workers get done.

        Raises:
            InputError: the cluster has no room for such workers.
            WorkersLost: units were lost again and again.
        """
        size = self._size()
        pool = ray.data.ActorPoolStrategy(
            min_size=1, max_size=size, initial_size=size, max_tasks_in_flight_per_actor=2
        )
        pieces = [
            {"piece": piece, "done": pickle.dumps(done.get(piece, []))} for piece in range(len(source.pieces))
        ]
        with _quiet_context():
            given = ray.data.from_items(pieces, override_num_blocks=len(pieces))
            # Reading asks for no CPU of its own: where a node goes, the workers that are restarted elsewhere
            # may take all that are left, and what was being read on it could never be read again. As many
            # read at once as judge: more would only be more processes.
            readers = ray.data.TaskPoolStrategy(size=size)
            read = given.map_batches(_reading(source, self.batch), batch_size=1, num_cpus=0, compute=readers)
            verdicts = read.map_batches(
                _Worker,
                fn_constructor_args=(self.make, source, self.depth, self.batch, self.pixels),
                batch_size=1,
                compute=pool,
                num_cpus=self.cpus,
                num_gpus=self.gpus or None,
                max_restarts=-1,
                max_task_retries=RETRIES,
            )
            try:
                table: Any  # typed as any of the formats that there are
                with _watched(verdicts, self.patience) as heard:
                    for table in verdicts.iter_batches(batch_size=None, batch_format="pyarrow"):
                        heard()
                        yield from map(pickle.loads, table["judged"].to_pylist())
            except ray.exceptions.RayError as error:
                raise WorkersLost(f"ray: {' '.join(str(error).split())[:300]}") from error

    def _size(self) -> int:
        """How many workers there will be. Actors that take every CPU would leave Ray's own tasks none, and
        all would wait for each other without a word."""
        if not self.cpus > 0 and not self.gpus > 0:
            raise InputError("cpus", self.cpus, "above 0, or GPUs above 0", "1 is the usual one")
        if self.cpus < 0 or self.gpus < 0:
            raise InputError("cpus", min(self.cpus, self.gpus), "0 or more", "fractions are allowed")
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        fits = sum(_fits(node, self.cpus, self.gpus) for node in nodes)
        spare = sum(node.get("CPU", 0.0) for node in nodes) - fits * self.cpus
        if fits and spare < SPARE and self.cpus:
            fits -= 1
        cpus, gpus = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))
        room = f"the cluster has {cpus:g} CPUs and {gpus:g} GPUs, and {SPARE} CPUs stay free"
        each = f"{self.cpus:g} CPUs and {self.gpus:g} GPUs each"
        if fits < 1:
            raise InputError("workers", self.workers or each, f"workers of {each} that fit", room)
        if self.workers is not None and not 1 <= self.workers <= fits:
            raise InputError("workers", self.workers, f"1 to {fits} of {each}", room)
        return self.workers or fits


@contextmanager
def _watched(dataset: Any, patience: float) -> Iterator[Callable[[], None]]:
    """End the dataset's execution when a node was lost and nothing was heard for so long: Ray Data's executor
    may wait for ever for what went with the node. What it has given by then stands, and its iterator ends.

    Yields:
        What is to be called at every answer.
    """
    begun, over, last = _alive(), threading.Event(), [time.monotonic()]

    def watch() -> None:
        while not over.wait(patience / 10):
            late = time.monotonic() - last[0] > patience
            if late and begun - _alive() and (executor := dataset._current_executor):
                executor.shutdown(force=True)
                return

    watcher = threading.Thread(target=watch, name="batch-watch", daemon=True)
    watcher.start()
    try:
        yield lambda: last.__setitem__(0, time.monotonic())
    finally:
        over.set()
        watcher.join()


def _alive() -> set[str]:
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def _fits(node: Mapping[str, float], cpus: float, gpus: float) -> int:
    least = [node.get(name, 0.0) / each for name, each in (("CPU", cpus), ("GPU", gpus)) if each > 0]
    return int(min(least) + 1e-6)


def _reading(source: Source, batch: int) -> Callable[[Any], Iterator[dict[str, Any]]]:
    def read(given: Any) -> Iterator[dict[str, Any]]:
        for piece, done in zip(given["piece"], given["done"], strict=True):
            piece = int(piece)
            try:
                for unit in units(source, piece, pickle.loads(done), batch):
                    yield {"unit": [pickle.dumps(unit)]}
            except Exception as error:
                nowhere = Place(piece, 0, 0, "")
                yield {"unit": [pickle.dumps(Unit(nowhere, [], fault=fault_of(error)))]}

    return read


class _Worker:
    """An actor around a judge. What ends the run comes back as a fault, so that it is told as it is."""

    def __init__(
        self, make: Callable[[], Judge], source: Source, depth: Depth, batch: int, pixels: int | None
    ) -> None:
        self.judge: Judge | None = None
        self.fault: tuple[str, ...] = ()
        self.source, self.depth, self.batch, self.pixels = source, depth, batch, pixels
        try:
            self.judge = make()
        except Exception as error:
            self.fault = fault_of(error)

    def __call__(self, given: Any) -> dict[str, Any]:
        return {"judged": [pickle.dumps(self._judged(pickle.loads(unit))) for unit in given["unit"]]}

    def _judged(self, unit: Unit) -> Judged:
        if self.fault:
            return Judged(unit.place, fault=self.fault)
        try:
            return judged(self.judge, unit, self.source, self.depth, self.batch, self.pixels)
        except Exception as error:
            return Judged(unit.place, fault=fault_of(error))


@contextmanager
def _quiet_context() -> Iterator[None]:
    """Settings of Ray Data for streams of small units: each a block of its own, and no bars."""
    context = ray.data.DataContext.get_current()
    changed = {
        "target_max_block_size": 1,
        "enable_progress_bars": False,
        "print_on_execution_start": False,
    }
    before = {name: getattr(context, name) for name in changed}
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    for name, value in changed.items():
        setattr(context, name, value)
    try:
        with warnings.catch_warnings():
            # Of 2.60's two ways to bound retries both are deprecated, and none has taken their place yet.
            warnings.simplefilter("ignore", RayDeprecationWarning)
            yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            setattr(context, name, value)
