"""Tasks about drawn clips, laid out in rows, and an endless stream of batches of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune.nano.data.batch import TextBatch, padded_length, target_tensors
from finetune.nano.data.target_tags import GRADED, HARD, TAG_WEIGHTS, TAGS, tag_of
from finetune.nano.network import CELLS, IMAGE_TOKENS
from finetune.nano.tasks import Task
from finetune.nano.video.clip_dataset import EncodedClip, draw_frames
from judge.backends.decoding.chat_tokenizer import ChatTokenizer
from judge.rubrics.rubric import Rubric
from judge.scenes.clips import label_clip, make_clip_elements
from judge.types import Depth

SCORE_TASK_SHARE = 0.35
"""Share of the clips that get a second task, at score depth."""


def judge_clip(
    r: Random, clip: EncodedClip, frame_source: EncodedClip, rubric: Rubric, *, score_only: bool
) -> Task:
    """Fill the whole form of the rubric about a clip, or its score depth.

    Args:
        r: random generator.
        clip: the clip whose quality is judged.
        frame_source: the clip whose frames are shown. Newly drawn statements are about its scene.
        rubric: the rubric.
        score_only: depth `score` instead of `verdict`.
    """
    statements = make_clip_elements(r, frame_source.facts.scene, r.choice([0, 0, 0, 1, 2, 3, 4, 5]))
    sample = label_clip(r, clip.facts, statements)
    labels, names = sample.labels, [e.name for e in statements]
    if labels.score is None:
        raise ValueError("a clip has a score")
    exact = {**{f"dimensions.{k}": v for k, v in labels.dimensions.items()}, "score": labels.score}
    values: dict[str, Any] = {"elements": {e.name: e.present for e in statements}} if statements else {}
    values |= {k.removeprefix("dimensions."): round(v) for k, v in exact.items()}
    depth: Depth = "score" if score_only else "verdict"
    form = rubric.form(names).at_depth(depth)
    messages = rubric.messages(sample.prompt, names, brief=True, depth=depth, images=0, facts=clip.measured)
    return Task(
        prompt=messages[-1]["content"][-1]["text"],
        form=form,
        values={key: values[key] for key, _ in form.root.members},
        exact_scores=exact,
        statement_kinds={f"elements.{i}": e.kind for i, e in enumerate(statements)},
        placeholders=score_only,
    )


@dataclass
class ClipBatch(TextBatch):
    """Clips with the prompts about them."""

    clips: list[EncodedClip]
    """B clips whose frames are shown."""
    video_mask: Tensor
    """(B, L) True where the tokens of the frames go."""


@dataclass
class ClipRow:
    """The row of one clip while tasks are added to it."""

    ids: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    positions: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 0), np.int64))
    targets: dict[int, tuple[int, float, int, float, int]] = field(default_factory=dict)
    """Column -> token, weight, kind of target, exact score, tag."""


class ClipRowBuilder:
    """Builds rows of clips and prompts. Each piece of text is tokenized as a backend tokenizes it.

    Args:
        processor: of the base.
    """

    def __init__(self, processor: Any) -> None:
        self.tokenizer = ChatTokenizer(processor)
        self.end_of_turn = processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.padding = processor.tokenizer.pad_token_id

    def collate(self, clips: Sequence[EncodedClip], tasks: Sequence[Sequence[Task]]) -> ClipBatch:
        """Build a batch from some clips and the tasks about each."""
        rows = [self.build_row(clip, own) for clip, own in zip(clips, tasks, strict=True)]
        count, length = len(rows), padded_length([row.ids for row in rows])
        ids, blocks = np.full((count, length), self.padding), np.full((count, length), -1)
        positions = np.zeros((3, count, length), np.int64)
        target = np.zeros((5, count, length), np.float32)
        for i, row in enumerate(rows):
            n = len(row.ids)
            ids[i, :n], blocks[i, :n], positions[:, i, :n] = row.ids, row.blocks, row.positions
            for column, values in row.targets.items():
                target[:, i, column] = values
        return ClipBatch(
            ids=torch.from_numpy(ids),
            **target_tensors(target),
            positions=torch.from_numpy(positions),
            blocks=torch.from_numpy(blocks),
            clips=list(clips),
            video_mask=torch.from_numpy(ids == self.tokenizer.video_token),
        )

    def build_row(self, clip: EncodedClip, tasks: Sequence[Task]) -> ClipRow:
        """Lay out the tasks about one clip."""
        row, shared = ClipRow(), 0
        for block, task in enumerate(tasks, 1):
            chat = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": task.prompt}]}]
            prompt = self.tokenizer.encode_chat(chat, [], [clip.placeholder])
            if not row.ids:
                # Two tokens follow the last token of the frames: one ends its frame, one ends the video.
                shared = len(prompt) - prompt[::-1].index(self.tokenizer.video_token) + 2
                row.ids, row.blocks = prompt[:shared], [0] * shared
                row.positions = self._video_positions(row.ids)
            begin = len(row.ids)
            row.ids += prompt[shared:]
            self._add_answer(row, task)
            count = len(row.ids) - begin
            row.blocks += [block] * count
            first = row.positions[:, :shared].max() + 1
            block_positions = np.broadcast_to(first + np.arange(count), (3, count))
            row.positions = np.concatenate([row.positions, block_positions], 1)
        return row

    def _video_positions(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """Compute the rotary positions (3, n) as Qwen3-VL does: a frame spans `CELLS` in height and width."""
        out, position, k = np.zeros((3, len(ids)), np.int64), 0, 0
        while k < len(ids):
            if ids[k] == self.tokenizer.video_token:
                cell = np.arange(IMAGE_TOKENS)
                out[:, k : k + IMAGE_TOKENS] = position + np.stack([0 * cell, cell // CELLS, cell % CELLS])
                position, k = position + CELLS, k + IMAGE_TOKENS
            else:
                out[:, k] = position
                position, k = position + 1, k + 1
        return out

    def _add_answer(self, row: ClipRow, task: Task) -> None:
        for segment in task.form.segments(task.values):
            ids = list(self.tokenizer.encode_text(segment.text))
            inputs = ids
            if task.placeholders and segment.role == "choice":
                inputs = list(self.tokenizer.encode_text(segment.labels[0]))
            tag = tag_of(segment, task)
            kind, exact_score = HARD, 0.0
            if segment.blank in task.exact_scores:
                kind, exact_score = GRADED, task.exact_scores[segment.blank]
            for k, token in enumerate(ids[: len(inputs)]):
                column = len(row.ids) + k
                row.targets[column] = (token, TAG_WEIGHTS[tag], kind, exact_score, TAGS.index(tag))
                if k < len(inputs) and inputs[k] != token:
                    break  # the next targets would follow the beginning of another label
            row.ids += inputs
        row.targets[len(row.ids)] = (self.end_of_turn, TAG_WEIGHTS["literal"], HARD, 0.0, 0)
        row.ids.append(self.end_of_turn)


class ClipBatches:
    """Iterates over clips without end, each epoch in a new order.

    Args:
        clips: the clips; some must be encoded.
        row_builder: builds the rows.
        rubric: the rubric of all tasks.
        size: clips in a batch.
        seed: of the order and of the tasks.
    """

    def __init__(
        self,
        clips: Sequence[EncodedClip],
        row_builder: ClipRowBuilder,
        rubric: Rubric,
        *,
        size: int,
        seed: int,
    ) -> None:
        self.clips, self.row_builder, self.rubric = clips, row_builder, rubric
        self.encoded = [clip for clip in clips if clip.tokens is not None]
        self.size, self.seed = size, seed
        self.progress = 0.0
        """Set by the trainer; not used here."""

    def __iter__(self) -> Iterator[ClipBatch]:
        r, order = Random(self.seed), list(range(len(self.clips)))
        while True:
            r.shuffle(order)
            for k in range(0, len(order) - self.size + 1, self.size):
                yield self.build_batch([self.clips[i] for i in order[k : k + self.size]], r)

    def build_batch(self, clips: Sequence[EncodedClip], r: Random) -> ClipBatch:
        """Build the batch of some clips, each with some of its frames and newly drawn tasks.

        A clip gets a full verdict, and about every third also a score.
        """
        frame_sources = [
            draw_frames(r, clip) if clip.tokens is not None else draw_frames(r, r.choice(self.encoded), 1)
            for clip in clips
        ]
        make_task = partial(judge_clip, r, rubric=self.rubric)
        tasks = [
            [
                make_task(clip, frames, score_only=score_only)
                for score_only in (False, *[True] * (r.random() < SCORE_TASK_SHARE))
            ]
            for clip, frames in zip(clips, frame_sources, strict=True)
        ]
        return self.row_builder.collate(frame_sources, tasks)
