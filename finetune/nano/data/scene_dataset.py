"""Where training scenes come from: a dataset on disk, or a renderer that never ends.

    python -m finetune.nano pool OUT --count 40000 --seed 1

The command writes OUT/images.npy (n, 224, 224, 3) uint8, OUT/patches.npy (n, 3, 14, 14) uint8 (kind, color
and defect of each 16-pixel patch; 0 for none) and OUT/facts.pkl (a list of `judge.scenes.SceneFacts`).

A dataset is read on the machine that wrote it. Never load a facts.pkl from another source: it is a pickle.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Protocol

import numpy as np

from finetune.nano.data.training_scenes import GRID, PATCH_PIXELS, TrainingScene, draw_training_scene
from judge.runtime.process_pool import create_process_pool
from judge.scenes import SceneFacts
from judge.scenes.dataset import drawing_seeds
from judge.scenes.scene import DEFECT_SHARES

LOG_SECONDS = 30
"""Time between two lines about progress."""
FRESH_SEED_BITS = 62
"""Random bits of the drawing seed of a new scene. The bit above them is set, so it is in no dataset and
in no set that is measured on."""
KEPT_SCENES = 400
"""Scenes that are kept for a later visit, 60 MB."""


class SceneStream(Protocol):
    """Gives scenes without end."""

    def scenes(self, r: Random) -> Iterator[TrainingScene]:
        """Yield scenes; `r` decides which."""
        ...


@dataclass(frozen=True)
class StoredScenes:
    """The scenes of some datasets, each epoch in a new order."""

    folders: Sequence[Path]

    def scenes(self, r: Random) -> Iterator[TrainingScene]:
        """Yield all scenes in a random order, and again."""
        datasets = [SceneDataset(folder) for folder in self.folders]
        indices = [(d, i) for d, dataset in enumerate(datasets) for i in range(len(dataset))]
        while True:
            r.shuffle(indices)
            for d, i in indices:
                yield datasets[d][i]


@dataclass(frozen=True)
class FreshScenes:
    """New scenes. None of them is in a dataset."""

    defect_shares: tuple[float, ...] = DEFECT_SHARES
    varied: float = 0.0
    """See `draw_training_scene`."""
    visits: int = 1
    """How often each scene comes. It takes four times as long to draw one as to write tasks about it."""

    def scenes(self, r: Random) -> Iterator[TrainingScene]:
        """Yield each scene when it is drawn, and again among others of the last ones."""
        again: list[TrainingScene] = []
        while True:
            seed = r.getrandbits(FRESH_SEED_BITS) | 1 << FRESH_SEED_BITS
            scene = draw_training_scene(self.defect_shares, self.varied, seed)
            yield scene
            again += [scene] * (self.visits - 1)
            while len(again) > KEPT_SCENES:
                yield again.pop(r.randrange(len(again)))


class SceneDataset:
    """Drawn scenes on disk, as `write_scene_dataset` writes them.

    Args:
        folder: folder of the dataset.
    """

    def __init__(self, folder: Path) -> None:
        self.images = np.load(folder / "images.npy", mmap_mode="r")
        self.patches = np.load(folder / "patches.npy", mmap_mode="r")
        self.facts: list[SceneFacts] = pickle.loads((folder / "facts.pkl").read_bytes())

    def __len__(self) -> int:
        return len(self.facts)

    def __getitem__(self, index: int) -> TrainingScene:
        return TrainingScene(self.images[index], self.patches[index], self.facts[index])


def write_scene_dataset(
    out: Path,
    *,
    count: int = 40_000,
    seed: int = 1,
    workers: int | None = None,
    defect_shares: tuple[float, ...] = DEFECT_SHARES,
    varied: float = 0.0,
) -> None:
    """Draw scenes and write them to a folder. The facts are written last, so their file marks a full dataset.

    Args:
        out: folder to write.
        count: number of scenes.
        seed: the same seed gives the same scenes.
        workers: processes that draw; default: one for each CPU.
        defect_shares: shares of scenes with 0, 1, 2 and 3 defects.
        varied: see `draw_training_scene`.
    """
    out.mkdir(parents=True, exist_ok=True)
    side = GRID * PATCH_PIXELS
    images = np.lib.format.open_memmap(out / "images.npy", "w+", np.uint8, (count, side, side, 3))
    patches = np.lib.format.open_memmap(out / "patches.npy", "w+", np.uint8, (count, 3, GRID, GRID))
    facts: list[SceneFacts] = []
    start = last_log = time.monotonic()
    with create_process_pool(workers) as pool:
        draw = partial(draw_training_scene, defect_shares, varied)
        for n, scene in enumerate(pool.map(draw, drawing_seeds(seed, count), chunksize=32)):
            images[n], patches[n] = scene.image, scene.patches
            facts.append(scene.facts)
            if time.monotonic() - last_log > LOG_SECONDS:
                last_log = time.monotonic()
                print(f"{n + 1} of {count} scenes, {(n + 1) / (last_log - start):.0f}/s", flush=True)
    images.flush()
    patches.flush()
    partial_file = out / "facts.pkl.part"
    partial_file.write_bytes(pickle.dumps(facts))
    partial_file.rename(out / "facts.pkl")
    print(f"{count} scenes in {time.monotonic() - start:.0f} s", flush=True)
