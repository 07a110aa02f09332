"""The plots of a report, each drawn twice: as PNG on a white background, and as SVG in the page's colours."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from eval.report.data import ReportData
from eval.report.element_plots import describe_generators, describe_kinds, draw_generators, draw_kinds
from eval.report.plot_style import (
    FULL_WIDTH,
    FULL_WIDTH_PIXELS,
    PLACEHOLDERS,
    PRINT,
    Palette,
    plot_settings,
    title_color,
    to_page_svg,
)
from eval.report.score_plots import (
    describe_calibration,
    describe_histogram,
    describe_scatter,
    draw_calibration,
    draw_histogram,
    draw_scatter,
    has_calibration,
)

Draw = Callable[[ReportData, Palette], Any]
"""Draws a plot and returns its matplotlib figure."""
Describe = Callable[[ReportData], str]
"""Returns the alternative text of a plot."""


@dataclass(frozen=True)
class Plot:
    """One drawn plot."""

    name: str
    """Name of the PNG file without its suffix."""
    svg: str
    """The SVG element; it needs the CSS variables of the page."""
    png: bytes
    alt: str
    """Alternative text for readers who cannot see the plot."""


def make_plots(data: ReportData) -> dict[str, Plot]:
    """Draw the plots that the data allows and return them by name.

    Raises:
        InputError: matplotlib is not installed.
    """
    has_pairs = any(len(data.pairs(run)[0]) > 1 for run in data.runs)
    has_generators = len(set(filter(None, data.generators))) > 1
    available: list[tuple[str, bool, Draw, Describe]] = [
        ("scatter", has_pairs, draw_scatter, describe_scatter),
        ("scores", not data.has_opinions, draw_histogram, describe_histogram),
        ("kinds", data.has_elements, draw_kinds, describe_kinds),
        ("calibration", has_calibration(data), draw_calibration, describe_calibration),
        ("generators", has_generators, draw_generators, describe_generators),
    ]
    return {
        name: _make_plot(name, draw, describe, data)
        for name, is_available, draw, describe in available
        if is_available
    }


def _make_plot(name: str, draw: Draw, describe: Describe, data: ReportData) -> Plot:
    with plot_settings():
        png, svg = io.BytesIO(), io.StringIO()
        with title_color(PRINT):
            draw(data, PRINT).savefig(png, format="png", dpi=150, metadata={"Software": None})
        with title_color(PLACEHOLDERS):
            figure = draw(data, PLACEHOLDERS)
            figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    max_width = round(figure.get_figwidth() / FULL_WIDTH * FULL_WIDTH_PIXELS)
    return Plot(name, to_page_svg(svg.getvalue(), name, max_width), png.getvalue(), describe(data))
