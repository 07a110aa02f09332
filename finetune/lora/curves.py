"""Plots the losses and the held-out measure of a fine-tuning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def plot_curves(history: Sequence[Mapping[str, Any]], metric: str, out: Path) -> None:
    """Write a PNG of losses and held-out measure over steps.

    Args:
        history: log lines of the Trainer, each with `step`.
        metric: name of the held-out measure; empty if there is none.
        out: the file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    names = sorted({name for row in history for name in row if name.startswith("loss")})
    plots = figure.subplots(1, 2 if metric else 1, squeeze=False)[0]
    for name in names:
        points = [(row["step"], row[name]) for row in history if name in row]
        plots[0].plot(*zip(*points, strict=True), label=name.removeprefix("loss_"))
    plots[0].set(xlabel="step", ylabel="loss")
    if names:
        plots[0].legend(frameon=False)
    if metric:
        points = [(row["step"], row[f"eval_{metric}"]) for row in history if f"eval_{metric}" in row]
        if points:
            plots[1].plot(*zip(*points, strict=True), marker="o")
        plots[1].set(xlabel="step", ylabel=f"held-out {metric}")
    for plot in plots:
        plot.spines[["top", "right"]].set_visible(False)
    partial_file = out.with_name(f".{out.name}.part")
    figure.savefig(partial_file, format="png", dpi=120)
    partial_file.replace(out)
