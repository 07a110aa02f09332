"""Numbers on the human scale: what `judge calibrate` has learnt from labels, and how it changes a verdict.

A calibration belongs to one rubric and one depth of one model. It holds

- a monotone map from the model's score to the human scale 1..5, which never changes a ranking;
- the temperature of the score's distribution (Guo et al. 2017), which is then tilted exponentially until its
  mean is the mapped score: of all distributions with that mean it is the nearest by Kullback and Leibler;
- the temperature of the elements' probabilities;
- the quantiles of the mapped scores, for `Verdict.percentile`;
- what the pictures were like (`judge.evidence.similarity`), beyond which a verdict abstains.

`calibration.json` lies beside the adapter it was made for and is found there.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError, model_validator

from judge.errors import InputError, JudgeError
from judge.types import Depth, Model, Score, Verdict

if TYPE_CHECKING:
    from PIL import Image

    from judge.rubrics.rubric import Rubric

FILE = "calibration.json"
FORMAT = 1
OUTSIDE = "outside calibrated domain"
"""How the reason begins where a verdict abstains."""

Temperature = Annotated[float, Field(gt=0)]


class Likeness(Model):
    """What the pictures of a calibration were like; see `judge.evidence.similarity`."""

    mean: list[float]
    """Of each measured fact."""
    precision: list[list[float]]
    """Inverse of the facts' shrunk covariance."""
    limit: Annotated[float, Field(gt=0)]
    """Mahalanobis distance beyond which a picture is too far."""
    quantile: Annotated[float, Field(gt=0, le=1)]
    """Share of held-out pictures of the calibration that lie within the limit."""

    def distance(self, image: Image.Image) -> float:
        """How far a picture is from those of the calibration."""
        from judge.evidence.similarity import distance, measured

        return distance(measured(image), self.mean, self.precision)


class Scale(Model):
    """The map of one depth."""

    knots: Annotated[list[tuple[float, float]], Field(min_length=2)]
    """(model's score, human score), both rising; linear between them."""
    temperature: Temperature = 1.0
    elements: Temperature = 1.0
    quantiles: Annotated[list[float], Field(min_length=2)]
    """Mapped scores of the calibration's pictures at even shares from the least to the greatest."""

    @model_validator(mode="after")
    def _rises(self) -> Scale:
        for values in zip(*self.knots, strict=True):
            if any(b <= a for a, b in zip(values, values[1:], strict=False)):
                raise ValueError("knots must rise")
        if self.quantiles != sorted(self.quantiles):
            raise ValueError("quantiles must not fall")
        return self

    def mapped(self, score: float) -> float:
        """A model's score (1..5) on the human scale (1..5)."""
        at = min(max(1, bisect_right([x for x, _ in self.knots], score)), len(self.knots) - 1)
        (x1, y1), (x2, y2) = self.knots[at - 1], self.knots[at]
        return min(5.0, max(1.0, y1 + (y2 - y1) * (score - x1) / (x2 - x1)))

    def percentile(self, mapped: float) -> float:
        """Share of the calibration's pictures, in percent, with a lower score; ties count half."""
        low, high = bisect_left(self.quantiles, mapped), bisect_right(self.quantiles, mapped)
        steps = len(self.quantiles) - 1
        if low != high:  # on quantiles themselves
            return min(100.0, 50 * (low + high - 1) / steps)
        if low == 0 or low > steps:
            return 0.0 if low == 0 else 100.0
        below, above = self.quantiles[low - 1], self.quantiles[low]
        return 100 * (low - 1 + (mapped - below) / (above - below)) / steps


class Calibration(Model):
    """What `calibration.json` holds."""

    format: int = FORMAT
    rubric: str
    rubric_hash: str
    model: str = ""
    revision: str = ""
    """Of the weights it was made for; empty: of any."""
    suite: str = ""
    count: int = 0
    """Labelled pictures it was fitted on."""
    scales: dict[Depth, Scale]
    likeness: Likeness | None = None
    """None: no verdict abstains."""
    report: dict[str, Any] = {}
    """What was measured when it was made; nothing reads it."""

    @classmethod
    def load(cls, source: str | Path) -> Calibration:
        """Read `calibration.json`, or the one in a folder.

        Raises:
            InputError: no such file, or it is no calibration.
        """
        path = Path(source) / FILE if Path(source).is_dir() else Path(source)
        try:
            made = cls.model_validate_json(path.read_text("utf-8"))
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                "calibration", str(path), "a file that `judge calibrate` wrote", reason
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(["calibration", *map(str, first["loc"])])
            raise InputError(where, str(path), first["msg"], "make it again with `judge calibrate`") from None
        if made.format != FORMAT:
            mend = "make it again with `judge calibrate`"
            raise InputError("calibration.format", made.format, str(FORMAT), mend)
        return made

    def fits(self, rubric: Rubric, revision: str = "") -> bool:
        """Whether it was made for this rubric and these weights."""
        known = not self.revision or not revision or self.revision == revision
        return self.rubric_hash == rubric.hash and known

    def check(self, rubric: Rubric) -> None:
        """Raises `InputError`: it was made for another rubric."""
        if self.rubric_hash != rubric.hash:
            made = f"rubric {rubric.name} ({rubric.hash})"
            mend = "calibrate again, or leave it out"
            raise InputError("calibration", f"{self.rubric} ({self.rubric_hash})", made, mend)

    def too_far(self, image: Image.Image) -> str:
        """Why a picture is outside the domain; empty when it is inside."""
        if self.likeness is None:
            return ""
        distance = self.likeness.distance(image)
        if distance <= self.likeness.limit:
            return ""
        share = f"{100 * self.likeness.quantile:g} % of the {self.suite} pictures"
        return f"{OUTSIDE}: distance {distance:.1f}, {share} are within {self.likeness.limit:.1f}"

    def applied(self, verdict: Verdict) -> Verdict:
        """The verdict on the human scale with its percentile; as it is where its depth was not calibrated."""
        scale = self.scales.get(verdict.provenance.depth)
        if scale is None or verdict.score is None or verdict.distribution is None:
            return verdict
        score = scale.mapped(verdict.score)
        shares = tilted(tempered(verdict.distribution, scale.temperature), score)
        elements = []
        for element in verdict.elements:
            _, there = tempered([1 - element.probability, element.probability], scale.elements)
            elements.append(element.model_copy(update={"probability": there}))
        made = verdict.model_copy(
            update={
                "score": expectation(shares),
                "distribution": shares,
                "elements": elements,
                "percentile": scale.percentile(score),
            }
        )
        made._image = verdict._image
        return made


def chosen(
    given: str | Path | Calibration | bool, model: str, adapter: str | None, rubric: Rubric
) -> Calibration | None:
    """The calibration that is meant: the given one, or with True the one beside the adapter.

    Raises:
        InputError: it cannot be read, or a given one was made for another rubric.
    """
    if isinstance(given, bool):
        path = _beside(model, adapter, rubric) if given else None
        found = Calibration.load(path) if path and path.is_file() else None
        return found if found and found.fits(rubric) else None
    made = given if isinstance(given, Calibration) else Calibration.load(given)
    made.check(rubric)
    return made


def _beside(model: str, adapter: str | None, rubric: Rubric) -> Path | None:
    """Where the calibration of the adapter that answers a rubric would lie."""
    from judge.backends.checkpoints import Folder

    try:
        folder = Folder.of(model, adapter)
    except (JudgeError, OSError, ValueError):
        return None  # told when the model is loaded
    tuned = folder.own.get(rubric.name) or folder.adapter
    return Path(tuned.place) / FILE if tuned else None


def tempered(shares: Sequence[float], temperature: float) -> list[float]:
    """Shares to the power 1 / temperature, summing to 1: above 1 flatter, below 1 sharper."""
    powers = [share ** (1 / temperature) for share in shares]
    total = sum(powers)
    return [power / total for power in powers]


def tilted(shares: Sequence[float], mean: float) -> list[float]:
    """Shares of the labels 1, 2, ... with another mean: each times exp(t label), t such that the mean is met.

    Args:
        shares: summing to 1.
        mean: between the first label and the last; at either end all weight goes there.
    """
    count = len(shares)
    wanted = min(max(mean, 1 + 1e-9), count - 1e-9)
    logs = [math.log(max(share, 1e-12)) for share in shares]
    low, high = -200.0, 200.0
    for _ in range(80):
        middle = (low + high) / 2
        found = _tilt(logs, middle)
        low, high = (low, middle) if expectation(found) > wanted else (middle, high)
    return _tilt(logs, (low + high) / 2)


def _tilt(logs: Sequence[float], slope: float) -> list[float]:
    heights = [log + slope * label for label, log in enumerate(logs, 1)]
    top = max(heights)
    weights = [math.exp(height - top) for height in heights]
    total = sum(weights)
    return [weight / total for weight in weights]


def expectation(shares: Sequence[float]) -> Score:
    """Mean of the labels 1, 2, ... under these shares."""
    return min(float(len(shares)), max(1.0, sum(label * share for label, share in enumerate(shares, 1))))
