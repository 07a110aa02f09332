"""Adapter training: a LoRA adapter teaches a pre-trained base to fill the forms of a rubric.

    python -m finetune.nano adapt POOL... --init BASE --out RUN --minutes 15
    python -m finetune.nano adapt POOL... --init BASE --adapter ADAPTER --out RUN --minutes 15    # continue

The base does not change, so one base serves any number of such adapters. With --tower the adapter also has
matrices for the layers of the vision tower, which learn to see with the auxiliary losses of pre-training.
"""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import torch

from finetune.lora.base_model import continue_adapter, trainable_parameters
from finetune.lora.config import LANGUAGE_LAYERS, join_patterns
from finetune.nano import tasks
from finetune.nano.batched_forward import BatchedForward
from finetune.nano.data.batch import SceneBatch
from finetune.nano.losses import AnswerLoss, Hits, attention_losses, count_hits, read_losses, run_batch
from finetune.nano.pretraining import compute_gradients
from finetune.nano.scene_training import SceneTraining
from finetune.nano.trainer import TrainingSettings
from judge.rubrics.rubric import Rubric
from judge.scenes import SceneFacts

TOWER_LAYERS = r".*visual\.(blocks\..*\.(qkv|proj|linear_fc1|linear_fc2)|.*merger.*\.(linear_fc1|linear_fc2))"
"""Full names of the layers of the vision tower, as a regular expression."""
ATTENTION_WEIGHTS = {"named": 0.1, "boxed": 0.2, "linked": 0.1}
"""Weights of the attention losses. They keep the attention that the base has learned."""
TOWER_SCALE = 0.5
"""Factor of the auxiliary losses, as in the second half of pre-training."""
HEADS_FIRST = 0.02
"""Share of a training in which the new heads of the auxiliary losses learn alone. Gradients of random heads
would undo what the tower sees."""
WARMUP_STEPS = 40


class JudgingPlan:
    """Chooses full verdicts and one at score depth for each visit of a scene.

    The rubric is `default`. The rubric `quality` has an adapter of its own.

    Args:
        verdicts: number of full verdicts.
    """

    def __init__(self, verdicts: int = 2) -> None:
        self.rubric, self.verdicts = Rubric.load("default"), verdicts

    def __reduce__(self) -> tuple[type[JudgingPlan], tuple[int]]:
        # A rubric's compiled templates cannot be sent to another process.
        return JudgingPlan, (self.verdicts,)

    def __call__(self, r: Random, facts: SceneFacts, progress: float) -> list[tasks.Task]:
        return [
            tasks.judge_scene(r, facts, self.rubric, score_only=score_only)
            for score_only in (False, True, *[False] * (self.verdicts - 1))
        ]


def add_lora(model: Any, rank: int, also: str = "") -> Any:
    """Return the model with a new LoRA adapter on its language layers, and all other weights frozen.

    Args:
        model: the base.
        rank: of the adapter.
        also: regular expression for the full names of further layers; "": none.
    """
    from peft import LoraConfig, get_peft_model

    layers = join_patterns(LANGUAGE_LAYERS, also)
    return get_peft_model(
        model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=layers, task_type="CAUSAL_LM")
    )


def train_adapter(
    rank: int,
    workers: int,
    settings: TrainingSettings,
    lora_rank: int,
    adapter: Path | None = None,
    tower: bool = False,
) -> None:
    """Train until the end of the schedule. Writes `settings.out`/adapter, and the state to resume from.

    Args:
        rank: of this worker.
        workers: number of workers.
        settings: of the training.
        lora_rank: rank of a new adapter.
        adapter: folder of an adapter to continue from; None: a new one.
        tower: train matrices for the layers of the vision tower in addition.
    """
    # A tower learns more from more images.
    training = SceneTraining(rank, workers, settings, JudgingPlan(verdicts=1 if tower else 2))
    also, base = TOWER_LAYERS if tower else "", training.model
    adapted = add_lora(base, lora_rank, also) if adapter is None else continue_adapter(base, adapter, also)
    for parameter in trainable_parameters(adapted):  # the optimizer has them as float32
        parameter.data = parameter.data.to(training.device, training.dtype)
    heads = training.heads

    def step(batch: SceneBatch, progress: float) -> tuple[dict[str, float], Hits]:
        if not tower:
            return compute_judging_gradients(training.forward, training.answer_loss, batch)
        heads_only = progress < HEADS_FIRST
        return compute_gradients(
            training.forward, training.answer_loss, heads, batch, TOWER_SCALE, heads_only=heads_only
        )

    modules = [adapted, heads] if tower else [adapted]
    if training.run(modules, step, warmup=WARMUP_STEPS, adamw_only=True):
        adapted.save_pretrained(settings.out / "adapter")


def compute_judging_gradients(
    forward: BatchedForward, answer_loss: AnswerLoss, batch: SceneBatch
) -> tuple[dict[str, float], Hits]:
    """Compute the gradients of one batch for a vision tower that does not change.

    Args:
        forward: the model.
        answer_loss: loss of the answers.
        batch: the batch.

    Returns:
        The losses by name, and the hits by tag.
    """
    with torch.no_grad():
        features = forward.encode_images(batch.images)
    result = run_batch(forward, batch, features, answer_loss, read_attention=True)
    if result.readout is None:
        raise AssertionError("the attention was to be read")
    attention = attention_losses(result.readout, batch)
    total = result.loss + sum(ATTENTION_WEIGHTS[n] * v for n, v in attention.items())
    total.backward()
    losses = {"loss": result.loss, **attention}
    return read_losses(losses), count_hits(result.hits, result.tags)
