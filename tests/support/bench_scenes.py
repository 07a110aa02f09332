"""Ten labelled scenes, and a judge that knows their labels, for tests of the bench."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from judge.scenes.held_out import LabelledScene
from judge.types import (
    Attribute,
    Defect,
    DefectLabel,
    Dimension,
    Element,
    ElementLabel,
    LabelledSample,
    Labels,
    Provenance,
    Sample,
    Verdict,
)

SIDE = 64
"""Side of the images in pixels."""
PROVENANCE: dict[str, Any] = {
    "model": "fake", "backend": "fake", "rubric": "default", "rubric_hash": "0", "version": "0",
    "milliseconds": 1,
}  # fmt: skip

RESULT_KEYS = {
    "element_accuracy", "element_constant", "element_accuracy_by_kind", "score_srcc", "score_srcc_sampled",
    "score_srcc_score_depth", "score_plcc", "defect_image_accuracy", "box_f1_50", "region_f1",
    "kind_accuracy_on_matched", "degradation_accuracy", "seconds_per_verdict", "seconds_per_score",
    "unscored", "count",
}  # fmt: skip
"""Keys that every result of the part `scenes` has."""


def make_scene(number: int) -> LabelledScene:
    """Return a scene with its own score and two elements; scenes with odd numbers have a defect."""
    boxes = [(8.0, 8.0, 40.0, 40.0)] if number % 2 else []
    labels = Labels(
        score=1 + number * 0.4,
        dimensions={"structure": 1 + number * 0.4},
        elements=[
            ElementLabel(name=f"red circle {number}", present=True, kind="object"),
            ElementLabel(name="two cats", present=False, kind="count"),
        ],
        defects=[DefectLabel(kind="smeared", box=box) for box in boxes],
        attributes={"degradation": "blur" if number % 3 else "none"},
    )
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    for x1, y1, x2, y2 in boxes:
        mask[int(y1) : int(y2), int(x1) : int(x2)] = True
    image = np.full((SIDE, SIDE, 3), number * 20, dtype=np.uint8)
    sample = LabelledSample(id=str(number), image=image, prompt="two cats", labels=labels)
    return LabelledScene(sample, mask)


SCENES = [make_scene(number) for number in range(10)]

MakeVerdict = Callable[[Labels, Sample, str], Verdict]
"""(labels, sample, depth) -> verdict."""


def make_distribution(score: float) -> list[float]:
    """Return probabilities of 1..5 whose expectation is the score."""
    low = min(4, int(score))
    return [max(0.0, 1 - abs(score - label)) if label in (low, low + 1) else 0.0 for label in range(1, 6)]


def true_verdict(labels: Labels, sample: Sample, depth: str) -> Verdict:
    """Return the verdict with the true answers."""
    assert labels.score is not None
    return Verdict(
        id=sample.id,
        status="scored",
        score=labels.score,
        distribution=make_distribution(labels.score),
        dimensions={
            name: Dimension(score=score, distribution=make_distribution(score))
            for name, score in labels.dimensions.items()
        },
        elements=[
            Element(name=e.name, present=e.present, probability=0.9 if e.present else 0.2)
            for e in labels.elements
        ],
        attributes={
            name: Attribute(label=value, probabilities={value: 1.0})
            for name, value in labels.attributes.items()
        },
        defects=[
            Defect(family=d.family, kind=d.kind, box=d.box, severity=d.severity, confidence=1, explanation="")
            for d in labels.defects
        ],
        size=(SIDE, SIDE),
        provenance=Provenance(depth=depth, **PROVENANCE),
    )


def unscored_verdict(labels: Labels, sample: Sample, depth: str) -> Verdict:
    """Return the verdict of a judge whose replies cannot be parsed."""
    provenance = Provenance(depth=depth, **PROVENANCE)
    return Verdict(id=sample.id, status="unscored", reason="reply: not JSON", provenance=provenance)


class LookupJudge:
    """A judge that looks up the labels of a sample by its id."""

    def __init__(self, scenes: list[LabelledScene], make_verdict: MakeVerdict = true_verdict) -> None:
        self.labels = {scene.sample.id: scene.sample.labels for scene in scenes}
        self.make_verdict = make_verdict
        self.samples: list[Sample] = []

    def many(self, samples: Iterable[Sample], *, depth: str = "verdict", batch: int = 1) -> Iterator[Verdict]:
        for sample in samples:
            self.samples.append(sample)
            yield self.make_verdict(self.labels[sample.id], sample, depth)


def write_rows(folder: Path, scenes: list[LabelledScene], *, masks: bool = True) -> Path:
    """Write scenes as rows.jsonl with PNG files for images and, if asked for, masks."""
    rows = []
    for scene in scenes:
        name = f"{scene.sample.id}.png"
        Image.fromarray(scene.sample.image).save(folder / name)
        row = json.loads(scene.sample.model_dump_json(exclude={"image", "reference"}))
        row["image"] = name
        if masks and scene.mask.any():
            Image.fromarray((scene.mask * 255).astype(np.uint8)).save(folder / f"mask-{name}")
            row["labels"]["defects"][0]["mask"] = f"mask-{name}"
        rows.append(json.dumps(row))
    file = folder / "rows.jsonl"
    file.write_text("\n".join(rows) + "\n")
    return file
