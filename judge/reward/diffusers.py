"""A `callback_on_step_end` for diffusers pipelines that scores what is being made while it is being made.

watch = ScoreCallback(Reward(), prompts=["a red circle"], every=10)
pipe("a red circle", callback_on_step_end=watch, callback_on_step_end_tensor_inputs=["latents"])
watch.history[-1].results[0].score
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judge.errors import InputError
from judge.reward.result import RewardResult
from judge.reward.trl import Scoring


@dataclass(frozen=True)
class Scored:
    """The pictures after one step."""

    step: int
    """From 0."""
    timestep: int
    results: list[RewardResult]


class ScoreCallback:
    """Scores a pipeline's pictures every few steps and after the last one; it changes nothing.

    Args:
        reward: what scores.
        prompts: one for each picture; one alone is that of all of them.
        every: steps between two scores.
        decode: (pipeline, latents) -> pictures; default: the pipeline's own VAE, for latents (N, C, H, W).

    Raises:
        InputError: `every` is not 1 or more, or there is no prompt.
    """

    def __init__(
        self,
        reward: Scoring,
        *,
        prompts: Sequence[str],
        every: int = 10,
        decode: Callable[[Any, Any], Sequence[Any]] | None = None,
    ) -> None:
        if every < 1:
            raise InputError("every", every, "1 or more", "10 is the usual one")
        if not prompts or isinstance(prompts, str):
            raise InputError("prompts", prompts, "a list of texts", "give at least one")
        self.reward, self.prompts, self.every = reward, list(prompts), every
        self.decode = decode or decoded
        self.history: list[Scored] = []

    def __call__(self, pipe: Any, step: int, timestep: Any, given: Mapping[str, Any]) -> Mapping[str, Any]:
        if (step + 1) % self.every == 0 or step + 1 == pipe.num_timesteps:
            images = self.decode(pipe, given["latents"])
            prompts = self.prompts * (len(images) if len(self.prompts) == 1 else 1)
            results = self.reward(prompts=prompts, images=images)
            self.history.append(Scored(step, int(timestep), results))
        return given


def decoded(pipe: Any, latents: Any) -> Any:
    """Latents (N, C, H, W) as pictures (N, 3, 8 H, 8 W) in 0..1, by the pipeline's VAE."""
    import torch

    config = pipe.vae.config
    shift = getattr(config, "shift_factor", None) or 0.0
    with torch.no_grad():
        images = pipe.vae.decode(latents / config.scaling_factor + shift, return_dict=False)[0]
    return (images / 2 + 0.5).clamp(0, 1)
