"""Calibration: the map from a model's numbers to the human scale, learned by `judge calibrate`.

A calibration belongs to one rubric and one model and has a map for each calibrated depth. It holds

- a monotone map from the model's score to the human scale 1..5, which never changes a ranking;
- the temperature of the score's distribution (Guo et al. 2017). The distribution is then tilted exponentially
  until its mean is the mapped score: of all distributions with that mean, it is the nearest by the
  Kullback-Leibler divergence;
- the temperature of the elements' probabilities;
- the quantiles of the mapped scores, for `Verdict.percentile`;
- the statistics of the calibration's images (`judge.evidence.similarity`); a verdict on an image that is too
  far from them abstains.

`calibration.json` is stored in the folder of the adapter that it was made for, and is searched there.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationError, model_validator

from judge.errors import InputError, JudgeError
from judge.pipeline.distributions import apply_temperature, expectation, tilt_to_mean
from judge.types import Depth, StrictModel, Verdict

if TYPE_CHECKING:
    from PIL import Image

    from judge.rubrics.rubric import Rubric

CALIBRATION_FILE = "calibration.json"
FORMAT_VERSION = 1
OUTSIDE_DOMAIN = "outside calibrated domain"
"""Beginning of the reason of a verdict that abstains."""

Temperature = Annotated[float, Field(gt=0)]


class ImageStatistics(StrictModel):
    """Statistics of the images of a calibration; see `judge.evidence.similarity`."""

    mean: list[float]
    """Mean of each statistic."""
    precision: list[list[float]]
    """Inverse of the shrunk covariance of the statistics."""
    limit: Annotated[float, Field(gt=0)]
    """Mahalanobis distance beyond which an image is outside the domain."""
    quantile: Annotated[float, Field(gt=0, le=1)]
    """Share of held-out images of the calibration that lie within the limit."""

    def distance(self, image: Image.Image) -> float:
        """Return the Mahalanobis distance of an image from the images of the calibration."""
        from judge.evidence.similarity import compute_statistics, mahalanobis_distance

        return mahalanobis_distance(compute_statistics(image), self.mean, self.precision)


class ScoreMap(StrictModel):
    """The calibration of one depth."""

    knots: Annotated[list[tuple[float, float]], Field(min_length=2)]
    """(model's score, human score), both increasing; linear interpolation between them."""
    temperature: Temperature = 1.0
    """Temperature of the score's distribution."""
    elements: Temperature = 1.0
    """Temperature of the elements' probabilities."""
    quantiles: Annotated[list[float], Field(min_length=2)]
    """Mapped scores of the calibration's images at equally spaced shares, from the lowest to the highest."""

    @model_validator(mode="after")
    def _check_monotone(self) -> ScoreMap:
        for values in zip(*self.knots, strict=True):
            if any(b <= a for a, b in zip(values, values[1:], strict=False)):
                raise ValueError("knots must increase")
        if self.quantiles != sorted(self.quantiles):
            raise ValueError("quantiles must not decrease")
        return self

    def map_score(self, score: float) -> float:
        """Map a model's score (1..5) to the human scale (1..5)."""
        at = min(max(1, bisect_right([x for x, _ in self.knots], score)), len(self.knots) - 1)
        (x1, y1), (x2, y2) = self.knots[at - 1], self.knots[at]
        return min(5.0, max(1.0, y1 + (y2 - y1) * (score - x1) / (x2 - x1)))

    def percentile(self, mapped_score: float) -> float:
        """Return the share of the calibration's images, in percent, with a lower score; ties count half."""
        low, high = bisect_left(self.quantiles, mapped_score), bisect_right(self.quantiles, mapped_score)
        steps = len(self.quantiles) - 1
        if low != high:  # equal to one or more quantiles
            return min(100.0, 50 * (low + high - 1) / steps)
        if low == 0 or low > steps:
            return 0.0 if low == 0 else 100.0
        below, above = self.quantiles[low - 1], self.quantiles[low]
        return 100 * (low - 1 + (mapped_score - below) / (above - below)) / steps


class Calibration(StrictModel):
    """The content of `calibration.json`."""

    format: int = FORMAT_VERSION
    rubric: str
    rubric_hash: str
    model: str = ""
    revision: str = ""
    """Revision of the weights it was made for; empty: any."""
    suite: str = ""
    count: int = 0
    """Number of labelled images it was fitted on."""
    scales: dict[Depth, ScoreMap]
    likeness: ImageStatistics | None = None
    """None: no verdict abstains."""
    report: dict[str, Any] = {}
    """Measurements made during the fit; for the reader only."""

    @classmethod
    def load(cls, source: str | Path) -> Calibration:
        """Read a calibration file.

        Args:
            source: path of the file, or of the folder with `calibration.json`.

        Raises:
            InputError: there is no such file, or it is not a calibration.
        """
        path = Path(source) / CALIBRATION_FILE if Path(source).is_dir() else Path(source)
        try:
            calibration = cls.model_validate_json(path.read_text("utf-8"))
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                "calibration", str(path), "a file that `judge calibrate` wrote", reason
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(["calibration", *map(str, first["loc"])])
            mend = "make it again with `judge calibrate`"
            raise InputError(field, str(path), first["msg"], mend) from None
        if calibration.format != FORMAT_VERSION:
            mend = "make it again with `judge calibrate`"
            raise InputError("calibration.format", calibration.format, str(FORMAT_VERSION), mend)
        return calibration

    def matches(self, rubric: Rubric, revision: str = "") -> bool:
        """Return whether the calibration was made for this rubric and these weights.

        Args:
            rubric: the rubric as the model is asked (`Pipeline.asked_rubric`).
            revision: revision of the weights; empty if it is unknown, which matches any.
        """
        is_same_revision = not self.revision or not revision or self.revision == revision
        return self.rubric_hash == rubric.hash and is_same_revision

    def check_rubric(self, rubric: Rubric) -> None:
        """Raise `InputError` if the calibration was made for another rubric.

        It may be made for the rubric as tuned or as general models are asked; `matches` tells them apart when
        the model is known.
        """
        if self.rubric_hash not in (rubric.hash, rubric.for_general_models().hash):
            allowed = f"rubric {rubric.name} ({rubric.hash})"
            mend = "calibrate again, or leave it out"
            raise InputError("calibration", f"{self.rubric} ({self.rubric_hash})", allowed, mend)

    def abstain_reason(self, image: Image.Image) -> str:
        """Return why an image is outside the calibrated domain; empty if it is inside."""
        if self.likeness is None:
            return ""
        distance = self.likeness.distance(image)
        if distance <= self.likeness.limit:
            return ""
        share = f"{100 * self.likeness.quantile:g} % of the {self.suite} images"
        return f"{OUTSIDE_DOMAIN}: distance {distance:.1f}, {share} are within {self.likeness.limit:.1f}"

    def apply(self, verdict: Verdict) -> Verdict:
        """Return the verdict on the human scale with a percentile; unchanged for an uncalibrated depth."""
        scale = self.scales.get(verdict.provenance.depth)
        if scale is None or verdict.score is None or verdict.distribution is None:
            return verdict
        score = scale.map_score(verdict.score)
        distribution = tilt_to_mean(apply_temperature(verdict.distribution, scale.temperature), score)
        elements = []
        for element in verdict.elements:
            shares = [1 - element.probability, element.probability]
            _, probability = apply_temperature(shares, scale.elements)
            elements.append(element.model_copy(update={"probability": probability}))
        calibrated = verdict.model_copy(
            update={
                "score": expectation(distribution),
                "distribution": distribution,
                "elements": elements,
                "percentile": scale.percentile(score),
            }
        )
        calibrated._image = verdict._image
        return calibrated


def resolve_calibration(
    calibration: str | Path | Calibration | bool, model: str, adapter: str | None, rubric: Rubric
) -> Calibration | None:
    """Return the calibration to use for a model and a rubric.

    Args:
        calibration: a calibration, its file or its folder; True: the one in the folder of the adapter, if it
            matches the rubric; False: none.
        model: name or folder of the model.
        adapter: name or folder of the adapter.
        rubric: the rubric.

    Raises:
        InputError: the calibration cannot be read, or a given one was made for another rubric.
    """
    if isinstance(calibration, bool):
        path = _adapter_calibration_path(model, adapter, rubric) if calibration else None
        found = Calibration.load(path) if path and path.is_file() else None
        if found is None or found.rubric_hash not in (rubric.hash, rubric.for_general_models().hash):
            return None
        return found
    given = calibration if isinstance(calibration, Calibration) else Calibration.load(calibration)
    given.check_rubric(rubric)
    return given


def _adapter_calibration_path(model: str, adapter: str | None, rubric: Rubric) -> Path | None:
    """Return the path of the calibration in the folder of the adapter that answers the rubric."""
    from judge.backends.checkpoints import Checkpoint

    try:
        checkpoint = Checkpoint.resolve(model, adapter)
    except (JudgeError, OSError, ValueError):
        return None  # reported when the model is loaded
    answering = checkpoint.rubric_adapters.get(rubric.name) or checkpoint.adapter
    return Path(answering.path) / CALIBRATION_FILE if answering else None
