"""An endless stream of batches of drawn scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random

import numpy as np

from finetune.nano.data.batch import SceneBatch
from finetune.nano.data.rows import RowBuilder
from finetune.nano.data.scene_dataset import SceneStream
from finetune.nano.data.training_scenes import TrainingScene
from finetune.nano.tasks import Task
from judge.scenes import SceneFacts

TaskPlan = Callable[[Random, SceneFacts, float], list[Task]]
"""Chooses the tasks for one visit of a scene. The last argument is the progress of training, 0..1."""


class SceneBatches:
    """Builds batches of the scenes of a source, without end.

    Args:
        source: of the scenes.
        row_builder: lays out the tasks.
        plan: chooses the tasks of each scene.
        size: scenes in a batch.
        max_text_tokens: most text tokens about one image.
        seed: of the scenes and of the tasks.
    """

    def __init__(
        self,
        source: SceneStream,
        row_builder: RowBuilder,
        plan: TaskPlan,
        *,
        size: int,
        max_text_tokens: int,
        seed: int,
    ) -> None:
        self.source, self.row_builder, self.plan = source, row_builder, plan
        self.progress = 0.0
        """Progress of training, 0..1; the trainer sets it."""
        self.size, self.max_text_tokens, self.seed = size, max_text_tokens, seed

    def __iter__(self) -> Iterator[SceneBatch]:
        r = Random(self.seed)
        scenes = self.source.scenes(r)
        while True:
            yield self.build_batch(list(islice(scenes, self.size)), r, self.progress)

    def build_batch(self, scenes: Sequence[TrainingScene], r: Random, progress: float) -> SceneBatch:
        """Build the batch of some scenes, with newly drawn tasks.

        Args:
            scenes: the scenes.
            r: random generator for the tasks.
            progress: progress of training, 0..1.
        """
        facts = [scene.facts for scene in scenes]
        rows = [self.row_builder.build_row(self.plan(r, f, progress), f, self.max_text_tokens) for f in facts]
        images = np.stack([scene.image for scene in scenes])
        patches = np.stack([scene.patches for scene in scenes])
        return self.row_builder.collate(rows, images, patches, facts)
