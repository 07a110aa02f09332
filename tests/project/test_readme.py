"""What the README shows must run, and print what it says it prints."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from paths import ROOT
from preloaded import Preloaded, preloaded

TEXT = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.S | re.M)


@pytest.fixture(scope="module")
def python() -> Iterator[Preloaded]:
    """A process that runs commands in forks."""
    with preloaded() as process:
        yield process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the README's scenes have been drawn, by a command in a process of its own."""
    place = tmp_path_factory.mktemp("readme")
    command = next(line for line in TEXT.splitlines() if line.startswith("judge scenes "))
    arguments = [sys.executable, "-m", *shlex.split(command, comments=True)]
    done = subprocess.run(arguments, cwd=place, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place


def numbers(text: str) -> list[float]:
    return [float(n) for n in re.findall(r"\d+\.\d+", text)]


def test_the_python_example_prints_what_the_readme_says(folder: Path) -> None:
    (_, code), *_ = [block for block in BLOCKS if block[0] == "python"]
    (_, output), *_ = [block for block in BLOCKS if block[0] == "text"]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert re.sub(r"\d+\.\d+", "#", done.stdout.strip()) == re.sub(r"\d+\.\d+", "#", output.strip())
    assert numbers(done.stdout) == pytest.approx(numbers(output), abs=0.02)


def test_the_commands_of_the_readme_run(python: Preloaded, folder: Path) -> None:
    (_, block), *_ = [b for b in BLOCKS if b[0] == "sh" and "judge verdict" in b[1]]
    for command in block.replace("\\\n", "").splitlines():
        if command.startswith("judge ") and not command.startswith("judge scenes"):
            done = python.run_command(command, folder)
            assert done.returncode == 0, f"{command}\n{done.stderr}"
            if "--json" in command:
                json.loads(done.stdout)
    assert (folder / "verdicts.jsonl").is_file()
    assert (folder / "seen.png").is_file()


def test_the_files_and_pictures_it_points_at_exist() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert target.startswith("http") or (ROOT / target).exists(), target
