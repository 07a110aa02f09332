"""A `callback_on_step_end` for diffusers pipelines that scores the images during denoising.

callback = ScoreCallback(Reward(), prompts=["a red circle"], every=10)
pipe("a red circle", callback_on_step_end=callback, callback_on_step_end_tensor_inputs=["latents"])
callback.history[-1].results[0].score
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from judge.errors import InputError
from judge.reward.result import RewardLike, RewardResult


@dataclass(frozen=True)
class StepScores:
    """The scores after one step."""

    step: int
    """Number of the step, from 0."""
    timestep: int
    """The scheduler's timestep."""
    results: list[RewardResult]
    """One per image."""


class ScoreCallback:
    """Scores a pipeline's images every few steps and after the last one. It changes nothing.

    Args:
        reward: scores the images.
        prompts: one per image; a single one is used for all images.
        negative_prompt: what the images must not show, as given to the pipeline.
        every: steps between two scores, 1 or more.
        decode: function of (pipeline, latents) that returns images; default: the pipeline's own VAE, for
            latents (N, C, H, W).

    Raises:
        InputError: `every` is below 1, or there is no prompt.
    """

    def __init__(
        self,
        reward: RewardLike,
        *,
        prompts: Sequence[str],
        negative_prompt: str = "",
        every: int = 10,
        decode: Callable[[Any, Any], Sequence[Any]] | None = None,
    ) -> None:
        if every < 1:
            raise InputError("every", every, "1 or more", "10 is the usual value")
        prompt_list = [] if isinstance(prompts, str) else list(prompts)
        if not prompt_list:
            raise InputError("prompts", prompts, "a list of texts", "give at least one")
        self.reward, self.prompts, self.every = reward, prompt_list, every
        self.negative_prompt = negative_prompt
        self.decode = decode or decode_latents
        self.history: list[StepScores] = []
        """Scores so far, the oldest first."""

    def __call__(self, pipe: Any, step: int, timestep: Any, tensors: Mapping[str, Any]) -> Mapping[str, Any]:
        """Score the images if it is their turn, and return the tensors unchanged.

        Args:
            pipe: the pipeline.
            step: number of the step, from 0.
            timestep: the scheduler's timestep.
            tensors: with `latents`.
        """
        if (step + 1) % self.every == 0 or step + 1 == pipe.num_timesteps:
            images = self.decode(pipe, tensors["latents"])
            prompts = self.prompts * (len(images) if len(self.prompts) == 1 else 1)
            negative = [{"negative_prompt": self.negative_prompt}] * len(prompts)
            metadata = negative if self.negative_prompt else None
            results = self.reward(prompts=prompts, images=images, metadata=metadata)
            self.history.append(StepScores(step, int(timestep), results))
        return tensors


def decode_latents(pipe: Any, latents: Any) -> Any:
    """Decode latents by the pipeline's VAE.

    Args:
        pipe: the pipeline.
        latents: (N, C, H, W).

    Returns:
        Images (N, 3, 8 H, 8 W) in 0..1.
    """
    import torch

    config = pipe.vae.config
    shift = getattr(config, "shift_factor", None) or 0.0
    with torch.no_grad():
        images = pipe.vae.decode(latents / config.scaling_factor + shift, return_dict=False)[0]
    return (images / 2 + 0.5).clamp(0, 1)
