"""Helpers for tests of the `judge` command: run it in this process, and check that it rejects bad input."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from judge.cli.app import app


def run(*arguments: str) -> Result:
    """Run `judge` with arguments."""
    return CliRunner().invoke(app, list(arguments))


def assert_error(result: Result, *parts: str, code: int = 2) -> None:
    """Assert that a command printed one error line that contains `parts`, and ended with an exit code."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit | None)
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    for part in parts:
        assert part in line
