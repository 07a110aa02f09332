"""The documentation site builds without a warning, and what its pages show runs and prints what they say.

Fences: `python` blocks run, in order, in one namespace a page; a `text` block right behind one is what it
prints. Lines of `sh` blocks that begin with `judge` run. `py` and `bash` blocks need a GPU, a server or time:
they are only compiled, or checked for the commands and options that they name.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from paths import ROOT
from preloaded import Preloaded, preloaded

PAGES = sorted((ROOT / "docs").rglob("*.md"))
FENCE = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```$", re.S | re.M)
NUMBER = re.compile(r"\d+\.\d+")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT / "docs"))


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    """(language, text) of the fenced blocks of a page, those of included files as well."""
    text = page.read_text("utf-8")
    text = re.sub(r'^--8<-- "(.*?)(?::(.*))?"$', lambda match: included(match[1], match[2]), text, flags=re.M)
    return [(language, body) for language, body in FENCE.findall(text) if language in languages]


def included(file: str, section: str | None) -> str:
    """A file, or the part of it between the marks of a section."""
    text = (ROOT / file).read_text("utf-8")
    if section is None:
        return text
    return text.split(f"<!-- --8<-- [start:{section}] -->")[1].split(f"<!-- --8<-- [end:{section}] -->")[0]


def with_blocks(*languages: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, *languages)]


@pytest.fixture(scope="module")
def python() -> Iterator[Preloaded]:
    """A process that runs commands and code in forks."""
    with preloaded() as process:
        yield process


@pytest.fixture(scope="module")
def folder(python: Preloaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the scenes that the quickstart draws."""
    place = tmp_path_factory.mktemp("docs")
    judge(python, "judge scenes scenes --count 24 --seed 7 --sheet", place)
    return place


def judge(python: Preloaded, command: str, place: Path) -> str:
    done = python.run_command(command, place)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stdout


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    site = tmp_path / "site"
    assert "judge verdict" in (site / "cli" / "index.html").read_text("utf-8")
    assert "/v1/verdicts" in (site / "http-api" / "index.html").read_text("utf-8")
    assert "depth" in (site / "api" / "index.html").read_text("utf-8")
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text("utf-8")
        )
        assert not [url for url in loaded if "canonical" not in url], f"{page.name} loads {loaded}"


@pytest.mark.parametrize("page", with_blocks("python"), ids=name_of)
def test_the_code_of_a_page_runs_and_prints_what_it_says(page: Path, python: Preloaded, folder: Path) -> None:
    shown = blocks(page, "python", "text")
    following = [*shown[1:], ("", "")]
    code = [f"{body}\nprint('--8<--')" for language, body in shown if language == "python"]
    output = [
        after if next_language == "text" else ""
        for (language, _), (next_language, after) in zip(shown, following, strict=True)
        if language == "python"
    ]
    done = python.run_code("\n".join(code), folder)
    assert done.returncode == 0, done.stderr
    for printed, promised in zip(done.stdout.split("--8<--\n"), output, strict=False):
        if promised:
            assert lines(printed) == lines(promised)
            assert list(map(float, NUMBER.findall(printed))) == pytest.approx(
                list(map(float, NUMBER.findall(promised))), abs=0.02
            )


def lines(text: str) -> list[str]:
    """Text to compare: without the digits of decimals and spaces at the ends of lines."""
    return [NUMBER.sub("#", line).rstrip() for line in text.strip().splitlines()]


@pytest.mark.parametrize("page", with_blocks("sh"), ids=name_of)
def test_the_commands_of_a_page_run(page: Path, python: Preloaded, folder: Path) -> None:
    for _, body in blocks(page, "sh"):
        for command in body.replace("\\\n", " ").splitlines():
            if command.startswith("judge "):
                judge(python, command, folder)


@pytest.mark.parametrize("page", with_blocks("py"), ids=name_of)
def test_code_that_is_only_shown_compiles_and_imports_what_exists(page: Path) -> None:
    for _, body in blocks(page, "py"):
        compile(body, str(page), "exec", flags=0)
        for line in body.splitlines():
            if re.match(r"(from|import) (judge|eval|finetune)\b", line):
                exec(line, {})


@pytest.fixture(scope="module")
def options() -> dict[str, set[str]]:
    """Options by command, as the page of the command line lists them."""
    spec = spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    assert spec is not None and spec.loader is not None
    hooks = module_from_spec(spec)
    spec.loader.exec_module(hooks)
    return {
        path: {name for one in command.params for name in (*one.opts, *one.secondary_opts)} | {"--help"}
        for path, command in hooks.commands().items()
    }


@pytest.mark.parametrize("page", with_blocks("bash", "sh"), ids=name_of)
def test_commands_and_options_that_are_shown_exist(page: Path, options: dict[str, set[str]]) -> None:
    for _, body in blocks(page, "bash", "sh"):
        for line in body.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            if not words or words[0] != "judge":
                continue
            paths = [" ".join(words[:count]) for count in range(2, len(words) + 1)]
            command = next((path for path in paths if path in options), None)
            assert command is not None, line
            used = {word.split("=")[0] for word in words if word.startswith("--")}
            assert used <= options[command], line


SECTIONS = (
    "## Get it",
    "## From the download to the report",
    "## The official number",
    "## What differs",
    "## Files and numbers",
)


def test_every_benchmark_has_a_page_from_its_download_to_its_report() -> None:
    from eval.suites import SUITES

    folder = ROOT / "docs" / "evaluation" / "suites"
    assert {page.stem for page in folder.glob("*.md")} == set(SUITES)
    for name, suite in SUITES.items():
        text = (folder / f"{name}.md").read_text("utf-8")
        lines = text.splitlines()
        assert [line for line in lines if line.startswith("## ")] == list(SECTIONS)
        commands = {
            line.split()[2] for line in lines if line.startswith("judge eval") and f" {name} " in line
        }
        wanted = {"doctor", "run"} | ({"submit"} if suite.submission else set())
        assert wanted | ({"score"} if suite.score_files else set()) == commands
        assert f"<!-- generate: suite {name} -->" in text
