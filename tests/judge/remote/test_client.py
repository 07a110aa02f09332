"""The client gives the same verdicts and errors as a judge in this process, and bears with a busy server."""

from __future__ import annotations

import asyncio
import gc
import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from serving import Gateway, data_url, gateway, png

import judge
from judge import Client, Judge
from judge.errors import BackendError, Busy, Down, InputError, Late, MediaError
from judge.remote import client as clients
from judge.rubrics.files import known
from judge.serve import keys as keyring
from judge.serve.keys import Keys
from judge.serve.settings import Settings
from judge.types import Sample

ASKED: dict[str, Any] = {"prompt": "a red circle and two cats"}
KEY, LINE = keyring.made("alice", None)


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    with gateway() as one:
        yield one


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)


# -- The client ----------------------------------------------------------------------------------------


def pictures(folder: Path) -> list[Any]:
    (folder / "a.png").write_bytes(png())
    image = Image.open(io.BytesIO(png()))
    return [str(folder / "a.png"), folder / "a.png", png(), data_url(), image, np.asarray(image)]


def test_every_form_of_picture_is_judged(running: Gateway, tmp_path: Path) -> None:
    with Client(running.url) as client:
        for image in pictures(tmp_path):
            verdict = client.verdict(image, **ASKED, id="7")
            assert (verdict.status, verdict.id, verdict.size) == ("scored", "7", (40, 30))
            assert verdict.overlay().width >= 480
        assert client.verdict(png(), rubric="quality", depth="score").provenance.rubric == "quality"
        named = client.verdict(png(), **ASKED, elements=["a, b", "c"])
        assert [e.name for e in named.elements] == ["a, b", "c"]


def test_awaited_calls_are_the_same_calls(running: Gateway, tmp_path: Path) -> None:
    client = Client(running.url)

    async def request() -> None:
        verdicts = await asyncio.gather(*(client.averdict(image, **ASKED) for image in pictures(tmp_path)))
        assert {verdict.status for verdict in verdicts} == {"scored"}
        assert (await client.acompare(png(), png(), **ASKED)).a.id == "a"
        assert [v.status for v in await client.ascores([{"image": png(), **ASKED}])] == ["scored"]
        assert len(await client.arubrics()) == len(known())
        with pytest.raises(InputError, match="did you mean"):
            await client.averdict(png(), **ASKED, rubric="defualt")
        await client.aclose()

    asyncio.run(request())
    asyncio.run(request())  # closed, and used again

    async def closed() -> None:
        async with Client(running.url) as other:
            await other.arubrics()

    asyncio.run(closed())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_connections_of_an_event_loop_that_is_gone_are_not_used_again(running: Gateway) -> None:
    client = Client(running.url)
    for _ in range(2):
        assert len(asyncio.run(client.arubrics())) == len(known())  # type: ignore[arg-type]
    del client
    gc.collect()


def test_scores_come_in_order_and_bad_samples_are_unscored(running: Gateway, tmp_path: Path) -> None:
    samples: list[Any] = [{"id": str(n), "image": png(), "prompt": "a cat"} for n in range(10)]
    samples[2]["image"] = tmp_path / "missing.png"
    samples[4]["prompt"] = ""
    samples[6] = Sample(id="6", image=b"no picture", prompt="a cat")
    samples[8]["colour"] = "red"
    with Client(running.url) as client:
        verdicts = client.scores(samples, batch=3)
    assert [v.id for v in verdicts] == [str(n) for n in range(10)]
    assert [n for n, v in enumerate(verdicts) if v.status == "unscored"] == [2, 4, 6, 8]
    assert all(v.reason for v in verdicts if v.status == "unscored")
    assert {v.provenance.depth for v in verdicts} == {"score"}


def test_what_is_wrong_is_the_same_error_as_without_a_server(running: Gateway) -> None:
    with Client(running.url) as client:
        with pytest.raises(MediaError, match="missing.png"):
            client.verdict("missing.png", **ASKED)
        with pytest.raises(InputError) as caught:
            client.verdict(b"no picture", **ASKED)
        assert (caught.value.field, bool(caught.value.mend)) == ("image", True)
        with pytest.raises(InputError) as caught:
            client.verdict(png())
        assert caught.value.field == "prompt"
        for wrong in ({"prompt": "\ud800"}, {"prompt": "a cat", "elements": ["x", "x"]}):
            with pytest.raises(InputError):
                client.verdict(png(), **wrong)
        with pytest.raises(InputError) as caught:
            client.verdict("https://example.org/x.png", **ASKED)
        assert caught.value.field == "image"
        with pytest.raises(InputError) as caught:
            client.compare(png(), b"no picture", **ASKED)
        assert caught.value.field == "b"


def test_unusable_arguments_are_told() -> None:
    for arguments in (
        {"base_url": "127.0.0.1:8000"},
        {"base_url": "http://x", "timeout": 0},
        {"base_url": "http://x", "retries": -1},
        {"base_url": "http://x", "api_key": "a\r\nX-Evil: 1"},
    ):
        with pytest.raises(InputError):
            Client(**arguments)  # type: ignore[arg-type]


def test_the_key_is_sent_and_its_lack_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(keys=Keys(dict([LINE.split(":")])), page=False)
    with gateway(settings=settings) as one:
        assert Client(one.url, KEY).verdict(png(), **ASKED).status == "scored"
        with pytest.raises(InputError, match="key"):
            Client(one.url).verdict(png(), **ASKED)
        with pytest.raises(InputError, match="key"):
            list(Judge(one.url).many([{"image": png(), **ASKED}]))  # of every row alike: it ends the run
        monkeypatch.setenv("JUDGE_API_KEY", KEY)
        assert Client(one.url).verdict(png(), **ASKED).status == "scored"
        assert Judge(one.url)(png(), **ASKED).status == "scored"


def test_a_server_that_is_not_there_is_a_backend_error() -> None:
    with pytest.raises(BackendError, match="127.0.0.1:9"):
        Client("http://127.0.0.1:9").verdict(png(), **ASKED)


# -- A busy server -------------------------------------------------------------------------------------


class Moody(BaseHTTPRequestHandler):
    """Gives the answers that it was told to, in order; the last one for ever."""

    answers: list[tuple[int, dict[str, str], str]] = []
    asked = 0

    def do_GET(self) -> None:
        type(self).asked += 1
        status, headers, body = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def moody(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(clients, "FIRST_PAUSE", 0.01)
    Moody.asked = 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def fault(status: int, **headers: str) -> tuple[int, dict[str, str], str]:
    parts = {"field": "f", "value": "v", "allowed": "a", "mend": "m", "message": "told", "request_id": "1"}
    return (
        status,
        {name.replace("_", "-"): value for name, value in headers.items()},
        json.dumps({"error": parts}),
    )


FINE = (200, {}, '{"rubrics": []}')


def test_a_full_or_restarting_server_is_asked_again(moody: str) -> None:
    Moody.answers = [fault(429, Retry_After="0"), fault(503, Retry_After="0"), FINE]
    assert Client(moody).rubrics() == []
    assert Moody.asked == 3
    Moody.answers = [fault(429), fault(429), FINE]
    assert asyncio.run(Client(moody).arubrics()) == []


def test_asking_again_has_an_end(moody: str) -> None:
    Moody.answers = [fault(429, Retry_After="0")]
    with pytest.raises(Busy, match="told"):
        Client(moody, retries=2).rubrics()
    assert Moody.asked == 3


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (fault(503), Down),
        (fault(503, Retry_After="3600"), Down),
        (fault(504), Late),
        (fault(500), BackendError),
        (fault(400), InputError),
        (fault(401), InputError),
        ((502, {}, "<html>Bad gateway</html>"), BackendError),
        ((404, {}, "nothing"), BackendError),
        ((307, {"Location": "http://127.0.0.1:9/"}, ""), BackendError),
        ((200, {}, "<html>"), BackendError),
    ],
)
def test_other_answers_stand(moody: str, answer: Any, error: type[Exception]) -> None:
    Moody.answers = [answer]
    with pytest.raises(error) as caught:
        Client(moody).rubrics()
    assert type(caught.value) is error
    assert Moody.asked == 1


def test_no_pause_goes_beyond_the_timeout(moody: str) -> None:
    Moody.answers = [fault(429, Retry_After="20")]
    with pytest.raises(Busy):
        Client(moody, timeout=5.0).rubrics()
    assert Moody.asked == 1


# -- A judge at an address -----------------------------------------------------------------------------


def test_a_judge_at_an_address_behaves_as_one_in_this_process(running: Gateway, tmp_path: Path) -> None:
    judged = Judge(running.url)
    verdict = judged(png(), **ASKED, id="7", reference=png())
    assert (verdict.id, verdict.status) == ("7", "scored")
    assert any("reference" in note for note in verdict.provenance.notes)
    assert not any("not the one of this installation" in note for note in verdict.provenance.notes)
    assert judged(png(), **ASKED, depth="score").provenance.depth == "score"
    assert judged.compare(png(), png(), **ASKED).preferred in ("a", "b", "tie")
    assert judged.unscored("why", id="3").reason == "why"
    with pytest.raises(InputError, match="prompt"):
        judged(png())
    with pytest.raises(InputError, match="depth"):
        judged(png(), **ASKED, depth="deep")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no backend"):
        judged.backend  # noqa: B018
    assert Judge(running.url, rubric="quality")(png()).provenance.rubric == "quality"


def test_many_rows_are_asked_for_at_once_and_come_back_in_order(running: Gateway, tmp_path: Path) -> None:
    rows: list[Any] = [{"id": str(n), "image": png(), **ASKED} for n in range(40)]
    rows[3]["image"] = tmp_path / "missing.png"
    rows[5] = Sample(id="5", image=png(), prompt="")
    rows[7]["prompt"] = "a broken cat"
    verdicts = list(Judge(running.url).many(iter(rows), batch=8))
    assert [v.id for v in verdicts] == [str(n) for n in range(40)]
    assert [n for n, v in enumerate(verdicts) if v.status == "unscored"] == [3, 5, 7]
    assert verdicts[0]._image is None
    with pytest.raises(InputError, match="batch"):
        Judge(running.url).many(rows, batch=0)
    first = next(iter(Judge(running.url).many(iter(rows), batch=2)))
    assert first.id == "0"


def test_what_the_server_decides_is_refused() -> None:
    for options in (
        {"adapter": "x"},
        {"backend": "transformers"},
        {"seed": 3},
        {"max_defects": 2},
        {"max_pixels": 100},
        {"device": "cpu"},
    ):
        with pytest.raises(InputError, match=next(iter(options))):
            Judge("http://127.0.0.1:9", **options)  # type: ignore[arg-type]


def test_a_rubric_that_differs_from_the_servers_is_said(running: Gateway, tmp_path: Path) -> None:
    rubric = judge.Rubric.load("quality").model_copy(update={"description": "another one"})
    notes = Judge(running.url, rubric=rubric)(png()).provenance.notes
    assert any("not the one of this installation" in note for note in notes)
