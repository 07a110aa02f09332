"""What the reward's tests share: rewards around scripted backends, and a few images."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image
from random_backend import RandomBackend

from judge import Judge
from judge.backends.scripted import Scripted
from judge.reward import Reward

PROMPTS = ["a red circle", "a red circle", "a blue square"]
IMAGES = np.stack([np.full((8, 8, 3), n * 50, dtype=np.uint8) for n in range(3)])
"""One image per prompt, uint8 (3, 8, 8, 3)."""


def make_reward(seed: int = 1) -> Reward:
    """A reward with seeded random scores, the same for the same calls."""
    return Reward(Judge(backend=RandomBackend(seed)))


def unscored_reward(replies: int = 50) -> Reward:
    """A reward whose judge gives replies that cannot be read."""
    return Reward(Judge(backend=Scripted(["no JSON"] * replies)))


def expected_scores() -> list[float]:
    """The scores that a new `make_reward()` gives on `PROMPTS` and `IMAGES`."""
    return [result.score for result in make_reward()(prompts=PROMPTS, images=list(IMAGES))]


def render(text: str) -> np.ndarray | None:
    """A stand-in for a renderer: the length of the text is the grey level of the image."""
    return np.full((8, 8, 3), len(text) % 256, dtype=np.uint8) if text else None


def encode_png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
