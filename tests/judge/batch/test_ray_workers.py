"""Workers on a Ray cluster: the verdicts of a local run, also when workers and nodes are lost."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from batch_rows import BATCH, SETTINGS, judge_directly, make_judge, read_verdicts, verdicts_by_id, write_rows
from paths import ROOT, SUPPORT

from judge.batch.file_source import open_source
from judge.batch.scoring import BatchProgress, score_rows
from judge.errors import InputError, JudgeError
from judge.judge import Judge


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A cluster of one node on this machine, connected to this process, and the options of its nodes."""
    ray = pytest.importorskip("ray")
    names = ("PYTHONPATH", "RAY_raylet_start_wait_time_s", "RAY_worker_niceness")
    before = {name: os.environ.get(name) for name in names}
    paths = [Path(__file__).parent, SUPPORT, ROOT]
    os.environ["PYTHONPATH"] = os.pathsep.join([*map(str, paths), before["PYTHONPATH"] or ""])
    os.environ["RAY_raylet_start_wait_time_s"] = "180"
    # By default Ray's workers have the least priority: they wait for the tests that run at the same time.
    os.environ["RAY_worker_niceness"] = "0"
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 2, "object_store_memory": 200_000_000, "include_dashboard": False}
    started = Cluster(initialize_head=True, head_node_args=options)
    try:
        ray.init(started.address, log_to_driver=False, logging_level="ERROR")
        yield started, options
    finally:
        ray.shutdown()
        started.shutdown()
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


@pytest.fixture
def second_node(cluster: Any) -> Any:
    """A second node: that of the test before, or a new one if that test has removed it."""
    started, options = cluster
    if len(started.list_all_nodes()) < 2:
        started.add_node(**{k: v for k, v in options.items() if k != "include_dashboard"})
        started.wait_for_nodes()
    (node,) = (node for node in started.list_all_nodes() if node is not started.head_node)
    return node


def test_an_address_without_a_cluster_is_an_error() -> None:
    ray = pytest.importorskip("ray")

    from judge.runtime.ray_cluster import connect_to_ray

    if ray.is_initialized():
        pytest.skip("this process is connected to a cluster already")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for address in (f"127.0.0.1:{port}", f"ray://127.0.0.1:{port}"):
        with pytest.raises(InputError, match="nobody answers"), connect_to_ray(address):
            pass


@pytest.mark.slow
def test_ray_workers_give_the_verdicts_of_a_local_run(cluster: Any, second_node: Any, tmp_path: Path) -> None:
    from judge.batch.ray_workers import RayWorkers

    # Workers on both nodes. Every worker takes seconds of CPU time to start.
    rows, out = write_rows(tmp_path, 120), tmp_path / "out"
    workers = RayWorkers(make_judge, "score", BATCH, cpus=0.75)
    progress = score_rows(open_source(str(rows)), str(out), workers, SETTINGS)
    assert (progress.done, progress.unscored) == (120, 0)
    assert read_verdicts(out) == judge_directly(rows)


@pytest.mark.slow
def test_a_benchmark_on_ray_workers_gives_the_run_of_one_process(
    cluster: Any, second_node: Any, tmp_path: Path
) -> None:
    from eval.runs.distributed import run_plan_on_workers
    from eval.runs.local import run_plan
    from eval.runs.plan import Plan
    from eval.suites import load_suite
    from judge.batch.ray_workers import RayWorkers

    write_rows(tmp_path / "data", 90)
    plan = Plan(load_suite("folder"), tmp_path / "data", depth="score", batch=BATCH)
    run_plan(plan, tmp_path / "local", make_judge())
    workers = RayWorkers(make_judge, "score", BATCH, workers=2)
    run_plan_on_workers(plan, tmp_path / "ray", make_judge(), workers)
    local, distributed = (
        (tmp_path / name / "results.jsonl").read_text().splitlines() for name in ("local", "ray")
    )
    assert verdicts_by_id(distributed) == verdicts_by_id(local)
    assert [json.loads(line)["id"] for line in distributed] == [json.loads(line)["id"] for line in local]


@pytest.mark.slow
def test_every_row_is_judged_once_when_a_worker_dies_and_a_node_is_lost(
    cluster: Any, second_node: Any, tmp_path: Path
) -> None:
    from judge.batch.ray_workers import RayWorkers

    started, _ = cluster
    rows, out, removed_at = write_rows(tmp_path, 240), tmp_path / "out", list[float]()

    def remove_node(progress: BatchProgress) -> None:
        if progress.done >= 120 and not removed_at:
            removed_at.append(time.monotonic())
            started.remove_node(second_node)

    crashing = partial(make_judge, seconds=0.01, word="thing 77", marker=str(tmp_path / "died"))
    workers = RayWorkers(crashing, "score", BATCH, lost_node_timeout=20)
    progress = score_rows(open_source(str(rows)), str(out), workers, SETTINGS, tick=remove_node)
    assert removed_at and (tmp_path / "died").exists() and progress.done == 240
    assert read_verdicts(out) == judge_directly(rows)


@pytest.mark.slow
def test_the_embedded_judge_gives_each_row_once_when_a_worker_and_a_node_are_lost(
    cluster: Any, second_node: Any, tmp_path: Path
) -> None:
    from eval.bench.speed.nodes import compare_with_one_process

    started, _ = cluster
    remove_node = partial(started.remove_node, second_node)
    report = compare_with_one_process(tmp_path, 200, lambda done: None, remove_node)
    assert report["each_row_once"] and report["rows"] == report["same_answers"] == 200
    assert report["killed_at"] < report["removed_at"] < 200
    assert report["largest_difference"] < 1e-4


@pytest.mark.slow
def test_workers_that_cannot_start_are_an_error_before_the_run(cluster: Any, tmp_path: Path) -> None:
    from judge.batch.ray_workers import RayWorkers

    rows = open_source(str(write_rows(tmp_path, 4)))
    for options in ({"cpus": 64.0}, {"gpus": 1.0}, {"workers": 99}, {"workers": 0}, {"cpus": -1.0}):
        with pytest.raises(InputError):
            workers = RayWorkers(make_judge, "score", BATCH, **options)
            score_rows(rows, str(tmp_path / "out"), workers, SETTINGS)
    with pytest.raises(JudgeError, match="no such place"):
        workers = RayWorkers(fail_to_make_judge, "score", BATCH, cpus=0.5)
        score_rows(rows, str(tmp_path / "out"), workers, SETTINGS)


def fail_to_make_judge() -> Judge:
    raise JudgeError("weights: no such place")
