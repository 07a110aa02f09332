"""The command `judge eval run`: results, errors and progress."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from recorded_runs import ROWS, count_unreadable, judge_plan, read_results, steady_judge
from small_suite import BATCH, SMALL, write_suite
from typer.testing import CliRunner

from eval.cli import judges
from eval.cli import progress as progress_display
from eval.cli.app import app
from eval.runs.plan import Plan, RunProgress

Command = Callable[..., Result]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_suite(tmp_path_factory.mktemp("small") / "data", ROWS)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command with the small suite and a steady judge."""
    import eval.suites

    monkeypatch.setattr(eval.suites, "load_suite", lambda name: SMALL)
    monkeypatch.setattr(judges, "open_judge", lambda *options: steady_judge())
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_judges_a_suite_and_resumes_the_run(command: Command, data: Path, tmp_path: Path) -> None:
    judge_plan(Plan(SMALL, data), tmp_path / "expected")
    arguments = ("run", "small", "--data", data, "--out", tmp_path / "run", "--batch", BATCH)
    first = command(*arguments)
    assert first.exit_code == 0, first.output
    unscored = count_unreadable(0)
    assert f"{ROWS} rows, {ROWS - unscored} scored, {unscored} unscored" in first.stderr
    assert read_results(tmp_path / "run") == read_results(tmp_path / "expected")
    second = command(*arguments)
    assert second.exit_code == 0 and f"{ROWS} of them by earlier calls" in second.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--shard", "3/2"), "shard"),
        (("--shard", "half"), "i/n"),
        (("--limit", "0"), "limit"),
        (("--option", "x=1"), "option"),
        (("--option", "x"), "NAME=VALUE"),
    ],
)
def test_bad_options_are_one_line_and_exit_code_two(
    command: Command, data: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = command("run", "small", "--data", data, "--out", tmp_path / "run", *arguments)
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ") and message in line


def test_progress_lines_give_the_rate_and_the_remaining_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([100.0, 110.0, 140.0])
    monkeypatch.setattr(progress_display.time, "monotonic", lambda: next(clock))
    tick = progress_display.print_progress_lines(Path("run"))
    for done in (20, 30, 60):
        tick(RunProgress(total=180, resumed=20, done=done, unscored=2))
    assert capsys.readouterr().err == "run: 60 of 180 rows, 1.0 rows/s, 2 min left, 2 unscored\n"
