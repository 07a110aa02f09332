"""ReFL and DRaFT: losses of a differentiable reward, and sampling whose last steps keep the gradient.

ReFL (Xu et al. 2023, ImageReward) stops denoising at a late step, predicts the image from there and follows
the reward's gradient through that step. DRaFT-K (Clark et al. 2023) follows it through the last K steps of
the sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SamplerStep = Callable[["Tensor", "Tensor"], "Tensor"]
"""Maps (latents, timestep) to the latents after the step."""


def refl_loss(scores: Tensor, *, margin: float = 1.0, scale: float = 1e-3) -> Tensor:
    """Return scale x mean(max(0, margin - score)). Images that have reached the margin have no gradient.

    NaN, the score of an image that could not be scored, is left out of the mean.

    Args:
        scores: (N,) of `Differentiable`, 0..1.
        margin: score to reach. ImageReward uses 2 on its scale of standard scores; here 1 is the best score.
        scale: weight relative to the generator's pre-training loss.
    """
    return scale * (margin - scores).relu().nanmean()


def draft_loss(scores: Tensor) -> Tensor:
    """Return -mean(score), without NaN, the score of an image that could not be scored.

    Args:
        scores: (N,) of `Differentiable`, 0..1.
    """
    return -scores.nanmean()


def sampled(step: SamplerStep, latents: Tensor, timesteps: Sequence[Tensor], *, last: int = 1) -> Tensor:
    """Run a sampler and keep the gradient of its last steps only, so that the other steps need no memory.

    Args:
        step: one step of the sampler.
        latents: the noise to start from.
        timesteps: as `scheduler.timesteps`.
        last: number of steps that the gradient goes through; ReFL uses 1.

    Returns:
        The latents after the last step.
    """
    import torch

    early = max(0, len(timesteps) - last)
    with torch.no_grad():
        for timestep in timesteps[:early]:
            latents = step(latents, timestep)
    for timestep in timesteps[early:]:
        latents = step(latents, timestep)
    return latents
