"""Small data and settings to distill a student from, and an untrained student."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from finetune.distill.config import Config
from judge.backends.student import choice_labels
from judge.rubrics.rubric import Rubric

BLANKS = choice_labels(Rubric.load("quality").form(()).at_depth("score"))
"""The choices of the rubric `quality` at depth `score`."""
NETWORK: dict[str, Any] = {"whole": 32, "grid": 3, "patch": 16, "width": 4, "hidden": 16}
"""A small network that sees 32 x 32 pixels and 3 x 3 patches of 16 x 16."""


def distill_config(folder: Path, scale: tuple[float, float] = (1, 5), **changes: Any) -> Config:
    """A configuration that distills from the images of a folder in three steps."""
    raw = {
        "name": "small",
        "rubric": "quality",
        "network": NETWORK,
        "data": [{"suite": "folder", "path": str(folder), "scale": list(scale)}],
        "training": {"steps": 3, "batch": 4, "views": 2},
        **changes,
    }
    return Config.from_dict(raw)


def write_noise_images(folder: Path, count: int, *, scored: int = 0, seed: int = 0) -> Path:
    """Write images with noise of growing strength for the suite `folder`; the first `scored` have a score."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, rows = np.random.default_rng(seed), []
    for n in range(count):
        grey = 128 + rng.normal(0, 1 + 60 * n / count, (60, 80, 3))
        Image.fromarray(grey.clip(0, 255).astype(np.uint8)).save(folder / f"{n}.png")
        rows.append({"image": f"{n}.png", **({"score": 5 - 4 * n / count} if n < scored else {})})
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return folder
