"""Settings and fixtures for all tests: no network, reproducible random tests, and a test image."""

from __future__ import annotations

import os
from pathlib import Path

# Set before any test imports a model library: tests use the files of the checkout and never download.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import pytest
from hypothesis import settings
from paths import SHARED
from PIL import Image

# A deadline for single examples would fail on a busy machine without a bug.
settings.register_profile("local", deadline=None)
# CI uses the same examples in every run, so a new failure comes from the change.
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests with the marker `gpu` if there is no accelerator."""
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_items:
        return
    import torch

    if not torch.cuda.is_available():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="no accelerator here"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Directory of real label files and images that some checkouts have beside them."""
    if not SHARED.is_dir():
        pytest.skip("no shared data beside this checkout")
    return SHARED


@pytest.fixture
def noise_image() -> Image.Image:
    """64 x 48 RGB noise with a red and a blue corner; its detail takes many compressed bytes."""
    noise = np.random.default_rng(7).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    noise[:8, :8] = (255, 0, 0)
    noise[-8:, -8:] = (0, 0, 255)
    return Image.fromarray(noise)
