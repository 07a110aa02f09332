"""Measured facts about a picture: told to the model as evidence, kept in the verdict beside what it said.

Three sorts, each a number from 0 to 1:
- what `judge.evidence.image` measures in the whole picture (`sharpness`, `noise`, `blockiness`, ...);
- `area_x1` ... `area_y2`, where detail or colour differs most from what surrounds it, and by how much:
  `area_detail` (0.5: not at all; less detail is lower) and `area_color`;
- what the package's small estimators (`judge/assets/photos.safetensors`) make of all measures: `seems_noise`,
  ..., how strong a distortion of a kind is, `area_noise`, ..., the same inside the area, and `seems_good`,
  what people say of photographs that measure like this one. `judge finetune photos estimates` fits them, on
  BSDS500 with synthetic distortions and on three quarters of 390 photographs of LIVE in the Wild;
  `python -m eval.bench photos` says what they know.
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

from judge.evidence.image import MEASURES, View, vector

KINDS = ("blur", "motion blur", "noise", "compression", "banding", "upscaled", "overexposed", "underexposed",
         "low contrast", "color cast")  # fmt: skip
"""Distortions whose strength is estimated."""
LOCAL = ("blur", "motion blur", "noise", "compression", "upscaled", "color cast")
"""Those that are also estimated inside the area."""
AREA = ("area_x1", "area_y1", "area_x2", "area_y2", "area_detail", "area_color")
SEEMS = tuple(f"seems_{kind.replace(' ', '_')}" for kind in KINDS)
THERE = tuple(f"area_{kind.replace(' ', '_')}" for kind in LOCAL)
FACTS = (*MEASURES, *AREA, *SEEMS, *THERE, "seems_good")
"""Names of everything that can be told."""
WIDTH = 2 * len(MEASURES) + len(AREA)
WEIGHTS = Path(str(files("judge"))) / "assets" / "photos.safetensors"

Row = NDArray[np.float32]


@dataclass(frozen=True)
class Measured:
    """What was measured in a picture, before anything is estimated."""

    row: Row
    """(WIDTH,): the measures of the whole, those of the area, and the area."""

    @classmethod
    def of(cls, pixels: Any) -> Self:
        """Measure a picture of any size, (H, W, 3) uint8 RGB."""
        view = View(pixels)
        x1, y1, x2, y2, detail, color = view.area
        area = [x1, y1, x2, y2, min(1.0, max(0.0, 0.5 + detail / 6)), min(1.0, color / 40)]
        return cls(np.concatenate([vector(view), vector(view.inside), np.array(area, np.float32)]))

    @property
    def whole(self) -> Row:
        return self.row[: len(MEASURES)]

    @property
    def inside(self) -> Row:
        return self.row[len(MEASURES) : 2 * len(MEASURES)]

    @property
    def area(self) -> Row:
        return self.row[2 * len(MEASURES) :]

    def facts(self) -> dict[str, float]:
        """Every fact by name."""
        seems, good = estimators().read(np.stack([self.whole, self.inside]))
        there = [seems[1][KINDS.index(kind)] for kind in LOCAL]
        values = [*self.whole, *self.area, *seems[0], *there, good[0]]
        return {name: min(1.0, max(0.0, float(v))) for name, v in zip(FACTS, values, strict=True)}


@dataclass(frozen=True)
class Estimators:
    """Two regressors on the measures: a perceptron (the mean of several, side by side) for strengths of
    distortions, and ridge regression with a Gaussian kernel for opinions."""

    layers: tuple[tuple[Row, Row], ...]
    """Weights (out, in) and bias (out,) of each layer; tanh between them."""
    known: Row
    """(n, measures) photographs with opinions, scaled."""
    shares: Row
    """(n,) what each of them adds where a picture is like it."""
    scale: Row
    """(2, measures) mean and deviation of the measures."""
    base: Row
    """(2,) the mean opinion 0..1, and the kernel's rate."""

    def read(self, rows: Row) -> tuple[Row, Row]:
        """Strengths (n, kinds), about 0..1, and opinions (n,), about 0..1, of rows of measures."""
        seems = 3 * rows - 1.5
        for depth, (weight, bias) in enumerate(self.layers):
            seems = (np.tanh(seems) if depth else seems) @ weight.T + bias
        return seems, opinions(rows, self.known, self.shares, self.scale, self.base)


def opinions(rows: Row, known: Row, shares: Row, scale: Row, base: Row) -> Row:
    """Opinions (n,), about 0..1, of rows of measures; the rest as in `Estimators`."""
    scaled = np.clip((rows - scale[0]) / scale[1], -3, 3)
    apart = ((scaled[:, None] - known[None]) ** 2).mean(-1)
    found: Row = base[0] + np.exp(-base[1] * apart) @ shares
    return found


@cache
def estimators(path: Path = WEIGHTS) -> Estimators:
    """The package's regressors."""
    from safetensors.numpy import load_file

    held = load_file(path)
    count = sum(name.startswith("weight") for name in held)
    layers = tuple((held[f"weight{n}"], held[f"bias{n}"]) for n in range(count))
    return Estimators(layers, held["known"], held["shares"], held["scale"], held["base"])


def measure(image: Image.Image, names: Iterable[str]) -> dict[str, float]:
    """Measure a picture of any size.

    Args:
        image: the original, not what a model sees of it.
        names: of `FACTS`.

    Returns:
        Name -> value, 0 to 1, in the order asked.
    """
    facts = Measured.of(np.asarray(image.convert("RGB"))).facts()
    return {name: facts[name] for name in names}
