"""Write a chat as JSON for a server: images as data URLs, and text without control tokens."""

from __future__ import annotations

import base64
import io
import math
import re
from dataclasses import replace
from typing import Any

from judge.backends.base import Request
from judge.backends.models.families import FAMILIES
from judge.errors import ReplyError

_CONTROL_TOKEN = re.compile(
    r"<(?=\|)|<(?=/?(?:s|bos|eos|pad|unk|mask|image|video|audio|start_of_turn|end_of_turn|think|tool_call|tool_response)>)|\[(?=/?[A-Z_]{2,}\])"
)
"""Start of a text that a server's tokenizer may read as a control token."""


def build_messages(request: Request) -> list[dict[str, Any]]:
    """Write the messages of a request with its images.

    Args:
        request: the request.

    Returns:
        Messages as chat completions take them.

    Raises:
        ReplyError: the number of images differs from that of the image parts.
    """
    urls = iter(map(_data_url, request.images))
    messages = []
    try:
        for message in request.messages:
            content = message["content"]
            if isinstance(content, str):
                content = break_control_tokens(content)
            else:
                content = [
                    {"type": "text", "text": break_control_tokens(part["text"])}
                    if part["type"] == "text"
                    else {"type": "image_url", "image_url": {"url": next(urls)}}
                    for part in content
                ]
            messages.append({"role": message["role"], "content": content})
    except (StopIteration, RuntimeError):
        raise ReplyError(f"images: {len(request.images)} given, the messages show more") from None
    if next(urls, None) is not None:
        raise ReplyError(f"images: {len(request.images)} given, the messages show fewer")
    return messages


def fit_images(request: Request) -> Request:
    """Return a request whose images have sizes of whole patches.

    A model that writes boxes in pixels means those of the image as its server resized it. Qwen2.5-VL's
    processor leaves an image of whole patches as it is, so the pixels are those that are sent.

    Args:
        request: the request.
    """
    from PIL import Image

    sizes = [_whole_patches(image.size) for image in request.images]
    images = [
        image if image.size == size else image.resize(size, Image.Resampling.BICUBIC)
        for image, size in zip(request.images, sizes, strict=True)
    ]
    return replace(request, images=images)


def frame_size(shown: Any) -> tuple[int, int]:
    """Return the size of an image, or of the frames of a video, as it is sent."""
    size: tuple[int, int] = shown.size if hasattr(shown, "size") else shown.frames[0].size
    return size


def _whole_patches(size: tuple[int, int]) -> tuple[int, int]:
    """Return the nearest size of whole patches of Qwen2.5-VL within the limits of its processor."""
    family = FAMILIES["qwen2_5_vl"]
    side = family.patch_size * family.merge_size
    width, height = (max(side, round(length / side) * side) for length in size)
    if width * height > family.max_pixels:
        scale = math.sqrt(size[0] * size[1] / family.max_pixels)
        width, height = (max(side, math.floor(length / scale / side) * side) for length in size)
    elif width * height < family.min_pixels:
        scale = math.sqrt(family.min_pixels / (size[0] * size[1]))
        width, height = (math.ceil(length * scale / side) * side for length in size)
    return width, height


def break_control_tokens(text: str) -> str:
    """Insert an invisible character (U+2060) into everything that looks like a control token."""
    return _CONTROL_TOKEN.sub(lambda match: f"{match[0]}\u2060", text)


def _data_url(image: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
