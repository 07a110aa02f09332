"""A pool of drawn scenes for training: pictures memory-mapped, facts beside them.

    python -m finetune.nano pool OUT --count 40000 --seed 1

Writes OUT/images.npy (n, 224, 224, 3) uint8, OUT/patches.npy (n, 3, 14, 14) uint8 (kind, colour and
defect of each 16-pixel patch, 0 for none) and OUT/facts.pkl (a list of `judge.scenes.Facts`).
A pool is written by this machine for this machine: the pickle is never read from anywhere else.
"""

from __future__ import annotations

import pickle
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from judge.runtime.processes import clean_pool
from judge.scenes import Facts, Scene, draw
from judge.scenes.dataset import seeds
from judge.scenes.scene import USUAL
from judge.scenes.vocabulary import COLORS, DEFECTS, KINDS

PATCH, GRID = 16, 14


def patches_of(scene: Scene) -> NDArray[np.uint8]:
    """What each patch shows: (3, 14, 14), index + 1 of kind, colour and defect, 0 where none prevails."""
    out = np.zeros((3, GRID, GRID), np.uint8)
    colors = list(COLORS)
    for n, thing in enumerate(scene.facts.things):
        covered = _shares(scene.things == n + 1) > 0.25
        out[0][covered], out[1][covered] = KINDS.index(thing.kind) + 1, colors.index(thing.color) + 1
    for flaw in scene.facts.flaws:
        box = np.zeros_like(scene.things)
        x0, y0, x1, y1 = flaw.box
        box[y0:y1, x0:x1] = 1
        out[2][_shares(box) > 0.3] = DEFECTS.index(flaw.kind) + 1
    return out


def _shares(mask: NDArray[np.bool_ | np.uint8]) -> NDArray[np.float64]:
    """What share of each patch a mask covers."""
    shares: NDArray[np.float64] = mask.reshape(GRID, PATCH, GRID, PATCH).mean((1, 3))
    return shares


def _draw_one(flaws: tuple[float, ...], seed: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Facts]:
    cv2.setNumThreads(1)
    scene = draw(seed, flaws=flaws)
    return scene.image, patches_of(scene), scene.facts


def build(
    out: Path,
    *,
    count: int = 40_000,
    seed: int = 1,
    workers: int | None = None,
    flaws: tuple[float, ...] = USUAL,
) -> None:
    """Draw a pool of `count` scenes; the facts file is written last, so a pool that has one is whole."""
    out.mkdir(parents=True, exist_ok=True)
    images = np.lib.format.open_memmap(
        out / "images.npy", "w+", np.uint8, (count, GRID * PATCH, GRID * PATCH, 3)
    )
    patches = np.lib.format.open_memmap(out / "patches.npy", "w+", np.uint8, (count, 3, GRID, GRID))
    facts: list[Facts] = []
    begun = said = time.monotonic()
    with clean_pool(workers) as pool:
        for n, (image, patch, fact) in enumerate(
            pool.map(partial(_draw_one, flaws), seeds(seed, count), chunksize=32)
        ):
            images[n], patches[n] = image, patch
            facts.append(fact)
            if time.monotonic() - said > 30:
                said = time.monotonic()
                print(f"{n + 1} of {count} scenes, {(n + 1) / (said - begun):.0f}/s", flush=True)
    images.flush()
    patches.flush()
    draft = out / "facts.pkl.part"
    draft.write_bytes(pickle.dumps(facts))
    draft.rename(out / "facts.pkl")
    print(f"{count} scenes in {time.monotonic() - begun:.0f} s", flush=True)
