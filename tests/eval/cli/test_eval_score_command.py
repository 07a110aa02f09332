"""The command `judge eval score`: a table, JSON and errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from file_formats import write_scores
from official_numbers import make_scores
from typer.testing import CliRunner

from eval.cli.app import app


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_the_command_prints_one_json_object_or_a_table(tmp_path: Path) -> None:
    predicted, truth = make_scores(np.random.default_rng(7))
    pred = write_scores(tmp_path / "output.txt", predicted)
    labels = write_scores(tmp_path / "val.csv", truth, "Video,Score")
    arguments = ("score", "thqa", "--pred", pred, "--truth", labels)
    result = run(*arguments, "--json")
    printed = json.loads(result.stdout)
    assert (result.exit_code, list(printed)[:4]) == (0, ["srcc", "plcc", "krcc", "final"])
    assert f"{printed['final']:.4f}" in run(*arguments).stdout


@pytest.mark.parametrize("suite", ["thqa", "tqha"])
def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path, suite: str) -> None:
    labels = write_scores(tmp_path / "val.csv", {"v0.mp4": 1.0}, "Video,Score")
    pred = tmp_path / "none" if suite == "thqa" else labels
    result = run("score", suite, "--pred", pred, "--truth", labels)
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert result.exception is None or isinstance(result.exception, SystemExit)
