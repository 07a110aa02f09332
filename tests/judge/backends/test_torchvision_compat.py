"""Packages that were built for another torch are patched in this process and in the processes it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from judge.backends import torchvision_compat
from judge.backends.torchvision_compat import (
    HOOK,
    PATCHED_VARIABLE,
    child_environment,
    patched_child_processes,
)


def run_python(code: str, env: dict[str, str]) -> str:
    """Run code in a new interpreter; returns what it printed."""
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


IMPORT_ALL = (
    "import sys\n"
    "assert 'torch' not in sys.modules\n"
    "from transformers import Qwen3VLProcessor\n"
    "import torchvision.transforms\n"
    "import qwen_vl_utils\n"
    "print('fine')\n"
)


def test_a_child_process_can_import_torchvision() -> None:
    assert run_python(IMPORT_ALL, child_environment(os.environ)) == "fine"


def test_the_environment_stays_the_same_when_all_builds_match(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_compat, "patch_imports", lambda: ())
    assert child_environment({"A": "b"}) == {"A": "b"}
    before = dict(os.environ)
    with patched_child_processes():
        assert dict(os.environ) == before


def test_the_hook_is_first_on_the_path_only_inside_the_with_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchvision_compat, "patch_imports", lambda: ("torchvision", "torchaudio"))
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.delenv(PATCHED_VARIABLE, raising=False)
    for _ in range(2):
        with patched_child_processes(), patched_child_processes():  # nesting changes nothing
            assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(HOOK), "/elsewhere"]
            assert os.environ[PATCHED_VARIABLE] == "torchvision,torchaudio"
        assert os.environ["PYTHONPATH"] == "/elsewhere"
        assert PATCHED_VARIABLE not in os.environ


def test_the_hook_also_runs_the_next_sitecustomize_on_the_path(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins\nbuiltins.mine = 'ran'\n", "utf-8")
    path = os.pathsep.join([str(HOOK), str(tmp_path)])
    env = {**os.environ, "PYTHONPATH": path, PATCHED_VARIABLE: "torchaudio"}
    code = "import sys\nprint(mine, sys.modules['torchaudio'], 'torch' in sys.modules)"
    assert run_python(code, env) == "ran None False"


def test_a_hidden_package_looks_as_if_it_were_not_installed() -> None:
    env = {**os.environ, "PYTHONPATH": str(HOOK), PATCHED_VARIABLE: "torchcodec"}
    code = "from importlib.util import find_spec\nprint(find_spec('torchcodec'))"
    assert run_python(code, env) == "None"
