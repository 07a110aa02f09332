"""Whether an image is a plain drawing, like the scenes that the embedded judge was trained on.

A small convolutional network sees the whole image at 112 x 112 pixels. It was trained on scenes and clips of
`judge.scenes` and on simple drawings of other programs, against photographs, images of generators, icons,
charts and pages of text. `finetune/nano/domain` makes it; `judge/assets/nano/MODEL_CARD.md` has its numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DETECTOR_FILE = Path(str(files("judge"))) / "assets" / "drawings.onnx"
INPUT_SIDE = 112
MAX_FRAMES = 4
"""Frames of a video that are looked at, evenly spread."""
THRESHOLD_KEY = "threshold"
SOURCES_KEY = "sources"
"""Keys in the properties of the file."""


def is_drawing(images: Sequence[Image.Image]) -> bool:
    """Return whether an image, or on average the frames of a video, are plain drawings.

    Args:
        images: the image, or frames of the video in order, RGB of any size.
    """
    session, threshold = _load_detector()
    step = max(1, len(images) // MAX_FRAMES)
    inputs = np.stack([resize_input(image) for image in images[::step][:MAX_FRAMES]])
    [logits] = session.run(None, {"images": inputs})
    return bool(np.mean(logits) >= threshold)


def resize_input(image: Image.Image) -> NDArray[np.uint8]:
    """Resize an RGB image to the square that the network sees, (INPUT_SIDE, INPUT_SIDE, 3) uint8."""
    side = (INPUT_SIDE, INPUT_SIDE)
    return np.asarray(image.resize(side, Image.Resampling.BICUBIC, reducing_gap=2.0))


def fitted_sources() -> list[str]:
    """Return the names of the folders of other images that the network was fitted on."""
    session, _ = _load_detector()
    names: list[str] = json.loads(session.get_modelmeta().custom_metadata_map[SOURCES_KEY])
    return names


@cache
def _load_detector() -> tuple[Any, float]:
    """Return the session of the network, and the logit from which an image is a drawing."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # it is too small for more
    session = onnxruntime.InferenceSession(str(DETECTOR_FILE), options, providers=["CPUExecutionProvider"])
    return session, float(session.get_modelmeta().custom_metadata_map[THRESHOLD_KEY])
