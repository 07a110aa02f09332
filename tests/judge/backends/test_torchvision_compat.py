"""Packages that were built for another torch: mended here and in what this process starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from judge.backends import torchvision_compat as _torchvision


def run(code: str, env: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


IMPORTS = (
    "import sys\n"
    "assert 'torch' not in sys.modules\n"
    "from transformers import Qwen3VLProcessor\n"
    "import torchvision.transforms\n"
    "import qwen_vl_utils\n"
    "print('fine')\n"
)


def test_a_child_imports_torchvision_where_this_process_can() -> None:
    assert run(IMPORTS, _torchvision.environment(os.environ)) == "fine"


def test_where_all_builds_match_children_get_the_environment_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_torchvision, "mend", lambda: ())
    assert _torchvision.environment({"A": "b"}) == {"A": "b"}
    before = dict(os.environ)
    with _torchvision.for_children():
        assert dict(os.environ) == before


def test_the_hook_stands_first_on_the_path_for_as_long_as_it_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_torchvision, "mend", lambda: ("torchvision", "torchaudio"))
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.delenv(_torchvision.MENDED, raising=False)
    for _ in range(2):  # twice over changes nothing
        with _torchvision.for_children(), _torchvision.for_children():
            assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(_torchvision.HOOK), "/elsewhere"]
            assert os.environ[_torchvision.MENDED] == "torchvision,torchaudio"
        assert os.environ["PYTHONPATH"] == "/elsewhere"
        assert _torchvision.MENDED not in os.environ


def test_the_hook_hands_on_to_the_file_of_its_name_that_it_stands_before(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins\nbuiltins.mine = 'ran'\n", "utf-8")
    path = os.pathsep.join([str(_torchvision.HOOK), str(tmp_path)])
    env = {**os.environ, "PYTHONPATH": path, _torchvision.MENDED: "torchaudio"}
    code = "import sys\nprint(mine, sys.modules['torchaudio'], 'torch' in sys.modules)"
    assert run(code, env) == "ran None False"


def test_what_cannot_be_imported_seems_not_to_be_installed() -> None:
    env = {**os.environ, "PYTHONPATH": str(_torchvision.HOOK), _torchvision.MENDED: "torchcodec"}
    code = "from importlib.util import find_spec\nprint(find_spec('torchcodec'))"
    assert run(code, env) == "None"
