"""The client gives the same verdicts and errors as a judge in this process."""

from __future__ import annotations

import asyncio
import gc
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from serving import Gateway, data_url, gateway, png

from judge import Client, Judge
from judge.errors import BackendError, InputError, MediaError
from judge.rubrics.files import list_rubric_names
from judge.serve.keys import Keys, create_key
from judge.serve.settings import Settings
from judge.types import Sample

PROMPT: dict[str, Any] = {"prompt": "a red circle and two cats"}
KEY, KEY_LINE = create_key("alice", None)


def image_in_every_form(folder: Path) -> list[Any]:
    """One image as path text, path, bytes, data URL, Pillow image and array."""
    (folder / "a.png").write_bytes(png())
    image = Image.open(io.BytesIO(png()))
    return [str(folder / "a.png"), folder / "a.png", png(), data_url(), image, np.asarray(image)]


def test_every_form_of_image_is_judged(running: Gateway, tmp_path: Path) -> None:
    with Client(running.url) as client:
        for image in image_in_every_form(tmp_path):
            verdict = client.verdict(image, **PROMPT, id="7")
            assert (verdict.status, verdict.id, verdict.size) == ("scored", "7", (40, 30))
            assert verdict.overlay().width >= 480
        assert client.verdict(png(), rubric="quality", depth="score").provenance.rubric == "quality"
        verdict = client.verdict(png(), **PROMPT, elements=["a, b", "c"])
        assert [element.name for element in verdict.elements] == ["a, b", "c"]


def test_awaitable_methods_do_the_same_and_work_after_closing(running: Gateway, tmp_path: Path) -> None:
    client = Client(running.url)

    async def use_and_close() -> None:
        images = image_in_every_form(tmp_path)
        verdicts = await asyncio.gather(*(client.averdict(image, **PROMPT) for image in images))
        assert {verdict.status for verdict in verdicts} == {"scored"}
        assert (await client.acompare(png(), png(), **PROMPT)).a.id == "a"
        assert [v.status for v in await client.ascores([{"image": png(), **PROMPT}])] == ["scored"]
        assert len(await client.arubrics()) == len(list_rubric_names())
        with pytest.raises(InputError, match="did you mean"):
            await client.averdict(png(), **PROMPT, rubric="defualt")
        await client.aclose()

    asyncio.run(use_and_close())
    asyncio.run(use_and_close())

    async def use_as_context_manager() -> None:
        async with Client(running.url) as other:
            await other.arubrics()

    asyncio.run(use_as_context_manager())


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_connections_of_an_ended_event_loop_are_not_used_again(running: Gateway) -> None:
    client = Client(running.url)
    for _ in range(2):
        assert len(asyncio.run(client.arubrics())) == len(list_rubric_names())  # type: ignore[arg-type]
    del client
    gc.collect()


def test_scores_come_in_order_and_bad_samples_are_unscored(running: Gateway, tmp_path: Path) -> None:
    samples: list[Any] = [{"id": str(n), "image": png(), "prompt": "a cat"} for n in range(10)]
    samples[2]["image"] = tmp_path / "missing.png"
    samples[4]["prompt"] = ""
    samples[6] = Sample(id="6", image=b"no image", prompt="a cat")
    samples[8]["colour"] = "red"
    with Client(running.url) as client:
        verdicts = client.scores(samples, batch=3)
    assert [verdict.id for verdict in verdicts] == [str(n) for n in range(10)]
    unscored = {n: verdict for n, verdict in enumerate(verdicts) if verdict.status == "unscored"}
    assert list(unscored) == [2, 4, 6, 8]
    assert all(verdict.reason for verdict in unscored.values())
    assert {verdict.provenance.depth for verdict in verdicts} == {"score"}


def test_errors_are_the_same_as_without_a_server(running: Gateway) -> None:
    with Client(running.url) as client:
        with pytest.raises(MediaError, match="missing.png"):
            client.verdict("missing.png", **PROMPT)
        with pytest.raises(InputError) as caught:
            client.verdict(b"no image", **PROMPT)
        assert (caught.value.field, bool(caught.value.mend)) == ("image", True)
        with pytest.raises(InputError) as caught:
            client.verdict(png())
        assert caught.value.field == "prompt"
        for unusable in ({"prompt": "\ud800"}, {"prompt": "a cat", "elements": ["x", "x"]}):
            with pytest.raises(InputError):
                client.verdict(png(), **unusable)
        with pytest.raises(InputError) as caught:
            client.verdict("https://example.org/x.png", **PROMPT)
        assert caught.value.field == "image"
        with pytest.raises(InputError) as caught:
            client.compare(png(), b"no image", **PROMPT)
        assert caught.value.field == "b"


@pytest.mark.parametrize(
    "arguments",
    [
        {"base_url": "127.0.0.1:8000"},
        {"base_url": "http://x", "timeout": 0},
        {"base_url": "http://x", "retries": -1},
        {"base_url": "http://x", "api_key": "a\r\nX-Evil: 1"},
    ],
)
def test_unusable_arguments_are_rejected(arguments: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Client(**arguments)


def test_the_api_key_is_sent_and_a_missing_key_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(keys=Keys(dict([KEY_LINE.split(":")])), page=False)
    with gateway(settings=settings) as locked:
        assert Client(locked.url, KEY).verdict(png(), **PROMPT).status == "scored"
        with pytest.raises(InputError, match="key"):
            Client(locked.url).verdict(png(), **PROMPT)
        with pytest.raises(InputError, match="key"):
            list(Judge(locked.url).many([{"image": png(), **PROMPT}]))  # concerns all rows, so it is raised
        monkeypatch.setenv("JUDGE_API_KEY", KEY)
        assert Client(locked.url).verdict(png(), **PROMPT).status == "scored"
        assert Judge(locked.url)(png(), **PROMPT).status == "scored"


def test_a_server_that_does_not_answer_is_a_backend_error() -> None:
    with pytest.raises(BackendError, match="127.0.0.1:9"):
        Client("http://127.0.0.1:9").verdict(png(), **PROMPT)
