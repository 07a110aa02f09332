"""Pre-training: from random weights to a model that describes, locates, counts, checks and finds damage.

python -m finetune.nano pretrain POOL... --init INIT --out RUN --minutes 60
"""

from __future__ import annotations

from random import Random

import torch

from finetune.nano import tasks
from finetune.nano.batched_forward import BatchedForward
from finetune.nano.data.batch import SceneBatch
from finetune.nano.losses import (
    AnswerLoss,
    AuxiliaryHeads,
    Hits,
    attention_losses,
    count_hits,
    read_losses,
    run_batch,
)
from finetune.nano.network import copy_processor_files
from finetune.nano.scene_training import SceneTraining
from finetune.nano.trainer import TrainingSettings
from judge.scenes import SceneFacts

AUXILIARY_WEIGHTS = {
    "kind": 0.5,
    "color": 0.5,
    "defect": 0.6,
    "globals": 0.25,
    "edges": 0.5,
    "place": 0.25,
    "centre": 0.3,
    "kind word": 0.5,
    "color word": 0.4,
    "defect word": 0.5,
    "noun place": 0.5,
    "noun count": 0.3,
    "gap": 0.5,
    "named": 0.3,
    "boxed": 0.3,
    "linked": 0.2,
}
"""Weights of the auxiliary and attention losses, by their names in the log."""
WARMUP_STEPS = 100


def choose_sight_tasks(r: Random, facts: SceneFacts, progress: float) -> list[tasks.Task]:
    """Choose the tasks of one visit: at first mostly what is where, later mostly statements and damage."""
    early = max(0.0, 1 - progress / 0.5)
    chosen = [tasks.check(r, facts, plain=0.9 * early)]
    if r.random() < 0.35 + 0.5 * early:
        chosen.append(tasks.describe(r, facts))
    if r.random() < 0.8:
        chosen.append(tasks.find_damage(r, facts))
    if r.random() < 0.75:
        chosen.append(tasks.compare(r, facts))
    if r.random() < 0.3:
        chosen.append(tasks.count(r, facts))
    if r.random() < 0.2:
        chosen.append(tasks.locate(r, facts))
    return chosen


def choose_damage_tasks(r: Random, facts: SceneFacts, progress: float) -> list[tasks.Task]:
    """Choose the tasks of one visit of the second phase: always damage, of the whole and of each object."""
    chosen = [tasks.find_damage(r, facts), tasks.inspect_objects(r, facts), tasks.report(r, facts)]
    if r.random() < 0.25:
        chosen.append(tasks.describe(r, facts))
    if r.random() < 0.35:
        chosen.append(tasks.compare(r, facts))
    return chosen


TASK_PLANS = {"sight": choose_sight_tasks, "damage": choose_damage_tasks}
"""Values of the option --course."""


def pretrain(rank: int, workers: int, settings: TrainingSettings, course: str = "sight") -> None:
    """Train until the end of the schedule. Writes `settings.out`/model, and the state to resume from.

    Args:
        rank: of this worker.
        workers: number of workers.
        settings: of the training.
        course: a key of `TASK_PLANS`.
    """
    training = SceneTraining(rank, workers, settings, TASK_PLANS[course])
    model, heads = training.model, training.heads

    def step(batch: SceneBatch, progress: float) -> tuple[dict[str, float], Hits]:
        scale = 0.5 if progress > 0.5 else 1.0
        return compute_gradients(training.forward, training.answer_loss, heads, batch, scale)

    if training.run([model, heads], step, warmup=WARMUP_STEPS):
        model.save_pretrained(settings.out / "model")
        copy_processor_files(settings.init, settings.out / "model")


def compute_gradients(
    forward: BatchedForward,
    answer_loss: AnswerLoss,
    heads: AuxiliaryHeads,
    batch: SceneBatch,
    scale: float,
    *,
    heads_only: bool = False,
) -> tuple[dict[str, float], Hits]:
    """Compute the gradients of one batch; they are left in the parameters.

    Args:
        forward: the model.
        answer_loss: loss of the answers.
        heads: heads of the auxiliary losses.
        batch: the batch.
        scale: the auxiliary losses are multiplied by it.
        heads_only: the losses of the heads train the heads and not the model.

    Returns:
        The losses by name, and the hits by tag.
    """
    features = forward.encode_images(batch.images)
    result = run_batch(forward, batch, features, answer_loss, read_attention=True)
    if result.readout is None:
        raise AssertionError("the attention was to be read")
    with torch.autocast(batch.images.device.type, torch.bfloat16, enabled=forward.dtype == torch.bfloat16):
        auxiliary = heads(
            batch,
            features.detach() if heads_only else features,
            result.readout.detach() if heads_only else result.readout,
            forward.order,
            forward.language.embed_tokens.weight,
        )
    auxiliary |= attention_losses(result.readout, batch)
    total = result.loss + scale * sum(AUXILIARY_WEIGHTS[n] * v for n, v in auxiliary.items())
    total.backward()
    losses = {"loss": result.loss, **auxiliary}
    return read_losses(losses), count_hits(result.hits, result.tags)
