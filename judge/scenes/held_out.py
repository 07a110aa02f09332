"""Held-out scenes with their ground truth, for measurements. No training set contains them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from judge.scenes.scene import draw_scene
from judge.types import DefectLabel, LabelledSample, Sample


@dataclass(frozen=True)
class LabelledScene:
    """An image with its ground truth."""

    sample: LabelledSample
    """The image (path or array), the prompt, the elements, and the labels."""
    mask: NDArray[np.bool_]
    """Union of the true artifact regions, shape (height, width)."""
    note: str = ""
    """How the ground truth is inexact; copied to the result."""

    @property
    def defects(self) -> list[DefectLabel]:
        """The true artifacts."""
        return [d for d in self.sample.labels.defects if d.family == "artifact"]

    def unlabelled_sample(self) -> Sample:
        """Return the sample without its labels, so that a judge cannot see them."""
        elements = [e.name for e in self.sample.labels.elements]
        return Sample(
            id=self.sample.id,
            image=self.sample.image,
            prompt=self.sample.prompt,
            elements=elements or self.sample.elements,
        )


def draw_held_out_scenes(count: int, seed: int) -> list[LabelledScene]:
    """Draw held-out scenes. The same seed gives the same scenes."""
    scenes = []
    for number, drawing_seed in enumerate(held_out_seeds(count, seed)):
        drawn = draw_scene(drawing_seed)
        mask = np.zeros(drawn.image.shape[:2], dtype=bool)
        for region, label in zip(drawn.masks, drawn.sample.labels.defects, strict=True):
            if label.family == "artifact":
                mask |= np.asarray(region, dtype=bool)
        sample = drawn.sample.model_copy(update={"image": drawn.image, "id": f"{seed}-{number}"})
        scenes.append(LabelledScene(sample, mask))
    return scenes


def held_out_seeds(count: int, seed: int) -> list[int]:
    """Return drawing seeds that no training set uses, whatever its seed. They are hashed to 62 bits."""
    words = np.random.SeedSequence([seed, 0x6A75646765]).generate_state(count, np.uint64)
    return [int(word >> np.uint64(2)) for word in words]
