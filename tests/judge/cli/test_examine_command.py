"""`judge examine`: the card that it prints, writes and keeps, its question before it costs, its errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from biased_backend import BiasedBackend
from command_line import assert_error, run

from eval.examination import examine
from eval.examination.cases import draw_cases
from judge.backends.cards import ModelCard, cards_folder
from judge.cli import judges
from judge.errors import BackendError
from judge.judge import Judge

COUNT = ("--count", "4")
SIDE = 224
"""Small scenes are drawn faster."""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JUDGE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(examine, "GENERAL_SIDE", SIDE)
    return tmp_path / "home"


@pytest.fixture
def biased(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Replace the model of the command; "faults" of the backend, and what judges were "opened" with."""
    faults: dict[str, Any] = {"prefers": "second"}
    opened: list[dict[str, Any]] = []

    def open_judge(
        model: str, adapter: str | None, backend: str, rubric: str, base_url: str | None, **options: Any
    ) -> Judge:
        opened.append({"model": model, "rubric": rubric, **options})
        return Judge(backend=BiasedBackend(draw_cases(4, 0, SIDE), **faults), rubric=rubric)

    monkeypatch.setattr(judges, "open_judge", open_judge)
    return {"faults": faults, "opened": opened}


def test_the_table_names_findings_settings_and_the_verdict(biased: dict[str, Any]) -> None:
    result = run("examine", "some/model", *COUNT)
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    for part in ("some/model", "elements", "damage", "shown second", "fit with settings: compare=pointwise"):
        assert part in text
    assert "--keep" in result.stderr and not cards_folder().exists()


def test_json_is_one_object_that_is_the_card(biased: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "card.json"
    result = run("examine", "some/model", *COUNT, "--json", "--out", str(out))
    card = ModelCard.model_validate_json(result.stdout)
    assert card.verdict == "fit with settings" and card.count == 4
    assert ModelCard.model_validate_json(out.read_text()) == card


def test_a_kept_card_lies_in_the_folder_of_cards(biased: dict[str, Any]) -> None:
    result = run("examine", "some/model", *COUNT, "--keep")
    (file,) = cards_folder().glob("model-*.json")
    assert str(file) in result.stderr.replace("\n", "")
    assert json.loads(file.read_text())["settings"]["compare"] == "pointwise"


def test_options_reach_the_model_and_the_card(biased: dict[str, Any]) -> None:
    result = run(
        "examine", "some/model", *COUNT, "--option", "dtype=bfloat16", "--option", "batch=2", "--json"
    )
    assert biased["opened"][-1]["dtype"] == "bfloat16" and biased["opened"][-1]["batch"] == 2
    assert json.loads(result.stdout)["options"] == {"dtype": "bfloat16", "batch": 2}


def test_a_hosted_model_costs_and_is_asked_about_first(biased: dict[str, Any]) -> None:
    hosted = ("examine", "gpt", "--base-url", "https://api.example.com/v1", *COUNT)
    assert_error(run(*hosted, "--price", "0.5,2"), "yes", "requests", "$0.")
    result = run(*hosted, "--yes")
    assert result.exit_code == 0 and "tokens read" in result.stderr
    local = run("examine", "m", "--base-url", "http://127.0.0.1:8000/v1", *COUNT)
    assert local.exit_code == 0 and "tokens read" not in local.stderr


def test_a_model_that_does_not_load_is_unfit_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Broken:
        name, version, model, revision, adapter, domain = "broken", "", "broken", "", None, ""

        def __getattr__(self, name: str) -> Any:
            raise BackendError("no weights here")

    monkeypatch.setattr(judges, "open_judge", lambda *_, **__: Judge(backend=Broken()))
    result = run("examine", "some/model", *COUNT, "--keep")
    assert result.exit_code == 1 and "no weights here" in result.stdout and "unfit" in result.stdout
    assert not cards_folder().exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("--count", "1"), ["count", "4 or more"]),
        (("--price", "cheap"), ["price", "READ,WRITTEN"]),
        (("--price", "1,-2"), ["price"]),
        (("--option", "bitts=4"), ["bitts", "bits"]),
        (("--out", "."), ["out", "folder"]),
    ],
)
def test_bad_options_are_one_line(
    biased: dict[str, Any], arguments: tuple[str, ...], parts: list[str]
) -> None:
    assert_error(run("examine", "some/model", *COUNT, *arguments), *parts)


def test_a_model_that_is_not_there_is_bad_input_and_no_verdict_on_it(tmp_path: Path) -> None:
    result = run("examine", str(tmp_path / "none"), *COUNT, "--out", str(tmp_path / "card.json"))
    assert_error(result, "there is no such folder")
    assert not (tmp_path / "card.json").exists()
