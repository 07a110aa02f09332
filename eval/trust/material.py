"""What the trust suite judges: scenes with the same picture undamaged, and ways to change a picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.scenes import undamaged
from judge.scenes.fresh import draw_scenes, scene_seeds
from judge.types import LabelledSample, Sample, Verdict

Pixels = NDArray[np.uint8]
Tick = Callable[[], None]


@dataclass(frozen=True)
class Scene:
    """A scene and its truth."""

    sample: Sample
    """What the judge is given; `image` is an array (height, width, 3)."""
    truth: LabelledSample
    whole: Pixels
    """The same picture had nothing in it been broken; what degrades it as a whole stays."""


@dataclass
class Part:
    """Some numbers of the suite and what must be said about them."""

    numbers: dict[str, float | None] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)


def drawn(count: int, seed: int) -> list[Scene]:
    """Fresh scenes, the same for the same seed, and none that any training set has."""
    scenes = draw_scenes(count, seed)
    return [
        Scene(scene.asked(), scene.sample, undamaged(own))
        for scene, own in zip(scenes, scene_seeds(count, seed), strict=True)
    ]


def scores(judge: Any, samples: Iterable[Sample], batch: int, tick: Tick) -> list[float | None]:
    """Scores in order, None for what is unscored."""
    found = []
    for verdict in judge.many(samples, batch=batch):
        found.append(verdict.score)
        tick()
    return found


def deltas(known: Sequence[Verdict], found: Sequence[float | None]) -> list[float]:
    """Differences of new scores from known ones, where both are scored."""
    pairs = zip((verdict.score for verdict in known), found, strict=True)
    return [new - old for old, new in pairs if old is not None and new is not None]


def repainted(sample: Sample, image: Pixels) -> Sample:
    return sample.model_copy(update={"image": image})


def mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def greatest(values: Sequence[float]) -> float | None:
    return float(np.abs(values).max()) if values else None


def recompressed(image: Pixels, quality: int = 90) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))
