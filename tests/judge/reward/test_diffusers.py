"""The diffusers adapter in a real pipeline, and the repair example with a real inpainting pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from rewards import IMAGES, make_reward

from judge import Judge
from judge.backends.scripted import Scripted
from judge.backends.torchvision_compat import patch_imports
from judge.reward import Reward
from judge.reward.diffusers import ScoreCallback

patch_imports()  # before diffusers is imported
PROMPT_EMBEDDING = {"prompt_embeds": torch.zeros(1, 4, 8), "guidance_scale": 1.0}


def tiny_components() -> tuple[dict[str, Any], Callable[[int], Any]]:
    """Components of a Stable Diffusion pipeline, tiny and random, and a function that makes its UNet."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel

    torch.manual_seed(0)
    blocks = {"block_out_channels": (8, 16), "norm_num_groups": 4, "layers_per_block": 1}
    components = {
        "vae": AutoencoderKL(
            latent_channels=4, down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2, **blocks,
        ),
        "scheduler": DDIMScheduler(steps_offset=1, clip_sample=False),
        "text_encoder": None, "tokenizer": None, "safety_checker": None, "feature_extractor": None,
    }  # fmt: skip

    def make_unet(channels: int) -> Any:
        return UNet2DConditionModel(
            sample_size=8, in_channels=channels, cross_attention_dim=8, attention_head_dim=2,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **blocks,
        )  # fmt: skip

    return components, make_unet


def test_a_pipeline_is_scored_while_it_runs() -> None:
    from diffusers import StableDiffusionPipeline

    components, make_unet = tiny_components()
    pipe = StableDiffusionPipeline(**components, unet=make_unet(4), requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    callback = ScoreCallback(make_reward(), prompts=["a red circle"], every=2)
    options = {"height": 16, "width": 16, "num_inference_steps": 3, "num_images_per_prompt": 2}
    pipe(
        **PROMPT_EMBEDDING, **options,
        callback_on_step_end=callback, callback_on_step_end_tensor_inputs=["latents"],
    )  # fmt: skip
    assert [scores.step for scores in callback.history] == [1, 2], "every second step, and the last"
    for scores in callback.history:
        assert len(scores.results) == 2 and all(result.score is not None for result in scores.results)


def test_an_image_is_repaired_by_a_real_inpainting_pipeline_and_kept_only_if_better() -> None:
    from diffusers import StableDiffusionInpaintPipeline

    from examples.repair import repair

    components, make_unet = tiny_components()
    pipe = StableDiffusionInpaintPipeline(**components, unet=make_unet(9), requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    defect = {"kind": "cut", "box": [0, 0, 500, 500], "severity": "critical", "explanation": "it is cut"}
    answer = {"elements": {"red circle": True}, "degradation": "none", "alignment": 5, "structure": 3}
    replies = [
        {**answer, "defects": [defect] * defects, "score": score, "explanation": ""}
        for defects, score in ((1, 2), (1, 1), (0, 5))
    ]
    repaired = repair(
        pipe, IMAGES[1], prompt="a red circle", reward=Reward(Judge(backend=Scripted(replies))), rounds=3,
        **PROMPT_EMBEDDING, height=16, width=16, num_inference_steps=2, strength=1.0,
    )  # fmt: skip
    assert repaired.scores == [0.25, 0.0, 1.0], "the worse attempt is dropped, the better kept, then it stops"
    assert repaired.instructions[0] == "a red circle, intact (mend: it is cut)"
    is_changed = np.abs(np.asarray(repaired.image).astype(int) - IMAGES[1]).max(axis=2) > 0
    assert is_changed[:4, :4].any() and not is_changed[5:, 5:].any()
