"""`transformers.Trainer` with the losses of this package. It evaluates by a suite's measures."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback

from finetune.lora import losses
from finetune.lora.config import LossConfig
from finetune.lora.dataset import GroupedSampler, TrainingDataset

Evaluator = Callable[[], Mapping[str, float]]
"""Measures the model in training on a suite; returns numbers by name."""


class JudgeTrainer(Trainer):
    """Computes the losses of `finetune.lora.losses` from one forward pass.

    Args:
        weights: weights of the losses.
        dataset: what is trained on.
        evaluator: what `evaluate` runs; None: nothing is measured.
        options: options of `Trainer`.
    """

    loss_is_scaled_for_ga = False
    """The loss is a mean over one batch, so the Trainer averages accumulated batches."""

    def __init__(
        self,
        *,
        weights: LossConfig,
        dataset: TrainingDataset,
        evaluator: Evaluator | None = None,
        **options: Any,
    ) -> None:
        self.weights, self.dataset, self.evaluator = weights, dataset, evaluator
        self.loss_parts: dict[str, list[float]] = {}
        # The Trainer requires a dataset for its evaluation; `evaluate` below does not use it.
        eval_dataset = None if evaluator is None else dataset
        super().__init__(
            train_dataset=dataset, eval_dataset=eval_dataset, data_collator=dataset.encoder.collate, **options
        )

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Compute the weighted mean of token and soft-label losses over all targets, plus the pair loss."""
        model_inputs = dict(inputs)
        targets = model_inputs.pop("targets")
        keep = targets["tokens"].shape[1] + 1
        outputs = model(**model_inputs, use_cache=False, logits_to_keep=keep)
        # The logits before a token predict it. Those of the last token predict nothing that is needed.
        log = outputs.logits[:, -keep:-1].float().log_softmax(-1)
        loss = self._combine_losses(log, targets)
        return (loss, outputs) if return_outputs else loss

    def _combine_losses(self, log: Tensor, targets: dict[str, Any]) -> Tensor:
        hard, hard_weight = losses.token_loss(log, targets["tokens"], targets["weights"])
        soft, soft_weight = losses.soft_label_loss(log, targets["soft"])
        total = (hard + soft) / (hard_weight + soft_weight).clamp(min=1e-6)
        self._record("text", hard, hard_weight)
        self._record("soft", soft, soft_weight)
        if self.weights.pairs:
            score, variance = losses.score_moments(log, targets["pairs"])
            if self.weights.pair_loss == "fidelity":
                pair_loss = losses.fidelity_loss(score, variance, targets["pairs"])
            else:
                pair_loss = losses.rank_loss(score, targets["pairs"])
            self._record("pairs", pair_loss, torch.ones(()))
            total = total + self.weights.pairs * pair_loss
        return total

    def _record(self, name: str, loss: Tensor, weight: Tensor) -> None:
        if weight > 0:
            self.loss_parts.setdefault(f"loss_{name}", []).append(float(loss.detach() / weight))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, and add the parts of the loss since the last line."""
        if "loss" in logs:
            logs |= {name: round(sum(values) / len(values), 4) for name, values in self.loss_parts.items()}
            self.loss_parts = {}
        super().log(logs, start_time)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return GroupedSampler(self.dataset, self.args.seed)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Measure on the held-out suite in the first process. The other processes wait for its numbers."""
        from accelerate.utils import broadcast_object_list

        shared: list[Any] = [None]
        if self.evaluator is not None and self.is_world_process_zero():
            model = self.accelerator.unwrap_model(self.model)
            was_training = model.training
            model.eval()
            measures = self.evaluator()
            model.train(was_training)
            shared = [{f"{metric_key_prefix}_{name}": value for name, value in measures.items()}]
        broadcast_object_list(shared)
        metrics: dict[str, float] = shared[0] or {}
        self.log(dict(metrics))
        if name := self.args.metric_for_best_model:
            # An undefined measure, such as the correlation of a constant, is the worst, and is not logged.
            metrics.setdefault(name, -math.inf if self.args.greater_is_better else math.inf)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class TimeLimitCallback(TrainerCallback):
    """Stops a training after some minutes, with a last evaluation and checkpoint.

    Args:
        minutes: the limit, from now.
    """

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Stop if the time is over."""
        if time.monotonic() > self.end:
            control.should_training_stop = True
            control.should_evaluate = control.should_save = args.eval_strategy != "no"
        return control


class JsonLogCallback(TrainerCallback):
    """Prints each log as one line of JSON."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        """Print a log."""
        if state.is_world_process_zero and logs:
            line = {n: round(v, 4) if isinstance(v, float) else v for n, v in logs.items()}
            line = {n: v for n, v in line.items() if n not in ("epoch", "total_flos")}
            print(json.dumps({"step": state.global_step, **line}), flush=True)
