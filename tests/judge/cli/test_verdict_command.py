"""`judge verdict`: what it prints and draws, its exit codes, and one error line for bad input."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from command_line import assert_error, run
from PIL import Image

from judge.backends.scripted import Scripted
from judge.types import Verdict

pytestmark = pytest.mark.usefixtures("scripted")


def test_json_output_matches_the_schema(images: list[str]) -> None:
    result = run("verdict", images[0], "--prompt", "a red circle and two cats", "--json")
    assert result.exit_code == 0, result.output
    verdict = json.loads(result.stdout)
    jsonschema.validate(verdict, Verdict.model_json_schema())
    assert [e["name"] for e in verdict["elements"]] == ["red circle", "two cats"]


def test_several_images_give_one_json_line_each(images: list[str]) -> None:
    result = run("verdict", *images, "-p", "a cat", "--json")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == images


def test_terminal_output_shows_score_elements_and_defects(
    images: list[str], scripted: dict[str, Any]
) -> None:
    defect = {"kind": "fused", "box": [0, 0, 500, 500], "severity": "critical", "explanation": "one lump"}
    scripted["backend"] = Scripted([{
        "elements": {"cat": True, "dog": False}, "degradation": "none", "defects": [defect],
        "alignment": 3, "structure": 2, "score": 2, "explanation": "no dog",
    }])  # fmt: skip
    result = run("verdict", images[0], "--prompt", "a cat and a dog", "--elements", "cat, dog")
    assert result.exit_code == 0, result.output
    for part in (
        "2.00 of 5",
        "✓ 1.00 cat",
        "✗ 0.00 dog",
        "fused",
        "critical",
        "0 0 20 15",
        "one lump",
        "no dog",
        " ms",
    ):
        assert part in result.stdout


def test_overlays_are_written_one_per_image(images: list[str], tmp_path: Path) -> None:
    assert run("verdict", images[0], "-p", "a cat", "--overlay", str(tmp_path / "over.png")).exit_code == 0
    assert run("verdict", *images, "-p", "a cat", "--overlay", str(tmp_path / "many.jpg")).exit_code == 0
    written = sorted(path.name for path in tmp_path.glob("*") if str(path) not in images)
    assert written == ["many-1.jpg", "many-2.jpg", "many-3.jpg", "over.png"]
    with Image.open(tmp_path / "over.png") as overlay:
        assert overlay.width >= 480


def test_a_bad_image_does_not_stop_the_others(images: list[str]) -> None:
    result = run("verdict", images[0], "missing.png", images[1], "-p", "a cat", "--json")
    assert len(result.stdout.splitlines()) == 2
    assert_error(result, "missing.png")


def test_an_unscored_verdict_gives_exit_code_one(images: list[str], scripted: dict[str, Any]) -> None:
    scripted["backend"] = Scripted(["nothing"])
    result = run("verdict", images[0], "-p", "a cat", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["status"] == "unscored"


def test_a_model_that_cannot_run_gives_one_line_and_exit_code_one(
    images: list[str], scripted: dict[str, Any]
) -> None:
    scripted["backend"] = Scripted([])
    assert_error(run("verdict", images[0], "-p", "a cat"), "scripted", code=1)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--prompt", ""], ["prompt", "quality"]),
        (["--prompt", "a cat", "--rubric", "defualt"], ["rubric", "did you mean 'default'"]),
        (["--prompt", "a cat", "--backend", "openai"], ["base_url", "address"]),
        (["--prompt", "a cat", "--backend", "vllm", "--base-url", "http://x"], ["base_url", "leave it out"]),
        (["--prompt", "a cat", "--backend", "vlm"], ["vlm", "did you mean"]),
        (["--prompt", "a cat", "--elements", "cat,cat"], ["elements", "cat"]),
        (["--prompt", "a cat", "--elements", "cat,"], ["elements"]),
        (["--prompt", "a cat", "--elements", ""], ["elements"]),
        (["--prompt", "a cat", "--overlay", "x.txt"], ["overlay", ".png"]),
        (["--prompt", "a cat", "--overlay", "no/such/x.png"], ["overlay", "folder"]),
    ],
)
def test_a_bad_option_gives_one_line_that_says_what_to_do(
    images: list[str], arguments: list[str], parts: list[str]
) -> None:
    assert_error(run("verdict", images[0], *arguments), *parts)


def test_a_rubric_without_prompt_needs_none(images: list[str]) -> None:
    assert run("verdict", images[0], "--rubric", "quality", "--json").exit_code == 0
