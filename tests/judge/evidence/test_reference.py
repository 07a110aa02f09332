"""Measured facts beside a reference, and the verdicts that hold them."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageFilter
from pydantic import ValidationError

from judge import Judge, Rubric
from judge.backends.scripted import Scripted
from judge.evidence.reference import C1, CLEAN, FACTS, measure

PICTURE = Image.effect_noise((96, 64), 60).convert("RGB").filter(ImageFilter.GaussianBlur(1))
ANSWER = {"flaw": "none", "defects": [], "fidelity": 4, "perception": 4, "score": 4, "explanation": "fine"}


def plain(level: int) -> Image.Image:
    return Image.new("RGB", (40, 40), (level, level, level))


def test_the_same_picture_is_1_by_all() -> None:
    assert measure(PICTURE, PICTURE) == {name: 1.0 for name in FACTS}


def test_plain_pictures_give_what_the_formulas_say() -> None:
    found = measure(plain(100), plain(120))
    assert found["ref_psnr"] == pytest.approx(20 * np.log10(255 / 20) / CLEAN, abs=1e-5)
    assert found["ref_ssim"] == pytest.approx((2 * 100 * 120 + C1) / (100**2 + 120**2 + C1), abs=1e-4)
    assert found["ref_gmsd"] == pytest.approx(1), "no edge differs"


@pytest.mark.parametrize("name", FACTS)
def test_more_damage_is_less_alike(name: str) -> None:
    blurred = [PICTURE.filter(ImageFilter.GaussianBlur(radius)) for radius in (0.5, 1, 2, 4)]
    values = [measure(one, PICTURE, [name])[name] for one in blurred]
    assert values == sorted(values, reverse=True) and len(set(values)) == 4
    assert all(0 <= value < 1 for value in values)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (200, 10)])
def test_any_sizes_can_be_compared(size: tuple[int, int]) -> None:
    assert set(measure(PICTURE.resize(size), PICTURE)) == set(FACTS)
    assert all(0 <= value <= 1 for value in measure(PICTURE, PICTURE.resize(size)).values())


def test_a_restored_picture_is_measured_beside_its_reference_and_the_model_is_told() -> None:
    backend = Scripted([ANSWER])
    blurred = PICTURE.filter(ImageFilter.GaussianBlur(2))
    verdict = Judge(backend=backend, rubric="restoration")(blurred, reference=PICTURE)
    assert verdict.facts == measure(blurred, PICTURE)
    text = backend.asks[0].messages[-1]["content"][-1]["text"]
    assert f"ref_ssim {round(verdict.facts['ref_ssim'] * 100) * 10}" in text


def test_facts_beside_a_reference_need_one_in_the_rubric() -> None:
    raw = Rubric.load("aesthetics").model_dump()
    with pytest.raises(ValidationError, match=r"ref_ssim.*reference"):
        Rubric.model_validate({**raw, "facts": ["ref_ssim"]})
