"""Judges generated images: a score, what the prompt asked for and is there, and where the picture is broken.

    from judge import Judge

    verdict = Judge()("picture.png", prompt="a red circle and two blue cats")

Names are loaded on first use: `import judge` alone loads neither torch nor a model.
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

_HOME = {
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


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
