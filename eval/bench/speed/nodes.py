"""Whether a cluster that loses a worker and a whole node gives the rows of one process, with a real model.

Two nodes of Ray on this machine judge drawn scenes with the embedded judge on three workers. When a third of
the rows is done, one worker process is killed; when two thirds are, the second node is taken away. Each row
must come once, and its verdict be that of a run in one process.
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

from eval.bench.speed.scale import drawn_scenes, embedded
from judge.batch.results import Recorded
from judge.batch.scoring import Here, Tally, score

BATCH = 16
NODE = {"num_cpus": 2, "object_store_memory": 400_000_000, "include_dashboard": False}
WORKER = "_Worker"
"""What the title of a worker's process names: `ray::MapWorker(MapBatches(_Worker))`, and more."""


def run(folder: Path, count: int, tick: Callable[[int], None]) -> dict[str, Any]:
    """Measure on a cluster of its own; arguments as for `compared`."""
    with two_nodes() as take_away:
        return compared(folder, count, tick, take_away)


def compared(
    folder: Path, count: int, tick: Callable[[int], None], take_away: Callable[[], None]
) -> dict[str, Any]:
    """Judge the same scenes here and on the cluster that this process is a driver of.

    Args:
        folder: where scenes and verdicts are written.
        count: scenes.
        tick: called with the number of rows done.
        take_away: removes a node.
    """
    from judge.batch.ray_workers import Fleet

    source, asked = drawn_scenes(folder / "scenes", count), {"batch": BATCH, "shard": [1, 1]}
    begun = time.monotonic()
    score(source, str(folder / "here"), Here(embedded("default"), "score", BATCH), asked)
    alone = time.monotonic() - begun
    lost: dict[str, int] = {}

    def trouble(tally: Tally) -> None:
        tick(tally.done)
        if "killed_at" not in lost and tally.done >= count // 3:
            lost["killed_at"] = tally.done
            kill_a_worker()
        if "removed_at" not in lost and tally.done >= 2 * count // 3:
            lost["removed_at"] = tally.done
            take_away()

    fleet = Fleet(partial(embedded, "default"), "score", BATCH, cpus=1.0, patience=60)
    begun = time.monotonic()
    done = score(source, str(folder / "there"), fleet, asked, tick=trouble)
    apart = time.monotonic() - begun
    here, there = (_rows(folder / name) for name in ("here", "there"))
    return {
        "count": count,
        "rows": done.done,
        "each_row_once": [row["id"] for row in there] == [row["id"] for row in here],
        "unscored": done.unscored,
        **lost,
        "same_answers": sum(_answers(a) == _answers(b) for a, b in zip(here, there, strict=True)),
        "largest_difference": max(abs(a["score"] - b["score"]) for a, b in zip(here, there, strict=True)),
        "seconds_here": alone,
        "seconds_there": apart,
    }


@contextmanager
def two_nodes() -> Iterator[Callable[[], None]]:
    """A cluster of two nodes on this machine with this process as its driver; gives what takes one away."""
    import ray
    from ray.cluster_utils import Cluster

    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.getcwd(), before]))
    started = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        own: dict[str, Any] = {name: NODE[name] for name in ("num_cpus", "object_store_memory")}
        second = started.add_node(**own)
        started.wait_for_nodes()
        ray.init(started.address, log_to_driver=False, logging_level=logging.ERROR)
        yield partial(started.remove_node, second)
    finally:
        ray.shutdown()
        started.shutdown()
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


def kill_a_worker() -> None:
    """Kill the process of one worker as the system does when memory is short.

    Raises:
        RuntimeError: there is none.
    """
    for process in psutil.process_iter(["name", "cmdline"]):
        title = " ".join(process.info["cmdline"] or [process.info["name"] or ""])
        if title.startswith("ray::") and WORKER in title:
            process.send_signal(signal.SIGKILL)
            return
    raise RuntimeError("no worker's process was found")


def _rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(text) for text in Recorded(str(folder)).in_order()]


def _answers(row: dict[str, Any]) -> Any:
    """What a verdict says, without the last digits of its numbers."""
    elements = [(one["name"], one["present"]) for one in row["elements"]]
    return row["status"], elements, {name: one["label"] for name, one in row["attributes"].items()}
