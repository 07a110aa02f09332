"""Facts about an image compared with its reference, and the verdicts that contain them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from pydantic import ValidationError

from judge import Judge, Rubric
from judge.backends.scripted import Scripted
from judge.evidence.reference import MAX_PSNR, REFERENCE_FACTS, SSIM_C1, compare_with_reference

IMAGE = Image.effect_noise((96, 64), 60).convert("RGB").filter(ImageFilter.GaussianBlur(1))
ANSWER = {"flaw": "none", "defects": [], "fidelity": 4, "perception": 4, "score": 4, "explanation": "fine"}


def uniform_image(level: int) -> Image.Image:
    return Image.new("RGB", (40, 40), (level, level, level))


def test_all_facts_of_identical_images_are_1() -> None:
    assert compare_with_reference(IMAGE, IMAGE) == {name: 1.0 for name in REFERENCE_FACTS}


def test_uniform_images_give_the_values_of_the_formulas() -> None:
    facts = compare_with_reference(uniform_image(100), uniform_image(120))
    ssim = (2 * 100 * 120 + SSIM_C1) / (100**2 + 120**2 + SSIM_C1)
    assert facts["ref_psnr"] == pytest.approx(20 * np.log10(255 / 20) / MAX_PSNR, abs=1e-5)
    assert facts["ref_ssim"] == pytest.approx(ssim, abs=1e-4)
    assert facts["ref_gmsd"] == pytest.approx(1), "no edge differs"


@pytest.mark.parametrize("name", REFERENCE_FACTS)
def test_more_blur_is_less_similar(name: str) -> None:
    blurred = [IMAGE.filter(ImageFilter.GaussianBlur(radius)) for radius in (0.5, 1, 2, 4)]
    values = [compare_with_reference(image, IMAGE, [name])[name] for image in blurred]
    assert values == sorted(values, reverse=True) and len(set(values)) == 4
    assert all(0 <= value < 1 for value in values)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (200, 10)])
def test_images_of_different_sizes_can_be_compared(size: tuple[int, int]) -> None:
    assert set(compare_with_reference(IMAGE.resize(size), IMAGE)) == set(REFERENCE_FACTS)
    assert all(0 <= value <= 1 for value in compare_with_reference(IMAGE, IMAGE.resize(size)).values())


def test_facts_of_a_restored_image_are_in_the_verdict_and_shown_to_the_model() -> None:
    backend = Scripted([ANSWER])
    blurred = IMAGE.filter(ImageFilter.GaussianBlur(2))
    verdict = Judge(backend=backend, rubric="restoration")(blurred, reference=IMAGE)
    assert verdict.facts == compare_with_reference(blurred, IMAGE)
    text = backend.requests[0].messages[-1]["content"][-1]["text"]
    assert 0.4 < verdict.facts["ref_ssim"] < 0.6 and "structural similarity to the reference: low" in text


def test_a_rubric_without_a_reference_cannot_use_these_facts() -> None:
    content = Rubric.load("aesthetics").model_dump()
    with pytest.raises(ValidationError, match=r"ref_ssim.*reference"):
        Rubric.model_validate({**content, "facts": ["ref_ssim"]})
