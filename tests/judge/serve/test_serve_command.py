"""`judge serve`: options that are rejected, its shutdown, and the embedded judge behind it."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from command_line import assert_error, run
from serving import (
    Gateway,
    gateway,
    gateway_process,
    png,
)

PROMPT = {"prompt": "a red circle and two cats"}


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--host", "0.0.0.0"], ["host", "--keys", "--open"]),
        (["--keys", "nowhere.txt"], ["keys", "--new-key"]),
        (["--allow-host", "*"], ["allow-host", "full name"]),
        (["--queue", "0"], ["queue"]),
        (["--deadline", "0"], ["deadline"]),
        (["--backend", "vlm"], ["backend", "did you mean"]),
        (["--model", "http://127.0.0.1:8000"], ["model", "base-url"]),
        (["--rubric", "nowhere.toml"], ["rubric"]),
        (["--port", "99999"], ["port"]),
        (["--new-key", "a b"], ["new-key", "another name"]),
    ],
)
def test_a_bad_option_gives_one_line(arguments: list[str], parts: list[str]) -> None:
    assert_error(run("serve", *arguments), *parts)


def test_a_port_in_use_gives_one_line(running: Gateway) -> None:
    assert_error(run("serve", "--port", running.url.rpartition(":")[2]), "in use")


def test_sigterm_answers_accepted_requests_and_then_ends_the_server(tmp_path: Path) -> None:
    """Only its engine imports a model library; the server needs torch, for the features of images."""
    gate = tmp_path / "gate"
    with gateway_process({"gate": str(gate)}) as (url, process):

        async def work() -> int:
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
                post = client.post("/v1/verdicts", files={"image": png()}, data=PROMPT)
                pending = asyncio.create_task(post)
                while "judge_inside 1.0" not in (await client.get("/metrics")).text:
                    await asyncio.sleep(0.01)
                process.send_signal(signal.SIGTERM)
                with pytest.raises(httpx.ConnectError):
                    while True:  # until the server accepts no more connections
                        # A connection made while the port closes is cut off; the next one is refused.
                        with suppress(httpx.ReadError, httpx.RemoteProtocolError):
                            async with httpx.AsyncClient(trust_env=False) as other:
                                await other.get(url + "/healthz")
                        await asyncio.sleep(0.02)
                gate.touch()
                return (await pending).status_code

        assert asyncio.run(work()) == 200
        assert process.stderr is not None
        assert process.stderr.read().strip() == "loaded: torch"
        assert process.wait(60) == 0


@pytest.mark.slow
def test_the_embedded_judge_gives_the_same_verdicts_through_the_gateway_as_in_process(tmp_path: Path) -> None:
    from judge import scenes
    from judge.judge import Judge
    from judge.serve.engine.ipc import judge_backend_spec

    list(scenes.write_scenes(tmp_path, 2, 5))
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    with gateway(judge_backend_spec("embedded"), embedded=True) as running:
        local = Judge()
        for row in rows:
            data = (tmp_path / row["image"]).read_bytes()
            for depth in ("verdict", "score"):
                form = {"prompt": row["prompt"], "depth": depth}
                response = running.post("/v1/verdicts", files={"image": data}, data=form)
                remote, own = response.json(), local(data, prompt=row["prompt"], depth=depth)  # type: ignore[arg-type]
                assert remote["score"] == pytest.approx(own.score, abs=1e-3)
                assert [e["name"] for e in remote["elements"]] == [e.name for e in own.elements]
                assert [d["kind"] for d in remote["defects"]] == [d.kind for d in own.defects]
                assert remote["provenance"]["notes"] == own.provenance.notes
                assert remote["provenance"]["domain"] == own.provenance.domain
