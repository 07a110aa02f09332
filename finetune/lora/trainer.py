"""transformers' Trainer with this package's losses, and a suite's measure in place of a held-out loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import PrinterCallback, Trainer, TrainerCallback

from finetune.lora import losses
from finetune.lora.config import Losses
from finetune.lora.rows import Order, Visits

__all__ = ["Clock", "JudgeTrainer", "PrinterCallback", "Said"]
Measuring = Callable[[], Mapping[str, float]]
"""Measures the model that is trained on a suite; numbers by name."""


class JudgeTrainer(Trainer):
    """Computes the loss of `finetune.lora.losses` from one forward pass.

    Args:
        weights: of the losses.
        visits: what is learnt from.
        measuring: what `evaluate` runs; None: nothing is measured.
        options: as of `Trainer`.
    """

    loss_is_scaled_for_ga = False
    """The loss is a mean over the batch at hand, so accumulated batches are averaged by the Trainer."""

    def __init__(
        self, *, weights: Losses, visits: Visits, measuring: Measuring | None = None, **options: Any
    ) -> None:
        self.weights, self.visits, self.measuring = weights, visits, measuring
        self.parts: dict[str, list[float]] = {}
        # The Trainer wants samples to evaluate on before it evaluates; `evaluate` below has its own.
        held = None if measuring is None else visits
        super().__init__(
            train_dataset=visits, eval_dataset=held, data_collator=visits.writer.collate, **options
        )

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Weighted mean of text and soft losses over all that is asked, and the pairs' loss beside it."""
        given = dict(inputs)
        targets = given.pop("targets")
        keep = targets["tokens"].shape[1] + 1
        outputs = model(**given, use_cache=False, logits_to_keep=keep)
        # The logits before a token are those that say it; the last ones say what nobody asks.
        log = outputs.logits[:, -keep:-1].float().log_softmax(-1)
        loss = self._loss(log, targets)
        return (loss, outputs) if return_outputs else loss

    def _loss(self, log: Tensor, targets: dict[str, Any]) -> Tensor:
        hard, hard_weight = losses.text(log, targets["tokens"], targets["weights"])
        soft, soft_weight = losses.soft(log, targets["soft"])
        total = (hard + soft) / (hard_weight + soft_weight).clamp(min=1e-6)
        self._note("text", hard, hard_weight)
        self._note("soft", soft, soft_weight)
        if self.weights.pairs:
            score, variance = losses.moments(log, targets["pairs"])
            if self.weights.pair_loss == "fidelity":
                compared = losses.fidelity(score, variance, targets["pairs"])
            else:
                compared = losses.rank(score, targets["pairs"])
            self._note("pairs", compared, torch.ones(()))
            total = total + self.weights.pairs * compared
        return total

    def _note(self, name: str, loss: Tensor, weight: Tensor) -> None:
        if weight > 0:
            self.parts.setdefault(f"loss_{name}", []).append(float(loss.detach() / weight))

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, and beside the loss its parts since the last line."""
        if "loss" in logs:
            logs |= {name: round(sum(values) / len(values), 4) for name, values in self.parts.items()}
            self.parts = {}
        super().log(logs, start_time)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return Order(self.visits, self.args.seed)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: Any = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Measure on the held-out suite, on the first process; the others wait for its numbers."""
        from accelerate.utils import broadcast_object_list

        told: list[Any] = [None]
        if self.measuring is not None and self.is_world_process_zero():
            model = self.accelerator.unwrap_model(self.model)
            was = model.training
            model.eval()
            found = self.measuring()
            model.train(was)
            told = [{f"{metric_key_prefix}_{name}": value for name, value in found.items()}]
        broadcast_object_list(told)
        metrics: dict[str, float] = told[0] or {}
        self.log(dict(metrics))
        if name := self.args.metric_for_best_model:
            # Undefined, for example the correlation of a constant: worse than any other, and not logged.
            metrics.setdefault(name, -math.inf if self.args.greater_is_better else math.inf)
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics


class Clock(TrainerCallback):
    """Stops a training by the clock, after a last measuring and checkpoint."""

    def __init__(self, minutes: float) -> None:
        self.end = time.monotonic() + 60 * minutes

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        if time.monotonic() > self.end:
            control.should_training_stop = True
            control.should_evaluate = control.should_save = args.eval_strategy != "no"
        return control


class Said(TrainerCallback):
    """Prints one line of JSON for each log, as the trainings of this package do."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if state.is_world_process_zero and logs:
            import json

            shown = {n: round(v, 4) if isinstance(v, float) else v for n, v in logs.items()}
            shown = {n: v for n, v in shown.items() if n not in ("epoch", "total_flos")}
            print(json.dumps({"step": state.global_step, **shown}), flush=True)
