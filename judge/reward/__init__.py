"""The judge as a reward for trainers of image generators. `judge/reward/README.md` shows each adapter.

    core             `Reward`: images and prompts in, numbers from 0 to 1 out
    result           `RewardResult`, and how a verdict becomes parts of a reward
    spatial          `RewardMap`: located defects as maps and masks
    differentiable   `Differentiable`: the expected score with a gradient to the pixels
    rows             reads the rows of a call: prompts, images and metadata in any form
    hacking          `Ensemble`, `Canary`, `Divergence`: tools against reward hacking
    neutral          neutral numbers in place of missing scores
    trl, flow_grpo, verl, openrlhf, refl, diffusers   adapters, one for each trainer
    servers          what the reward servers share

Names are loaded on first use, as in `judge` itself. Imports from below: the facade `judge.judge`, the
pipeline, media and, for gradients, backends, evidence, elements and rubrics.
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

_MODULE_OF = {
    "Canary": "hacking",
    "Differentiable": "differentiable",
    "Ensemble": "hacking",
    "Reward": "core",
    "RewardMap": "spatial",
    "RewardResult": "result",
}


def __getattr__(name: str) -> object:
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value
