"""ReFL and DRaFT: losses of a differentiable reward, and sampling whose last steps keep the gradient.

ReFL (Xu et al. 2023, ImageReward) stops denoising at one late step, predicts the picture from there and
follows the reward's gradient through that step; DRaFT-K (Clark et al. 2023) through the last K steps of the
sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

Step = Callable[["Tensor", "Tensor"], "Tensor"]
"""(latents, timestep) -> latents after the step."""


def refl_loss(scores: Tensor, *, margin: float = 1.0, scale: float = 1e-3) -> Tensor:
    """scale x mean(max(0, margin - score)): pictures that have reached the margin pull no longer.

    Args:
        scores: (N,) of `Differentiable`, 0..1.
        margin: ImageReward's own is 2 on its scale of standard scores; here 1 is the best there is.
        scale: weight beside the generator's pre-training loss.
    """
    return scale * (margin - scores).relu().mean()


def draft_loss(scores: Tensor) -> Tensor:
    """-mean(score)"""
    return -scores.mean()


def sampled(step: Step, latents: Tensor, timesteps: Sequence[Tensor], *, last: int = 1) -> Tensor:
    """Run a sampler and keep the gradient of its last steps only, so that memory does not grow with the
    others.

    Args:
        step: one step of the sampler.
        latents: the noise to start from.
        timesteps: as `scheduler.timesteps`.
        last: how many steps the gradient goes through; 1 is ReFL's way.
    """
    import torch

    early = max(0, len(timesteps) - last)
    with torch.no_grad():
        for timestep in timesteps[:early]:
            latents = step(latents, timestep)
    for timestep in timesteps[early:]:
        latents = step(latents, timestep)
    return latents
