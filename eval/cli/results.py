"""The commands `list`, `report` and `score`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from eval.cli import judges
from eval.cli.errors import one_line_errors
from eval.cli.options import DataOfRun, Runs, SuiteName, SuiteOptions, parse_options

if TYPE_CHECKING:
    from eval.metrics.metric_value import MetricValue
    from eval.runs.records import RecordedRun
    from eval.suites.shared.samples import JudgedSample
    from judge.judge import Judge
    from judge.types import Verdict


def list_suites() -> None:
    """List the benchmarks and where to obtain them officially."""
    from rich.console import Console
    from rich.table import Table

    from eval.suites import SUITES

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("suite", "kind", "title", "official source"):
        table.add_column(column, overflow="fold")
    for name in SUITES:
        try:
            suite = SUITES[name]
        except ImportError as error:  # a suite that needs a package which is not installed
            table.add_row(name, "", f"not available: {error}", "")
            continue
        table.add_row(name, suite.kind, suite.title, suite.source)
    Console().print(table)


def report(
    runs: Runs,
    out: Annotated[Path, typer.Option(help="Folder for report.html, the plots and the numbers.")],
    data: DataOfRun = None,
    pictures: Annotated[
        int, typer.Option(min=0, help="Number of images shown with the worst and with the best agreement.")
    ] = 6,
    heat: Annotated[
        bool, typer.Option("--heat", help="Show heat maps with the images; loads the model of each run.")
    ] = False,
) -> None:
    """Write an HTML page that shows how well runs agree with people. Shards of a run count as one run."""
    with one_line_errors():
        from eval.report.report import write_report
        from eval.runs.records import load_runs

        add_heat = _heat_adder() if heat else None
        page = write_report(load_runs(runs, data), out, images=pictures, add_heat=add_heat)
    typer.echo(str(page))


def _heat_adder() -> Callable[[RecordedRun, JudgedSample], Verdict]:
    """Return a function that adds heat maps to a run's verdict with the run's own model on transformers."""
    from judge.types import Verdict

    @cache
    def judge_of(model: str, adapter: str | None, rubric: str) -> Judge:
        return judges.open_judge(model, adapter, "transformers", rubric, None, 0)

    def add_heat(run: RecordedRun, row: JudgedSample) -> Verdict:
        judge = judge_of(run.manifest["model"], run.manifest["adapter"], run.rubric)
        return judge.heated(Verdict.model_validate(row.verdict), row.sample.to_sample())

    return add_heat


def score(
    suite: SuiteName,
    pred: Annotated[
        Path, typer.Option(help="Predictions in the organisers' format, or the submitted archive.")
    ],
    truth: Annotated[Path, typer.Option(help="Labels in the organisers' format; for some suites a folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print exactly one JSON object.")] = False,
    option: SuiteOptions = None,
) -> None:
    """Print the official numbers of a benchmark from files of predictions, of this judge or any other."""
    with one_line_errors():
        import json

        from eval.runs.official_scores import measures_to_json, score_predictions

        measures = score_predictions(suite, pred, truth, parse_options(option))
        if as_json:
            text = json.dumps(measures_to_json(measures), indent=2, ensure_ascii=False, allow_nan=False)
            typer.echo(text)
            return
    _print_measures(measures)


def _print_measures(measures: dict[str, MetricValue]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("", "value", "95 % interval", "of", "note"):
        table.add_column(column, justify="right" if column in ("value", "of") else "left", overflow="fold")
    for name, measure in measures.items():
        interval = measure.interval
        value = "–" if measure.value is None else f"{measure.value:.4f}"
        ends = (
            "" if interval is None or interval.low is None else f"{interval.low:.4f} .. {interval.high:.4f}"
        )
        table.add_row(name, value, ends, str(measure.count or ""), measure.note)
    Console().print(table)
