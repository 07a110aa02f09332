"""The judge as a reward for trainers of generators; `judge/reward/README.md` shows each of them.

Names are loaded on first use, as in `judge` itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from judge.reward.core import Reward
    from judge.reward.differentiable import Differentiable
    from judge.reward.hacking import Canary, Ensemble
    from judge.reward.result import RewardResult
    from judge.reward.spatial import RewardMap

__all__ = ["Canary", "Differentiable", "Ensemble", "Reward", "RewardMap", "RewardResult"]

_HOME = {
    "Canary": "hacking",
    "Differentiable": "differentiable",
    "Ensemble": "hacking",
    "Reward": "core",
    "RewardMap": "spatial",
    "RewardResult": "result",
}


def __getattr__(name: str) -> object:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value
