"""Adapter training: a LoRA adapter teaches a pre-trained base to fill the forms of a rubric.

    python -m finetune.nano adapt POOL... --init BASE --out RUN --minutes 15
    python -m finetune.nano adapt POOL... --init BASE --adapter ADAPTER --out RUN --minutes 15    # continue

The vision tower and the base do not change, so one base serves any number of such adapters.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import torch

from finetune.lora.config import LANGUAGE_LAYERS
from finetune.nano import tasks
from finetune.nano.batched_forward import BatchedForward
from finetune.nano.data.batch import SceneBatch
from finetune.nano.data.scene_batches import SceneBatches
from finetune.nano.evaluation import build_held_out_batches, measure
from finetune.nano.losses import AnswerLoss, Hits, attention_losses, count_hits, run_batch
from finetune.nano.trainer import TrainingSettings, train
from finetune.nano.workers import SharedOptimizer, join_workers, training_dtype
from judge.rubrics.rubric import Rubric
from judge.scenes import SceneFacts

ATTENTION_WEIGHTS = {"named": 0.1, "boxed": 0.2, "linked": 0.1}
"""Weights of the attention losses. They keep the attention that the base has learned."""
HELD_OUT_SCENES = 300
WARMUP_STEPS = 40


class JudgingPlan:
    """Chooses two full verdicts and one at score depth for each visit of a scene.

    The rubric is `default`. The rubric `quality` has an adapter of its own.
    """

    def __init__(self) -> None:
        self.rubric = Rubric.load("default")

    def __call__(self, r: Random, facts: SceneFacts, progress: float) -> list[tasks.Task]:
        return [
            tasks.judge_scene(r, facts, self.rubric, score_only=score_only)
            for score_only in (False, True, False)
        ]


def add_lora(model: Any, rank: int) -> Any:
    """Return the model with a new LoRA adapter on its language layers, and all other weights frozen."""
    from peft import LoraConfig, get_peft_model

    return get_peft_model(
        model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=LANGUAGE_LAYERS, task_type="CAUSAL_LM")
    )


def continue_lora(model: Any, adapter: Path) -> Any:
    """Return the model with an adapter whose training goes on, and all other weights frozen."""
    from peft import PeftModel

    return PeftModel.from_pretrained(model, str(adapter), is_trainable=True)


def train_adapter(
    rank: int, workers: int, settings: TrainingSettings, lora_rank: int, adapter: Path | None = None
) -> None:
    """Train until the end of the schedule. Writes `settings.out`/adapter, and the state to resume from.

    Args:
        rank: of this worker.
        workers: number of workers.
        settings: of the training.
        lora_rank: rank of a new adapter.
        adapter: folder of an adapter to continue from; None: a new one.
    """
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    join_workers(rank, workers, settings.port)
    torch.manual_seed(settings.seed)  # all workers begin with the same adapter
    base = AutoModelForImageTextToText.from_pretrained(settings.init, dtype=training_dtype())
    tokenizer = AutoTokenizer.from_pretrained(settings.init)
    adapted = add_lora(base, lora_rank) if adapter is None else continue_lora(base, adapter)
    plan = JudgingPlan()
    batches = SceneBatches(
        settings.datasets,
        tokenizer,
        plan,
        size=settings.batch_size // workers,
        max_text_tokens=settings.max_text_tokens,
        seed=settings.seed * 100 + rank,
    )
    forward = BatchedForward(base, batches.row_builder.prefix)
    answer_loss = AnswerLoss(tokenizer, base.config.text_config.vocab_size)
    optimizer = SharedOptimizer([adapted], settings.lr, rank, workers, adamw_only=True)
    held_out: list[SceneBatch] = []
    if rank == 0:
        held_out = build_held_out_batches(
            settings.held_out, tokenizer, HELD_OUT_SCENES, plan, max_text_tokens=settings.max_text_tokens
        )

    def step(batch: SceneBatch, progress: float) -> tuple[dict[str, float], Hits]:
        with torch.no_grad():
            features = forward.encode_images(batch.images)
        result = run_batch(forward, batch, features, answer_loss, read_attention=True)
        if result.readout is None:
            raise AssertionError("the attention was to be read")
        attention = attention_losses(result.readout, batch)
        total = result.loss + sum(ATTENTION_WEIGHTS[n] * v for n, v in attention.items())
        total.backward()
        losses = {"loss": result.loss, **attention}
        return {n: float(v.detach()) for n, v in losses.items()}, count_hits(result.hits, result.tags)

    train(
        optimizer,
        batches,
        settings,
        step,
        lambda: measure(forward, answer_loss, held_out),
        warmup=WARMUP_STEPS,
    )
    if rank == 0:
        optimizer.copy_masters_into([adapted])
        adapted.save_pretrained(settings.out / "adapter")
