"""The pictures of a distillation as the student sees them, cut once and memory-mapped.

Writes OUT/whole.npy (n * views, S, S, 3) and OUT/patches.npy (n * views, G * P, G * P, 3), uint8; views of
one picture stand together. OUT/views.json is written last, so that a folder that has it is whole.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from judge.backends.student import Pixels, Plan
from judge.media import image as media
from judge.pipeline.pipeline import MAX_PIXELS
from judge.runtime.processes import clean_pool

Cut = tuple[Pixels, list[Pixels]]
Flips = NDArray[np.bool_]


class Views:
    """What `build` wrote."""

    def __init__(self, folder: Path) -> None:
        self.views: int = json.loads((folder / "views.json").read_text("utf-8"))["views"]
        self.whole: Any = np.load(folder / "whole.npy", mmap_mode="r")
        self.patches: Any = np.load(folder / "patches.npy", mmap_mode="r")

    def take(self, at: Sequence[int], chance: np.random.Generator) -> tuple[Pixels, Pixels, Flips]:
        """One view of each of some pictures, by chance mirrored: whole (k, S, S, 3), patches, and which are
        (k,)."""
        rows = [n * self.views + int(chance.integers(self.views)) for n in at]
        flips = chance.random(len(rows)) < 0.5

        def some(held: Any) -> Pixels:
            cuts = (held[row] for row in rows)
            return np.stack([cut[:, ::-1] if flip else cut for cut, flip in zip(cuts, flips, strict=True)])

        return some(self.whole), some(self.patches), flips


def build(
    out: Path, files: Sequence[str], plan: Plan, views: int, seed: int, tick: Callable[[int], None]
) -> Views:
    """Cut all pictures, unless that was done; the first view of each is the one that is served.

    Raises:
        MediaError: a picture cannot be read.
    """
    asked = {"files": list(files), "plan": plan.model_dump(), "views": views, "seed": seed}
    told = out / "views.json"
    if told.is_file() and json.loads(told.read_text("utf-8")) == asked:
        return Views(out)
    out.mkdir(parents=True, exist_ok=True)
    told.unlink(missing_ok=True)
    count, side = len(files) * views, plan.grid * plan.patch
    whole = _empty(out / "whole.npy", (count, plan.whole, plan.whole, 3))
    patches = _empty(out / "patches.npy", (count, side, side, 3))
    jobs = [(file, seed * 1_000_003 + n) for n, file in enumerate(files)]
    with clean_pool() as pool:
        for n, (small, cuts) in enumerate(pool.map(partial(_cut, plan, views), jobs, chunksize=8)):
            whole[n * views : (n + 1) * views] = small
            patches[n * views : (n + 1) * views] = cuts
            tick(n + 1)
    whole.flush()
    patches.flush()
    draft = out / "views.json.part"
    draft.write_text(json.dumps(asked) + "\n", "utf-8")
    draft.rename(told)
    return Views(out)


def _empty(path: Path, shape: tuple[int, ...]) -> Any:
    return np.lib.format.open_memmap(path, "w+", np.uint8, shape)


def _cut(plan: Plan, views: int, job: tuple[str, int]) -> Cut:
    file, seed = job
    picture, _ = media.fit(media.load(file), side=None, max_pixels=MAX_PIXELS)
    pixels, chance = np.asarray(picture), np.random.default_rng(seed)
    cuts = [plan.patches(pixels, chance if n else None) for n in range(views)]
    return plan.reduced(picture), cuts
