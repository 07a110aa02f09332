"""The scenes that the suite judges, each with its undamaged image, and changes to images."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.scenes import draw_undamaged_scene
from judge.scenes.held_out import draw_held_out_scenes, held_out_seeds
from judge.types import LabelledSample, Sample

Pixels = NDArray[np.uint8]
"""An RGB image of shape (height, width, 3)."""


@dataclass(frozen=True)
class TrustScene:
    """A scene with its truth and its undamaged image."""

    sample: Sample
    """What the judge gets; `image` is an array of shape (height, width, 3)."""
    truth: LabelledSample
    undamaged: Pixels
    """The same image without damaged regions; degradations of the whole image stay."""


def draw_trust_scenes(count: int, seed: int) -> list[TrustScene]:
    """Draw scenes that no training set contains; the same seed gives the same scenes."""
    scenes = draw_held_out_scenes(count, seed)
    return [
        TrustScene(scene.unlabelled_sample(), scene.sample, draw_undamaged_scene(scene_seed))
        for scene, scene_seed in zip(scenes, held_out_seeds(count, seed), strict=True)
    ]


def with_image(sample: Sample, image: Pixels) -> Sample:
    """Return the sample with another image."""
    return sample.model_copy(update={"image": image})


def compress_as_jpeg(image: Pixels, quality: int = 90) -> Pixels:
    """Return the image after JPEG compression."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))
