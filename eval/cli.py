"""`judge eval`: judge a benchmark, measure, report, submit, export. Heavy imports stand inside the commands.

Exit codes: 0 done; 1 the model could not be run; 2 bad input; 130 stopped by the keyboard.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from judge.batch.ray_options import Cpus, Gpus, RayAddress, RayCommand, Workers
from judge.errors import InputError, JudgeError

if TYPE_CHECKING:
    from eval.runs.plan import Tally
    from eval.runs.records import Recorded
    from eval.suites.base import Row
    from judge.judge import Judge
    from judge.types import Verdict

app = typer.Typer(
    help="Judge the field's benchmarks, resumably, and report how well the judge agrees with people.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class DepthName(StrEnum):
    score = "score"
    verdict = "verdict"


SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="Name of a benchmark; `judge eval list`.")]
Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders that `judge eval run` wrote.")]
OneRun = Annotated[
    list[Path], typer.Argument(metavar="RUN...", help="The folder of a run, or those of all its shards.")
]
Data = Annotated[Path | None, typer.Option(help="Where the data is now; default: where the run found it.")]


@app.command("list")
def list_suites() -> None:
    """The benchmarks, and where they are officially obtained."""
    from rich.console import Console
    from rich.table import Table

    from eval.suites import SUITES

    grid = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("suite", "kind", "what", "officially obtained at"):
        grid.add_column(column, overflow="fold")
    for name in SUITES:
        try:
            found = SUITES[name]
        except ImportError as error:  # a suite that needs a package which is not installed
            grid.add_row(name, "", f"not available: {error}", "")
            continue
        grid.add_row(name, found.kind, found.title, found.source)
    Console().print(grid)


@app.command(cls=RayCommand)
def run(
    suite: SuiteName,
    out: Annotated[Path, typer.Option(help="RUN folder; the same command again goes on where it ended.")],
    data: Annotated[
        Path | None, typer.Option(help="The benchmark's folder, or its label file; `trust` needs none.")
    ] = None,
    model: Annotated[str, typer.Option(help="embedded, or the name or folder of a checkpoint.")] = "embedded",
    adapter: Annotated[str | None, typer.Option(help="Name or folder of a LoRA adapter.")] = None,
    backend: Annotated[str, typer.Option(help="auto, transformers, vllm or openai.")] = "auto",
    base_url: Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible server.")] = None,
    rubric: Annotated[
        str | None, typer.Option(help="default, quality, or a .toml file; default: the suite's own.")
    ] = None,
    depth: Annotated[
        DepthName | None, typer.Option(help="score: numbers only, faster; default: the suite's own.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Part of the benchmark, where it has parts.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many rows.")] = None,
    shard: Annotated[
        str, typer.Option(help="i/n: every n-th batch from the i-th, for n machines with a RUN folder each.")
    ] = "1/1",
    batch: Annotated[int, typer.Option(min=1, help="Rows judged together.")] = 16,
    seed: Annotated[int, typer.Option(help="Handed to the model.")] = 0,
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="What the suite's reader takes besides.")
    ] = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Record rows that all fail alike instead of stopping.")
    ] = False,
    ray: RayAddress = None,
    workers: Workers = None,
    cpus: Cpus = 1.0,
    gpus: Gpus = 0.0,
) -> None:
    """Judge a benchmark into RUN. May be killed at any time; the same command goes on.

    `trust` is a suite of its own kind: it draws its pictures (--limit of them, 200 by default) and writes
    RUN/trust.json, whether the judge can be believed.
    """
    with one_line_errors():
        if suite == "trust":
            for name, given in (("data", data), ("ray", ray), ("split", split), ("depth", depth)):
                if given is not None:
                    raise InputError(name, str(given), "none with trust, which draws scenes", "leave it out")
            judge = open_judge(model, adapter, backend, rubric or "default", base_url, seed)
            return trust(judge, out, limit or TRUSTED, seed, batch)
        if data is None:
            raise InputError("data", None, "the benchmark's folder, or its label file", "give --data")
        from eval.runs.distributed import run_apart
        from eval.runs.plan import Plan
        from eval.runs.run import ALIKE
        from eval.runs.run import run as judge_all
        from eval.suites import suite as called

        if ray is not None and shard != "1/1":
            raise InputError("shard", shard, "none with --ray", "Ray spreads the rows itself: leave it out")
        found = called(suite)
        plan = Plan(
            found,
            data,
            split=split,
            limit=limit,
            shard=shard_of(shard),
            depth=depth.value if depth else found.depth,
            batch=batch,
            options=options_of(option or []),
        )
        make = partial(open_judge, model, adapter, backend, rubric or found.rubric, base_url, seed)
        tally = None
        try:
            with progress(out) as tick:
                if ray is None:
                    tally = judge_all(plan, out, make(), stop_alike=None if keep_going else ALIKE, tick=tick)
                else:
                    from judge.batch.command import cluster_at, fleets

                    fleet = fleets()
                    far = fleet.Fleet(make, plan.depth, batch, workers=workers, cpus=cpus, gpus=gpus)
                    with cluster_at(ray):
                        tally = run_apart(plan, out, make(), far, tick=tick)
        except KeyboardInterrupt:
            typer.echo(f"{out}: stopped; the same command goes on", err=True)
            raise typer.Exit(130) from None
    typer.echo(
        f"{out}: {tally.done} rows, {tally.done - tally.unscored} scored, {tally.unscored} unscored"
        + (f"; {tally.before} of them by earlier calls" if tally.before else "")
        + ("; a torn last line was repaired" if tally.repaired else ""),
        err=True,
    )


TRUSTED = 200
"""Scenes that the trust suite draws unless told otherwise."""


def trust(judge: Judge, out: Path, count: int, seed: int, batch: int) -> None:
    """Measure whether a judge can be believed, print the table and write `trust.json`."""
    from rich.console import Console

    from eval import trust as suite

    if out.is_file():
        raise InputError("out", str(out), "a folder", "name another one")
    result = suite.run(judge, count, seed, others=elsewhere(judge), batch=batch)
    file = suite.write(result, out)
    Console().print(suite.table(result))
    typer.echo(str(file), err=True)


def elsewhere(judge: Judge) -> dict[str, Callable[[], Judge]]:
    """The same model on vLLM in this process, where it is installed and the judge runs on transformers."""
    from importlib.util import find_spec

    from judge.judge import Judge

    if judge.backend.name != "transformers" or find_spec("vllm") is None:
        return {}
    return {"vllm": lambda: Judge(judge.model, adapter=judge.adapter, backend="vllm", rubric=judge.rubric)}


@app.command()
def merge(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="All shards of one run, or of judge score.")
    ],
    out: Annotated[Path, typer.Option(help="RUN folder to write; of judge score a JSONL file, in order.")],
    data: Data = None,
) -> None:
    """Join shards into one, after checking that nothing is missing or doubled."""
    with one_line_errors():
        from eval.runs.merge import merge as join

        count = join(runs, out, data)
    typer.echo(f"{out}: {count} rows", err=True)


@app.command()
def report(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="Folder for report.html, the plots and the numbers.")],
    data: Data = None,
    pictures: Annotated[
        int, typer.Option(min=0, help="Pictures of the worst and of the best agreement each.")
    ] = 6,
    heat: Annotated[
        bool, typer.Option("--heat", help="Heat maps with the pictures; loads each run's model.")
    ] = False,
) -> None:
    """Write a page that shows how well runs agree with people. Shards of a run count as one run."""
    with one_line_errors():
        from eval.report import report as write
        from eval.runs.records import recorded

        page = write(recorded(runs, data), out, pictures=pictures, heated=_heats() if heat else None)
    typer.echo(str(page))


def _heats() -> Callable[[Recorded, Row], Verdict]:
    """What adds heat maps to a run's verdicts, by the run's own model on transformers."""
    from judge.types import Verdict as Judged

    @cache
    def judge_of(model: str, adapter: str | None, rubric: str) -> Judge:
        return open_judge(model, adapter, "transformers", rubric, None, 0)

    def heated(record: Recorded, row: Row) -> Verdict:
        made = record.manifest
        judge = judge_of(made["model"], made["adapter"], record.rubric)
        return judge.heated(Judged.model_validate(row.verdict), row.sample.asked())

    return heated


@app.command()
def score(
    suite: SuiteName,
    pred: Annotated[Path, typer.Option(help="Predictions in the organisers' layout, or the sent archive.")],
    truth: Annotated[Path, typer.Option(help="Labels in the organisers' layout; for some a folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")] = False,
) -> None:
    """Print the official numbers of a benchmark from files, ours or anybody's."""
    with one_line_errors():
        import json

        from eval.runs.score import as_json as plain
        from eval.runs.score import score as measured

        found = measured(suite, pred, truth)
        if as_json:
            typer.echo(json.dumps(plain(found), indent=2, ensure_ascii=False, allow_nan=False))
            return
    from rich.console import Console
    from rich.table import Table

    grid = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("", "value", "95 % interval", "of", "note"):
        grid.add_column(column, justify="right" if column in ("value", "of") else "left", overflow="fold")
    for name, measure in found.items():
        span = measure.interval
        shown = "–" if measure.value is None else f"{measure.value:.4f}"
        ends = "" if span is None or span.low is None else f"{span.low:.4f} .. {span.high:.4f}"
        grid.add_row(name, shown, ends, str(measure.count or ""), measure.note)
    Console().print(grid)


@app.command()
def submit(
    suite: SuiteName,
    runs: OneRun,
    out: Annotated[Path, typer.Option(help="The .zip file to write.")],
    data: Data = None,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Write it although rows are not judged or unscored.")
    ] = False,
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A field of the challenge's readme.txt.")
    ] = None,
) -> None:
    """Write what the benchmark's challenge expects to be sent, checked against its list of names."""
    with one_line_errors():
        from eval.interop.submit import submit as write
        from eval.suites import suite as called

        found, recorded_run = called(suite), one_run(runs, data)
        if recorded_run.suite.name != found.name:
            raise InputError("suite", suite, f"the run's own, {recorded_run.suite.name}", "name that one")
        rows = recorded_run.rows(media=False)
        made = write(found, rows, out, incomplete=incomplete, options=options_of(option or []))
    held = ", ".join(f"{name} ({size:,} bytes)" for name, size in made.files.items())
    less = f"; {made.absent} are missing" if made.absent else ""
    typer.echo(f"{out}: {held}, {made.rows} rows{less}", err=True)


class FormatName(StrEnum):
    coco = "coco"
    label_studio = "label-studio"
    fiftyone = "fiftyone"


@app.command()
def export(
    runs: OneRun,
    to: Annotated[FormatName, typer.Option(help="Whose format.")],
    out: Annotated[Path, typer.Option(help="File to write; what it needs besides is written beside it.")],
    data: Data = None,
    url: Annotated[
        str | None,
        typer.Option(help="label-studio: what stands before a picture's path; default: local files."),
    ] = None,
) -> None:
    """Write the regions of a run as COCO results, Label Studio predictions or FiftyOne detections."""
    with one_line_errors():
        from eval.interop.exports import export as write

        done = write(one_run(runs, data), to.value, out, url=url)
    files = ", ".join(map(str, done.files))
    typer.echo(f"{files}: {done.pictures} pictures, {done.regions} regions", err=True)


@app.command("import-labels")
def import_labels(
    export: Annotated[Path, typer.Argument(metavar="EXPORT", help="JSON export of Label Studio.")],
    out: Annotated[Path, typer.Option(help="JSONL file of labelled rows to write.")],
) -> None:
    """Read corrected Label Studio annotations back as labelled rows."""
    with one_line_errors():
        from eval.interop.exports import import_labels as read

        done = read(export, out)
    told = f"{out}: {done.rows} rows"
    told += f", {done.without} tasks without an annotation left out" if done.without else ""
    told += f", {done.ignored} answers that no label has a place for left out" if done.ignored else ""
    typer.echo(told, err=True)


@app.command("lmms-task")
def lmms_task(
    suite: SuiteName,
    data: Annotated[Path, typer.Option(help="The benchmark's folder, or its label file.")],
    out: Annotated[Path, typer.Option(help="Folder to give to lmms-eval as --include_path.")],
    split: Annotated[str | None, typer.Option(help="Part of the benchmark, where it has parts.")] = None,
    limit: Annotated[int | None, typer.Option(help="Only the first so many rows.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="What the suite's reader takes besides.")
    ] = None,
) -> None:
    """Write a benchmark as a task for lmms-eval, so that any of its models can be measured as a judge."""
    with one_line_errors():
        from eval.interop.lmms_task import write
        from eval.runs.plan import Plan
        from eval.suites import suite as called

        plan = Plan(called(suite), data, split=split, limit=limit, options=options_of(option or []))
        count = write(plan.suite, plan.all_items(), out)
    typer.echo(f"{out}: {count} rows", err=True)


def one_run(folders: list[Path], data: Path | None) -> Recorded:
    """The run in these folders. Raises `InputError`: they are several."""
    from eval.runs.records import recorded

    found = recorded(folders, data)
    if len(found) > 1:
        raise InputError("run", str(folders[1]), "one run, or all shards of one", "name the others apart")
    return found[0]


def open_judge(
    model: str, adapter: str | None, backend: str, rubric: str, base_url: str | None, seed: int
) -> Judge:
    """The judge that the options ask for. Tests put a scripted one in its place."""
    import os

    from judge.judge import Judge

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return Judge(model, adapter=adapter, backend=backend, rubric=rubric, base_url=base_url, seed=seed)


def shard_of(text: str) -> tuple[int, int]:
    """ "2/4" as (2, 4)."""
    i, slash, n = text.partition("/")
    if not (slash and i.isascii() and i.isdigit() and n.isascii() and n.isdigit()):
        raise InputError("shard", text, "i/n, for example 1/4", "write it so")
    return int(i), int(n)


def options_of(given: list[str]) -> dict[str, str]:
    """["image=file"] as {"image": "file"}."""
    found = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError("option", text, "NAME=VALUE", "write it so")
        found[name] = value
    return found


# ------------------------------------------------------------------------------------ progress and errors

EVERY = 30.0
"""Seconds between two lines of progress where standard error is no terminal."""


@contextmanager
def progress(out: Path) -> Iterator[Callable[[Tally], None]]:
    """Rows done, rate and time left on standard error: a bar on a terminal, else a line now and then."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.1f} rows/s" if task.speed else "", style="progress.data.speed")

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lines_of_progress(out)
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn(),
        TextColumn("{task.fields[unscored]}", style="yellow"),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("reading labels", total=None, unscored="")

        def tick(tally: Tally) -> None:
            if bar.tasks[0].total is None:
                bar.reset(task, total=tally.total, completed=tally.done, unscored="")
                bar.update(task, description="loading model")
            else:
                said = f"{tally.unscored} unscored" if tally.unscored else ""
                bar.update(task, completed=tally.done, unscored=said, description="judging")

        yield tick


def lines_of_progress(out: Path) -> Callable[[Tally], None]:
    """Progress for a log: "RUN: 120 of 2000 rows, 3.1 rows/s, 10 min left"."""
    began = said = first = 0.0

    def tick(tally: Tally) -> None:
        nonlocal began, said, first
        now = time.monotonic()
        if not first:  # counted from the first verdict on: before it, the model was loaded
            began, said, first = now, now, float(tally.done > tally.before) * tally.done
        elif now - said >= EVERY:
            said = now
            rate = (tally.done - first) / (now - began)
            left = (tally.total - tally.done) / rate / 60
            told = f"{tally.done} of {tally.total} rows, {rate:.1f} rows/s, {left:.0f} min left"
            typer.echo(f"{out}: {told}, {tally.unscored} unscored", err=True)

    return tick


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Errors of ours as one line and an exit code, never a traceback."""
    from judge.explain.overlay import plain

    try:
        yield
    except JudgeError as error:
        typer.echo(f"error: {plain(str(error))}", err=True)
        raise typer.Exit(2 if isinstance(error, InputError) else 1) from None


if __name__ == "__main__":
    sys.exit(app(prog_name="judge eval"))
