"""Opening files and decoding `data:` URLs, with limits on their size."""

from __future__ import annotations

import base64
import binascii
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from judge.errors import MediaError


def check_byte_count(count: int, field: str, source: str, max_bytes: int) -> None:
    """Check the encoded size of an image or video.

    Args:
        count: encoded size in bytes.
        field: the caller's name of the input; errors name it.
        source: short description of the input for errors.
        max_bytes: largest encoded size.

    Raises:
        MediaError: it is too large.
    """
    if count > max_bytes:
        mend = f"it has {count}: save it smaller or raise max_bytes"
        raise MediaError(field, source, f"at most {max_bytes} bytes", mend)


@contextmanager
def open_file(path: Path, field: str, kind: str, max_bytes: int) -> Iterator[BinaryIO]:
    """Open a regular file for reading.

    Args:
        path: the file.
        field: the caller's name of the input; errors name it.
        kind: what the file should be, for errors: "image" or "video".
        max_bytes: largest size.

    Yields:
        The open file.

    Raises:
        MediaError: it does not exist, cannot be read, is not a regular file, or is too large.
    """
    source, allowed = str(path), f"the path of one {kind}"
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise MediaError(field, source, allowed, "it is a directory: name a file in it")
        # Only regular files are opened, because a pipe or a device may never end.
        if not stat.S_ISREG(status.st_mode):
            raise MediaError(field, source, allowed, "it is not a regular file: copy it into one")
        check_byte_count(status.st_size, field, source, max_bytes)
        file = path.open("rb")
    except MediaError:
        raise
    except FileNotFoundError:
        mend = f"no such file (from {Path.cwd()}): check the path"
        raise MediaError(field, source, allowed, mend) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(field, source, allowed, f"{reason}: check the path") from None
    with file:
        yield file


def decode_data_url(url: str, field: str, max_bytes: int) -> tuple[bytes, str]:
    """Decode a base64 `data:` URL.

    Args:
        url: the URL.
        field: the caller's name of the input; errors name it.
        max_bytes: largest decoded size.

    Returns:
        The bytes, and a short description of the URL for errors.

    Raises:
        MediaError: the URL is not base64, is damaged, or is too large.
    """
    head, comma, body = url.partition(",")
    source = f"<{head[:40]}, {len(url)} characters>"
    allowed = "data:image/...;base64,... URLs"
    if not comma or not head.lower().endswith(";base64"):
        raise MediaError(field, source, allowed, "encode the file's bytes with base64")
    check_byte_count(len(body) * 3 // 4 - body[-2:].count("="), field, source, max_bytes)
    try:
        return base64.b64decode(body, validate=True), source
    except (binascii.Error, ValueError) as error:
        mend = f"the base64 is damaged ({error}): encode it again"
        raise MediaError(field, source, allowed, mend) from None
