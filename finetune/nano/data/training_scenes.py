"""Scenes for training: as the renderer draws them, or varied in what must not change a verdict."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from finetune.nano.data.painted_text import paint_text
from judge.scenes import Finish, Scene, SceneFacts, draw_scene
from judge.scenes.vocabulary import COLORS, DEFECT_KINDS, OBJECT_KINDS

PATCH_PIXELS, GRID = 16, 14
"""Side of a patch in pixels, and patches along each side of an image, as in `finetune.nano.network`. That
module imports torch, which processes that draw do without."""
MIN_OBJECT_SHARE, MIN_DEFECT_SHARE = 0.25, 0.3
"""A patch shows an object or a defect if more than this share of the patch is covered by it."""


class TrainingScene(NamedTuple):
    """A drawn scene as training data."""

    image: NDArray[np.uint8]
    """(224, 224, 3)."""
    patches: NDArray[np.uint8]
    """(3, 14, 14) kind, color and defect of each 16-pixel patch, counted from 1; 0 where there is none."""
    facts: SceneFacts


def draw_training_scene(defect_shares: tuple[float, ...], varied: float, seed: int) -> TrainingScene:
    """Draw the scene of a seed.

    Args:
        defect_shares: shares of scenes with 0, 1, 2 and 3 defects.
        varied: probability, 0 to 1, that the scene is plain (no grain, in many cases hard edges and exact
            colors), and, apart from that, that a text is painted into it. 0 gives the scene of
            `judge.scenes.draw_scene`.
        seed: any non-negative integer.
    """
    cv2.setNumThreads(1)
    r = Random(f"varied {seed}")
    plain = r.random() < varied
    finish = Finish(0.0, smooth=r.random() < 0.5, exact=r.random() < 0.75) if plain else Finish()
    scene = draw_scene(seed, defect_shares=defect_shares, finish=finish)
    image, facts = scene.image, scene.facts
    if r.random() < varied:
        image = paint_text(r, image, [o.box for o in facts.objects], [d.box for d in facts.defects])
    return TrainingScene(image, label_patches(scene), facts)


def label_patches(scene: Scene) -> NDArray[np.uint8]:
    """Label what each patch of a scene shows.

    Returns:
        See `TrainingScene.patches`.
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
