"""Videos in: the stated sampling, honest times, and one clear error for whatever is no video."""

from __future__ import annotations

import json
from pathlib import Path

import clips
import numpy as np
import pytest
from PIL import Image

from judge.backends.scripted import Scripted
from judge.errors import InputError, MediaError
from judge.evidence import motion
from judge.judge import Judge
from judge.media import video
from judge.rubrics.rubric import Rubric

RUBRIC = Rubric.load("video")
ANSWER = {
    "alignment": 5, "flicker": 5, "jitter": 2, "freezing": 5, "skipping": 5, "morphing": 4, "blur": 4,
    "quality": 3, "score": 3,
}  # fmt: skip


def closeness(picture: Image.Image, frame: np.ndarray) -> float:
    return float(np.abs(np.asarray(picture, float) - frame).mean())


# -- Sampling ------------------------------------------------------------------------------------------


def test_frames_lie_at_the_middles_of_equal_spans_with_their_times() -> None:
    frames = clips.plain(40)
    found = video.load(clips.film(frames))
    assert found.times == pytest.approx([0.2, 0.7, 1.2, 1.7, 2.2, 2.7, 3.2, 3.7])
    for time, picture in zip(found.times, found.frames, strict=True):
        assert closeness(picture, frames[round(time * 10)]) < 6
    assert (found.width, found.height) == (64, 48) == found.still.size
    assert found.duration == pytest.approx(4.0)
    assert sum(map(len, found.bursts)) == 40
    assert found.notes == []


def test_the_same_file_gives_the_same_frames() -> None:
    data = clips.film(clips.plain(30))
    a, b = video.load(data, side=32), video.load(data, side=32)
    assert a.times == b.times
    assert all(x.tobytes() == y.tobytes() for x, y in zip(a.frames, b.frames, strict=True))
    assert a.frames[0].size == (32, 32)


def test_a_new_shot_is_shown_from_its_first_frame() -> None:
    found = video.load(clips.film([*clips.plain(26), *clips.plain(14, seed=9)]))
    assert 2.6 in [pytest.approx(time) for time in found.times]
    assert len(found.times) == video.SHOWN + 1
    assert found.times == sorted(found.times)


def test_a_video_of_few_frames_shows_each_once() -> None:
    found = video.load(clips.film(clips.plain(3)))
    assert found.times == pytest.approx([0.0, 0.1, 0.2])
    assert len(video.load(clips.film(clips.plain(1))).frames) == 1


def test_uneven_times_are_kept() -> None:
    times = [0, 4, 8, 50, 54, 58, 62, 66, 70, 200]
    found = video.load(clips.film(clips.plain(10), times=times, container="matroska"))
    assert {round(time, 2) for time in found.times} <= {t / 100 for t in times}
    assert found.times[-1] == pytest.approx(0.7)  # the gap belongs to the frame that stood on the screen
    assert found.step == pytest.approx(0.04)


def test_of_a_long_video_only_bursts_are_decoded() -> None:
    frames = clips.plain(30) * 20
    found = video.load(clips.film(frames, rate=20, g="24"))
    assert sum(map(len, found.bursts)) <= video.SHOWN * video.BURST
    assert len(found.bursts) == len(found.times) == video.SHOWN
    assert found.times[0] < 4 and found.times[-1] > 26
    few = video.load(clips.film(frames, rate=20, g="24"), shown=video.FEW)
    assert len(few.times) == video.FEW and set(few.times) <= set(found.times)


def test_a_rotated_video_is_turned_upright() -> None:
    frames = clips.plain(8)
    found = video.load(clips.turned(clips.film(frames)))
    assert (found.width, found.height) == (48, 64)
    assert closeness(found.frames[0], np.rot90(frames[0], -1)) < 6
    assert found.bursts[0][0][1].shape == (64, 48)
    assert found.notes == ["turned by 90 degrees, as the file says"]


def test_pictures_in_a_row_are_a_video_too() -> None:
    frames = clips.plain(12)
    rows = video.load([Image.fromarray(frame) for frame in frames])
    block = video.load(np.stack(frames))
    assert rows.times == block.times
    assert rows.frames[3].tobytes() == block.frames[3].tobytes()
    assert "24 a second" in rows.notes[0]


# -- What is no video ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (b"", "video"),
        (b"not a video at all", "damaged"),
        (b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n", "damaged"),
        (b"ffconcat version 1.0\nfile /etc/hostname\n", "damaged"),
        (clips.sound_only(), "sound only"),
        (clips.film(clips.plain(20))[:900], "damaged"),
        ("https://example.org/a.mp4", "download it first"),
        ("/nowhere/a.mp4", "no such file"),
        ("/tmp", "directory"),
        (7, "pass one of these"),
        ([], "at least one picture"),
        ([Image.new("RGB", (8, 8)), Image.new("RGB", (9, 8))], "one size"),
        (np.zeros((4, 4, 3), np.uint8), "frames, height"),
    ],
)
def test_what_is_no_video_is_one_error_that_names_the_field(given: object, said: str) -> None:
    with pytest.raises(MediaError, match=said) as caught:
        video.load(given)
    assert caught.value.field.startswith("video")
    assert "\n" not in str(caught.value)


def test_limits_are_checked_before_anything_is_decoded() -> None:
    data = clips.film(clips.plain(20))
    with pytest.raises(MediaError, match="at most 1.5 seconds"):
        video.load(data, max_seconds=1.5)
    with pytest.raises(MediaError, match="at most 100 bytes"):
        video.load(data, max_bytes=100)


def test_a_video_that_breaks_off_is_judged_by_what_is_there() -> None:
    data = clips.film(clips.plain(40), container="matroska")
    found = video.load(data[: len(data) * 2 // 3])
    assert 1 < sum(map(len, found.bursts)) < 40
    assert len(found.notes) == 1 and found.notes[0].startswith("truncated or damaged")
    verdict = Judge(backend=Scripted([ANSWER]), rubric="video")(video=data[: len(data) * 2 // 3])
    assert verdict.status == "scored"
    assert found.notes[0] in verdict.provenance.notes


def test_sound_beside_the_pictures_changes_nothing() -> None:
    frames = clips.plain(10)
    with_sound, without = video.load(clips.film(frames, sound=True)), video.load(clips.film(frames))
    assert with_sound.times == without.times


# -- Facts ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, float]]:
    from judge.scenes.clips import draw_clip
    from judge.scenes.encoding import encode
    from judge.scenes.vocabulary import FAULTS

    found = {}
    for fault in ("none", *FAULTS):
        clip = draw_clip(8, size=(224, 160), frames=20, fault=fault)
        data = encode(clip.frames, clip.size, clip.facts.rate)
        found[fault] = motion.measure(video.load(data))
    return found


@pytest.mark.parametrize(
    ("fault", "fact", "sign"),
    [
        ("flicker", "flicker", 1),
        ("jitter", "jitter", 1),
        ("freezing", "frozen", 1),
        ("skipping", "leaps", 1),
        ("morphing", "unrest", 1),
        ("blur", "crispness", -1),
    ],
)
def test_each_fault_shows_in_its_fact(measured: dict, fault: str, fact: str, sign: int) -> None:
    assert sign * (measured[fault][fact] - measured["none"][fact]) > 0.04


def test_facts_lie_between_0_and_1(measured: dict) -> None:
    for facts in [*measured.values(), motion.measure(video.load(clips.film(clips.plain(1))))]:
        assert list(facts) == list(motion.FACTS)
        assert all(0 <= value <= 1 for value in facts.values())


# -- Asking --------------------------------------------------------------------------------------------


def test_a_model_that_takes_videos_gets_one_and_others_its_frames() -> None:
    data = clips.film(clips.plain(40))
    taking, not_taking = Scripted([ANSWER], films=True), Scripted([ANSWER])
    for backend in (taking, not_taking):
        verdict = Judge(backend=backend, rubric="video")(video=data, prompt="")
        assert verdict.status == "scored" and verdict.dimensions["jitter"].score == 2
        assert verdict.size == (64, 48) and set(verdict.facts) == set(RUBRIC.facts)
        assert verdict.overlay().size[0] >= 64
    (film,), content = taking.asks[0].films, taking.asks[0].messages[0]["content"]
    assert [part["type"] for part in content] == ["video", "text"]
    assert len(film.frames) == len(film.times) == video.SHOWN and not taking.asks[0].images
    content = not_taking.asks[0].messages[0]["content"]
    assert [part["type"] for part in content[:4]] == ["text", "image", "text", "image"]
    assert content[0]["text"] == "<0.2 seconds>"
    assert len(not_taking.asks[0].images) == video.SHOWN and not not_taking.asks[0].films
    assert f"flicker: {round(verdict.facts['flicker'] * 100) * 10}" in content[-1]["text"]


def test_picture_video_and_rubric_must_fit_together() -> None:
    judge = Judge(backend=Scripted(), rubric="video")
    with pytest.raises(InputError, match="rubric video is about"):
        judge(Image.new("RGB", (40, 30)))
    with pytest.raises(InputError, match="nothing beside a video"):
        judge(Image.new("RGB", (40, 30)), video=clips.film(clips.plain(3)))
    about_pictures = Judge(backend=Scripted([{"degradation": "none", "severity": "none", "score": 3,
                                              "explanation": ""}]), rubric="quality")  # fmt: skip
    notes = about_pictures(video=clips.film(clips.plain(3))).provenance.notes
    assert any("rubric quality is made for pictures" in note for note in notes)


# -- Clips ---------------------------------------------------------------------------------------------


def test_clips_are_drawn_the_same_again_with_exact_labels(tmp_path: Path) -> None:
    from judge.scenes.dataset import write_clips

    for name in ("a", "b"):
        assert list(write_clips(tmp_path / name, 3, 5, workers=1)) == [1, 2, 3]
    rows = [json.loads(line) for line in (tmp_path / "a/rows.jsonl").read_text().splitlines()]
    assert (tmp_path / "a/rows.jsonl").read_bytes() == (tmp_path / "b/rows.jsonl").read_bytes()
    for row in rows:
        path = tmp_path / "a" / row["video"]
        assert path.read_bytes() == (tmp_path / "b" / row["video"]).read_bytes()
        assert len(video.load(path).frames) >= video.SHOWN
        d = row["labels"]["dimensions"]
        share = (d["alignment"] - 1) / 4
        assert row["labels"]["score"] == pytest.approx(1 + share * (d["quality"] - 1))


def test_a_worse_fault_costs_more_and_only_where_it_belongs() -> None:
    from judge.scenes.clips import ClipFacts, Fault

    mild, strong = (ClipFacts(None, [Fault("blur", s)], 24, 30) for s in (0.1, 0.9))
    assert mild.left("blur") > strong.left("blur")
    assert mild.left("flicker") == 5.0


def test_the_suite_scenes_reads_rows_of_clips(tmp_path: Path) -> None:
    from eval.suites import suite
    from judge.scenes.dataset import write_clips

    list(write_clips(tmp_path, 2, 7, workers=1))
    items = list(suite("scenes").read(tmp_path))
    assert [item.video.is_file() for item in items] == [True, True]
    assert items[0].asked().video == items[0].video and items[0].asked().image is None
    assert items[0].labels.mos == items[0].labels.score
