"""Runs at the start of every interpreter that `judge.backends.torchvision_compat.environment` was handed to: hides
what cannot be imported, and mends torchvision when it is looked for. Costs nothing where it is not.
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


def _load(name: str, path: str | Path) -> Any:
    spec: Any = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # keeps it alive, and with it the operators that it declares
    spec.loader.exec_module(module)
    return module


class _Mend(importlib.abc.MetaPathFinder):
    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            _load("_judge_torchvision", HERE.parent / "torchvision_compat.py").declare()


for _package in os.environ.get("JUDGE_MENDED", "").split(","):
    if _package == "torchvision":
        sys.meta_path.insert(0, _Mend())
    elif _package:
        sys.modules.setdefault(_package, None)  # type: ignore[arg-type]

# An interpreter runs one file of this name only: hand on to the one that this one stands before.
_others = [entry for entry in sys.path if Path(entry or ".").resolve() != HERE.resolve()]
_next = importlib.machinery.PathFinder.find_spec("sitecustomize", _others)
if _next is not None and _next.origin is not None:
    _load("sitecustomize", _next.origin)
