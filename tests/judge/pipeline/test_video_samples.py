"""Videos in the pipeline: what models with and without video input are shown, and invalid samples."""

from __future__ import annotations

import clips
import pytest
from PIL import Image

from judge.backends.scripted import Scripted
from judge.errors import InputError
from judge.judge import Judge
from judge.media.video import FRAMES_SHOWN
from judge.rubrics.rubric import Rubric

RUBRIC = Rubric.load("video")
ANSWER = {
    "alignment": 5, "flicker": 5, "jitter": 2, "freezing": 5, "skipping": 5, "morphing": 4, "blur": 4,
    "quality": 3, "score": 3,
}  # fmt: skip


def test_a_model_with_video_input_is_shown_the_video_and_other_models_its_frames() -> None:
    data = clips.encode_clip(clips.make_frames(40))
    with_video, without_video = Scripted([ANSWER], takes_video=True), Scripted([ANSWER])
    for backend in (with_video, without_video):
        verdict = Judge(backend=backend, rubric="video")(video=data, prompt="")
        assert verdict.status == "scored" and verdict.dimensions["jitter"].score == 2
        assert verdict.size == (64, 48) and set(verdict.facts) == set(RUBRIC.facts)
        assert verdict.overlay().size[0] >= 64
    request = with_video.requests[0]
    (video,), content = request.videos, request.messages[0]["content"]
    assert [part["type"] for part in content] == ["video", "text"]
    assert len(video.frames) == len(video.times) == FRAMES_SHOWN and not request.images
    request = without_video.requests[0]
    content = request.messages[0]["content"]
    assert [part["type"] for part in content[:4]] == ["text", "image", "text", "image"]
    assert content[0]["text"] == "<0.2 seconds>"
    assert len(request.images) == FRAMES_SHOWN and not request.videos
    assert f"flicker: {round(verdict.facts['flicker'] * 100) * 10}" in content[-1]["text"]


def test_image_video_and_rubric_must_fit_together() -> None:
    judge = Judge(backend=Scripted(), rubric="video")
    with pytest.raises(InputError, match="rubric video is about"):
        judge(Image.new("RGB", (40, 30)))
    with pytest.raises(InputError, match="no image if there is a video"):
        judge(Image.new("RGB", (40, 30)), video=clips.encode_clip(clips.make_frames(3)))
    answer = {"degradation": "none", "severity": "none", "score": 3, "explanation": ""}
    image_judge = Judge(backend=Scripted([answer]), rubric="quality")
    notes = image_judge(video=clips.encode_clip(clips.make_frames(3))).provenance.notes
    assert any("rubric quality is made for images" in note for note in notes)
