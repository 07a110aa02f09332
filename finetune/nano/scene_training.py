"""The parts of every training on drawn scenes: the model, its batches, its losses, its measures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from finetune.nano.batched_forward import BatchedForward
from finetune.nano.data.batch import SceneBatch
from finetune.nano.data.loader import LoadedBatches
from finetune.nano.data.rows import RowBuilder
from finetune.nano.data.scene_batches import SceneBatches, TaskPlan
from finetune.nano.data.scene_dataset import FreshScenes, SceneStream, StoredScenes
from finetune.nano.evaluation import build_held_out_batches, measure
from finetune.nano.losses import AnswerLoss, AuxiliaryHeads
from finetune.nano.trainer import BatchStream, Step, TrainingSettings, train
from finetune.nano.workers import SharedOptimizer, join_workers, training_device, training_dtype

HELD_OUT_SCENES = 300


class SceneTraining:
    """A training of one worker, on its GPU if there is one.

    Args:
        rank: of this worker.
        workers: number of workers.
        settings: of the training.
        plan: chooses the tasks about each scene.

    Attributes:
        device: where the model is.
        dtype: of its parameters.
        tokenizer: of the model.
        model: the checkpoint `settings.init`.
        batches: training data of this worker.
        forward: a fast forward pass over the modules of `model`.
        answer_loss: the loss of the answers.
        heads: new heads of the auxiliary losses.
    """

    def __init__(self, rank: int, workers: int, settings: TrainingSettings, plan: TaskPlan) -> None:
        from transformers import AutoModelForImageTextToText, AutoTokenizer

        join_workers(rank, workers, settings.port)
        torch.manual_seed(settings.seed)  # all workers begin with the same new weights
        self.rank, self.workers, self.settings, self.plan = rank, workers, settings, plan
        self.device = training_device()
        self.dtype = training_dtype(self.device)
        self.tokenizer = AutoTokenizer.from_pretrained(settings.init)
        model: Any = AutoModelForImageTextToText.from_pretrained(settings.init, dtype=self.dtype)
        self.model = model.to(self.device)
        config, row_builder = self.model.config, RowBuilder(self.tokenizer)
        source: SceneStream = (
            StoredScenes(settings.datasets)
            if settings.datasets
            else FreshScenes(varied=settings.varied, visits=settings.visits)
        )
        batches = SceneBatches(
            source,
            row_builder,
            plan,
            size=settings.batch_size // workers,
            max_text_tokens=settings.max_text_tokens,
            seed=settings.seed * 100 + rank,
        )
        self.batches: BatchStream[SceneBatch] = (
            LoadedBatches(batches, settings.loaders) if settings.loaders else batches
        )
        self.forward = BatchedForward(self.model, row_builder.prefix)
        self.answer_loss = AnswerLoss(self.tokenizer, config.text_config.vocab_size).to(self.device)
        self.heads = AuxiliaryHeads(
            config.vision_config.hidden_size, config.text_config.hidden_size, self.tokenizer
        ).to(self.device)

    def run(
        self, modules: Sequence[nn.Module], step: Step[SceneBatch], *, warmup: int, adamw_only: bool = False
    ) -> bool:
        """Train modules until the end of the schedule. They get float32 weights.

        Args:
            modules: their trainable parameters are trained.
            step: computes the gradients of a batch on the device.
            warmup: steps of the learning rate's warmup.
            adamw_only: use no Muon.

        Returns:
            Whether this is the worker that writes the result.
        """
        settings, device = self.settings, self.device
        optimizer = SharedOptimizer(modules, settings.lr, self.rank, self.workers, adamw_only=adamw_only)
        held_out: list[SceneBatch] = []
        if self.rank == 0:
            held_out = build_held_out_batches(
                settings.held_out,
                self.tokenizer,
                HELD_OUT_SCENES,
                self.plan,
                max_text_tokens=settings.max_text_tokens,
            )
        train(
            optimizer,
            self.batches,
            settings,
            lambda batch, progress: step(batch.to(device), progress),
            lambda: measure(self.forward, self.answer_loss, (batch.to(device) for batch in held_out)),
            warmup=warmup,
        )
        if self.rank == 0:
            optimizer.copy_masters_into(modules)
        return self.rank == 0
