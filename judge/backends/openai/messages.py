"""Write a chat as JSON for a server: images as data URLs, and text without control tokens."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

from judge.backends.base import Request
from judge.errors import ReplyError

_CONTROL_TOKEN = re.compile(
    r"<(?=\|)|<(?=/?(?:s|bos|eos|pad|unk|mask|image|video|audio|start_of_turn|end_of_turn)>)|\[(?=/?[A-Z_]{2,}\])"
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


def break_control_tokens(text: str) -> str:
    """Insert an invisible character (U+2060) into everything that looks like a control token."""
    return _CONTROL_TOKEN.sub(lambda match: f"{match[0]}\u2060", text)


def _data_url(image: Any) -> str:
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
