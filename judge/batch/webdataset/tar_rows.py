"""The rows of a tar file.

Its names are read first, then the content of one row after the other. So the members of a row may stand
anywhere in the file, and one row is all that is in memory. Compressed and remote files are copied into a
temporary file for that.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import tarfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import PurePath
from tempfile import TemporaryFile
from typing import Any, BinaryIO

from judge.batch.sources import Row, parse_row_with_media
from judge.batch.webdataset.member_names import RowNames, group_members, split_member_name
from judge.errors import InputError
from judge.media.decoding import MAX_VIDEO_BYTES
from judge.media.file_names import is_hidden, media_kind
from judge.media.image import MAX_IMAGE_BYTES
from judge.pipeline.rows import ROW_KEYS, BadRow
from judge.tables.text import decode_text

TAR_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
DAMAGE_ERRORS = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError)
"""What is raised for damaged tar and compressed files."""
_OPENERS: tuple[tuple[bytes, Any], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\0", lzma.open),
)
"""First bytes of compressed files, and what opens them."""
_COPY_BYTES = 1 << 18
TWICE = "members that are there twice (the last one is used, as in unpacking)"


def read_tar_rows(file: BinaryIO, path: PurePath, unused: Counter[str], *, is_local: bool) -> Iterator[Row]:
    """Yield the rows of a tar file.

    Args:
        file: the open file.
        path: of the file, for errors.
        unused: counts what is not used of it.
        is_local: False copies the file into a temporary one first.

    Raises:
        tarfile.TarError: the file is damaged or truncated; also an error of decompression. It is raised
            after the rows before the damage.
    """
    with open_tar(file, unused, is_local=is_local) as tar:
        for number, names in enumerate(tar.rows, 1):
            yield tar.read_row(names, number, path, unused)
        if tar.error is not None:
            raise tar.error


@contextmanager
def open_tar(file: BinaryIO, unused: Counter[str], *, is_local: bool) -> Iterator[TarShard]:
    """Open a tar file and read its names. The arguments are those of `read_tar_rows`."""
    head = file.read(6)
    file.seek(0)
    opener = next((opener for magic, opener in _OPENERS if head.startswith(magic)), None)
    if opener is None and is_local:
        yield TarShard(file, unused)
        return
    error: Exception | None = None
    with TemporaryFile(prefix="judge-") as copy:
        try:
            opened: Any = opener(file) if opener else nullcontext(file)
            with opened as content:
                # Of a truncated file, `read1` returns what was unpacked before the error.
                read = content.read1 if opener else content.read
                while block := read(_COPY_BYTES):
                    copy.write(block)
        except DAMAGE_ERRORS as damage:
            error = damage
        copy.seek(0)
        yield TarShard(copy, unused, error)


class TarShard:
    """An open tar file, and the rows that its members form.

    Args:
        file: the file; it can be seeked, and is not compressed.
        unused: counts what is not used.
        error: why the end of the file is missing.
    """

    def __init__(self, file: BinaryIO, unused: Counter[str], error: Exception | None = None) -> None:
        self.error = error
        """Why the file cannot be read to its end."""
        self._members = dict[str, tarfile.TarInfo]()
        last = ""
        try:
            self._tar = tarfile.open(fileobj=file, mode="r:", tarinfo=_Member)
            for member in self._tar:
                last = member.name.removeprefix("./")
                self._add(last, member, unused)
        except DAMAGE_ERRORS as damage:
            self.error = self.error or damage
        if self.error is not None:  # of the last key, members may be missing
            last_key = split_member_name(last)[0]
            self._members = {n: m for n, m in self._members.items() if split_member_name(n)[0] != last_key}
        self.rows: list[RowNames] = group_members(self._members, unused)

    def _add(self, name: str, member: tarfile.TarInfo, unused: Counter[str]) -> None:
        base = name.rpartition("/")[2]
        if member.isdir():
            return
        if is_hidden(name) or (base.startswith("__") and base.endswith("__")):
            unused["hidden files"] += 1
        elif not member.isfile():
            unused["links and other members without content"] += 1
        else:
            if name in self._members:
                unused[TWICE] += 1
            self._members[name] = member

    def read_row(self, names: RowNames, number: int, path: PurePath, unused: Counter[str]) -> Row:
        """Read the members of a row.

        Args:
            names: the row.
            number: of the row within its file, from 1.
            path: of the tar file.
            unused: counts values that are not used.
        """
        if not names.media:
            mend = "there is no image or video of this name"
            return BadRow(names.id, f"image: {names.id} is not usable; allowed: one image or video; {mend}")
        try:
            row = self._read_fields(names, unused)
            if names.reference:
                row["reference"] = self._read(names.reference, MAX_IMAGE_BYTES)
        except InputError as error:
            return BadRow(names.id, str(error))
        row.pop("image", None)
        row.pop("video", None)
        is_video = media_kind(names.media) == "video"
        limit = MAX_VIDEO_BYTES if is_video else MAX_IMAGE_BYTES
        row["video" if is_video else "image"] = self._read(names.media, limit)
        return parse_row_with_media(row, number, path)

    def _read_fields(self, names: RowNames, unused: Counter[str]) -> dict[str, Any]:
        """Return the fields of a row in its texts.

        Raises:
            InputError: one cannot be read.
        """
        row: dict[str, Any] = {}
        if json_name := names.texts.get("json"):
            allowed = "an object of JSON"
            try:
                fields = json.loads(self._read(json_name, MAX_IMAGE_BYTES))
            except (ValueError, RecursionError) as error:
                reason = " ".join(str(error).split())[:100]
                raise InputError("row", json_name, allowed, f"it is not JSON ({reason})") from None
            if not isinstance(fields, dict):
                raise InputError("row", json_name, allowed, "write one")
            row = {name: value for name, value in fields.items() if name in ROW_KEYS}
            unused.update(f"values of {name}" for name in fields.keys() - row.keys())
        if row.get("id") in (None, ""):
            row["id"] = names.id
        elif names.id_suffix:
            row["id"] = f"{row['id']}{names.id_suffix}"
        for field, name in names.texts.items():
            if field != "json":
                unused[f"values of {field} in .json, as there is a .txt"] += bool(row.get(field))
                row[field] = decode_text(self._read(name, MAX_IMAGE_BYTES), name, field).strip()
        return row

    def _read(self, name: str, limit: int) -> bytes:
        """Return the content of a member, up to one byte more than a limit, so that it can be refused."""
        content = self._tar.extractfile(self._members[name])
        assert content is not None
        return content.read(limit + 1)


class _Member(tarfile.TarInfo):
    """Header of a member. Unlike tarfile's own, it reports an archive that was truncated between members."""

    @classmethod
    def fromtarfile(cls, tarfile_: Any) -> Any:
        try:
            return super().fromtarfile(tarfile_)
        except (tarfile.EmptyHeaderError, tarfile.TruncatedHeaderError):  # type: ignore[attr-defined]
            raise tarfile.ReadError("it is truncated: its end mark is missing") from None
