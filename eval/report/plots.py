"""The plots of a report, each drawn twice by one function: as PNG on white, and as SVG in the page's colours.

The SVG carries stand-ins for colours, which become CSS variables, so that it follows the page into the dark;
its texts are text. No pyplot: nothing global, no window.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.metrics.agreement import Measure, fit_logistic
from eval.report import facts as reading
from judge.errors import InputError

if TYPE_CHECKING:
    from eval.report.facts import Answers, Facts

WIDTH = 10.4
"""Inches of a plot that is as wide as the page."""
PAGE = 1072
"""Pixels that this is in the page."""
MANY = 3000
"""More points than this are drawn as density."""


@dataclass(frozen=True)
class Palette:
    ink: str
    faint: str
    line: str
    runs: tuple[str, ...]
    paper: str = "none"

    def run(self, number: int) -> str:
        return self.runs[number % len(self.runs)]


PRINT = Palette(
    "#1c2026", "#667080", "#d7dbe0", ("#2b6cb0", "#c05621", "#2f855a", "#97266d", "#6b46c1"), "#ffffff"
)
# Colours nobody would choose, so that they can be found again in the SVG.
STAND_INS = Palette("#010203", "#010204", "#010205", tuple(f"#0102{n:02x}" for n in range(0x10, 0x15)))
_VARIABLES = {
    STAND_INS.ink: "var(--ink)",
    STAND_INS.faint: "var(--faint)",
    STAND_INS.line: "var(--line)",
    **{color: f"var(--run-{n})" for n, color in enumerate(STAND_INS.runs)},
}


@dataclass(frozen=True)
class Plot:
    """One drawn plot."""

    name: str
    """Of the PNG file, without its ending."""
    svg: str
    """To stand in a page that has the CSS variables."""
    png: bytes
    alt: str
    """What it shows, for who cannot see it."""


def plots(facts: Facts) -> dict[str, Plot]:
    """Those plots that the data allows, by name."""
    wanted: list[tuple[str, bool, Callable[[Facts, Palette], Any], Callable[[Facts], str]]] = [
        ("scatter", any(len(facts.pairs(run)[0]) > 1 for run in facts.runs), _scatter, _say_scatter),
        ("scores", not facts.has_opinions, _scores, _say_scores),
        ("kinds", facts.has_elements, _kinds, _say_kinds),
        ("calibration", _calibrated(facts), _calibration, _say_calibration),
        ("generators", len(set(filter(None, facts.generators))) > 1, _generators, _say_generators),
    ]
    return {name: _drawn(name, draw, say, facts) for name, there, draw, say in wanted if there}


def _drawn(name: str, draw: Any, say: Any, facts: Facts) -> Plot:
    with _style():
        png, svg = io.BytesIO(), io.StringIO()
        with _titles(PRINT):
            draw(facts, PRINT).savefig(png, format="png", dpi=150, metadata={"Software": None})
        with _titles(STAND_INS):
            figure = draw(facts, STAND_INS)
            figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None})
    across = round(figure.get_figwidth() / WIDTH * PAGE)
    return Plot(name, _for_page(svg.getvalue(), name, across), png.getvalue(), say(facts))


def _titles(palette: Palette) -> Any:
    import matplotlib

    return matplotlib.rc_context({"axes.titlecolor": palette.ink})


@contextmanager
def _style() -> Iterator[None]:
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
        # Names in a script that the font lacks are boxes in the PNG; in the page they are text.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*missing from.*")
        yield


def _for_page(svg: str, name: str, across: int) -> str:
    """The SVG element alone, with CSS variables for colours, at most `across` pixels wide."""
    svg = svg[svg.index("<svg") :]
    head, rest = svg.split(">", 1)
    view = re.search(r'viewBox="[^"]*"', head)
    assert view is not None
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.S)
    # Several plots share one page, and names of clips and markers are unique only within a plot.
    rest = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', rest)
    rest = re.sub(r'href="#([^"]*)"', rf'href="#{name}-\1"', rest)
    rest = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", rest)
    for color, variable in _VARIABLES.items():
        rest = rest.replace(color, variable)
    style = f'style="max-width: {across}px"'
    return f'<svg {view.group()} {style} aria-hidden="true" focusable="false">{rest.strip()}'


def _figure(
    width: float, height: float, palette: Palette, rows: int = 1, columns: int = 1, **share: Any
) -> Any:
    """(figure, axes of shape (rows, columns))."""
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


def short(text: str, most: int = 28) -> str:
    """Names in plots: on one line, and not too long."""
    text = " ".join(text.split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _legend(axes: Any, palette: Palette, **where: Any) -> None:
    axes.legend(frameon=False, labelcolor=palette.ink, fontsize=9, **where)


# ------------------------------------------------------------------------------------ agreement in scores


def _scatter(facts: Facts, palette: Palette) -> Any:
    columns = min(3, len(facts.runs))
    rows = -(-len(facts.runs) // columns)
    width = WIDTH if columns > 1 else 7.2
    figure, grid = _figure(width, 4.3 * rows, palette, rows, columns, sharey=True)
    for axes in list(grid.flat)[len(facts.runs) :]:
        axes.set_visible(False)
    for number, (run, axes) in enumerate(zip(facts.runs, grid.flat, strict=False)):
        x, y, _ = facts.pairs(run)
        _cloud(axes, x, y, palette.run(number))
        mapped = fit_logistic(x, y) if len(x) else "nothing"
        if not isinstance(mapped, str):
            axes.plot(*_curve(x, mapped), color=palette.ink, label="fitted curve (4-parameter logistic)")
            _legend(axes, palette, loc="upper left", bbox_to_anchor=(-0.02, 1.0))
            axes.margins(y=0.12)
        axes.set_title(short(run.name, 48))
        axes.set_xlabel("prediction, 1 to 5")
        axes.set_ylabel(_scale_name(facts) if number % columns == 0 else "")
    return figure


def _curve(x: Any, mapped: Any) -> tuple[Any, Any]:
    """The fitted curve between the predictions too: monotone, as the logistic is, exact at each of them."""
    from scipy.interpolate import PchipInterpolator

    own, at = np.unique(x, return_index=True)
    dense = np.linspace(own[0], own[-1], 400)
    return dense, PchipInterpolator(own, mapped[at])(dense)


def _cloud(axes: Any, x: Any, y: Any, color: str) -> None:
    if len(x) <= MANY:
        size = float(np.clip(9000 / max(len(x), 1), 9, 46))
        axes.scatter(x, y, s=size, color=color, alpha=0.55 if len(x) > 200 else 0.7, linewidths=0)
        return
    cells = axes.hexbin(x, y, gridsize=44, mincnt=1, linewidths=0)
    counts = np.asarray(cells.get_array(), dtype=float)
    shade = 0.12 + 0.88 * np.log1p(counts) / np.log1p(counts.max())
    from matplotlib.colors import to_rgb

    cells.set_array(None)
    cells.set_facecolor([(*to_rgb(color), a) for a in shade])


def _scale_name(facts: Facts) -> str:
    ends = facts.suite.scale
    return f"{facts.human}, {ends[0]:g} to {ends[1]:g}" if ends else facts.human


def _say_scatter(facts: Facts) -> str:
    said = []
    for run in facts.runs:
        x, y, _ = facts.pairs(run)
        found = run.measures.get("srcc")
        told = f", rank correlation {found.value:.3f}" if found and found.value is not None else ""
        said.append(f"{run.name}: {len(x)} predictions against each {facts.human}{told}")
    return "Scatter plots with a fitted curve. " + "; ".join(said) + "."


def _scores(facts: Facts, palette: Palette) -> Any:
    figure, grid = _figure(7.2, 3.4, palette)
    axes = grid[0, 0]
    edges = np.linspace(1, 5, 25)
    for number, run in enumerate(facts.runs):
        values = run.predicted[np.isfinite(run.predicted)]
        axes.hist(values, edges, histtype="stepfilled", color=palette.run(number), alpha=0.45,
                  edgecolor=palette.run(number), label=short(run.name))  # fmt: skip
    axes.set_xlabel("prediction, 1 to 5")
    axes.set_ylabel("rows")
    axes.yaxis.get_major_locator().set_params(integer=True)
    if len(facts.runs) > 1:
        _legend(axes, palette)
    return figure


def _say_scores(facts: Facts) -> str:
    said = [f"{run.name}: {np.isfinite(run.predicted).sum()} predictions" for run in facts.runs]
    return f"Histogram of the predicted scores, since this data has no human ones. {'; '.join(said)}."


# ----------------------------------------------------------------------------------------------- elements


def _kinds(facts: Facts, palette: Palette) -> Any:
    table = facts.by_kind
    figure, grid = _figure(WIDTH * 0.86, 1.1 + (0.26 + 0.16 * len(facts.runs)) * len(table), palette)
    axes = grid[0, 0]
    names = list(table)
    for number, run in enumerate(facts.runs):
        shift = (number - (len(facts.runs) - 1) / 2) * 0.2
        _dots(axes, [table[name][number] for name in names], shift, palette.run(number), short(run.name))
    constant = [table[name][-1].value for name in names]
    axes.scatter(constant, range(len(names)), marker="|", s=190, color=palette.faint, linewidths=1.6,
                 label="best constant answer")  # fmt: skip
    _rows_down(axes, [f"{short(name)}  ({table[name][0].count})" for name in names])
    axes.set_xlabel("share of elements judged right, 95 % interval")
    low = min(
        [v for v in constant if v is not None]
        + [m.value for r in table.values() for m in r[:-1] if m.value is not None]
    )
    axes.set_xlim(min(0.5, max(0.0, low - 0.08)), 1.01)
    _legend(axes, palette, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(4, len(facts.runs) + 1))
    return figure


def _dots(axes: Any, measures: Sequence[Measure], shift: float, color: str, label: str) -> None:
    """Values with their intervals, one a row."""
    for row, measure in enumerate(measures):
        span = measure.interval
        if span is not None and span.low is not None and span.high is not None:
            axes.plot([span.low, span.high], [row + shift] * 2, color=color, linewidth=2.2, alpha=0.5,
                      solid_capstyle="round")  # fmt: skip
    there = [(m.value, row + shift) for row, m in enumerate(measures) if m.value is not None]
    axes.scatter([v for v, _ in there], [r for _, r in there], s=34, color=color, zorder=3, label=label)


def _rows_down(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)


def _say_kinds(facts: Facts) -> str:
    said = []
    for name, row in facts.by_kind.items():
        values = [f"{m.value:.2f}" if m.value is not None else "undefined" for m in row]
        said.append(f"{name} {', '.join(values[:-1])} (best constant answer {values[-1]})")
    order = ", then ".join(run.name for run in facts.runs)
    return f"Share of elements judged right by kind, for {order}: {'; '.join(said)}."


# -------------------------------------------------------------------------------------------- calibration


def _calibrated(facts: Facts) -> bool:
    return facts.has_elements or any(_steps(facts, run) for run in facts.runs)


def _steps(facts: Facts, run: Answers) -> list[reading.Step]:
    steps = reading.score_steps(facts, run)
    return [] if isinstance(steps, str) else steps


def _calibration(facts: Facts, palette: Palette) -> Any:
    by_score = any(_steps(facts, run) for run in facts.runs)
    known = ((_reliability, facts.has_elements), (_kindness, by_score))
    parts = [part for part, there in known if there]
    figure, grid = _figure(5.2 * len(parts), 4.5, palette, 1, len(parts))
    for part, axes in zip(parts, grid.flat, strict=True):
        part(axes, facts, palette)
        if len(facts.runs) > 1:
            _legend(axes, palette, loc="upper left")
    return figure


def _reliability(axes: Any, facts: Facts, palette: Palette) -> None:
    axes.plot([0, 1], [0, 1], color=palette.faint, linewidth=1, linestyle=(0, (4, 3)))
    for number, run in enumerate(facts.runs):
        bins = [b for b in reading.reliability(run) if b.count]
        x, y = [b.confidence for b in bins], [b.frequency for b in bins]
        most = max((b.count for b in bins), default=1)
        axes.scatter(x, y, s=[14 + 170 * b.count / most for b in bins], color=palette.run(number),
                     alpha=0.8, linewidths=0, zorder=3, label=short(run.name))  # fmt: skip
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title="Is an element there?")
    axes.set_xlabel("probability the judge gave (larger dots: more elements)")
    axes.set_ylabel("share that is there")


def _kindness(axes: Any, facts: Facts, palette: Palette) -> None:
    ends = facts.suite.scale or (1.0, 5.0)
    axes.axline((ends[0], ends[0]), slope=1, color=palette.faint, linewidth=1, linestyle=(0, (4, 3)))
    low, high = ends[1], ends[0]
    for number, run in enumerate(facts.runs):
        for step in (steps := _steps(facts, run)):
            span = step.human.interval
            if span is not None and span.low is not None and span.high is not None:
                axes.plot([step.predicted] * 2, [span.low, span.high], color=palette.run(number), alpha=0.45)
                low, high = min(low, span.low), max(high, span.high)
        x, y = [s.predicted for s in steps], [s.human.value or 0.0 for s in steps]
        axes.plot(x, y, marker="o", markersize=5.5, color=palette.run(number), label=short(run.name))
        low, high = min([low, *x, *y]), max([high, *x, *y])
    room = 0.06 * (high - low or 1.0)
    axes.set(xlim=(low - room, high + room), ylim=(low - room, high + room), title="Is the score too kind?")
    axes.set_xlabel(f"prediction laid on {ends[0]:g} to {ends[1]:g}, tenths of the rows")
    axes.set_ylabel(f"mean {facts.human}, 95 % interval")


def _say_calibration(facts: Facts) -> str:
    said = []
    for run in facts.runs:
        error = run.measures.get("element_calibration_error")
        if error is not None and error.value is not None:
            said.append(f"{run.name}: probabilities of elements are {error.value:.3f} off on average")
        if steps := _steps(facts, run):
            first, last = steps[0], steps[-1]
            said.append(
                f"{run.name}: its lowest tenth is predicted {first.predicted:.2f} where {facts.people} "
                f"say {first.human.value:.2f}, its highest {last.predicted:.2f} where {last.human.value:.2f}"
            )
    return f"Calibration: what was said against what was true; the diagonal is perfect. {'; '.join(said)}."


# --------------------------------------------------------------------------------------------- generators


def _generators(facts: Facts, palette: Palette) -> Any:
    people = reading.ranking(facts, facts.truth)
    ranked = [reading.ranking(facts, run.predicted) for run in facts.runs]
    order = [s.name for s in (people or ranked[0])]
    count = {s.name: s.count for r in (*ranked, people) for s in r}
    width = WIDTH if people else WIDTH * 0.7
    height = 1.1 + (0.22 + 0.13 * len(facts.runs)) * len(order)
    figure, grid = _figure(width, height, palette, 1, 2 if people else 1, sharey=True)
    axes = grid[0, 0]
    for number, (run, standings) in enumerate(zip(facts.runs, ranked, strict=True)):
        shift = (number - (len(facts.runs) - 1) / 2) * 0.22
        by_name = {s.name: s.mean for s in standings}
        row = [by_name.get(name, Measure(None, "no row")) for name in order]
        _dots(axes, row, shift, palette.run(number), short(run.name))
    axes.set_title("the judge's mean score" if len(facts.runs) == 1 else "the judges' mean scores")
    axes.set_xlabel("1 to 5, 95 % interval")
    if len(facts.runs) > 1:
        _legend(axes, palette, loc="lower right")
    if people:
        _dots(grid[0, 1], [s.mean for s in people], 0.0, palette.ink, facts.people)
        grid[0, 1].set_title(f"mean {facts.human}")
        grid[0, 1].set_xlabel(f"{_scale_name(facts)}, 95 % interval")
    for part in grid.flat:
        _rows_down(part, [f"{short(name)}  ({count[name]})" for name in order])
    return figure


def _say_generators(facts: Facts) -> str:
    said = []
    for run in facts.runs:
        standings = reading.ranking(facts, run.predicted)
        said.append(f"{run.name}: " + ", ".join(f"{s.name} {s.mean.value:.2f}" for s in standings[:12]))
    return f"Generators by mean score, the best first. {'; '.join(said)}."


def write(plot: Plot, folder: Path) -> None:
    """The PNG into a folder, whole or not at all."""
    draft = folder / f".{plot.name}.png.part"
    draft.write_bytes(plot.png)
    draft.replace(folder / f"{plot.name}.png")
