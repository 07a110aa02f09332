"""Plots the rewards, the drift and the held-out measure of a reinforcement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from finetune.rl.config import RewardConfig


def plot_curves(history: Sequence[Mapping[str, Any]], metric: str, out: Path) -> None:
    """Write a PNG of rewards, drift and held-out measure over steps.

    Args:
        history: lines of the log, each with `step`.
        metric: name of the held-out measure; empty if there is none.
        out: the file.
    """
    from matplotlib.figure import Figure

    drift = sorted({name for row in history for name in row if name.startswith("drift_")} - {"drift_length"})
    panels = [("reward", list(RewardConfig().weights)), ("drift", drift)]
    panels += [(f"held-out {metric}", [f"eval_{metric}"])] if metric else []
    figure = Figure(figsize=(4.2 * len(panels), 3.2), layout="constrained")
    plots = figure.subplots(1, len(panels), squeeze=False)[0]
    for plot, (title, names) in zip(plots, panels, strict=True):
        for name in names:
            points = [(row["step"], row[name]) for row in history if name in row]
            if points:
                label = name.removeprefix("drift_").removeprefix("eval_")
                plot.plot(*zip(*points, strict=True), label=label, marker="o" if metric in name else None)
        plot.set(xlabel="step", ylabel=title)
        plot.spines[["top", "right"]].set_visible(False)
        if len(plot.lines) > 1:
            plot.legend(frameon=False, fontsize=7)
    partial_file = out.with_name(f".{out.name}.part")
    figure.savefig(partial_file, format="png", dpi=120)
    partial_file.replace(out)
