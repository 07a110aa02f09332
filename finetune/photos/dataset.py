"""A dataset of photographs: images at the size that the embedded judge sees, measures and labels.

    judge finetune photos pool OUT PHOTOS... --count 4500          # pristine photographs, distorted
    judge finetune photos opinions OUT DATA                        # LIVE in the Wild, with its mean opinions
    judge finetune photos scenes OUT --count 700                   # drawn scenes
    judge finetune photos strengths OUT PHOTOS... --count 24000    # measures only; --areas: of areas

The commands write OUT/images.npy (n, 224, 224, 3) uint8, OUT/measured.npy (n,
judge.evidence.facts.VECTOR_LENGTH) float32, OUT/features.npy (n, judge.evidence.pretrained.FEATURE_LENGTH)
float32, and OUT/rows.jsonl, one `Example` a line. The rows are written last, so their file marks a full
dataset. Estimators of strengths need the measures of many images and nothing else: `strengths` writes neither
images.npy nor features.npy.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from finetune.photos.image_jobs import Example, ImageJob, Pixels
from judge.errors import InputError
from judge.evidence.facts import VECTOR_LENGTH, ImageMeasurement
from judge.evidence.pretrained import FEATURE_LENGTH, extract_features
from judge.runtime.process_pool import create_process_pool
from judge.scenes.distorted_photos import DistortedArea

IMAGE_PIXELS = 224
"""Side of the images."""
LOG_SECONDS = 30
"""Time between two lines about progress."""


class PhotoDataset:
    """A dataset on disk.

    Args:
        folder: of the dataset.
        load_images: False for a dataset without images and features.

    Raises:
        InputError: the folder holds no dataset, or one of another version.
    """

    def __init__(self, folder: Path, *, load_images: bool = True) -> None:
        if not (folder / "rows.jsonl").is_file():
            raise InputError(
                "pool", str(folder), "a folder with rows.jsonl", "write one with `judge finetune photos pool`"
            )
        if load_images and not (folder / "images.npy").is_file():
            mend = "a pool of `judge finetune photos strengths` is for `estimates` alone"
            raise InputError("pool", str(folder), "a folder with images.npy", mend)
        self.images: Any = np.load(folder / "images.npy", mmap_mode="r") if load_images else None
        self.measured: Any = np.load(folder / "measured.npy", mmap_mode="r")
        features = folder / "features.npy"
        self.features: Any = np.load(features, mmap_mode="r") if load_images and features.is_file() else None
        lines = (folder / "rows.jsonl").read_text().splitlines()
        self.rows = [_example_from_json(line) for line in lines]
        widths = [(self.measured, VECTOR_LENGTH), *([(self.features, FEATURE_LENGTH)] if load_images else [])]
        for numbers, width in widths:
            if numbers is None or numbers.shape != (len(self.rows), width):
                allowed = f"{width} numbers a row"
                raise InputError("pool", str(folder), allowed, "it is of another version: write it again")


def _example_from_json(line: str) -> Example:
    row = json.loads(line)
    areas = tuple(DistortedArea(a["kind"], a["strength"], tuple(a["box"])) for a in row.pop("spots"))
    return Example(**row, areas=areas)


def _example_to_json(example: Example) -> str:
    row = asdict(example)
    row["spots"] = row.pop("areas")
    return json.dumps(row)


def _run_job(
    job: ImageJob, keep_images: bool
) -> tuple[Pixels, NDArray[np.float32], NDArray[np.float32] | None, Example]:
    """Make an image; return it at the size that the judge sees, its measures, features and labels."""
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    pixels, example = job()
    size = (IMAGE_PIXELS, IMAGE_PIXELS)
    small = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
    features = extract_features(pixels) if keep_images else None
    return small, ImageMeasurement.from_pixels(pixels).vector, features, example


def write_photo_dataset(
    out: Path, jobs: Sequence[ImageJob], workers: int | None = None, *, keep_images: bool = True
) -> None:
    """Run jobs and write their images, measures, features and labels to a folder.

    Args:
        out: folder to write.
        jobs: at least one.
        workers: number of processes; default: one for each CPU.
        keep_images: False writes measures and labels only.

    Raises:
        InputError: there are no jobs.
    """
    if not jobs:
        raise InputError("pool", str(out), "at least one image", "give more photographs, or a larger count")
    out.mkdir(parents=True, exist_ok=True)
    (out / "rows.jsonl").unlink(missing_ok=True)
    images = features = None
    if keep_images:
        shape = (len(jobs), IMAGE_PIXELS, IMAGE_PIXELS, 3)
        images = np.lib.format.open_memmap(out / "images.npy", "w+", np.uint8, shape)
        features = np.lib.format.open_memmap(
            out / "features.npy", "w+", np.float32, (len(jobs), FEATURE_LENGTH)
        )
    measured = np.lib.format.open_memmap(out / "measured.npy", "w+", np.float32, (len(jobs), VECTOR_LENGTH))
    rows: list[str] = []
    start = last_log = time.monotonic()
    with create_process_pool(workers) as pool:
        run_job = partial(_run_job, keep_images=keep_images)
        for n, (image, measures, own_features, example) in enumerate(pool.map(run_job, jobs, chunksize=8)):
            measured[n] = measures
            if images is not None and features is not None:
                images[n], features[n] = image, own_features
            rows.append(_example_to_json(example))
            if time.monotonic() - last_log > LOG_SECONDS:
                last_log = time.monotonic()
                print(f"{n + 1} of {len(jobs)} images, {(n + 1) / (last_log - start):.0f}/s", flush=True)
    if images is not None and features is not None:
        images.flush()
        features.flush()
    measured.flush()
    partial_file = out / "rows.jsonl.part"
    partial_file.write_text("\n".join(rows) + "\n", "utf-8")
    partial_file.rename(out / "rows.jsonl")
    print(f"{len(jobs)} images in {time.monotonic() - start:.0f} s", flush=True)
