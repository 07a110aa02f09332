"""Whether an image is a plain drawing, like the scenes that the embedded judge was trained on.

The whole image at 112 x 112 pixels is described by the features of EfficientNet-Lite0
(`judge.evidence.pretrained`), and a small perceptron decides. It was fitted on scenes and clips of
`judge.scenes` and on simple drawings of other programs, against photographs, images of generators, icons,
charts and pages of text. `finetune/nano/domain` makes it; `judge/assets/nano/MODEL_CARD.md` has its numbers.

The file holds `mean` and `scale` of the features (FEATURE_LENGTH,), `hidden.weight` (hidden, FEATURE_LENGTH),
`hidden.bias` (hidden,), `output.weight` (hidden,) and `output.bias` (1,).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DETECTOR_FILE = Path(str(files("judge"))) / "assets" / "drawings.safetensors"
SOURCES_KEY = "sources"
"""Key of the names of the folders of other images in the file's metadata."""
INPUT_SIDE = 112
MAX_DEVIATION = 8.0
"""Limit of a standardised feature."""
MAX_FRAMES = 4
"""Frames of a video that are looked at, evenly spread."""


def is_drawing(images: Sequence[Image.Image]) -> bool:
    """Return whether an image, or on average the frames of a video, are plain drawings.

    Args:
        images: the image, or frames of the video in order, RGB of any size.
    """
    step = -(-len(images) // MAX_FRAMES)
    return float(np.mean([drawing_logit(image) for image in images[::step]])) >= 0


def drawing_logit(image: Image.Image) -> float:
    """Return the log-odds that an RGB image is a plain drawing, 0 at the threshold."""
    from judge.evidence.pretrained import extract_features

    tensors = _load_detector()
    deviations = (extract_features(resize_input(image)) - tensors["mean"]) / tensors["scale"]
    deviations = deviations.clip(-MAX_DEVIATION, MAX_DEVIATION)
    hidden = np.maximum(0, tensors["hidden.weight"] @ deviations + tensors["hidden.bias"])
    return float(hidden @ tensors["output.weight"] + tensors["output.bias"][0])


def resize_input(image: Image.Image) -> NDArray[np.uint8]:
    """Resize an RGB image to the square that is looked at, (INPUT_SIDE, INPUT_SIDE, 3) uint8."""
    side = (INPUT_SIDE, INPUT_SIDE)
    return np.asarray(image.resize(side, Image.Resampling.BICUBIC, reducing_gap=2.0))


def fitted_sources() -> list[str]:
    """Return the names of the folders of other images that the detector was fitted on."""
    from safetensors import safe_open

    with safe_open(DETECTOR_FILE, "np") as file:
        names: list[str] = json.loads(file.metadata()[SOURCES_KEY])
    return names


@cache
def _load_detector() -> dict[str, NDArray[np.float32]]:
    """Return the tensors of the file as float32; the largest is stored as float16."""
    from safetensors.numpy import load_file

    return {name: tensor.astype(np.float32) for name, tensor in load_file(DETECTOR_FILE).items()}
