"""Calibration: probabilities of elements, and images without damage in which no defect may be reported."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eval.metrics.calibration import expected_calibration_error
from eval.trust.scenes import TrustScene, with_image
from eval.trust.scores import Measurement, Tick, mean
from judge.types import Verdict


def measure_calibration(
    judge: Any, scenes: Sequence[TrustScene], verdicts: Sequence[Verdict], batch: int, tick: Tick
) -> Measurement:
    """Measure the calibration error of the elements and the share of undamaged images without a defect.

    Args:
        judge: the judge.
        scenes: the scenes.
        verdicts: the judge's verdicts on the scenes.
        batch: number of images that are judged together.
        tick: called after each verdict.

    Returns:
        `ece`, the expected calibration error of the elements' probabilities, and `clean_accuracy`, the
        share of the undamaged images that are scored and have no reported artifact.
    """
    probabilities: list[float] = []
    present: list[bool] = []
    for scene, verdict in zip(scenes, verdicts, strict=True):
        truth = {label.name: label.present for label in scene.truth.labels.elements}
        for element in verdict.elements:
            if element.name in truth:
                probabilities.append(element.probability)
                present.append(truth[element.name])
    error = expected_calibration_error(probabilities, present)
    samples = [with_image(scene.sample, scene.undamaged) for scene in scenes]
    clean = []
    for verdict in judge.many(samples, batch=batch):
        artifacts = [defect for defect in verdict.defects if defect.family == "artifact"]
        clean.append(float(verdict.score is not None and not artifacts))
        tick()
    return Measurement(
        {"ece": error.value, "clean_accuracy": mean(clean)},
        {
            "ece": error.note or f"probabilities of {len(probabilities)} elements in ten bins",
            "clean_accuracy": "share of the undamaged images in which no defect is reported",
        },
    )
