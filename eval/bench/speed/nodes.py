"""Compare a run on a cluster that loses a worker and a node with a run in one process.

Two Ray nodes on this machine judge drawn scenes with the embedded judge on three workers. When a third of
the rows is done, one worker process is killed; when two thirds are done, the second node is removed. Each
row must be recorded once, with the verdict of a run in one process.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from eval.bench.speed.scale import create_embedded_judge, write_scene_rows
from judge.batch.reader import ResultsReader
from judge.batch.scoring import BatchProgress, LocalWorker, score_rows

BATCH = 16
NODE_OPTIONS = {"num_cpus": 2, "object_store_memory": 400_000_000, "include_dashboard": False}
WORKER_TITLE = "_Worker"
"""Part of the title of a worker process, for example `ray::MapWorker(MapBatches(_Worker))`."""


def measure_nodes(folder: Path, count: int, tick: Callable[[int], None]) -> dict[str, Any]:
    """Start a cluster and compare it with one process; for the arguments see `compare_with_one_process`."""
    with start_two_nodes() as remove_node:
        return compare_with_one_process(folder, count, tick, remove_node)


def compare_with_one_process(
    folder: Path, count: int, tick: Callable[[int], None], remove_node: Callable[[], None]
) -> dict[str, Any]:
    """Judge the same scenes in this process and on the cluster that this process is a driver of.

    Args:
        folder: folder for scenes and verdicts.
        count: number of scenes.
        tick: called with the number of rows that are done.
        remove_node: removes a node from the cluster.
    """
    from judge.batch.ray_workers import RayWorkers

    source, settings = write_scene_rows(folder / "scenes", count), {"batch": BATCH, "shard": [1, 1]}
    start = time.monotonic()
    local_worker = LocalWorker(create_embedded_judge("default"), "score", BATCH)
    score_rows(source, str(folder / "here"), local_worker, settings)
    local_seconds = time.monotonic() - start
    losses: dict[str, int] = {}

    def cause_losses(progress: BatchProgress) -> None:
        tick(progress.done)
        if "killed_at" not in losses and progress.done >= count // 3:
            losses["killed_at"] = progress.done
            kill_worker()
        if "removed_at" not in losses and progress.done >= 2 * count // 3:
            losses["removed_at"] = progress.done
            remove_node()

    create_judge = partial(create_embedded_judge, "default")
    workers = RayWorkers(create_judge, "score", BATCH, cpus=1.0, lost_node_timeout=60)
    start = time.monotonic()
    progress = score_rows(source, str(folder / "there"), workers, settings, tick=cause_losses)
    cluster_seconds = time.monotonic() - start
    local, cluster = (_read_verdicts(folder / name) for name in ("here", "there"))
    pairs = list(zip(local, cluster, strict=True))
    return {
        "count": count,
        "rows": progress.done,
        "each_row_once": [row["id"] for row in cluster] == [row["id"] for row in local],
        "unscored": progress.unscored,
        **losses,
        "same_answers": sum(_without_numbers(a) == _without_numbers(b) for a, b in pairs),
        "largest_difference": max(abs(a["score"] - b["score"]) for a, b in pairs),
        "seconds_here": local_seconds,
        "seconds_there": cluster_seconds,
    }


@contextmanager
def start_two_nodes() -> Iterator[Callable[[], None]]:
    """Start a cluster of two nodes on this machine, with this process as its driver.

    Yields:
        A function that removes the second node.
    """
    import ray
    from ray.cluster_utils import Cluster

    python_path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.getcwd(), python_path]))
    cluster = Cluster(initialize_head=True, head_node_args=NODE_OPTIONS)
    try:
        options: dict[str, Any] = {name: NODE_OPTIONS[name] for name in ("num_cpus", "object_store_memory")}
        second = cluster.add_node(**options)
        cluster.wait_for_nodes()
        ray.init(cluster.address, log_to_driver=False, logging_level=logging.ERROR)
        yield partial(cluster.remove_node, second)
    finally:
        ray.shutdown()
        cluster.shutdown()
        if python_path is None:
            os.environ.pop("PYTHONPATH")
        else:
            os.environ["PYTHONPATH"] = python_path


def kill_worker() -> None:
    """Kill one worker process, as the system does when it is out of memory.

    Raises:
        RuntimeError: there is no worker process.
    """
    for process in psutil.process_iter(["name", "cmdline"]):
        title = " ".join(process.info["cmdline"] or [process.info["name"] or ""])
        if title.startswith("ray::") and WORKER_TITLE in title:
            process.send_signal(signal.SIGKILL)
            return
    raise RuntimeError("no worker process was found")


def _read_verdicts(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in ResultsReader(str(folder)).lines()]


def _without_numbers(row: dict[str, Any]) -> Any:
    """Return the status, elements and attributes of a verdict without their numbers."""
    elements = [(element["name"], element["present"]) for element in row["elements"]]
    attributes = {name: attribute["label"] for name, attribute in row["attributes"].items()}
    return row["status"], elements, attributes
