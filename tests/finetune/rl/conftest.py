"""Tiny checkpoints and tiny data for the tests of reinforcement."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny
import training_data
from real_vocabulary import tiny_checkpoint


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A judge folder with pieces, checkpoints with the real vocabulary, and data of two suites."""
    root = tmp_path_factory.mktemp("rl")
    tiny.write_judge_folder(root / "nano")
    for family in ("qwen3_vl", "qwen3_5"):
        tiny_checkpoint(root / family, family)
    training_data.write_scenes(root / "scenes", 8)
    training_data.write_evalmuse(root / "evalmuse", 8)
    return root
