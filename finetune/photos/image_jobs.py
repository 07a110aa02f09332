"""Jobs that make one image of a dataset, with what is known of it. They run in any process."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from finetune.damaged_media import Damage, Report, find_damaged_image, skip_damaged_images
from judge.errors import InputError
from judge.media.file_names import is_hidden
from judge.scenes.distorted_photos import (
    DEFAULT_SHARES,
    DistortedArea,
    DistortionTruth,
    distort_randomly,
    read_rgb_image,
)
from judge.scenes.distortions import recompress

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
WHOLE_SHARES, AREA_SHARES = (0.12, 0.88, 0.0, 0.0), (0.1, 0.0, 0.75, 0.15)
"""Shares of images without distortion, with a distorted whole, with an area or two, and with both, in the
datasets that estimators are fitted on."""
RATED_VIEWS = 4
"""Images made of one rated photograph: itself, and crops of it, half of them mirrored."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Example:
    """What is known of one image."""

    source: str
    """distorted, opinion or scene."""
    name: str
    score: float
    """1 to 5."""
    kind: str = "none"
    """What distorts the whole image; empty if unknown."""
    strength: float = 0.0
    """Strength of that distortion, 0 to 1."""
    areas: tuple[DistortedArea, ...] = ()


ImageJob = Callable[[], tuple[Pixels, Example]]
"""Makes one image."""


def is_held_out(name: str) -> bool:
    """Return whether a rated photograph is kept for measuring: a quarter of them, chosen by file name."""
    return int(hashlib.sha256(Path(name).name.encode()).hexdigest()[:8], 16) % 4 == 0


def find_images(folders: Iterable[Path]) -> list[Path]:
    """List all image files below some folders, in order. Hidden ones are left out.

    Raises:
        InputError: a folder does not exist or holds no image.
    """
    images: list[Path] = []
    for folder in folders:
        found = sorted(
            path
            for path in folder.rglob("*")
            if path.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(path.relative_to(folder).as_posix())
        )
        if not found:
            raise InputError("photos", str(folder), "a folder with images", "name one that has some")
        images += found
    return images


def distorted_photo_jobs(
    photos: Sequence[Path],
    count: int,
    seed: int,
    shares: Sequence[float] = DEFAULT_SHARES,
    *,
    recompressed: bool = False,
) -> Iterator[ImageJob]:
    """Yield jobs for distorted photographs, each photograph equally often.

    Args:
        photos: files of pristine photographs.
        count: number of images.
        seed: the same seed gives the same images.
        shares: see `distort_randomly`.
        recompressed: encode half of the images as JPEG of good quality (80 to 97). This removes what a
            distortion leaves in single levels.
    """
    for n in range(count):
        path, own_seed = photos[n % len(photos)], seed * 1_000_003 + n
        yield partial(_make_distorted_photo, path, own_seed, tuple(shares), recompressed)


def _make_distorted_photo(
    path: Path, seed: int, shares: Sequence[float], recompressed: bool
) -> tuple[Pixels, Example]:
    image, truth = distort_randomly(read_rgb_image(str(path)), seed, shares)
    r = np.random.default_rng((seed, 1))
    if recompressed and r.random() < 0.5:
        image = recompress(image, "JPEG", int(r.integers(80, 98)))
    return image, _distorted_example(path.stem, truth)


def _distorted_example(name: str, truth: DistortionTruth) -> Example:
    return Example("distorted", name, truth.quality, truth.kind, truth.strength, truth.areas)


def read_rated_photos(folder: Path, held_out: bool | None) -> Iterator[tuple[Path, float]]:
    """Yield the photographs of LIVE in the Wild and their scores, with 0..100 mapped to 1..5.

    Args:
        folder: of the dataset, with `labels.csv` and `images/`.
        held_out: True for the quarter that is kept for measuring, False for the rest, None for all.

    Raises:
        InputError: the folder holds no such dataset.
    """
    from eval.suites.photographs.live_itw import read_labels

    if not (folder / "labels.csv").is_file():
        raise InputError("data", str(folder), "a folder with labels.csv and images/", "name LIVE in the Wild")
    for item in read_labels(folder / "labels.csv"):
        is_wanted = held_out is None or is_held_out(str(item.image)) == held_out
        if is_wanted and item.labels.mos is not None:
            score = 1 + 4 * min(1.0, max(0.0, item.labels.mos / 100))
            yield folder / "images" / str(item.image), score


def usable_photos(paths: Iterable[Path], max_share: float, report: Report = print) -> list[Path]:
    """Return the photographs that can be read; see `finetune.damaged_media.skip_damaged_images`."""
    return skip_damaged_images(paths, "photos", max_share, report, _find_damage)


def _find_damage(path: Path) -> Damage | None:
    """Return why a photograph cannot be read, by the judge or by OpenCV, which reads it here."""
    damage = find_damaged_image(path)
    if damage is None:
        try:
            read_rgb_image(str(path))
        except ValueError:
            damage = Damage(path.name, str(path), "OpenCV cannot read it: save it as PNG")
    return damage


def usable_rated_photos(
    folder: Path, held_out: bool | None, max_share: float, report: Report = print
) -> list[tuple[Path, float]]:
    """Return the photographs of `read_rated_photos` that can be read, and their scores."""
    rated = list(read_rated_photos(folder, held_out))
    usable = set(usable_photos((path for path, _ in rated), max_share, report)) if rated else set()
    return [(path, score) for path, score in rated if path in usable]


def rated_photo_jobs(rated: Iterable[tuple[Path, float]], held_out: bool | None) -> Iterator[ImageJob]:
    """Yield jobs for rated photographs: several views of each, or one of those held out."""
    for path, score in rated:
        for view in range(1 if held_out else RATED_VIEWS):
            yield partial(_make_rated_view, path, score, view)


def _make_rated_view(path: Path, score: float, view: int) -> tuple[Pixels, Example]:
    image, r = read_rgb_image(str(path)), np.random.default_rng(view)
    if view:
        height, width = image.shape[:2]
        h, w = (int(side * r.uniform(0.8, 1)) for side in (height, width))
        y, x = r.integers(height - h + 1), r.integers(width - w + 1)
        image = image[y : y + h, x : x + w]
    if view % 2:
        image = image[:, ::-1]
    return np.ascontiguousarray(image), Example("opinion", path.name, score, kind="")


SCENE_DEGRADATION_NAMES = {"jpeg": "compression"}
"""A scene's degradation -> its name in the rubric for photographs, where it differs."""
SCENE_DEFECT_NAMES = {"noise": "noise", "tint": "color cast"}
"""A scene's defect -> its name in that rubric. The rubric has no name for the others."""
LEVEL_STRENGTHS = (0.0, 0.2, 0.5, 0.85)
"""Strength of a scene's degradation, by its level."""
SCENE_DEFECT_STRENGTH = 0.6


def scene_jobs(count: int, seed: int) -> Iterator[ImageJob]:
    """Yield jobs for drawn scenes. Their score is that of their structure."""
    from judge.scenes.dataset import drawing_seeds

    yield from (partial(_make_scene, scene_seed) for scene_seed in drawing_seeds(seed, count))


def _make_scene(seed: int) -> tuple[Pixels, Example]:
    from judge.scenes import draw_scene

    scene = draw_scene(seed)
    facts, size = scene.facts, scene.facts.size
    areas = tuple(
        DistortedArea(
            SCENE_DEFECT_NAMES[defect.kind],
            SCENE_DEFECT_STRENGTH,
            tuple(v / size for v in defect.box),  # type: ignore[arg-type]
        )
        for defect in facts.defects
        if defect.kind in SCENE_DEFECT_NAMES
    )
    kind = SCENE_DEGRADATION_NAMES.get(facts.degradation, facts.degradation)
    score, strength = 1 + 4 * facts.quality, LEVEL_STRENGTHS[facts.level]
    return scene.image, Example("scene", str(seed), score, kind, strength, areas)
