"""Ranks pictures, or sets of pictures such as those of several generators, by an active tournament.

    from judge.compare.ranking import entrants, rank

    print(rank(Judge(), entrants(Path("outputs"), prompt="a red circle")).places[0].name)

A judge that looks at one picture at a time is asked about each picture once, in however many matches it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import Field

from judge.compare.tournament import Match, Tournament
from judge.errors import InputError
from judge.pipeline import rows
from judge.types import Depth, How, Model, Probability, Sample

if TYPE_CHECKING:
    from judge.compare.panel import Panel
    from judge.judge import Judge

PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
TABLES = ("rows.jsonl", "rows.csv", "labels.csv", "metadata.jsonl")
SHARE = 5
"""A ranking that is given no budget plays at most one in five of all matches ..."""
LEAST = 3
"""... but so many for each competitor."""
ALONE = ""
"""Key of the one picture of a competitor that is a picture."""


@dataclass(frozen=True)
class Entrant:
    """A competitor: one picture, or the pictures of one generator by what they show."""

    name: str
    samples: Mapping[str, Sample]
    """What the picture shows (its name, or the row's id) -> the picture. Sets meet over equal keys."""


class Place(Model):
    """One competitor in the order."""

    name: str
    place: int
    strength: float
    """Natural logarithm of the odds against an average competitor (Bradley-Terry)."""
    low: float
    high: float
    """95 % interval of the strength."""
    ahead: Probability | None
    """Probability that it is better than the next one; None for the last."""
    wins: Annotated[float, Field(ge=0)]
    """Matches won, ties counted half."""
    matches: int


class Ranking(Model):
    """Competitors, the best first."""

    places: list[Place]
    settled: bool
    """Whether each neighbour's order is as certain as was asked, or all their matches were played."""
    matches: int
    """Matches that were played."""
    of: int
    """Matches that there are."""
    looks: int
    """Verdicts on single pictures that were asked for."""
    undecided: int
    """Matches without a result, since one of the pictures could not be judged."""
    reasons: list[str] = []
    """Why, each reason once, at most five."""


def entrants(data: Path, prompt: str = "") -> list[Entrant]:
    """Read what is to be ranked.

    Args:
        data: a folder of pictures, each a competitor; a folder of folders, each a competitor whose pictures
            meet those of the same name in the others; or a file of rows (JSONL, CSV), each a competitor. A
            folder may hold its rows (`rows.jsonl` or .csv, `labels.csv`, `metadata.jsonl`); `NAME.txt` is a
            picture's own prompt.
        prompt: of every picture that has none of its own.

    Raises:
        InputError: nothing to rank, a row that is no sample, or sets that have no picture in common.
    """
    if not data.exists():
        raise InputError("data", str(data), "a folder, or a file of rows", "check the path")
    inner = [] if data.is_file() or _table(data) else sorted(path for path in data.iterdir() if path.is_dir())
    if sets := [Entrant(path.name, found) for path in inner if (found := _samples(path, prompt))]:
        found_in = [key for one in sets for key in one.samples]
        if len(sets) > 1 and len(set(found_in)) == len(found_in):
            mend = "give pictures of one prompt the same name in every folder"
            raise InputError("data", str(data), "sets that share names of pictures", mend)
        return _enough(sets, data)
    alone = _samples(data, prompt)
    return _enough([Entrant(name, {ALONE: sample}) for name, sample in alone.items()], data)


def rank(
    judge: Judge | Panel,
    competitors: Sequence[Entrant],
    *,
    how: How = "auto",
    depth: Depth = "score",
    budget: int | None = None,
    confidence: float = 0.95,
    batch: int = 8,
    seed: int = 0,
    advance: Callable[[int, int], None] | None = None,
) -> Ranking:
    """Order competitors, playing the most telling matches first, until the order is settled.

    Args:
        judge: whoever compares.
        competitors: at least two, of `entrants` or your own.
        how, depth: as in `Judge.compare`.
        budget: matches at most; default: a fifth of all, at least three a competitor.
        confidence: how probable the order of two neighbours must be, above 0.5 and below 1.
        batch: matches chosen and played together; fewer use fewer, more run faster.
        seed: of the order in which pictures are taken.
        advance: told (matches played, budget) after each batch.

    Raises:
        InputError: an argument is unusable. `BackendError`: the model cannot be run.
    """
    _check(competitors, budget, confidence, batch)
    tournament = Tournament([list(one.samples) for one in competitors], confidence, seed)
    limit = budget or max(tournament.pairs // SHARE, LEAST * len(competitors))
    players: _Table = _Pairwise(judge, competitors, depth)
    if judge.way(how) == "pointwise":
        players = _Pointwise(judge, competitors, depth)
    tried = 0
    while tried < limit and not (tried and tournament.settled):
        matches = tournament.next(min(batch, limit - tried))
        if not matches:
            break
        for match, outcome in zip(matches, players.play(matches), strict=True):
            tournament.tell(match, outcome)
        tried += len(matches)
        if advance:
            advance(tried, limit)
    places = []
    for place, one in enumerate(tournament.standings(), 1):
        won, lost = tournament.wins[one.number], tournament.wins[:, one.number]
        places.append(
            Place(
                name=competitors[one.number].name,
                place=place,
                strength=one.strength,
                low=one.low,
                high=one.high,
                ahead=one.ahead,
                wins=float(won.sum()),
                matches=round(float(won.sum() + lost.sum())),
            )
        )
    return Ranking(
        places=places,
        settled=tournament.settled,
        matches=tournament.played,
        of=tournament.pairs,
        looks=players.looks,
        undecided=tried - tournament.played,
        reasons=list(players.reasons)[:5],
    )


class _Table(Protocol):
    """Where matches are played."""

    reasons: dict[str, None]

    @property
    def looks(self) -> int: ...

    def play(self, matches: Sequence[Match]) -> list[float | None]: ...


class _Pointwise:
    """Each picture is judged once; the higher score wins."""

    def __init__(self, judge: Judge | Panel, competitors: Sequence[Entrant], depth: Depth) -> None:
        self.judge, self.competitors, self.depth = judge, competitors, depth
        self.scores: dict[tuple[int, str], float | None] = {}
        self.reasons: dict[str, None] = {}

    @property
    def looks(self) -> int:
        return len(self.scores)

    def play(self, matches: Sequence[Match]) -> list[float | None]:
        sides = [(number, match.key) for match in matches for number in (match.a, match.b)]
        new = [side for side in dict.fromkeys(sides) if side not in self.scores]
        samples = [self.competitors[number].samples[key] for number, key in new]
        for side, verdict in zip(new, self.judge.many(samples, depth=self.depth), strict=True):
            self.scores[side] = verdict.score
            if verdict.score is None:
                self.reasons[f"{self.competitors[side[0]].name}: {verdict.reason}"] = None
        return [self._outcome(self.scores[m.a, m.key], self.scores[m.b, m.key]) for m in matches]

    def _outcome(self, a: float | None, b: float | None) -> float | None:
        if a is None or b is None:
            return None
        return 0.5 if abs(a - b) < 1e-6 else float(a > b)


class _Pairwise:
    """The two pictures of a match are shown together, in both orders."""

    def __init__(self, judge: Judge | Panel, competitors: Sequence[Entrant], depth: Depth) -> None:
        self.judge, self.competitors, self.depth = judge, competitors, depth
        self.looks = 0
        self.reasons: dict[str, None] = {}

    def play(self, matches: Sequence[Match]) -> list[float | None]:
        return [self._play(match) for match in matches]

    def _play(self, match: Match) -> float | None:
        names = [self.competitors[number].name for number in (match.a, match.b)]
        a, b = (self.competitors[number].samples[match.key] for number in (match.a, match.b))
        self.looks += 2
        try:
            found = self.judge.compare(
                a.image,
                b.image,
                prompt=a.prompt,
                elements=a.elements,
                reference=a.reference,
                depth=self.depth,
                how="pairwise",
            )
        except InputError as error:
            self.reasons[f"{names[0]} and {names[1]}: {error}"] = None
            return None
        if found.preferred is None:
            self.reasons[f"{names[0]} and {names[1]}: {found.reason}"] = None
        return {"a": 1.0, "b": 0.0, "tie": 0.5, None: None}[found.preferred]


def _check(competitors: Sequence[Entrant], budget: int | None, confidence: float, batch: int) -> None:
    if len(competitors) < 2:
        raise InputError("competitors", len(competitors), "2 or more", "give more to rank")
    if budget is not None and budget < 1:
        raise InputError("budget", budget, "1 or more matches", "leave it out for a fifth of all")
    if not 0.5 < confidence < 1:
        raise InputError("confidence", confidence, "above 0.5 and below 1", "0.95 is the usual one")
    if batch < 1:
        raise InputError("batch", batch, "1 or more", "8 is the usual one")


def _enough(found: list[Entrant], data: Path) -> list[Entrant]:
    if len(found) < 2:
        allowed = "at least two pictures, or two folders of pictures"
        raise InputError("data", str(data), allowed, f"there is {len(found)}: name another folder")
    return found


def _table(folder: Path) -> Path | None:
    return next((folder / name for name in TABLES if (folder / name).is_file()), None)


def _samples(data: Path, prompt: str) -> dict[str, Sample]:
    """Samples of one folder or one file of rows, by the row's id or the picture's name."""
    table = data if data.is_file() else _table(data)
    if table is not None:
        return _of_rows(table, prompt)
    found = {}
    for path in sorted(data.iterdir()):
        if path.suffix.lower() in PICTURES:
            beside = path.with_suffix(".txt")
            own = beside.read_text("utf-8", "replace").strip() if beside.is_file() else ""
            found[path.stem] = Sample(id=path.stem, image=path, prompt=own or prompt)
    return found


def _of_rows(table: Path, prompt: str) -> dict[str, Sample]:
    found: dict[str, Sample] = {}
    for number, row in enumerate(rows.read(table), 1):
        if isinstance(row, rows.BadRow):
            raise InputError("data", f"{table.name}, row {number}", "rows that are samples", row.reason)
        name = row.id or str(row.image)
        if name in found:
            raise InputError("data", name, "ids that differ", f"{table.name} has it twice")
        found[name] = row if row.prompt else row.model_copy(update={"prompt": prompt})
    return found
