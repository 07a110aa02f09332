"""`--negative` and `--max-elements` on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from command_line import assert_error, run

PROMPT = "a red cat, a dog, a bird"


def test_a_negative_prompt_gives_elements_that_must_be_absent(
    scripted: dict[str, Any], images: list[str]
) -> None:
    verdict = json.loads(
        run("verdict", images[0], "-p", PROMPT, "--negative", "fish, lowres", "--json").stdout
    )
    assert [(e["name"], e["expected"]) for e in verdict["elements"]][-1] == ("fish", False)
    assert "no fish" in run("verdict", images[0], "-p", PROMPT, "-n", "fish").stdout
    comparison = json.loads(run("compare", *images[:2], "-p", PROMPT, "-n", "fish", "--json").stdout)
    assert comparison["a"]["elements"][-1]["expected"] is False


def test_elements_are_listed_with_notes(scripted: dict[str, Any]) -> None:
    result = run("elements", f"({PROMPT}:1.2) --no fish", "-n", "tree", "--max-elements", "5")
    assert [line.split(maxsplit=1)[1] for line in result.stdout.splitlines()] == [
        "cat", "red cat  needs cat", "dog", "bird", "no fish",
    ]  # fmt: skip
    assert "note: read as Midjourney parameters: --no fish" in result.stderr
    assert "6 elements were found, the limit is 5" in result.stderr
    rows = [json.loads(line) for line in run("elements", "a cat, no dog", "--json").stdout.splitlines()]
    assert [(row["name"], row["expected"]) for row in rows] == [("cat", True), ("dog", False)]


def test_a_file_of_rows_has_negative_prompts(
    scripted: dict[str, Any], images: list[str], tmp_path: Path
) -> None:
    row = {"image": images[0], "prompt": PROMPT, "negative_prompt": "fish"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    out = tmp_path / "out.jsonl"
    run("score", str(tmp_path / "rows.jsonl"), "--out", str(out), "--max-elements", "3")
    verdict = json.loads(out.read_text())
    assert [e["name"] for e in verdict["elements"]] == ["red cat", "dog", "bird"]
    assert "the limit is 3" in verdict["provenance"]["notes"][0]


def test_a_limit_out_of_range_is_one_error_line(scripted: dict[str, Any], images: list[str]) -> None:
    assert_error(
        run("verdict", images[0], "-p", PROMPT, "--max-elements", "0"), "max_elements", "0", "1 to 64"
    )
