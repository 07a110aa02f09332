"""The gateway on Ray Serve: options that are rejected before it starts, and replicas that follow the load."""

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
from judge.serve import ray_serve
from judge.serve.keys import create_key


@pytest.mark.parametrize(
    ("replicas", "fields", "message"),
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
def test_a_bad_option_is_rejected_before_a_replica_starts(
    replicas: str, fields: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        ray_serve.application(ray_serve.parse_options(replicas, **fields))


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    import ray

    before = {name: os.environ.get(name) for name in ("PYTHONPATH", "RAY_worker_niceness")}
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), before["PYTHONPATH"] or ""])
    # By default Ray's workers have the least priority: they wait for the tests that run at the same time.
    os.environ["RAY_worker_niceness"] = "0"
    ray.init(
        "local", num_cpus=3, object_store_memory=200_000_000, include_dashboard=False,
        log_to_driver=False, logging_level="ERROR",
    )  # fmt: skip
    yield
    ray.shutdown()
    for name, value in before.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def free_port() -> int:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return int(unused.getsockname()[1])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_replicas_give_the_verdicts_of_a_single_judge_and_increase_with_the_load(
    cluster: None, tmp_path: Path
) -> None:
    from ray import serve

    port, image = free_port(), tmp_path / "red.png"
    key, _ = create_key("tests", tmp_path / "keys.txt")
    Image.new("RGB", (64, 64), "red").save(image)
    options = ray_serve.parse_options("1:2", cpus=0.5, keys=tmp_path / "keys.txt")
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    options = options.model_copy(update={"waiting": 2.0, "patience": 0.5})
    serve.run(ray_serve.application(options), name=ray_serve.APPLICATION_NAME)
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}", timeout=120, headers={"Authorization": f"Bearer {key}"}
        ) as client:
            deadline = time.monotonic() + 240
            assert client.get("/readyz").status_code == 200, "a replica answers once it has loaded"
            assert httpx.get(f"http://127.0.0.1:{port}/v1/rubrics").status_code == 401, "keys are checked"

            def request(_: object = None) -> httpx.Response:
                return client.post(
                    "/v1/verdicts",
                    data={"prompt": "a red square"},
                    files={"image": ("red.png", image.read_bytes(), "image/png")},
                )

            response = request()
            assert response.status_code == 200, response.text
            alone = Judge()(str(image), prompt="a red square")
            assert response.json()["score"] == pytest.approx(alone.score, abs=1e-3)

            most_replicas, statuses = 1, set[int]()
            with ThreadPoolExecutor(12) as pool:
                while most_replicas < 2 and time.monotonic() < deadline:
                    statuses |= {reply.status_code for reply in pool.map(request, range(24))}
                    application = serve.status().applications[ray_serve.APPLICATION_NAME]
                    states = application.deployments["Gateway"].replica_states
                    most_replicas = max(most_replicas, sum(states.values()))
            assert most_replicas == 2
            assert statuses == {200}, "no request goes to a replica that is still loading"
    finally:
        serve.shutdown()
