"""Patch imports in child processes, for `judge.backends.torchvision_compat.child_environment`.

Python runs this file at the start of every interpreter that has this folder on PYTHONPATH. It hides the
packages that cannot be imported, and patches torchvision when it is first imported. In an interpreter that
imports none of them it costs nothing.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def _load_module(name: str, path: str | Path) -> Any:
    spec: Any = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # keeps the module alive, and with it the operators that it declares
    spec.loader.exec_module(module)
    return module


class _TorchvisionPatch(importlib.abc.MetaPathFinder):
    """Declares the operators of torchvision just before its import; finds no module itself."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            compat = _load_module("_judge_torchvision", HERE.parent / "torchvision_compat.py")
            compat.declare_torchvision_operators()


for _package in os.environ.get("JUDGE_PATCHED_PACKAGES", "").split(","):
    if _package == "torchvision":
        sys.meta_path.insert(0, _TorchvisionPatch())
    elif _package:
        sys.modules.setdefault(_package, None)  # type: ignore[arg-type]

# An interpreter runs only the first sitecustomize.py on its path: run the next one too.
_other_entries = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE.resolve()]
_next = importlib.machinery.PathFinder.find_spec("sitecustomize", _other_entries)
if _next is not None and _next.origin is not None:
    _load_module("sitecustomize", _next.origin)
