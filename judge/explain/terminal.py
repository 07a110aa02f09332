"""Render verdicts and comparisons for a terminal, as Rich renderables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from judge.explain.plain_text import to_plain_text
from judge.explain.style import OUT_OF_DOMAIN_MARK
from judge.types import Comparison, Verdict

if TYPE_CHECKING:
    from rich.console import RenderableType


MAX_TEXT_LINES = 12
"""Lines of writing that are printed; JSON has all of them."""


def render_verdict(verdict: Verdict, title: str = "") -> RenderableType:
    """Return a verdict as a Rich renderable.

    Texts of the sample and the model are shown as text and never read as markup.

    Args:
        verdict: scored or unscored.
        title: title of the panel; default: the verdict's id.
    """
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    parts: list[RenderableType] = []
    if verdict.abstained:
        parts.append(Text.assemble(("abstains: ", "bold"), to_plain_text(verdict.reason), style="cyan"))
    elif verdict.score is None:
        parts.append(Text(f"unscored: {to_plain_text(verdict.reason)}", style="bold red"))
    else:
        if verdict.out_of_domain:
            parts.append(Text(OUT_OF_DOMAIN_MARK, style="bold yellow"))
        parts.append(_render_headline(verdict))
    if verdict.elements:
        parts += [Text(), _render_elements(verdict)]
    if verdict.defects:
        parts += [Text(), _render_defects(verdict)]
    if verdict.texts:
        parts += [Text(), _render_texts(verdict)]
    if verdict.explanation:
        parts += [Text(), Text(to_plain_text(verdict.explanation))]
    parts += [Text(), *_render_footer(verdict)]
    title_text = Text(to_plain_text(title or verdict.id))
    return Panel(Group(*parts), title=title_text, title_align="left", padding=(0, 1))


def render_comparison(comparison: Comparison, a: str = "a", b: str = "b") -> RenderableType:
    """Return both verdicts and which image is better, as a Rich renderable.

    Args:
        comparison: the comparison.
        a: name of the first image.
        b: name of the second image.
    """
    from rich.console import Group
    from rich.text import Text

    names = {"a": a, "b": b}
    if comparison.preferred is None:
        conclusion = Text(f"no preference: {to_plain_text(comparison.reason)}", style="bold red")
    elif comparison.preferred == "tie":
        conclusion = Text.assemble(("tie", "bold"), (_describe_orders(comparison), "dim"))
    else:
        probability = comparison.probability or 0.0
        probability = probability if comparison.preferred == "a" else 1 - probability
        better = f"{comparison.preferred} is better: {to_plain_text(names[comparison.preferred])}"
        margin = "" if comparison.margin is None else f"  by {abs(comparison.margin):.2f},"
        details = f"{margin} probability {probability:.2f}{_describe_orders(comparison)}"
        conclusion = Text.assemble((better, "bold"), (details, "dim"))
    panels = (render_verdict(comparison.a, f"a: {a}"), render_verdict(comparison.b, f"b: {b}"))
    return Group(*panels, conclusion)


def _describe_orders(comparison: Comparison) -> str:
    """Return the difference of the two orders of a pairwise comparison; empty for other comparisons."""
    if comparison.how == "pointwise" or comparison.swap_disagreement is None:
        return ""
    return f", both orders, {comparison.swap_disagreement:.2f} apart"


def _render_headline(verdict: Verdict) -> RenderableType:
    from rich.text import Text

    text = Text.assemble((f"{verdict.score:.2f}", "bold"), (" of 5   ", "dim"))
    for label, share in enumerate(verdict.distribution or [], 1):
        text.append(f"{label} ", style="dim")
        text.append("▁▂▃▄▅▆▇█"[min(7, int(share * 8))] * 2 + " ", style="cyan" if share >= 0.2 else "dim")
    for name, dimension in verdict.dimensions.items():
        text.append(f"  {to_plain_text(name)} ", style="dim")
        text.append(f"{dimension.score:.1f}")
    for name, attribute in verdict.attributes.items():
        probability = attribute.probabilities.get(attribute.label, 0)
        text.append(f"  {to_plain_text(name)} ", style="dim")
        text.append(f"{to_plain_text(attribute.label)} {probability:.2f}")
    return text


def _render_elements(verdict: Verdict) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 1))
    for element in verdict.elements:
        mark = Text("✓", style="green") if element.present else Text("✗", style="red")
        probability = Text(f"{element.probability:.2f}", style="dim")
        table.add_row(mark, probability, Text(to_plain_text(element.label)))
    return table


def _render_defects(verdict: Verdict) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("", "defect", "severity", "confidence", "x1 y1 x2 y2", "explanation"):
        table.add_column(Text(column))
    for number, defect in enumerate(verdict.defects, 1):
        cells = (
            to_plain_text(defect.kind),
            defect.severity,
            f"{defect.confidence:.2f}",
            " ".join(f"{value:.0f}" for value in defect.box),
            to_plain_text(defect.explanation),
        )
        table.add_row(Text(str(number), style="dim"), *(Text(cell) for cell in cells))
    return table


def _render_texts(verdict: Verdict) -> RenderableType:
    from rich.text import Text

    shown = [f"“{to_plain_text(line.text)}” {line.confidence:.2f}" for line in verdict.texts[:MAX_TEXT_LINES]]
    more = len(verdict.texts) - MAX_TEXT_LINES
    shown += [f"and {more} more lines"] if more > 0 else []
    return Text.assemble(("read: ", "dim"), ", ".join(shown))


def _render_footer(verdict: Verdict) -> list[RenderableType]:
    from rich.text import Text

    provenance = verdict.provenance
    adapter = f" + {provenance.adapter}" if provenance.adapter else ""
    line = f"{provenance.model}{adapter}, {provenance.backend}, rubric {provenance.rubric}, "
    line += f"{provenance.depth} depth, {provenance.milliseconds:.0f} ms"
    notes = [Text(f"note: {to_plain_text(note)}", style="yellow") for note in provenance.notes]
    return [*notes, Text(to_plain_text(line), style="dim")]
