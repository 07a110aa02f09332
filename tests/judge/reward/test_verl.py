"""The verl adapter: `compute_score` for one sample at a time, scored in batches."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest
import torch
from rewards import IMAGES, PROMPTS, expected_scores, make_reward, render, unscored_reward

from judge import InputError
from judge.reward import verl


def test_samples_requested_at_the_same_time_are_scored_together() -> None:
    reward = make_reward()
    compute_score = verl.compute_score_of(reward)
    assert inspect.iscoroutinefunction(compute_score)
    assert inspect.iscoroutinefunction(verl.compute_score_image)

    async def score_all() -> list[dict[str, Any]]:
        return await asyncio.gather(
            *(
                compute_score(
                    data_source="x", ground_truth=prompt,
                    solution_image=torch.from_numpy(pixels).permute(2, 0, 1),
                    extra_info={"num_turns": None}, reward_router_address="", sampling_params={},
                )
                for prompt, pixels in zip(PROMPTS, IMAGES, strict=True)
            )
        )  # fmt: skip

    scores = asyncio.run(score_all())
    assert [score["score"] for score in scores] == expected_scores()
    assert all(score["unscored"] == 0 and "alignment" in score for score in scores)
    assert len(reward.judge.backend.requests) == 3


def test_texts_are_rendered_and_the_prompt_comes_from_extra_info() -> None:
    compute_score = verl.compute_score_of(make_reward(), render=render)
    sample = {"data_source": "x", "solution_str": "abc", "ground_truth": ""}
    score = asyncio.run(compute_score(**sample, extra_info={"prompt": "a red circle"}))
    assert 0 <= score["score"] <= 1
    with pytest.raises(InputError, match="prompt"):
        asyncio.run(compute_score(**sample, extra_info={}))


def test_a_missing_score_is_a_number_with_a_flag_and_a_reason() -> None:
    compute_score = verl.compute_score_of(unscored_reward(), unscored=-1.0)
    score = asyncio.run(compute_score(solution_image=IMAGES[0], ground_truth="a red circle"))
    assert score["score"] == -1.0 and score["unscored"] == 1 and "not JSON" in score["reason"]
