"""Numbers that mean what they say: calibrated elements, and clean pictures that stay clean."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eval.metrics.agreement import expected_calibration_error
from eval.trust.material import Part, Scene, Tick, mean, repainted
from judge.types import Verdict


def measure(judge: Any, scenes: Sequence[Scene], verdicts: Sequence[Verdict], batch: int, tick: Tick) -> Part:
    said: list[float] = []
    held: list[bool] = []
    for scene, verdict in zip(scenes, verdicts, strict=True):
        truth = {label.name: label.present for label in scene.truth.labels.elements}
        for element in verdict.elements:
            if element.name in truth:
                said.append(element.probability)
                held.append(truth[element.name])
    error = expected_calibration_error(said, held)
    whole = [repainted(scene.sample, scene.whole) for scene in scenes]
    clean = []
    for verdict in judge.many(whole, batch=batch):
        found = [defect for defect in verdict.defects if defect.family == "artifact"]
        clean.append(float(verdict.score is not None and not found))
        tick()
    return Part(
        {"ece": error.value, "clean_accuracy": mean(clean)},
        {
            "ece": error.note or f"probabilities of {len(said)} elements in ten bins",
            "clean_accuracy": "pictures with nothing broken in which nothing is named",
        },
    )
