"""A dataset of drawn scenes: memory-mapped images, and their facts.

    python -m finetune.nano pool OUT --count 40000 --seed 1

The command writes OUT/images.npy (n, 224, 224, 3) uint8, OUT/patches.npy (n, 3, 14, 14) uint8 (kind, color
and defect of each 16-pixel patch; 0 for none) and OUT/facts.pkl (a list of `judge.scenes.SceneFacts`).

A dataset is read on the machine that wrote it. Never load a facts.pkl from another source: it is a pickle.
"""

from __future__ import annotations

import pickle
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from judge.runtime.process_pool import create_process_pool
from judge.scenes import Scene, SceneFacts, draw_scene
from judge.scenes.dataset import drawing_seeds
from judge.scenes.scene import DEFECT_SHARES
from judge.scenes.vocabulary import COLORS, DEFECT_KINDS, OBJECT_KINDS

PATCH_PIXELS, GRID = 16, 14
"""Side of a patch in pixels, and patches along each side of an image."""
MIN_OBJECT_SHARE, MIN_DEFECT_SHARE = 0.25, 0.3
"""A patch shows an object or a defect if more than this share of the patch is covered by it."""
LOG_SECONDS = 30
"""Time between two lines about progress."""


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


def label_patches(scene: Scene) -> NDArray[np.uint8]:
    """Label what each patch of a scene shows.

    Returns:
        (3, 14, 14): index + 1 of kind, color and defect; 0 where there is none.
    """
    labels = np.zeros((3, GRID, GRID), np.uint8)
    colors = list(COLORS)
    for n, scene_object in enumerate(scene.facts.objects):
        covered = _patch_shares(scene.object_map == n + 1) > MIN_OBJECT_SHARE
        labels[0][covered], labels[1][covered] = (
            OBJECT_KINDS.index(scene_object.kind) + 1,
            colors.index(scene_object.color) + 1,
        )
    for defect in scene.facts.defects:
        box = np.zeros_like(scene.object_map)
        x0, y0, x1, y1 = defect.box
        box[y0:y1, x0:x1] = 1
        labels[2][_patch_shares(box) > MIN_DEFECT_SHARE] = DEFECT_KINDS.index(defect.kind) + 1
    return labels


def _patch_shares(mask: NDArray[np.bool_ | np.uint8]) -> NDArray[np.float64]:
    """Compute the share of each patch that a mask covers."""
    shares: NDArray[np.float64] = mask.reshape(GRID, PATCH_PIXELS, GRID, PATCH_PIXELS).mean((1, 3))
    return shares


def _draw_scene(
    defect_shares: tuple[float, ...], seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], SceneFacts]:
    cv2.setNumThreads(1)
    scene = draw_scene(seed, defect_shares=defect_shares)
    return scene.image, label_patches(scene), scene.facts


def write_scene_dataset(
    out: Path,
    *,
    count: int = 40_000,
    seed: int = 1,
    workers: int | None = None,
    defect_shares: tuple[float, ...] = DEFECT_SHARES,
) -> None:
    """Draw scenes and write them to a folder. The facts are written last, so their file marks a full dataset.

    Args:
        out: folder to write.
        count: number of scenes.
        seed: the same seed gives the same scenes.
        workers: processes that draw; default: one for each CPU.
        defect_shares: shares of scenes with 0, 1, 2 and 3 defects.
    """
    out.mkdir(parents=True, exist_ok=True)
    side = GRID * PATCH_PIXELS
    images = np.lib.format.open_memmap(out / "images.npy", "w+", np.uint8, (count, side, side, 3))
    patches = np.lib.format.open_memmap(out / "patches.npy", "w+", np.uint8, (count, 3, GRID, GRID))
    facts: list[SceneFacts] = []
    start = last_log = time.monotonic()
    with create_process_pool(workers) as pool:
        scenes = pool.map(partial(_draw_scene, defect_shares), drawing_seeds(seed, count), chunksize=32)
        for n, (image, patch_labels, scene_facts) in enumerate(scenes):
            images[n], patches[n] = image, patch_labels
            facts.append(scene_facts)
            if time.monotonic() - last_log > LOG_SECONDS:
                last_log = time.monotonic()
                print(f"{n + 1} of {count} scenes, {(n + 1) / (last_log - start):.0f}/s", flush=True)
    images.flush()
    patches.flush()
    partial_file = out / "facts.pkl.part"
    partial_file.write_bytes(pickle.dumps(facts))
    partial_file.rename(out / "facts.pkl")
    print(f"{count} scenes in {time.monotonic() - start:.0f} s", flush=True)
