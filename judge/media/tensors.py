"""Loading images that trainers hold as tensors, arrays or cells of a data set.

Generators are scored on what they made, so pixels are taken as they are meant or refused. Floats are 0 to 1.
Other ranges are refused with the range that was seen, because cutting them off would make another image:
0 to 255 would become white, -1 to 1 would lose its dark half.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from PIL import Image

from judge.errors import MediaError
from judge.media.image import LoadedImage, load_image

MAX_OVERSHOOT = 1e-3
"""Floats may lie this far outside 0 to 1, or by the rounding step of their type at 1 where that is larger
(bfloat16: 1/128). They are then set to 0 or 1: this is the rounding of resizing and of half precision."""
CHANNELS = (1, 3, 4)
"""Grey, RGB, and RGB with opacity."""
_ALLOWED = "floats 0 to 1 or uint8, (3, H, W) or (H, W, 3), or anything that `Sample.image` takes"
_SHAPES = "one image: (C, H, W), (H, W, C) or (H, W), with 1, 3 or 4 channels"


def load_image_or_tensor(image: Any) -> LoadedImage:
    """Load an image in any form that trainers use.

    Args:
        image: anything that `Sample.image` takes; a tensor or array on any device, uint8 or floats 0 to 1
            (float16 and bfloat16 too), with its channels first or last, or grey (H, W); or a cell of a data
            set, see `unwrap_image`.

    Raises:
        MediaError: it is none of these, cannot be read, or has floats that are not finite or outside 0 to 1.
    """
    image = unwrap_image(image)
    array = _to_array(image)
    return load_image(image if array is None else _to_pixels(array, image))


def unwrap_image(cell: Any) -> Any:
    """Return the image in a cell of a data set.

    Args:
        cell: an image; a list or array of one image, text or bytes; a pyarrow scalar; or a mapping with
            `bytes` and `path`, as the data sets of Hugging Face have it, or with `image`.

    Returns:
        The image as it was in the cell; None for a missing value.
    """
    if callable(as_python := getattr(cell, "as_py", None)):
        cell = as_python()
    if isinstance(cell, np.ndarray) and cell.dtype.kind in "OSU" and cell.size == 1:
        return unwrap_image(cell.reshape(-1)[0])
    if isinstance(cell, np.ndarray) and cell.dtype.kind == "O" and cell.ndim > 1:
        numbers = np.array(cell.tolist())  # they are held as objects
        are_bytes = numbers.dtype.kind in "iu" and numbers.size and numbers.min() >= 0 and numbers.max() < 256
        return numbers.astype(np.uint8) if are_bytes else numbers
    if isinstance(cell, str):
        return str(cell)
    if isinstance(cell, bytes):
        return bytes(cell)
    if isinstance(cell, Mapping):
        return next((cell[key] for key in ("bytes", "image", "path") if cell.get(key) is not None), cell)
    if isinstance(cell, list | tuple) and len(cell) == 1 and not isinstance(cell[0], int | float):
        return unwrap_image(cell[0])
    is_missing = type(cell).__name__ == "NAType" or (isinstance(cell, float) and cell != cell)
    return None if is_missing else cell


def split_batch(images: Any) -> Iterator[Any]:
    """Yield the images of a batch.

    A range such as -1 to 1 or 0 to 255 is that of the batch as a whole: in a batch of -1 to 1, a bright
    image alone could lie within 0 to 1, and would be read wrongly.

    Args:
        images: a list or iterator of images, or a tensor or array (N, ...).

    Yields:
        Each image; for a batch with a wrong range, the `MediaError` in place of each image.
    """
    if len(getattr(images, "shape", ())) > 1 and (array := _to_array(images)) is not None:
        try:
            _check_convention(array, images)
        except MediaError as error:
            yield from [error] * len(images)
            return
    yield from images


def _check_convention(array: np.ndarray[Any, Any], images: Any) -> None:
    """Raise `MediaError` if the floats of a batch are clearly meant in another range than 0 to 1."""
    if array.dtype.kind == "f" and (finite := array[np.isfinite(array)]).size:
        if finite.min() < -_max_overshoot(images) or finite.max() > 2:
            _check_range(finite, images)


def check_float_images(images: Any) -> None:
    """Raise `MediaError` if floats of a tensor are not finite or outside 0 to 1."""
    array = _to_array(images.detach())
    assert array is not None
    _check_range(array, images)


def _to_array(image: Any) -> np.ndarray[Any, Any] | None:
    """Return a tensor or array as a numpy array; None for anything else, and for arrays of no numbers."""
    if hasattr(image, "detach"):  # torch
        values = image.detach().cpu()
        if values.dtype.is_floating_point:  # numpy has no bfloat16
            values = values.float()
        return np.asarray(values.numpy())
    if not isinstance(image, np.ndarray):
        if isinstance(image, Image.Image) or not (hasattr(image, "__array__") and hasattr(image, "shape")):
            return None
        image = np.asarray(image)
    if image.dtype.kind == "V":  # bfloat16 of JAX
        try:
            image = image.astype(np.float32)
        except (TypeError, ValueError):
            return None
    return None if image.dtype.kind in "OSU" else image


def _describe(image: Any) -> str:
    kind = "tensor" if hasattr(image, "detach") else "array"
    return f"<{kind} of {image.dtype}, shape {tuple(image.shape)}>"


def _to_pixels(array: np.ndarray[Any, Any], image: Any) -> np.ndarray[Any, Any]:
    """Return an array as uint8, (H, W, channels)."""
    source = _describe(image)
    while array.ndim > 3 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or 0 in array.shape:
        raise MediaError("image", source, _SHAPES, "pass one image at a time")
    is_first, is_last = array.shape[0] in CHANNELS, array.shape[2] in CHANNELS
    if not is_first and not is_last:
        raise MediaError("image", source, _SHAPES, "decode latents first; leave out other channels")
    if array.dtype.kind != "f" and array.dtype != np.uint8:
        mend = f"its values are {array.min()} to {array.max()}: cast 0..255 to uint8"
        raise MediaError("image", source, _ALLOWED, mend)
    if array.dtype.kind == "f":
        _check_range(array, image)
        array = (array.astype(np.float32).clip(0, 1) * 255).round().astype(np.uint8)
    # Where both fit, torch has its channels first and numpy last.
    if is_first and not (is_last and not hasattr(image, "detach")):
        array = array.transpose(1, 2, 0)
    return array


def _check_range(array: np.ndarray[Any, Any], image: Any) -> None:
    """Raise `MediaError` for floats that are not finite or outside 0 to 1. Other types are left alone."""
    if array.dtype.kind != "f" or not array.size:
        return
    source = _describe(image)
    if not np.isfinite(array).all():
        mend = "it contains NaN or infinity: fix the generator, or compute in float32"
        raise MediaError("image", source, _ALLOWED, mend)
    low, high = float(array.min()), float(array.max())
    overshoot = _max_overshoot(image)
    if low >= -overshoot and high <= 1 + overshoot:
        return
    raise MediaError("image", source, _ALLOWED, f"its values are {low:.4g} to {high:.4g}: {_mend(low, high)}")


def _max_overshoot(image: Any) -> float:
    """Return how far floats may lie outside 0 to 1; the limit itself is allowed, whatever its rounding."""
    rounding = 2.0**-7 if "bfloat16" in str(image.dtype) else 1e-6
    return max(MAX_OVERSHOOT, rounding) + 1e-6


def _mend(low: float, high: float) -> str:
    """Say how values of a range become 0 to 1."""
    rounding = 0.01
    if low < 0 and low >= -1 - rounding and high <= 1 + rounding:
        return "they look like -1..1: pass x / 2 + 0.5"
    if low >= 0 and 2 < high <= 255.5:
        return "they look like 0..255: pass x / 255, or uint8"
    if low >= 0 and 255.5 < high <= 65535.5:
        return "they look like 0..65535: pass x / 65535"
    if low < 0:
        return "undo the normalisation of the generator or processor, decode latents, or clamp what is meant"
    return "clamp it to 0..1 if the overshoot is meant"
