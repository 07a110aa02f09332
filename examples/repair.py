"""Repair what the judge finds broken, with any diffusers inpainting pipeline.

    pipe = AutoPipelineForInpainting.from_pretrained("...")
    reward = Reward(Judge("Qwen/Qwen3-VL-8B-Instruct"))
    repaired = repair(pipe, image, prompt="a red cat", reward=reward)

Each round asks the judge where the image is broken, repaints those regions with a prompt that names what is
wrong, and keeps the new image only if its score is higher.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from judge.media.image import load_image
from judge.reward import Reward


@dataclass(frozen=True)
class Repaired:
    """The result of a repair."""

    image: Image.Image
    """The best image."""
    scores: list[float | None]
    """Scores of the original image and of each attempt, kept or not."""
    instructions: list[str]
    """The prompt of each attempt."""


def repair(
    pipe: Any,
    image: Any,
    *,
    prompt: str,
    reward: Reward,
    rounds: int = 2,
    grow: float = 0.3,
    least: float = 0.1,
    **options: Any,
) -> Repaired:
    """Repaint what is broken.

    Args:
        pipe: an inpainting pipeline, called with prompt, image and mask_image; its result has `.images`.
        image: in any form that `Sample.image` takes.
        prompt: the text that the image was made from.
        reward: says what is broken, and whether an attempt is better.
        rounds: attempts at most; fewer if no defect is left.
        grow: how much each region is widened, as a share of its sides.
        least: defects with a lower confidence x severity are not repaired.
        options: passed to the pipeline; `prompt_embeds` replaces the prompt.
    """
    current = load_image(image).image
    (reward_map,) = reward.map(prompts=[prompt], images=[current])
    scores, instructions = [reward_map.result.score], list[str]()
    for _ in range(rounds):
        mask = reward_map.mask(grow=grow, least=least) if reward_map.size else None
        if mask is None or not mask.getbbox():
            break
        instructions.append(reward_map.instruction)
        arguments = {} if "prompt_embeds" in options else {"prompt": reward_map.instruction}
        output = pipe(image=current, mask_image=mask, **arguments, **options).images[0]
        # Decoding the latents changes pixels outside the mask slightly; they are kept from the image before.
        attempt = Image.composite(output.resize(current.size), current, mask)
        (attempt_map,) = reward.map(prompts=[prompt], images=[attempt])
        score = attempt_map.result.score
        scores.append(score)
        if score is not None and score > (reward_map.result.score or 0.0):
            current, reward_map = attempt, attempt_map
    return Repaired(current, scores, instructions)
