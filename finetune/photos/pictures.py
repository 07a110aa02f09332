"""Picture files for a student to learn on: distorted photographs, and parts of photographs with opinions.

    judge finetune photos pictures OUT DATA        # DATA holds clive_train/ and bsds500/

Writes OUT/images/*.png and OUT/rows.jsonl (`{"id", "image"}`, and `"score"` of 1 to 5 for photographs that
people rated as they are), data of the suite `folder`. OUT/held/rows.jsonl are the photographs of LIVE in the
Wild that nothing learns from, and OUT/scenes/rows.jsonl scenes with their structure for the same purpose.
Scenes to learn on are written by `judge scenes`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from finetune.photos.pool import Pixels, pictures_in, rated
from judge.runtime.processes import clean_pool
from judge.scenes.distorted import distort, read_rgb

LIGHT = (0.5, 0.35, 0.1, 0.05)
"""Chances of nothing, of the whole, of areas and of both being distorted in parts of rated photographs, which
have faults of their own."""
SHORTEST = 0.5
"""Least side of a part, in sides of the photograph, and least factor that it is reduced by."""

Drawn = tuple[Pixels, float | None]
"""A picture and its score, where people gave one."""
Job = Callable[[], Drawn]


def build(
    out: Path, data: Path, *, photos: int, parts: int, drawn: int, seed: int, tick: Callable[[int], None]
) -> None:
    """Write all pictures.

    Args:
        out: folder to write.
        data: folder with LIVE in the Wild as `clive_train` and pristine photographs as `bsds500`.
        photos: how many distorted photographs.
        parts: how many parts of each photograph with opinions.
        drawn: how many scenes are held out.
        seed: same seed, same pictures.
        tick: called with the number of pictures done.

    Raises:
        InputError: a data set is not there.
    """
    known, held = (list(rated(data / "clive_train", held_out)) for held_out in (False, True))
    pristine = pictures_in([data / "bsds500"])
    each = [path for _ in range(parts) for path, _ in known]
    learnt: list[Job] = [
        *(partial(_photograph, *one) for one in known),
        *(partial(_part, path, seed * 1_000_003 + n) for n, path in enumerate(each)),
        *(partial(_distorted, pristine[n % len(pristine)], seed * 2_000_003 + n) for n in range(photos)),
    ]
    done = 0
    for folder, jobs in (
        (out, learnt),
        (out / "held", [partial(_photograph, *one) for one in held]),
        (out / "scenes", list(_scenes(drawn, seed + 1))),
    ):
        done = _write(folder, jobs, done, tick)


def _write(folder: Path, jobs: Sequence[Job], done: int, tick: Callable[[int], None]) -> int:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = []
    with clean_pool() as pool:
        saving = pool.map(partial(_save, folder), enumerate(jobs), chunksize=8)
        for n, score in enumerate(saving):
            row = {"id": f"{n:05}", "image": f"images/{n:05}.png"}
            rows.append(row if score is None else {**row, "score": score})
            tick(done + n + 1)
    draft = folder / "rows.jsonl.part"
    draft.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    draft.rename(folder / "rows.jsonl")
    return done + len(jobs)


def _save(folder: Path, job: tuple[int, Job]) -> float | None:
    cv2.setNumThreads(1)
    at, make = job
    pixels, score = make()
    Image.fromarray(pixels).save(folder / f"images/{at:05}.png", compress_level=1)
    return score


def _photograph(path: Path, score: float) -> Drawn:
    return read_rgb(str(path)), score


def _part(path: Path, seed: int) -> Drawn:
    """A part of a photograph, reduced, mirrored and distorted by chance."""
    r, image = np.random.default_rng(seed), read_rgb(str(path))
    height, width = image.shape[:2]
    h, w = (int(side * r.uniform(SHORTEST, 1)) for side in (height, width))
    y, x = r.integers(height - h + 1), r.integers(width - w + 1)
    image = image[y : y + h, x : x + w]
    if r.random() < 0.5:
        factor = r.uniform(SHORTEST, 1)
        size = (int(w * factor), int(h * factor))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    if r.random() < 0.5:
        image = image[:, ::-1]
    return distort(np.ascontiguousarray(image), seed, LIGHT)[0], None


def _distorted(path: Path, seed: int) -> Drawn:
    return distort(read_rgb(str(path)), seed)[0], None


def _scene(seed: int) -> Drawn:
    from judge.scenes import draw

    scene = draw(seed)
    return scene.image, 1 + 4 * scene.facts.quality


def _scenes(count: int, seed: int) -> Iterator[Job]:
    from judge.scenes.dataset import seeds

    yield from (partial(_scene, one) for one in seeds(seed, count))
