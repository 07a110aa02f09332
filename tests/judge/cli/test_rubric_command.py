"""`judge rubric` writes, checks and shows rubrics, and `judge verdict` takes a rubric file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from command_line import assert_error, run
from example_rubric import write_example_rubric
from random_backend import RandomBackend

from judge.rubrics.files import list_rubric_names
from judge.rubrics.rubric import Rubric
from judge.types import Verdict


def test_new_writes_a_rubric_that_check_accepts(tmp_path: Path) -> None:
    file = tmp_path / "Toolbar Icons.toml"
    assert run("rubric", "new", str(file)).exit_code == 0
    checked = run("rubric", "check", str(file))
    assert checked.exit_code == 0 and checked.stdout.startswith("toolbar_icons 1 (")
    assert_error(run("rubric", "new", str(file)), "does not exist yet")


def test_new_copies_a_rubric_of_the_package(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    assert run("rubric", "new", str(file), "--from", "portrait").exit_code == 0
    assert Rubric.load(file).hash == Rubric.load("portrait").hash
    file.write_text(file.read_text("utf-8").replace("max = 3", "maxx = 3"), "utf-8")
    assert_error(run("rubric", "check", str(file)), "mine.toml.defects.maxx", "did you mean 'max'")


def test_show_prints_the_message_the_schema_or_the_list() -> None:
    message = run("rubric", "show", "edit", "--prompt", "make it blue").stdout
    assert message.count("[image]") == 2 and "make it blue" in message
    assert '"person"' in run("rubric", "show", "portrait", "--json").stdout
    assert run("rubric", "show").stdout.count("\n") == len(list_rubric_names())


def test_verdict_takes_a_rubric_file_and_a_reference(tmp_path: Path, scripted: dict[str, Any]) -> None:
    path = write_example_rubric(tmp_path, ('reference = "none"', 'reference = "required"'))
    scripted["backend"] = backend = RandomBackend()
    image = str(tmp_path / "icon.png")
    arguments = ["verdict", image, "-p", "a red cat", "--rubric", str(path), "--reference", image, "--json"]
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    verdict = Verdict.model_validate_json(result.stdout)
    assert set(verdict.dimensions) == {"clarity", "economy"} and verdict.provenance.rubric == "example"
    assert len(backend.requests[0].images) == 2
