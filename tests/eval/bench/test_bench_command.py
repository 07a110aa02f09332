"""The command line of the bench: JSON, tables and errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bench_scenes import RESULT_KEYS, SCENES, LookupJudge, write_rows
from typer.testing import CliRunner

from eval.bench import parts
from eval.bench.__main__ import app
from judge.errors import InputError


@pytest.fixture
def lookup_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the bench judge ten known scenes with a judge that knows their labels."""
    monkeypatch.setattr("judge.scenes.held_out.draw_held_out_scenes", lambda count, seed: SCENES[:count])
    monkeypatch.setattr(parts, "open_judge", lambda model, adapter: LookupJudge(SCENES))


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, [*arguments])


@pytest.mark.usefixtures("lookup_judge")
def test_json_is_exactly_one_object_even_if_a_library_prints(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_printing_judge(model: str, adapter: str | None) -> LookupJudge:
        print("Loading weights: 100%")
        return LookupJudge(SCENES)

    monkeypatch.setattr(parts, "open_judge", open_printing_judge)
    result = invoke("scenes", "--seed", "7", "--count", "10", "--json")
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert RESULT_KEYS | {"seed"} <= set(printed)
    assert (printed["part"], printed["seed"], printed["count"]) == ("scenes", 7, 10)


@pytest.mark.usefixtures("lookup_judge")
def test_the_table_shows_numbers_intervals_and_notes() -> None:
    result = CliRunner(env={"COLUMNS": "160"}).invoke(app, ["scenes", "--count", "10"])
    assert result.exit_code == 0
    row = next(line for line in result.stdout.splitlines() if line.strip().startswith("element_accuracy "))
    assert "1.000" in row
    assert "1.000 .. 1.000" in row
    assert "no element of the kind relation" in result.stdout


@pytest.mark.usefixtures("lookup_judge")
def test_rows_are_used_instead_of_drawn_scenes(tmp_path: Path) -> None:
    result = invoke("scenes", "--rows", str(write_rows(tmp_path, SCENES)), "--json")
    printed = json.loads(result.stdout)
    assert printed["rows"].endswith("rows.jsonl")
    assert "seed" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["scenes", "--rows", "/nowhere/rows.jsonl"], "rows"),
        (["scenes", "--count", "0"], "--count"),
        (["scenes", "--seed", "-1"], "--seed"),
        (["all", "--out", "/nowhere/bench.json"], "out"),
        (["nonsense"], "nonsense"),
    ],
)
def test_unusable_input_is_one_clear_error_and_exit_code_2(arguments: list[str], message: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_elements_without_the_label_file_are_skipped_with_a_reason() -> None:
    for arguments in (["elements", "--json"], ["elements", "--labels", "/nowhere.json", "--json"]):
        result = invoke(*arguments)
        assert result.exit_code == 0
        assert "give --labels or --data" in json.loads(result.stdout)["skipped"]


def test_all_keeps_the_results_of_the_other_parts_when_a_part_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*_: object) -> dict[str, Any]:
        raise InputError("model", "x", "a model", "name one")

    for name in ("scenes", "serving", "suites", "forms", "busy", "reward", "video"):
        monkeypatch.setattr(parts, name, lambda *_: {"count": 1})
    monkeypatch.setattr(parts, "backend", fail)
    monkeypatch.setattr(parts, "draw", lambda *_: {"count": 1 // 0})
    out = tmp_path / "bench.json"
    result = invoke("all", "--out", str(out))
    assert result.exit_code == 1
    written = json.loads(out.read_text())
    measured = {"scenes", "serving", "suites", "forms", "busy", "reward", "video", "draw", "elements"}
    assert set(written) == measured | {"backend"}
    assert "name one" in written["backend"]["error"]
    assert written["draw"]["error"].startswith("ZeroDivisionError")
    assert all(written[name]["part"] == name for name in written)


def test_the_command_line_imports_no_large_library() -> None:
    """A mistyped option must be reported without loading torch."""
    code = "import eval.bench.__main__, sys; print({'torch', 'scipy', 'cv2', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
