"""A smooth image that stands for a photograph."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def photo() -> np.ndarray:
    """A smooth image of 128 x 96 pixels."""
    y, x = np.mgrid[0:96, 0:128]
    waves = np.stack([np.sin(x / (3 + c)) * np.cos(y / (5 - c)) for c in range(3)], -1)
    return np.clip(128 + 70 * waves, 0, 255).astype(np.uint8)
