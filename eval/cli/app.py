"""The Typer app of `judge eval` with all its commands."""

from __future__ import annotations

import typer

from eval.cli import doctor, interop, results, run
from judge.batch.ray_options import RayCommand

app = typer.Typer(
    help="Judge public benchmarks, resume interrupted runs, and report the agreement with people.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command("list")(results.list_suites)
app.command("doctor")(doctor.doctor)
app.command("run", cls=RayCommand)(run.run)
app.command("merge")(run.merge)
app.command("report")(results.report)
app.command("score")(results.score)
app.command("submit")(interop.submit)
app.command("export")(interop.export)
app.command("import-labels")(interop.import_labels)
app.command("lmms-task")(interop.lmms_task)
