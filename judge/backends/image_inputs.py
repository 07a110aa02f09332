"""Check and resize images as Qwen-VL's own processors do, for every backend that runs such a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from judge.backends.base import Request

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_ASPECT_RATIO = 200
"""Greatest ratio of an image's sides that Qwen-VL processors accept."""


def find_input_error(request: Request, size: int | None, image_processor: Any) -> str:
    """Find out why the model cannot take the images and videos of a request.

    Args:
        request: the request to check.
        size: side in pixels of the square that the model sees; None for any shape.
        image_processor: the model's own, with its pixel limits.

    Returns:
        The reason, as the text of a `ReplyError`; empty if the model can take them.
    """
    parts = [part for m in request.messages if not isinstance(m["content"], str) for part in m["content"]]
    for field, inputs in (("image", request.images), ("video", request.videos)):
        expected = sum(part["type"] == field for part in parts)
        if expected != len(inputs):
            return f"{field}s: {len(inputs)} given, the messages show {expected}"
    for image in request.images:
        if size and image.size != (size, size):
            return f"image: {image.width}x{image.height}, the model sees {size}x{size}"
        if max(image.size) > MAX_ASPECT_RATIO * min(image.size):
            return f"image: {image.width}x{image.height} has an aspect ratio above {MAX_ASPECT_RATIO}:1"
    return "" if size is not None else _find_size_error(request.images, image_processor)


def _find_size_error(images: Sequence[Image], image_processor: Any) -> str:
    """Find an image that has no size of whole patches within the processor's pixel limit."""
    from qwen_vl_utils import smart_resize

    least, most = _pixel_limits(image_processor)
    side = image_processor.patch_size * image_processor.merge_size
    for image in images:
        if 0 in smart_resize(image.height, image.width, side, least, most):
            return f"image: {image.width}x{image.height} is too narrow for a size of at most {most} pixels"
    return ""


def resized_size(size: tuple[int, int], image_processor: Any) -> tuple[int, int]:
    """Return the size to which `resize_images` brings an image.

    Args:
        size: width and height of the image in pixels.
        image_processor: the model's own, with its pixel limits.
    """
    from qwen_vl_utils import smart_resize

    side = image_processor.patch_size * image_processor.merge_size
    height, width = smart_resize(size[1], size[0], side, *_pixel_limits(image_processor))
    return width, height


def resize_images(images: Sequence[Image], size: int | None, image_processor: Any) -> Sequence[Image]:
    """Resize images to whole patches within the processor's pixel limits.

    Args:
        images: RGB images that passed `find_input_error`.
        size: side in pixels of the square that the model sees. If given, the images have that size already
            and are returned unchanged.
        image_processor: the model's own, with its pixel limits.

    Returns:
        The resized images, in order.
    """
    if size is not None:
        return images
    from qwen_vl_utils import process_vision_info

    least, most = _pixel_limits(image_processor)
    limits = {"type": "image", "min_pixels": least, "max_pixels": most}
    chat = [{"role": "user", "content": [{**limits, "image": image} for image in images]}]
    resized, _ = process_vision_info(chat, image_patch_size=image_processor.patch_size)
    return list(resized or ())


def _pixel_limits(image_processor: Any) -> tuple[int, int]:
    return image_processor.size["shortest_edge"], image_processor.size["longest_edge"]
