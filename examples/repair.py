"""Repair of what the judge finds broken, by any diffusers inpainting pipeline.

    pipe = AutoPipelineForInpainting.from_pretrained("...")
    done = repair(pipe, image, prompt="a red cat", reward=Reward(Judge("Qwen/Qwen3-VL-8B-Instruct")))

Each round asks the judge where the picture is broken, paints those places anew with an instruction that names
what was wrong, and keeps the new picture only if its score is higher.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from PIL import Image

from judge.media import image as media
from judge.reward import Reward


@dataclass(frozen=True)
class Repaired:
    """What came of it."""

    image: Image.Image
    scores: list[float | None]
    """Of the picture as it was, and of each attempt, kept or not."""
    instructions: list[str]
    """One for each attempt."""


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
    """Paint anew what is broken.

    Args:
        pipe: an inpainting pipeline: called with prompt, image and mask_image, gives `.images`.
        image: as `Sample.image` takes it.
        prompt: what the picture was made from.
        reward: who says what is broken, and whether it has become better.
        rounds: attempts at most; fewer if nothing is found broken any more.
        grow: how much each place is widened, as a share of its sides.
        least: defects of less confidence x severity are left alone.
        options: passed on to the pipeline; a `prompt_embeds` among them takes the instruction's place.
    """
    current = media.load(image).image
    (found,) = reward.map(prompts=[prompt], images=[current])
    scores, instructions = [found.result.score], list[str]()
    for _ in range(rounds):
        mask = found.mask(grow=grow, least=least) if found.size else None
        if mask is None or not mask.getbbox():
            break
        instructions.append(found.instruction)
        asked = {} if "prompt_embeds" in options else {"prompt": found.instruction}
        painted = pipe(image=current, mask_image=mask, **asked, **options).images[0].resize(current.size)
        # Latents blur what lies outside the mask; that stays as it was.
        attempt = Image.composite(painted, current, mask)
        (again,) = reward.map(prompts=[prompt], images=[attempt])
        scores.append(again.result.score)
        if again.result.score is not None and again.result.score > (found.result.score or 0.0):
            current, found = attempt, again
    return Repaired(current, scores, instructions)
