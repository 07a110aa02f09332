"""Turns the labels of a suite into filled forms, and records what nobody labelled.

Nothing is invented. A blank that nobody labelled is filled with its first label, so that the form can be
written, and is listed in `Target.unlabelled`, so that nothing is learned from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from eval.suites import load_suite
from eval.suites.shared.media_files import read_image_shape
from eval.suites.shared.reading import keep_missing_media
from eval.suites.shared.samples import GroundTruth, SuiteSample
from eval.suites.shared.suite import Suite
from finetune.damaged_media import Report, skip_damaged
from finetune.lora.config import DataConfig, SourceConfig
from judge.errors import InputError
from judge.media.regions import RELATIVE_RANGE, scale_box, to_relative
from judge.pipeline.domain import list_for_tuned_model
from judge.rubrics.rubric import Rubric
from judge.types import Box, DefectLabel, Depth

Range = tuple[float, float]


@dataclass(frozen=True)
class Opinion:
    """What people think, on the scale 1 to 5."""

    mean: float
    spread: float | None = None
    """Standard deviation of the single opinions; None if unknown."""


@dataclass(frozen=True)
class Target:
    """The answer about one sample, as far as it is known."""

    sample: SuiteSample
    elements: tuple[str, ...]
    values: dict[str, Any]
    """Fills `rubric.form(elements)` at verdict depth."""
    unlabelled: frozenset[str]
    """What nobody labelled: members of the form, paths of elements, or members of all defects
    (`defects.kind`)."""
    opinions: dict[str, Opinion]
    """Path of a score's blank -> opinion."""
    agreement: dict[str, float]
    """Path of an element's blank -> agreement of the annotators, from 0 (half and half) to 1 (all agree)."""
    group: str
    """Rows of one group are compared in pairs; empty: no comparison."""
    score_blank: str
    """Path of the blank for the suite's main human score."""
    boxes: tuple[Box, ...] = ()
    """Boxes of the defects in relative coordinates, 0 to 1000, not rounded to the grid of `values`."""

    def is_labelled(self, blank: str) -> bool:
        """Return whether the blank of this path was labelled."""
        path = blank.removeprefix("dimensions.").removeprefix("attributes.")
        names = path.split(".")
        return self.unlabelled.isdisjoint((path, names[0], f"{names[0]}.{names[-1]}"))


@dataclass(frozen=True)
class TargetSet:
    """A suite's samples as targets under one rubric."""

    rubric: Rubric
    targets: list[Target]
    depths: tuple[Depth, ...]
    weight: float
    """How often its rows are used."""


def read_samples(
    config: SourceConfig, name: str, report: Report = lambda line: None
) -> tuple[Suite, list[SuiteSample]]:
    """Read the samples of a source whose images and videos can be read; see `finetune.damaged_media`.

    Args:
        config: the source.
        name: what errors call it.
        report: called with lines about the rows that are skipped.

    Raises:
        InputError: the suite, its data or its split is unusable, there are no rows, or the images of too many
            of them cannot be read.
    """
    suite = load_suite(config.suite)
    if unknown := [option for option in config.options if option not in suite.options]:
        known = ", ".join(suite.options) or "none"
        raise InputError(f"{name}.options", unknown[0], known, "leave it out")
    with keep_missing_media():
        samples = suite.read(config.path, config.split, **config.options)
        end = None if config.limit is None else config.skip + config.limit
        chosen = list(islice(samples, config.skip, end))
    if not chosen:
        mend = "check path, split, skip and limit"
        raise InputError(f"{name}.path", str(config.path), "at least one row", mend)
    return suite, skip_damaged(chosen, name, config.max_damaged_share, report)


def load_target_set(config: DataConfig, name: str, report: Report = lambda line: None) -> TargetSet:
    """Read a source and turn all rows into targets.

    Args:
        config: the source.
        name: what errors call it.
        report: called with lines about the rows that are skipped.

    Raises:
        InputError: as `read_samples`; a label is out of range or not one of the rubric's; nothing is
            labelled.
    """
    suite, samples = read_samples(config, name, report)
    rubric = Rubric.load(config.rubric or suite.rubric)
    depths = config.depths or (("score",) if suite.depth == "score" else ("verdict", "score"))
    builder = TargetBuilder(
        config, suite, rubric, name, any(_has_defects(sample.labels) for sample in samples)
    )
    targets = [builder.build(sample) for sample in samples]
    if not any(target.opinions or target.agreement for target in targets):
        mend = "its rows have neither scores nor elements that the rubric asks for: take another split"
        raise InputError(f"{name}.suite", config.suite, "labelled rows", mend)
    return TargetSet(rubric, targets, depths, config.weight)


def load_target_sets(configs: Iterable[DataConfig], report: Report = lambda line: None) -> list[TargetSet]:
    """Read all sources.

    Args:
        configs: the sources.
        report: called with lines about each source.
    """
    target_sets = []
    for number, config in enumerate(configs):
        target_set = load_target_set(config, f"data.{number}", report)
        depths = " and ".join(target_set.depths)
        report(f"{config.suite}: {len(target_set.targets)} rows, depths {depths}")
        target_sets.append(target_set)
    return target_sets


def _has_defects(labels: GroundTruth) -> bool:
    return bool(labels.defects or labels.annotations)


@dataclass
class TargetBuilder:
    """Builds the targets of one source."""

    config: DataConfig
    suite: Suite
    rubric: Rubric
    name: str
    """What errors call the source."""
    has_regions: bool
    """Some row of the source has defects, so rows without have none. Else defects are not labelled."""
    dimensions: frozenset[str] = field(init=False)
    """Names of the rubric's dimensions."""

    def __post_init__(self) -> None:
        self.dimensions = frozenset(dimension.name for dimension in self.rubric.dimensions)
        predicted = self.suite.dimension
        self.score_blank = f"dimensions.{predicted}" if predicted in self.dimensions else "score"

    def build(self, sample: SuiteSample) -> Target:
        """Build the target of a sample."""
        unlabelled = set[str]()
        elements, present, agreement = self._elements(sample, unlabelled)
        opinions = self._opinions(sample)
        values: dict[str, Any] = {"elements": dict(zip(elements, present, strict=True))} if elements else {}
        self._add_attributes(sample, values, unlabelled)
        self._add_defects(sample, values, unlabelled)
        for path in [*(f"dimensions.{d.name}" for d in self.rubric.dimensions), "score"]:
            member = path.removeprefix("dimensions.")
            values[member] = round(opinions[path].mean) if path in opinions else 1
            if path not in opinions:
                unlabelled.add(member)
        if self.rubric.explanation:
            text = summarize_labels(sample.labels, self.rubric) if self.config.explain else ""
            values["explanation"] = text[: self.rubric.explanation]
            if not text:
                unlabelled.add("explanation")
        return Target(
            sample=sample,
            elements=tuple(elements),
            values=values,
            unlabelled=frozenset(unlabelled),
            opinions=opinions,
            agreement=agreement,
            group=self._group(sample),
            score_blank=self.score_blank,
            boxes=tuple(row.pop("exact") for row in values.get("defects", ())),
        )

    def _add_attributes(self, sample: SuiteSample, values: dict[str, Any], unlabelled: set[str]) -> None:
        for question in self.rubric.attributes:
            label = sample.labels.attributes.get(question.name)
            if label is None:
                unlabelled.add(question.name)
            elif label not in question.labels:
                self._reject(sample, question.name, label, ", ".join(question.labels))
            values[question.name] = question.labels[0] if label is None else label

    def _add_defects(self, sample: SuiteSample, values: dict[str, Any], unlabelled: set[str]) -> None:
        if not self.rubric.defects:
            return
        labels = sample.labels
        values["defects"] = self._defect_values(sample) if self.has_regions else []
        if not self.has_regions:
            unlabelled.add("defects")
        if not labels.defects:  # annotators marked regions, but not what is wrong there
            unlabelled |= {"defects.kind", "defects.severity", "defects.explanation"}
        if not all(defect.explanation for defect in labels.defects):
            unlabelled.add("defects.explanation")

    def _group(self, sample: SuiteSample) -> str:
        match self.config.pairs:
            case "all":
                return self.name
            case "group" if sample.group:
                return f"{self.name} {sample.group}"
            case _:
                return ""

    def _elements(
        self, sample: SuiteSample, unlabelled: set[str]
    ) -> tuple[list[str], list[bool], dict[str, float]]:
        """Return names, values of the blanks, and agreement by blank for those that are labelled."""
        if not self.rubric.elements:
            return [], [], {}
        labels = sample.labels
        names = [e.name for e in labels.elements] or sample.elements
        if not isinstance(names, list):
            statements = list_for_tuned_model(sample.prompt, sample.negative_prompt).statements
            names = [statement.name for statement in statements]
        shares: list[float | None] = [float(e.present) for e in labels.elements] or [None] * len(names)
        if len(labels.element_shares) == len(names):
            shares = [
                s if s is None else self._check_range(sample, n, s, (0, 1))
                for n, s in labels.element_shares.items()
            ]
        agreement = {}
        for index, share in enumerate(shares):
            if share is None:
                unlabelled.add(f"elements.{index}")
            else:
                agreement[f"elements.{index}"] = abs(2 * share - 1)
        # The judge reads the names without line ends and repeated blanks.
        return (
            [" ".join(n.split()) for n in names],
            [share is None or share >= 0.5 for share in shares],
            agreement,
        )

    def _opinions(self, sample: SuiteSample) -> dict[str, Opinion]:
        labels, scale = sample.labels, self.config.scale or self.suite.mos_range
        opinions = {
            f"dimensions.{name}": Opinion(value)
            for name, value in labels.dimensions.items()
            if name in self.dimensions
        }
        if self.config.score:
            dimension = labels.dimensions.get(self.config.score)
            human = labels.mos_by_dimension.get(self.config.score)
            if dimension is not None:
                return opinions | {"score": Opinion(dimension)}
            if human is None:
                return opinions
            return opinions | {"score": self._to_opinion(sample, human, None, scale)}
        if labels.score is not None:
            opinions["score"] = Opinion(labels.score)
        for name, value in labels.mos_by_dimension.items():
            if name in self.dimensions:
                opinions[f"dimensions.{name}"] = self._to_opinion(sample, value, None, scale)
        if labels.mos is not None:
            opinions[self.score_blank] = self._to_opinion(sample, labels.mos, labels.mos_std, scale)
        return opinions

    def _to_opinion(
        self, sample: SuiteSample, value: float, spread: float | None, scale: Range | None
    ) -> Opinion:
        """Convert a score on the suite's scale to 1..5."""
        if scale is None:
            mend = "the scale of this suite is not defined: give its ends"
            raise InputError(f"{self.name}.scale", None, "[worst, best]", mend)
        worst, best = scale
        if worst == best:
            raise InputError(f"{self.name}.scale", scale, "two different ends", "correct it")
        self._check_range(sample, "score", value, (min(scale), max(scale)))
        if spread is not None and spread < 0:
            self._reject(sample, "spread", spread, "0 or more")
        step = 4 / (best - worst)
        return Opinion(1 + (value - worst) * step, None if spread is None else spread * abs(step))

    def _defect_values(self, sample: SuiteSample) -> list[dict[str, Any]]:
        """Return the labelled regions, or those of a labelled mask, up to the rubric's maximum."""
        rubric = self.rubric
        if rubric.defects is None:
            return []
        kinds = [kind for group in rubric.defects.kinds.values() for kind in group]
        defects = sample.labels.defects or _regions_of_mask(sample, kinds)
        if not defects:
            return []
        is_file = isinstance(sample.image, str | Path)
        height, width = read_image_shape(Path(sample.image)) if is_file else sample.image.shape[:2]
        values = []
        for defect in defects[: rubric.defects.max]:
            if defect.kind not in kinds:
                self._reject(sample, "defects.kind", defect.kind, ", ".join(kinds))
            x1, y1, x2, y2 = defect.box
            if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
                self._reject(sample, "defects.box", defect.box, f"within {width} x {height} pixels")
            row: dict[str, Any] = {
                "kind": defect.kind,
                "box": list(to_relative(defect.box, width, height)),
                "severity": defect.severity,
                "exact": scale_box(defect.box, RELATIVE_RANGE / width, RELATIVE_RANGE / height),
            }
            if rubric.defects.explanation:
                row["explanation"] = defect.explanation[: rubric.defects.explanation]
            values.append(row)
        return values

    def _check_range(self, sample: SuiteSample, name: str, value: float, ends: Range) -> float:
        if not ends[0] <= value <= ends[1]:  # NaN is refused as well
            self._reject(sample, name, value, f"{ends[0]:g} to {ends[1]:g}")
        return value

    def _reject(self, sample: SuiteSample, name: str, value: object, allowed: str) -> None:
        field_name = f"{self.name}: {sample.id}: {name}"
        raise InputError(field_name, value, allowed, "correct the label, or leave the row out")


def _regions_of_mask(sample: SuiteSample, kinds: Sequence[str]) -> list[DefectLabel]:
    """Return the connected regions that annotators marked, the largest first. Their kinds are unknown."""
    if sample.labels.load_mask is None:
        return []
    import cv2
    import numpy as np

    mask = np.asarray(sample.labels.load_mask()).astype(np.uint8)
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    boxes = [tuple(map(float, (x, y, x + w, y + h))) for x, y, w, h, _ in stats[1:count]]
    sizes = [int(area) for *_, area in stats[1:count]]
    order = sorted(range(len(boxes)), key=lambda n: -sizes[n])
    kind = "other" if "other" in kinds else kinds[0]
    return [DefectLabel(kind=kind, box=boxes[n]) for n in order]


def summarize_labels(labels: GroundTruth, rubric: Rubric) -> str:
    """Write the reason of the score in words, from the labels; empty if they do not give one."""
    elements, parts = labels.elements if rubric.elements else [], []
    if elements:
        parts.append(f"{sum(e.present for e in elements)} of {len(elements)} elements are there")
    faults = [defect.kind for defect in labels.defects if rubric.defects]
    degradation = labels.attributes.get("degradation")
    if degradation not in (None, "none"):
        faults.append(f"{labels.attributes.get('severity', '')} {degradation}".strip())
    if not faults and degradation is None:
        return "; ".join(parts)
    return "; ".join([*parts, *(faults or ["no damage"])])
