"""The gateway on Ray Serve: what is refused before anything starts, and that replicas come with the load."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from paths import ROOT
from PIL import Image

from judge import Judge
from judge.errors import InputError
from judge.serve import ray_serve as fleet
from judge.serve.keys import made


@pytest.mark.parametrize(
    ("replicas", "fields", "said"),
    [
        ("two", {}, "replicas"),
        ("3:1", {}, "replicas"),
        ("0:0", {}, "largest"),
        ("1:2", {"host": "0.0.0.0"}, "--keys"),
        ("1:2", {"model": "http://elsewhere:8000"}, "model"),
        ("1:2", {"rubrics": ["nowhere.toml"]}, "nowhere"),
        ("1:2", {"backend": "vlmm"}, "vllm"),
        ("1:2", {"queue": 0}, "queue"),
    ],
)
def test_an_unusable_option_is_told_before_a_replica_starts(
    replicas: str, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        fleet.application(fleet.wanted_of(replicas, **fields))


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    import ray

    kept = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), kept or ""])
    ray.init(
        "local", num_cpus=3, object_store_memory=200_000_000, include_dashboard=False,
        log_to_driver=False, logging_level="ERROR",
    )  # fmt: skip
    yield
    ray.shutdown()
    os.environ.pop("PYTHONPATH") if kept is None else os.environ.update(PYTHONPATH=kept)


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_replicas_give_the_verdicts_of_a_single_judge_and_become_more_with_the_load(
    cluster: None, tmp_path: Path
) -> None:
    from ray import serve

    port, picture = free_port(), tmp_path / "red.png"
    key, _ = made("tests", tmp_path / "keys.txt")
    Image.new("RGB", (64, 64), "red").save(picture)
    wanted = fleet.wanted_of("1:2", cpus=0.5, keys=tmp_path / "keys.txt")
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(fleet.application(wanted.model_copy(update={"waiting": 2.0, "patience": 0.5})), name=fleet.NAME)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=120, headers={"Authorization": f"Bearer {key}"}
        ) as client:
            deadline = time.monotonic() + 240
            assert client.get("/readyz").status_code == 200, "a replica is there once its engine is loaded"
            assert httpx.get(f"http://127.0.0.1:{port}/v1/rubrics").status_code == 401, "keys hold here too"

            def request(_: object = None) -> httpx.Response:
                return client.post(
                    "/v1/verdicts",
                    data={"prompt": "a red square"},
                    files={"image": ("red.png", picture.read_bytes(), "image/png")},
                )

            answer = request()
            assert answer.status_code == 200, answer.text
            alone = Judge()(str(picture), prompt="a red square")
            assert answer.json()["score"] == pytest.approx(alone.score, abs=1e-3)

            most, statuses = 1, set[int]()
            with ThreadPoolExecutor(12) as crowd:
                while most < 2 and time.monotonic() < deadline:
                    statuses |= {reply.status_code for reply in crowd.map(request, range(24))}
                    states = serve.status().applications[fleet.NAME].deployments["Gateway"].replica_states
                    most = max(most, sum(states.values()))
            assert most == 2
            assert statuses == {200}, "nobody is sent to a replica that still loads"
    finally:
        serve.shutdown()
