"""Submissions to challenges: `judge eval submit SUITE RUN --out FILE.zip`.

The archive is written from complete rows in the order of the set, read back, and checked name by name against
the set before it gets its name. An incomplete run is refused unless the caller allows it.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from eval.suites.shared.name_matching import shorten_list
from eval.suites.shared.samples import JudgedSample, SuiteSample, get_predicted_score
from eval.suites.shared.suite import Suite
from judge.errors import InputError


@dataclass(frozen=True)
class Archive:
    """A written submission."""

    path: Path
    files: dict[str, int]
    """Size in bytes by name within the archive."""
    rows: int
    missing: int
    """Number of rows of the set that are not in the archive; 0 unless it may be incomplete."""


def write_submission(
    suite: Suite,
    rows: Iterable[JudgedSample | SuiteSample],
    out: Path,
    *,
    incomplete: bool = False,
    options: Mapping[str, str] | None = None,
) -> Archive:
    """Write the archive of a run.

    Args:
        suite: the suite of the challenge.
        rows: every sample of the split in the order of the set, with its verdict if it has one.
        out: a .zip file; replaced if it exists.
        incomplete: write the archive although rows are not judged or unscored.
        options: fields of readme.txt, see `Submission.options`.

    Raises:
        InputError: the challenge takes no files, rows are missing, an option is unknown, or `out` cannot be
            written.
    """
    if suite.submission is None:
        mend = "use judge eval report"
        raise InputError("suite", suite.name, "a suite whose challenge takes files", mend)
    if out.suffix.lower() != ".zip" or out.is_dir():
        raise InputError("out", str(out), "a .zip file", "name a file with this ending")
    for name in options or {}:
        if name not in suite.submission.options:
            allowed = ", ".join(suite.submission.options) or f"none: {suite.name} has no fields to fill"
            raise InputError("option", name, allowed, "leave it out")
    complete, missing, total = _split_rows(suite, rows)
    if missing and not incomplete:
        names = shorten_list(missing)
        raise InputError(
            "run",
            suite.name,
            f"a scored verdict for each of {total} rows; {len(missing)} are missing: {names}",
            "finish the run, or allow an incomplete submission",
        )
    if not complete:
        raise InputError("run", suite.name, "at least one verdict with a score", "run the suite first")
    fields = {name.replace("-", "_"): value for name, value in (options or {}).items()}
    files = suite.submission.build_files(complete, **fields)
    _write_zip(out, files)
    return Archive(out, {name: len(data) for name, data in files.items()}, len(complete), len(missing))


def _split_rows(
    suite: Suite, rows: Iterable[JudgedSample | SuiteSample]
) -> tuple[list[JudgedSample], list[str], int]:
    """Return the rows with a score, the ids of the rows without one, and the number of rows."""
    complete, missing, ids = [], [], set()
    for row in rows:
        sample = row.sample if isinstance(row, JudgedSample) else row
        if sample.id in ids:
            raise InputError("run", sample.id, "each name once", "the data names it twice")
        ids.add(sample.id)
        if isinstance(row, JudgedSample) and get_predicted_score(row, suite.dimension) is not None:
            complete.append(row)
        else:
            missing.append(sample.id)
    return complete, missing, len(ids)


def _write_zip(out: Path, files: Mapping[str, bytes]) -> None:
    """Write the archive in one step; the same files give the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(
                zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED
            )
    temporary = out.with_name(f".{out.name}.part")
    try:
        temporary.write_bytes(buffer.getvalue())
        with zipfile.ZipFile(temporary) as archive:
            damaged = archive.testzip()
        if damaged is not None:
            reason = f"{damaged} was read back damaged"
            raise InputError("out", str(out), "a disk that keeps what is written", reason)
        temporary.replace(out)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("out", str(out), "a file that can be written", reason) from None
    finally:
        temporary.unlink(missing_ok=True)
