"""Units: stretches of neighbouring rows that are judged, and recorded, as one.

Which rows share a unit follows from the rows alone, so that a unit that was lost with its worker comes back
the same. A row is known by its place, piece and number, and proved by its id: what is recorded of a unit
holds a digest of its ids, and whoever goes on checks it before passing those rows over.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from judge.batch.sources import Row, Source
from judge.errors import InputError, JudgeError
from judge.pipeline.pipeline import name_of
from judge.pipeline.rows import BadRow
from judge.pipeline.validation import printable
from judge.types import Sample

BATCHES = 4
"""Batches of the model in a unit."""
HEAVY = 16 << 20
"""Bytes of pictures after which a unit ends with the batch."""


class WorkersLost(JudgeError):
    """Workers died, and units with them that nobody else judged. What is judged is kept."""


@dataclass(frozen=True)
class Place:
    """Where the rows of a unit stand."""

    piece: int
    first: int
    """Number of the first row in its piece, from 0."""
    count: int
    digest: str
    """Of their ids."""


@dataclass(frozen=True)
class Unit:
    """Rows to judge."""

    place: Place
    rows: list[Row]
    end: int | None = None
    """In the last unit of a piece, which has no rows: how many the piece has."""
    fault: tuple[str, ...] = ()
    """Why the piece could not be gone on with; see `fault_of`."""


@dataclass(frozen=True)
class Judged:
    """A unit's verdicts."""

    place: Place
    lines: list[str] = field(default_factory=list)
    """One `Verdict` as JSON for each row, in order."""
    unscored: int = 0
    end: int | None = None
    fault: tuple[str, ...] = ()


def units(source: Source, piece: int, done: Iterable[Place], batch: int) -> Iterator[Unit]:
    """The units of a piece that are not done, and one that says where it ends.

    Args:
        source, piece: what to read.
        done: places of that piece that are recorded, in any order.
        batch: rows that the model is given at once; a unit has some such batches of rows.

    Raises:
        InputError: the ids at a recorded place are not those that were judged.
    """
    known = sorted(done, key=lambda place: place.first)
    rows, good, weight, first, number = list[Row](), 0, 0, 0, -1
    skipping = list[str]()
    for number, row in enumerate(source.read(piece)):
        if known and known[0].first <= number:
            if rows:
                yield Unit(_place(piece, first, rows), rows)
                rows, good, weight = [], 0, 0
            skipping.append(id_of(row))
            if len(skipping) == known[0].count:
                _check(known.pop(0), skipping, source)
                skipping = []
            continue
        if not rows:
            first = number
        rows.append(row)
        if isinstance(row, Sample):
            good += 1
            weight += len(row.image) if isinstance(row.image, bytes) else 0
        # Bad rows ride along: a batch of the model is then the same as in a run without units.
        if good and good % batch == 0 and (good >= BATCHES * batch or weight >= HEAVY):
            yield Unit(_place(piece, first, rows), rows)
            rows, good, weight = [], 0, 0
        elif len(rows) - good >= BATCHES * batch:
            yield Unit(_place(piece, first, rows), rows)
            rows, good, weight = [], 0, 0
    if rows:
        yield Unit(_place(piece, first, rows), rows)
    if known:
        _check(known[0], skipping, source)
    yield Unit(Place(piece, number + 1, 0, ""), [], end=number + 1)


def id_of(row: Row) -> str:
    return printable(row.id if isinstance(row, BadRow) else name_of(row))


def digest_of(ids: Iterable[str]) -> str:
    return hashlib.blake2b("\0".join(ids).encode(), digest_size=8).hexdigest()


def _place(piece: int, first: int, rows: list[Row]) -> Place:
    return Place(piece, first, len(rows), digest_of(map(id_of, rows)))


def _check(place: Place, ids: list[str], source: Source) -> None:
    if digest_of(ids) != place.digest:
        where = f"{source.pieces[place.piece]}, rows {place.first + 1} to {place.first + place.count}"
        mend = "they were changed since: judge into another folder"
        raise InputError("rows", where, "the rows that were judged before", mend)


# -- Judging a unit ------------------------------------------------------------------------------------


def judged(judge: Any, unit: Unit, source: Source, depth: Any, batch: int, pixels: int | None) -> Judged:
    """The verdicts on a unit.

    Args:
        judge: a `Judge`.
        unit: its rows.
        source: where they are from.
        depth: as in `Judge`.
        batch: rows that the model is given at once, at most.
        pixels: pixels that the model is given at once, at most; None: no limit.

    Raises:
        BackendError: the model cannot be loaded.
    """
    if unit.fault or unit.end is not None:
        return Judged(unit.place, end=unit.end, fault=unit.fault)
    ready = [_fetched(row, source) for row in unit.rows]
    good = [row for row in ready if isinstance(row, Sample)]
    groups = [good] if pixels is None else by_pixels(judge, good, batch, pixels)
    verdicts = (verdict for group in groups for verdict in judge.many(group, depth=depth, batch=batch))
    lines, unscored = [], 0
    for row in ready:
        if isinstance(row, BadRow):
            verdict = judge.unscored(row.reason, id=row.id, depth=depth)
        else:
            verdict = next(verdicts)
        unscored += verdict.status == "unscored"
        lines.append(verdict.model_dump_json())
    return Judged(unit.place, lines, unscored)


def _fetched(row: Row, source: Source) -> Row:
    if isinstance(row, BadRow):
        return row
    try:
        return source.fetch(row)
    except InputError as error:
        return BadRow(row.id, str(error))


def by_pixels(judge: Any, samples: Iterable[Sample], batch: int, pixels: int) -> Iterator[list[Sample]]:
    """Neighbouring samples whose pictures, as the model sees them, have at most so many pixels together."""
    card, most = judge.pipeline.card, judge.max_pixels
    group, held = list[Sample](), 0
    for one in samples:
        seen = card.size**2 if card.size else min(most, _pixels_of(one.image))
        if group and (len(group) == batch or held + seen > pixels):
            yield group
            group, held = [], 0
        group.append(one)
        held += seen
    if group:
        yield group


def _pixels_of(image: Any) -> int:
    """Width times height, read from the picture's head; of one that cannot be read, 0: it is not shown."""
    import io
    import warnings

    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image) as head:
                return int(head.width * head.height)
    except Exception:  # whatever is wrong with it is told when it is loaded
        return 0


# -- What went wrong elsewhere -------------------------------------------------------------------------


def fault_of(error: Exception) -> tuple[str, ...]:
    """An error as plain text, to be raised again in another process by `raised`."""
    if isinstance(error, InputError):
        return error.field, str(error.value), error.allowed, error.mend
    text = " ".join(str(error).split())[:300]
    return (text if isinstance(error, JudgeError) else f"{type(error).__name__}: {text}",)


def raised(fault: tuple[str, ...]) -> JudgeError:
    return InputError(*fault) if len(fault) == 4 else JudgeError(*fault)


# -- Which rows are done -------------------------------------------------------------------------------


class Coverage:
    """Rows of each piece that have a verdict, as stretches; and where each piece ends."""

    def __init__(self) -> None:
        self._stretches: dict[int, list[tuple[int, int]]] = {}
        self.ends: dict[int, int] = {}

    def add(self, place: Place) -> bool:
        """Take a unit in; False where some of its rows were in already."""
        if not place.count:
            return True
        stretches = self._stretches.setdefault(place.piece, [])
        start, stop = place.first, place.first + place.count
        at = bisect_right(stretches, (start, stop))
        if at and stretches[at - 1][1] > start or at < len(stretches) and stretches[at][0] < stop:
            return False
        if at < len(stretches) and stretches[at][0] == stop:
            stop = stretches.pop(at)[1]
        if at and stretches[at - 1][1] == start:
            start = stretches.pop(at - 1)[0]
        insort(stretches, (start, stop))
        return True

    def missing(self, pieces: int) -> list[str]:
        """What lacks, in words: rows of a piece without a verdict, pieces whose end was never reached."""
        lacking = []
        for piece in range(pieces):
            if piece not in self.ends:
                lacking.append(f"the end of piece {piece + 1}")
                continue
            at = 0
            for start, stop in [*self._stretches.get(piece, []), (self.ends[piece],) * 2]:
                if start > at:
                    lacking.append(f"rows {at + 1} to {start} of piece {piece + 1}")
                at = max(at, stop)
        return lacking
