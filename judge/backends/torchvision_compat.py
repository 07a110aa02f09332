"""Make transformers and vLLM importable when torchvision was built for another torch.

transformers, vLLM and qwen-vl-utils import torchvision if it is installed. transformers also imports
torchaudio, and vLLM torchcodec. PyPI's wheels of these packages are compiled against CUDA. With a CPU build
of torch, their libraries do not load and the imports fail. Of torchvision, only Python transforms are used,
for which it is enough to declare the schemas of two operators. torchaudio and torchcodec are not used at all,
so they are hidden if they cannot load. Nothing changes where the builds match.

`patch_imports` patches this process. Processes that it starts (vLLM inspects each model in a new interpreter)
need the variables of `child_environment`: a PYTHONPATH on which `hook/sitecustomize.py` applies the same
patches. That file loads this one by its path, so this module imports nothing from the package.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HIDEABLE_PACKAGES = {"torchaudio": "lib/*.so", "torchcodec": "libtorchcodec_image*.so"}
"""Packages that may be hidden -> pattern of the libraries that must load for an import to succeed. The other
libraries of torchcodec need FFmpeg, and its importers expect them to fail."""
HOOK = Path(__file__).with_name("hook")
"""Folder with `sitecustomize.py`, for the PYTHONPATH of child processes."""
PATCHED_VARIABLE = "JUDGE_PATCHED_PACKAGES"
"""Environment variable with the packages that the hook must patch, separated by commas."""
_NMS_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_libraries: list[Any] = []  # torch drops a schema together with the Library object that declared it


@cache
def patch_imports() -> tuple[str, ...]:
    """Patch or hide the packages whose compiled libraries do not load. Call it before importing transformers.

    Returns:
        Names of the packages that were patched or hidden.
    """
    patched = []
    if "torchvision" not in sys.modules and not _libraries_load("torchvision", "_C*.so"):
        declare_torchvision_operators()
        patched.append("torchvision")
    for package, pattern in HIDEABLE_PACKAGES.items():
        if package not in sys.modules and not _libraries_load(package, pattern):
            hide_package(package)
            patched.append(package)
    return tuple(patched)


def declare_torchvision_operators() -> None:
    """Declare the operators that `import torchvision` looks up."""
    import torch

    library_class: Any = torch.library.Library
    library = library_class("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(operator + _NMS_SCHEMA)
    _libraries.append(library)


def hide_package(package: str) -> None:
    """Make a package look as if it were not installed, also to a transformers that has checked before."""
    sys.modules[package] = None  # type: ignore[assignment]
    import_utils = sys.modules.get("transformers.utils.import_utils")
    is_available: Any = getattr(import_utils, f"is_{package}_available", None)
    if hasattr(is_available, "cache_clear"):
        is_available.cache_clear()


def child_environment(base: Mapping[str, str]) -> dict[str, str]:
    """Build the environment for a child process that imports these packages.

    Args:
        base: environment variables to start from.

    Returns:
        `base`, with the hook on PYTHONPATH if any package needs a patch.
    """
    environment = dict(base)
    if patched := patch_imports():
        paths = [str(HOOK), *filter(None, base.get("PYTHONPATH", "").split(os.pathsep))]
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
        environment[PATCHED_VARIABLE] = ",".join(patched)
    return environment


@contextmanager
def patched_child_processes() -> Iterator[None]:
    """Apply `child_environment` to every process that is started inside the `with` block."""
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", PATCHED_VARIABLE)}
    os.environ.update(child_environment(os.environ))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _libraries_load(package: str, pattern: str) -> bool:
    """Return whether the compiled libraries of a package load into this torch, or it is not installed."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return True
    import torch

    operators: Any = torch.ops
    try:
        for path in Path(spec.origin).parent.glob(pattern):
            operators.load_library(str(path))
    except OSError:
        return False
    return True
