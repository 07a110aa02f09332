"""A pool of photographs: what a judge of 224 x 224 sees, and what was measured, memory-mapped; truths beside.

    judge finetune photos pool OUT PHOTOS... --count 4500          # pristine photographs, distorted
    judge finetune photos opinions OUT DATA                        # LIVE in the Wild, with its mean opinions
    judge finetune photos scenes OUT --count 700                   # drawn scenes
    judge finetune photos strengths OUT PHOTOS... --count 24000    # measures alone; --areas: of areas

Writes OUT/images.npy (n, 224, 224, 3) uint8, OUT/measured.npy (n, judge.evidence.facts.WIDTH) float32, and
OUT/rows.jsonl with one `Example` a line, last, so that a pool that has it is whole. Estimators need what is
measured in many pictures, and no pictures: `strengths` keeps no images.npy.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.errors import InputError
from judge.evidence.facts import WIDTH, Measured
from judge.runtime.processes import clean_pool
from judge.scenes.distorted import SHARES, Spot, Truth, distort, read_rgb
from judge.scenes.distortions import encoded

SIDE = 224
PICTURES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
WHOLES, AREAS = (0.12, 0.88, 0.0, 0.0), (0.1, 0.0, 0.75, 0.15)
"""Of pictures for estimators: with nothing wrong, the whole, an area or two, both."""
VIEWS = 4
"""Pictures made of one photograph with an opinion: itself, and parts of it, half of them mirrored."""

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Example:
    """What is known of one picture of a pool."""

    source: str
    """distorted, opinion or scene."""
    name: str
    score: float
    """1 to 5."""
    kind: str = "none"
    """What spoils the whole picture; empty where nobody said."""
    strength: float = 0.0
    spots: tuple[Spot, ...] = ()


Job = Callable[[], tuple[Pixels, Example]]
"""Makes one picture, in whatever process it is called."""


class Pool:
    """A pool on disk, with its pictures or without. Raises `InputError` where there is none."""

    def __init__(self, folder: Path, *, pictures: bool = True) -> None:
        if not (folder / "rows.jsonl").is_file():
            raise InputError(
                "pool", str(folder), "a folder with rows.jsonl", "write one with `judge finetune photos pool`"
            )
        if pictures and not (folder / "images.npy").is_file():
            mend = "a pool of `judge finetune photos strengths` is for `estimates` alone"
            raise InputError("pool", str(folder), "a folder with images.npy", mend)
        self.images: Any = np.load(folder / "images.npy", mmap_mode="r") if pictures else None
        self.measured: Any = np.load(folder / "measured.npy", mmap_mode="r")
        self.rows = [_example(json.loads(line)) for line in (folder / "rows.jsonl").read_text().splitlines()]
        if self.measured.shape != (len(self.rows), WIDTH):
            raise InputError(
                "pool", str(folder), f"{WIDTH} numbers a row", "it is of another version: write it anew"
            )


def _example(row: dict[str, Any]) -> Example:
    spots = tuple(Spot(s["kind"], s["strength"], tuple(s["box"])) for s in row.pop("spots"))
    return Example(**row, spots=spots)


def is_held_out(name: str) -> bool:
    """Whether a photograph with an opinion is kept for measuring: a quarter of them, by name."""
    return int(hashlib.sha256(Path(name).name.encode()).hexdigest()[:8], 16) % 4 == 0


def pictures_in(folders: Iterable[Path]) -> list[Path]:
    """All picture files below some folders, in order.

    Raises:
        InputError: a folder is not there, or holds no picture.
    """
    found: list[Path] = []
    for folder in folders:
        some = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURES)
        if not some:
            raise InputError("photos", str(folder), "a folder with pictures", "name one that has some")
        found += some
    return found


def distorted(
    photos: Sequence[Path], count: int, seed: int, shares: Sequence[float] = SHARES, *, saved: bool = False
) -> Iterator[Job]:
    """Jobs for `count` distorted pictures, every photograph equally often.

    Args:
        photos: pristine photographs.
        count: how many pictures.
        seed: the same seed, the same pictures.
        shares: see `distort`.
        saved: half of them as they come back from a good JPEG file, which wipes away what a distortion leaves
            in single levels.
    """
    for n in range(count):
        yield partial(_distorted, photos[n % len(photos)], seed * 1_000_003 + n, tuple(shares), saved)


def _distorted(path: Path, seed: int, shares: Sequence[float], saved: bool) -> tuple[Pixels, Example]:
    image, truth = distort(read_rgb(str(path)), seed, shares)
    r = np.random.default_rng((seed, 1))
    if saved and r.random() < 0.5:
        image = encoded(image, "JPEG", int(r.integers(80, 98)))
    return image, example_of(path.stem, truth)


def example_of(name: str, truth: Truth) -> Example:
    return Example("distorted", name, truth.quality, truth.kind, truth.strength, truth.spots)


def rated(folder: Path, held_out: bool) -> Iterator[tuple[Path, float]]:
    """The photographs of LIVE in the Wild (`labels.csv` and `images/`) and their scores, 0..100 as 1..5.

    Args:
        folder: of the data set.
        held_out: the quarter that is kept for measuring, or the rest.

    Raises:
        InputError: there is no such data set.
    """
    from eval.suites.live_itw import labels

    if not (folder / "labels.csv").is_file():
        raise InputError("data", str(folder), "a folder with labels.csv and images/", "name LIVE in the Wild")
    for item in labels(folder / "labels.csv"):
        if is_held_out(str(item.image)) == held_out and item.labels.mos is not None:
            score = 1 + 4 * min(1.0, max(0.0, item.labels.mos / 100))
            yield folder / "images" / str(item.image), score


def opinions(folder: Path, held_out: bool) -> Iterator[Job]:
    """Jobs for the photographs of `rated`, those that are learnt from in several views."""
    for path, score in rated(folder, held_out):
        for n in range(1 if held_out else VIEWS):
            yield partial(_opinion, path, score, n)


def _opinion(path: Path, score: float, n: int) -> tuple[Pixels, Example]:
    image, r = read_rgb(str(path)), np.random.default_rng(n)
    if n:
        height, width = image.shape[:2]
        h, w = (int(side * r.uniform(0.8, 1)) for side in (height, width))
        y, x = r.integers(height - h + 1), r.integers(width - w + 1)
        image = image[y : y + h, x : x + w]
    if n % 2:
        image = image[:, ::-1]
    return np.ascontiguousarray(image), Example("opinion", path.name, score, kind="")


SCENE_KINDS = {"jpeg": "compression"}
"""What the rubric for photographs calls a scene's degradation, where it is another word."""
SCENE_SPOTS = {"noise": "noise", "tint": "color cast"}
"""The defects of scenes that it calls a distorted area; the others are not of its kind."""
LEVELS = (0.0, 0.2, 0.5, 0.85)
"""Strength of a scene's degradation by its level."""


def scenes(count: int, seed: int) -> Iterator[Job]:
    """Jobs for drawn scenes; the score is that of their structure."""
    from judge.scenes.dataset import seeds

    yield from (partial(_scene, one) for one in seeds(seed, count))


def _scene(seed: int) -> tuple[Pixels, Example]:
    from judge.scenes import draw

    scene = draw(seed)
    facts, size = scene.facts, scene.facts.size
    spots = tuple(
        Spot(SCENE_SPOTS[flaw.kind], 0.6, tuple(v / size for v in flaw.box))  # type: ignore[arg-type]
        for flaw in facts.flaws
        if flaw.kind in SCENE_SPOTS
    )
    kind = SCENE_KINDS.get(facts.degradation, facts.degradation)
    return scene.image, Example("scene", str(seed), 1 + 4 * facts.quality, kind, LEVELS[facts.level], spots)


def _seen(job: Job) -> tuple[Pixels, NDArray[np.float32], Example]:
    """A picture as the judge sees it, what is measured in it, and its truth."""
    cv2.setNumThreads(1)
    pixels, example = job()
    small = np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return small, Measured.of(pixels).row, example


def build(out: Path, jobs: Sequence[Job], workers: int | None = None, *, pictures: bool = True) -> None:
    """Make a pool of jobs' pictures, or of what is measured in them alone.

    Raises:
        InputError: there are none.
    """
    if not jobs:
        raise InputError("pool", str(out), "at least one picture", "give more photographs, or a larger count")
    out.mkdir(parents=True, exist_ok=True)
    (out / "rows.jsonl").unlink(missing_ok=True)
    images = None
    if pictures:
        images = np.lib.format.open_memmap(out / "images.npy", "w+", np.uint8, (len(jobs), SIDE, SIDE, 3))
    measured = np.lib.format.open_memmap(out / "measured.npy", "w+", np.float32, (len(jobs), WIDTH))
    rows: list[str] = []
    begun = said = time.monotonic()
    with clean_pool(workers) as pool:
        for n, (image, numbers, example) in enumerate(pool.map(_seen, jobs, chunksize=8)):
            measured[n] = numbers
            if images is not None:
                images[n] = image
            rows.append(json.dumps(asdict(example)))
            if time.monotonic() - said > 30:
                said = time.monotonic()
                print(f"{n + 1} of {len(jobs)} pictures, {(n + 1) / (said - begun):.0f}/s", flush=True)
    if images is not None:
        images.flush()
    measured.flush()
    draft = out / "rows.jsonl.part"
    draft.write_text("\n".join(rows) + "\n", "utf-8")
    draft.rename(out / "rows.jsonl")
    print(f"{len(jobs)} pictures in {time.monotonic() - begun:.0f} s", flush=True)
