"""Verdicts and scores a second, of this package and of what it is built on.

    generate       transformers' `generate` and JSON read from what it wrote, in batches
    walker         our backend `transformers`
    outlines       `outlines.Generator` on llguidance, one schema for each form, kept
    outlines_open  the same with one schema for all, which leaves the names of the elements open, in batches
    bare_forward   the model's forward pass on exactly what the walker's score depth feeds: the limit
    vllm_raw       the engine in process, handed pictures and the requests of our backend `vllm`, without our
                   code: nothing is prepared, checked or read from what it answers
    vllm           our backend `vllm`
    gateway        `judge serve --backend vllm` and many clients

All answer the same scenes in alternating rounds of one run. A ratio is the median over the rounds of the
two rates in one round, so that what else the machine does hits both sides.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, get_args

import numpy as np

from eval.bench.speed.contenders import CannotRun, Lap, Team
from judge.errors import InputError, JudgeError
from judge.types import Depth, Sample

RATE = {"verdict": "verdicts_per_s", "score": "scores_per_s"}
ASKED: tuple[tuple[str, str, Depth, float | None], ...] = (
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
"""Who, against whom, at which depth, and the least ratio that is asked for."""
WARM = 32
"""Samples of a contender's first lap, which is not timed."""


TEAMS = {
    "local": ("generate", "walker", "outlines", "outlines_open", "bare_forward"),
    "vllm": ("vllm_raw", "vllm"),
    "gateway": ("gateway",),
}


def teams(
    model: str,
    adapter: str | None,
    seed: int,
    count: int,
    *,
    batch: int = 16,
    clients: int = 64,
    gateway: str = "vllm",
    only: Sequence[str] | None = None,
) -> dict[tuple[str, ...], Team]:
    """Who takes part, each team in a process of its own.

    Args:
        model, adapter: weights of all of them.
        seed, count: of the scenes.
        batch: pictures at once, of those in this process.
        clients: of the gateway.
        gateway: backend behind it.
        only: some of `TEAMS`; None: all.

    Raises:
        InputError: `only` names another team.
    """
    made: dict[str, Team] = {
        "local": Apart(_local, model, adapter, seed, count, batch),
        "vllm": Apart(_vllm, model, adapter, seed, count),
        "gateway": Apart(_gateway, model, adapter, gateway, seed, count, clients),
    }
    for name in only or ():
        if name not in TEAMS:
            raise InputError("only", name, ", ".join(TEAMS), "use one of them")
    return {TEAMS[name]: team for name, team in made.items() if not only or name in only}


def _local(model: str, adapter: str | None, seed: int, count: int, batch: int) -> Team:
    from eval.bench.speed.contenders.local import Local

    return Local(model, adapter, _samples(seed, count), batch)


def _vllm(model: str, adapter: str | None, seed: int, count: int) -> Team:
    from eval.bench.speed.contenders.vllm import Vllm

    return Vllm(model, adapter, _samples(seed, count))


def _gateway(model: str, adapter: str | None, backend: str, seed: int, count: int, clients: int) -> Team:
    from eval.bench.speed.contenders.gateway import Gateway

    return Gateway(model, adapter, backend, _samples(seed, count), clients)


def _samples(seed: int, count: int) -> list[Sample]:
    from judge.scenes.fresh import draw_scenes

    return [scene.asked() for scene in draw_scenes(count, seed)]


@dataclass
class Entry:
    """One contender in the run."""

    name: str
    team: Team
    laps: dict[Depth, list[Lap | None]] = field(default_factory=lambda: {d: [] for d in get_args(Depth)})
    """By depth and round; None where it has no answer at that depth."""
    said: dict[str, Any] = field(default_factory=dict)


def run(
    teams: Mapping[tuple[str, ...], Team],
    count: int,
    *,
    rounds: int = 3,
    tick: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Let the teams answer in turns.

    Args:
        teams: by the names of their contenders.
        count: samples each has.
        rounds: laps of each contender at each depth.
        tick: called after every lap.

    Returns:
        One JSON object: by contender its rates, what was usable, and what it says of itself or why it
        cannot run; `ratios`, `ratios_by_round` and `asked` by the same names.
    """
    entries, result = list[Entry](), dict[str, Any]()
    try:
        for names, team in teams.items():
            try:
                said = team.start()
            except (CannotRun, JudgeError) as error:
                result |= {name: {"cannot_run": str(error)} for name in names}
                continue
            entries += [Entry(name, team, said=said.get(name, {})) for name in names]
        visits = iter(range(1, 1 << 24))
        for entry in entries:
            _lap(entry, visits, min(count, WARM), tick, timed=False)
        for turn in range(rounds):
            first = turn % len(entries) if entries else 0
            for entry in [*entries[first:], *entries[:first]]:
                _lap(entry, visits, count, tick)
    finally:
        for team in teams.values():
            team.stop()
    result |= {entry.name: _told(entry) for entry in entries}
    return {
        **{name: result[name] for names in teams for name in names},
        **_ratios({entry.name: entry for entry in entries}),
        "count": count,
        "rounds": rounds,
    }


def _lap(
    entry: Entry, visits: Iterator[int], count: int, tick: Callable[[], None], timed: bool = True
) -> None:
    for depth in get_args(Depth):
        lap = None
        if "cannot_run" not in entry.said:
            try:
                lap = entry.team.lap(entry.name, depth, next(visits), count)
            except CannotRun:
                pass
            except Exception as error:  # one that breaks must not cost the others their run
                entry.said["cannot_run"] = f"{type(error).__name__}: {error}"
        if timed:
            entry.laps[depth].append(lap)
        tick()


def _told(entry: Entry) -> dict[str, Any]:
    """One contender's part of the result."""
    told: dict[str, Any] = dict.fromkeys(RATE.values())
    for depth, laps in entry.laps.items():
        done = [lap for lap in laps if lap]
        if done:
            told[RATE[depth]] = median(lap.count / lap.seconds for lap in done)
            told[f"usable_{depth}s"] = sum(lap.usable for lap in done) / sum(lap.count for lap in done)
        if latencies := [seconds for lap in done for seconds in lap.latencies]:
            told |= {f"{depth}_p{p}_s": float(np.percentile(latencies, p)) for p in (50, 99)}
            told[f"{depth}_error_rate"] = sum(lap.errors for lap in done) / len(latencies)
    return {**told, **entry.said}


def _ratios(entries: Mapping[str, Entry]) -> dict[str, Any]:
    ratios: dict[str, float | None] = {}
    rounds: dict[str, list[float]] = {}
    asked: dict[str, float] = {}
    for name, other, depth, least in ASKED:
        key = f"{name}_to_{other}_{depth}s"
        pairs = zip(_laps(entries, name, depth), _laps(entries, other, depth), strict=False)
        rounds[key] = [_rate(a) / _rate(b) for a, b in pairs if a and b]
        ratios[key] = median(rounds[key]) if rounds[key] else None
        if least is not None:
            asked[key] = least
    return {"ratios": ratios, "ratios_by_round": rounds, "asked": asked}


def _laps(entries: Mapping[str, Entry], name: str, depth: Depth) -> list[Lap | None]:
    return entries[name].laps[depth] if name in entries else []


def _rate(lap: Lap) -> float:
    return lap.count / lap.seconds


# -- A team in a process of its own ----------------------------------------------------------------------


class Apart:
    """A team in another process: engines bind threads to cores, which must not bind those of the others.

    Args:
        make: gives the team; called in the other process.
        arguments: of `make`.
    """

    def __init__(self, make: Callable[..., Team], *arguments: Any) -> None:
        self._make, self._arguments = make, arguments
        self._process: Any = None

    def start(self) -> dict[str, dict[str, Any]]:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        # No daemon: engines have children of their own.
        self._process = context.Process(target=_answer, args=(theirs, self._make, self._arguments))
        self._process.start()
        theirs.close()
        said: dict[str, dict[str, Any]] = self._told()
        return said

    def lap(self, name: str, depth: Depth, visit: int, count: int) -> Lap:
        self._pipe.send((name, depth, visit, count))
        lap: Lap = self._told()
        return lap

    def stop(self) -> None:
        if self._process is not None:
            self._pipe.close()
            self._process.join(60)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process = None

    def _told(self) -> Any:
        try:
            told = self._pipe.recv()
        except EOFError:
            self._process.join(10)
            raise CannotRun(f"its process ended with exit code {self._process.exitcode}") from None
        if isinstance(told, Exception):
            raise told
        return told


def _answer(pipe: Any, make: Callable[..., Team], arguments: tuple[Any, ...]) -> None:
    """The other process: laps until the pipe closes."""
    os.dup2(2, 1)  # whatever engines print, standard output is the caller's JSON
    team = make(*arguments)
    try:
        pipe.send(_tried(team.start))
        while True:
            pipe.send(_tried(team.lap, *pipe.recv()))
    except (EOFError, BrokenPipeError):
        team.stop()


def _tried(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except CannotRun as error:
        return error
    except Exception as error:  # not every exception can travel
        return RuntimeError(f"{type(error).__name__}: {error}")


# -- Showing ---------------------------------------------------------------------------------------------


def table(result: dict[str, Any]) -> Any:
    """The result as one table: contenders, then ratios with what is asked of them."""
    from rich.table import Table

    title = f"serving: {result['count']} scenes, median of {result['rounds']} rounds"
    grid = Table(title=title, title_justify="left", show_edge=False)
    for column in ("", "verdicts/s", "scores/s"):
        grid.add_column(column, justify="right" if column else "left")
    grid.add_column("", overflow="fold")
    for name, told in result.items():
        if isinstance(told, dict) and (set(RATE.values()) & set(told) or "cannot_run" in told):
            rates = (_shown(told.get(rate)) for rate in RATE.values())
            rest = {k: v for k, v in told.items() if k not in RATE.values()}
            grid.add_row(name, *rates, ", ".join(f"{k} {_shown(v)}" for k, v in rest.items()))
    grid.add_section()
    for depth in ("verdict", "score"):
        for key, ratio in result["ratios"].items():
            if key.endswith(f"_{depth}s"):
                cells = (_shown(ratio), "") if depth == "verdict" else ("", _shown(ratio))
                least = result["asked"].get(key)
                grid.add_row(key.removesuffix(f"_{depth}s"), *cells, f"asked: {least:g}" if least else "")
    return grid


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
