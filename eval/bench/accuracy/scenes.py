"""How well a judge judges drawn scenes, whose truth is exact.

Fresh scenes come from `judge.scenes.draw`; `--rows` measures the scenes of any other renderer by the
same code. What counts:

- Elements are pooled over all pictures; an unscored verdict answers all its elements wrongly.
- Defects are those of the family `artifact` on both sides: structure, not disagreement with the prompt.
- True regions are the exact masks, predicted ones the boxes drawn filled, by the structure track's rule.
  `region_f1_of_true_boxes` is what the true boxes would get: more than boxes can say is not asked of a judge.
- An unscored verdict is wrong about its picture's defects and attributes and has found no box. It has no
  score, so it is left out of the correlations; `unscored` says how often that happened.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from eval.metrics.agreement import (
    Interval,
    Measure,
    accuracy,
    accuracy_by_kind,
    bootstrap,
    box_f1,
    boxes_mask,
    constant_accuracy,
    element_accuracy,
    f1_of,
    image_accuracy,
    pixel_f1,
    plcc,
    region_f1,
    srcc,
)
from judge.errors import InputError
from judge.scenes.fresh import LabelledScene
from judge.types import LabelledSample, Sample, Verdict

KINDS = ("object", "count", "relation", "background")
"""Kinds of element that are always reported, in this order; other kinds of a rows file follow."""


class Judging(Protocol):
    """What is measured: `judge.Judge`, or anything else with its `many`."""

    def many(self, samples: Iterable[Sample], *, depth: Any = ..., batch: int = ...) -> Iterator[Verdict]: ...


# ------------------------------------------------------------------------------------- where from


def read_scenes(file: Path, count: int | None = None) -> list[LabelledScene]:
    """The first `count` rows (all, when None) of a JSONL file of `LabelledSample`.

    Raises:
        InputError: no such file, a row that is no `LabelledSample`, a picture or mask that is not there.
    """
    if not file.is_file():
        raise InputError("rows", str(file), "a JSONL file of labelled samples", "check the path")
    scenes: list[LabelledScene] = []
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        raise InputError("rows", str(file), "UTF-8 text", "write the file again") from None
    for number, line in enumerate(lines, start=1):
        if line.strip() and (count is None or len(scenes) < count):
            scenes.append(_read_row(line, f"{file.name} line {number}", file.parent))
    if not scenes:
        raise InputError("rows", str(file), "at least one row", "write rows into the file")
    return scenes


def _read_row(line: str, where: str, root: Path) -> LabelledScene:
    from pydantic import ValidationError

    from judge.media import image as media

    try:
        sample = LabelledSample.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "row"
        raise InputError(f"{where}: {field}", first["input"], first["msg"], "mend the row") from None
    if not isinstance(sample.image, str) or not (root / sample.image).is_file():
        raise InputError(
            f"{where}: image", sample.image, "a picture's path, relative to the file", "mend the path"
        )
    path = root / sample.image
    picture = media.load(path, field=f"{where}: image")
    mask, note = _true_mask(sample, root, picture.width, picture.height, where)
    given = {"image": str(path), "id": sample.id or where}
    return LabelledScene(sample.model_copy(update=given), mask, note)


def _true_mask(
    sample: LabelledSample, root: Path, width: int, height: int, where: str
) -> tuple[NDArray[np.bool_], str]:
    from PIL import Image

    union, note = np.zeros((height, width), dtype=bool), ""
    for at, defect in enumerate(d for d in sample.labels.defects if d.family == "artifact"):
        if defect.mask is None:
            union |= boxes_mask([defect.box], width, height)
            note = "some true regions have no mask; their filled boxes stand in"
            continue
        field = f"{where}: defects.{at}.mask"
        path = root / defect.mask
        try:
            with Image.open(path) as picture:
                region = np.asarray(picture.convert("L")) > 127
        except OSError:
            raise InputError(field, str(path), "a PNG, relative to the file", "mend the path") from None
        if region.shape != union.shape:
            raise InputError(field, region.shape, f"the picture's shape, {union.shape}", "write it again")
        union |= region
    return union, note


# ----------------------------------------------------------------------------------------- measure


def run(
    judge: Judging, scenes: Sequence[LabelledScene], *, batch: int = 16, tick: Any = lambda: None
) -> dict[str, Any]:
    """Judge the scenes at both depths and measure the verdicts.

    Args:
        judge: what is measured.
        scenes: pictures with their truth.
        batch: pictures judged at once.
        tick: called after every verdict.

    Returns:
        One JSON object: numbers by name (None where undefined), `notes` by the same names, `interval_95`.
    """
    samples = [scene.asked() for scene in scenes]
    full, seconds_full = _timed(judge, samples, "verdict", batch, tick)
    short, seconds_short = _timed(judge, samples, "score", batch, tick)
    measures, intervals = measure(scenes, full, short)
    notes = {scene.note for scene in scenes if scene.note}
    return {
        **_plain(measures),
        "seconds_per_verdict": seconds_full / len(scenes),
        "seconds_per_score": seconds_short / len(scenes),
        "unscored": sum(v.status == "unscored" for v in full),
        "unscored_score_depth": sum(v.status == "unscored" for v in short),
        "unscored_reasons": sorted({v.reason for v in [*full, *short] if v.status == "unscored"})[:5],
        "count": len(scenes),
        "batch": batch,
        "interval_95": {name: [i.low, i.high] for name, i in intervals.items()},
        "notes": {
            **{name: m.note for name, m in _flat(measures) if m.note},
            **{f"interval_95.{name}": i.note for name, i in intervals.items() if i.note},
            **({"truth": "; ".join(sorted(notes))} if notes else {}),
        },
    }


def _timed(
    judge: Judging, samples: list[Sample], depth: str, batch: int, tick: Any
) -> tuple[list[Verdict], float]:
    """The verdicts in order, and their wall time in seconds without that of loading the model."""
    list(judge.many(samples[:1], depth=depth, batch=batch))
    verdicts, start = [], time.perf_counter()
    for verdict in judge.many(samples, depth=depth, batch=batch):
        verdicts.append(verdict)
        tick()
    seconds = time.perf_counter() - start
    if [v.id for v in verdicts] != [s.id for s in samples]:
        raise InputError(
            "verdicts", len(verdicts), f"{len(samples)} in the order of the samples", "mend `many`"
        )
    return verdicts, seconds


Measures = dict[str, Measure | dict[str, Measure]]


def measure(
    scenes: Sequence[LabelledScene], full: Sequence[Verdict], short: Sequence[Verdict]
) -> tuple[Measures, dict[str, Interval]]:
    """All measures of verdicts at both depths, and 95 % bootstrap intervals over pictures of some."""
    measures: Measures = {}
    intervals: dict[str, Interval] = {}
    for part in (_elements(scenes, full), _scores(scenes, full, short), _defects(scenes, full)):
        measures.update(part[0])
        intervals.update(part[1])
    measures["element_accuracy_score_depth"] = _elements(scenes, short)[0]["element_accuracy"]
    measures["dimension_srcc"] = _dimensions(scenes, full)
    measures["degradation_accuracy"] = _attribute(scenes, full, "degradation")
    return measures, intervals


def _elements(
    scenes: Sequence[LabelledScene], verdicts: Sequence[Verdict]
) -> tuple[Measures, dict[str, Interval]]:
    kinds: list[str] = []
    probabilities: list[float | None] = []
    truth: list[bool] = []
    tally = np.zeros((len(scenes), 2))
    for at, (scene, verdict) in enumerate(zip(scenes, verdicts, strict=True)):
        found = {" ".join(e.name.split()): e.probability for e in verdict.elements}
        for label in scene.sample.labels.elements:
            p = found.get(" ".join(label.name.split()))
            kinds.append(label.kind or "unknown")
            probabilities.append(p)
            truth.append(label.present)
            tally[at] += (p is not None and (p >= 0.5) == label.present, 1)
    by_kind = accuracy_by_kind(kinds, probabilities, truth)
    absent = {kind: Measure(None, f"no element of the kind {kind}") for kind in KINDS if kind not in by_kind}
    order = [*KINDS, *sorted(set(by_kind) - set(KINDS))]
    per_kind: dict[str, list[bool]] = {}
    for kind, present in zip(kinds, truth, strict=True):
        per_kind.setdefault(kind, []).append(present)
    measures: Measures = {
        "element_accuracy": element_accuracy(probabilities, truth),
        "element_constant": constant_accuracy(truth),
        "element_accuracy_by_kind": {kind: (by_kind | absent)[kind] for kind in order},
        "element_constant_by_kind": {k: constant_accuracy(per_kind[k]) for k in order if k in per_kind},
    }
    return measures, {"element_accuracy": bootstrap(lambda draw: _share(tally[draw]), len(scenes))}


def _share(rows: NDArray[np.float64]) -> float | None:
    """Sum of the first column over the sum of the second."""
    right, total = rows.sum(axis=0)
    return float(right / total) if total else None


def _scores(
    scenes: Sequence[LabelledScene], full: Sequence[Verdict], short: Sequence[Verdict]
) -> tuple[Measures, dict[str, Interval]]:
    def pairs(verdicts: Sequence[Verdict], *, sampled: bool = False) -> NDArray[np.float64]:
        rows = []
        for scene, verdict in zip(scenes, verdicts, strict=True):
            label = int(np.argmax(verdict.distribution)) + 1.0 if verdict.distribution else None
            given = label if sampled else verdict.score
            if given is not None and scene.sample.labels.score is not None:
                rows.append((given, scene.sample.labels.score))
        return np.array(rows, dtype=np.float64).reshape(-1, 2)

    deep, digit, shallow = pairs(full), pairs(full, sampled=True), pairs(short)
    measures: Measures = {
        "score_srcc": srcc(*deep.T),
        "score_srcc_sampled": srcc(*digit.T),
        "score_srcc_score_depth": srcc(*shallow.T),
        "score_plcc": plcc(*deep.T),
        "score_plcc_fitted": plcc(*deep.T, fitted=True),
        "score_plcc_score_depth": plcc(*shallow.T),
    }
    return measures, {
        "score_srcc": bootstrap(lambda draw: srcc(*deep[draw].T).value, len(deep)),
        "score_srcc_score_depth": bootstrap(lambda draw: srcc(*shallow[draw].T).value, len(shallow)),
    }


def _dimensions(scenes: Sequence[LabelledScene], verdicts: Sequence[Verdict]) -> dict[str, Measure]:
    pairs: dict[str, list[tuple[float, float]]] = {}
    for scene, verdict in zip(scenes, verdicts, strict=True):
        for name, truth in scene.sample.labels.dimensions.items():
            rows = pairs.setdefault(name, [])
            if name in verdict.dimensions:
                rows.append((verdict.dimensions[name].score, truth))
    return {name: srcc([p for p, _ in rows], [t for _, t in rows]) for name, rows in pairs.items()}


def _defects(
    scenes: Sequence[LabelledScene], verdicts: Sequence[Verdict]
) -> tuple[Measures, dict[str, Interval]]:
    found = [[d for d in v.defects if d.family == "artifact"] for v in verdicts]
    truth = [scene.defects for scene in scenes]
    answered = [f if v.status == "scored" else None for f, v in zip(found, verdicts, strict=True)]
    boxes = box_f1([[d.box for d in f] for f in found], [[d.box for d in t] for t in truth])
    masks = []
    for scene, defects, verdict in zip(scenes, found, verdicts, strict=True):
        height, width = scene.mask.shape
        if verdict.size is not None and verdict.size != (width, height):
            raise InputError(
                "verdict.size", verdict.size, f"the picture's, {(width, height)}", "boxes are in its pixels"
            )
        masks.append(boxes_mask([d.box for d in defects], width, height))
    regions = region_f1(masks, [scene.mask for scene in scenes])
    most = region_f1(
        [
            boxes_mask([d.box for d in t], *scene.mask.shape[::-1])
            for t, scene in zip(truth, scenes, strict=True)
        ],
        [scene.mask for scene in scenes],
    )
    named = [(found[at][i].kind, truth[at][j].kind) for at, i, j, _ in boxes.matches]
    kinds = accuracy([a for a, _ in named], [b for _, b in named])
    measures: Measures = {
        "defect_image_accuracy": image_accuracy(answered, truth),
        "defect_image_constant": constant_accuracy([bool(t) for t in truth]),
        "box_f1_50": boxes.f1,
        "box_precision_50": boxes.precision,
        "box_recall_50": boxes.recall,
        "region_f1": regions.f1,
        "region_precision": regions.precision,
        "region_recall": regions.recall,
        "region_f1_of_true_boxes": most.f1,
        "pixel_f1": pixel_f1(masks, [scene.mask for scene in scenes]),
        "kind_accuracy_on_matched": kinds if named else Measure(None, "no box was matched"),
    }
    right = np.array(
        [[a is not None and bool(a) == bool(t), 1] for a, t in zip(answered, truth, strict=True)], dtype=float
    )
    return measures, {
        "defect_image_accuracy": bootstrap(lambda draw: _share(right[draw]), len(scenes)),
        "box_f1_50": bootstrap(lambda draw: f1_of(boxes.counts[draw])[0].value, len(scenes)),
        "region_f1": bootstrap(lambda draw: f1_of(regions.counts[draw])[0].value, len(scenes)),
    }


def _attribute(scenes: Sequence[LabelledScene], verdicts: Sequence[Verdict], name: str) -> Measure:
    pairs = [
        (v.attributes[name].label if name in v.attributes else None, s.sample.labels.attributes[name])
        for s, v in zip(scenes, verdicts, strict=True)
        if name in s.sample.labels.attributes
    ]
    return accuracy([a for a, _ in pairs], [b for _, b in pairs])


def _flat(measures: Measures) -> Iterator[tuple[str, Measure]]:
    for name, value in measures.items():
        if isinstance(value, Measure):
            yield name, value
        else:
            yield from ((f"{name}.{kind}", m) for kind, m in value.items())


def _plain(measures: Measures) -> dict[str, Any]:
    return {
        name: value.value if isinstance(value, Measure) else {kind: m.value for kind, m in value.items()}
        for name, value in measures.items()
    }
