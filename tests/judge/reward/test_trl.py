"""The TRL adapter: reward functions as TRL calls them, and in real trainers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from rewards import IMAGES, PROMPTS, expected_scores, make_reward, render, unscored_reward
from tiny import build_tokenizer

from judge.backends.torchvision_compat import patch_imports
from judge.reward.trl import async_reward_func, reward_func

patch_imports()  # before trl is imported


class TrainerLog:
    """Collects what a reward function logs by TRL's `log_metric` and `log_extra`."""

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.extra: dict[str, list[str]] = {}
        self.columns = {
            "log_metric": self.metrics.__setitem__,
            "log_extra": self.extra.__setitem__,
        }


def test_images_are_taken_from_a_column_and_parts_are_logged() -> None:
    log = TrainerLog()
    columns: dict[str, Any] = {"completion_ids": None, **log.columns}
    lists = [[Image.fromarray(pixels)] for pixels in IMAGES]
    completions = ["x"] * 3
    assert reward_func(make_reward())(PROMPTS, completions, images=lists, **columns) == expected_scores()
    assert (
        reward_func(make_reward())(PROMPTS, completions, image=list(IMAGES), **columns) == expected_scores()
    )
    assert {"judge/score", "judge/alignment", "judge/structure", "judge/unscored"} <= set(log.metrics)
    assert not log.extra


def test_missing_scores_are_none_and_their_reasons_are_logged() -> None:
    log = TrainerLog()
    scores = reward_func(unscored_reward(), render=render)(PROMPTS, ["a", "", "b"], **log.columns)
    assert scores == [None] * 3
    assert log.metrics == {"judge/unscored": 3.0}, "a mean of no scores would be NaN"
    assert len(log.extra["judge_unscored"]) == 3 and all(log.extra["judge_unscored"])


def test_images_may_have_a_prompt_column_of_their_own() -> None:
    reward = make_reward()
    function = reward_func(reward, render=render, prompt="caption")
    function(["svg:"], [[{"role": "assistant", "content": "abc"}]], caption=["a red circle"])
    assert "a red circle" in str(reward.judge.backend.requests[0].messages)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["GRPO", "RLOO"])
def test_a_real_trainer_trains_and_tolerates_missing_scores(tmp_path: Path, trainer: str) -> None:
    import trl
    from datasets import Dataset
    from transformers import LlamaConfig, LlamaForCausalLM

    words = build_tokenizer(False)
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(words), pad_token_id=0, eos_token_id=2, **shape))
    options = getattr(trl, f"{trainer}Config")(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=4, num_generations=4,
        max_completion_length=6,
        beta=0.0, use_cpu=True, bf16=False, gradient_checkpointing=False, logging_steps=1,
        save_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    functions = [
        reward_func(make_reward(), render=render, name="sync"),
        async_reward_func(make_reward(2), render=render, name="awaited"),
        reward_func(unscored_reward(), render=render, name="broken"),
    ]
    run = getattr(trl, f"{trainer}Trainer")(
        model=model, reward_funcs=functions, args=options, processing_class=words,
        train_dataset=Dataset.from_list([{"prompt": "a red circle"}] * 8),
    )  # fmt: skip
    before = model.lm_head.weight.detach().clone()
    run.train()
    logged = [row for row in run.state.log_history if "reward" in row]
    assert len(logged) == 2 and all(math.isfinite(row["reward"]) for row in logged)
    assert {"sync/alignment", "awaited/structure", "broken/unscored"} <= set(logged[0])
    assert all(row["broken/unscored"] == 4 for row in logged)
    assert not torch.equal(before, model.lm_head.weight)
