"""Judge generated images: a score, which elements of the prompt are present, and where the image is broken.

    from judge import Judge

    verdict = Judge()("image.png", prompt="a red circle and two blue cats")

Names are imported when they are first used, so `import judge` alone loads neither torch nor a model.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from judge.runtime.version import __version__

if TYPE_CHECKING:
    from judge.compare.panel import Panel
    from judge.errors import (
        BackendError,
        InputError,
        JudgeError,
        MediaError,
        ReplyError,
        RubricError,
    )
    from judge.judge import Judge
    from judge.remote.client import Client
    from judge.rubrics.form import Form
    from judge.rubrics.rubric import Rubric
    from judge.types import LabelledSample, Labels, Sample, Verdict


__all__ = [
    "BackendError",
    "Client",
    "Form",
    "InputError",
    "Judge",
    "JudgeError",
    "LabelledSample",
    "Labels",
    "MediaError",
    "Panel",
    "ReplyError",
    "Rubric",
    "RubricError",
    "Sample",
    "Verdict",
    "__version__",
]

_MODULES = {
    "BackendError": "errors",
    "Client": "remote.client",
    "Form": "rubrics.form",
    "InputError": "errors",
    "Judge": "judge",
    "JudgeError": "errors",
    "LabelledSample": "types",
    "Labels": "types",
    "MediaError": "errors",
    "Panel": "compare.panel",
    "ReplyError": "errors",
    "Rubric": "rubrics.rubric",
    "RubricError": "errors",
    "Sample": "types",
    "Verdict": "types",
}
"""Public name -> the module that defines it."""


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
