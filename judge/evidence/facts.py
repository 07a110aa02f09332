"""Facts about a single image: shown to the model as evidence, and kept in the verdict.

Each fact is a number from 0 to 1. There are three groups:

- measures of the whole image (`judge.evidence.measures`: `sharpness`, `noise`, `blockiness`, ...);
- the area whose detail or colour differs most from what surrounds it: `area_x1` ... `area_y2`, and by how
  much it differs: `area_detail` (0.5 for no difference, lower for less detail) and `area_color`;
- estimates of the package's small estimators (`judge/assets/photos.safetensors`): `seems_noise`, ... for the
  strength of each kind of distortion, `area_noise`, ... for the same inside the area, both from all measures;
  and `seems_good` for the mean opinion of people, from the features of a network that was trained on ImageNet
  (`judge.evidence.pretrained`).

`judge finetune photos estimates` fits the estimators on photographs with synthetic distortions and on 390
rated photographs of LIVE in the Wild. `python -m eval.bench photos` measures how good they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.evidence.image_view import ImageView
from judge.evidence.measures import MEASURES, compute_measures
from judge.evidence.pretrained import extract_features

ESTIMATED_KINDS = ("blur", "motion blur", "noise", "compression", "banding", "upscaled", "overexposed",
                   "underexposed", "low contrast", "color cast")  # fmt: skip
"""Kinds of distortion whose strength is estimated."""
AREA_KINDS = ("blur", "motion blur", "noise", "compression", "upscaled", "color cast")
"""Kinds of distortion that are also estimated inside the area."""
AREA_FACTS = ("area_x1", "area_y1", "area_x2", "area_y2", "area_detail", "area_color")
ESTIMATE_FACTS = tuple(f"seems_{kind.replace(' ', '_')}" for kind in ESTIMATED_KINDS)
AREA_ESTIMATE_FACTS = tuple(f"area_{kind.replace(' ', '_')}" for kind in AREA_KINDS)
MEASURED_FACTS = (*MEASURES, *AREA_FACTS, *ESTIMATE_FACTS, *AREA_ESTIMATE_FACTS)
"""Names of the facts that are computed from measures."""
IMAGE_FACTS = (*MEASURED_FACTS, "seems_good")
"""Names of all facts about an image."""
VECTOR_LENGTH = 2 * len(MEASURES) + len(AREA_FACTS)
LINEAR_MARGIN = 0.1
"""Opinions nearer to 0 or 1 than this are squashed."""
WEIGHTS_PATH = Path(str(files("judge"))) / "assets" / "photos.safetensors"

Vector = NDArray[np.float32]


def measure_image(image: Image.Image, names: Iterable[str]) -> dict[str, float]:
    """Measure an image of any size.

    Args:
        image: the original image, not the resized input of a model.
        names: names from `IMAGE_FACTS`.

    Returns:
        Name -> value, 0 to 1, in the order of `names`.

    Raises:
        BackendError: `seems_good` is among the names, and the network's weights cannot be loaded.
    """
    names, pixels, facts = list(names), np.asarray(image.convert("RGB")), dict[str, float]()
    if any(name != "seems_good" for name in names):
        facts |= ImageMeasurement.from_pixels(pixels).to_facts()
    if "seems_good" in names:
        [facts["seems_good"]] = load_estimators().estimate_opinions(extract_features(pixels)[None]).tolist()
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
        """Return `MEASURED_FACTS` by name, each 0 to 1."""
        strengths = load_estimators().estimate_strengths(np.stack([self.whole, self.inside]))
        area_strengths = [strengths[1][ESTIMATED_KINDS.index(kind)] for kind in AREA_KINDS]
        values = [*self.whole, *self.area, *strengths[0], *area_strengths]
        return {name: min(1.0, max(0.0, float(v))) for name, v in zip(MEASURED_FACTS, values, strict=True)}


@dataclass(frozen=True)
class Estimators:
    """Two regressors.

    A multilayer perceptron estimates the strengths of distortions from the measures of an image; it is the
    mean of several networks, stored side by side. A linear model estimates opinions from the features of
    `judge.evidence.pretrained`.
    """

    layers: tuple[tuple[Vector, Vector], ...]
    """Weights (out, in) and bias (out,) of each layer, with tanh between the layers."""
    opinion_weight: Vector
    """(2, FEATURE_LENGTH): fitted on all rated photographs, and without those that are kept for measuring."""
    opinion_bias: Vector
    """(2,)."""

    def estimate_strengths(self, rows: Vector) -> Vector:
        """Estimate the strengths of distortions.

        Args:
            rows: (n, measures).

        Returns:
            (n, len(ESTIMATED_KINDS)), about 0 to 1.
        """
        strengths = 3 * rows - 1.5
        for depth, (weight, bias) in enumerate(self.layers):
            strengths = (np.tanh(strengths) if depth else strengths) @ weight.T + bias
        return strengths

    def estimate_opinions(self, features: Vector) -> Vector:
        """Estimate the mean opinions of people.

        Args:
            features: (n, FEATURE_LENGTH).

        Returns:
            (n,), 0 (worst) to 1.
        """
        return squash_opinions(features @ self.opinion_weight[0] + self.opinion_bias[0])

    def without_held_out(self) -> Self:
        """Return the estimators whose opinions were fitted without the photographs kept for measuring."""
        weight, bias = self.opinion_weight[::-1], self.opinion_bias[::-1]
        return replace(self, opinion_weight=weight, opinion_bias=bias)


def squash_opinions(opinions: Vector) -> Vector:
    """Map the values of a linear model to 0..1 in their order.

    Values from `LINEAR_MARGIN` to 1 - `LINEAR_MARGIN` stay as they are; those outside approach 0 and 1
    exponentially, with a continuous slope. So two bad images, or two good ones, never tie.

    Args:
        opinions: (n,), any values.

    Returns:
        (n,), 0..1.
    """
    beyond = np.maximum(np.maximum(LINEAR_MARGIN - opinions, opinions - (1 - LINEAR_MARGIN)), 0.0)
    tail = LINEAR_MARGIN * np.exp(-beyond / LINEAR_MARGIN)
    below, above = opinions < LINEAR_MARGIN, opinions > 1 - LINEAR_MARGIN
    result: Vector = np.where(below, tail, np.where(above, 1 - tail, opinions)).astype(np.float32)
    return result


@cache
def load_estimators(path: Path = WEIGHTS_PATH) -> Estimators:
    """Load the estimators from a safetensors file; by default those of the package."""
    from safetensors.numpy import load_file

    weights = load_file(path)
    count = sum(name.startswith("weight") for name in weights)
    layers = tuple((weights[f"weight{n}"], weights[f"bias{n}"]) for n in range(count))
    return Estimators(layers, weights["opinion_weight"], weights["opinion_bias"])
