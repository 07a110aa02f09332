"""The package as a whole: cheap to import, complete by name, complete as a wheel."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from paths import ROOT

import judge


def loaded_by(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after running the code."""
    script = f"{code}\nimport sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    return set(done.stdout.split())


def test_importing_judge_loads_nothing_heavy() -> None:
    """Command-line completion and reward servers import the package long before they need a model."""
    heavy = {"torch", "transformers", "vllm", "outlines", "peft", "cv2", "scipy", "numpy", "PIL", "pydantic"}
    assert not loaded_by("import judge") & heavy


def test_types_and_errors_load_no_model_library() -> None:
    """Reading verdicts from a file needs no torch, so a dashboard need not have it installed."""
    heavy = {"torch", "transformers", "vllm", "outlines", "peft", "cv2"}
    assert not loaded_by("from judge import Verdict, Sample, InputError, Rubric, Form") & heavy


@pytest.mark.parametrize("name", judge.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(judge, name) is not None
    assert name in dir(judge)


def test_unknown_names_fail_as_in_any_module() -> None:
    """`hasattr`, pickle and mocking libraries rely on AttributeError."""
    with pytest.raises(AttributeError, match="no attribute 'Jugde'"):
        judge.Jugde  # noqa: B018


def test_errors_print_as_one_line_that_tells_the_mend() -> None:
    error = judge.MediaError("image", "line\nbreak" * 100, "pictures", "export it again")
    text = str(error)
    assert "\n" not in text and len(text) < 200
    assert text.startswith("image: ") and text.endswith("export it again")
    assert isinstance(error, judge.InputError) and isinstance(error, ValueError)


def test_a_wheel_holds_prompts_and_everything_the_package_reads(tmp_path: Path) -> None:
    """Prompts live at the top of the checkout; an installed package without them cannot judge at all."""
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, timeout=120, check=True)
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"judge/{path.relative_to(ROOT)}" for path in (ROOT / "prompts").rglob("*.*")}
    wanted |= {str(path.relative_to(ROOT)) for path in (ROOT / "judge" / "assets").rglob("*.*")}
    wanted |= {"judge/py.typed", "judge/types.py", "finetune/__init__.py", "eval/metrics/correlation.py"}
    assert not wanted - held
    assert not {name for name in held if name.startswith(("tests", "demo", "runs"))}


def test_every_direct_dependency_is_pinned() -> None:
    """An unpinned dependency makes tomorrow's `make test` a different one."""
    described = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*described["dependencies"]]
    for extra, packages in described["optional-dependencies"].items():
        # Constraints are for the CPU build of the same engine; inspect-ai wants older versions than the rest.
        wanted += [] if extra in ("vllm", "inspect") else packages
    pinned = {
        line.split("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    names = {item.split(">")[0].split("=")[0].split("[")[0].strip() for item in wanted}
    assert not {name for name in names if name not in pinned}
