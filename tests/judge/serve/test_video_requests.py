"""Videos over HTTP: judged as in this process, and rejected if they are paths, damaged or too long."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clips
import pytest
from command_line import run
from serving import Gateway, gateway, png

from judge.errors import InputError
from judge.judge import Judge
from judge.media.video import load_video
from judge.remote.client import Client
from judge.serve import sample_judge
from judge.serve.engine.ipc import BackendSpec

PROMPT = "a red square that moves"
VIDEO = clips.encode_clip(clips.make_frames(24))


@pytest.fixture(scope="module")
def running() -> Iterator[Gateway]:
    with gateway(BackendSpec("random_backend:RandomBackend")) as one:
        yield one


def video_url(data: bytes) -> str:
    return f"data:video/mp4;base64,{base64.b64encode(data).decode()}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(VIDEO)
    return path


def test_every_kind_of_video_source_is_judged_and_drawn_on_its_middle_frame(
    running: Gateway, file: Path
) -> None:
    still = load_video(VIDEO).still
    with Client(running.url) as client:
        for video in (file, str(file), VIDEO, video_url(VIDEO)):
            verdict = client.verdict(video=video, prompt=PROMPT, rubric="video", id="7")
            assert (verdict.status, verdict.id, verdict.size) == ("scored", "7", still.size)
            assert set(verdict.facts) == set(Judge(running.url, rubric="video").rubric.facts)
            assert verdict.overlay().tobytes() == verdict.overlay(still).tobytes()


def test_a_judge_at_an_address_judges_one_video_and_many(running: Gateway, file: Path) -> None:
    judge = Judge(running.url, rubric="video")
    assert judge(video=file, prompt=PROMPT).status == "scored"
    rows: list[Any] = [{"id": "1", "video": file, "prompt": PROMPT}, {"id": "2", "video": b"not a video"}]
    one, other = judge.many(rows)
    assert (one.status, other.status) == ("scored", "unscored") and "a video file" in other.reason
    scored = Client(running.url).scores(rows, rubric="video")
    assert [verdict.status for verdict in scored] == ["scored", "unscored"]


def test_the_command_line_sends_videos_to_a_gateway(running: Gateway, file: Path) -> None:
    result = run("verdict", str(file), "--prompt", PROMPT, "--model", running.url, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["provenance"]["rubric"] == "video"


def test_frames_without_a_file_are_rejected_before_they_are_sent() -> None:
    with pytest.raises(InputError, match="save the frames as a video file") as caught:
        Judge("http://127.0.0.1:9", rubric="video")(video=clips.make_frames(3), prompt=PROMPT)
    assert caught.value.field == "video"


@pytest.mark.parametrize(
    ("body", "field", "mend"),
    [
        ({"video": "/etc/passwd"}, "video", "send the video itself"),
        ({"video": video_url(b"not a video")}, "video", "damaged"),
        ({"video": video_url(VIDEO), "image": f"data:image/png;base64,{base64.b64encode(png()).decode()}"},
         "image", "pass one of the two"),
        ({}, "image", "it is missing"),
        ({"image": video_url(VIDEO)}, "image", "check the file"),
    ],
)  # fmt: skip
def test_a_bad_video_gives_one_clear_error(
    running: Gateway, body: dict[str, str], field: str, mend: str
) -> None:
    response = running.post("/v1/verdicts", json={"prompt": PROMPT, **body})
    error = response.json()["error"]
    assert (response.status_code, error["field"]) == (400, field) and mend in error["mend"]


@pytest.mark.parametrize(
    ("constant", "limit", "allowed"),
    [
        ("MAX_VIDEO_SECONDS", 1.0, "at most 1 seconds"),
        ("MAX_VIDEO_FRAME_PIXELS", 1000, "at most 1000 pixels a frame"),
    ],
)
def test_a_video_that_takes_long_to_decode_is_rejected(
    running: Gateway, monkeypatch: pytest.MonkeyPatch, constant: str, limit: float, allowed: str
) -> None:
    monkeypatch.setattr(sample_judge, constant, limit)
    with pytest.raises(InputError) as caught:
        Client(running.url).verdict(video=VIDEO, prompt=PROMPT, rubric="video")
    assert caught.value.field == "video" and allowed in caught.value.allowed
