"""Opening files and decoding `data:` URLs, with limits on their size."""

from __future__ import annotations

import base64
import binascii
import io
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeGuard
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from judge.errors import MediaError

_URL = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_URL_IN_PATH = re.compile(r"^([a-z][a-z0-9+.-]+):/(?!/)", re.IGNORECASE)
_BASE64_HEAD = re.compile(r";\s*base64\s*$", re.IGNORECASE)
_TO_STANDARD_ALPHABET = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n\f\v"


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


def is_data_url(source: object) -> TypeGuard[str]:
    """Return whether a source is a `data:` URL."""
    return isinstance(source, str) and source[:5].lower() == "data:"


def resolve_path(source: str | os.PathLike[str], field: str, allowed: str) -> Path:
    """Return a path, which may be given as a `file://` URL.

    Args:
        source: the path or URL.
        field: the caller's name of the input; errors name it.
        allowed: what is allowed, for the error.

    Raises:
        MediaError: it is a URL of another machine.
    """
    if not isinstance(source, str):
        path = Path(source)
        # `Path` takes one of the two slashes of an address.
        address = _URL_IN_PATH.sub(r"\1://", str(path))
        if not is_web_address(address) or path.exists():
            return path
        source = address
    if is_web_address(source):
        mend = "download it first: nothing is fetched while judging"
        raise MediaError(field, source, allowed, mend)
    return Path(file_url_to_path(source, field))


def is_web_address(text: str) -> bool:
    """Return whether a text is a URL of another machine, which nothing fetches while judging."""
    return bool(_URL.match(text)) and not text[:5].lower() == "file:"


def file_url_to_path(text: str, field: str) -> str:
    """Return the path of a `file://` URL of this machine; another text is returned unchanged.

    Args:
        text: a URL (RFC 8089) or a path.
        field: the caller's name of the input; errors name it.

    Raises:
        MediaError: the URL names another machine, or no file.
    """
    if text[:5].lower() != "file:" or not text[5:6] == "/":
        return text
    url = urlsplit(text.replace("#", "%23").replace("?", "%3F"))
    if url.netloc.lower() not in ("", "localhost"):
        mend = f"it names the machine {url.netloc}: copy the file to this one"
        raise MediaError(field, text, "file:// URLs of this machine (file:///folder/name)", mend)
    return unquote(url.path, errors="surrogateescape")


@contextmanager
def open_stream(
    source: object, field: str, kind: str, allowed: str, max_bytes: int
) -> Iterator[tuple[BinaryIO, str]]:
    """Open an encoded image or video as a file object.

    Args:
        source: path, encoded bytes, or `data:` URL.
        field: the caller's name of the input; errors name it.
        kind: what the file should be, for errors: "image" or "video".
        allowed: what is allowed, for errors.
        max_bytes: largest encoded size.

    Yields:
        The open file, and a short description of the source for errors.

    Raises:
        MediaError: it cannot be opened, is too large, or is nothing of these.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        description = f"<{len(source)} bytes>"
        check_byte_count(len(source), field, description, max_bytes)
        yield io.BytesIO(source), description
    elif is_data_url(source):
        data, description = decode_data_url(source, field, max_bytes)
        yield io.BytesIO(data), description
    elif isinstance(source, str | os.PathLike):
        path = resolve_path(source, field, allowed)
        with open_file(path, field, kind, max_bytes) as file:
            yield file, str(source)
    else:
        raise MediaError(field, source, allowed, "pass one of these")


def decode_data_url(url: str, field: str, max_bytes: int) -> tuple[bytes, str]:
    """Decode a `data:` URL (RFC 2397).

    Base64 may be wrapped into lines, percent-encoded, without padding, and in the alphabet for URLs.

    Args:
        url: the URL.
        field: the caller's name of this input; errors name it.
        max_bytes: largest decoded size.

    Returns:
        The bytes, and a short description of the URL for errors.

    Raises:
        MediaError: the URL is damaged or too large.
    """
    head, comma, body = url.partition(",")
    source = f"<{head[:40]}, {len(url)} characters>"
    allowed = "data:image/...;base64,... URLs"
    if not comma:
        raise MediaError(field, source, allowed, "encode the file's bytes with base64")
    # Even as three characters for each, so many cannot be within the limit; they are not worked on.
    check_byte_count(len(body) // 4, field, source, max_bytes)
    if not _BASE64_HEAD.search(head):
        data = unquote_to_bytes(body)
        check_byte_count(len(data), field, source, max_bytes)
        return data, source
    try:
        text = unquote_to_bytes(body) if "%" in body else body.encode("ascii")
        text = text.translate(_TO_STANDARD_ALPHABET, _WHITE_SPACE).rstrip(b"=")
        check_byte_count(len(text) * 3 // 4, field, source, max_bytes)
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True), source
    except (binascii.Error, UnicodeEncodeError) as error:
        reason = " ".join(str(error).split())[:100]
        mend = f"the base64 is damaged ({reason}): encode it again"
        raise MediaError(field, source, allowed, mend) from None
