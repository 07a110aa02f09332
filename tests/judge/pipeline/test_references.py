"""Reference images: shown before the image to judge, required, optional or not used."""

from __future__ import annotations

from pathlib import Path

import pytest
from example_rubric import write_example_rubric
from PIL import Image
from random_backend import RandomBackend

from judge.errors import InputError
from judge.judge import Judge
from judge.rubrics.files import list_rubric_names
from judge.rubrics.rubric import Rubric

PROMPT = "make it blue"


@pytest.mark.parametrize(
    "rubric", [name for name in list_rubric_names() if Rubric.load(name).reference == "required"]
)
def test_the_reference_is_shown_before_the_image(rubric: str) -> None:
    backend = RandomBackend(brief=False)
    reference, image = Image.new("RGB", (32, 32), "red"), Image.new("RGB", (32, 32), "blue")
    verdict = Judge(backend=backend, rubric=rubric)(image, reference=reference, prompt=PROMPT)
    (request,) = backend.requests
    assert [shown.getpixel((0, 0)) for shown in request.images] == [(255, 0, 0), (0, 0, 255)]
    assert [part["type"] for part in request.messages[0]["content"]] == ["image", "image", "text"]
    assert verdict.size == (32, 32) and not any("reference" in note for note in verdict.provenance.notes)


def test_a_missing_or_invalid_required_reference_is_an_error(noise_image: Image.Image) -> None:
    judge = Judge(backend=RandomBackend(), rubric="edit")
    with pytest.raises(InputError, match="reference.*rubric edit compares with it"):
        judge(noise_image, prompt=PROMPT)
    with pytest.raises(InputError, match="reference"):
        judge(noise_image, prompt=PROMPT, reference=b"not an image")


def test_a_reference_that_the_rubric_does_not_use_is_noted(noise_image: Image.Image) -> None:
    verdict = Judge(backend=RandomBackend())(noise_image, prompt=PROMPT, reference=noise_image)
    assert "rubric default does not use one" in verdict.provenance.notes[0]


def test_an_optional_reference_may_be_left_out(tmp_path: Path, noise_image: Image.Image) -> None:
    backend = RandomBackend(brief=False)
    path = write_example_rubric(tmp_path, ('reference = "none"', 'reference = "optional"'))
    judge = Judge(backend=backend, rubric=path)
    for reference in (None, noise_image):
        judge(noise_image, prompt=PROMPT, reference=reference)
    assert [len(request.images) for request in backend.requests] == [1, 2]
    texts = [request.messages[0]["content"][-1]["text"] for request in backend.requests]
    assert ["first picture is the reference" in text for text in texts] == [False, True]
