"""From what people said about a sample to a filled form, and what of it is known.

Nothing is made up: a blank that nobody labelled is filled with its first label, so that the form can be
written, and named in `unknown`, so that nothing is learnt from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from eval.suites import suite as suite_of
from eval.suites.base import Item, Suite, Truth
from eval.suites.evalmuse_structure import picture_shape
from finetune.lora.config import Data, Source
from judge.elements.splitting import split
from judge.errors import InputError
from judge.media.decoding import opened
from judge.media.regions import to_relative
from judge.rubrics.rubric import Rubric
from judge.types import DefectLabel, Depth

Range = tuple[float, float]


@dataclass(frozen=True)
class Opinion:
    """What people think on the scale 1 to 5."""

    mean: float
    spread: float | None = None
    """Standard deviation of the single opinions; None where the set does not say."""


@dataclass(frozen=True)
class Target:
    """One sample's answer, as far as it is known."""

    item: Item
    elements: tuple[str, ...]
    values: dict[str, Any]
    """Fills `rubric.form(elements)` at verdict depth."""
    unknown: frozenset[str]
    """What nobody labelled: members of the form, paths of elements, or members of every defect
    (`defects.kind`)."""
    opinions: dict[str, Opinion]
    """Path of a score's blank -> opinion."""
    agreement: dict[str, float]
    """Path of an element's blank -> how far annotators agree, 0 (half and half) to 1 (all)."""
    group: str
    """Rows of one group are compared in pairs; empty: with none."""
    answer: str
    """Path of the blank that answers the suite's main human score."""

    def knows(self, blank: str) -> bool:
        """Whether the blank of this path was labelled."""
        path = blank.removeprefix("dimensions.").removeprefix("attributes.")
        names = path.split(".")
        return self.unknown.isdisjoint((path, names[0], f"{names[0]}.{names[-1]}"))


@dataclass(frozen=True)
class School:
    """A suite's samples as targets under one rubric."""

    rubric: Rubric
    targets: list[Target]
    depths: tuple[Depth, ...]
    weight: float


def read(source: Source, where: str) -> tuple[Suite, list[Item]]:
    """The items of a source.

    Raises:
        InputError: the suite, its data or its split is unusable, or there is no row.
    """
    found = suite_of(source.suite)
    if unknown := [name for name in source.options if name not in found.options]:
        known = ", ".join(found.options) or "none"
        raise InputError(f"{where}.options", unknown[0], known, "leave it out")
    items = found.read(source.path, source.split, **source.options)
    last = None if source.limit is None else source.skip + source.limit
    chosen = list(islice(items, source.skip, last))
    if not chosen:
        mend = "check path, split, skip and limit"
        raise InputError(f"{where}.path", str(source.path), "at least one row", mend)
    return found, chosen


def school(source: Data, where: str) -> School:
    """Read a source and turn every row into a target.

    Raises:
        InputError: as `read`; a label is out of range or off the rubric's menus; nothing is labelled.
    """
    found, items = read(source, where)
    rubric = Rubric.load(source.rubric or found.rubric)
    depths = source.depths or (("score",) if found.depth == "score" else ("verdict", "score"))
    maker = _Maker(source, found, rubric, where, any(_has_defects(item.labels) for item in items))
    targets = [maker.target(item) for item in items]
    if not any(target.opinions or target.agreement for target in targets):
        mend = "its rows have neither scores nor elements that the rubric asks for: take another split"
        raise InputError(f"{where}.suite", source.suite, "labelled rows", mend)
    return School(rubric, targets, depths, source.weight)


def _has_defects(labels: Truth) -> bool:
    return bool(labels.defects or labels.annotations)


@dataclass
class _Maker:
    """Makes targets of one source's items."""

    source: Data
    suite: Suite
    rubric: Rubric
    where: str
    regions: bool
    """Some row of the source has defects, so those without have none; else defects are not labelled."""
    names: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        self.names = frozenset(dimension.name for dimension in self.rubric.dimensions)
        predicts = self.suite.predicts
        self.answer = f"dimensions.{predicts}" if predicts in self.names else "score"

    def target(self, item: Item) -> Target:
        # A file that is no picture, or no video, is told now, not in an hour.
        if isinstance(item.image, str):
            picture_shape(Path(item.image))
        elif item.video is not None:
            with opened(str(item.video), f"{self.where}: {item.id}: video"):
                pass
        labels, unknown = item.labels, set[str]()
        elements, present, agreement = self._elements(item, unknown)
        opinions = self._opinions(item)
        values: dict[str, Any] = {"elements": dict(zip(elements, present, strict=True))} if elements else {}
        for question in self.rubric.attributes:
            said = labels.attributes.get(question.name)
            if said is None:
                unknown.add(question.name)
            elif said not in question.labels:
                self._refuse(item, question.name, said, ", ".join(question.labels))
            values[question.name] = question.labels[0] if said is None else said
        if self.rubric.defects:
            values["defects"] = self._defects(item) if self.regions else []
            if not self.regions:
                unknown.add("defects")
            if not labels.defects:  # annotators marked regions and did not say what is wrong there
                unknown |= {"defects.kind", "defects.severity", "defects.explanation"}
            if not all(defect.explanation for defect in labels.defects):
                unknown.add("defects.explanation")
        for path in [*(f"dimensions.{d.name}" for d in self.rubric.dimensions), "score"]:
            name = path.removeprefix("dimensions.")
            values[name] = round(opinions[path].mean) if path in opinions else 1
            if path not in opinions:
                unknown.add(name)
        if self.rubric.explanation:
            said = summary(labels, self.rubric) if self.source.explain else ""
            values["explanation"] = said[: self.rubric.explanation]
            if not said:
                unknown.add("explanation")
        return Target(
            item=item,
            elements=tuple(elements),
            values=values,
            unknown=frozenset(unknown),
            opinions=opinions,
            agreement=agreement,
            group=self._group(item),
            answer=self.answer,
        )

    def _group(self, item: Item) -> str:
        match self.source.pairs:
            case "all":
                return self.where
            case "group" if item.group:
                return f"{self.where} {item.group}"
            case _:
                return ""

    def _elements(self, item: Item, unknown: set[str]) -> tuple[list[str], list[bool], dict[str, float]]:
        """Names, what stands in their blanks, and agreement by blank for those that are labelled."""
        if not self.rubric.elements:
            return [], [], {}
        labels = item.labels
        names = [e.name for e in labels.elements] or item.elements
        if names is None:
            names = split(item.prompt)
        shares: list[float | None] = [float(e.present) for e in labels.elements] or [None] * len(names)
        if len(labels.shares) == len(names):
            shares = [s if s is None else self._within(item, n, s, (0, 1)) for n, s in labels.shares.items()]
        agreement = {}
        for at, share in enumerate(shares):
            if share is None:
                unknown.add(f"elements.{at}")
            else:
                agreement[f"elements.{at}"] = abs(2 * share - 1)
        # As the judge will read them: without line ends and doubled blanks.
        return (
            [" ".join(n.split()) for n in names],
            [share is None or share >= 0.5 for share in shares],
            agreement,
        )

    def _opinions(self, item: Item) -> dict[str, Opinion]:
        labels, scale = item.labels, self.source.scale or self.suite.scale
        told = {f"dimensions.{n}": Opinion(v) for n, v in labels.dimensions.items() if n in self.names}
        if self.source.score:
            named = labels.dimensions.get(self.source.score)
            human = labels.mos_by.get(self.source.score)
            if named is not None:
                return told | {"score": Opinion(named)}
            if human is None:
                return told
            return told | {"score": self._scaled(item, human, None, scale)}
        if labels.score is not None:
            told["score"] = Opinion(labels.score)
        for name, value in labels.mos_by.items():
            if name in self.names:
                told[f"dimensions.{name}"] = self._scaled(item, value, None, scale)
        if labels.mos is not None:
            told[self.answer] = self._scaled(item, labels.mos, labels.spread, scale)
        return told

    def _scaled(self, item: Item, value: float, spread: float | None, scale: Range | None) -> Opinion:
        """An opinion on the set's scale brought to 1..5."""
        if scale is None:
            mend = "the set's scale is open: say its ends"
            raise InputError(f"{self.where}.scale", None, "[worst, best]", mend)
        worst, best = scale
        if worst == best:
            raise InputError(f"{self.where}.scale", scale, "two different ends", "mend it")
        self._within(item, "score", value, (min(scale), max(scale)))
        if spread is not None and spread < 0:
            self._refuse(item, "spread", spread, "0 or more")
        step = 4 / (best - worst)
        return Opinion(1 + (value - worst) * step, None if spread is None else spread * abs(step))

    def _defects(self, item: Item) -> list[dict[str, Any]]:
        """Regions of the labels, or where there are only areas, of these; at most as many as are asked."""
        rubric = self.rubric
        if rubric.defects is None:
            return []
        kinds = [kind for group in rubric.defects.kinds.values() for kind in group]
        found = item.labels.defects or _regions_of(item, kinds)
        if not found:
            return []
        height, width = picture_shape(Path(str(item.image)))
        made = []
        for defect in found[: rubric.defects.max]:
            if defect.kind not in kinds:
                self._refuse(item, "defects.kind", defect.kind, ", ".join(kinds))
            x1, y1, x2, y2 = defect.box
            if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
                self._refuse(item, "defects.box", defect.box, f"within {width} x {height} pixels")
            row: dict[str, Any] = {
                "kind": defect.kind,
                "box": list(to_relative(defect.box, width, height)),
                "severity": defect.severity,
            }
            if rubric.defects.explanation:
                row["explanation"] = defect.explanation[: rubric.defects.explanation]
            made.append(row)
        return made

    def _within(self, item: Item, name: str, value: float, ends: Range) -> float:
        if not ends[0] <= value <= ends[1]:  # a NaN is not, either
            self._refuse(item, name, value, f"{ends[0]:g} to {ends[1]:g}")
        return value

    def _refuse(self, item: Item, name: str, value: object, allowed: str) -> None:
        raise InputError(
            f"{self.where}: {item.id}: {name}", value, allowed, "mend the label, or leave the row out"
        )


def _regions_of(item: Item, kinds: Sequence[str]) -> list[DefectLabel]:
    """The connected regions that annotators marked, the largest first. Their kind was not asked for."""
    if item.labels.area is None:
        return []
    import cv2
    import numpy as np

    mask = np.asarray(item.labels.area()).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = [tuple(map(float, (x, y, x + w, y + h))) for x, y, w, h, _ in stats[1:count]]
    sizes = [int(area) for *_, area in stats[1:count]]
    order = sorted(range(len(boxes)), key=lambda n: -sizes[n])
    kind = "other" if "other" in kinds else kinds[0]
    return [DefectLabel(kind=kind, box=boxes[n]) for n in order]


def summary(labels: Truth, rubric: Rubric) -> str:
    """The score's reason in words, from the labels; empty where they say nothing of it."""
    asked, parts = labels.elements if rubric.elements else [], []
    if asked:
        parts.append(f"{sum(e.present for e in asked)} of {len(asked)} elements are there")
    kinds = [defect.kind for defect in labels.defects if rubric.defects]
    spoilt = labels.attributes.get("degradation")
    if spoilt not in (None, "none"):
        kinds.append(f"{labels.attributes.get('severity', '')} {spoilt}".strip())
    if not kinds and spoilt is None:
        return "; ".join(parts)
    return "; ".join([*parts, *(kinds or ["no damage"])])


def schools(sources: Iterable[Data], tick: Callable[[str], None] = lambda said: None) -> list[School]:
    """Every source, read and checked."""
    made = []
    for number, source in enumerate(sources):
        found = school(source, f"data.{number}")
        tick(f"{source.suite}: {len(found.targets)} rows, depths {' and '.join(found.depths)}")
        made.append(found)
    return made
