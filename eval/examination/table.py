"""The card of an examined model for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from judge.backends.cards import Level, Measure, ModelCard

if TYPE_CHECKING:
    from rich.console import RenderableType

MARKS: dict[Level, tuple[str, str]] = {
    "ok": ("ok", "green"),
    "caution": ("!", "yellow"),
    "setting": ("set", "cyan"),
    "fault": ("no", "red"),
}
COLORS = {"fit": "green", "fit with settings": "cyan", "unfit": "red"}


def render_card(card: ModelCard) -> RenderableType:
    """Return a card as a Rich renderable: findings, numbers, and the verdict with its settings."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    findings = Table.grid(padding=(0, 2))
    for finding in card.findings:
        mark, style = MARKS[finding.level]
        findings.add_row(Text(mark, style=style), Text(finding.name), Text(finding.text))
    numbers = Table(show_edge=False, pad_edge=False)
    for column in ("measure", "value", "95 %", "count", "note"):
        is_number, is_whole = column in ("value", "count"), column in ("measure", "value")
        numbers.add_column(
            column, justify="right" if is_number else "left", overflow="fold", no_wrap=is_whole
        )
    for name, measure in card.measures.items():
        interval = "" if measure.low is None else f"{measure.low:.2f} to {measure.high:.2f}"
        count = str(measure.count) if measure.count else ""
        numbers.add_row(name, format_value(name, measure), interval, count, Text(measure.note, style="dim"))
    revision = f" {card.revision[:12]}" if card.revision else ""
    adapter = f" with adapter {card.adapter}" if card.adapter else ""
    what = f"{card.count} scenes, seed {card.seed}"
    title = Text(f"{card.model}{revision}{adapter}, {card.backend}, {what}", style="bold")
    return Group(title, Text(), findings, Text(), numbers, Text(), *render_verdict(card))


def render_verdict(card: ModelCard) -> list[RenderableType]:
    """Return the lines of the verdict: what the model is, with which settings, and why."""
    from rich.text import Text

    chosen = card.settings.chosen()
    settings = ": " + ", ".join(f"{name}={value}" for name, value in chosen.items()) if chosen else ""
    lines: list[RenderableType] = [Text(f"{card.verdict}{settings}", style=f"bold {COLORS[card.verdict]}")]
    return lines + [Text(f"  {reason}") for reason in card.reasons]


def format_value(name: str, measure: Measure) -> str:
    """Return the value of a measure as text; bytes in gigabytes."""
    if measure.value is None:
        return "–"
    if name == "peak_memory":
        return f"{measure.value / 1e9:.2f} GB"
    return f"{measure.value:.3g}" if abs(measure.value) < 100 else f"{measure.value:,.0f}"
