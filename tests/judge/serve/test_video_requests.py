"""Videos over HTTP: judged as in this process, and refused where they would read or cost too much."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clips
import pytest
from serving import Gateway, gateway, png
from typer.testing import CliRunner

from judge.cli import app as cli
from judge.errors import InputError
from judge.judge import Judge
from judge.media.video import load
from judge.remote.client import Client
from judge.serve import service
from judge.serve.engine.ipc import Recipe

PROMPT = "a red square that moves"
FILM = clips.film(clips.plain(24))


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    with gateway(Recipe("filler:Filler")) as found:
        yield found


def url_of(data: bytes) -> str:
    return f"data:video/mp4;base64,{base64.b64encode(data).decode()}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(FILM)
    return path


def test_every_form_of_video_is_judged_and_drawn_on_its_middle_frame(running: Gateway, file: Path) -> None:
    still = load(FILM).still
    with Client(running.url) as client:
        for video in (file, str(file), FILM, url_of(FILM)):
            verdict = client.verdict(video=video, prompt=PROMPT, rubric="video", id="7")
            assert (verdict.status, verdict.id, verdict.size) == ("scored", "7", still.size)
            assert set(verdict.facts) == set(Judge(running.url, rubric="video").rubric.facts)
            assert verdict.overlay().tobytes() == verdict.overlay(still).tobytes()


def test_a_judge_at_an_address_takes_videos_one_by_one_and_many(running: Gateway, file: Path) -> None:
    judged = Judge(running.url, rubric="video")
    assert judged(video=file, prompt=PROMPT).status == "scored"
    rows: list[Any] = [{"id": "1", "video": file, "prompt": PROMPT}, {"id": "2", "video": b"no film"}]
    one, other = judged.many(rows)
    assert (one.status, other.status) == ("scored", "unscored") and "a video file" in other.reason
    told = Client(running.url).scores(rows, rubric="video")
    assert [verdict.status for verdict in told] == ["scored", "unscored"]


def test_the_command_line_sends_videos_to_a_gateway(running: Gateway, file: Path) -> None:
    given = ["verdict", str(file), "--prompt", PROMPT, "--model", running.url, "--json"]
    result = CliRunner().invoke(cli.app, given)
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["provenance"]["rubric"] == "video"


def test_frames_without_a_file_are_refused_before_they_are_sent() -> None:
    with pytest.raises(InputError, match="save the frames as a video file") as caught:
        Judge("http://127.0.0.1:9", rubric="video")(video=clips.plain(3), prompt=PROMPT)
    assert caught.value.field == "video"


@pytest.mark.parametrize(
    ("body", "field", "mend"),
    [
        ({"video": "/etc/passwd"}, "video", "send the video itself"),
        ({"video": url_of(b"no film")}, "video", "damaged"),
        ({"video": url_of(FILM), "image": f"data:image/png;base64,{base64.b64encode(png()).decode()}"},
         "image", "pass one of the two"),
        ({}, "image", "it is missing"),
        ({"image": url_of(FILM)}, "image", "it is none"),
    ],
)  # fmt: skip
def test_what_is_no_video_is_one_clear_error(
    running: Gateway, body: dict[str, str], field: str, mend: str
) -> None:
    answer = running.post("/v1/verdicts", json={"prompt": PROMPT, **body})
    told = answer.json()["error"]
    assert (answer.status_code, told["field"]) == (400, field) and mend in told["mend"]


@pytest.mark.parametrize(
    ("limit", "most", "told"),
    [("FILM_SECONDS", 1.0, "at most 1 seconds"), ("FILM_PIXELS", 1000, "at most 1000 pixels a frame")],
)
def test_a_video_that_would_keep_a_thread_for_long_is_refused(
    running: Gateway, monkeypatch: pytest.MonkeyPatch, limit: str, most: float, told: str
) -> None:
    monkeypatch.setattr(service, limit, most)
    with pytest.raises(InputError) as caught:
        Client(running.url).verdict(video=FILM, prompt=PROMPT, rubric="video")
    assert caught.value.field == "video" and told in caught.value.allowed
