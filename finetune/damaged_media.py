"""Images and videos that cannot be read: found before a training, skipped, and counted.

Each file is decoded as the judge decodes it, so that a file that is cut off, empty, missing, or no image at
all is found before the first step. Rows with such a file are left out as long as they are few: a source of
which more than a stated share cannot be read is refused, since its labels no longer describe what is trained.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from eval.suites.shared.samples import SuiteSample
from judge.errors import InputError, MediaError
from judge.media.image import load_image
from judge.media.sources import is_data_url
from judge.media.video import load_video
from judge.runtime.thread_map import thread_map

MISSING = "there is no such file"
MAX_LISTED = 20
"""Rows that are listed one by one."""
REPORT_SECONDS = 30.0
"""Seconds between two lines of progress."""
_CHECK_PIXELS = 64 * 64
"""Pixels of the frames of a video that is only checked."""
_MAX_PENDING = 64

Report = Callable[[str], None]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Damage:
    """A row whose image or video cannot be read."""

    row: str
    """Id of the row."""
    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.row}: {self.file}: {self.reason}"


def find_damage(sample: SuiteSample) -> Damage | None:
    """Decode the image or video of a sample, and its reference; return what cannot be read of it."""
    for source, is_video in (
        (sample.image, False),
        (sample.video, True),
        (sample.reference, False),
    ):
        reason = "" if source is None else _describe_damage(source, is_video=is_video)
        if reason:
            is_name = isinstance(source, str | os.PathLike) and not is_data_url(source)
            return Damage(sample.id, str(source) if is_name else "encoded in the row", reason)
    return None


def find_damaged_image(path: Path) -> Damage | None:
    """Decode an image file; return why it cannot be read."""
    reason = _describe_damage(path, is_video=False)
    return Damage(path.name, str(path), reason) if reason else None


def _describe_damage(source: Any, *, is_video: bool) -> str:
    """Return why an image or video cannot be read; empty if it can."""
    if not isinstance(source, str | os.PathLike) or is_data_url(source):
        return _decode(source, is_video=is_video)
    try:
        status = Path(source).stat()
    except OSError:
        return MISSING
    # A source may be read several times: to be trained on, and to be held out of the training.
    return _decode_file(str(source), is_video, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1 << 18)
def _decode_file(path: str, is_video: bool, size: int, changed: int) -> str:
    """Return why a file of this size and time of change cannot be read; empty if it can."""
    return "it is empty" if size == 0 else _decode(path, is_video=is_video)


def _decode(source: Any, *, is_video: bool) -> str:
    try:
        if is_video:
            load_video(source, max_pixels=_CHECK_PIXELS)
        else:
            load_image(source)
    except MediaError as error:
        return error.mend
    return ""


def skip_damaged(
    samples: Sequence[SuiteSample], name: str, max_share: float, report: Report
) -> list[SuiteSample]:
    """Return the samples whose images and videos can be read.

    Args:
        samples: of one source.
        name: what errors call the source.
        max_share: largest share of samples that may be left out.
        report: called with a line about each sample that is left out, and with their number.

    Raises:
        InputError: more than that share cannot be read, or nothing is left.
    """
    damages = _find_all(find_damage, samples, name, report)
    _check_share(damages, name, max_share, report)
    return [sample for sample, damage in zip(samples, damages, strict=True) if damage is None]


def skip_damaged_images(
    paths: Iterable[Path],
    name: str,
    max_share: float,
    report: Report,
    check: Callable[[Path], Damage | None] = find_damaged_image,
) -> list[Path]:
    """Return the image files that can be read.

    Args:
        paths: the files.
        name: what errors call them.
        max_share: as in `skip_damaged`.
        report: as in `skip_damaged`.
        check: finds damage in a file.

    Raises:
        InputError: as `skip_damaged`.
    """
    paths = list(paths)
    damages = _find_all(check, paths, name, report)
    _check_share(damages, name, max_share, report)
    return [path for path, damage in zip(paths, damages, strict=True) if damage is None]


def _find_all(
    find: Callable[[Item], Damage | None], items: Sequence[Item], name: str, report: Report
) -> list[Damage | None]:
    """Return what is damaged of each item, and report the progress of a long search."""
    damages = list[Damage | None]()
    last_report = time.monotonic()
    for damage in thread_map(find, items, _MAX_PENDING):
        damages.append(damage)
        if time.monotonic() - last_report > REPORT_SECONDS:
            last_report = time.monotonic()
            report(f"{name}: {len(damages)} of {len(items)} rows checked")
    return damages


def _check_share(damages: Sequence[Damage | None], name: str, max_share: float, report: Report) -> None:
    """Report what cannot be read. Raises `InputError` if it is too much."""
    found = [damage for damage in damages if damage is not None]
    if not found:
        return
    for damage in found[:MAX_LISTED]:
        report(f"{name}: cannot be read: {damage}")
    if len(found) > MAX_LISTED:
        report(f"{name}: cannot be read: {len(found) - MAX_LISTED} more")
    share = len(found) / len(damages)
    count = f"{len(found)} of {len(damages)} rows ({100 * share:.1f} %)"
    if share > max_share or len(found) == len(damages):
        allowed = (
            f"at most {100 * max_share:g} % of rows whose image or video cannot be read, and one that can"
        )
        mend = f"the first is {found[0]}; mend the files, remove the rows, or raise max_damaged_share"
        raise InputError(f"{name}.max_damaged_share", count, allowed, mend)
    report(f"{name}: {count} are skipped, as their images or videos cannot be read")
