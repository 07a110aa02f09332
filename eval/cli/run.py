"""The commands `run` and `merge`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eval.cli import judges
from eval.cli.errors import one_line_errors
from eval.cli.options import (
    Adapter,
    Anyway,
    Backend,
    BaseUrl,
    Batch,
    DataOfRun,
    DataToJudge,
    Depth,
    ElementsFrom,
    Limit,
    Model,
    OptionsFile,
    RubricName,
    Seed,
    Shard,
    Split,
    SuiteName,
    SuiteOptions,
    parse_shard,
)
from eval.cli.progress import show_progress
from judge.batch.ray_options import Cpus, Gpus, RayAddress, Workers
from judge.errors import InputError

if TYPE_CHECKING:
    from eval.runs.plan import Plan, RunProgress
    from judge.judge import Judge

TRUST_SCENES = 200
"""Number of scenes that the suite `trust` draws by default."""


def run(
    suite: SuiteName,
    out: Annotated[Path, typer.Option(help="RUN folder; the same command resumes it.")],
    data: DataToJudge = None,
    model: Model = "embedded",
    adapter: Adapter = None,
    backend: Backend = "auto",
    base_url: BaseUrl = None,
    rubric: RubricName = None,
    depth: Depth = None,
    split: Split = None,
    limit: Limit = None,
    shard: Shard = "1/1",
    batch: Batch = 16,
    seed: Seed = 0,
    elements: ElementsFrom = "auto",
    option: SuiteOptions = None,
    options_file: OptionsFile = None,
    keep_going: Annotated[
        bool,
        typer.Option("--keep-going", help="Do not stop when many rows in a row fail for the same reason."),
    ] = False,
    anyway: Anyway = False,
    ray: RayAddress = None,
    workers: Workers = None,
    cpus: Cpus = 1.0,
    gpus: Gpus = 0.0,
) -> None:
    """Judge a benchmark into RUN. The command may be killed at any time; the same command resumes it.

    `trust` is a suite of another kind: it draws its own images (--limit of them, 200 by default) and writes
    RUN/trust.json, which says how stable, calibrated and robust the judge is.
    """
    with one_line_errors():
        if suite == "trust":
            _check_trust_options(data, ray, split, depth)
            _, options = judges.split_options(option, options_file, (), model, backend, base_url)
            judge = judges.open_judge(model, adapter, backend, rubric or "default", base_url, seed, **options)
            return _run_trust(judge, out, limit or TRUST_SCENES, seed, batch)
        if data is None:
            raise InputError("data", None, "the benchmark's folder or label file", "give --data")
        if ray is not None and shard != "1/1":
            mend = "leave it out: Ray divides the rows itself"
            raise InputError("shard", shard, "no shard together with --ray", mend)
        from eval import suites
        from eval.runs.plan import Plan
        from judge.elements.splitters.registry import check_splitter

        benchmark = suites.load_suite(suite)
        suite_options, options = judges.split_options(
            option, options_file, benchmark.options, model, backend, base_url
        )
        plan = Plan(
            benchmark,
            data,
            split=split,
            limit=limit,
            shard=parse_shard(shard),
            depth=depth.value if depth else benchmark.depth,
            batch=batch,
            options=suite_options,
        )
        options |= {} if elements == "auto" else {"elements": check_splitter(elements)}
        options |= {"out_of_domain": "score"} if anyway else {}
        make_judge = partial(
            judges.open_judge, model, adapter, backend, rubric or benchmark.rubric, base_url, seed, **options
        )
        try:
            if ray is None:
                progress = _run_here(plan, out, make_judge, keep_going)
            else:
                progress = _run_on_ray(plan, out, make_judge, ray, workers, cpus, gpus)
        except KeyboardInterrupt:
            typer.echo(f"{out}: interrupted; the same command resumes it", err=True)
            raise typer.Exit(130) from None
    _print_summary(out, progress)


def _run_here(plan: Plan, out: Path, make_judge: Callable[[], Judge], keep_going: bool) -> RunProgress:
    from eval.runs.local import MAX_EQUAL_FAILURES, run_plan

    max_failures = None if keep_going else MAX_EQUAL_FAILURES
    with show_progress(out) as tick:
        return run_plan(plan, out, make_judge(), max_equal_failures=max_failures, tick=tick)


def _run_on_ray(
    plan: Plan,
    out: Path,
    make_judge: Callable[[], Judge],
    ray: str,
    workers: int | None,
    cpus: float,
    gpus: float,
) -> RunProgress:
    from eval.runs.distributed import run_plan_on_workers
    from judge.batch.command import import_ray_workers, ray_connection

    with show_progress(out) as tick:
        ray_workers = import_ray_workers().RayWorkers(
            make_judge, plan.depth, plan.batch, workers=workers, cpus=cpus, gpus=gpus
        )
        with ray_connection(ray):
            return run_plan_on_workers(plan, out, make_judge(), ray_workers, tick=tick)


def _print_summary(out: Path, progress: RunProgress) -> None:
    from judge.batch.command import describe_unscored

    text = f"{out}: {progress.done} rows, {progress.done - progress.unscored} scored, "
    text += describe_unscored(progress.unscored, progress.abstained)
    text += f"; {progress.resumed} of them by earlier calls" if progress.resumed else ""
    text += "; an incomplete last line was repaired" if progress.repaired else ""
    typer.echo(text, err=True)


def _check_trust_options(data: Path | None, ray: str | None, split: str | None, depth: Depth) -> None:
    """Check that no option is given that the suite `trust` does not have.

    Raises:
        InputError: one is given.
    """
    for name, value in (("data", data), ("ray", ray), ("split", split), ("depth", depth)):
        if value is not None:
            allowed = "no value with trust, which draws its own scenes"
            raise InputError(name, str(value), allowed, "leave it out")


def _run_trust(judge: Judge, out: Path, count: int, seed: int, batch: int) -> None:
    """Measure how far a judge can be trusted, print the table and write `trust.json`."""
    from rich.console import Console

    from eval.trust.suite import make_table, measure_trust, write_result

    if out.is_file():
        raise InputError("out", str(out), "a folder", "name another one")
    result = measure_trust(judge, count, seed, others=judges.other_backends(judge), batch=batch)
    file = write_result(result, out)
    Console().print(make_table(result))
    typer.echo(str(file), err=True)


def merge(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="All shards of one run of judge eval run or judge score."),
    ],
    out: Annotated[
        Path,
        typer.Option(help="RUN folder to write; for judge score a JSONL file, in the order of the rows."),
    ],
    data: DataOfRun = None,
) -> None:
    """Merge shards into one run, after checking that no row is missing or occurs twice."""
    with one_line_errors():
        from eval.runs.merge import merge_shards

        count = merge_shards(runs, out, data)
    typer.echo(f"{out}: {count} rows", err=True)
