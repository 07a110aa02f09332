"""A ranking as a Rich renderable for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from judge.compare.ranking import Ranking
from judge.explain.plain_text import to_plain_text

if TYPE_CHECKING:
    from rich.console import RenderableType


def terminal_ranking(ranking: Ranking) -> RenderableType:
    """Render the order with strengths, their intervals and the probability of each place."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "name", "strength", "95 %", "wins", "ahead of the next"):
        table.add_column(heading, justify="left" if heading == "name" else "right")
    for place in ranking.places:
        table.add_row(
            str(place.place),
            Text(to_plain_text(place.name)),
            f"{place.strength:+.2f}",
            f"{place.low:+.2f} .. {place.high:+.2f}",
            f"{place.wins:g} of {place.matches}",
            "" if place.ahead is None else f"{place.ahead:.2f}",
        )
    order = "settled" if ranking.settled else "not settled: give a larger --budget, or more images"
    lines = [f"{ranking.matches} of {ranking.of} comparisons, {ranking.looks} verdicts; the order is {order}"]
    if ranking.reasons:
        lines.append(f"{ranking.undecided} without a result: {to_plain_text(ranking.reasons[0])}")
    if ranking.abstained:
        lines.append(f"the judge abstained in {ranking.abstained} verdicts; --anyway gives numbers, marked")
    return Group(table, *(Text(line, style="dim") for line in lines))
