"""The life of the engine process: killed, stuck, never started, and ended together with the gateway."""

from __future__ import annotations

import asyncio
import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from serving import (
    FAST_RESTARTS,
    backend_spec,
    gateway,
    gateway_process,
    is_alive,
    png,
    post_verdicts,
    wait_until,
)

from judge.backends.base import Request
from judge.errors import EngineDownError
from judge.rubrics.rubric import Rubric
from judge.serve.engine.supervisor import Engine, RestartPolicy

PROMPT = {"prompt": "a red circle and two cats"}


def test_an_engine_with_continuous_batching_takes_new_requests_between_its_steps(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with gateway(backend_spec("streaming", gate=str(gate))) as running:
        gate.touch()
        assert {response.status_code for response in post_verdicts(running.url, 40)} == {200}
        assert running.service.active == running.service.engine.in_flight == 0


def test_an_engine_killed_under_load_fails_its_requests_and_is_replaced() -> None:
    with gateway(backend_spec(seconds=0.01, batch=4), deadline=30.0) as running:
        first = running.service.engine.pid
        statuses: Counter[int] = Counter()
        responses: list[httpx.Response] = []

        async def load() -> None:
            async with httpx.AsyncClient(base_url=running.url, timeout=60, trust_env=False) as client:
                is_over = asyncio.Event()

                async def send_requests() -> None:
                    while not is_over.is_set():
                        response = await client.post("/v1/verdicts", files={"image": png()}, data=PROMPT)
                        statuses[response.status_code] += 1
                        responses.append(response)
                        if response.status_code == 503:
                            await asyncio.sleep(0.05)

                clients = [asyncio.create_task(send_requests()) for _ in range(16)]
                while not statuses[200]:
                    await asyncio.sleep(0.01)
                assert first is not None
                os.kill(first, signal.SIGKILL)
                while not statuses[503]:
                    await asyncio.sleep(0.01)
                before = statuses[200]
                while statuses[200] < before + 32:
                    await asyncio.sleep(0.01)
                is_over.set()
                await asyncio.gather(*clients)

        asyncio.run(asyncio.wait_for(load(), 120))
        assert set(statuses) == {200, 503}
        assert all("retry-after" in response.headers for response in responses if response.status_code == 503)
        assert running.service.engine.restarts == 1
        assert running.service.engine.pid not in (None, first)
        assert running.service.active == running.service.engine.in_flight == 0
        assert running.get("/readyz").json() == {"state": "ready", "reason": ""}
        assert "judge_engine_restarts_total 1.0" in running.get("/metrics").text


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_request_sent_just_after_the_socket_broke_fails_with_down(new_loop: Any) -> None:
    """For a moment the socket is closed and nobody has read its end yet.

    asyncio ignores a write at that moment. uvloop raises a RuntimeError, which gave a response with status
    500 once in some hundred kills under load.
    """
    rubric = Rubric.load("quality")
    request = Request([], rubric.messages(), rubric.form())

    async def run() -> list[Any]:
        engine = Engine(backend_spec(), FAST_RESTARTS)
        await engine.start()
        try:
            await engine.wait_until_settled()
            assert engine.state == "ready" and engine._writer is not None
            engine._writer.transport.abort()  # what a failed write or read of the socket does
            deadline = asyncio.get_running_loop().time() + 30
            requests = [engine.infer("complete", request, deadline) for _ in range(3)]
            return await asyncio.gather(*requests, return_exceptions=True)
        finally:
            await engine.stop()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        outcomes = runner.run(run())
    assert [type(outcome) for outcome in outcomes] == [EngineDownError] * 3, outcomes


def test_the_engine_restarts_when_a_process_of_its_model_is_killed() -> None:
    """vLLM computes in a process of its own; without it, the engine can answer nothing."""
    with gateway(backend_spec(child=True)) as running:
        info, engine = running.service.engine.model_info, running.service.engine.pid
        assert info is not None
        os.kill(int(info.revision), signal.SIGKILL)
        wait_until(lambda: running.service.engine.restarts == 1 and running.service.state == "ready")
        assert running.service.engine.pid != engine
        assert running.verdict().status_code == 200


def test_a_fork_that_survives_the_engine_does_not_hide_its_death() -> None:
    with gateway(backend_spec(fork=True)) as running:
        assert running.service.engine.pid is not None
        os.kill(running.service.engine.pid, signal.SIGKILL)
        wait_until(lambda: running.service.engine.restarts == 1 and running.service.state == "ready")
        assert running.verdict().status_code == 200


def test_a_stopping_gateway_ends_every_process_of_its_engine() -> None:
    with gateway(backend_spec(child=True)) as running:
        assert running.service.engine.model_info is not None and running.service.engine.pid is not None
        ids = [running.service.engine.pid, int(running.service.engine.model_info.revision)]
    wait_until(lambda: not any(is_alive(pid) for pid in ids))


def test_an_engine_ends_when_its_gateway_is_killed() -> None:
    with gateway_process({"child": True}) as (url, process):
        pid = process.pid
        (engine,) = [
            int(child)
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if "judge.serve.engine.worker" in Path(f"/proc/{child}/cmdline").read_text()
        ]
        assert httpx.get(url + "/readyz", trust_env=False).status_code == 200
        process.kill()
        wait_until(lambda: not is_alive(engine))


def test_an_engine_that_never_starts_is_given_up_and_the_reason_is_reported() -> None:
    with gateway(backend_spec("fails_to_load")) as running:
        response = running.get("/readyz")
        assert (response.status_code, response.json()["state"]) == (503, "failed")
        assert "the weights are missing" in response.json()["reason"]
        assert running.service.engine.restarts == 2
        rejected = running.verdict()
        assert (rejected.status_code, "retry-after" in rejected.headers) == (503, False)
        assert running.get("/healthz").status_code == 200


def test_a_start_with_a_bad_option_is_not_repeated() -> None:
    with gateway(backend_spec("has_a_bad_option")) as running:
        assert "bits" in running.get("/readyz").json()["reason"]
        assert running.service.engine.restarts == 0


def test_a_stuck_engine_is_replaced(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    policy = RestartPolicy(first_pause=0.05, stall_timeout=0.2)
    with gateway(backend_spec(gate=str(gate)), policy=policy, deadline=1.0) as running:
        while not running.service.engine.restarts:
            assert running.verdict().status_code in (503, 504)
        gate.touch()
        wait_until(lambda: running.verdict().status_code == 200)


def test_the_gateway_reports_that_the_engine_is_loading() -> None:
    with gateway(backend_spec("slow_to_load", seconds=1.0), wait=False) as running:
        assert running.get("/healthz").status_code == 200
        response = running.get("/readyz")
        assert (response.status_code, response.json()["state"]) == (503, "loading")
        rejected = running.verdict()
        assert (rejected.status_code, int(rejected.headers["retry-after"]) >= 1) == (503, True)
        wait_until(lambda: running.service.state == "ready")
        assert running.verdict().status_code == 200
