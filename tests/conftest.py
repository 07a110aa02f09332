"""Shared by all tests: no network, reproducible random tests, and pictures to break."""

from __future__ import annotations

import os
from pathlib import Path

# Before any test imports a model library: tests run on what the checkout holds, never on a download.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pytest
from hypothesis import settings
from paths import SHARED
from PIL import Image

# Time limits of single examples fail on a busy machine, not on a bug.
settings.register_profile("here", deadline=None)
# The same examples in every run, so that a red run is the change's own.
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if not marked:
        return
    import torch

    if not torch.cuda.is_available():
        for item in marked:
            item.add_marker(pytest.mark.skip(reason="no accelerator here"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Real label files and pictures that lie beside some checkouts, and are not part of this project."""
    if not SHARED.is_dir():
        pytest.skip("no shared data beside this checkout")
    return SHARED


@pytest.fixture
def picture() -> Image.Image:
    """64 x 48 RGB with something in every corner and enough detail to take many compressed bytes."""
    noise = np.random.default_rng(7).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    noise[:8, :8] = (255, 0, 0)
    noise[-8:, -8:] = (0, 0, 255)
    return Image.fromarray(noise)
