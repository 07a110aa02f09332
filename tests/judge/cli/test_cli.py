"""The command line: what it prints and writes, and that bad input is one line and exit code 2."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from filler import Filler
from PIL import Image
from typer.testing import CliRunner, Result

from judge import __version__
from judge.backends.scripted import Scripted
from judge.cli import app as cli
from judge.judge import Judge
from judge.types import Comparison, Verdict


@pytest.fixture(autouse=True)
def scripted(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The commands as they are, but for the model: a judge with a made-up backend."""
    used: dict[str, Any] = {"backend": Filler()}

    def judge(model: str, adapter: str | None, backend: str, rubric: str, base_url: str | None) -> Judge:
        Judge(model, adapter=adapter, backend=backend, rubric=rubric, base_url=base_url)  # the same checks
        return Judge(backend=used["backend"], rubric=rubric)

    monkeypatch.setattr(cli, "_judge", judge)
    return used


@pytest.fixture
def pictures(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"{name}.png" for name in ("one", "two", "three")]
    for path in paths:
        Image.new("RGB", (40, 30), "teal").save(path)
    return [str(path) for path in paths]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, list(arguments))


def refused(result: Result, *parts: str, code: int = 2) -> None:
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit | None)
    (line,) = result.stderr.strip().splitlines()
    assert line.startswith("error: ")
    for part in parts:
        assert part in line


def test_json_validates_against_the_schema(pictures: list[str]) -> None:
    result = run("verdict", pictures[0], "--prompt", "a red circle and two cats", "--json")
    assert result.exit_code == 0, result.output
    verdict = json.loads(result.stdout)
    jsonschema.validate(verdict, Verdict.model_json_schema())
    assert [e["name"] for e in verdict["elements"]] == ["red circle", "two cats"]


def test_several_images_give_a_line_each(pictures: list[str]) -> None:
    result = run("verdict", *pictures, "-p", "a cat", "--json")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == pictures


def test_people_read_scores_elements_and_defects(pictures: list[str], scripted: dict[str, Any]) -> None:
    lump = {"kind": "fused", "box": [0, 0, 500, 500], "severity": "critical", "explanation": "one lump"}
    scripted["backend"] = Scripted([{
        "elements": {"cat": True, "dog": False}, "degradation": "none", "defects": [lump],
        "alignment": 3, "structure": 2, "score": 2, "explanation": "no dog",
    }])  # fmt: skip
    result = run("verdict", pictures[0], "--prompt", "a cat and a dog", "--elements", "cat, dog")
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


def test_overlays_are_written_one_per_image(pictures: list[str], tmp_path: Path) -> None:
    assert run("verdict", pictures[0], "-p", "a cat", "--overlay", str(tmp_path / "over.png")).exit_code == 0
    assert run("verdict", *pictures, "-p", "a cat", "--overlay", str(tmp_path / "many.jpg")).exit_code == 0
    written = sorted(path.name for path in tmp_path.glob("*") if str(path) not in pictures)
    assert written == ["many-1.jpg", "many-2.jpg", "many-3.jpg", "over.png"]
    with Image.open(tmp_path / "over.png") as drawn:
        assert drawn.width >= 480


def test_one_bad_picture_does_not_cost_the_others_their_verdicts(pictures: list[str]) -> None:
    result = run("verdict", pictures[0], "missing.png", pictures[1], "-p", "a cat", "--json")
    assert len(result.stdout.splitlines()) == 2
    refused(result, "missing.png")


def test_an_unscored_verdict_is_exit_code_one(pictures: list[str], scripted: dict[str, Any]) -> None:
    scripted["backend"] = Scripted(["nothing"])
    result = run("verdict", pictures[0], "-p", "a cat", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["status"] == "unscored"


def test_a_model_that_cannot_run_is_one_line_and_exit_code_one(
    pictures: list[str], scripted: dict[str, Any]
) -> None:
    scripted["backend"] = Scripted([])
    refused(run("verdict", pictures[0], "-p", "a cat"), "scripted", code=1)


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
def test_bad_options_are_one_line_that_says_how_to_mend_it(
    pictures: list[str], arguments: list[str], parts: list[str]
) -> None:
    refused(run("verdict", pictures[0], *arguments), *parts)


def test_a_rubric_without_prompt_needs_none(pictures: list[str]) -> None:
    assert run("verdict", pictures[0], "--rubric", "quality", "--json").exit_code == 0


# -- score ---------------------------------------------------------------------------------------------


def rows_file(tmp_path: Path, lines: list[Any], name: str = "rows.jsonl") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines), "utf-8")
    return path


def read(path: Path) -> list[Verdict]:
    return [Verdict.model_validate_json(line) for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize("depth", ["score", "verdict"])
def test_rows_come_back_in_order_with_their_ids_and_bad_ones_unscored(
    pictures: list[str], tmp_path: Path, depth: str
) -> None:
    rows = rows_file(
        tmp_path,
        [
            {"id": "a", "image": "one.png", "prompt": "a cat", "labels": {"score": 3}, "other": 1},
            {"id": 2, "image": pictures[1], "prompt": "a dog and a cat", "elements": ["dog"]},
            {"id": "c", "image": "missing.png", "prompt": "a cat"},
            "{not json",
            "",
            "[1]",
            {"id": "g", "prompt": "a cat"},
            {"id": "h", "image": "one.png", "prompt": "a cat", "elements": ["x", "x"]},
            {"id": "i", "image": "one.png", "prompt": "a cat", "elements": "cat; sky"},
            {"id": "j", "image": 5, "prompt": "a cat"},
            {"id": ["k"], "image": "one.png", "prompt": "a cat"},
            {"id": "l \ud800", "image": "one.png", "prompt": "a \ud800"},
            {"image": "two.png", "prompt": "ein schöner Baum", "elements": None},
        ],
    )
    out = tmp_path / "deep" / "out.jsonl"
    result = run("score", str(rows), "--out", str(out), "--depth", depth)
    assert result.exit_code == 0, result.output
    verdicts = read(out)
    assert [v.id for v in verdicts] == ["a", "2", "c", "", "", "g", "h", "i", "j", "", "l ?", ""]
    scored = [v.status == "scored" for v in verdicts]
    assert scored == [True, True, False, False, False, False, False, True, False, False, False, True]
    assert [e.name for e in verdicts[1].elements] == ["dog"]
    assert [e.name for e in verdicts[7].elements] == ["cat", "sky"]
    assert "line 4" in verdicts[3].reason
    assert all(v.reason and v.score is None for v in verdicts if v.status == "unscored")
    assert all(v.provenance.depth == depth for v in verdicts)
    assert "12 rows, 4 scored, 8 unscored" in result.stderr
    assert not list(out.parent.glob("*.part"))


def test_csv_rows_are_read_too(pictures: list[str], tmp_path: Path) -> None:
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image", "prompt", "elements", "mos"])
        writer.writerow(["a", "one.png", "a cat, a dog", "", "3.1"])
        writer.writerow(["b", "two.png", "a cat", "cat; big sky", "2"])
        writer.writerow(["c", "two.png", "a cat", '["one, two"]', "2"])
    assert run("score", str(tmp_path / "rows.csv"), "--out", str(tmp_path / "o.jsonl")).exit_code == 0
    named = [[e.name for e in v.elements] for v in read(tmp_path / "o.jsonl")]
    assert named == [["cat", "dog"], ["cat", "big sky"], ["one, two"]]


def test_a_broken_run_leaves_the_old_file_and_no_half_one(
    pictures: list[str], tmp_path: Path, scripted: dict[str, Any]
) -> None:
    class Broken(Filler):
        def complete(self, asks: Any) -> Any:
            raise KeyboardInterrupt

    scripted["backend"] = Broken()
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    rows = rows_file(tmp_path, [{"id": "a", "image": "one.png", "prompt": "a cat"}])
    assert run("score", str(rows), "--out", str(out)).exit_code != 0
    assert out.read_text() == "old"
    assert not list(tmp_path.glob(".*part"))


def test_files_that_are_no_rows_are_refused(tmp_path: Path) -> None:
    out = str(tmp_path / "out.jsonl")
    rows = rows_file(tmp_path, [])
    refused(run("score", str(tmp_path / "none.jsonl"), "--out", out), "rows", "No such file")
    refused(run("score", str(tmp_path), "--out", out), "rows")
    refused(run("score", str(rows), "--out", str(rows)), "out")
    refused(run("score", str(rows), "--out", str(tmp_path)), "out", "folder")
    refused(run("score", str(rows), "--out", str(rows / "x.jsonl")), "out")
    refused(run("score", str(rows), "--out", out, "--batch", "0"), "batch")
    assert not Path(out).exists()


def test_no_rows_give_no_verdicts(tmp_path: Path) -> None:
    assert run("score", str(rows_file(tmp_path, [])), "--out", str(tmp_path / "o.jsonl")).exit_code == 0
    assert (tmp_path / "o.jsonl").read_text() == ""


# -- the others ----------------------------------------------------------------------------------------


def test_compare_prints_a_comparison(pictures: list[str]) -> None:
    result = run("compare", pictures[0], pictures[1], "--prompt", "a cat", "--json")
    assert result.exit_code == 0, result.output
    assert Comparison.model_validate_json(result.stdout).preferred in ("a", "b", "tie")
    assert "better" in run("compare", pictures[0], pictures[1], "--prompt", "a cat").stdout
    refused(run("compare", pictures[0], "missing.png", "--prompt", "a cat"), "b: ")


def test_scenes_are_drawn_scored_and_shown_on_a_sheet(tmp_path: Path) -> None:
    out = tmp_path / "scenes"
    result = run("scenes", str(out), "--count", "3", "--seed", "5", "--sheet")
    assert result.exit_code == 0, result.output
    assert len((out / "rows.jsonl").read_text().splitlines()) == 3
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 400
    assert run("score", str(out / "rows.jsonl"), "--out", str(tmp_path / "o.jsonl")).exit_code == 0
    assert [v.status for v in read(tmp_path / "o.jsonl")] == ["scored"] * 3


def test_scenes_refuse_what_they_cannot_draw(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    refused(run("scenes", str(tmp_path / "a"), "--count", "-1"), "count")
    refused(run("scenes", str(tmp_path / "a"), "--count", "0", "--sheet"), "count")
    refused(run("scenes", str(tmp_path / "file"), "--count", "1"), "out")


def test_doctor_says_what_would_run_and_why_not_the_rest() -> None:
    result = run("doctor")
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert "backend transformers would run" in text
    assert re.search("backend vllm would (run: vllm|not run: vLLM is not installed)", text)
    assert "backend openai would run, given --base-url" in text


def test_version_and_help_load_no_model_library() -> None:
    code = (
        "import sys; sys.argv = ['judge', '--help']\n"
        "from judge.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'transformers', 'PIL', 'numpy'} & set(sys.modules), 'too much loaded'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert run("--version").stdout.strip() == f"judge {__version__}"


def test_the_module_runs_as_a_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "judge", "--version"], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == f"judge {__version__}"
