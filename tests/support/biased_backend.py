"""A backend that knows the truth of an examination's cases, with faults that are switched on one by one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from eval.examination.cases import LEVELS, Cases
from judge.backends.base import Reply, Request
from judge.backends.box_forms import BoxTranslator
from judge.backends.models.boxes import BoxConvention, write_box
from judge.errors import ReplyError
from judge.rubrics.form_nodes import Box, Choice, Node, Object, Repeat, Text, canonical_json
from judge.types import LabelledSample

SURE = 0.95
"""Probability of what the backend says."""


class BiasedBackend:
    """Answers the cases of an examination rightly, except for its faults.

    Args:
        cases: what it will be shown.
        says: "yes" or "no" to every element.
        prefers: "first" or "second" image of each pair.
        leans: raises the probability of the first of several elements and lowers that of the last by this.
        boxes: how it writes boxes, whatever it is asked for.
        ignores_damage: gives each image the score of its elements alone.
        thinks: writes a thought into its texts.
        drifts: lowers scores by this if it is asked about one image at a time.
        translates: asks itself for boxes as its attribute `boxes` says, as the package's own backends do.
        fails: share of the images that it gives no usable reply for.
    """

    name, version, model, revision = "biased", "1", "biased", "r1"
    adapter: str | None = None
    domain = ""
    brief, size = False, None

    def __init__(
        self,
        cases: Cases,
        *,
        says: str = "",
        prefers: str = "",
        leans: float = 0.0,
        boxes: BoxConvention = BoxConvention.RELATIVE_1000_XYXY,
        ignores_damage: bool = False,
        thinks: bool = False,
        drifts: float = 0.0,
        translates: bool = False,
        fails: float = 0.0,
    ) -> None:
        if translates:
            self.boxes = BoxConvention.RELATIVE_1000_XYXY
        self.says, self.prefers, self.leans, self.writes = says, prefers, leans, boxes
        self.ignores_damage, self.thinks, self.drifts, self.fails = ignores_damage, thinks, drifts, fails
        self.labels: dict[bytes, LabelledSample] = {}
        self.levels: dict[bytes, int] = {}
        for scene in cases.scenes:
            self.labels[scene.sample.image.tobytes()] = scene.sample
        for ladder in cases.ladders:
            for level, sample in zip(LEVELS, ladder.samples, strict=True):
                self.levels[sample.image.tobytes()] = level
        for pair in cases.pairs:
            self.levels[pair.better.image.tobytes()] = 0
            self.levels[pair.worse.image.tobytes()] = LEVELS[-1]
        self.objects = {(case.sample.image.tobytes(), case.name): case.box for case in cases.objects}
        self.asked = 0

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        translator = BoxTranslator(getattr(self, "boxes", BoxConvention.JUDGE_GRID), lambda shown: shown.size)
        return translator.run(requests, lambda asked: [self._answer(one, len(asked)) for one in asked])

    complete = choose

    def _answer(self, request: Request, company: int) -> Reply | ReplyError:
        self.asked += 1
        if self.asked * self.fails % 1 > 1 - self.fails:
            return ReplyError("reply: nothing that could be read")
        values = {key: self._fill(key, node, request, company) for key, node in request.form.root.members}
        if {"score", "alignment", "structure"} <= set(values):
            structure = self._quality(request, company)
            values["structure"] = 1 + 4 * structure
            values["score"] = values["alignment"] + 0.0 if self.ignores_damage else 1 + 4 * structure
        return self._render(request, values)

    def _fill(self, key: str, node: Node, request: Request, company: int) -> Any:
        image = request.images[-1]
        if key == "elements" and isinstance(node, Object):
            names = [name for name, _ in node.members]
            return {name: self._presence(name, n, len(names), request) for n, name in enumerate(names)}
        if key == "better":
            return self._preference(request)
        if key == "there":
            return True
        if isinstance(node, Box):
            return self._write(self._located(request), image.size)
        if isinstance(node, Repeat):
            return [self._defect(node, defect, image.size) for defect in self._defects(request)[: node.max]]
        if isinstance(node, Text):
            return ("<think>it seems fine</think> fine" if self.thinks else "it looks fine")[: node.max_chars]
        if key == "alignment":
            return 4.6
        if isinstance(node, Choice):
            return node.labels[0]
        return {name: self._fill(name, member, request, company) for name, member in node.members}

    def _presence(self, name: str, position: int, count: int, request: Request) -> float:
        """The probability that an element is there."""
        sample = self.labels.get(request.images[-1].tobytes())
        truth = {} if sample is None else {label.name: label.present for label in sample.labels.elements}
        is_there = truth.get(name, True) if not self.says else self.says == "yes"
        probability = SURE if is_there else 1 - SURE
        pull = self.leans * (1 - 2 * position / (count - 1)) if count > 1 else 0.0
        return min(0.99, max(0.01, probability + pull))

    def _quality(self, request: Request, company: int) -> float:
        key = request.images[-1].tobytes()
        drift = self.drifts if company == 1 else 0.0
        if self.ignores_damage:
            return 0.9
        if key in self.levels:
            return 0.95 - 0.25 * self.levels[key] - drift
        labels = self.labels[key].labels if key in self.labels else None
        return max(0.0, (labels.dimensions["structure"] - 1) / 4 - drift) if labels else 0.5

    def _preference(self, request: Request) -> str:
        if self.prefers:
            return self.prefers
        first, second = (self.levels.get(image.tobytes(), 0) for image in request.images[-2:])
        return "first" if first < second else "second"

    def _located(self, request: Request) -> tuple[float, float, float, float]:
        text = request.messages[-1]["content"][-1]["text"]
        image = request.images[-1].tobytes()
        return next(
            (box for (key, name), box in self.objects.items() if key == image and f": {name}." in text),
            (0.0, 0.0, *map(float, request.images[-1].size)),
        )

    def _defects(self, request: Request) -> list[Any]:
        sample = self.labels.get(request.images[-1].tobytes())
        return [] if sample is None else list(sample.labels.defects)

    def _defect(self, node: Repeat, defect: Any, size: tuple[int, int]) -> dict[str, Any]:
        known = {"kind": defect.kind, "severity": defect.severity, "box": self._write(defect.box, size)}
        texts = {key: "it is broken" for key, member in node.item.members if isinstance(member, Text)}
        return {key: (known | texts)[key] for key, _ in node.item.members}

    def _write(self, box: Any, size: tuple[int, int]) -> list[int]:
        return list(write_box(box, self.writes, size, size))

    def _render(self, request: Request, values: dict[str, Any]) -> Reply:
        """Turn probabilities and means into labels with a distribution."""
        numbers: dict[str, float] = {}
        text = dict(values)
        for key, value in values.items():
            if key == "elements":
                numbers |= {f"elements.{n}": p for n, p in enumerate(value.values())}
                text[key] = {name: p >= 0.5 for name, p in value.items()}
            elif isinstance(value, float):
                numbers[key] = numbers[f"dimensions.{key}"] = value
                text[key] = round(value)
        probabilities: dict[str, dict[str, float]] = {}
        for key, node in request.form.root.members:
            if isinstance(node, Object):
                for (_, member), name in zip(node.members, member_blanks(node), strict=True):
                    probabilities[name] = _distribution(member, numbers.get(name), None)
            elif isinstance(node, Choice):
                probabilities[node.name] = _distribution(node, numbers.get(node.name), str(text[key]))
            elif isinstance(node, Repeat):
                count = len(text[key])
                for n in range(min(count + 1, node.max)):
                    probabilities[f"{key}.{n}.open"] = {"open": float(n < count), "close": float(n >= count)}
        return Reply(canonical_json(text), probabilities)


def member_blanks(node: Object) -> list[str]:
    """Names of the choices of an object."""
    return [member.name for _, member in node.members if isinstance(member, Choice)]


def _distribution(node: Any, number: float | None, written: str | None) -> dict[str, float]:
    labels = list(node.labels)
    if number is None:
        written = written if written in labels else (written or "").lower()
        return {label: float(label == written) for label in labels}
    if labels == ["true", "false"]:
        return {"true": number, "false": 1 - number}
    low = math.floor(number)
    share = {str(low): 1 - (number - low), str(low + 1): number - low}
    return {label: share.get(label, 0.0) for label in labels}
