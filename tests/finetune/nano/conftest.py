"""Scenes, a tokenizer and a small random model for the tests of the embedded judge's training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from finetune.nano import tasks
from finetune.nano.data.batch import SceneBatch
from finetune.nano.data.rows import RowBuilder
from finetune.nano.network import NetworkSize, build_model
from finetune.nano.tokenizer import build_tokenizer
from judge.scenes import Scene, SceneFacts, draw_scene


@pytest.fixture(scope="session")
def drawn_scenes() -> list[Scene]:
    """Twelve drawn scenes."""
    return [draw_scene(seed) for seed in range(3_000_000, 3_000_012)]


@pytest.fixture(scope="session")
def scene_facts(drawn_scenes: list[Scene]) -> list[SceneFacts]:
    """The facts of the scenes."""
    return [scene.facts for scene in drawn_scenes]


@pytest.fixture(scope="session")
def tokenizer(scene_facts: list[SceneFacts]):
    """A tokenizer trained on texts about the scenes."""
    return build_tokenizer(tasks.tokenizer_corpus(scene_facts * 8), 1024)


@pytest.fixture(scope="session")
def model(tokenizer):
    """A small model with random weights."""
    size = NetworkSize(vision_width=64, vision_depth=2, width=64, depth=4, mlp_width=96, head_width=32)
    return build_model(tokenizer, size).eval()


@pytest.fixture(scope="session")
def row_builder(tokenizer) -> RowBuilder:
    """Builds rows for the model."""
    return RowBuilder(tokenizer)


@pytest.fixture(scope="session")
def build_batch(row_builder: RowBuilder) -> Callable[[list[list[tasks.Task]], list[Scene]], SceneBatch]:
    """Builds a batch from the tasks about each of some scenes."""

    def build(tasks_by_scene: list[list[tasks.Task]], scenes: list[Scene]) -> SceneBatch:
        pairs = zip(tasks_by_scene, scenes, strict=True)
        rows = [row_builder.build_row(own, scene.facts, 4000) for own, scene in pairs]
        images = np.stack([scene.image for scene in scenes])
        patches = np.zeros((len(scenes), 3, 14, 14), np.uint8)
        return row_builder.collate(rows, images, patches, [scene.facts for scene in scenes])

    return build
