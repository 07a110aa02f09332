"""Facts about videos: each fault of a clip changes the fact that measures it."""

from __future__ import annotations

import clips
import pytest

from judge.evidence.motion import MOTION_FACTS, measure_motion
from judge.media.video import load_video
from judge.scenes.clips import draw_clip
from judge.scenes.video_encoding import encode_video
from judge.scenes.vocabulary import CLIP_FAULTS


@pytest.fixture(scope="module")
def facts_by_fault() -> dict[str, dict[str, float]]:
    facts = {}
    for fault in ("none", *CLIP_FAULTS):
        clip = draw_clip(8, size=(224, 160), frames=20, fault=fault)
        data = encode_video(clip.frames, clip.size, clip.facts.frame_rate)
        facts[fault] = measure_motion(load_video(data))
    return facts


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
def test_each_fault_changes_its_fact(facts_by_fault: dict, fault: str, fact: str, sign: int) -> None:
    assert sign * (facts_by_fault[fault][fact] - facts_by_fault["none"][fact]) > 0.04


def test_facts_are_between_0_and_1(facts_by_fault: dict) -> None:
    single_frame = measure_motion(load_video(clips.encode_clip(clips.make_frames(1))))
    for facts in [*facts_by_fault.values(), single_frame]:
        assert list(facts) == list(MOTION_FACTS)
        assert all(0 <= value <= 1 for value in facts.values())
