"""Image files for `judge finetune distill`: distorted photographs, and crops of rated photographs.

    judge finetune photos pictures OUT DATA        # DATA holds clive_train/ and bsds500/

The command writes OUT/images/*.png and OUT/rows.jsonl (`{"id", "image"}`, and `"score"` of 1 to 5 for
photographs that people rated), in the format of the suite `folder`. OUT/held/rows.jsonl lists the photographs
of LIVE in the Wild that are never trained on. OUT/scenes/rows.jsonl lists drawn scenes with the score of
their structure, also for measuring. Scenes to train on are written by `judge scenes`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from finetune.config import DEFAULT_MAX_DAMAGED_SHARE
from finetune.photos.image_jobs import Pixels, find_images, usable_photos, usable_rated_photos
from judge.runtime.process_pool import create_process_pool
from judge.scenes.distorted_photos import distort_randomly, read_rgb_image

CROP_DISTORTION_SHARES = (0.5, 0.35, 0.1, 0.05)
"""Shares of crops of rated photographs without distortion, with a distorted whole, areas, and both. These
photographs have faults of their own."""
MIN_CROP_FACTOR = 0.5
"""Smallest side of a crop as a share of the photograph's, and smallest factor of its reduction."""

ScoredImage = tuple[Pixels, float | None]
"""An image and its score, if people rated it."""
StudentJob = Callable[[], ScoredImage]


def write_student_images(
    out: Path,
    data: Path,
    *,
    photos: int,
    crops: int,
    scenes: int,
    seed: int,
    tick: Callable[[int], None],
    extra: tuple[Sequence[Path], int] | None = None,
    max_damaged_share: float = DEFAULT_MAX_DAMAGED_SHARE,
) -> None:
    """Write all images.

    Args:
        out: folder to write.
        data: folder with LIVE in the Wild as `clive_train` and pristine photographs as `bsds500`.
        photos: number of images made of the pristine photographs: distorted, or cropped and half distorted.
        crops: number of crops of each rated photograph.
        scenes: number of scenes for measuring.
        seed: the same seed gives the same images.
        tick: called with the number of images done.
        extra: more images to distort, and how many images to make of them.
        max_damaged_share: largest share of the photographs of a dataset that cannot be read and are skipped.

    Raises:
        InputError: a dataset is missing, or too many of its photographs cannot be read.
    """
    # Every other round over the pristine photographs crops them: scores depend on what an image shows, too.
    makers = (_make_distorted_photo, _make_crop)
    rated, held_out, pristine = read_photographs(data, max_damaged_share)
    cropped = [path for _ in range(crops) for path, _ in rated]
    training_jobs: list[StudentJob] = [
        *(partial(_load_photo, *photo) for photo in rated),
        *(partial(_make_crop, path, seed * 1_000_003 + n) for n, path in enumerate(cropped)),
        *(
            partial(makers[n // len(pristine) % 2], pristine[n % len(pristine)], seed * 2_000_003 + n)
            for n in range(photos)
        ),
    ]
    if extra is not None:
        files, count = usable_photos(extra[0], max_damaged_share), extra[1]
        training_jobs += [
            partial(_make_distorted_photo, files[n % len(files)], seed * 3_000_017 + n) for n in range(count)
        ]
    done = 0
    for folder, jobs in (
        (out, training_jobs),
        (out / "held", [partial(_load_photo, *photo) for photo in held_out]),
        (out / "scenes", list(_scene_jobs(scenes, seed + 1))),
    ):
        done = _write_images(folder, jobs, done, tick)


def read_photographs(
    data: Path, max_damaged_share: float
) -> tuple[list[tuple[Path, float]], list[tuple[Path, float]], list[Path]]:
    """Return the rated photographs to train on and to measure on, with their scores, and the pristine ones.

    The arguments and errors are those of `write_student_images`.
    """
    rated, held_out = (
        usable_rated_photos(data / "clive_train", held, max_damaged_share) for held in (False, True)
    )
    return rated, held_out, usable_photos(find_images([data / "bsds500"]), max_damaged_share)


def _write_images(folder: Path, jobs: Sequence[StudentJob], done: int, tick: Callable[[int], None]) -> int:
    """Run jobs and write their images; return the number of images done so far."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    with create_process_pool() as pool:
        for n, score in enumerate(pool.map(partial(_save_image, folder), enumerate(jobs), chunksize=8)):
            row = {"id": f"{n:05}", "image": f"images/{n:05}.png"}
            rows.append(row if score is None else {**row, "score": score})
            tick(done + n + 1)
    partial_file = folder / "rows.jsonl.part"
    partial_file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    partial_file.rename(folder / "rows.jsonl")
    return done + len(jobs)


def _save_image(folder: Path, numbered_job: tuple[int, StudentJob]) -> float | None:
    cv2.setNumThreads(1)
    n, job = numbered_job
    pixels, score = job()
    Image.fromarray(pixels).save(folder / f"images/{n:05}.png", compress_level=1)
    return score


def _load_photo(path: Path, score: float) -> ScoredImage:
    return read_rgb_image(str(path)), score


def _make_crop(path: Path, seed: int) -> ScoredImage:
    """Make a crop of a photograph; reduce, mirror and distort it at random."""
    r, image = np.random.default_rng(seed), read_rgb_image(str(path))
    height, width = image.shape[:2]
    h, w = (int(side * r.uniform(MIN_CROP_FACTOR, 1)) for side in (height, width))
    y, x = r.integers(height - h + 1), r.integers(width - w + 1)
    image = image[y : y + h, x : x + w]
    if r.random() < 0.5:
        factor = r.uniform(MIN_CROP_FACTOR, 1)
        size = (int(w * factor), int(h * factor))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    if r.random() < 0.5:
        image = image[:, ::-1]
    return distort_randomly(np.ascontiguousarray(image), seed, CROP_DISTORTION_SHARES)[0], None


def _make_distorted_photo(path: Path, seed: int) -> ScoredImage:
    return distort_randomly(read_rgb_image(str(path)), seed)[0], None


def _make_scene(seed: int) -> ScoredImage:
    from judge.scenes import draw_scene

    scene = draw_scene(seed)
    return scene.image, 1 + 4 * scene.facts.quality


def _scene_jobs(count: int, seed: int) -> Iterator[StudentJob]:
    from judge.scenes.dataset import drawing_seeds

    yield from (partial(_make_scene, scene_seed) for scene_seed in drawing_seeds(seed, count))
