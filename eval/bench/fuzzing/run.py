"""Try damaged inputs in processes of their own, and count what becomes of them.

A warning counts as a crash, and so does an input that takes too long, too much memory, or its process with
it.
"""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.fuzzing.targets import TARGETS
from judge.errors import InputError, JudgeError

HANG_FACTOR = 6.0
"""Wall time after which a process is ended, as a multiple of the CPU time that an input may take: a machine
may be busy."""
START_SECONDS = 180.0
"""Time that a process may take to load the libraries and make the originals."""
OUTCOMES = ("ok", "refused", "crashed")


@dataclass(frozen=True)
class Attempt:
    """What became of one input."""

    number: int
    outcome: str
    """One of `OUTCOMES`."""
    seconds: float = 0.0
    """CPU time."""
    mebibytes: float = 0.0
    """Memory at its highest, above that before."""
    error: str = ""
    """What went wrong, for a crash."""


def fuzz(
    kinds: Sequence[str], first: int, count: int, seed: int, tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Try inputs of each kind.

    Args:
        kinds: some of `TARGETS`.
        first: number of the first input; input N of a seed is always the same.
        count: number of inputs of each kind.
        seed: seed of the damage.
        tick: called after each input.

    Returns:
        For each kind: inputs per outcome, the slowest input, the largest one in memory, and the first crash.

    Raises:
        InputError: a kind is unknown.
    """
    for kind in kinds:
        if kind not in TARGETS:
            raise InputError("kind", kind, ", ".join(TARGETS), "use one of them")
    results: dict[str, Any] = {"seed": seed, "first": first, "count": count}
    for kind in kinds:
        attempts = []
        for attempt in try_inputs(kind, range(first, first + count), seed):
            attempts.append(attempt)
            tick()
        results[kind] = summarise(attempts)
    results["crashed"] = sum(results[kind]["crashed"] for kind in kinds)
    return results


def summarise(attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Return the numbers of one kind of input."""
    slowest = max(attempts, key=lambda attempt: attempt.seconds)
    largest = max(attempts, key=lambda attempt: attempt.mebibytes)
    crashes = [attempt for attempt in attempts if attempt.outcome == "crashed"]
    return {
        **{name: sum(attempt.outcome == name for attempt in attempts) for name in OUTCOMES},
        "slowest": {"input": slowest.number, "seconds": slowest.seconds},
        "largest": {"input": largest.number, "mebibytes": largest.mebibytes},
        **({"first_crash": {"input": crashes[0].number, "error": crashes[0].error}} if crashes else {}),
    }


def try_inputs(kind: str, numbers: range, seed: int) -> Iterator[Attempt]:
    """Try inputs in a process of their own, which is replaced if one of them ends or hangs it."""
    context = multiprocessing.get_context("spawn")
    limit, numbers_left = TARGETS[kind], numbers
    while numbers_left:
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, kind, numbers_left, seed), daemon=False)
        process.start()
        theirs.close()
        reason, wait = "", START_SECONDS
        try:
            while True:
                if not ours.poll(wait):
                    reason = f"it took more than {wait:g} s"
                    break
                message = ours.recv()
                wait = HANG_FACTOR * limit.seconds
                if isinstance(message, Attempt):
                    numbers_left = numbers_left[1:]
                    yield message
                    if not numbers_left:
                        break
        except (EOFError, ConnectionError):
            process.join(10)
            reason = f"its process ended with code {process.exitcode}"
        finally:
            ours.close()
            process.join(0.1 if reason else 30)
            if process.is_alive():
                process.kill()
            process.join()
        if reason and numbers_left:
            yield Attempt(numbers_left[0], "crashed", limit.seconds, error=reason)
            numbers_left = numbers_left[1:]


def _work(connection: Connection, kind: str, numbers: range, seed: int) -> None:
    """Try inputs and send what becomes of each, after a message that the process is ready."""
    # Decoders print on standard error what is wrong with their input.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    with TARGETS[kind].open() as attempt:
        connection.send("ready")
        for number in numbers:
            connection.send(try_one(attempt, kind, number, seed))


def try_one(attempt: Callable[[np.random.Generator], bool], kind: str, number: int, seed: int) -> Attempt:
    """Make one input and try it in this process.

    Args:
        attempt: of the kind's target, opened.
        kind: one of `TARGETS`.
        number: number of the input.
        seed: seed of the damage.
    """
    rng = np.random.default_rng((seed, list(TARGETS).index(kind), number))
    before, start = _reset_peak_memory(), time.process_time()
    outcome, error = "ok", ""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # What packages of others warn of when they are first imported is theirs to mend.
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"(?!judge\.)")
        try:
            outcome = "ok" if attempt(rng) else "refused"
        except JudgeError:
            outcome = "refused"
        except Exception as problem:
            where = traceback.extract_tb(problem.__traceback__)[-1]
            place = f"{Path(where.filename).name}:{where.lineno} {where.name}"
            outcome, error = "crashed", f"{type(problem).__name__}: {problem} ({place})"[:400]
    seconds, mebibytes = time.process_time() - start, max(0.0, _peak_memory() - before)
    limit = TARGETS[kind]
    if outcome != "crashed" and (seconds > limit.seconds or mebibytes > limit.mebibytes):
        outcome = "crashed"
        error = f"it took {seconds:.1f} s of {limit.seconds:g} and {mebibytes:.0f} MiB of {limit.mebibytes:g}"
    return Attempt(number, outcome, round(seconds, 3), round(mebibytes, 1), error)


def _reset_peak_memory() -> float:
    """Forget how much memory this process held at most; return what it holds, in MiB."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:  # not Linux: the peak is then that of the whole process
        pass
    return _peak_memory()


def _peak_memory() -> float:
    """Return the memory that this process held at most, in MiB; 0 where that cannot be read."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return 0.0
    return next(
        (int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM")), 0.0
    )
