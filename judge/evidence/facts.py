"""Facts about a single image: shown to the model as evidence, and kept in the verdict.

Each fact is a number from 0 to 1. There are three groups:

- measures of the whole image (`judge.evidence.measures`: `sharpness`, `noise`, `blockiness`, ...);
- the area whose detail or colour differs most from what surrounds it: `area_x1` ... `area_y2`, and by how
  much it differs: `area_detail` (0.5 for no difference, lower for less detail) and `area_color`;
- estimates that the package's small estimators (`judge/assets/photos.safetensors`) compute from all measures:
  `seems_noise`, ... for the strength of each kind of distortion, `area_noise`, ... for the same inside the
  area, and `seems_good` for what people say of photographs with similar measures.

`judge finetune photos estimates` fits the estimators on BSDS500 with synthetic distortions and on three
quarters of 390 photographs of LIVE in the Wild. `python -m eval.bench photos` measures how good they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.evidence.image_view import ImageView
from judge.evidence.measures import MEASURES, compute_measures

ESTIMATED_KINDS = ("blur", "motion blur", "noise", "compression", "banding", "upscaled", "overexposed",
                   "underexposed", "low contrast", "color cast")  # fmt: skip
"""Kinds of distortion whose strength is estimated."""
AREA_KINDS = ("blur", "motion blur", "noise", "compression", "upscaled", "color cast")
"""Kinds of distortion that are also estimated inside the area."""
AREA_FACTS = ("area_x1", "area_y1", "area_x2", "area_y2", "area_detail", "area_color")
ESTIMATE_FACTS = tuple(f"seems_{kind.replace(' ', '_')}" for kind in ESTIMATED_KINDS)
AREA_ESTIMATE_FACTS = tuple(f"area_{kind.replace(' ', '_')}" for kind in AREA_KINDS)
IMAGE_FACTS = (*MEASURES, *AREA_FACTS, *ESTIMATE_FACTS, *AREA_ESTIMATE_FACTS, "seems_good")
"""Names of all facts about an image."""
VECTOR_LENGTH = 2 * len(MEASURES) + len(AREA_FACTS)
WEIGHTS_PATH = Path(str(files("judge"))) / "assets" / "photos.safetensors"

Vector = NDArray[np.float32]


def measure_image(image: Image.Image, names: Iterable[str]) -> dict[str, float]:
    """Measure an image of any size.

    Args:
        image: the original image, not the resized input of a model.
        names: names from `IMAGE_FACTS`.

    Returns:
        Name -> value, 0 to 1, in the order of `names`.
    """
    facts = ImageMeasurement.from_pixels(np.asarray(image.convert("RGB"))).to_facts()
    return {name: facts[name] for name in names}


@dataclass(frozen=True)
class ImageMeasurement:
    """What is measured in an image. The estimators compute the remaining facts from it."""

    vector: Vector
    """(VECTOR_LENGTH,): measures of the whole image, measures of the area, and the area."""

    @classmethod
    def from_pixels(cls, pixels: Any) -> Self:
        """Measure an image of any size, (H, W, 3) uint8 RGB."""
        view = ImageView(pixels)
        x1, y1, x2, y2, detail, color = view.area
        area = [x1, y1, x2, y2, min(1.0, max(0.0, 0.5 + detail / 6)), min(1.0, color / 40)]
        parts = [compute_measures(view), compute_measures(view.inside), np.array(area, np.float32)]
        return cls(np.concatenate(parts))

    @property
    def whole(self) -> Vector:
        """Measures of the whole image, (len(MEASURES),)."""
        return self.vector[: len(MEASURES)]

    @property
    def inside(self) -> Vector:
        """Measures of the area, (len(MEASURES),)."""
        return self.vector[len(MEASURES) : 2 * len(MEASURES)]

    @property
    def area(self) -> Vector:
        """Values of `AREA_FACTS`."""
        return self.vector[2 * len(MEASURES) :]

    def to_facts(self) -> dict[str, float]:
        """Return all facts by name, each 0 to 1."""
        strengths, opinions = load_estimators().estimate(np.stack([self.whole, self.inside]))
        area_strengths = [strengths[1][ESTIMATED_KINDS.index(kind)] for kind in AREA_KINDS]
        values = [*self.whole, *self.area, *strengths[0], *area_strengths, opinions[0]]
        return {name: min(1.0, max(0.0, float(v))) for name, v in zip(IMAGE_FACTS, values, strict=True)}


@dataclass(frozen=True)
class Estimators:
    """Two regressors on the measures of an image.

    A multilayer perceptron estimates strengths of distortions; it is the mean of several networks, stored
    side by side. Kernel ridge regression with a Gaussian kernel estimates opinions.
    """

    layers: tuple[tuple[Vector, Vector], ...]
    """Weights (out, in) and bias (out,) of each layer, with tanh between the layers."""
    known: Vector
    """(n, measures): photographs with known opinions, standardised."""
    shares: Vector
    """(n,): dual coefficient of each photograph."""
    scale: Vector
    """(2, measures): mean and standard deviation of the measures."""
    base: Vector
    """(2,): the mean opinion, 0 to 1, and the rate of the kernel."""

    def estimate(self, rows: Vector) -> tuple[Vector, Vector]:
        """Estimate strengths and opinions.

        Args:
            rows: (n, measures).

        Returns:
            Strengths (n, len(ESTIMATED_KINDS)) and opinions (n,), both about 0 to 1.
        """
        strengths = 3 * rows - 1.5
        for depth, (weight, bias) in enumerate(self.layers):
            strengths = (np.tanh(strengths) if depth else strengths) @ weight.T + bias
        return strengths, estimate_opinions(rows, self.known, self.shares, self.scale, self.base)


def estimate_opinions(rows: Vector, known: Vector, shares: Vector, scale: Vector, base: Vector) -> Vector:
    """Estimate opinions by kernel ridge regression.

    Args:
        rows: (n, measures).
        known: as in `Estimators`.
        shares: as in `Estimators`.
        scale: as in `Estimators`.
        base: as in `Estimators`.

    Returns:
        (n,), each about 0 to 1.
    """
    scaled = np.clip((rows - scale[0]) / scale[1], -3, 3)
    distances = ((scaled[:, None] - known[None]) ** 2).mean(-1)
    opinions: Vector = base[0] + np.exp(-base[1] * distances) @ shares
    return opinions


@cache
def load_estimators(path: Path = WEIGHTS_PATH) -> Estimators:
    """Load the estimators from a safetensors file; by default those of the package."""
    from safetensors.numpy import load_file

    weights = load_file(path)
    count = sum(name.startswith("weight") for name in weights)
    layers = tuple((weights[f"weight{n}"], weights[f"bias{n}"]) for n in range(count))
    return Estimators(layers, weights["known"], weights["shares"], weights["scale"], weights["base"])
