"""Loading images that trainers hold as tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from judge.errors import MediaError
from judge.media.image import LoadedImage, load_image

_ALLOWED = "float 0..1 or uint8 tensors (3, H, W), or anything that `Sample.image` takes"


def load_image_or_tensor(image: Any) -> LoadedImage:
    """Load an image in any form that trainers use.

    Args:
        image: anything that `Sample.image` takes, or a tensor (3, H, W) or (1, H, W) on any device. Tensors
            are uint8, or float 0 to 1; values outside are clipped, as pipelines do when they save an image.

    Raises:
        MediaError: it is none of these, or cannot be read.
    """
    if hasattr(image, "detach"):
        return load_image(_tensor_to_array(image.detach()))
    return load_image(image)


def _tensor_to_array(tensor: Any) -> np.ndarray[Any, Any]:
    """Return a tensor as a uint8 array (H, W, channels)."""
    source = f"<tensor of {tensor.dtype}, shape {tuple(tensor.shape)}>"
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        raise MediaError("image", source, _ALLOWED, "pass one image at a time, channels first")
    values = tensor.cpu()
    if tensor.dtype.is_floating_point:
        values = values.float()
        if not bool(values.isfinite().all()):
            raise MediaError("image", source, _ALLOWED, "it contains NaN or infinity: fix the generator")
        values = (values.clamp(0, 1) * 255).round()
    pixels: np.ndarray[Any, Any] = values.permute(1, 2, 0).numpy().astype(np.uint8)
    return pixels
