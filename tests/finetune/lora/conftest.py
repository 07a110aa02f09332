"""Tiny checkpoints and tiny data for the tests of fine-tuning."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import training_data
from training_data import tiny_config

from finetune.lora.base_model import check_base, load_trainable_model
from finetune.lora.config import LossConfig
from finetune.lora.encoding import RowEncoder
from finetune.lora.evaluation import TrainingBackend


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints of two families, an adapter of the first, and data of each kind."""
    root = tmp_path_factory.mktemp("lora")
    for family in ("qwen3_vl", "qwen2_5_vl"):
        tiny.write_checkpoint(root / family, family, number_tokens=family == "qwen3_vl")
    tiny.write_adapter(root / "qwen3_vl", root / "adapter")
    training_data.write_scenes(root / "scenes", 8)
    training_data.write_rated_photos(root / "photos", 8)
    training_data.write_evalmuse(root / "evalmuse", 8)
    training_data.write_structure(root / "structure", 8)
    training_data.write_videos(root / "videos", 8)
    return root


@pytest.fixture(scope="session")
def backend(folder: Path) -> TrainingBackend:
    """The tiny Qwen3-VL with a new adapter, as a backend."""
    config = tiny_config(folder)
    base = check_base(config.model)
    model, processor = load_trainable_model(base, config.model, config.lora)
    return TrainingBackend(model.eval(), processor, base)


@pytest.fixture(scope="session")
def encoder(backend: TrainingBackend) -> RowEncoder:
    """Encodes rows for that backend."""
    return RowEncoder(backend, LossConfig(), max_pixels=10**6)
