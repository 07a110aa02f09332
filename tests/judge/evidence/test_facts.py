"""Measured facts: each grows with what its name says, on pictures where that was added."""

from __future__ import annotations

import io

import numpy as np
import pytest
from photographic import textured
from PIL import Image, ImageFilter

from judge import Judge, Rubric, RubricError
from judge.backends.scripted import Scripted
from judge.evidence.facts import AREA, FACTS, KINDS, estimators, measure
from judge.evidence.image import MEASURES
from judge.media.regions import iou

CHANNELS = ("red", "green", "blue")


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    """Smooth shapes with a few edges, in mid-tones."""
    y, x = np.mgrid[0:240, 0:320] / 40
    grey = 120 + 50 * np.sin(x) * np.cos(y) + 40 * ((x - 4) ** 2 + (y - 3) ** 2 < 4)
    return Image.fromarray(np.clip(grey, 5, 250).astype(np.uint8)).convert("RGB")


def jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=8)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def noisy(image: Image.Image) -> Image.Image:
    added = np.random.default_rng(0).normal(0, 15, (image.height, image.width, 1))
    return Image.fromarray(np.clip(np.asarray(image) + added, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("name", "changed", "sign"),
    [
        ("sharpness", lambda image: image.filter(ImageFilter.GaussianBlur(3)), -1),
        ("noise", noisy, 1),
        ("blockiness", jpeg, 1),
        ("clipping", lambda image: image.point(lambda v: 3 * v), 1),
        ("banding", lambda image: image.point(lambda v: v // 32 * 32), 1),
        *((f"{name}_combing", lambda image: image.point(lambda v: round(1.3 * v)), 1) for name in CHANNELS),
        ("red_end", lambda image: image.point(lambda v: v // 2), -1),
        ("blue_end", lambda image: image.point(lambda v: v // 2), -1),
    ],
)
def test_a_fact_moves_the_way_its_name_says(name: str, changed, sign: int, picture: Image.Image) -> None:
    before, after = measure(picture, [name])[name], measure(changed(picture), [name])[name]
    assert sign * (after - before) > 0.05


@pytest.mark.parametrize(
    ("name", "changed", "sign"),
    [
        ("direction_coarse", lambda image: moved(image, 15), 1),
        ("direction_middle", lambda image: moved(image, 7), 1),
        ("small_blocks", lambda image: webp(image), -1),
        ("flat_blocks", lambda image: jpeg(image), 1),
    ],
)
def test_a_fact_about_detail_moves_the_way_its_name_says(name: str, changed, sign: int) -> None:
    image = textured()
    before, after = measure(image, [name])[name], measure(changed(image), [name])[name]
    assert sign * (after - before) > 0.05


def moved(image: Image.Image, pixels: int) -> Image.Image:
    """Blurred along rows."""
    pixels_of = np.asarray(image, np.float32)
    return Image.fromarray(np.mean([np.roll(pixels_of, n, 1) for n in range(pixels)], 0).astype(np.uint8))


def webp(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=5)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def test_the_area_that_stands_out_is_where_noise_was_added(picture: Image.Image) -> None:
    spoilt = picture.copy()
    spoilt.paste(noisy(picture).crop((160, 60, 280, 180)), (160, 60))
    found = measure(spoilt, [*AREA, "area_noise", "area_blur"])
    box = tuple(
        found[f"area_{end}"] * side
        for end, side in zip(("x1", "y1", "x2", "y2"), (320, 240) * 2, strict=True)
    )
    assert iou(box, (160, 60, 280, 180)) > 0.5
    assert found["area_detail"] > 0.6 and found["area_noise"] > found["area_blur"] + 0.1


@pytest.mark.parametrize(
    ("kind", "spoil"),
    [
        ("noise", noisy),
        ("blur", lambda image: image.filter(ImageFilter.GaussianBlur(4))),
        ("compression", jpeg),
    ],
)
def test_what_is_wrong_seems_stronger_than_before(kind: str, spoil) -> None:
    photograph = textured()
    before, after = (measure(image, [f"seems_{kind}"]) for image in (photograph, spoil(photograph)))
    assert after[f"seems_{kind}"] > before[f"seems_{kind}"] + 0.1


def test_the_estimators_fit_the_measures() -> None:
    """A measure that is added, taken away or moved needs `judge finetune photos estimates` anew."""
    held = estimators()
    assert held.layers[0][0].shape[1] == held.known.shape[1] == len(MEASURES)
    assert held.layers[-1][0].shape[0] == len(KINDS)


def test_measuring_a_picture_twice_gives_the_same_numbers(picture: Image.Image) -> None:
    assert measure(picture, FACTS) == measure(picture.copy(), FACTS)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (17, 9)])
def test_every_fact_of_any_picture_is_a_number_from_0_to_1(size: tuple[int, int]) -> None:
    for shade in (0, 128, 255):
        found = measure(Image.new("RGB", size, (shade, shade, shade)), FACTS)
        assert set(found) == set(FACTS) and all(0 <= value <= 1 for value in found.values())


def test_facts_are_told_to_the_model_in_steps_and_kept_in_the_verdict(picture: Image.Image) -> None:
    rubric = _with_facts()
    backend = Scripted([{"score": 4}])
    verdict = Judge(backend=backend, rubric=rubric)(noisy(picture))
    told = backend.asks[0].messages[0]["content"][-1]["text"]
    assert verdict.facts.keys() == {"noise", "sharpness"}
    assert told == "; ".join(f"{name} {round(value * 100) * 10}" for name, value in verdict.facts.items())


def test_details_are_shown_after_the_whole_to_a_model_of_fixed_size_only(picture: Image.Image) -> None:
    rubric = _with_facts().model_copy(update={"details": 3})
    fixed, free = Scripted([{"score": 4}], size=64), Scripted([{"score": 4}])
    for backend in (fixed, free):
        Judge(backend=backend, rubric=rubric)(picture)
    assert [image.size for image in fixed.asks[0].images] == [(64, 64)] * 4
    assert [part["type"] for part in fixed.asks[0].messages[0]["content"]] == ["image"] * 4 + ["text"]
    middle = picture.crop((128, 88, 192, 152))
    assert fixed.asks[0].images[1].tobytes() == middle.tobytes()
    assert [image.size for image in free.asks[0].images] == [picture.size]


def test_a_fact_that_nobody_measures_is_named_with_those_that_are(tmp_path) -> None:
    (tmp_path / "t.jinja").write_text("x", "utf-8")
    file = tmp_path / "own.toml"
    file.write_text(
        'name = "own"\nversion = "1"\nfacts = ["beauty"]\n[templates]\nfull = "t.jinja"\nbrief = "t.jinja"\n'
    )
    with pytest.raises(RubricError, match="'beauty' is not measured; known are sharpness"):
        Rubric.load(file)


def _with_facts() -> Rubric:
    each = '{{ name }} {{ value }}{{ "; " if not loop.last }}'
    line = f"{{% for name, value in facts.items() %}}{each}{{% endfor %}}"
    return Rubric.model_validate(
        {
            "name": "measured",
            "version": "1",
            "needs_prompt": False,
            "elements": False,
            "explanation": 0,
            "facts": ["noise", "sharpness"],
            "templates": {"full": line, "brief": line},
        }
    )
