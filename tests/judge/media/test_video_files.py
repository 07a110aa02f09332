"""Video files as cameras, recorders and discs write them: every frame of an intact file is found."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from fractions import Fraction

import av
import clips
import numpy as np
import pytest

from judge.errors import MediaError
from judge.media.decoding import VideoFile, open_video
from judge.media.video import BURST_FRAMES, FRAMES_SHOWN, load_video

SHORT, LONG = 40, 270
FRAMES = clips.make_frames(LONG)
PERIOD = 24
"""Frames after which the moving square is at its first place again."""
STREAMS: dict[str, tuple[str, str, dict[str, str], dict[str, str]]] = {
    "ts": ("mpegts", "libx264", clips.X264, {}),
    "m2ts": ("mpegts", "libx264", clips.X264, {"mpegts_m2ts_mode": "1"}),
    "ts mpeg2": ("mpegts", "mpeg2video", clips.MPEG, {}),
    "ps mpeg2": ("mpeg", "mpeg2video", clips.MPEG, {}),
    "ps mpeg1": ("mpeg", "mpeg1video", clips.MPEG, {}),
    "vob": ("vob", "mpeg2video", clips.MPEG, {}),
    "avi": ("avi", "libx264", clips.X264, {}),
    "asf": ("asf", "libx264", clips.X264, {}),
    "mkv": ("matroska", "libx264", clips.X264, {}),
    "mov": ("mov", "libx264", clips.X264, {}),
    "flv": ("flv", "libx264", clips.X264, {}),
}
Encode = Callable[..., bytes]


@pytest.fixture(scope="module")
def encode() -> Encode:
    """Encodes one of `STREAMS`; the same stream only once."""
    done: dict[tuple[str, int], bytes] = {}

    def encode(name: str, count: int) -> bytes:
        if (name, count) not in done:
            container, codec, options, muxer = STREAMS[name]
            done[name, count] = clips.encode_stream(
                FRAMES[:count], container, codec, options=options, muxer=muxer
            )
        return done[name, count]

    return encode


def frames_of(file: VideoFile, first: int, count: int) -> Iterator[tuple[int, int]]:
    """Yield number and content (position of the square as a frame number) of decoded frames."""
    known = np.stack([frame.mean(axis=2) for frame in FRAMES[:PERIOD]])
    for frame in file.decode(first, count):
        errors = np.abs(known - np.asarray(frame.to_image((64, 48)), float).mean(axis=2)).mean(axis=(1, 2))
        yield frame.number, int(errors.argmin())


@pytest.mark.parametrize("name", STREAMS)
def test_every_frame_of_a_short_file_is_measured(encode: Encode, name: str) -> None:
    video = load_video(encode(name, SHORT))
    assert [len(burst) for burst in video.bursts] == [SHORT] and video.notes == []
    assert video.duration == pytest.approx(SHORT / 25, abs=0.01)
    assert video.times == pytest.approx(
        [(n + 0.5) * SHORT // FRAMES_SHOWN / 25 for n in range(FRAMES_SHOWN)], abs=0.01
    )


@pytest.mark.parametrize("name", STREAMS)
def test_every_burst_of_a_long_file_is_complete(encode: Encode, name: str) -> None:
    video = load_video(encode(name, LONG))
    assert [len(burst) for burst in video.bursts] == [BURST_FRAMES] * FRAMES_SHOWN and video.notes == []
    for burst in video.bursts:
        assert np.diff([time for time, _ in burst]) == pytest.approx(0.04, abs=0.002)


@pytest.mark.parametrize("name", STREAMS)
def test_frames_have_their_numbers_wherever_decoding_begins(encode: Encode, name: str) -> None:
    with open_video(encode(name, LONG), "video") as file:
        for first in (0, 1, 23, 24, 25, 130, 200, LONG - 5, 60):
            found = list(frames_of(file, first, 4))
            assert [number for number, _ in found] == list(range(first, min(first + 4, LONG)))
            assert [content for _, content in found] == [number % PERIOD for number, _ in found]
        assert list(file.decode(LONG, 4)) == list(file.decode(LONG + 50, 4)) == []


@pytest.mark.parametrize("name", ["ts", "vob"])
def test_without_seeking_the_frames_are_the_same(
    encode: Encode, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = encode(name, LONG)
    usual = load_video(data)
    monkeypatch.setattr(VideoFile, "_seek", lambda *_: None)
    in_one_pass = load_video(data)
    assert usual.times == in_one_pass.times
    assert all(a.tobytes() == b.tobytes() for a, b in zip(usual.frames, in_one_pass.frames, strict=True))


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("matroska", "libx264", clips.X264),
        ("webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
        ("mpegts", "libx264", clips.X264),
        ("mp4", "libx264", clips.X264),
        ("mov", "libx264", clips.X264),
        ("flv", "libx264", clips.X264),
        ("mpeg", "mpeg2video", clips.MPEG),
    ],
)
@pytest.mark.parametrize("start", [10, 3000])
def test_a_stream_may_begin_late(container: str, codec: str, options: dict[str, str], start: int) -> None:
    """Parts of a recording keep its clock; that is neither damage nor length."""
    video = load_video(clips.encode_stream(FRAMES[:20], container, codec, start=start, options=options))
    assert video.notes == [] and video.duration == pytest.approx(0.8, abs=0.01)
    assert video.times[0] < 0.1 and sum(map(len, video.bursts)) == 20


def test_a_late_stream_that_is_truncated_is_noted() -> None:
    data = clips.encode_stream(FRAMES[:60], "matroska", start=10)
    video = load_video(data[: len(data) * 2 // 3])
    assert video.notes[0].startswith("truncated or damaged") and 10 < sum(map(len, video.bursts)) < 60


@pytest.mark.parametrize("codec", ["mpeg4", "libx264"])
@pytest.mark.parametrize("count", [1, 2, 3, 7, 25])
def test_avi_with_frames_out_of_order_loses_none(codec: str, count: int) -> None:
    options = clips.X264 if codec == "libx264" else {"bf": "2", "g": "12"}
    video = load_video(clips.encode_stream(FRAMES[:count], "avi", codec, options=options))
    assert sum(map(len, video.bursts)) == count and video.notes == []


@pytest.mark.parametrize(("name", "count"), [("ts", 30), ("ts mpeg2", 150), ("vob", 30), ("ps mpeg1", 150)])
def test_joined_recordings_whose_times_start_again_are_read_to_the_end(
    encode: Encode, name: str, count: int
) -> None:
    video = load_video(encode(name, count) * 2)
    assert video.duration == pytest.approx(2 * count / 25, abs=0.05)
    assert sum(map(len, video.bursts)) == min(2 * count, FRAMES_SHOWN * BURST_FRAMES)
    assert len(video.notes) == 1 and "start again" in video.notes[0]


@pytest.mark.parametrize("name", ["ts", "ts mpeg2", "m2ts"])
def test_a_recording_that_begins_within_a_group_is_not_called_damaged(encode: Encode, name: str) -> None:
    size = 192 if name == "m2ts" else 188
    data = encode(name, 70)
    video = load_video(data[size * (len(data) // size // 5) :])
    assert 40 < sum(map(len, video.bursts)) < 70
    assert len(video.notes) <= 2 and all("key frame" in note for note in video.notes)


def test_an_edit_list_shortens_a_file_and_is_no_damage() -> None:
    options = {"preset": "ultrafast", "g": "10", "bf": "0"}
    data = bytearray(clips.encode_stream(FRAMES[:40], "mp4", options=options))
    entry = data.index(b"elst") + 12
    length = int.from_bytes(data[entry : entry + 4], "big")
    data[entry : entry + 4] = (length // 2).to_bytes(4, "big")
    video = load_video(bytes(data))
    assert sum(map(len, video.bursts)) == 20 and video.duration == pytest.approx(0.8) and video.notes == []


@pytest.mark.parametrize(
    ("container", "codec"), [("mp4", "libx264"), ("mpegts", "mpeg2video"), ("matroska", "libx264")]
)
def test_pixels_that_are_not_square_are_made_so(container: str, codec: str) -> None:
    options = clips.X264 if codec == "libx264" else clips.MPEG
    data = clips.encode_stream(FRAMES[:6], container, codec, options=options, aspect=Fraction(4, 3))
    video = load_video(data)
    assert (video.width, video.height) == video.still.size == (85, 48)


def test_uneven_times_of_a_damaged_long_file_leave_no_error() -> None:
    """Most frames in the first moments: the last spans have no frames of their own left."""
    times = [*range(0, 2 * 280, 2), *(1000 + 40 * n for n in range(5))]
    data = clips.encode_clip((clips.make_frames(30) * 10)[: len(times)], times=times, container="matroska")
    assert sum(map(len, load_video(data).bursts)) > 30


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts", "avi"])
def test_long_files_with_changed_bytes_give_frames_or_one_error(container: str) -> None:
    clean = clips.encode_stream(FRAMES, container)
    random = np.random.default_rng(7)
    for _ in range(6):
        data = bytearray(clean)
        for position in random.integers(0, len(data), 40):
            data[position] = random.integers(0, 256)
        try:
            assert load_video(bytes(data)).frames
        except MediaError as error:
            assert "\n" not in str(error)


def test_the_suite_encodes_what_it_says(encode: Encode) -> None:
    with av.open(io.BytesIO(encode("ts", LONG))) as file:
        packets = [packet for packet in file.demux(video=0) if packet.pts is not None]
    times = [packet.pts for packet in packets]
    assert times != sorted(times) and sum(packet.is_keyframe for packet in packets) > 5


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_bytes_overwritten_in_a_long_video_give_frames_or_one_error(container: str) -> None:
    """Of a long video the times are read first and some frames later; damage may make the two differ."""
    data = clips.encode_clip(clips.make_frames(300, (32, 32)), rate=25, container=container)
    rng = np.random.default_rng(5)
    read = 0
    for _ in range(12):
        damaged, at = bytearray(data), int(rng.integers(len(data) - 40))
        damaged[at : at + 40] = rng.bytes(40)
        try:
            video = load_video(bytes(damaged))
        except MediaError as error:
            assert error.mend
        else:
            read += 1
            assert video.frames and all(time <= video.duration for time in video.times)
    assert read
