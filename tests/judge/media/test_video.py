"""Loading videos: the documented sampling, exact times, and one clear error for every source that is no
video."""

from __future__ import annotations

import clips
import numpy as np
import pytest
from PIL import Image

from judge.backends.scripted import Scripted
from judge.errors import MediaError
from judge.judge import Judge
from judge.media.video import BURST_FRAMES, FEW_FRAMES_SHOWN, FRAMES_SHOWN, load_video

ANSWER = {
    "alignment": 5, "flicker": 5, "jitter": 2, "freezing": 5, "skipping": 5, "morphing": 4, "blur": 4,
    "quality": 3, "score": 3,
}  # fmt: skip


def mean_difference(image: Image.Image, frame: np.ndarray) -> float:
    return float(np.abs(np.asarray(image, float) - frame).mean())


# Sampling


def test_frames_are_taken_at_the_middles_of_equal_spans() -> None:
    frames = clips.make_frames(40)
    video = load_video(clips.encode_clip(frames))
    assert video.times == pytest.approx([0.2, 0.7, 1.2, 1.7, 2.2, 2.7, 3.2, 3.7])
    for time, image in zip(video.times, video.frames, strict=True):
        assert mean_difference(image, frames[round(time * 10)]) < 6
    assert (video.width, video.height) == (64, 48) == video.still.size
    assert video.duration == pytest.approx(4.0)
    assert sum(map(len, video.bursts)) == 40
    assert video.notes == []


def test_the_same_file_gives_the_same_frames() -> None:
    data = clips.encode_clip(clips.make_frames(30))
    a, b = load_video(data, side=32), load_video(data, side=32)
    assert a.times == b.times
    assert all(x.tobytes() == y.tobytes() for x, y in zip(a.frames, b.frames, strict=True))
    assert a.frames[0].size == (32, 32)


def test_the_first_frame_of_a_new_shot_is_shown() -> None:
    video = load_video(clips.encode_clip([*clips.make_frames(26), *clips.make_frames(14, seed=9)]))
    assert 2.6 in [pytest.approx(time) for time in video.times]
    assert len(video.times) == FRAMES_SHOWN + 1
    assert video.times == sorted(video.times)


def test_each_frame_of_a_very_short_video_is_shown_once() -> None:
    video = load_video(clips.encode_clip(clips.make_frames(3)))
    assert video.times == pytest.approx([0.0, 0.1, 0.2])
    assert len(load_video(clips.encode_clip(clips.make_frames(1))).frames) == 1


def test_times_of_a_variable_frame_rate_are_kept() -> None:
    times = [0, 4, 8, 50, 54, 58, 62, 66, 70, 200]
    video = load_video(clips.encode_clip(clips.make_frames(10), times=times, container="matroska"))
    assert {round(time, 2) for time in video.times} <= {t / 100 for t in times}
    assert video.times[-1] == pytest.approx(0.7)  # this frame is on the screen during the gap
    assert video.frame_interval == pytest.approx(0.04)


def test_only_bursts_of_a_long_video_are_decoded() -> None:
    frames = clips.make_frames(30) * 20
    video = load_video(clips.encode_clip(frames, rate=20, g="24"))
    assert sum(map(len, video.bursts)) <= FRAMES_SHOWN * BURST_FRAMES
    assert len(video.bursts) == len(video.times) == FRAMES_SHOWN
    assert video.times[0] < 4 and video.times[-1] > 26
    few = load_video(clips.encode_clip(frames, rate=20, g="24"), frame_count=FEW_FRAMES_SHOWN)
    assert len(few.times) == FEW_FRAMES_SHOWN and set(few.times) <= set(video.times)


def test_a_rotated_video_is_turned_upright() -> None:
    frames = clips.make_frames(8)
    video = load_video(clips.set_rotation(clips.encode_clip(frames)))
    assert (video.width, video.height) == (48, 64)
    assert mean_difference(video.frames[0], np.rot90(frames[0], -1)) < 6
    assert video.bursts[0][0][1].shape == (64, 48)
    assert video.notes == ["turned by 90 degrees, as the file says"]


def test_a_sequence_of_images_is_a_video() -> None:
    frames = clips.make_frames(12)
    from_images = load_video([Image.fromarray(frame) for frame in frames])
    from_array = load_video(np.stack(frames))
    assert from_images.times == from_array.times
    assert from_images.frames[3].tobytes() == from_array.frames[3].tobytes()
    assert "24 a second" in from_images.notes[0]


def test_sound_is_ignored() -> None:
    frames = clips.make_frames(10)
    with_sound, without = (load_video(clips.encode_clip(frames, sound=sound)) for sound in (True, False))
    assert with_sound.times == without.times


# Rejected sources


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (b"", "video"),
        (b"not a video at all", "damaged"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "damaged"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "damaged"),
        (clips.encode_sound_only(), "sound only"),
        (clips.encode_clip(clips.make_frames(20))[:900], "damaged"),
        ("https://example.org/a.mp4", "download it first"),
        ("/nowhere/a.mp4", "no such file"),
        ("/tmp", "directory"),
        (7, "pass one of these"),
        ([], "at least one image"),
        ([Image.new("RGB", (8, 8)), Image.new("RGB", (9, 8))], "one size"),
        (np.zeros((4, 4, 3), np.uint8), "frames, height"),
    ],
)
def test_a_source_that_is_no_video_gives_one_error_with_the_field(source: object, message: str) -> None:
    with pytest.raises(MediaError, match=message) as caught:
        load_video(source)
    assert caught.value.field.startswith("video")
    assert "\n" not in str(caught.value)


def test_limits_are_checked_before_decoding() -> None:
    data = clips.encode_clip(clips.make_frames(20))
    with pytest.raises(MediaError, match="at most 1.5 seconds"):
        load_video(data, max_seconds=1.5)
    with pytest.raises(MediaError, match="at most 100 bytes"):
        load_video(data, max_bytes=100)


def test_the_readable_frames_of_a_truncated_video_are_used() -> None:
    data = clips.encode_clip(clips.make_frames(40), container="matroska")
    truncated = data[: len(data) * 2 // 3]
    video = load_video(truncated)
    assert 1 < sum(map(len, video.bursts)) < 40
    assert len(video.notes) == 1 and video.notes[0].startswith("truncated or damaged")
    verdict = Judge(backend=Scripted([ANSWER]), rubric="video")(video=truncated)
    assert verdict.status == "scored"
    assert video.notes[0] in verdict.provenance.notes
