"""The house: which room may import which, how large a room is, and that the contract holds it."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest
from paths import ROOT

PACKAGES = ("judge", "eval", "finetune")
UPWARD = ("judge.types", "judge.explain.overlay")
"""The one import from below, inside `Verdict.overlay()`: a verdict draws itself."""


def check_contracts(folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the contracts of the pyproject.toml in a folder over the packages in it."""
    command = (
        "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports_command as run; run()"
    )
    return subprocess.run(
        [sys.executable, "-c", command, "--no-cache"], cwd=folder, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python files of the packages, to be changed."""
    folder = tmp_path_factory.mktemp("house")
    for name in PACKAGES:
        ignored = shutil.ignore_patterns("assets", "__pycache__", "*.png", "*.md")
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_every_room_imports_only_from_the_rooms_below_it() -> None:
    done = check_contracts(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("judge/media/regions.py", "from judge.rubrics.rubric import Rubric"),
        ("judge/evidence/facts.py", "if TYPE_CHECKING:\n    from judge.pipeline.parsing import Answer"),
        ("judge/backends/base.py", "def later():\n    from judge.judge import Judge"),
        ("judge/serve/service.py", "import judge.batch.reader"),
        ("judge/reward/core.py", "import eval.suites"),
        ("eval/metrics/correlation.py", "import finetune.config"),
        ("eval/metrics/bootstrap.py", "import eval.suites"),
        ("finetune/config.py", "import eval.bench"),
    ],
)
def test_the_contract_refuses_an_import_from_above_or_beside(copy: Path, file: str, line: str) -> None:
    path = copy / file
    before = path.read_text("utf-8")
    path.write_text(f"{before}\n\nfrom typing import TYPE_CHECKING\n{line}\n", "utf-8")
    try:
        done = check_contracts(copy)
    finally:
        path.write_text(before, "utf-8")
    assert done.returncode == 1
    assert "BROKEN" in done.stdout


def test_a_new_room_has_to_be_named_in_the_contract(copy: Path) -> None:
    room = copy / "judge" / "attic"
    room.mkdir()
    (room / "__init__.py").write_text('"""Nobody knows this room."""\n')
    try:
        assert check_contracts(copy).returncode != 0
    finally:
        shutil.rmtree(room)


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph(*PACKAGES, exclude_type_checking_imports=False, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    imports[UPWARD[0]].discard(UPWARD[1])
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_a_room_holds_about_a_dozen_files() -> None:
    folders = [f for name in PACKAGES for f in [ROOT / name, *(ROOT / name).rglob("*")] if f.is_dir()]
    sizes = {str(folder.relative_to(ROOT)): len(list(folder.glob("*.py"))) for folder in folders}
    assert not {room: size for room, size in sizes.items() if size > 15}
    assert sizes["judge"] <= 6 and sizes["eval"] <= 4 and sizes["finetune"] <= 6


def test_every_room_says_what_it_holds() -> None:
    for name in PACKAGES:
        for file in (ROOT / name).rglob("__init__.py"):
            said = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
            assert len(said) > 20, file


def test_the_rooms_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    table = text.split("## Find your way", 1)[1].split("\n## ", 1)[0]
    named = [part for part in table.split("`")[1::2] if "/" in part and " " not in part]
    assert len(named) > 25
    places = [ROOT, ROOT / "judge", ROOT / "judge" / "backends", ROOT / "eval", ROOT / "finetune"]
    for path in named:
        assert any((place / path).exists() for place in places), path


def test_the_layers_of_the_contract_are_the_rooms_of_the_package() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = {name.strip() for line in contracts[0]["layers"] for name in line.split("|")}
    rooms = {
        path.stem
        for path in (ROOT / "judge").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert layers == rooms - {"__init__", "__main__"}
