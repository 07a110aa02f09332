"""Measures a model on held-out scenes while it is trained."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import torch

from finetune.nano.batched_forward import BatchedForward
from finetune.nano.data.batch import SceneBatch
from finetune.nano.data.rows import RowBuilder
from finetune.nano.data.scene_batches import SceneBatches, TaskPlan
from finetune.nano.data.scene_dataset import SceneDataset, StoredScenes
from finetune.nano.data.target_tags import STATEMENT_TAGS, TAGS
from finetune.nano.losses import AnswerLoss, count_hits, run_batch
from finetune.nano.trainer import add_hits

HELD_OUT_SEED = 7
"""Seed of the tasks about held-out scenes."""


@torch.inference_mode()
def measure(
    model: BatchedForward, answer_loss: AnswerLoss, batches: Iterable[SceneBatch]
) -> dict[str, float]:
    """Measure the share of right tokens by tag, each given the right answer so far.

    For each kind of statement and for colors there is also NAME_constant: the share that the most common
    answer would get right.
    """
    hits: dict[str, list[int]] = {}
    answers: dict[str, Counter[int]] = {}
    for batch in batches:
        features = model.encode_images(batch.images)
        result = run_batch(model, batch, features, answer_loss, read_attention=False)
        add_hits(hits, count_hits(result.hits, result.tags))
        targets = batch.targets[:, 1:][batch.target_mask()]
        for name in (*STATEMENT_TAGS, "color"):
            answers.setdefault(name, Counter()).update(targets[result.tags == TAGS.index(name)].tolist())
    shares = {name: round(right / total, 4) for name, (right, total) in hits.items()}
    constants = {f"{n}_constant": round(max(c.values()) / c.total(), 4) for n, c in answers.items() if c}
    return {**shares, **constants}


def build_held_out_batches(
    folder: Path,
    tokenizer: Any,
    count: int,
    plan: TaskPlan,
    *,
    max_text_tokens: int,
    size: int = 30,
) -> list[SceneBatch]:
    """Build the batches that `measure` uses. The same arguments give the same scenes and tasks.

    Args:
        folder: folder of the held-out dataset.
        tokenizer: of the model.
        count: number of scenes, or fewer if the dataset is smaller.
        plan: chooses the tasks.
        max_text_tokens: most text tokens about one image.
        size: scenes in a batch.
    """
    batches = SceneBatches(
        StoredScenes([folder]),
        RowBuilder(tokenizer, ground=False),
        plan,
        size=size,
        max_text_tokens=max_text_tokens,
        seed=HELD_OUT_SEED,
    )
    dataset, r = SceneDataset(folder), Random(HELD_OUT_SEED)
    count = min(count, len(dataset))
    return [
        batches.build_batch([dataset[i] for i in range(k, min(k + size, count))], r, 1.0)
        for k in range(0, count, size)
    ]
