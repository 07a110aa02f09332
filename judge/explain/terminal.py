"""A verdict or a comparison as a Rich renderable, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from judge.explain.overlay import plain
from judge.types import Comparison, Verdict

if TYPE_CHECKING:
    from rich.console import RenderableType


def terminal(verdict: Verdict, title: str = "") -> RenderableType:
    """The verdict as a Rich renderable. What was judged is shown as text, never read as markup."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    parts: list[RenderableType] = []
    if verdict.score is None:
        parts.append(Text(f"unscored: {plain(verdict.reason)}", style="bold red"))
    else:
        parts.append(_headline(verdict))
    if verdict.elements:
        parts += [Text(), _elements_table(verdict)]
    if verdict.defects:
        parts += [Text(), _defects_table(verdict)]
    if verdict.explanation:
        parts += [Text(), Text(plain(verdict.explanation))]
    parts += [Text(), *_footer(verdict)]
    return Panel(Group(*parts), title=Text(plain(title or verdict.id)), title_align="left", padding=(0, 1))


def _headline(verdict: Verdict) -> RenderableType:
    from rich.text import Text

    text = Text.assemble((f"{verdict.score:.2f}", "bold"), (" of 5   ", "dim"))
    for label, share in enumerate(verdict.distribution or [], 1):
        text.append(f"{label} ", style="dim")
        text.append("▁▂▃▄▅▆▇█"[min(7, int(share * 8))] * 2 + " ", style="cyan" if share >= 0.2 else "dim")
    for name, dimension in verdict.dimensions.items():
        text.append(f"  {plain(name)} ", style="dim")
        text.append(f"{dimension.score:.1f}")
    for name, attribute in verdict.attributes.items():
        text.append(f"  {plain(name)} ", style="dim")
        text.append(f"{plain(attribute.label)} {attribute.probabilities.get(attribute.label, 0):.2f}")
    return text


def _elements_table(verdict: Verdict) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    for element in verdict.elements:
        mark = Text("✓", style="green") if element.present else Text("✗", style="red")
        table.add_row(mark, Text(f"{element.probability:.2f}", style="dim"), Text(plain(element.name)))
    return table


def _defects_table(verdict: Verdict) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("", "defect", "severity", "confidence", "x1 y1 x2 y2", "explanation"):
        table.add_column(Text(column))
    for number, defect in enumerate(verdict.defects, 1):
        where = " ".join(f"{value:.0f}" for value in defect.box)
        cells = (
            plain(defect.kind),
            defect.severity,
            f"{defect.confidence:.2f}",
            where,
            plain(defect.explanation),
        )
        table.add_row(Text(str(number), style="dim"), *(Text(cell) for cell in cells))
    return table


def _footer(verdict: Verdict) -> list[RenderableType]:
    from rich.text import Text

    made = verdict.provenance
    adapter = f" + {made.adapter}" if made.adapter else ""
    line = f"{made.model}{adapter}, {made.backend}, rubric {made.rubric}, {made.depth} depth"
    line += f", {made.milliseconds:.0f} ms"
    notes = [Text(f"note: {plain(note)}", style="yellow") for note in made.notes]
    return [*notes, Text(plain(line), style="dim")]


def _swapped(comparison: Comparison) -> str:
    """What is said of the two orders, where there were two."""
    if comparison.how == "pointwise" or comparison.swap_disagreement is None:
        return ""
    return f", both orders, {comparison.swap_disagreement:.2f} apart"


def terminal_comparison(comparison: Comparison, a: str = "a", b: str = "b") -> RenderableType:
    """Both verdicts and which one is better, as a Rich renderable; `a` and `b` name the pictures."""
    from rich.console import Group
    from rich.text import Text

    names = {"a": a, "b": b}
    if comparison.preferred is None:
        closing = Text(f"no preference: {plain(comparison.reason)}", style="bold red")
    elif comparison.preferred == "tie":
        closing = Text.assemble(("tie", "bold"), (_swapped(comparison), "dim"))
    else:
        chance = comparison.probability or 0.0
        chance = chance if comparison.preferred == "a" else 1 - chance
        better = f"{comparison.preferred} is better: {plain(names[comparison.preferred])}"
        by = "" if comparison.margin is None else f"  by {abs(comparison.margin):.2f},"
        told = f"{by} probability {chance:.2f}{_swapped(comparison)}"
        closing = Text.assemble((better, "bold"), (told, "dim"))
    panels = (terminal(comparison.a, f"a: {a}"), terminal(comparison.b, f"b: {b}"))
    return Group(*panels, closing)
