"""Rows of a WebDataset shard: a tar file in which neighbouring members of the same key form a row.

The key of a member is its name up to the first dot of the last path component. A row is an image, a `.json`
file with the row's other fields, and a `.txt` file with the prompt.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, BinaryIO

from judge.batch.sources import Row, parse_row_with_image
from judge.media.image import MAX_IMAGE_BYTES
from judge.media.image_formats import IMAGE_SUFFIXES
from judge.pipeline.rows import ROW_KEYS, BadRow

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz")


def read_tar_rows(file: BinaryIO, path: PurePath) -> Iterator[Row]:
    """Yield the rows of a tar file.

    Args:
        file: the open file; it is read as a stream.
        path: of the file, for errors.

    Raises:
        tarfile.TarError: the file is damaged or truncated.
    """
    key, members, number = "", dict[str, bytes](), 0
    with tarfile.open(fileobj=file, mode="r|*", tarinfo=_Member) as tar:
        for member in tar:
            if not member.isfile():
                continue
            if members and _key_of(member.name) != key:
                number += 1
                yield _parse_members(key, members, number, path)
                members = {}
            key = _key_of(member.name)
            content = tar.extractfile(member)
            assert content is not None
            members[member.name[len(key) :].lower()] = content.read(MAX_IMAGE_BYTES + 1)
    if members:
        yield _parse_members(key, members, number + 1, path)


def read_tar_keys(path: str) -> Iterator[str]:
    """Yield the keys of a local tar file, one per row, without reading the content.

    Args:
        path: of the file.
    """
    key = ""
    with tarfile.open(path) as tar:
        for member in tar:
            if member.isfile() and _key_of(member.name) != key:
                key = _key_of(member.name)
                yield key


class _Member(tarfile.TarInfo):
    """Header of a member. Unlike tarfile's own, it reports an archive that was truncated between members."""

    @classmethod
    def fromtarfile(cls, tarfile_: Any) -> Any:
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError):  # type: ignore[attr-defined]
            raise tarfile.ReadError("it is truncated: its end mark is missing") from None


def _key_of(name: str) -> str:
    """Return a member's name up to the first dot of its last path component."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.split(".", 1)[0]


def _parse_members(key: str, members: dict[str, bytes], number: int, path: PurePath) -> Row:
    """Make a row of the members of one key.

    Args:
        key: used as id if the row has none.
        members: content by suffix, for example ".png".
        number: of the row within its file, from 1.
        path: of the tar file.
    """
    fields: Any = {}
    if ".json" in members:
        try:
            fields = json.loads(members[".json"])
        except (ValueError, RecursionError) as error:
            return BadRow(key, f"row: {key}.json is not JSON ({' '.join(str(error).split())[:100]})")
    if not isinstance(fields, dict):
        return BadRow(key, f"row: {key}.json is not an object")
    row = {name: value for name, value in fields.items() if name in ROW_KEYS}
    row.setdefault("id", key)
    if ".txt" in members:
        row["prompt"] = members[".txt"].decode("utf-8", "replace").strip()
    row["image"] = next((data for name, data in members.items() if name.endswith(IMAGE_SUFFIXES)), None)
    return parse_row_with_image(row, number, path)
