"""Rank images, or sets of images such as those of several generators, by an active tournament.

    from judge.compare.competitors import load_competitors
    from judge.compare.ranking import rank

    print(rank(Judge(), load_competitors(Path("outputs"), prompt="a red circle")).places[0].name)

A judge that compares pointwise is asked about each image once, however many matches the image is in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Protocol

from pydantic import Field

from judge.compare.competitors import Competitor
from judge.compare.tournament import Match, Tournament
from judge.errors import InputError
from judge.types import ComparisonOption, Depth, Probability, StrictModel

if TYPE_CHECKING:
    from judge.compare.panel import Panel
    from judge.judge import Judge

BUDGET_DIVISOR = 5
"""Without a budget, at most one in five of all matches is played ..."""
MIN_MATCHES = 3
"""... but at least this many for each competitor."""
MAX_REASONS = 5
"""Reasons of matches without a result that a ranking reports at most."""


class Place(StrictModel):
    """One competitor in the order."""

    name: str
    place: int
    """1 for the best."""
    strength: float
    """Natural logarithm of the odds against an average competitor (Bradley-Terry)."""
    low: float
    """Lower end of the strength's 95 % interval."""
    high: float
    """Upper end of the strength's 95 % interval."""
    ahead: Probability | None
    """Probability that it is better than the next one; None for the last."""
    wins: Annotated[float, Field(ge=0)]
    """Matches won, ties counted half."""
    matches: int
    """Matches that it played."""


class Ranking(StrictModel):
    """Competitors, the best first."""

    places: list[Place]
    settled: bool
    """Whether the order of each two neighbours is as certain as required, or all their matches were
    played."""
    matches: int
    """Number of matches played."""
    of: int
    """Number of all possible matches."""
    looks: int
    """Number of verdicts on single images that were requested."""
    undecided: int
    """Number of matches without a result, because one of the images could not be judged."""
    abstained: int = 0
    """Number of verdicts on single images, among `looks`, in which the judge abstained."""
    reasons: list[str] = []
    """Why matches have no result: each reason once, at most five."""


def rank(
    judge: Judge | Panel,
    competitors: Sequence[Competitor],
    *,
    how: ComparisonOption = "auto",
    depth: Depth = "score",
    budget: int | None = None,
    confidence: float = 0.95,
    batch: int = 8,
    seed: int = 0,
    advance: Callable[[int, int], None] | None = None,
) -> Ranking:
    """Order competitors. The most informative matches are played first, until the order is settled.

    Args:
        judge: compares the images.
        competitors: at least two, from `load_competitors` or your own.
        how: "auto", "pointwise" or "pairwise", as in `Judge.compare`.
        depth: "score" or "verdict", as in `Judge.compare`.
        budget: matches at most, 1 or more; default: a fifth of all, but at least three for each competitor.
        confidence: required probability of the order of two neighbours, above 0.5 and below 1.
        batch: matches chosen and played together, 1 or more. A small batch needs fewer matches, a large batch
            runs faster.
        seed: of the order in which images are taken.
        advance: called after each batch with the number of matches played and the budget.

    Raises:
        InputError: an argument is unusable.
        BackendError: the model cannot be run.
    """
    _check_arguments(competitors, budget, confidence, batch)
    tournament = Tournament([list(competitor.samples) for competitor in competitors], confidence, seed)
    limit = budget or max(tournament.pairs // BUDGET_DIVISOR, MIN_MATCHES * len(competitors))
    referee: _Referee = _PairwiseReferee(judge, competitors, depth)
    if judge.way(how) == "pointwise":
        referee = _PointwiseReferee(judge, competitors, depth)
    tried = 0
    while tried < limit and not (tried and tournament.settled):
        matches = tournament.next_matches(min(batch, limit - tried))
        if not matches:
            break
        for match, outcome in zip(matches, referee.play(matches), strict=True):
            tournament.record(match, outcome)
        tried += len(matches)
        if advance:
            advance(tried, limit)
    return Ranking(
        places=_places(tournament, competitors),
        settled=tournament.settled,
        matches=tournament.played,
        of=tournament.pairs,
        looks=referee.looks,
        undecided=tried - tournament.played,
        abstained=referee.abstained,
        reasons=list(referee.reasons)[:MAX_REASONS],
    )


def _check_arguments(
    competitors: Sequence[Competitor], budget: int | None, confidence: float, batch: int
) -> None:
    """Raise `InputError` for an unusable argument of `rank`."""
    if len(competitors) < 2:
        raise InputError("competitors", len(competitors), "2 or more", "give more to rank")
    if budget is not None and budget < 1:
        raise InputError("budget", budget, "1 or more matches", "leave it out for a fifth of all")
    if not 0.5 < confidence < 1:
        raise InputError("confidence", confidence, "above 0.5 and below 1", "0.95 is the usual value")
    if batch < 1:
        raise InputError("batch", batch, "1 or more", "8 is the usual value")


def _places(tournament: Tournament, competitors: Sequence[Competitor]) -> list[Place]:
    """Return the standings of a tournament with the competitors' names and their wins."""
    places = []
    for place, standing in enumerate(tournament.standings(), 1):
        won, lost = tournament.wins[standing.number], tournament.wins[:, standing.number]
        places.append(
            Place(
                name=competitors[standing.number].name,
                place=place,
                strength=standing.strength,
                low=standing.low,
                high=standing.high,
                ahead=standing.ahead,
                wins=float(won.sum()),
                matches=round(float(won.sum() + lost.sum())),
            )
        )
    return places


class _Referee(Protocol):
    """Plays matches and reports who won."""

    reasons: dict[str, None]
    """Why matches have no result, in the order of their first occurrence."""
    abstained: int
    """Number of verdicts in which the judge abstained."""

    @property
    def looks(self) -> int:
        """Number of verdicts on single images that were requested."""
        ...

    def play(self, matches: Sequence[Match]) -> list[float | None]:
        """Return the outcome of each match: 1 if a won, 0 if b won, 0.5 for a tie, None without a result."""
        ...


class _PointwiseReferee:
    """Judges each image once; the higher score wins."""

    def __init__(self, judge: Judge | Panel, competitors: Sequence[Competitor], depth: Depth) -> None:
        self.judge, self.competitors, self.depth = judge, competitors, depth
        self.scores: dict[tuple[int, str], float | None] = {}
        """(competitor's number, key) -> score; None where the image could not be judged."""
        self.reasons: dict[str, None] = {}
        self.abstained = 0

    @property
    def looks(self) -> int:
        """Number of images judged."""
        return len(self.scores)

    def play(self, matches: Sequence[Match]) -> list[float | None]:
        """Judge the images that are new, then compare scores."""
        sides = [(number, match.key) for match in matches for number in (match.a, match.b)]
        new = [side for side in dict.fromkeys(sides) if side not in self.scores]
        samples = [self.competitors[number].samples[key] for number, key in new]
        for side, verdict in zip(new, self.judge.many(samples, depth=self.depth), strict=True):
            self.scores[side] = verdict.score
            self.abstained += verdict.abstained
            if verdict.score is None:
                self.reasons[f"{self.competitors[side[0]].name}: {verdict.reason}"] = None
        return [
            _compare_scores(self.scores[match.a, match.key], self.scores[match.b, match.key])
            for match in matches
        ]


def _compare_scores(a: float | None, b: float | None) -> float | None:
    """Return 1 if a is higher, 0 if b is higher, 0.5 for a tie, None if either is missing."""
    if a is None or b is None:
        return None
    return 0.5 if abs(a - b) < 1e-6 else float(a > b)


class _PairwiseReferee:
    """Shows the model both images of a match together, in both orders."""

    def __init__(self, judge: Judge | Panel, competitors: Sequence[Competitor], depth: Depth) -> None:
        self.judge, self.competitors, self.depth = judge, competitors, depth
        self.looks = self.abstained = 0
        self.reasons: dict[str, None] = {}

    def play(self, matches: Sequence[Match]) -> list[float | None]:
        """Compare the two images of each match."""
        return [self._play(match) for match in matches]

    def _play(self, match: Match) -> float | None:
        """Compare the two images of one match."""
        names = [self.competitors[number].name for number in (match.a, match.b)]
        a, b = (self.competitors[number].samples[match.key] for number in (match.a, match.b))
        self.looks += 2
        try:
            comparison = self.judge.compare(
                a.image,
                b.image,
                prompt=a.prompt,
                negative_prompt=a.negative_prompt,
                elements=a.elements,
                reference=a.reference,
                depth=self.depth,
                how="pairwise",
            )
        except InputError as error:
            self.reasons[f"{names[0]} and {names[1]}: {error}"] = None
            return None
        self.abstained += comparison.a.abstained + comparison.b.abstained
        if comparison.preferred is None:
            self.reasons[f"{names[0]} and {names[1]}: {comparison.reason}"] = None
        return {"a": 1.0, "b": 0.0, "tie": 0.5, None: None}[comparison.preferred]
