"""Runs over the small suite, and their files, for tests of `eval.runs` and its commands."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from small_suite import BATCH, BROKEN_EVERY, DeterministicFiller

from eval.runs.local import run_plan
from eval.runs.plan import Plan, RunProgress
from judge.judge import Judge

ROWS = 40
"""Rows of the data that `conftest.py` writes."""


def steady_judge() -> Judge:
    return Judge(backend=DeterministicFiller())


def judge_plan(plan: Plan, out: Path, judge: Any = None) -> RunProgress:
    """Run a plan in batches of `BATCH`."""
    return run_plan(replace(plan, batch=BATCH), out, judge or steady_judge())


def read_results(out: Path) -> list[dict[str, Any]]:
    """Return the verdicts of a run without their milliseconds, which differ between runs."""
    verdicts = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    for verdict in verdicts:
        del verdict["provenance"]["milliseconds"]
    return verdicts


def copy_run(source: Path, target: Path) -> Path:
    target.mkdir()
    for name in ("manifest.json", "results.jsonl"):
        (target / name).write_bytes((source / name).read_bytes())
    return target


def cut_results(out: Path, random: Random) -> None:
    """Cut the results at a random byte of their first half."""
    content = (out / "results.jsonl").read_bytes()
    (out / "results.jsonl").write_bytes(content[: random.randrange(len(content) // 2)])


def count_unreadable(start: int) -> int:
    """Return the number of rows from `start` on whose image cannot be read."""
    return sum(n % BROKEN_EVERY == 3 for n in range(start, ROWS))
