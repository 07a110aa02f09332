"""What a challenge wants to be sent: `judge eval submit SUITE RUN --out FILE.zip`.

The archive is written from complete rows in the order of the set, read back, and checked name by name against
the set before it takes its place. An incomplete run is refused unless asked for.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from eval.suites import base
from eval.suites.base import Item, Row, Suite, answer_of
from judge.errors import InputError


@dataclass(frozen=True)
class Written:
    """What is in a submission."""

    path: Path
    files: dict[str, int]
    """Name within the archive -> bytes."""
    rows: int
    absent: int
    """Rows of the set that are not in it; 0 unless an incomplete one was asked for."""


def submit(
    suite: Suite,
    rows: Iterable[Row | Item],
    out: Path,
    *,
    incomplete: bool = False,
    options: Mapping[str, str] | None = None,
) -> Written:
    """Write the archive of a run.

    Args:
        suite: whose challenge.
        rows: every item of the split in the set's order, with its verdict where there is one.
        out: a .zip file; replaced when it is there.
        incomplete: write it although rows are not judged or unscored.
        options: fields of readme.txt, see `Submission.options`.

    Raises:
        InputError: the suite's challenge takes no files, rows are missing, an unknown option, or `out` cannot
            be written.
    """
    if suite.submission is None:
        raise InputError(
            "suite", suite.name, "a suite whose challenge takes files", "judge eval report shows it"
        )
    if out.suffix.lower() != ".zip" or out.is_dir():
        raise InputError("out", str(out), "a .zip file", "name it so")
    wanted = {name: value for name, value in (options or {}).items()}
    for name in wanted:
        if name not in suite.submission.options:
            known = ", ".join(suite.submission.options) or f"none: {suite.name} has no fields to fill"
            raise InputError("option", name, known, "leave it out")
    complete, absent, total = _sorted(suite, rows)
    if absent and not incomplete:
        raise InputError(
            "run",
            suite.name,
            f"a scored verdict for each of {total} rows; {len(absent)} are missing: {base.some(absent)}",
            "run it to its end, or ask for an incomplete submission",
        )
    if not complete:
        raise InputError("run", suite.name, "at least one verdict with a score", "run it first")
    made = suite.submission.files(complete, **{k.replace("-", "_"): v for k, v in wanted.items()})
    _write(out, made)
    return Written(out, {name: len(data) for name, data in made.items()}, len(complete), len(absent))


def _sorted(suite: Suite, rows: Iterable[Row | Item]) -> tuple[list[Row], list[str], int]:
    """Rows with a score, names of those without one, and how many there are in all."""
    complete, absent, seen = [], [], set()
    for row in rows:
        item = row.sample if isinstance(row, Row) else row
        if item.id in seen:
            raise InputError("run", item.id, "each name once", "the data names it twice")
        seen.add(item.id)
        if isinstance(row, Row) and answer_of(row, suite.predicts) is not None:
            complete.append(row)
        else:
            absent.append(item.id)
    return complete, absent, len(seen)


def _write(out: Path, made: Mapping[str, bytes]) -> None:
    """Whole or not at all, the same bytes for the same rows."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in made.items():
            archive.writestr(
                zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED
            )
    fresh = out.with_name(f".{out.name}.part")
    try:
        fresh.write_bytes(packed.getvalue())
        with zipfile.ZipFile(fresh) as archive:
            torn = archive.testzip()
        if torn is not None:
            raise InputError("out", str(out), "a disk that keeps what is written", f"{torn} came back torn")
        fresh.replace(out)
    except OSError as error:
        raise InputError(
            "out", str(out), "a file that can be written", error.strerror or str(error)
        ) from None
    finally:
        fresh.unlink(missing_ok=True)
