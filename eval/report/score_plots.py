"""Plots of scores: scatter plot, histogram and calibration, each with its alternative text."""

from __future__ import annotations

from typing import Any

import numpy as np

from eval.metrics.logistic import fit_logistic
from eval.report.answers import RunAnswers
from eval.report.comparisons import element_calibration
from eval.report.data import ReportData, ScoreStep
from eval.report.plot_style import FULL_WIDTH, Palette, add_legend, make_figure, shorten_label

MAX_POINTS = 3000
"""A scatter plot of more points shows their density."""


# ------------------------------------------------------------------------------------------- scatter plot


def draw_scatter(data: ReportData, palette: Palette) -> Any:
    """Draw the predictions of each run against the human scores, with the fitted curve."""
    columns = min(3, len(data.runs))
    rows = -(-len(data.runs) // columns)
    width = FULL_WIDTH if columns > 1 else 7.2
    figure, grid = make_figure(width, 4.3 * rows, palette, rows, columns, sharey=True)
    for axes in list(grid.flat)[len(data.runs) :]:
        axes.set_visible(False)
    for number, (run, axes) in enumerate(zip(data.runs, grid.flat, strict=False)):
        x, y, _ = data.pairs(run)
        _draw_points(axes, x, y, palette.run(number))
        fitted = fit_logistic(x, y) if len(x) else "no rows"
        if not isinstance(fitted, str):
            axes.plot(
                *_fitted_curve(x, fitted), color=palette.ink, label="fitted curve (4-parameter logistic)"
            )
            add_legend(axes, palette, loc="upper left", bbox_to_anchor=(-0.02, 1.0))
            axes.margins(y=0.12)
        axes.set_title(shorten_label(run.name, 48))
        axes.set_xlabel("prediction, 1 to 5")
        axes.set_ylabel(truth_axis_label(data) if number % columns == 0 else "")
    return figure


def _fitted_curve(x: Any, fitted: Any) -> tuple[Any, Any]:
    """Return points of the fitted curve between the predictions.

    The interpolation is monotone, as the logistic function, and exact at each prediction.
    """
    from scipy.interpolate import PchipInterpolator

    unique_x, indices = np.unique(x, return_index=True)
    dense = np.linspace(unique_x[0], unique_x[-1], 400)
    return dense, PchipInterpolator(unique_x, fitted[indices])(dense)


def _draw_points(axes: Any, x: Any, y: Any, color: str) -> None:
    if len(x) <= MAX_POINTS:
        size = float(np.clip(9000 / max(len(x), 1), 9, 46))
        axes.scatter(x, y, s=size, color=color, alpha=0.55 if len(x) > 200 else 0.7, linewidths=0)
        return
    cells = axes.hexbin(x, y, gridsize=44, mincnt=1, linewidths=0)
    counts = np.asarray(cells.get_array(), dtype=float)
    shade = 0.12 + 0.88 * np.log1p(counts) / np.log1p(counts.max())
    from matplotlib.colors import to_rgb

    cells.set_array(None)
    cells.set_facecolor([(*to_rgb(color), alpha) for alpha in shade])


def truth_axis_label(data: ReportData) -> str:
    """Return the label of an axis of human scores, with the ends of their scale."""
    scale = data.suite.mos_range
    return f"{data.truth_name}, {scale[0]:g} to {scale[1]:g}" if scale else data.truth_name


def describe_scatter(data: ReportData) -> str:
    """Return the alternative text of the scatter plot."""
    texts = []
    for run in data.runs:
        x, _, _ = data.pairs(run)
        srcc = run.measures.get("srcc")
        correlation = f", rank correlation {srcc.value:.3f}" if srcc and srcc.value is not None else ""
        texts.append(f"{run.name}: {len(x)} predictions against the {data.truth_name}{correlation}")
    return "Scatter plots with a fitted curve. " + "; ".join(texts) + "."


# ---------------------------------------------------------------------------------------------- histogram


def draw_histogram(data: ReportData, palette: Palette) -> Any:
    """Draw a histogram of the predictions of each run."""
    figure, grid = make_figure(7.2, 3.4, palette)
    axes = grid[0, 0]
    edges = np.linspace(1, 5, 25)
    for number, run in enumerate(data.runs):
        values = run.predicted[np.isfinite(run.predicted)]
        axes.hist(values, edges, histtype="stepfilled", color=palette.run(number), alpha=0.45,
                  edgecolor=palette.run(number), label=shorten_label(run.name))  # fmt: skip
    axes.set_xlabel("prediction, 1 to 5")
    axes.set_ylabel("rows")
    axes.yaxis.get_major_locator().set_params(integer=True)
    if len(data.runs) > 1:
        add_legend(axes, palette)
    return figure


def describe_histogram(data: ReportData) -> str:
    """Return the alternative text of the histogram."""
    texts = [f"{run.name}: {np.isfinite(run.predicted).sum()} predictions" for run in data.runs]
    return f"Histogram of the predicted scores; this data has no human scores. {'; '.join(texts)}."


# -------------------------------------------------------------------------------------------- calibration


def has_calibration(data: ReportData) -> bool:
    """Return whether the calibration of elements or of scores can be drawn."""
    return data.has_elements or any(_score_steps(data, run) for run in data.runs)


def _score_steps(data: ReportData, run: RunAnswers) -> list[ScoreStep]:
    steps = data.score_steps(run)
    return [] if isinstance(steps, str) else steps


def draw_calibration(data: ReportData, palette: Palette) -> Any:
    """Draw the calibration of the elements' probabilities, of the scores, or of both."""
    has_steps = any(_score_steps(data, run) for run in data.runs)
    available = ((_draw_element_calibration, data.has_elements), (_draw_score_calibration, has_steps))
    parts = [draw for draw, is_available in available if is_available]
    figure, grid = make_figure(5.2 * len(parts), 4.5, palette, 1, len(parts))
    for draw, axes in zip(parts, grid.flat, strict=True):
        draw(axes, data, palette)
        if len(data.runs) > 1:
            add_legend(axes, palette, loc="upper left")
    return figure


def _draw_element_calibration(axes: Any, data: ReportData, palette: Palette) -> None:
    axes.plot([0, 1], [0, 1], color=palette.faint, linewidth=1, linestyle=(0, (4, 3)))
    for number, run in enumerate(data.runs):
        bins = [b for b in element_calibration(run) if b.count]
        x, y = [b.confidence for b in bins], [b.frequency for b in bins]
        largest = max((b.count for b in bins), default=1)
        axes.scatter(x, y, s=[14 + 170 * b.count / largest for b in bins], color=palette.run(number),
                     alpha=0.8, linewidths=0, zorder=3, label=shorten_label(run.name))  # fmt: skip
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title="Presence of elements")
    axes.set_xlabel("predicted probability (larger dots: more elements)")
    axes.set_ylabel("share of elements that are present")


def _draw_score_calibration(axes: Any, data: ReportData, palette: Palette) -> None:
    scale = data.suite.mos_range or (1.0, 5.0)
    axes.axline((scale[0], scale[0]), slope=1, color=palette.faint, linewidth=1, linestyle=(0, (4, 3)))
    low, high = scale[1], scale[0]
    for number, run in enumerate(data.runs):
        steps = _score_steps(data, run)
        for step in steps:
            ends = step.human.interval
            if ends is not None and ends.low is not None and ends.high is not None:
                axes.plot([step.predicted] * 2, [ends.low, ends.high], color=palette.run(number), alpha=0.45)
                low, high = min(low, ends.low), max(high, ends.high)
        x, y = [s.predicted for s in steps], [s.human.value or 0.0 for s in steps]
        axes.plot(x, y, marker="o", markersize=5.5, color=palette.run(number), label=shorten_label(run.name))
        low, high = min([low, *x, *y]), max([high, *x, *y])
    margin = 0.06 * (high - low or 1.0)
    limits = (low - margin, high + margin)
    axes.set(xlim=limits, ylim=limits, title="Level of the scores")
    axes.set_xlabel(f"prediction mapped to {scale[0]:g} to {scale[1]:g}, tenths of the rows")
    axes.set_ylabel(f"mean {data.truth_name}, 95 % interval")


def describe_calibration(data: ReportData) -> str:
    """Return the alternative text of the calibration plot."""
    texts = []
    for run in data.runs:
        error = run.measures.get("element_calibration_error")
        if error is not None and error.value is not None:
            texts.append(f"{run.name}: mean calibration error of the elements {error.value:.3f}")
        if steps := _score_steps(data, run):
            first, last = steps[0], steps[-1]
            texts.append(
                f"{run.name}: mean prediction {first.predicted:.2f} in the lowest tenth, mean "
                f"{data.truth_name} {first.human.value:.2f}; {last.predicted:.2f} and {last.human.value:.2f} "
                "in the highest tenth"
            )
    return f"Calibration: predicted against true values; perfect on the diagonal. {'; '.join(texts)}."
