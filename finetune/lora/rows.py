"""From targets to the tensors of a batch.

A row is asked by `judge.pipeline.pipeline` and encoded by the backend itself, the answer piece by piece as a backend
feeds it; so what is trained is what is served. At score depth every blank is read with the first label
standing in each blank before it, and is trained so.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from random import Random
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from finetune.lora.config import Losses
from finetune.lora.held import Live
from finetune.lora.losses import bell, opinion_shares
from finetune.lora.targets import School, Target
from judge.backends.decoding.walker import Sight, sights
from judge.pipeline.pipeline import Pipeline
from judge.pipeline.prepared import ModelInfo
from judge.rubrics.form import CORNERS, Segment
from judge.rubrics.rubric import SCALE, Rubric
from judge.types import Depth

NEUTRAL = 0.6
"""Standard deviation that stands in for that of opinions where a set does not say, for pairs only."""


@dataclass
class Row(Sight):
    """One chat with its answer."""

    ids: list[int]
    answer: int
    """How many of the last tokens are the answer's, the end of the turn included."""
    target: Target
    hard: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Place in the answer -> token that should stand there, weight."""
    soft: list[tuple[int, list[int], list[float], float]] = field(default_factory=list)
    """Place, tokens, their shares (summing to 1), weight."""
    blank: int = -1
    """Place of the blank that answers the main human score; -1: not labelled."""


class Writer:
    """Writes rows for one model, asked as `Judge` asks it.

    Args:
        backend: the model that is trained.
        weights: of the losses.
        max_pixels: pictures are reduced to that many, where the model has no size of its own.
    """

    def __init__(self, backend: Live, weights: Losses, max_pixels: int) -> None:
        self.backend, self.weights, self.max_pixels = backend, weights, max_pixels
        self.wording = backend.wording
        self.end = self.wording.tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.scale = [self.wording.plain(label)[0] for label in SCALE]

    def row(self, target: Target, rubric: Rubric, depth: Depth) -> Row:
        """Encode one target at one depth; its picture or video is decoded here.

        Raises:
            MediaError: the picture or video cannot be read.
        """
        pipeline = Pipeline(rubric, lambda: ModelInfo.of(self.backend), max_pixels=self.max_pixels)
        elements = list(target.elements) if rubric.elements else None
        sample = target.item.asked().model_copy(update={"elements": elements})
        request = pipeline.prepare(sample, depth, keep=False, field=f"{target.item.id}: image").request
        encoded = self.backend.encoded(request)
        shown = {field.name: getattr(encoded, field.name) for field in fields(Sight)}
        row = Row(list(encoded.prompt), 0, target, **shown)
        values = {name: target.values[name] for name, _ in request.form.root.members}
        for segment in request.form.segments(values):
            self._write(row, segment, depth)
        row.hard[row.answer] = self.end, self.weights.literals
        row.ids.append(self.end)
        row.answer += 1
        return row

    def _write(self, row: Row, segment: Segment, depth: Depth) -> None:
        tokens, fed = self.wording.plain(segment.text), self.wording.plain(segment.text)
        weight = self._weight(segment, row.target)
        if depth == "score" and segment.role == "choice":
            fed, tokens = self.wording.plain(segment.labels[0]), tokens[:1]
        soft = self._soft(segment, row.target) if weight else None
        if segment.blank == row.target.answer and segment.blank in row.target.opinions:
            row.blank = row.answer
        if soft is not None:
            row.soft.append((row.answer, *soft, weight))
        elif weight:
            for ahead, token in enumerate(tokens):
                row.hard[row.answer + ahead] = token, weight
        row.ids += fed
        row.answer += len(fed)

    def _weight(self, segment: Segment, target: Target) -> float:
        weights, blank = self.weights, segment.blank
        if segment.role == "literal":
            return weights.literals
        if not target.knows(blank):
            return 0.0
        if segment.role == "text":
            return weights.text
        if segment.role == "branch":
            return weights.branches
        if blank.startswith("elements."):
            return weights.elements * (target.agreement[blank] if weights.agreement else 1.0)
        if blank.startswith("attributes."):
            return weights.attributes
        if blank == "score" or blank.startswith("dimensions."):
            return weights.scores
        return weights.boxes if blank.rpartition(".")[2] in CORNERS else weights.kinds

    def _soft(self, segment: Segment, target: Target) -> tuple[list[int], list[float]] | None:
        """Tokens and shares of a blank whose truth is a distribution; None where it is one label."""
        weights, blank = self.weights, segment.blank
        if blank in target.opinions and weights.soft_scores:
            opinion = target.opinions[blank]
            return self.scale, opinion_shares(opinion.mean, opinion.spread)
        if segment.role == "choice" and blank.rpartition(".")[2] in CORNERS and weights.box_spread:
            labels = [self.wording.plain(label) for label in segment.labels]
            if all(len(label) == 1 for label in labels):  # digits of a number have no neighbours
                at = segment.labels.index(segment.text)
                return [label[0] for label in labels], bell(at, len(labels), weights.box_spread)
        return None

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """A batch of B rows, padded on the left so that the answers end together.

        `targets` holds, over the last K tokens: `tokens` and `weights` (B, K); `soft`: `at` (n, 2) row and
        place, `ids` and `shares` (n, labels), `weights` (n,); `pairs`: `at` (m, 2), `ids` (labels,), `mean`,
        `spread` (m,) and `group` (m,) of the rows that may be compared.
        """
        b, length, last = len(rows), max(len(r.ids) for r in rows), max(r.answer for r in rows)
        padding = self.wording.tokenizer.pad_token_id or 0
        ids, seen = np.full((b, length), padding), np.zeros((b, length), np.int64)
        tokens, weights = np.zeros((b, last), np.int64), np.zeros((b, last), np.float32)
        soft: list[tuple[tuple[int, int], list[int], list[float], float]] = []
        for n, row in enumerate(rows):
            ids[n, length - len(row.ids) :], seen[n, length - len(row.ids) :] = row.ids, 1
            shift = last - row.answer
            for place, (token, weight) in row.hard.items():
                tokens[n, shift + place], weights[n, shift + place] = token, weight
            soft += [((n, shift + place), i, s, w) for place, i, s, w in row.soft]
        tensor = torch.from_numpy
        kinds = (ids == self.wording.image_token) + 2 * (ids == self.wording.video_token)
        pace = [seconds for row in rows for seconds in row.pace]
        return {
            "input_ids": tensor(ids),
            "attention_mask": tensor(seen),
            "mm_token_type_ids": tensor(kinds * seen).int(),
            **sights(rows),
            **({"second_per_grid_ts": torch.tensor(pace)} if pace and self.backend.paced else {}),
            "targets": {
                "tokens": tensor(tokens),
                "weights": tensor(weights),
                "soft": _packed(soft),
                "pairs": self._pairs(rows, last),
            },
        }

    def _pairs(self, rows: Sequence[Row], last: int) -> dict[str, Tensor]:
        usable = [(n, row) for n, row in enumerate(rows) if row.blank >= 0 and row.target.group]
        opinions = [row.target.opinions[row.target.answer] for _, row in usable]
        names = {row.target.group: n for n, row in usable}
        return {
            "at": torch.tensor([(n, last - row.answer + row.blank) for n, row in usable]).view(-1, 2),
            "ids": torch.tensor(self.scale),
            "mean": torch.tensor([o.mean for o in opinions]),
            "spread": torch.tensor([NEUTRAL if o.spread is None else o.spread for o in opinions]),
            "group": torch.tensor([names[row.target.group] for _, row in usable], dtype=torch.long),
        }


def _packed(soft: Sequence[tuple[tuple[int, int], list[int], list[float], float]]) -> dict[str, Tensor]:
    width = max((len(ids) for _, ids, _, _ in soft), default=1)
    ids, shares = torch.zeros(len(soft), width, dtype=torch.long), torch.zeros(len(soft), width)
    for n, (_, own, some, _) in enumerate(soft):
        ids[n, : len(own)], shares[n, : len(some)] = torch.tensor(own), torch.tensor(some)
    return {
        "at": torch.tensor([at for at, *_ in soft], dtype=torch.long).view(-1, 2),
        "ids": ids,
        "shares": shares,
        "weights": torch.tensor([weight for *_, weight in soft]),
    }


class Visits(Dataset[Row]):
    """Every target of every school at each of its depths, encoded when it is asked for."""

    def __init__(self, schools: Sequence[School], writer: Writer) -> None:
        self.writer = writer
        self.schools = list(schools)
        self.places = [
            (number, depth, target)
            for number, school in enumerate(self.schools)
            for depth in school.depths
            for target in school.targets
        ]
        """Which school, at which depth, which target."""

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> Row:
        number, depth, target = self.places[index]
        return self.writer.row(target, self.schools[number].rubric, depth)


class Order(Sampler[int]):
    """The order of an epoch: shuffled, each school as often as its weight says, and rows that are to be
    compared behind one another, so that they come into one batch."""

    def __init__(self, visits: Visits, seed: int) -> None:
        self.visits, self.seed, self.epoch = visits, seed, 0
        groups: dict[tuple[int, str, str], list[int]] = {}
        for index, (number, depth, target) in enumerate(visits.places):
            # Rows that are compared with all others come together by chance anyway.
            alone = not target.group or " " not in target.group
            name = str(index) if alone else target.group
            groups.setdefault((number, depth, name), []).append(index)
        self.groups = [(visits.schools[key[0]].weight, members) for key, members in groups.items()]

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        random = Random(self.seed * 1_000_003 + self.epoch)
        drawn: list[list[int]] = []
        for weight, members in self.groups:
            times = int(weight) + (random.random() < weight % 1)
            drawn += [random.sample(members, len(members)) for _ in range(times)]
        random.shuffle(drawn)
        flat = [index for members in drawn for index in members]
        # The length is promised beforehand; what chance adds or leaves out is evened out at the end.
        yield from (flat * 2)[: len(self)] if flat else []

    def __len__(self) -> int:
        return max(1, round(sum(weight * len(members) for weight, members in self.groups)))
