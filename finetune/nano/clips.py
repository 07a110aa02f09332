"""A pool of drawn clips for training: what is true of them, what was measured, and what the tower sees.

    python -m finetune.nano clips OUT --count 2400 --pictures 150 --seed 5

Clips take the path of a verdict (`finetune.nano.measured_clips`). The vision tower is not trained any more, so it
looks at each frame once, here, and since that takes longer than all the rest, only at the first `--pictures`
clips. The others are shown with the pictures of one of those, about which the statements are asked: how well
a clip is made is to be read from what was measured in it. Writes OUT/NNNN.pkl, lists of `Reel`; a part that
exists is not made again. A pool is written by this machine for this machine: the pickles are never read from
anywhere else.
"""

from __future__ import annotations

import pickle
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune.nano.batches import GRADED, HARD, TAGS, WEIGHTS, Texts, _tag
from finetune.nano.measured_clips import Measured, measured
from finetune.nano.network import CELLS, IMAGE_TOKENS, PIXELS, Trunk
from finetune.nano.tasks import Task
from judge.backends.decoding.tokens import Wording
from judge.backends.video_inputs import reel as reel_of
from judge.backends.video_inputs import words
from judge.rubrics.rubric import Rubric
from judge.runtime.processes import clean_pool
from judge.scenes.clips import ClipFacts, clip_sample, clip_statements
from judge.scenes.dataset import seeds
from judge.types import Depth

PART = 50


@dataclass
class Reel:
    """One clip as training takes it."""

    facts: ClipFacts
    measured: dict[str, float]
    shown: str
    """What stands for the film in the prompt; empty without pictures."""
    tokens: Tensor | None
    """(frames, IMAGE_TOKENS, width) bfloat16; None without pictures."""
    deep: list[Tensor]
    """Deepstack features, each as `tokens`."""


def build(out: Path, base: Path, *, count: int, pictures: int, seed: int, workers: int = 2) -> None:
    """Draw a pool of `count` clips and let the base's vision tower look at the first `pictures`."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    out.mkdir(parents=True, exist_ok=True)
    processor = AutoProcessor.from_pretrained(base)
    trunk = Trunk(AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32), 0)
    todo, said = [(one, n < pictures) for n, one in enumerate(seeds(seed, count))], time.monotonic()
    with clean_pool(workers) as pool:
        for start in range(0, count, PART):
            path = out / f"{start // PART:04d}.pkl"
            if path.exists():
                continue
            drawn = pool.map(_measured, todo[start : start + PART], chunksize=5)
            part = [_reel(trunk, processor, clip) for clip in drawn]
            draft = path.with_suffix(".part")
            draft.write_bytes(pickle.dumps(part))
            draft.rename(path)
            if time.monotonic() - said > 30:
                said = time.monotonic()
                print(f"{start + PART} of {count} clips", flush=True)


def _measured(job: tuple[int, bool]) -> Measured:
    seed, pictures = job
    # What is measured hardly depends on a clip's length, and shorter ones are drawn sooner.
    return measured(seed, frames=None if pictures else Random(seed).randint(14, 24), pictures=pictures)


@torch.inference_mode()
def _reel(trunk: Trunk, processor: Any, clip: Measured) -> Reel:
    if clip.film is None:
        return Reel(clip.facts, clip.measured, "", None, [])
    pictures = torch.from_numpy(np.stack([np.asarray(frame) for frame in clip.film.frames]))
    seen = trunk.see(pictures)
    grid = torch.tensor([len(pictures), 2 * CELLS, 2 * CELLS])
    shown = words(reel_of(clip.film, processor, PIXELS), grid, processor)
    deep = [level.bfloat16() for level in seen.deep]
    return Reel(clip.facts, clip.measured, shown, seen.tokens.bfloat16(), deep)


def some_frames(r: Random, clip: Reel, most: int | None = None) -> Reel:
    """The clip with one to `most` or all of its frames: what is to be told does not hang on their number."""
    if clip.tokens is None:
        raise ValueError("a clip without pictures has no frames")
    kept = sorted(r.sample(range(len(clip.tokens)), r.randint(1, min(most or 99, len(clip.tokens)))))
    frames = re.findall(r".*?<\|vision_end\|>", clip.shown)
    deep = [level[kept] for level in clip.deep]
    return replace(clip, shown="".join(frames[n] for n in kept), tokens=clip.tokens[kept], deep=deep)


def read(folders: Sequence[Path]) -> list[Reel]:
    """The clips of some pools."""
    return [
        clip
        for folder in folders
        for path in sorted(folder.glob("*.pkl"))
        for clip in pickle.loads(path.read_bytes())
    ]


def task(r: Random, clip: Reel, seen: Reel, rubric: Rubric, *, score_only: bool) -> Task:
    """The whole form of the rubric over a clip, or its score depth, about fresh statements on what is
    seen."""
    asked = clip_statements(r, seen.facts.scene, r.choice([0, 0, 0, 1, 2, 3, 4, 5]))
    sample = clip_sample(r, clip.facts, asked)
    labels, names = sample.labels, [e.name for e in asked]
    if labels.score is None:
        raise ValueError("a clip has a score")
    soft = {**{f"dimensions.{k}": v for k, v in labels.dimensions.items()}, "score": labels.score}
    values: dict[str, Any] = {"elements": {e.name: e.present for e in asked}} if asked else {}
    values |= {k.removeprefix("dimensions."): round(v) for k, v in soft.items()}
    depth: Depth = "score" if score_only else "verdict"
    form = rubric.form(names).at_depth(depth)
    messages = rubric.messages(sample.prompt, names, brief=True, depth=depth, images=0, facts=clip.measured)
    return Task(
        user=messages[-1]["content"][-1]["text"],
        form=form,
        values={key: values[key] for key, _ in form.root.members},
        soft=soft,
        tags={f"elements.{i}": e.kind for i, e in enumerate(asked)},
        placeholders=score_only,
    )


@dataclass
class Batch(Texts):
    """Some clips and the questions about them."""

    pictures: list[Reel]
    """Whose pictures are shown."""
    film: Tensor
    """(B, L) where the clips' tokens go."""


class Writer:
    """Lays out clips and questions as they are served: every stretch of text tokenised as a backend does."""

    def __init__(self, processor: Any) -> None:
        self.wording = Wording(processor)
        self.end = processor.tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.padding = processor.tokenizer.pad_token_id

    def batch(self, seen: Sequence[Reel], tasks: Sequence[Sequence[Task]]) -> Batch:
        rows = [self._row(clip, asked) for clip, asked in zip(seen, tasks, strict=True)]
        length = -(-max(len(row["ids"]) for row in rows) // 16) * 16
        b = len(rows)
        ids, blocks = np.full((b, length), self.padding), np.full((b, length), -1)
        positions, target = np.zeros((3, b, length), np.int64), np.zeros((5, b, length), np.float32)
        for i, row in enumerate(rows):
            n = len(row["ids"])
            ids[i, :n], blocks[i, :n], positions[:, i, :n] = row["ids"], row["blocks"], row["positions"]
            for column, values in row["targets"].items():
                target[:, i, column] = values
        tensor = torch.from_numpy
        return Batch(
            pictures=list(seen),
            ids=tensor(ids),
            targets=tensor(target[0].astype(np.int64)),
            weights=tensor(target[1]),
            how=tensor(target[2].astype(np.int64)),
            grades=tensor(target[3]),
            tags=tensor(target[4].astype(np.int64)),
            positions=tensor(positions),
            blocks=tensor(blocks),
            film=tensor(ids == self.wording.video_token),
        )

    def _row(self, clip: Reel, tasks: Sequence[Task]) -> dict[str, Any]:
        row: dict[str, Any] = {"ids": [], "blocks": [], "targets": {}}
        shared = 0
        for block, asked in enumerate(tasks, 1):
            chat = [{"role": "user", "content": [{"type": "video"}, {"type": "text", "text": asked.user}]}]
            prompt = self.wording.chat(chat, [], [clip.shown])
            if not row["ids"]:
                # Behind the last token of the film two marks close its frame and the film.
                shared = len(prompt) - prompt[::-1].index(self.wording.video_token) + 2
                row["ids"], row["blocks"] = prompt[:shared], [0] * shared
                row["positions"] = self._film_positions(row["ids"])
            begin = len(row["ids"])
            row["ids"] += prompt[shared:]
            self._answer(row, asked)
            count = len(row["ids"]) - begin
            row["blocks"] += [block] * count
            first = row["positions"][:, :shared].max() + 1
            places = np.broadcast_to(first + np.arange(count), (3, count))
            row["positions"] = np.concatenate([row["positions"], places], 1)
        return row

    def _film_positions(self, ids: Sequence[int]) -> NDArray[np.int64]:
        """(3, n) rotary positions as Qwen3-VL gives them: a frame's tokens span `CELLS` in height and
        width."""
        out, at, k = np.zeros((3, len(ids)), np.int64), 0, 0
        while k < len(ids):
            if ids[k] == self.wording.video_token:
                cell = np.arange(IMAGE_TOKENS)
                out[:, k : k + IMAGE_TOKENS] = at + np.stack([0 * cell, cell // CELLS, cell % CELLS])
                at, k = at + CELLS, k + IMAGE_TOKENS
            else:
                out[:, k] = at
                at, k = at + 1, k + 1
        return out

    def _answer(self, row: dict[str, Any], asked: Task) -> None:
        for segment in asked.form.segments(asked.values):
            ids = list(self.wording.plain(segment.text))
            read = ids
            if asked.placeholders and segment.role == "choice":
                read = list(self.wording.plain(segment.labels[0]))
            tag = _tag(segment, asked)
            how, grade = (GRADED, asked.soft[segment.blank]) if segment.blank in asked.soft else (HARD, 0.0)
            for k, token in enumerate(ids[: len(read)]):
                column = len(row["ids"]) + k
                row["targets"][column] = (token, WEIGHTS[tag], how, grade, TAGS.index(tag))
                if k < len(read) and read[k] != token:
                    break  # what follows would be read behind another label's beginning
            row["ids"] += read
        row["targets"][len(row["ids"])] = (self.end, WEIGHTS["literal"], HARD, 0.0, 0)
        row["ids"].append(self.end)


class Visits:
    """An endless stream of batches over the clips, each epoch in a new order."""

    def __init__(
        self, clips: Sequence[Reel], writer: Writer, rubric: Rubric, *, size: int, seed: int
    ) -> None:
        self.clips, self.writer, self.rubric = clips, writer, rubric
        self.looked_at = [clip for clip in clips if clip.tokens is not None]
        self.size, self.seed, self.progress = size, seed, 0.0

    def __iter__(self) -> Iterator[Batch]:
        r, order = Random(self.seed), list(range(len(self.clips)))
        while True:
            r.shuffle(order)
            for k in range(0, len(order) - self.size + 1, self.size):
                yield self.batch([self.clips[i] for i in order[k : k + self.size]], r)

    def batch(self, clips: Sequence[Reel], r: Random) -> Batch:
        """Some frames of these clips with fresh questions: a whole verdict, and every third time a score."""
        seen = [
            some_frames(r, clip) if clip.tokens is not None else some_frames(r, r.choice(self.looked_at), 1)
            for clip in clips
        ]
        make = partial(task, r, rubric=self.rubric)
        plan = [
            [make(clip, shown, score_only=short) for short in (False, *[True] * (r.random() < 0.35))]
            for clip, shown in zip(clips, seen, strict=True)
        ]
        return self.writer.batch(seen, plan)
