"""Lines of a text file of any usual encoding, or one error that names the encoding and the line.

A byte-order mark selects UTF-8, UTF-16 or UTF-32. Without one, text whose every second byte is zero is
UTF-16, and everything else has to be UTF-8: other encodings cannot be told apart with certainty, and a wrong
guess would change prompts silently.
"""

from __future__ import annotations

import codecs
import io
from collections.abc import Callable, Iterator
from typing import BinaryIO

from judge.errors import InputError

OpenFile = Callable[[], BinaryIO]
"""Opens a file for reading bytes, from the start; it may be called several times."""
_BYTE_ORDER_MARKS = (
    # UTF-32 first: its mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
_OTHER_FILES = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook: save the sheet as CSV in UTF-8"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save the sheet as CSV in UTF-8"),
    (b"\x1f\x8b", "compressed with gzip: unpack it"),
    (b"PAR1", "a parquet file: give it the suffix .parquet"),
)
_HEAD_BYTES = 4096
ALLOWED_ENCODINGS = "text in UTF-8, or in UTF-16 with a byte-order mark"


def read_lines(open_file: OpenFile, name: str, field: str = "rows", newline: str = "") -> Iterator[str]:
    r"""Yield the lines of a text file with their line ends.

    Args:
        open_file: opens the file.
        name: of the file, for errors.
        field: what the caller calls this input; errors begin with it.
        newline: as in `open`: "" ends lines at \n, \r\n and \r, and keeps these as they are; "\n" ends them
            only there.

    Raises:
        InputError: the file is not text of a known encoding.
    """
    with open_file() as file:
        head = file.read(_HEAD_BYTES)
    encoding = detect_encoding(head, name, field)
    with io.TextIOWrapper(open_file(), encoding=encoding, newline=newline) as lines:
        try:
            yield from lines
        except UnicodeError:
            place, reason = _find_bad_byte(open_file, encoding)
            raise InputError(field, f"{name}, {place}", ALLOWED_ENCODINGS, reason) from None


def decode_text(data: bytes, name: str, field: str = "rows") -> str:
    """Return a text of any usual encoding; the arguments and errors are those of `read_lines`."""
    return "".join(read_lines(lambda: io.BytesIO(data), name, field))


def detect_encoding(head: bytes, name: str = "", field: str = "rows") -> str:
    """Return the encoding of a text, as Python names it.

    Args:
        head: first bytes of the text, some thousand if it has as many.
        name: of the file, for errors.
        field: what the caller calls this input.

    Raises:
        InputError: the bytes are those of a workbook or an archive.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark) and len(head) > len(mark):
            return encoding
    for magic, reason in _OTHER_FILES:
        if head.startswith(magic):
            raise InputError(field, name, "a text file", f"it is {reason}")
    even, odd = head[::2].count(0), head[1::2].count(0)
    if odd > 0.4 * len(head[1::2]) and not even:
        return "utf-16-le"
    if even > 0.4 * len(head[::2]) and not odd:
        return "utf-16-be"
    return "utf-8"


def describe_bad_byte(line: bytes, error: UnicodeDecodeError) -> str:
    """Say which byte of a line is not UTF-8, and how Windows-1252 (cp1252) would read it.

    Args:
        line: the line.
        error: what decoding it as UTF-8 raised.
    """
    start = error.start
    begin = max((line.rfind(mark, 0, start) for mark in b' ,;\t|"'), default=-1) + 1
    try:
        word = line[max(begin, start - 20) : start + 8].decode("cp1252").split()[0].strip("\"',;|{}[]")
        guess = f" (as cp1252 it would be {word!r})"
    except (UnicodeDecodeError, IndexError):
        guess = ""
    return f"byte 0x{line[start]:02X} is not UTF-8{guess}: save the file as UTF-8"


def _find_bad_byte(open_file: OpenFile, encoding: str) -> tuple[str, str]:
    """Return the line that is not text in the encoding, and the reason."""
    number = 1
    if not encoding.startswith("utf-8"):
        with open_file() as file:
            valid = codecs.getincrementaldecoder(encoding)("ignore").decode(file.read())
        number = 1 + valid.count("\n")
        return f"line {number} or before", f"it begins as {encoding.upper()} and is damaged: save it as UTF-8"
    with open_file() as file:
        for line in file:
            try:
                line.decode()
            except UnicodeDecodeError as error:
                return f"line {number + line[: error.start].count(13)}", describe_bad_byte(line, error)
            number += 1 + line.count(13) - line.endswith(b"\r\n")
    return f"line {number}", "it is not UTF-8: save the file as UTF-8"
