"""SDG-30K: where, what, why and how much: boxes of artifacts and misalignment with descriptions.

Labels and predictions alike: JSONL of `{"filepath", "caption", "ann_translated_bboxes": [{"box_2d": [x1, y1,
x2, y2], "label": "artifact" | "misalignment" | "both", "description", "importance"}]}` (predictions may call
the list `boxes`). `importance`, where present, is negligible, moderate or critical. Boxes are in pixels, or
with the option `unit=1000` in thousandths of the picture's sides.

Reported: F1 of each label at image level (`type_f1/...`), clean images called clean (`clean_accuracy`), F1 of
boxes at IoU >= 0.1 and >= 0.5 for each label and for both together (greedy by IoU; labels must agree, "both"
agrees with either), and accuracy of importance on matched boxes. The paper assigns by the Hungarian method
on 1 - DIoU; its similarity of descriptions needs a sentence encoder, which is not shipped, and is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.metrics.agreement import Measure, accuracy, box_f1, f1_of
from eval.suites import base, opinions
from eval.suites.base import Item, Measures, Row, Suite, Truth, verdict_of
from eval.suites.readers import files
from judge.errors import InputError
from judge.types import DefectLabel

SOURCE = "the authors of SDG-30K (the set's page could not be verified)"
FILES = {split: (f"{split}.jsonl", f"sdg_{split}.jsonl") for split in ("test", "train", "val")}
LABELS = ("artifact", "misalignment", "both")
IMPORTANCE = ("negligible", "moderate", "critical")
UNITS = ("pixels", "1000")


@dataclass(frozen=True)
class Found:
    """One box of either side."""

    box: tuple[float, float, float, float]
    label: str
    importance: str = ""


def rows_of(path: Path, name: str) -> Iterator[tuple[str, str, list[Found], list[str]]]:
    """(filepath, caption, boxes, descriptions) of each line."""
    for at, row in files.json_lines(path, name):
        where = f"{path.name} line {at}"
        if not isinstance(row, dict) or not isinstance(row.get("filepath"), str):
            raise InputError(where, row, "an object with filepath, caption and boxes", "mend the line")
        listed = row.get("ann_translated_bboxes", row.get("boxes", []))
        if not isinstance(listed, list):
            raise InputError(f"{where}: boxes", listed, "a list", "mend the line")
        boxes = [_found(entry, where) for entry in listed]
        told = [str(entry.get("description") or "") for entry in listed]
        yield row["filepath"], str(row.get("caption") or ""), boxes, told


def _found(entry: Any, where: str) -> Found:
    if not isinstance(entry, dict) or entry.get("label") not in LABELS:
        raise InputError(where, entry, f"a box with a label of {', '.join(LABELS)}", "mend the line")
    corners = entry.get("box_2d")
    if not isinstance(corners, list) or len(corners) != 4:
        raise InputError(f"{where}: box_2d", corners, "[x1, y1, x2, y2]", "mend the line")
    x1, y1, x2, y2 = (files.number(c, where, "box_2d") for c in corners)
    importance = str(entry.get("importance") or "").lower()
    if importance and importance not in IMPORTANCE:
        raise InputError(f"{where}: importance", importance, ", ".join(IMPORTANCE), "mend the line")
    return Found((x1, y1, x2, y2), entry["label"], importance)


def read(data: Path, split: str | None = None, *, media: bool = True, unit: str = "pixels") -> Iterator[Item]:
    """Items with their defects; a box of both labels becomes a defect of either family."""
    if unit not in UNITS:
        raise InputError("unit", unit, ", ".join(UNITS), "choose one of these")
    path = base.label_file(data, FILES[opinions.checked_split(split, tuple(FILES), "test")], SOURCE)

    def items() -> Iterator[Item]:
        for name, caption, boxes, told in rows_of(path, "truth"):
            truth = Truth(defects=_defects(boxes, told), annotations=[[vars(b) for b in boxes]])
            yield Item(id=name, image=name, prompt=caption, labels=truth)

    root = data if data.is_dir() else data.parent
    for item in base.with_media(lambda: base.unique(items(), path), root, SOURCE, media=media):
        yield _scaled(item) if unit == "1000" and media else item


def _defects(boxes: Sequence[Found], told: Sequence[str]) -> list[DefectLabel]:
    return [
        DefectLabel(
            family=family,
            kind="other" if family == "artifact" else "wrong object",
            box=b.box,
            severity=b.importance or "moderate",
            explanation=text,
        )
        for b, text in zip(boxes, told, strict=True)
        for family in ("artifact", "misalignment")
        if b.label in (family, "both")
    ]


def _scaled(item: Item) -> Item:
    from eval.suites.evalmuse_structure import picture_shape

    height, width = picture_shape(Path(str(item.image)))
    sides = (width / 1000, height / 1000) * 2

    def moved(box: Sequence[float]) -> tuple[float, ...]:
        return tuple(v * s for v, s in zip(box, sides, strict=True))

    truth = item.labels
    defects = [d.model_copy(update={"box": moved(d.box)}) for d in truth.defects]
    drawn = [[{**b, "box": moved(b["box"])} for b in boxes] for boxes in truth.annotations]
    return item.model_copy(
        update={"labels": truth.model_copy(update={"defects": defects, "annotations": drawn})}
    )


@dataclass
class Tally:
    """Counts over pictures."""

    types: dict[str, list[tuple[int, int, int, int]]] = field(
        default_factory=lambda: {"artifact": [], "misalignment": []}
    )
    boxes: dict[tuple[str, float], list[Any]] = field(default_factory=dict)
    clean: list[bool] = field(default_factory=list)
    importance: list[tuple[str, str]] = field(default_factory=list)

    def add(self, predicted: Sequence[Found], truth: Sequence[Found]) -> None:
        """One picture."""
        for label, rows in self.types.items():
            p, t = (any(b.label in (label, "both") for b in side) for side in (predicted, truth))
            rows.append((p and t, p, p and t, t))
        if not truth:
            self.clean.append(not predicted)
        for label in ("artifact", "misalignment", "all"):
            ours, theirs = (
                [b for b in s if label in (b.label, "all") or b.label == "both"] for s in (predicted, truth)
            )
            for threshold in (0.1, 0.5):
                counts = _matched(ours, theirs, threshold)
                self.boxes.setdefault((label, threshold), []).append(counts[0])
                if label == "all" and threshold == 0.5:
                    self.importance += counts[1]

    def measures(self) -> Measures:
        """All of them."""
        found: Measures = {}
        for (label, threshold), rows in sorted(self.boxes.items()):
            f1, precision, recall = f1_of(np.array(rows, dtype=np.int64), "box", interval=True)
            end = f"@{threshold}" + ("" if label == "all" else f"/{label}")
            found |= {f"box_f1{end}": f1}
            if end == "@0.5":
                found |= {"f1": f1, "precision": precision, "recall": recall}
        for label, rows in self.types.items():
            found[f"type_f1/{label}"] = f1_of(np.array(rows, dtype=np.int64), label, interval=True)[0]
        called = accuracy(self.clean, [True] * len(self.clean), interval=True)
        found["clean_accuracy"] = called if self.clean else Measure(None, "no picture of the truth is clean")
        pairs = [(a, b) for a, b in self.importance if b]
        right = accuracy([a for a, _ in pairs], [b for _, b in pairs], interval=True)
        found["importance_accuracy"] = right if pairs else Measure(None, "no matched box has an importance")
        return found


def _matched(
    ours: Sequence[Found], theirs: Sequence[Found], threshold: float
) -> tuple[tuple[int, int, int, int], list[tuple[str, str]]]:
    """Counts of one picture, and the importance of both sides of each match; labels must agree."""
    result = box_f1([[b.box for b in ours]], [[b.box for b in theirs]], threshold=threshold)
    pairs = [(i, j) for _, i, j, _ in result.matches if _agree(ours[i].label, theirs[j].label)]
    if len(pairs) < len(result.matches):  # a box of another label may have taken the place of the right one
        pairs = _greedy(ours, theirs, threshold)
    hits = len(pairs)
    told = [(ours[i].importance, theirs[j].importance) for i, j in pairs]
    return (hits, len(ours), hits, len(theirs)), told


def _greedy(ours: Sequence[Found], theirs: Sequence[Found], threshold: float) -> list[tuple[int, int]]:
    from eval.metrics.agreement import box_iou

    order = sorted(
        (-box_iou(a.box, b.box), i, j)
        for i, a in enumerate(ours)
        for j, b in enumerate(theirs)
        if _agree(a.label, b.label)
    )
    pairs: list[tuple[int, int]] = []
    for iou, i, j in order:
        if -iou >= threshold and all(i != a and j != b for a, b in pairs):
            pairs.append((i, j))
    return pairs


def _agree(a: str, b: str) -> bool:
    return a == b or "both" in (a, b)


def measure(rows: Iterable[Row]) -> Measures:
    """A run; an unscored verdict has found nothing, and calls nothing clean."""
    tally = Tally()
    unscored = total = 0
    for row in rows:
        verdict, total = verdict_of(row), total + 1
        missing = verdict.status != "scored"
        unscored += missing
        said = [Found(d.box, d.family, d.severity) for d in verdict.defects]
        drawn = row.sample.labels.annotations
        true = [Found(**entry) for entry in (drawn[0] if drawn else [])]
        tally.add(said, true)
        if missing and not true:
            tally.clean[-1] = False
    return tally.measures() | opinions.unscored_of(unscored, total)


def score(pred: Path, truth: Path) -> Measures:
    """The numbers of a file of predictions."""
    given, wanted = _by_name(pred, "pred"), _by_name(truth, "truth")
    names, said = opinions.joined(given, wanted, pred)
    tally = Tally()
    for name in names:
        tally.add(given[name], wanted[name])
    return tally.measures() | said


def _by_name(path: Path, name: str) -> dict[str, list[Found]]:
    found: dict[str, list[Found]] = {}
    for key, _, boxes, _ in rows_of(path, name):
        if key in found:
            raise InputError(name, key, "each filepath once", "remove the doubled line")
        found[key] = boxes
    return found


SUITE = Suite(
    name="sdg-30k",
    title="SDG-30K (where, what, why and how much)",
    source=SOURCE,
    read=read,
    measure=measure,
    score=score,
    splits=tuple(FILES),
    options={"unit": "unit of box_2d: pixels (default), or 1000 for thousandths of the sides"},
)
