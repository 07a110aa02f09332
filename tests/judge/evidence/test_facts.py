"""Facts about images: each grows with what its name says, and they reach the model and the verdict."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter
from synthetic_photos import make_synthetic_photo

from judge import Judge, Rubric, RubricError
from judge.backends.scripted import Scripted
from judge.evidence.facts import AREA_FACTS, ESTIMATED_KINDS, IMAGE_FACTS, load_estimators, measure_image
from judge.evidence.measures import MEASURES
from judge.evidence.pretrained import FEATURE_LENGTH
from judge.media.regions import iou

CHANNELS = ("red", "green", "blue")
Change = Callable[[Image.Image], Image.Image]


@pytest.fixture(scope="module")
def smooth_image() -> Image.Image:
    """320 x 240 with smooth shapes and a few edges, in mid-tones."""
    y, x = np.mgrid[0:240, 0:320] / 40
    grey = 120 + 50 * np.sin(x) * np.cos(y) + 40 * ((x - 4) ** 2 + (y - 3) ** 2 < 4)
    return Image.fromarray(np.clip(grey, 5, 250).astype(np.uint8)).convert("RGB")


def compress(image: Image.Image, file_format: str, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, file_format, quality=quality)
    return Image.open(io.BytesIO(buffer.getvalue())).convert("RGB")


def compress_jpeg(image: Image.Image) -> Image.Image:
    return compress(image, "JPEG", 8)


def compress_webp(image: Image.Image) -> Image.Image:
    return compress(image, "WEBP", 5)


def add_noise(image: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 15, (image.height, image.width, 1))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def blur_rows(image: Image.Image, length: int) -> Image.Image:
    """Blur an image along its rows, like motion to the side."""
    pixels = np.asarray(image, np.float32)
    return Image.fromarray(np.mean([np.roll(pixels, n, 1) for n in range(length)], 0).astype(np.uint8))


@pytest.mark.parametrize(
    ("name", "change", "sign"),
    [
        ("sharpness", lambda image: image.filter(ImageFilter.GaussianBlur(3)), -1),
        ("noise", add_noise, 1),
        ("blockiness", compress_jpeg, 1),
        ("clipping", lambda image: image.point(lambda v: 3 * v), 1),
        ("banding", lambda image: image.point(lambda v: v // 32 * 32), 1),
        *((f"{name}_combing", lambda image: image.point(lambda v: round(1.3 * v)), 1) for name in CHANNELS),
        ("red_end", lambda image: image.point(lambda v: v // 2), -1),
        ("blue_end", lambda image: image.point(lambda v: v // 2), -1),
    ],
)
def test_a_fact_changes_in_the_direction_of_its_name(
    name: str, change: Change, sign: int, smooth_image: Image.Image
) -> None:
    before, after = (measure_image(image, [name])[name] for image in (smooth_image, change(smooth_image)))
    assert sign * (after - before) > 0.05


@pytest.mark.parametrize(
    ("name", "change", "sign"),
    [
        ("direction_coarse", lambda image: blur_rows(image, 15), 1),
        ("direction_middle", lambda image: blur_rows(image, 7), 1),
        ("small_blocks", compress_webp, -1),
        ("flat_blocks", compress_jpeg, 1),
    ],
)
def test_a_fact_about_detail_changes_in_the_direction_of_its_name(
    name: str, change: Change, sign: int
) -> None:
    photo = make_synthetic_photo()
    before, after = (measure_image(image, [name])[name] for image in (photo, change(photo)))
    assert sign * (after - before) > 0.05


def test_the_salient_area_is_where_noise_was_added(smooth_image: Image.Image) -> None:
    damaged = smooth_image.copy()
    damaged.paste(add_noise(smooth_image).crop((160, 60, 280, 180)), (160, 60))
    facts = measure_image(damaged, [*AREA_FACTS, "area_noise", "area_blur"])
    box = tuple(
        facts[f"area_{name}"] * side
        for name, side in zip(("x1", "y1", "x2", "y2"), (320, 240) * 2, strict=True)
    )
    assert iou(box, (160, 60, 280, 180)) > 0.5
    assert facts["area_detail"] > 0.6 and facts["area_noise"] > facts["area_blur"] + 0.1


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("noise", add_noise),
        ("blur", lambda image: image.filter(ImageFilter.GaussianBlur(4))),
        ("compression", compress_jpeg),
    ],
)
def test_a_distortion_raises_its_estimate(kind: str, change: Change) -> None:
    photo = make_synthetic_photo()
    before, after = (measure_image(image, [f"seems_{kind}"]) for image in (photo, change(photo)))
    assert after[f"seems_{kind}"] > before[f"seems_{kind}"] + 0.1


def test_the_estimators_fit_the_measures() -> None:
    """If a measure is added, removed or moved, `judge finetune photos estimates` must be run again."""
    estimators = load_estimators()
    assert estimators.layers[0][0].shape[1] == len(MEASURES)
    assert estimators.opinion_weight.shape == (2, FEATURE_LENGTH)
    assert estimators.layers[-1][0].shape[0] == len(ESTIMATED_KINDS)


def test_measuring_an_image_twice_gives_the_same_numbers(smooth_image: Image.Image) -> None:
    assert measure_image(smooth_image, IMAGE_FACTS) == measure_image(smooth_image.copy(), IMAGE_FACTS)


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (17, 9)])
def test_facts_of_images_of_any_size_are_between_0_and_1(size: tuple[int, int]) -> None:
    for shade in (0, 128, 255):
        facts = measure_image(Image.new("RGB", size, (shade, shade, shade)), IMAGE_FACTS)
        assert set(facts) == set(IMAGE_FACTS) and all(0 <= value <= 1 for value in facts.values())


def test_facts_are_shown_to_the_model_in_steps_and_kept_in_the_verdict(smooth_image: Image.Image) -> None:
    backend = Scripted([{"score": 4}])
    verdict = Judge(backend=backend, rubric=rubric_with_facts())(add_noise(smooth_image))
    text = backend.requests[0].messages[0]["content"][-1]["text"]
    assert verdict.facts.keys() == {"noise", "sharpness"}
    assert text == "; ".join(f"{name} {round(value * 100) * 10}" for name, value in verdict.facts.items())


def test_details_are_shown_after_the_whole_image_to_models_of_fixed_size_only(
    smooth_image: Image.Image,
) -> None:
    rubric = rubric_with_facts().model_copy(update={"details": 3})
    fixed, free = Scripted([{"score": 4}], size=64), Scripted([{"score": 4}])
    for backend in (fixed, free):
        Judge(backend=backend, rubric=rubric)(smooth_image)
    assert [image.size for image in fixed.requests[0].images] == [(64, 64)] * 4
    assert [part["type"] for part in fixed.requests[0].messages[0]["content"]] == ["image"] * 4 + ["text"]
    center = smooth_image.crop((128, 88, 192, 152))
    assert fixed.requests[0].images[1].tobytes() == center.tobytes()
    assert [image.size for image in free.requests[0].images] == [smooth_image.size]


def test_a_rubric_with_an_unknown_fact_is_rejected_with_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text("x", "utf-8")
    file = tmp_path / "own.toml"
    file.write_text(
        'name = "own"\nversion = "1"\nfacts = ["beauty"]\n[templates]\nfull = "t.jinja"\nbrief = "t.jinja"\n'
    )
    with pytest.raises(RubricError, match="'beauty' is not measured; known are sharpness"):
        Rubric.load(file)


def rubric_with_facts() -> Rubric:
    fact = '{{ name }} {{ value }}{{ "; " if not loop.last }}'
    template = f"{{% for name, value in facts.items() %}}{fact}{{% endfor %}}"
    return Rubric.model_validate(
        {
            "name": "measured",
            "version": "1",
            "needs_prompt": False,
            "elements": False,
            "explanation": 0,
            "facts": ["noise", "sharpness"],
            "templates": {"full": template, "brief": template},
        }
    )
