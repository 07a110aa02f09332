"""Compare verdicts and scores per second of this package and of the libraries it is built on.

    generate       transformers' `generate`, and JSON parsed from its text, in batches
    walker         our backend `transformers`
    outlines       `outlines.Generator` on llguidance, with one schema for each form, which is cached
    outlines_open  the same with one schema for all forms, which leaves the names of the elements open, in
    batches bare_forward   the model's forward pass alone, on exactly the tensors of the walker at depth
    `score` vllm_raw       the vLLM engine in this process with images and the requests of our backend
    `vllm`, without our
                   code: nothing is prepared, checked or parsed
    vllm           our backend `vllm`
    gateway        `judge serve --backend vllm` with concurrent clients

All systems answer the same scenes, in alternating rounds of one run. A ratio is the median over the rounds
of the two rates in one round, so that other load on the machine affects both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, get_args

import numpy as np

from eval.bench.speed.systems.base import SystemGroup, SystemUnavailableError, TimedRun
from eval.bench.speed.systems.child_process import ChildProcessGroup
from judge.errors import InputError, JudgeError
from judge.types import Depth, Sample

RATE_KEYS = {"verdict": "verdicts_per_s", "score": "scores_per_s"}
COMPARISONS: tuple[tuple[str, str, Depth, float | None], ...] = (
    ("walker", "generate", "score", 5.0),
    ("walker", "bare_forward", "score", 0.75),
    ("walker", "generate", "verdict", 1.5),
    ("walker", "outlines", "verdict", 2.0),
    ("walker", "outlines_open", "verdict", None),
    ("vllm", "vllm_raw", "verdict", 0.95),
    ("vllm", "vllm_raw", "score", 0.95),
    ("gateway", "vllm", "verdict", 0.9),
    ("gateway", "vllm", "score", 0.9),
)
"""(system, compared with, depth, target of the ratio or None)."""
WARM_UP_SAMPLES = 32
"""Number of samples of a system's first run, which is not timed."""
GROUPS = {
    "local": ("generate", "walker", "outlines", "outlines_open", "bare_forward"),
    "vllm": ("vllm_raw", "vllm"),
    "gateway": ("gateway",),
}
"""The systems of each group."""


def create_groups(
    model: str,
    adapter: str | None,
    seed: int,
    count: int,
    *,
    batch: int = 16,
    clients: int = 64,
    gateway: str = "vllm",
    only: Sequence[str] | None = None,
) -> dict[tuple[str, ...], SystemGroup]:
    """Create the groups of systems, each in a child process that is not started yet.

    Args:
        model: name or folder of the model of all systems.
        adapter: name or folder of its LoRA adapter.
        seed: seed of the scenes.
        count: number of scenes.
        batch: number of images that the systems of the group `local` judge together.
        clients: number of concurrent clients of the gateway.
        gateway: backend of the gateway.
        only: names of some `GROUPS`; None: all.

    Returns:
        Groups by the names of their systems.

    Raises:
        InputError: `only` names an unknown group.
    """
    groups: dict[str, SystemGroup] = {
        "local": ChildProcessGroup(_create_local, model, adapter, seed, count, batch),
        "vllm": ChildProcessGroup(_create_vllm, model, adapter, seed, count),
        "gateway": ChildProcessGroup(_create_gateway, model, adapter, gateway, seed, count, clients),
    }
    for name in only or ():
        if name not in GROUPS:
            raise InputError("only", name, ", ".join(GROUPS), "use one of them")
    return {GROUPS[name]: group for name, group in groups.items() if not only or name in only}


def _create_local(model: str, adapter: str | None, seed: int, count: int, batch: int) -> SystemGroup:
    from eval.bench.speed.systems.local import LocalGroup

    return LocalGroup(model, adapter, _draw_samples(seed, count), batch)


def _create_vllm(model: str, adapter: str | None, seed: int, count: int) -> SystemGroup:
    from eval.bench.speed.systems.vllm import VllmGroup

    return VllmGroup(model, adapter, _draw_samples(seed, count))


def _create_gateway(
    model: str, adapter: str | None, backend: str, seed: int, count: int, clients: int
) -> SystemGroup:
    from eval.bench.speed.systems.gateway import GatewayGroup

    return GatewayGroup(model, adapter, backend, _draw_samples(seed, count), clients)


def _draw_samples(seed: int, count: int) -> list[Sample]:
    from judge.scenes.held_out import draw_held_out_scenes

    return [scene.unlabelled_sample() for scene in draw_held_out_scenes(count, seed)]


@dataclass
class SystemRuns:
    """One system with its runs."""

    name: str
    group: SystemGroup
    runs: dict[Depth, list[TimedRun | None]] = field(
        default_factory=lambda: {depth: [] for depth in get_args(Depth)}
    )
    """Runs of each round by depth; None where the system has no answer at that depth."""
    description: dict[str, Any] = field(default_factory=dict)
    """What the result reports of the system besides its rates; `cannot_run` if it failed."""


def measure_serving(
    groups: Mapping[tuple[str, ...], SystemGroup],
    count: int,
    *,
    rounds: int = 3,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Run the systems in turns.

    Args:
        groups: groups by the names of their systems.
        count: number of samples.
        rounds: number of timed runs of each system at each depth.
        tick: called after each run.

    Returns:
        For each system its rates, its share of usable answers and its description, or `cannot_run`, the
        reason why it did not run; `ratios`, `ratios_by_round` and the targets `asked`, by the same names.
    """
    systems, result = list[SystemRuns](), dict[str, Any]()
    try:
        for names, group in groups.items():
            try:
                descriptions = group.start()
            except (SystemUnavailableError, JudgeError) as error:
                result |= {name: {"cannot_run": str(error)} for name in names}
                continue
            systems += [SystemRuns(name, group, description=descriptions.get(name, {})) for name in names]
        run_ids = iter(range(1, 1 << 24))
        for system in systems:
            _run_system(system, run_ids, min(count, WARM_UP_SAMPLES), tick, is_timed=False)
        for round_number in range(rounds):
            first = round_number % len(systems) if systems else 0
            for system in [*systems[first:], *systems[:first]]:
                _run_system(system, run_ids, count, tick)
    finally:
        for group in groups.values():
            group.stop()
    result |= {system.name: _summarize(system) for system in systems}
    return {
        **{name: result[name] for names in groups for name in names},
        **_compute_ratios({system.name: system for system in systems}),
        "count": count,
        "rounds": rounds,
    }


def _run_system(
    system: SystemRuns,
    run_ids: Iterator[int],
    count: int,
    tick: Callable[[], None],
    is_timed: bool = True,
) -> None:
    """Run a system once at each depth."""
    for depth in get_args(Depth):
        timed_run = None
        if "cannot_run" not in system.description:
            try:
                timed_run = system.group.run(system.name, depth, next(run_ids), count)
            except SystemUnavailableError:
                pass
            except Exception as error:  # a failing system must not stop the others
                system.description["cannot_run"] = f"{type(error).__name__}: {error}"
        if is_timed:
            system.runs[depth].append(timed_run)
        tick()


def _summarize(system: SystemRuns) -> dict[str, Any]:
    """Return the part of the result about one system."""
    summary: dict[str, Any] = dict.fromkeys(RATE_KEYS.values())
    for depth, runs in system.runs.items():
        done = [run for run in runs if run]
        if done:
            summary[RATE_KEYS[depth]] = median(run.count / run.seconds for run in done)
            summary[f"usable_{depth}s"] = sum(run.usable for run in done) / sum(run.count for run in done)
        if latencies := [seconds for run in done for seconds in run.latencies]:
            summary |= {f"{depth}_p{p}_s": float(np.percentile(latencies, p)) for p in (50, 99)}
            summary[f"{depth}_error_rate"] = sum(run.errors for run in done) / len(latencies)
    return {**summary, **system.description}


def _compute_ratios(systems: Mapping[str, SystemRuns]) -> dict[str, Any]:
    ratios: dict[str, float | None] = {}
    ratios_by_round: dict[str, list[float]] = {}
    targets: dict[str, float] = {}
    for name, other, depth, target in COMPARISONS:
        key = f"{name}_to_{other}_{depth}s"
        pairs = zip(_runs_of(systems, name, depth), _runs_of(systems, other, depth), strict=False)
        ratios_by_round[key] = [_rate(a) / _rate(b) for a, b in pairs if a and b]
        ratios[key] = median(ratios_by_round[key]) if ratios_by_round[key] else None
        if target is not None:
            targets[key] = target
    return {"ratios": ratios, "ratios_by_round": ratios_by_round, "asked": targets}


def _runs_of(systems: Mapping[str, SystemRuns], name: str, depth: Depth) -> list[TimedRun | None]:
    return systems[name].runs[depth] if name in systems else []


def _rate(run: TimedRun) -> float:
    return run.count / run.seconds


def make_table(result: dict[str, Any]) -> Any:
    """Return the result as a Rich table: the systems, then the ratios with their targets."""
    from rich.table import Table

    title = f"serving: {result['count']} scenes, median of {result['rounds']} rounds"
    table = Table(title=title, title_justify="left", show_edge=False)
    for column in ("", "verdicts/s", "scores/s"):
        table.add_column(column, justify="right" if column else "left")
    table.add_column("", overflow="fold")
    for name, summary in result.items():
        if isinstance(summary, dict) and (set(RATE_KEYS.values()) & set(summary) or "cannot_run" in summary):
            rates = (_format_value(summary.get(key)) for key in RATE_KEYS.values())
            others = {key: value for key, value in summary.items() if key not in RATE_KEYS.values()}
            notes = ", ".join(f"{key} {_format_value(value)}" for key, value in others.items())
            table.add_row(name, *rates, notes)
    table.add_section()
    for depth in ("verdict", "score"):
        for key, ratio in result["ratios"].items():
            if key.endswith(f"_{depth}s"):
                cells = (_format_value(ratio), "") if depth == "verdict" else ("", _format_value(ratio))
                target = result["asked"].get(key)
                note = f"target: {target:g}" if target else ""
                table.add_row(key.removesuffix(f"_{depth}s"), *cells, note)
    return table


def _format_value(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
