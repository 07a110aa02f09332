"""Pictures as trainers hold them: tensors and arrays become what `judge.media.image` reads."""

from __future__ import annotations

from typing import Any

import numpy as np

from judge.errors import MediaError
from judge.media import image as media

_SHAPES = "float 0..1 or uint8 tensors (3, H, W), or whatever else `Sample.image` takes"


def load(image: Any) -> media.Picture:
    """Decode a picture in any form that trainers give it.

    Args:
        image: what `Sample.image` takes; or a tensor (3, H, W) or (1, H, W), float 0..1 (values beyond are
            cut, as every pipeline does when it saves a picture) or uint8, on any device.

    Raises:
        MediaError: it is none of these, or cannot be read.
    """
    if hasattr(image, "detach"):
        return media.load(_array(image.detach()))
    return media.load(image)


def _array(tensor: Any) -> np.ndarray[Any, Any]:
    shown = f"<tensor of {tensor.dtype}, shape {tuple(tensor.shape)}>"
    if tensor.ndim != 3 or tensor.shape[0] not in (1, 3):
        raise MediaError("image", shown, _SHAPES, "give one picture at a time, channels first")
    whole = tensor.cpu()
    if tensor.dtype.is_floating_point:
        whole = whole.float()
        if not bool(whole.isfinite().all()):
            raise MediaError("image", shown, _SHAPES, "it holds NaN or infinity: mend the generator")
        whole = (whole.clamp(0, 1) * 255).round()
    pixels: np.ndarray[Any, Any] = whole.permute(1, 2, 0).numpy().astype(np.uint8)
    return pixels
