"""An endless stream of batches over datasets of drawn scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from finetune.nano.data.batch import SceneBatch
from finetune.nano.data.rows import RowBuilder
from finetune.nano.data.scene_dataset import SceneDataset
from finetune.nano.tasks import Task
from judge.scenes import SceneFacts

TaskPlan = Callable[[Random, SceneFacts, float], list[Task]]
"""Chooses the tasks for one visit of a scene. The last argument is the progress of training, 0..1."""


class SceneBatches:
    """Iterates over the scenes of some datasets without end, each epoch in a new order.

    Args:
        folders: folders of the datasets.
        tokenizer: tokenizer of the model.
        plan: chooses the tasks of each scene.
        size: scenes in a batch.
        max_text_tokens: most text tokens about one image.
        seed: of the order and of the tasks.
        ground: see `RowBuilder`.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        tokenizer: Any,
        plan: TaskPlan,
        *,
        size: int,
        max_text_tokens: int,
        seed: int,
        ground: bool = True,
    ) -> None:
        self.folders, self.plan = list(folders), plan
        self.row_builder = RowBuilder(tokenizer, ground=ground)
        self.progress = 0.0
        """Progress of training, 0..1; the trainer sets it."""
        self.size, self.max_text_tokens, self.seed = size, max_text_tokens, seed

    def __iter__(self) -> Iterator[SceneBatch]:
        datasets = [SceneDataset(folder) for folder in self.folders]
        indices = [(d, i) for d, dataset in enumerate(datasets) for i in range(len(dataset))]
        r = Random(self.seed)
        while True:
            r.shuffle(indices)
            for k in range(0, len(indices) - self.size + 1, self.size):
                chosen = [(datasets[d], i) for d, i in indices[k : k + self.size]]
                yield self.build_batch(chosen, r, self.progress)

    def build_batch(
        self, scenes: Sequence[tuple[SceneDataset, int]], r: Random, progress: float
    ) -> SceneBatch:
        """Build the batch of some scenes, with newly drawn tasks.

        Args:
            scenes: dataset and index of each scene.
            r: random generator for the tasks.
            progress: progress of training, 0..1.
        """
        facts = [dataset.facts[i] for dataset, i in scenes]
        rows = [self.row_builder.build_row(self.plan(r, f, progress), f, self.max_text_tokens) for f in facts]
        images = np.stack([dataset.images[i] for dataset, i in scenes])
        patches = np.stack([dataset.patches[i] for dataset, i in scenes])
        return self.row_builder.collate(rows, images, patches, facts)
