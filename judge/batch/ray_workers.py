"""Workers on a Ray cluster, each with a judge of its own, fed by Ray Data. Needs the extra `ray`.

    pieces -> reading tasks that stream chunks -> a pool of actors with a `Judge` each -> the driver

Chunks are small, so the cluster holds only a few of them per worker, however many rows there are. A worker
that dies is started again, on this or another machine, and its chunk is judged again. If a machine is lost,
its workers are lost with it, and the remaining workers do the rest.
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

from judge.batch.chunks import Chunk, ChunkResult, RowRange, read_chunks
from judge.batch.errors import WorkersLost, encode_error
from judge.batch.judging import judge_chunk
from judge.batch.sources import Source
from judge.errors import InputError
from judge.judge import Judge
from judge.types import Depth

RESERVED_CPUS = 0.25
"""CPUs that the workers leave to Ray Data's own tasks."""
MAX_RETRIES = 3
"""How often a chunk is tried again whose worker died."""
TASKS_PER_WORKER = 2
"""Chunks that a worker is given at once, so that it does not wait for the next one."""


@dataclass(frozen=True)
class RayWorkers:
    """Judges rows on the cluster that this process is connected to.

    Args:
        make_judge: returns a worker's judge; pickled, and called where the worker runs.
        depth: as in `Judge`.
        batch: rows that the model is given at once, at most.
        pixels: pixels that the model is given at once, at most; None: no limit.
        workers: number of workers; None: as many as fit.
        cpus: CPUs per worker; fractions are allowed.
        gpus: GPUs per worker; fractions are allowed.
        lost_node_timeout: seconds without a result after which, if a node was lost, the round ends with the
            results so far.
    """

    make_judge: Callable[[], Judge]
    depth: Depth = "verdict"
    batch: int = 16
    pixels: int | None = None
    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    lost_node_timeout: float = 120.0

    def __call__(self, source: Source, done: Mapping[int, list[RowRange]]) -> Iterator[ChunkResult]:
        """Yield the results of the rows that are not done, in the order in which workers finish them.

        Args:
            source: the rows.
            done: for each piece, the row ranges that have verdicts.

        Raises:
            InputError: the cluster has no room for such workers.
            WorkersLost: chunks were lost repeatedly.
        """
        size = self._count_workers()
        actors = ray.data.ActorPoolStrategy(
            min_size=1, max_size=size, initial_size=size, max_tasks_in_flight_per_actor=TASKS_PER_WORKER
        )
        pieces = [
            {"piece": piece, "done": pickle.dumps(done.get(piece, []))} for piece in range(len(source.pieces))
        ]
        with _ray_data_settings():
            piece_data = ray.data.from_items(pieces, override_num_blocks=len(pieces))
            # Reading asks for no CPU. If a node is lost, the workers that are restarted elsewhere may take
            # all remaining CPUs, and what was being read on the node could never be read again. As many
            # tasks read at once as workers judge: more would only be more processes.
            readers = ray.data.TaskPoolStrategy(size=size)
            chunks = piece_data.map_batches(
                _make_reader(source, self.batch), batch_size=1, num_cpus=0, compute=readers
            )
            results = chunks.map_batches(
                _Worker,
                fn_constructor_args=(self.make_judge, source, self.depth, self.batch, self.pixels),
                batch_size=1,
                compute=actors,
                num_cpus=self.cpus,
                num_gpus=self.gpus or None,
                max_restarts=-1,
                max_task_retries=MAX_RETRIES,
            )
            try:
                table: Any  # Ray's type is a union of all batch formats
                with _stop_after_node_loss(results, self.lost_node_timeout) as report_result:
                    for table in results.iter_batches(batch_size=None, batch_format="pyarrow"):
                        report_result()
                        yield from map(pickle.loads, table["result"].to_pylist())
            except ray.exceptions.RayError as error:
                raise WorkersLost(f"ray: {' '.join(str(error).split())[:300]}") from error

    def _count_workers(self) -> int:
        """Return the number of workers to start.

        Actors that take every CPU would leave none for Ray's own tasks, and all would wait for each other
        without a message. Therefore a share of a CPU stays free.

        Raises:
            InputError: the cluster has no room for the workers, or their resources are unusable.
        """
        if not self.cpus > 0 and not self.gpus > 0:
            raise InputError("cpus", self.cpus, "above 0, or GPUs above 0", "1 is the usual value")
        if self.cpus < 0 or self.gpus < 0:
            raise InputError("cpus", min(self.cpus, self.gpus), "0 or more", "fractions are allowed")
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        fits = sum(_workers_that_fit(node, self.cpus, self.gpus) for node in nodes)
        free_cpus = sum(node.get("CPU", 0.0) for node in nodes) - fits * self.cpus
        if fits and free_cpus < RESERVED_CPUS and self.cpus:
            fits -= 1
        cpus, gpus = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))
        room = f"the cluster has {cpus:g} CPUs and {gpus:g} GPUs, and {RESERVED_CPUS} CPUs stay free"
        each = f"{self.cpus:g} CPUs and {self.gpus:g} GPUs each"
        if fits < 1:
            raise InputError("workers", self.workers or each, f"workers of {each} that fit", room)
        if self.workers is not None and not 1 <= self.workers <= fits:
            raise InputError("workers", self.workers, f"1 to {fits} of {each}", room)
        return self.workers or fits


@contextmanager
def _stop_after_node_loss(dataset: Any, timeout: float) -> Iterator[Callable[[], None]]:
    """End a dataset's execution when a node was lost and no result has arrived for some seconds.

    Ray Data's executor may otherwise wait for ever for what was lost with the node. The results so far remain
    valid, and the dataset's iterator ends.

    Args:
        dataset: the dataset that is iterated over.
        timeout: seconds.

    Yields:
        A function to call at every result.
    """
    nodes_at_start, is_over, last_result = _live_nodes(), threading.Event(), [time.monotonic()]

    def watch() -> None:
        while not is_over.wait(timeout / 10):
            is_late = time.monotonic() - last_result[0] > timeout
            if is_late and nodes_at_start - _live_nodes() and (executor := dataset._current_executor):
                executor.shutdown(force=True)
                return

    watcher = threading.Thread(target=watch, name="batch-watch", daemon=True)
    watcher.start()
    try:
        yield lambda: last_result.__setitem__(0, time.monotonic())
    finally:
        is_over.set()
        watcher.join()


def _live_nodes() -> set[str]:
    """Return the ids of the cluster's live nodes."""
    return {node["NodeID"] for node in ray.nodes() if node["Alive"]}


def _workers_that_fit(node: Mapping[str, float], cpus: float, gpus: float) -> int:
    """Return how many workers fit on a node with these resources."""
    ratios = [node.get(name, 0.0) / each for name, each in (("CPU", cpus), ("GPU", gpus)) if each > 0]
    return int(min(ratios) + 1e-6)


def _make_reader(source: Source, batch: int) -> Callable[[Any], Iterator[dict[str, Any]]]:
    """Return the function of the reading tasks: a table of pieces in, tables of pickled chunks out."""

    def read(table: Any) -> Iterator[dict[str, Any]]:
        for piece, done in zip(table["piece"], table["done"], strict=True):
            piece = int(piece)
            try:
                for chunk in read_chunks(source, piece, pickle.loads(done), batch):
                    yield {"chunk": [pickle.dumps(chunk)]}
            except Exception as error:
                no_rows = RowRange(piece, 0, 0, "")
                yield {"chunk": [pickle.dumps(Chunk(no_rows, [], error=encode_error(error)))]}

    return read


class _Worker:
    """An actor with a judge. Errors that end the run are returned as results, so that their text survives."""

    def __init__(
        self,
        make_judge: Callable[[], Judge],
        source: Source,
        depth: Depth,
        batch: int,
        pixels: int | None,
    ) -> None:
        self.judge: Judge | None = None
        self.error: tuple[str, ...] = ()
        self.source, self.depth, self.batch, self.pixels = source, depth, batch, pixels
        try:
            self.judge = make_judge()
        except Exception as error:
            self.error = encode_error(error)

    def __call__(self, table: Any) -> dict[str, Any]:
        return {"result": [pickle.dumps(self._judge(pickle.loads(chunk))) for chunk in table["chunk"]]}

    def _judge(self, chunk: Chunk) -> ChunkResult:
        """Judge a chunk; an exception becomes the result's error."""
        if self.error:
            return ChunkResult(chunk.row_range, error=self.error)
        try:
            return judge_chunk(self.judge, chunk, self.source, self.depth, self.batch, self.pixels)
        except Exception as error:
            return ChunkResult(chunk.row_range, error=encode_error(error))


@contextmanager
def _ray_data_settings() -> Iterator[None]:
    """Set Ray Data up for streams of small chunks: one block per chunk, no progress bars."""
    context = ray.data.DataContext.get_current()
    settings = {
        "target_max_block_size": 1,
        "enable_progress_bars": False,
        "print_on_execution_start": False,
    }
    before = {name: getattr(context, name) for name in settings}
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.ERROR)
    for name, value in settings.items():
        setattr(context, name, value)
    try:
        with warnings.catch_warnings():
            # Ray 2.60 deprecates both of its ways to limit retries and has no replacement yet.
            warnings.simplefilter("ignore", RayDeprecationWarning)
            yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            setattr(context, name, value)
