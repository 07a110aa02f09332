"""Make transformers importable beside a torch whose build does not match torchvision's and torchaudio's.

transformers' Qwen-VL code imports both where they are installed; qwen-vl-utils imports torchvision. PyPI's
wheels are compiled against CUDA: beside a CPU build of torch their libraries do not load and the imports
die. Of torchvision only Python transforms are used, and declaring two operator schemas is enough for them;
torchaudio is not used at all, so one that cannot load is hidden. Matching builds notice nothing.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_declared: list[Any] = []  # torch drops a schema together with the Library object that declared it


@cache
def mend() -> None:
    """Make both importable, or hidden, where their compiled parts do not load; call before transformers."""
    if "torchvision" not in sys.modules and not _loads("torchvision", "_C*.so"):
        import torch

        declare: Any = torch.library.Library
        library = declare("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(operator + _SCHEMA)
        _declared.append(library)
    if "torchaudio" not in sys.modules and not _loads("torchaudio", "lib/*.so"):
        sys.modules["torchaudio"] = None  # type: ignore[assignment]  # what import takes as "not installed"


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
