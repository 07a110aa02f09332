"""Batches that other processes prepare, and what moves to a device."""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch

from finetune.nano.adapter_training import JudgingPlan
from finetune.nano.data.loader import LoadedBatches
from finetune.nano.data.scene_batches import SceneBatches
from finetune.nano.data.scene_dataset import FreshScenes
from finetune.nano.data.target_tags import TAGS
from finetune.nano.losses import count_hits


def test_each_process_prepares_batches_of_scenes_of_its_own(row_builder: Any) -> None:
    batches = SceneBatches(FreshScenes(), row_builder, JudgingPlan(1), size=3, max_text_tokens=900, seed=4)
    loaded = LoadedBatches(batches, 2)
    loaded.progress = 0.5
    assert loaded.progress == 0.5
    first = list(islice(loaded, 6))
    images = {bytes(image.numpy().tobytes()) for batch in first for image in batch.images}
    assert len(images) == 18 and all((batch.weights > 0).any() for batch in first)
    alone = next(iter(batches))
    assert {name: getattr(alone, name).dtype for name in ("ids", "images", "edges")} == {
        name: getattr(first[0], name).dtype for name in ("ids", "images", "edges")
    }


def test_a_batch_moves_with_all_its_tensors(row_builder: Any) -> None:
    batches = SceneBatches(FreshScenes(), row_builder, JudgingPlan(1), size=2, max_text_tokens=900, seed=4)
    moved = next(iter(batches)).to(torch.device("meta"))
    for value in vars(moved).values():
        assert all(tensor.is_meta for tensor in (value if isinstance(value, tuple) else (value,)))


def test_hits_are_counted_by_tag() -> None:
    tags = torch.tensor([TAGS.index(name) for name in ("score", "text", "score", "score")])
    assert count_hits(torch.tensor([True, False, False, True]), tags) == {"score": (2, 3), "text": (0, 1)}
