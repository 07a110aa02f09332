"""Limits of the service: too many requests, too little time, clients that disconnect."""

from __future__ import annotations

import asyncio
import re
import resource
import time
from collections import Counter
from pathlib import Path

import httpx
import pytest
from serving import (
    Gateway,
    backend_spec,
    data_url,
    gateway,
    gateway_process,
    png,
    post_verdicts,
    wait_until,
)

from judge.errors import DeadlineError
from judge.serve.engine.supervisor import Engine
from judge.serve.service import Service
from judge.serve.settings import Settings

PROMPT = {"prompt": "a red circle and two cats"}


def test_requests_above_the_queue_limit_get_429_at_once_with_retry_after(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with gateway(backend_spec(gate=str(gate)), queue=3) as running:
        responses: list[httpx.Response] = []

        async def send_all() -> None:
            async with httpx.AsyncClient(base_url=running.url, timeout=60, trust_env=False) as client:

                async def send_one() -> None:
                    files = {"image": png()}
                    responses.append(await client.post("/v1/verdicts", files=files, data=PROMPT))
                    if len(responses) == 5:
                        gate.touch()  # no other request was accepted while three were active

                await asyncio.gather(*(send_one() for _ in range(8)))

        asyncio.run(send_all())
        assert [response.status_code for response in responses] == [429] * 5 + [200] * 3
        assert all(int(response.headers["retry-after"]) >= 1 for response in responses[:5])
        assert running.verdict().status_code == 200


def test_a_request_past_its_deadline_gets_504_and_leaves_no_work_behind(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with gateway(backend_spec(gate=str(gate), batch=1), deadline=0.5) as running:
        assert [response.status_code for response in post_verdicts(running.url, 6)] == [504] * 6
        assert running.service.active == running.service.engine.in_flight == 0
        gate.touch()
        wait_until(lambda: running.verdict().status_code == 200)


def test_a_client_that_disconnects_frees_its_place(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with gateway(backend_spec(gate=str(gate)), queue=1) as running:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                running.url + "/v1/verdicts",
                files={"image": png()},
                data=PROMPT,
                timeout=0.5,
                trust_env=False,
            )
        wait_until(lambda: running.service.active == 0)
        assert running.service.engine.in_flight == 0
        gate.touch()
        assert running.verdict().status_code == 200


def test_a_batch_of_the_largest_size_is_scored_and_a_larger_one_is_rejected(running: Gateway) -> None:
    """Rows are queued a window at a time, so that other requests do not wait for all of them."""
    rows = [{"image": data_url(), "prompt": "a cat"} for _ in range(Settings().max_rows)]
    response = running.post("/v1/scores", json={"rows": rows})
    assert response.json()["scores"].count(None) == 0
    response = running.post("/v1/scores", json={"rows": [*rows, rows[0]]})
    assert (response.status_code, response.json()["error"]["field"]) == (400, "rows")


def resident_memory(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


@pytest.mark.slow
def test_two_thousand_requests_at_once_are_answered_or_rejected_and_memory_stays_flat(tmp_path: Path) -> None:
    """Four times as many requests as the limit: as many as the limit are served, the others get 429."""
    open_files = 5000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < open_files:
        pytest.skip("this system allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, open_files), hard))
    gate = tmp_path / "gate"
    boundary, body = "b", b""
    for name, value in (("prompt", b"a cat"), ('image"; filename="a.png', png())):
        body += b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
    body += b"--b--\r\n"
    head = f"POST /v1/verdicts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: multipart/form-data; boundary={boundary}\r\nConnection: close\r\n\r\n"
    rejected = 0

    async def send_one(port: int) -> int:
        nonlocal rejected
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + body)
        response = await reader.read()
        writer.close()
        status = int(response.split(b" ", 2)[1])
        if status == 429:
            assert b"retry-after:" in response.lower()
            rejected += 1
            if rejected == 1500:
                gate.touch()
        return status

    async def send_all(port: int) -> Counter[int]:
        return Counter(await asyncio.gather(*(send_one(port) for _ in range(2000))))

    try:
        with gateway_process({"gate": str(gate)}, queue=500, deadline=300.0) as (url, process):
            port = int(url.rpartition(":")[2])
            sizes = []
            for _ in range(3):
                gate.unlink(missing_ok=True)
                rejected = 0
                assert asyncio.run(send_all(port)) == {200: 500, 429: 1500}
                sizes.append(resident_memory(process.pid))
            text = httpx.get(url + "/metrics", trust_env=False).text
            assert "judge_inside 0.0" in text and "judge_engine_in_flight 0.0" in text
            assert sizes[2] - sizes[0] < 40, sizes
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_service_without_http_keeps_the_deadline_of_a_request(tmp_path: Path) -> None:
    async def run() -> float:
        async with Service(Engine(backend_spec(gate=str(tmp_path / "gate")))) as service:
            await service.engine.wait_until_settled()
            start = time.monotonic()
            with pytest.raises(DeadlineError):
                await service.verdict({"image": png(), "prompt": "a cat"}, deadline_s=0.2)
            return time.monotonic() - start

    assert asyncio.run(run()) >= 0.2
