"""Colours, fonts and common parts of the plots, and the conversion of a plot's SVG for the page.

An SVG plot is drawn with placeholder colours that are replaced by CSS variables, so that the plot follows the
light and dark colours of the page. Text in the SVG stays text. matplotlib is used without pyplot: there is no
global state and no window.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from eval.metrics.metric_value import MetricValue
from judge.errors import InputError

FULL_WIDTH = 10.4
"""Width in inches of a plot that is as wide as the page."""
FULL_WIDTH_PIXELS = 1072
"""Width in CSS pixels of such a plot in the page."""
MAX_LABEL_CHARS = 28
"""Longest label in a plot, in characters."""


@dataclass(frozen=True)
class Palette:
    """The colours of a plot."""

    ink: str
    """Text and the colour of the truth."""
    faint: str
    """Ticks and reference lines."""
    line: str
    """Grid and axes."""
    runs: tuple[str, ...]
    paper: str = "none"
    """Background."""

    def run(self, number: int) -> str:
        """Return the colour of a run, counted from 0."""
        return self.runs[number % len(self.runs)]


PRINT = Palette(
    "#1c2026", "#667080", "#d7dbe0", ("#2b6cb0", "#c05621", "#2f855a", "#97266d", "#6b46c1"), "#ffffff"
)
"""Colours of the PNG files."""
PLACEHOLDERS = Palette("#010203", "#010204", "#010205", tuple(f"#0102{n:02x}" for n in range(0x10, 0x15)))
"""Colours of the SVG before they are replaced by CSS variables; no plot uses them otherwise."""
_CSS_VARIABLES = {
    PLACEHOLDERS.ink: "var(--ink)",
    PLACEHOLDERS.faint: "var(--faint)",
    PLACEHOLDERS.line: "var(--line)",
    **{color: f"var(--run-{n})" for n, color in enumerate(PLACEHOLDERS.runs)},
}


@contextmanager
def plot_settings() -> Iterator[None]:
    """Set the common settings of matplotlib for the plots in the block.

    Raises:
        InputError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise InputError(
            "matplotlib", None, "matplotlib 3.9 or newer", "install it: pip install 'judge[eval]'"
        ) from None
    settings: dict[Any, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": "judge", "text.parse_math": False, "font.size": 10,
        "axes.spines.top": False, "axes.spines.right": False, "axes.titleweight": "bold",
        "axes.titlesize": 10, "axes.titlelocation": "left", "axes.axisbelow": True, "lines.linewidth": 1.6,
        "font.family": "DejaVu Sans",
    }  # fmt: skip
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # Characters that the font lacks are boxes in the PNG; in the page they are text.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*missing from.*")
        yield


def title_color(palette: Palette) -> Any:
    """Return a context in which the titles of plots have the palette's text colour."""
    import matplotlib

    return matplotlib.rc_context({"axes.titlecolor": palette.ink})


def to_page_svg(svg: str, name: str, max_width: int) -> str:
    """Return the SVG element of a plot for the page.

    Args:
        svg: the SVG file that matplotlib wrote with the colours of `PLACEHOLDERS`.
        name: name of the plot; makes the ids of the SVG unique in the page.
        max_width: largest width of the plot in CSS pixels.
    """
    svg = svg[svg.index("<svg") :]
    head, rest = svg.split(">", 1)
    view = re.search(r'viewBox="[^"]*"', head)
    assert view is not None
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.S)
    # Ids of clips and markers are unique only within one plot, and the page has several.
    rest = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', rest)
    rest = re.sub(r'href="#([^"]*)"', rf'href="#{name}-\1"', rest)
    rest = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", rest)
    for color, variable in _CSS_VARIABLES.items():
        rest = rest.replace(color, variable)
    style = f'style="max-width: {max_width}px"'
    return f'<svg {view.group()} {style} aria-hidden="true" focusable="false">{rest.strip()}'


def make_figure(
    width: float, height: float, palette: Palette, rows: int = 1, columns: int = 1, **share: Any
) -> Any:
    """Create a figure and its axes.

    Args:
        width: width of the figure in inches.
        height: height of the figure in inches.
        palette: its colours.
        rows: rows of axes.
        columns: columns of axes.
        share: `sharex` and `sharey` of `Figure.subplots`.

    Returns:
        The figure and an array of axes of shape (rows, columns).
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor=palette.paper)
    grid = figure.subplots(rows, columns, squeeze=False, **share)
    for axes in grid.flat:
        axes.set_facecolor("none")
        axes.tick_params(colors=palette.faint, labelcolor=palette.ink, length=3)
        axes.grid(color=palette.line, linewidth=0.7)
        for side in axes.spines.values():
            side.set_color(palette.line)
        for label in (axes.xaxis.label, axes.yaxis.label):
            label.set_color(palette.ink)
    return figure, grid


def add_legend(axes: Any, palette: Palette, **placement: Any) -> None:
    """Add a legend without a frame."""
    axes.legend(frameon=False, labelcolor=palette.ink, fontsize=9, **placement)


def shorten_label(text: str, max_chars: int = MAX_LABEL_CHARS) -> str:
    """Return a name on one line, cut to a number of characters."""
    text = " ".join(text.split())
    return text if len(text) <= max_chars else f"{text[: max_chars - 1]}…"


def draw_intervals(axes: Any, values: Sequence[MetricValue], shift: float, color: str, label: str) -> None:
    """Draw values as dots with their intervals, one in each row of the axes.

    Args:
        axes: the axes.
        values: the values; an undefined one is left out.
        shift: vertical shift within a row, so that several runs fit into it.
        color: colour of the run.
        label: name of the run in the legend.
    """
    for row, measure in enumerate(values):
        interval = measure.interval
        if interval is not None and interval.low is not None and interval.high is not None:
            axes.plot([interval.low, interval.high], [row + shift] * 2, color=color, linewidth=2.2, alpha=0.5,
                      solid_capstyle="round")  # fmt: skip
    points = [(m.value, row + shift) for row, m in enumerate(values) if m.value is not None]
    axes.scatter([x for x, _ in points], [y for _, y in points], s=34, color=color, zorder=3, label=label)


def set_row_names(axes: Any, names: Sequence[str]) -> None:
    """Show one row for each name, from top to bottom."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)
