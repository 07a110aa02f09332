"""Make transformers and vLLM importable beside a torch that torchvision and its kin were not built for.

Both import torchvision where it is installed, and so does qwen-vl-utils; transformers imports torchaudio too,
vLLM torchcodec. PyPI's wheels are compiled against CUDA: beside a CPU build of torch their libraries do not
load and the imports die. Of torchvision only Python transforms are used, and declaring two operator schemas
is enough for them; the others are not used at all, so those that cannot load are hidden. Matching builds
notice nothing.

`mend` serves this process. Programs that it starts (vLLM looks at each model in a fresh interpreter) get
`environment()`: a path on which `hook/sitecustomize.py` does what was needed here. It loads this file on its
own, so nothing of this package is imported.
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

UNUSED = {"torchaudio": "lib/*.so", "torchcodec": "libtorchcodec_image*.so"}
"""Packages that may go missing, and those of their libraries that must load for an import to succeed; the
rest of torchcodec's need FFmpeg, and who imports it expects them to fail."""
HOOK = Path(__file__).with_name("hook")
MENDED = "JUDGE_MENDED"
"""Environment variable that tells the hook which packages are to be mended, separated by commas."""
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[Any] = []  # torch drops a schema together with the Library object that declared it


@cache
def mend() -> tuple[str, ...]:
    """Make them importable, or hidden, where their compiled parts do not load; call before transformers.

    Returns:
        The packages that it was needed for.
    """
    mended = []
    if "torchvision" not in sys.modules and not _loads("torchvision", "_C*.so"):
        declare()
        mended.append("torchvision")
    for package, libraries in UNUSED.items():
        if package not in sys.modules and not _loads(package, libraries):
            hide(package)
            mended.append(package)
    return tuple(mended)


def declare() -> None:
    """Declare the operators that `import torchvision` needs to find."""
    import torch

    library: Any = torch.library.Library
    library = library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(operator + _SCHEMA)
    _declared.append(library)


def hide(package: str) -> None:
    """Let a package seem not to be installed, also to a transformers that has looked before."""
    sys.modules[package] = None  # type: ignore[assignment]
    looked: Any = getattr(sys.modules.get("transformers.utils.import_utils"), f"is_{package}_available", None)
    if hasattr(looked, "cache_clear"):
        looked.cache_clear()


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """The environment for a program that is to run with these packages: `base`, and the hook where needed."""
    changed = dict(base)
    if mended := mend():
        paths = [str(HOOK), *filter(None, base.get("PYTHONPATH", "").split(os.pathsep))]
        changed |= {"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)), MENDED: ",".join(mended)}
    return changed


@contextmanager
def for_children() -> Iterator[None]:
    """Let what this process starts meanwhile inherit `environment`."""
    before = {name: os.environ.get(name) for name in ("PYTHONPATH", MENDED)}
    os.environ.update(environment(os.environ))
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _loads(package: str, libraries: str) -> bool:
    """Whether a package's compiled libraries load into this torch; true where it is not installed."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return True
    import torch

    operators: Any = torch.ops
    try:
        for path in Path(spec.origin).parent.glob(libraries):
            operators.load_library(str(path))
    except OSError:
        return False
    return True
