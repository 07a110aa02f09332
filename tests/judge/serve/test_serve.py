"""The gateway over real HTTP: verdicts, limits, and an engine that dies, stalls or never starts."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
from serving import QUICK, Gateway, data_url, gateway, gateway_process, png, recipe, until
from typer.testing import CliRunner

from judge.backends.base import Request
from judge.cli import app as cli
from judge.errors import Down, Late
from judge.rubrics.files import known
from judge.rubrics.rubric import Rubric
from judge.serve.engine.engine import Engine, Patience
from judge.serve.service import Service
from judge.serve.settings import Settings
from judge.types import Comparison, Verdict

ASKED = {"prompt": "a red circle and two cats"}


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    with gateway() as one:
        yield one


def together(url: str, count: int, **options: Any) -> list[httpx.Response]:
    """So many verdicts asked for at once."""

    async def request() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=url, timeout=120, trust_env=False, limits=limits) as client:
            form = {"files": {"image": png()}, "data": ASKED} | options
            return await asyncio.gather(*(client.post("/v1/verdicts", **form) for _ in range(count)))

    return asyncio.run(request())


# -- Answers -------------------------------------------------------------------------------------------


def test_a_file_and_a_data_url_give_the_same_kind_of_verdict(running: Gateway) -> None:
    form = running.post("/v1/verdicts", files={"image": png()}, data={**ASKED, "id": "7"})
    body = running.post("/v1/verdicts", json={"image": data_url(), **ASKED, "id": "7"})
    for answer in (form, body):
        assert answer.status_code == 200, answer.text
        verdict = Verdict.model_validate_json(answer.content)
        assert (verdict.id, verdict.status, verdict.size) == ("7", "scored", (40, 30))
        assert [e.name for e in verdict.elements] == ["red circle", "two cats"]
        assert verdict.provenance.backend == "filler"
        assert verdict.provenance.milliseconds > 0


def test_elements_of_a_form_may_be_repeated_or_one_json_list(running: Gateway) -> None:
    for given in (["a cat, asleep", "a dog"], '["a cat, asleep", "a dog"]'):
        answer = running.post("/v1/verdicts", files={"image": png()}, data={**ASKED, "elements": given})
        assert [e["name"] for e in answer.json()["elements"]] == ["a cat, asleep", "a dog"]


def test_score_depth_and_other_rubrics_can_be_asked_for(running: Gateway) -> None:
    found = running.verdict().json()
    assert found["provenance"]["depth"] == "verdict"
    answer = running.post(
        "/v1/verdicts", files={"image": png()}, data={"rubric": "quality", "depth": "score"}
    )
    made = answer.json()["provenance"]
    assert (made["rubric"], made["depth"]) == ("quality", "score")


def test_a_reply_that_cannot_be_read_is_an_unscored_verdict_and_no_error(running: Gateway) -> None:
    answer = running.verdict("something unreadable")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["score"]) == ("unscored", None)
    assert "JSON" in answer.json()["reason"]


def test_rows_are_scored_in_order_and_a_bad_one_costs_only_itself(running: Gateway) -> None:
    """A model that breaks over one row is asked again about the others of its batch, one by one."""
    rows: list[Any] = [{"id": str(n), "image": data_url(), "prompt": "a cat"} for n in range(40)]
    rows[3]["image"] = "picture.png"
    rows[5]["prompt"] = "a broken cat"
    rows[7]["image"] = data_url(b"no picture")
    rows[9] = 9
    rows[11]["colour"] = "red"
    rows[13]["prompt"] = ""
    answer = running.post("/v1/scores", json={"rows": rows})
    assert answer.status_code == 200, answer.text
    verdicts = [Verdict.model_validate(one) for one in answer.json()["verdicts"]]
    bad = [n for n, verdict in enumerate(verdicts) if verdict.status == "unscored"]
    assert bad == [3, 5, 7, 9, 11, 13]
    assert [v.id for v in verdicts] == ["" if n == 9 else str(n) for n in range(40)]
    assert answer.json()["scores"] == [v.score for v in verdicts]
    reasons = {n: verdicts[n].reason for n in bad}
    assert "paths are not read" in reasons[3]
    assert "it broke over this row" in reasons[5]
    assert "prompt" in reasons[13]


def test_two_pictures_are_compared(running: Gateway) -> None:
    files = {"a": png(), "b": png(color="red")}
    for options in ({"files": files, "data": ASKED}, {"json": {"a": data_url(), "b": data_url(), **ASKED}}):
        answer = running.post("/v1/compare", **options)
        assert answer.status_code == 200, answer.text
        found = Comparison.model_validate_json(answer.content)
        assert (found.a.id, found.b.id) == ("a", "b")
        assert found.preferred in ("a", "b", "tie")
    answer = running.post("/v1/compare", files={"a": png(), "b": b"none"}, data=ASKED)
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "b")


def test_rubrics_are_listed_with_what_they_ask(running: Gateway) -> None:
    listed = {one["name"]: one for one in running.get("/v1/rubrics").json()["rubrics"]}
    assert set(listed) == set(known())
    assert [d["name"] for d in listed["default"]["dimensions"]] == ["alignment", "structure"]
    assert running.verdict().json()["provenance"]["rubric_hash"] == listed["default"]["hash"]


@pytest.mark.parametrize(
    ("form", "field", "mend"),
    [
        ({"prompt": ""}, "prompt", "quality"),
        ({"prompt": "a cat", "rubric": "defualt"}, "rubric", "did you mean 'default'"),
        ({"prompt": "a cat", "rubric": "/etc/passwd"}, "rubric", "did you mean"),
        ({"prompt": "a cat", "depth": "deep"}, "depth", "openapi"),
        ({"prompt": "a cat", "colour": "red"}, "colour", "openapi"),
        ({"prompt": "a cat", "elements": ["a", "a"]}, "elements", "once"),
        ({"prompt": ["a cat", "a dog"]}, "prompt", "once"),
        ({"prompt": "x" * 30_000}, "prompt", "shorten"),
    ],
)
def test_bad_fields_are_told_with_the_mend(running: Gateway, form: Any, field: str, mend: str) -> None:
    answer = running.post("/v1/verdicts", files={"image": png()}, data=form)
    error = answer.json()["error"]
    assert (answer.status_code, error["field"]) == (400, field)
    assert mend in error["mend"]
    assert error["request_id"] == answer.headers["x-request-id"]
    assert error["message"] and error["allowed"]


def test_the_document_describes_every_route_and_its_examples_work(running: Gateway) -> None:
    document = running.get("/openapi.json").json()
    assert set(document["paths"]) >= {"/v1/verdicts", "/v1/scores", "/v1/compare", "/v1/rubrics", "/readyz"}
    for path in ("/v1/verdicts", "/v1/scores", "/v1/compare"):
        route = document["paths"][path]["post"]
        for status in ("400", "401", "413", "429", "503", "504"):
            schema = route["responses"][status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Error"}
        for example in route["requestBody"]["content"]["application/json"]["examples"].values():
            answer = running.post(path, json=example["value"])
            assert answer.status_code == 200, answer.text
    assert set(document["components"]["schemas"]["Fault"]["required"]) >= {"field", "mend", "request_id"}


def test_metrics_count_requests_verdicts_and_the_state(running: Gateway) -> None:
    running.verdict()
    text = running.get("/metrics").text
    assert re.search(r'judge_requests_total\{route="/v1/verdicts",status="200"\} [1-9]', text)
    assert re.search(r'judge_verdicts_total\{depth="verdict",rubric="default",status="scored"\} [1-9]', text)
    assert 'judge_state{state="ready"} 1.0' in text
    assert "judge_inside 0.0" in text
    assert "judge_engine_restarts_total 0.0" in text


def test_unknown_routes_and_methods_have_the_same_shape_of_error(running: Gateway) -> None:
    for answer, status in ((running.get("/nothing"), 404), (running.get("/v1/verdicts"), 405)):
        assert answer.status_code == status
        assert answer.json()["error"]["request_id"]


def test_a_continuous_engine_takes_new_asks_between_its_steps(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with gateway(recipe("streaming", gate=str(gate))) as one:
        gate.touch()
        assert {answer.status_code for answer in together(one.url, 40)} == {200}
        assert one.service.inside == one.service.engine.in_flight == 0


# -- Too much, too long --------------------------------------------------------------------------------


def test_a_full_house_refuses_at_once_and_says_when_to_come_back(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with gateway(recipe(gate=str(gate)), queue=3) as one:
        answers: list[httpx.Response] = []

        async def request() -> None:
            async with httpx.AsyncClient(base_url=one.url, timeout=60, trust_env=False) as client:

                async def single() -> None:
                    files = {"image": png()}
                    answers.append(await client.post("/v1/verdicts", files=files, data=ASKED))
                    if len(answers) == 5:
                        gate.touch()  # nobody was let in while three were inside

                await asyncio.gather(*(single() for _ in range(8)))

        asyncio.run(request())
        assert [answer.status_code for answer in answers] == [429] * 5 + [200] * 3
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in answers[:5])
        assert one.verdict().status_code == 200


def test_a_request_past_its_deadline_is_told_so_and_leaves_no_work_behind(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with gateway(recipe(gate=str(gate), batch=1), deadline=0.5) as one:
        assert [answer.status_code for answer in together(one.url, 6)] == [504] * 6
        assert one.service.inside == one.service.engine.in_flight == 0
        gate.touch()
        until(lambda: one.verdict().status_code == 200)


def test_a_client_that_hangs_up_frees_its_place(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with gateway(recipe(gate=str(gate)), queue=1) as one:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                one.url + "/v1/verdicts", files={"image": png()}, data=ASKED, timeout=0.5, trust_env=False
            )
        until(lambda: one.service.inside == 0)
        assert one.service.engine.in_flight == 0
        gate.touch()
        assert one.verdict().status_code == 200


def test_a_long_batch_does_not_keep_others_from_being_served(running: Gateway) -> None:
    """Rows stand in line a window at a time, so a verdict asked for later does not wait for all of them."""
    rows = [{"image": data_url(), "prompt": "a cat"} for _ in range(Settings().max_rows)]
    answer = running.post("/v1/scores", json={"rows": rows})
    assert answer.json()["scores"].count(None) == 0
    answer = running.post("/v1/scores", json={"rows": [*rows, rows[0]]})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "rows")


def rss(pid: int) -> float:
    """Resident memory in MB."""
    return int(re.findall(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024


@pytest.mark.slow
def test_two_thousand_at_once_are_answered_or_refused_and_memory_stays_flat(tmp_path: Path) -> None:
    """Four times as many as there is room for: exactly the room is served, the rest is told to come back."""
    enough = 5000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < enough:
        pytest.skip("too few open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, enough), hard))
    gate = tmp_path / "gate"
    boundary, body = "b", b""
    for name, value in (("prompt", b"a cat"), ('image"; filename="a.png', png())):
        body += b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
    body += b"--b--\r\n"
    head = f"POST /v1/verdicts HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    head += f"Content-Type: multipart/form-data; boundary={boundary}\r\nConnection: close\r\n\r\n"
    refused = 0

    async def one(port: int) -> int:
        nonlocal refused
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + body)
        answer = await reader.read()
        writer.close()
        status = int(answer.split(b" ", 2)[1])
        if status == 429:
            assert b"retry-after:" in answer.lower()
            refused += 1
            if refused == 1500:
                gate.touch()
        return status

    async def all_at_once(port: int) -> Counter[int]:
        return Counter(await asyncio.gather(*(one(port) for _ in range(2000))))

    try:
        with gateway_process({"gate": str(gate)}, queue=500, deadline=300.0) as (url, process):
            port = int(url.rpartition(":")[2])
            sizes = []
            for _ in range(3):
                gate.unlink(missing_ok=True)
                refused = 0
                assert asyncio.run(all_at_once(port)) == {200: 500, 429: 1500}
                sizes.append(rss(process.pid))
            text = httpx.get(url + "/metrics", trust_env=False).text
            assert "judge_inside 0.0" in text and "judge_engine_in_flight 0.0" in text
            assert sizes[2] - sizes[0] < 40, sizes
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


# -- The engine's life ---------------------------------------------------------------------------------


def test_an_engine_killed_under_load_fails_its_requests_and_another_takes_over() -> None:
    with gateway(recipe(seconds=0.01, batch=4), deadline=30.0) as one:
        first = one.service.engine.pid
        statuses: Counter[int] = Counter()
        answers: list[httpx.Response] = []

        async def load() -> None:
            async with httpx.AsyncClient(base_url=one.url, timeout=60, trust_env=False) as client:
                over = asyncio.Event()

                async def client_of_many() -> None:
                    while not over.is_set():
                        answer = await client.post("/v1/verdicts", files={"image": png()}, data=ASKED)
                        statuses[answer.status_code] += 1
                        answers.append(answer)
                        if answer.status_code == 503:
                            await asyncio.sleep(0.05)

                clients = [asyncio.create_task(client_of_many()) for _ in range(16)]
                while not statuses[200]:
                    await asyncio.sleep(0.01)
                assert first is not None
                os.kill(first, signal.SIGKILL)
                while not statuses[503]:
                    await asyncio.sleep(0.01)
                before = statuses[200]
                while statuses[200] < before + 32:
                    await asyncio.sleep(0.01)
                over.set()
                await asyncio.gather(*clients)

        asyncio.run(asyncio.wait_for(load(), 120))
        assert set(statuses) == {200, 503}
        assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
        assert one.service.engine.restarts == 1
        assert one.service.engine.pid not in (None, first)
        assert one.service.inside == one.service.engine.in_flight == 0
        assert one.get("/readyz").json() == {"state": "ready", "reason": ""}
        assert "judge_engine_restarts_total 1.0" in one.get("/metrics").text


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_ask_between_the_break_of_the_wire_and_its_notice_is_told_that_the_engine_is_down(
    new_loop: Any,
) -> None:
    """For a moment the wire is closed and nobody has read its end yet: a write then is nothing to asyncio
    and a RuntimeError to uvloop, which was an answer of 500 once in some hundred kills under load."""
    rubric = Rubric.load("quality")
    request = Request([], rubric.messages(), rubric.form())

    async def run() -> list[Any]:
        engine = Engine(recipe(), QUICK)
        await engine.start()
        try:
            await engine.settled()
            assert engine.state == "ready" and engine._writer is not None
            engine._writer.transport.abort()  # what a failed write or read of the wire does
            deadline = asyncio.get_running_loop().time() + 30
            requests = [engine.request("complete", request, deadline) for _ in range(3)]
            return await asyncio.gather(*requests, return_exceptions=True)
        finally:
            await engine.stop()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        outcomes = runner.run(run())
    assert [type(outcome) for outcome in outcomes] == [Down] * 3, outcomes


def test_a_model_whose_own_process_is_killed_takes_its_engine_with_it() -> None:
    """vLLM computes in a process of its own; an engine whose core is gone can answer nothing."""
    with gateway(recipe(child=True)) as one:
        card, engine = one.service.engine.card, one.service.engine.pid
        assert card is not None
        os.kill(int(card.revision), signal.SIGKILL)
        until(lambda: one.service.engine.restarts == 1 and one.service.state == "ready")
        assert one.service.engine.pid != engine
        assert one.verdict().status_code == 200


def test_a_fork_that_outlives_the_engine_does_not_hide_its_death() -> None:
    with gateway(recipe(fork=True)) as one:
        assert one.service.engine.pid is not None
        os.kill(one.service.engine.pid, signal.SIGKILL)
        until(lambda: one.service.engine.restarts == 1 and one.service.state == "ready")
        assert one.verdict().status_code == 200


def test_an_ending_gateway_takes_every_process_of_its_engine_along() -> None:
    with gateway(recipe(child=True)) as one:
        assert one.service.engine.card is not None and one.service.engine.pid is not None
        ids = [one.service.engine.pid, int(one.service.engine.card.revision)]
    until(lambda: not any(alive(pid) for pid in ids))


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_an_engine_without_a_gateway_ends_itself() -> None:
    with gateway_process({"child": True}) as (url, process):
        pid = process.pid
        (engine,) = [
            int(child)
            for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            if "judge.serve.engine.worker" in Path(f"/proc/{child}/cmdline").read_text()
        ]
        assert httpx.get(url + "/readyz", trust_env=False).status_code == 200
        process.kill()
        until(lambda: not alive(engine))


def test_an_engine_that_never_starts_is_given_up_and_the_reason_is_told() -> None:
    with gateway(recipe("broken")) as one:
        answer = one.get("/readyz")
        assert (answer.status_code, answer.json()["state"]) == (503, "failed")
        assert "the weights are not there" in answer.json()["reason"]
        assert one.service.engine.restarts == 2
        refused = one.verdict()
        assert (refused.status_code, "retry-after" in refused.headers) == (503, False)
        assert one.get("/healthz").status_code == 200


def test_a_bad_option_is_not_tried_again() -> None:
    with gateway(recipe("hopeless")) as one:
        assert "bits" in one.get("/readyz").json()["reason"]
        assert one.service.engine.restarts == 0


def test_a_stuck_engine_is_replaced(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    patience = Patience(first_pause=0.05, stall=0.2)
    with gateway(recipe(gate=str(gate)), patience=patience, deadline=1.0) as one:
        while not one.service.engine.restarts:
            assert one.verdict().status_code in (503, 504)
        gate.touch()
        until(lambda: one.verdict().status_code == 200)


def test_while_the_engine_loads_the_gateway_says_so() -> None:
    with gateway(recipe("slow_to_load", seconds=1.0), ready=False) as one:
        assert one.get("/healthz").status_code == 200
        answer = one.get("/readyz")
        assert (answer.status_code, answer.json()["state"]) == (503, "loading")
        refused = one.verdict()
        assert (refused.status_code, int(refused.headers["retry-after"]) >= 1) == (503, True)
        until(lambda: one.service.state == "ready")
        assert one.verdict().status_code == 200


def test_sigterm_finishes_what_is_inside_and_exits_cleanly_having_loaded_no_model_library(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    with gateway_process({"gate": str(gate)}) as (url, process):

        async def work() -> int:
            async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
                asked = client.post("/v1/verdicts", files={"image": png()}, data=ASKED)
                asking = asyncio.create_task(asked)
                while "judge_inside 1.0" not in (await client.get("/metrics")).text:
                    await asyncio.sleep(0.01)
                process.send_signal(signal.SIGTERM)
                with pytest.raises(httpx.ConnectError):
                    while True:  # until nobody is let in any more
                        # One that was in the door as it closed is cut off; the next finds it closed.
                        with suppress(httpx.ReadError, httpx.RemoteProtocolError):
                            async with httpx.AsyncClient(trust_env=False) as other:
                                await other.get(url + "/healthz")
                        await asyncio.sleep(0.02)
                gate.touch()
                return (await asking).status_code

        assert asyncio.run(work()) == 200
        assert process.stderr is not None
        assert process.stderr.read().strip() == "loaded:"
        assert process.wait(60) == 0


@pytest.mark.slow
def test_the_embedded_judge_gives_through_the_gateway_what_it_gives_here(tmp_path: Path) -> None:
    from judge import scenes
    from judge.judge import Judge
    from judge.serve.engine.ipc import judges

    list(scenes.write(tmp_path, 2, 5))
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    with gateway(judges("embedded"), embedded=True) as one:
        local = Judge()
        for row in rows:
            data = (tmp_path / row["image"]).read_bytes()
            for depth in ("verdict", "score"):
                form = {"prompt": row["prompt"], "depth": depth}
                answer = one.post("/v1/verdicts", files={"image": data}, data=form)
                found, own = answer.json(), local(data, prompt=row["prompt"], depth=depth)  # type: ignore[arg-type]
                assert found["score"] == pytest.approx(own.score, abs=1e-3)
                assert [e["name"] for e in found["elements"]] == [e.name for e in own.elements]
                assert [d["kind"] for d in found["defects"]] == [d.kind for d in own.defects]
                assert found["provenance"]["notes"] == own.provenance.notes
                assert found["provenance"]["domain"] == own.provenance.domain


# -- The command ---------------------------------------------------------------------------------------


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
def test_unusable_options_are_one_line(arguments: list[str], parts: list[str]) -> None:
    result = CliRunner().invoke(cli.app, ["serve", *arguments])
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.strip().splitlines()
    for part in parts:
        assert part in line


def test_a_taken_port_is_one_line(running: Gateway) -> None:
    result = CliRunner().invoke(cli.app, ["serve", "--port", running.url.rpartition(":")[2]])
    assert result.exit_code == 2
    assert "in use" in result.stderr


def test_deadlines_are_measured_from_the_start_of_the_request(tmp_path: Path) -> None:
    """A service that is used without HTTP keeps the same promise."""

    async def late() -> float:
        async with Service(Engine(recipe(gate=str(tmp_path / "gate")))) as service:
            await service.engine.settled()
            start = time.monotonic()
            with pytest.raises(Late):
                await service.verdict({"image": png(), "prompt": "a cat"}, deadline_s=0.2)
            return time.monotonic() - start

    assert asyncio.run(late()) >= 0.2
