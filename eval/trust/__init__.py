"""Can a judge be believed? One table and `trust.json`, on any judge: `judge eval run trust --out RUN`.

Scenes are the material, since their truth is exact: what is there, what is broken, and how each picture would
look had nothing been broken. All numbers are in points of the score (1..5) or shares.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from eval.trust import attribution, injection, invariance, repair, truth
from eval.trust.material import Tick, drawn

TARGETS: dict[str, tuple[str, float]] = {
    "batch_delta": ("<=", 1e-3),
    "backend_delta": ("<=", 1e-3),
    "order_bias": ("<=", 1e-3),
    "injection_delta": ("<=", 0.05),
    "ece": ("<=", 0.05),
    "clean_accuracy": (">=", 0.85),
    "repair_raises": (">=", 0.85),
    "random_repair_raises": ("<=", 0.15),
}
"""What the embedded judge is held to; the keys that every run reports."""
SOME = 48
"""Pictures for what is measured picture by picture rather than as a share of them."""
TALKED_TO = 200
"""Pictures that instructions are put to. What is reported is the largest of many means, which is not 0 even
where all that moves a score is chance; with 24 pictures that alone makes some hundredths."""


def run(
    judge: Any,
    count: int,
    seed: int,
    *,
    others: Mapping[str, Callable[[], Any]] | None = None,
    batch: int = 16,
    tick: Tick = lambda: None,
) -> dict[str, Any]:
    """Measure everything.

    Args:
        judge: `judge.Judge`, or anything with its `many` and `compare`.
        count: scenes to draw.
        seed: of everything that is drawn or shuffled.
        others: the same model on other backends, by name, made when their turn comes.
        batch: pictures judged together.
        tick: called after every verdict.

    Returns:
        Numbers by name, None where one is undefined; `notes` says why, and what a number means.
    """
    scenes = drawn(count, seed)
    verdicts = []
    for verdict in judge.many([scene.sample for scene in scenes], batch=batch):
        verdicts.append(verdict)
        tick()
    some, known = scenes[:SOME], verdicts[:SOME]
    found: dict[str, Any] = {}
    notes: dict[str, str] = {}
    for part in (
        invariance.measure(judge, some, known, others or {}, seed, batch, tick),
        injection.measure(judge, scenes[:TALKED_TO], verdicts[:TALKED_TO], batch, tick),
        truth.measure(judge, scenes, verdicts, batch, tick),
        repair.measure(judge, scenes, verdicts, seed, batch, tick),
        attribution.measure(judge, some, known, tick),
    ):
        found.update(part.numbers)
        notes.update(part.notes)
    unscored = sum(verdict.score is None for verdict in verdicts)
    ordered = {name: found.pop(name) for name in TARGETS}
    return {**ordered, **found, "unscored": unscored, "count": count, "seed": seed, "notes": notes}


def met(name: str, value: float | None) -> bool | None:
    """Whether a number reaches its target; None where it has none or is undefined."""
    if name not in TARGETS or value is None:
        return None
    sign, target = TARGETS[name]
    return value <= target if sign == "<=" else value >= target


def write(result: Mapping[str, Any], out: Path) -> Path:
    """`out/trust.json`, whole or not at all."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "trust.json"
    draft = file.with_name(".trust.json.part")
    draft.write_text(json.dumps(result, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    draft.replace(file)
    return file


def table(result: Mapping[str, Any]) -> Any:
    """The numbers with their targets, as a Rich table."""
    from rich.table import Table

    grid = Table(title="trust", title_justify="left", show_edge=False)
    for column in ("", "value", "target", "", "note"):
        grid.add_column(column, justify="right" if column == "value" else "left", overflow="fold")
    for name, value in result.items():
        if name == "notes" or isinstance(value, str):
            continue
        sign, target = TARGETS.get(name, ("", 0.0))
        fine = met(name, value)
        grid.add_row(
            name,
            "–" if value is None else f"{value:.4g}",
            f"{sign} {target:g}" if sign else "",
            {True: "ok", False: "missed", None: ""}[fine],
            result["notes"].get(name, ""),
        )
    return grid
