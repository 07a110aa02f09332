"""The commands `submit`, `export`, `import-labels` and `lmms-task`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eval.cli.errors import one_line_errors
from eval.cli.options import DataOfRun, Limit, OneRun, Split, SuiteName, SuiteOptions, parse_options
from judge.errors import InputError

if TYPE_CHECKING:
    from eval.runs.records import RecordedRun


class FormatName(StrEnum):
    """Values of `--to`."""

    coco = "coco"
    label_studio = "label-studio"
    fiftyone = "fiftyone"


def submit(
    suite: SuiteName,
    runs: OneRun,
    out: Annotated[Path, typer.Option(help="The .zip file to write.")],
    data: DataOfRun = None,
    incomplete: Annotated[
        bool, typer.Option("--incomplete", help="Write it although rows are not judged or unscored.")
    ] = False,
    option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A field of the challenge's readme.txt.")
    ] = None,
) -> None:
    """Write the archive that the benchmark's challenge asks for, checked against its list of names."""
    with one_line_errors():
        from eval import suites
        from eval.interop.submit import write_submission

        benchmark, run = suites.load_suite(suite), _load_one_run(runs, data)
        if run.suite.name != benchmark.name:
            raise InputError("suite", suite, f"the suite of the run, {run.suite.name}", "name that one")
        rows = run.rows(media=False)
        archive = write_submission(benchmark, rows, out, incomplete=incomplete, options=parse_options(option))
    files = ", ".join(f"{name} ({size:,} bytes)" for name, size in archive.files.items())
    missing = f"; {archive.missing} are missing" if archive.missing else ""
    typer.echo(f"{out}: {files}, {archive.rows} rows{missing}", err=True)


def export(
    runs: OneRun,
    to: Annotated[FormatName, typer.Option(help="Format to write.")],
    out: Annotated[Path, typer.Option(help="File to write; further files are written next to it.")],
    data: DataOfRun = None,
    url: Annotated[
        str | None,
        typer.Option(help="label-studio: prefix of the images' paths; default: local files."),
    ] = None,
) -> None:
    """Write the regions of a run as COCO results, Label Studio predictions or FiftyOne detections."""
    with one_line_errors():
        from eval.interop.exports import export_regions

        result = export_regions(_load_one_run(runs, data), to.value, out, url=url)
    files = ", ".join(map(str, result.files))
    unjudged = f"; {result.unjudged} rows without a judged image left out" if result.unjudged else ""
    typer.echo(f"{files}: {result.images} images, {result.regions} regions{unjudged}", err=True)


def import_labels(
    export: Annotated[Path, typer.Argument(metavar="EXPORT", help="JSON export of Label Studio.")],
    out: Annotated[Path, typer.Option(help="JSONL file of labelled rows to write.")],
) -> None:
    """Import corrected Label Studio annotations as labelled rows."""
    with one_line_errors():
        from eval.interop.label_import import import_label_studio

        result = import_label_studio(export, out)
    text = f"{out}: {result.rows} rows"
    text += f", {result.unannotated} tasks without an annotation left out" if result.unannotated else ""
    if result.ignored:
        reasons = ", ".join(f"{reason} ({count})" for reason, count in result.ignored_reasons.items())
        text += f", {result.ignored} results left out: {reasons}"
    typer.echo(text, err=True)


def lmms_task(
    suite: SuiteName,
    data: Annotated[Path, typer.Option(help="The benchmark's folder or label file.")],
    out: Annotated[Path, typer.Option(help="Folder to pass to lmms-eval as --include_path.")],
    split: Split = None,
    limit: Limit = None,
    option: SuiteOptions = None,
) -> None:
    """Write a benchmark as a task of lmms-eval, to measure any of its models as a judge."""
    with one_line_errors():
        from eval import suites
        from eval.interop.lmms_task import write_task
        from eval.runs.plan import Plan

        plan = Plan(suites.load_suite(suite), data, split=split, limit=limit, options=parse_options(option))
        count = write_task(plan.suite, plan.all_samples(), out)
    typer.echo(f"{out}: {count} rows", err=True)


def _load_one_run(folders: list[Path], data: Path | None) -> RecordedRun:
    """Load the run in these folders.

    Raises:
        InputError: the folders hold several runs, or as `load_runs`.
    """
    from eval.runs.records import load_runs

    runs = load_runs(folders, data)
    if len(runs) > 1:
        mend = "use one command for each run"
        raise InputError("run", str(folders[1]), "one run, or all shards of one", mend)
    return runs[0]
