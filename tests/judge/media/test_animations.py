"""Animated images as videos: under a rubric about videos, in every form and on the command line."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import clips
import numpy as np
import pytest
from command_line import run
from encoded_images import encode_image
from PIL import Image

from judge.backends.scripted import Scripted
from judge.cli import judges
from judge.errors import InputError, MediaError
from judge.judge import Judge
from judge.media.animations import is_animation
from judge.media.video import load_video

FORMATS = ("GIF", "WEBP", "PNG", "AVIF")
FRAMES = [Image.fromarray(frame) for frame in clips.make_frames(20)]
MILLISECONDS = [100] * 10 + [50] * 10
ANSWER = {
    "alignment": 5, "flicker": 5, "jitter": 2, "freezing": 5, "skipping": 5, "morphing": 4, "blur": 4,
    "quality": 3, "score": 3,
}  # fmt: skip


def encode(
    kind: str, frames: list[Image.Image] = FRAMES, durations: Any = MILLISECONDS, **options: Any
) -> bytes:
    options = {"WEBP": {"lossless": True}, "AVIF": {"quality": 95}}.get(kind, {}) | options
    return encode_image(
        frames[0], kind, save_all=True, append_images=frames[1:], duration=durations, **options
    )


@pytest.fixture(scope="module")
def animations() -> dict[str, bytes]:
    return {kind: encode(kind) for kind in FORMATS}


@pytest.mark.parametrize("kind", FORMATS)
def test_frames_and_times_of_an_animation_are_read(animations: dict[str, bytes], kind: str) -> None:
    video = load_video(animations[kind])
    assert video.duration == pytest.approx(1.5) and sum(map(len, video.bursts)) == 20
    assert video.times == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4], abs=0.05)
    assert np.abs(np.asarray(video.frames[0], float) - np.asarray(FRAMES[0])).mean() < 8
    assert video.notes == [] and (video.width, video.height) == (64, 48)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("form", ["bytes", "path", "file url", "data url", "PIL image"])
def test_an_animation_is_a_video_under_a_rubric_about_videos(
    animations: dict[str, bytes], tmp_path: Path, kind: str, form: str
) -> None:
    data = animations[kind]
    path = tmp_path / f"clip.{kind.lower()}"
    path.write_bytes(data)
    opened = Image.open(io.BytesIO(data))
    opened.seek(3)
    url = f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode()}"
    forms = {"bytes": data, "path": path, "file url": path.as_uri(), "data url": url, "PIL image": opened}
    source: Any = forms[form]
    backend = Scripted([ANSWER, ANSWER])
    judge = Judge(backend=backend, rubric="video")
    as_image, as_video = judge(source), judge(video=source)
    for verdict in (as_image, as_video):
        assert verdict.status == "scored" and verdict.size == (64, 48) and "flicker" in verdict.facts
    assert as_image.facts == as_video.facts and opened.tell() == 3


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF", "JPEG"])
def test_a_still_image_is_no_video(kind: str) -> None:
    still = encode_image(FRAMES[0], kind)
    assert not is_animation(still)
    with pytest.raises(MediaError, match="still image" if kind != "JPEG" else "no video"):
        load_video(still)
    with pytest.raises(InputError, match="rubric video is about"):
        Judge(backend=Scripted(), rubric="video")(still)


def test_under_a_rubric_for_images_the_first_frame_is_judged(animations: dict[str, bytes]) -> None:
    answer = {"degradation": "none", "severity": "none", "score": 3, "explanation": ""}
    for data in animations.values():
        notes = Judge(backend=Scripted([answer]), rubric="quality")(data).provenance.notes
        assert "animation: judged by its first frame" in notes


def test_transparent_parts_are_white_and_frames_of_no_duration_last_a_tenth_of_a_second() -> None:
    layers = []
    for n in range(6):
        layer = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
        layer.paste((250, 0, 0, 255), (n * 4, 0, n * 4 + 10, 30))
        layers.append(layer)
    for kind in ("GIF", "WEBP", "PNG"):
        options = {"lossless": False, "quality": 95} if kind == "WEBP" else {"disposal": 2}
        video = load_video(encode(kind, layers, 0, **options))
        assert video.duration == pytest.approx(0.6), kind
        assert video.frames[0].getpixel((39, 29)) == (255, 255, 255), kind
        assert video.notes == ["transparent parts shown on white"]


def test_an_apng_whose_first_image_is_not_part_of_it() -> None:
    data = encode_image(
        FRAMES[0], "PNG", save_all=True, append_images=FRAMES[1:], duration=100, default_image=True
    )
    video = load_video(data)
    assert video.duration == pytest.approx(1.9)
    shown = FRAMES[1 + round(video.times[0] * 10)]
    assert np.array_equal(np.asarray(video.frames[0]), np.asarray(shown))


@pytest.mark.parametrize("kind", FORMATS)
def test_truncated_animations_give_their_frames_with_a_note_or_one_error(
    animations: dict[str, bytes], kind: str
) -> None:
    data = animations[kind]
    for tenth in range(1, 10):
        try:
            video = load_video(data[: len(data) * tenth // 10])
        except MediaError as error:
            assert error.field == "video" and "\n" not in str(error)
        else:
            assert 0 < sum(map(len, video.bursts)) <= 20
            assert any(note.startswith("truncated") for note in video.notes) or len(video.bursts[0]) == 20


def test_limits_hold_for_animations() -> None:
    data = encode("GIF")
    with pytest.raises(MediaError, match="at most 1 seconds"):
        load_video(data, max_seconds=1)
    with pytest.raises(MediaError, match="bytes"):
        load_video(data, max_bytes=100)
    long = encode("GIF", [Image.new("L", (1, 1), n % 2 * 255) for n in range(300)], 20)
    assert sum(map(len, load_video(long).bursts)) <= 128


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_the_command_line_judges_an_animation_as_the_rubric_asks(
    animations: dict[str, bytes], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"clip.{kind.lower()}"
    path.write_bytes(animations[kind])
    monkeypatch.setattr(
        judges, "open_judge", lambda *arguments: Judge(backend=Scripted([ANSWER]), rubric=arguments[3])
    )
    result = run("verdict", str(path), "--rubric", "video", "--json")
    assert result.exit_code == 0 and '"flicker"' in result.stdout
    rows = tmp_path / "rows.csv"
    rows.write_text(f"id,image\n1,{path.name}\n")
    result = run(
        "score", str(rows), "--out", str(tmp_path / "o.jsonl"), "--rubric", "video", "--depth", "score"
    )
    assert result.exit_code == 0 and "1 scored" in result.stderr
