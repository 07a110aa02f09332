"""The other commands: compare, scenes, doctor; `--version`, `--help`, and `python -m judge`."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import assert_error, run
from PIL import Image

from judge import __version__
from judge.types import Comparison


@pytest.mark.usefixtures("scripted")
def test_compare_prints_a_comparison(images: list[str]) -> None:
    result = run("compare", images[0], images[1], "--prompt", "a cat", "--json")
    assert result.exit_code == 0, result.output
    assert Comparison.model_validate_json(result.stdout).preferred in ("a", "b", "tie")
    assert "better" in run("compare", images[0], images[1], "--prompt", "a cat").stdout
    assert_error(run("compare", images[0], "missing.png", "--prompt", "a cat"), "b: ")


def test_scenes_writes_rows_and_a_contact_sheet(tmp_path: Path) -> None:
    out = tmp_path / "scenes"
    result = run("scenes", str(out), "--count", "3", "--seed", "5", "--sheet")
    assert result.exit_code == 0, result.output
    assert len((out / "rows.jsonl").read_text().splitlines()) == 3
    with Image.open(out / "sheet.png") as sheet:
        assert sheet.width > 400


def test_scenes_rejects_bad_counts_and_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert_error(run("scenes", str(tmp_path / "a"), "--count", "-1"), "count")
    assert_error(run("scenes", str(tmp_path / "a"), "--count", "0", "--sheet"), "count")
    assert_error(run("scenes", str(tmp_path / "file"), "--count", "1"), "out")


def test_doctor_reports_which_backends_would_run_and_why_the_others_would_not() -> None:
    result = run("doctor")
    assert result.exit_code == 0, result.output
    text = " ".join(result.stdout.split())
    assert "backend transformers would run" in text
    assert re.search("backend vllm would (run: vllm|not run: vLLM is not installed)", text)
    assert "backend openai would run, given --base-url" in text
    assert "recommended here: " in text or "no general model is fast enough here" in text


def test_version_and_help_import_no_model_library() -> None:
    code = (
        "import sys; sys.argv = ['judge', '--help']\n"
        "from judge.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'transformers', 'PIL', 'numpy'} & set(sys.modules), 'too much imported'"
    )
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    assert "Usage" in completed.stdout
    assert run("--version").stdout.strip() == f"judge {__version__}"


def test_python_m_judge_runs_the_command() -> None:
    completed = subprocess.run(
        [sys.executable, "-m", "judge", "--version"], capture_output=True, text=True, check=False
    )
    assert completed.stdout.strip() == f"judge {__version__}"
