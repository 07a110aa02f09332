"""A ranking as a Rich renderable, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from judge.compare.ranking import Ranking
from judge.explain.overlay import plain

if TYPE_CHECKING:
    from rich.console import RenderableType


def terminal_ranking(ranking: Ranking) -> RenderableType:
    """The order with strengths, their intervals and how sure each is of the next, as a Rich renderable."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "name", "strength", "95 %", "wins", "ahead of the next"):
        table.add_column(heading, justify="left" if heading == "name" else "right")
    for one in ranking.places:
        table.add_row(
            str(one.place),
            Text(plain(one.name)),
            f"{one.strength:+.2f}",
            f"{one.low:+.2f} .. {one.high:+.2f}",
            f"{one.wins:g} of {one.matches}",
            "" if one.ahead is None else f"{one.ahead:.2f}",
        )
    order = "settled" if ranking.settled else "not settled: give a larger --budget, or more pictures"
    told = f"{ranking.matches} of {ranking.of} comparisons, {ranking.looks} verdicts; the order is {order}"
    lost = [f"{ranking.undecided} without a result: {plain(ranking.reasons[0])}"] if ranking.reasons else []
    return Group(table, *(Text(line, style="dim") for line in [told, *lost]))
