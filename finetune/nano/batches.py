"""From tasks about pictures to padded tensors.

All questions about one picture share its tokens: they lie behind one another in one row, each block looking
only at the picture and at itself, with rotary positions that start anew. So the picture is seen once and no
answer leaks into another question.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune.nano.network import CELLS, GRID, IMAGE_TOKENS, PIXELS
from finetune.nano.tasks import Area, Task, mentions
from judge.rubrics.form import CORNERS, Segment
from judge.scenes import Facts
from judge.scenes.vocabulary import BACKGROUNDS, DEGRADATIONS, STYLES

HARD, COORDINATE, GRADED = 0, 1, 2
"""How a target is compared: one token, a bell around a number, or two neighbouring score labels."""

TAGS = ("literal", "object", "count", "relation", "background", "counts", "color", "kind", "corner", "open",
        "another defect", "defect corner", "defect", "state", "attribute", "severity", "score",
        "text")  # fmt: skip
"""What a target token is about; weights of the loss and measurements go by these."""
STATEMENTS = TAGS[1:5]
"""The kinds of elements."""
WEIGHTS = {"literal": 0.03, "object": 4.0, "count": 4.0, "relation": 4.0, "background": 3.0, "counts": 3.0,
           "color": 2.0, "kind": 2.0, "corner": 1.0, "open": 2.5,
           "another defect": 4.0, "defect corner": 1.3, "defect": 1.5, "state": 2.0, "attribute": 1.5,
           "severity": 0.7, "score": 3.0, "text": 0.35}  # fmt: skip


NUMBER = 2.0
"""Weight of a number in free text: "3 of 5 elements" is short to write and easy to get wrong."""


class Pool:
    """Drawn scenes on disk, as `finetune.nano.pool` writes them."""

    def __init__(self, folder: Path) -> None:
        self.images = np.load(folder / "images.npy", mmap_mode="r")
        self.patches = np.load(folder / "patches.npy", mmap_mode="r")
        self.facts: list[Facts] = pickle.loads((folder / "facts.pkl").read_bytes())

    def __len__(self) -> int:
        return len(self.facts)


@dataclass
class Texts:
    """Tensors of the questions about some pictures; B pictures, L tokens a row."""

    ids: Tensor
    """(B, L) what the model reads."""
    targets: Tensor
    """(B, L) what it should have said at each place."""
    weights: Tensor
    """(B, L) 0 where nothing is asked."""
    how: Tensor
    """(B, L) HARD, COORDINATE or GRADED."""
    grades: Tensor
    """(B, L) exact score 1..5 of GRADED targets."""
    tags: Tensor
    """(B, L) index into TAGS."""
    positions: Tensor
    """(3, B, L)."""
    blocks: Tensor
    """(B, L) 0 for the shared picture, 1.. for questions, -1 for padding."""

    def mask(self) -> Tensor:
        """(B, 1, L, L) True where a query may look: back, at the picture and at its own question."""
        b = self.blocks
        own = (b[:, :, None] == b[:, None, :]) | (b[:, None, :] == 0)
        return (own & torch.ones(b.shape[1], b.shape[1], dtype=torch.bool).tril())[:, None]


@dataclass
class Batch(Texts):
    """Scenes and the questions about them, with all that the training's helps want to know."""

    pictures: Tensor
    """(B, 224, 224, 3) uint8."""
    named: tuple[Tensor, Tensor, Tensor]
    """Named objects: row, column (n,) and where to attend: (n, GROUPS, 1 + IMAGE_TOKENS) of bools."""
    boxed: tuple[Tensor, Tensor, Tensor]
    """Coordinates about to be written: row, column (n,) and cells (n, IMAGE_TOKENS) of bools."""
    linked: tuple[Tensor, Tensor, Tensor]
    """Statements: row, column (n,) before the blank, and columns (n, 2) of the first and last name."""
    gaps: Tensor
    """(n, 2) from the last to the first of the two objects a statement names, in pictures; else NaN."""
    instances: Tensor
    """(n, 3) of each named object: how many there are, and the centre 0..1 of a single one, else NaN."""
    patches: Tensor
    """(B, 3, GRID, GRID) kind, colour, defect of each patch."""
    globals: Tensor
    """(B, 4) degradation, level, background, style."""
    edges: Tensor
    """(B, 2, GRID, GRID, 4) distances to the edges of the object, of the defect there; NaN where none."""
    centres: Tensor
    """(B, IMAGE_TOKENS) 1 where an object has its centre."""


GROUPS = 6
"""Most instances of a named object that attention is asked to share itself among, the sink included."""


def cells_of(area: Area) -> NDArray[np.bool_]:
    """Image tokens (IMAGE_TOKENS,) that a box in pixels covers by 30 %, or at least the most covered."""
    edge = np.arange(CELLS + 1) * PIXELS / CELLS
    across = np.clip(np.minimum(area[2], edge[1:]) - np.maximum(area[0], edge[:-1]), 0, None)
    down = np.clip(np.minimum(area[3], edge[1:]) - np.maximum(area[1], edge[:-1]), 0, None)
    share = down[:, None] * across[None] * (CELLS / PIXELS) ** 2
    covered: NDArray[np.bool_] = share >= min(0.3, share.max() * 0.99)
    return covered.reshape(-1)


@dataclass
class _Row:
    """One picture's row while it grows."""

    ids: list[int]
    positions: list[int]
    blocks: list[int]
    targets: dict[int, tuple[int, float, int, float, int]] = field(default_factory=dict)
    """column -> target, weight, how, grade, tag"""
    named: list[tuple[int, list[Area]]] = field(default_factory=list)
    boxed: list[tuple[int, Area]] = field(default_factory=list)
    linked: list[tuple[int, int, int, tuple[float, float]]] = field(default_factory=list)


class Writer:
    """Tokenises tasks and lays them out in rows."""

    def __init__(self, tokenizer: Any, *, ground: bool = True) -> None:
        self.encoder = tokenizer.backend_tokenizer
        self.ground = ground
        start = self.encode("<|im_start|>user\n<|vision_start|>")[0]
        pad, end = self.encode("<|image_pad|><|vision_end|>")[0]
        self.prefix = len(start)
        self.shared = [*start, *[pad] * IMAGE_TOKENS, end]
        self.end = self.encode("<|im_end|>")[0][0]
        self.padding = self.encode("<|endoftext|>")[0][0]
        self._known: dict[str, tuple[list[int], list[int]]] = {}

    def encode(self, text: str) -> tuple[list[int], list[int]]:
        """Token ids of a text and where each token ends in it."""
        encoding = self.encoder.encode(text, add_special_tokens=False)
        return encoding.ids, [end for _, end in encoding.offsets]

    def _cached(self, text: str) -> tuple[list[int], list[int]]:
        if text not in self._known:
            if len(self._known) > 200_000:
                self._known.clear()
            self._known[text] = self.encode(text)
        return self._known[text]

    def row(self, tasks: Sequence[Task], facts: Facts | None, longest: int) -> _Row:
        """Lay out the tasks that fit into `longest` tokens of text."""
        row = _Row(list(self.shared), [], [0] * len(self.shared))
        for n, task in enumerate(tasks, 1):
            self._write(row, task, facts, n, len(self.shared) + longest)
        return row

    def _write(self, row: _Row, task: Task, facts: Facts | None, block: int, limit: int) -> None:
        user, ends = self._cached(f"{task.user}<|im_end|>\n<|im_start|>assistant\n")
        segments = task.form.segments(task.values)
        pieces = [self._cached(s.text) for s in segments]
        begin, names = len(row.ids), list[tuple[int, list[Area]]]()
        if begin + len(user) + sum(len(ids) for ids, _ in pieces) + 1 > limit:
            return
        self._mention(row, task.user, begin, ends, facts, task)
        row.ids += user
        for segment, (ids, ends) in zip(segments, pieces, strict=True):
            if segment.role == "literal":
                names = self._mention(row, segment.text, len(row.ids), ends, facts, task)
            elif names and segment.blank.startswith("elements."):
                first, last = names[0], names[-1]
                row.linked.append((len(row.ids) - 1, first[0], last[0], _gap(first[1], last[1])))
            self._answer(row, segment, ids, ends, task)
        self._target(row, self.end, WEIGHTS["literal"], HARD, 0.0, 0)
        row.ids.append(self.end)
        row.positions += range(len(row.ids) - begin)
        row.blocks += [block] * (len(row.ids) - begin)

    def _mention(
        self, row: _Row, text: str, begin: int, ends: list[int], facts: Facts | None, task: Task
    ) -> list[tuple[int, list[Area]]]:
        """Note the objects a text names; returns the columns of their last tokens, and where they are."""
        if not (self.ground and task.grounded) or facts is None:
            return []
        found = []
        for last, areas in mentions(text, facts):
            column = next((i for i, end in enumerate(ends) if end > last), None)
            if column is not None:
                found.append((begin + column, areas))
        row.named += found
        return found

    def _answer(self, row: _Row, segment: Segment, ids: list[int], ends: list[int], task: Task) -> None:
        tag = _tag(segment, task)
        how, grade, read = HARD, 0.0, ids
        if tag in ("corner", "defect corner"):
            how = COORDINATE
            area = task.areas.get(segment.blank.rpartition(".")[0])
            if area is not None and self.ground:
                row.boxed.append((len(row.ids) - 1, area))
        elif segment.blank in task.soft:
            how, grade = GRADED, task.soft[segment.blank]
        if task.placeholders and segment.role == "choice":
            read = self._cached(segment.labels[0])[0]
        for k, token in enumerate(ids[: len(read)]):
            number = tag == "text" and segment.text[: ends[k]][-1:].isdigit()
            self._target(row, token, NUMBER if number else WEIGHTS[tag], how, grade, TAGS.index(tag), k)
        row.ids += read

    @staticmethod
    def _target(
        row: _Row, token: int, weight: float, how: int, grade: float, tag: int, ahead: int = 0
    ) -> None:
        row.targets[len(row.ids) + ahead] = (token, weight, how, grade, tag)

    def texts(self, rows: Sequence[_Row]) -> dict[str, Tensor]:
        """The fields of `Texts`: rows padded to one length, a multiple of 16."""
        b, length = len(rows), -(-max(len(r.ids) for r in rows) // 16) * 16
        ids = np.full((b, length), self.padding)
        blocks = np.full((b, length), -1)
        positions = np.zeros((3, b, length), np.int64)
        shared = self._shared_positions()
        target = np.zeros((5, b, length), np.float32)
        for i, row in enumerate(rows):
            n, s = len(row.ids), len(self.shared)
            ids[i, :n], blocks[i, :n] = row.ids, row.blocks
            positions[:, i, :s] = shared
            positions[:, i, s:n] = np.array(row.positions) + shared.max() + 1
            for column, values in row.targets.items():
                target[:, i, column] = values
        tensor = torch.from_numpy
        return {
            "ids": tensor(ids),
            "targets": tensor(target[0].astype(np.int64)),
            "weights": tensor(target[1]),
            "how": tensor(target[2].astype(np.int64)),
            "grades": tensor(target[3]),
            "tags": tensor(target[4].astype(np.int64)),
            "positions": tensor(positions),
            "blocks": tensor(blocks),
        }

    def pack(
        self,
        rows: Sequence[_Row],
        pictures: NDArray[np.uint8],
        patches: NDArray[np.uint8],
        facts: Sequence[Facts],
    ) -> Batch:
        """Gather everything about some scenes that the losses want."""
        named = [(i, c, a) for i, row in enumerate(rows) for c, a in row.named if len(a) < GROUPS]
        boxed = [(i, c, a) for i, row in enumerate(rows) for c, a in row.boxed]
        linked = [(i, *link) for i, row in enumerate(rows) for link in row.linked]
        tensor = torch.from_numpy
        return Batch(
            **self.texts(rows),
            pictures=tensor(pictures),
            named=_named(named),
            boxed=_boxed(boxed),
            linked=_linked([link[:4] for link in linked]),
            gaps=torch.tensor([link[4] for link in linked]).view(-1, 2),
            instances=tensor(_instances([areas for _, _, areas in named])),
            patches=tensor(patches.astype(np.int64)),
            globals=tensor(_globals(facts)),
            edges=tensor(_edges(facts, patches)),
            centres=tensor(_centres(facts)),
        )

    def _shared_positions(self) -> NDArray[np.int64]:
        p, cell = self.prefix, np.arange(IMAGE_TOKENS)
        out = np.zeros((3, len(self.shared)), np.int64)
        out[:, :p] = np.arange(p)
        out[:, p : p + IMAGE_TOKENS] = p + np.stack([0 * cell, cell // CELLS, cell % CELLS])
        out[:, p + IMAGE_TOKENS :] = p + CELLS
        return out


def _tag(segment: Segment, task: Task) -> str:
    blank = segment.blank
    if segment.role in ("literal", "text"):
        return segment.role
    damage = blank.startswith("defects.")
    if segment.role == "branch":
        return "another defect" if damage else "open"
    last = blank.rpartition(".")[2]
    if blank.startswith("elements."):
        return task.tags[blank]
    if blank.startswith("counts."):
        return "counts"
    if blank.startswith("attributes."):
        return "attribute"
    if blank.startswith("dimensions.") or blank == "score":
        return "score"
    if last in CORNERS:
        return "defect corner" if damage else "corner"
    if blank.startswith("state."):
        return "state"
    if last == "kind" and damage:
        return "defect"
    return last if last in TAGS else "attribute"


def _named(found: list[tuple[int, int, list[Area]]]) -> tuple[Tensor, Tensor, Tensor]:
    groups = torch.zeros(len(found), GROUPS, 1 + IMAGE_TOKENS, dtype=torch.bool)
    for n, (_, _, areas) in enumerate(found):
        groups[n, 0, 0] = True
        for k, area in enumerate(areas, 1):
            groups[n, k, 1:] = torch.from_numpy(cells_of(area))
    return (
        torch.tensor([f[0] for f in found], dtype=torch.long),
        torch.tensor([f[1] for f in found], dtype=torch.long),
        groups,
    )


def _boxed(found: list[tuple[int, int, Area]]) -> tuple[Tensor, Tensor, Tensor]:
    cells = np.stack([cells_of(area) for _, _, area in found]) if found else np.zeros((0, IMAGE_TOKENS), bool)
    return (
        torch.tensor([f[0] for f in found], dtype=torch.long),
        torch.tensor([f[1] for f in found], dtype=torch.long),
        torch.from_numpy(cells),
    )


def _gap(first: list[Area], last: list[Area]) -> tuple[float, float]:
    if len(first) != 1 or len(last) != 1:
        return float("nan"), float("nan")
    (a, b, c, d), (e, f, g, h) = first[0], last[0]
    return (a + c - e - g) / 2 / PIXELS, (b + d - f - h) / 2 / PIXELS


def _linked(found: list[tuple[int, int, int, int]]) -> tuple[Tensor, Tensor, Tensor]:
    table = torch.tensor(found, dtype=torch.long).view(-1, 4)
    return table[:, 0], table[:, 1], table[:, 2:]


def _instances(areas: list[list[Area]]) -> NDArray[np.float32]:
    out = np.full((len(areas), 3), np.nan, np.float32)
    for n, found in enumerate(areas):
        out[n, 0] = len(found)
        if len(found) == 1:
            x1, y1, x2, y2 = found[0]
            out[n, 1:] = (x1 + x2) / 2 / PIXELS, (y1 + y2) / 2 / PIXELS
    return out


def _globals(facts: Sequence[Facts]) -> NDArray[np.int64]:
    return np.array(
        [
            (
                DEGRADATIONS.index(f.degradation),
                f.level,
                BACKGROUNDS.index(f.background),
                STYLES.index(f.style),
            )
            for f in facts
        ]
    )


def _edges(facts: Sequence[Facts], patches: NDArray[np.uint8]) -> NDArray[np.float32]:
    out = np.full((len(facts), 2, GRID, GRID, 4), np.nan, np.float32)
    at = (np.arange(GRID) + 0.5) * PIXELS / GRID
    for n, f in enumerate(facts):
        for which, areas in ((0, [t.box for t in f.things]), (1, [w.box for w in f.flaws])):
            for x1, y1, x2, y2 in areas:
                ys, xs = np.flatnonzero((at >= y1) & (at <= y2)), np.flatnonzero((at >= x1) & (at <= x2))
                for y in ys:
                    for x in xs:
                        if patches[n, 2 * which, y, x]:
                            out[n, which, y, x] = (
                                np.array([at[x] - x1, at[y] - y1, x2 - at[x], y2 - at[y]]) / PIXELS
                            )
    return out


def _centres(facts: Sequence[Facts]) -> NDArray[np.float32]:
    out = np.zeros((len(facts), IMAGE_TOKENS), np.float32)
    for n, f in enumerate(facts):
        for t in f.things:
            x, y = ((t.box[0] + t.box[2]) / 2, (t.box[1] + t.box[3]) / 2)
            out[
                n, min(CELLS - 1, int(y * CELLS / PIXELS)) * CELLS + min(CELLS - 1, int(x * CELLS / PIXELS))
            ] = 1
    return out


Plan = Callable[[Random, Facts, float], list[Task]]
"""Which tasks a visit of a scene gets; the last argument is the progress of training, 0..1."""


class Visits:
    """An endless stream of batches over some pools, each epoch in a new order."""

    def __init__(
        self,
        pools: Sequence[Path],
        tokenizer: Any,
        plan: Plan,
        *,
        size: int,
        longest: int,
        seed: int,
        ground: bool = True,
    ) -> None:
        self.folders, self.writer, self.plan = list(pools), Writer(tokenizer, ground=ground), plan
        self.progress = 0.0
        """Set by the trainer: how far training has come, 0..1."""
        self.size, self.longest, self.seed = size, longest, seed

    def __iter__(self) -> Iterator[Batch]:
        pools = [Pool(f) for f in self.folders]
        where = [(p, i) for p, pool in enumerate(pools) for i in range(len(pool))]
        r = Random(self.seed)
        while True:
            r.shuffle(where)
            for k in range(0, len(where) - self.size + 1, self.size):
                yield self.batch([(pools[p], i) for p, i in where[k : k + self.size]], r, self.progress)

    def batch(self, chosen: Sequence[tuple[Pool, int]], r: Random, progress: float) -> Batch:
        """The batch of these pictures with fresh questions."""
        facts = [pool.facts[i] for pool, i in chosen]
        rows = [self.writer.row(self.plan(r, f, progress), f, self.longest) for f in facts]
        pictures, patches = (
            np.stack([pool.images[i] for pool, i in chosen]),
            np.stack([pool.patches[i] for pool, i in chosen]),
        )
        return self.writer.pack(rows, pictures, patches, facts)
