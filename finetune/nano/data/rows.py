"""Tokenizes tasks and lays them out in rows: see `finetune.nano.data.batch` for the layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune.nano.data import spatial_targets as spatial
from finetune.nano.data.batch import SceneBatch, padded_length, target_tensors
from finetune.nano.data.target_tags import (
    COORDINATE,
    GRADED,
    HARD,
    NUMBER_WEIGHT,
    TAG_WEIGHTS,
    TAGS,
    tag_of,
)
from finetune.nano.network import CELLS, IMAGE_TOKENS
from finetune.nano.tasks import PixelBox, Task, find_mentions
from judge.rubrics.form import Segment
from judge.scenes import SceneFacts

MAX_CACHED_TEXTS = 200_000
"""The cache of tokenized texts is emptied when it has more entries."""


@dataclass
class Row:
    """The row of one image while tasks are added to it."""

    ids: list[int]
    positions: list[int]
    """Positions of the tokens after the image, each block from 0."""
    blocks: list[int]
    targets: dict[int, tuple[int, float, int, float, int]] = field(default_factory=dict)
    """Column -> token, weight, kind of target, exact score, tag."""
    mentions: list[tuple[int, list[PixelBox]]] = field(default_factory=list)
    """Column of the last token of a named object, and where such objects are."""
    box_tokens: list[tuple[int, PixelBox]] = field(default_factory=list)
    """Column before a coordinate, and the box it belongs to."""
    statements: list[tuple[int, int, int, tuple[float, float]]] = field(default_factory=list)
    """Column before a statement's blank, columns of the first and last object it names, and their offset."""


class RowBuilder:
    """Builds rows and batches.

    Args:
        tokenizer: tokenizer of the model, with a `backend_tokenizer`.
        ground: record where the objects are that a text names, for the attention losses.
    """

    def __init__(self, tokenizer: Any, *, ground: bool = True) -> None:
        self.encoder = tokenizer.backend_tokenizer
        self.ground = ground
        start = self.encode("<|im_start|>user\n<|vision_start|>")[0]
        pad, end = self.encode("<|image_pad|><|vision_end|>")[0]
        self.prefix = len(start)
        """Column of the first image token."""
        self.shared = [*start, *[pad] * IMAGE_TOKENS, end]
        """The tokens of the image and those before it, which all rows begin with."""
        self.end_of_turn = self.encode("<|im_end|>")[0][0]
        self.padding = self.encode("<|endoftext|>")[0][0]
        self._cache: dict[str, tuple[list[int], list[int]]] = {}

    def encode(self, text: str) -> tuple[list[int], list[int]]:
        """Return the token ids of a text, and the end of each token in the text."""
        encoding = self.encoder.encode(text, add_special_tokens=False)
        return encoding.ids, [end for _, end in encoding.offsets]

    def _encode_cached(self, text: str) -> tuple[list[int], list[int]]:
        if text not in self._cache:
            if len(self._cache) > MAX_CACHED_TEXTS:
                self._cache.clear()
            self._cache[text] = self.encode(text)
        return self._cache[text]

    def build_row(self, tasks: Sequence[Task], facts: SceneFacts | None, max_text_tokens: int) -> Row:
        """Lay out the tasks that fit into `max_text_tokens` tokens after the image.

        Args:
            tasks: the tasks about one image.
            facts: of the scene, to find the objects that texts name; None for other images.
            max_text_tokens: a task that does not fit any more is left out.
        """
        row = Row(list(self.shared), [], [0] * len(self.shared))
        for block, task in enumerate(tasks, 1):
            self._add_task(row, task, facts, block, len(self.shared) + max_text_tokens)
        return row

    def _add_task(self, row: Row, task: Task, facts: SceneFacts | None, block: int, limit: int) -> None:
        prompt, ends = self._encode_cached(f"{task.prompt}<|im_end|>\n<|im_start|>assistant\n")
        segments = task.form.segments(task.values)
        pieces = [self._encode_cached(s.text) for s in segments]
        begin, mentions = len(row.ids), list[tuple[int, list[PixelBox]]]()
        if begin + len(prompt) + sum(len(ids) for ids, _ in pieces) + 1 > limit:
            return
        self._add_mentions(row, task.prompt, begin, ends, facts, task)
        row.ids += prompt
        for segment, (ids, ends) in zip(segments, pieces, strict=True):
            if segment.role == "literal":
                mentions = self._add_mentions(row, segment.text, len(row.ids), ends, facts, task)
            elif mentions and segment.blank.startswith("elements."):
                first, last = mentions[0], mentions[-1]
                offset = spatial.center_offset(first[1], last[1])
                row.statements.append((len(row.ids) - 1, first[0], last[0], offset))
            self._add_answer(row, segment, ids, ends, task)
        self._add_target(row, self.end_of_turn, TAG_WEIGHTS["literal"], HARD, 0.0, 0)
        row.ids.append(self.end_of_turn)
        row.positions += range(len(row.ids) - begin)
        row.blocks += [block] * (len(row.ids) - begin)

    def _add_mentions(
        self, row: Row, text: str, begin: int, ends: list[int], facts: SceneFacts | None, task: Task
    ) -> list[tuple[int, list[PixelBox]]]:
        """Record the objects that a text names.

        Returns:
            The columns of their last tokens, and where they are.
        """
        if not (self.ground and task.grounded) or facts is None:
            return []
        mentions = []
        for last, boxes in find_mentions(text, facts):
            column = next((i for i, end in enumerate(ends) if end > last), None)
            if column is not None:
                mentions.append((begin + column, boxes))
        row.mentions += mentions
        return mentions

    def _add_answer(self, row: Row, segment: Segment, ids: list[int], ends: list[int], task: Task) -> None:
        tag = tag_of(segment, task)
        kind, exact_score, inputs = HARD, 0.0, ids
        if tag in ("corner", "defect corner"):
            kind = COORDINATE
            box = task.boxes.get(segment.blank.rpartition(".")[0])
            if box is not None and self.ground:
                row.box_tokens.append((len(row.ids) - 1, box))
        elif segment.blank in task.exact_scores:
            kind, exact_score = GRADED, task.exact_scores[segment.blank]
        if task.placeholders and segment.role == "choice":
            inputs = self._encode_cached(segment.labels[0])[0]
        for k, token in enumerate(ids[: len(inputs)]):
            is_number = tag == "text" and segment.text[: ends[k]][-1:].isdigit()
            weight = NUMBER_WEIGHT if is_number else TAG_WEIGHTS[tag]
            self._add_target(row, token, weight, kind, exact_score, TAGS.index(tag), k)
        row.ids += inputs

    @staticmethod
    def _add_target(
        row: Row, token: int, weight: float, kind: int, exact_score: float, tag: int, ahead: int = 0
    ) -> None:
        row.targets[len(row.ids) + ahead] = (token, weight, kind, exact_score, tag)

    def text_tensors(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Return the fields of `TextBatch`, with all rows padded to one length."""
        count, length = len(rows), padded_length([row.ids for row in rows])
        ids = np.full((count, length), self.padding)
        blocks = np.full((count, length), -1)
        positions = np.zeros((3, count, length), np.int64)
        shared = self._shared_positions()
        target = np.zeros((5, count, length), np.float32)
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
            **target_tensors(target),
            "positions": tensor(positions),
            "blocks": tensor(blocks),
        }

    def collate(
        self,
        rows: Sequence[Row],
        images: NDArray[np.uint8],
        patches: NDArray[np.uint8],
        facts: Sequence[SceneFacts],
    ) -> SceneBatch:
        """Build a batch from the rows, images, patch labels and facts of some scenes."""
        mentions = [
            (i, column, boxes)
            for i, row in enumerate(rows)
            for column, boxes in row.mentions
            if len(boxes) < spatial.MAX_GROUPS
        ]
        box_tokens = [(i, column, box) for i, row in enumerate(rows) for column, box in row.box_tokens]
        statements = [(i, *statement) for i, row in enumerate(rows) for statement in row.statements]
        tensor = torch.from_numpy
        return SceneBatch(
            **self.text_tensors(rows),
            images=tensor(images),
            mentions=spatial.mention_targets(mentions),
            box_tokens=spatial.box_targets(box_tokens),
            statements=spatial.statement_targets([statement[:4] for statement in statements]),
            offsets=torch.tensor([statement[4] for statement in statements]).view(-1, 2),
            mention_counts=tensor(spatial.mention_counts([boxes for _, _, boxes in mentions])),
            patches=tensor(patches.astype(np.int64)),
            image_labels=tensor(spatial.image_labels(facts)),
            edges=tensor(spatial.edge_distances(facts, patches)),
            centers=tensor(spatial.center_cells(facts)),
        )

    def _shared_positions(self) -> NDArray[np.int64]:
        """Rotary positions (3, n) of the shared tokens, as Qwen3-VL gives them."""
        p, cell = self.prefix, np.arange(IMAGE_TOKENS)
        out = np.zeros((3, len(self.shared)), np.int64)
        out[:, :p] = np.arange(p)
        out[:, p : p + IMAGE_TOKENS] = p + np.stack([0 * cell, cell // CELLS, cell % CELLS])
        out[:, p + IMAGE_TOKENS :] = p + CELLS
        return out
