"""Fresh scenes with their truth, for measuring: scenes that no training set has."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from judge.scenes.scene import draw
from judge.types import DefectLabel, LabelledSample, Sample


@dataclass(frozen=True)
class LabelledScene:
    """A picture with its truth."""

    sample: LabelledSample
    """The picture (path or array), what is asked, and the labels."""
    mask: NDArray[np.bool_]
    """Union of the true artifact regions, shape (height, width)."""
    note: str = ""
    """Said in the result: how far the truth is not exact."""

    @property
    def defects(self) -> list[DefectLabel]:
        """The true artifacts."""
        return [d for d in self.sample.labels.defects if d.family == "artifact"]

    def asked(self) -> Sample:
        """The sample without its labels, so that no judge can see them."""
        elements = [e.name for e in self.sample.labels.elements]
        return Sample(
            id=self.sample.id,
            image=self.sample.image,
            prompt=self.sample.prompt,
            elements=elements or self.sample.elements,
        )


def draw_scenes(count: int, seed: int) -> list[LabelledScene]:
    """`count` fresh scenes; the same seed gives the same scenes."""
    scenes = []
    for at, own in enumerate(scene_seeds(count, seed)):
        drawn = draw(own)
        mask = np.zeros(drawn.image.shape[:2], dtype=bool)
        for region, label in zip(drawn.masks, drawn.sample.labels.defects, strict=True):
            if label.family == "artifact":
                mask |= np.asarray(region, dtype=bool)
        sample = drawn.sample.model_copy(update={"image": drawn.image, "id": f"{seed}-{at}"})
        scenes.append(LabelledScene(sample, mask))
    return scenes


def scene_seeds(count: int, seed: int) -> list[int]:
    """Seeds of single scenes, hashed to 62 bits: scenes that no training set has, whatever its seed."""
    words = np.random.SeedSequence([seed, 0x6A75646765]).generate_state(count, np.uint64)
    return [int(word >> np.uint64(2)) for word in words]
