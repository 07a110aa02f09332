"""Plots of elements by kind and of generators, each with its alternative text."""

from __future__ import annotations

from typing import Any

from eval.metrics.metric_value import MetricValue
from eval.report.data import ReportData
from eval.report.plot_style import (
    FULL_WIDTH,
    Palette,
    add_legend,
    draw_intervals,
    make_figure,
    set_row_names,
    shorten_label,
)
from eval.report.rankings import rank_generators
from eval.report.score_plots import truth_axis_label


def draw_kinds(data: ReportData, palette: Palette) -> Any:
    """Draw the accuracy of each run by kind of element, with the best constant answer."""
    table = data.accuracy_by_kind
    figure, grid = make_figure(FULL_WIDTH * 0.86, 1.1 + (0.26 + 0.16 * len(data.runs)) * len(table), palette)
    axes = grid[0, 0]
    kinds = list(table)
    for number, run in enumerate(data.runs):
        shift = (number - (len(data.runs) - 1) / 2) * 0.2
        values = [table[kind][number] for kind in kinds]
        draw_intervals(axes, values, shift, palette.run(number), shorten_label(run.name))
    constant = [table[kind][-1].value for kind in kinds]
    axes.scatter(constant, range(len(kinds)), marker="|", s=190, color=palette.faint, linewidths=1.6,
                 label="best constant answer")  # fmt: skip
    set_row_names(axes, [f"{shorten_label(kind)}  ({table[kind][0].count})" for kind in kinds])
    axes.set_xlabel("accuracy of elements, 95 % interval")
    lowest = min(
        [value for value in constant if value is not None]
        + [m.value for row in table.values() for m in row[:-1] if m.value is not None]
    )
    axes.set_xlim(min(0.5, max(0.0, lowest - 0.08)), 1.01)
    columns = min(4, len(data.runs) + 1)
    add_legend(axes, palette, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns)
    return figure


def describe_kinds(data: ReportData) -> str:
    """Return the alternative text of the plot of kinds."""
    texts = []
    for kind, row in data.accuracy_by_kind.items():
        values = [f"{m.value:.2f}" if m.value is not None else "undefined" for m in row]
        texts.append(f"{kind} {', '.join(values[:-1])} (best constant answer {values[-1]})")
    order = ", then ".join(run.name for run in data.runs)
    return f"Accuracy of elements by kind, for {order}: {'; '.join(texts)}."


def draw_generators(data: ReportData, palette: Palette) -> Any:
    """Draw the mean score of each generator by each run, and by people if there are human scores."""
    true_ranking = rank_generators(data.generators, data.truth)
    rankings = [rank_generators(data.generators, run.predicted) for run in data.runs]
    names = [generator.name for generator in (true_ranking or rankings[0])]
    counts = {g.name: g.count for ranking in (*rankings, true_ranking) for g in ranking}
    width = FULL_WIDTH if true_ranking else FULL_WIDTH * 0.7
    height = 1.1 + (0.22 + 0.13 * len(data.runs)) * len(names)
    figure, grid = make_figure(width, height, palette, 1, 2 if true_ranking else 1, sharey=True)
    axes = grid[0, 0]
    for number, (run, ranking) in enumerate(zip(data.runs, rankings, strict=True)):
        shift = (number - (len(data.runs) - 1) / 2) * 0.22
        means = {generator.name: generator.mean for generator in ranking}
        values = [means.get(name, MetricValue(None, "no row")) for name in names]
        draw_intervals(axes, values, shift, palette.run(number), shorten_label(run.name))
    axes.set_title("mean score by the judge" if len(data.runs) == 1 else "mean scores by the judges")
    axes.set_xlabel("1 to 5, 95 % interval")
    if len(data.runs) > 1:
        add_legend(axes, palette, loc="lower right")
    if true_ranking:
        values = [generator.mean for generator in true_ranking]
        draw_intervals(grid[0, 1], values, 0.0, palette.ink, data.truth_source)
        grid[0, 1].set_title(f"mean {data.truth_name}")
        grid[0, 1].set_xlabel(f"{truth_axis_label(data)}, 95 % interval")
    for axes in grid.flat:
        set_row_names(axes, [f"{shorten_label(name)}  ({counts[name]})" for name in names])
    return figure


def describe_generators(data: ReportData) -> str:
    """Return the alternative text of the plot of generators."""
    texts = []
    for run in data.runs:
        ranking = rank_generators(data.generators, run.predicted)
        means = ", ".join(f"{generator.name} {generator.mean.value:.2f}" for generator in ranking[:12])
        texts.append(f"{run.name}: {means}")
    return f"Generators by mean score, the best first. {'; '.join(texts)}."
