"""The training loop: sample, score, update. The smallest trainer that does what we need.

`trl.GRPOTrainer` (1.16) carries images in prompts, LoRA and vLLM, but not this training:

- It gives one advantage to all tokens of an answer; here a box credits the tokens of the box.
- Its log-probabilities are over the whole vocabulary. An answer that is sampled under a grammar comes from
  the distribution over the allowed tokens, so its ratios and divergences would be those of another policy.
- It constrains samples only in vLLM, by one regular expression for all prompts; every prompt here has its own
  form (the elements are keys), and the embedded judge runs without vLLM.
- It repeats the image and the prompt for each answer of a group. `finetune.rl.policy` reads them once.
- It samples every label, also where the expectation over all labels can be computed.

Several processes (`accelerate launch` on GPUs, `torchrun` on CPUs) draw their own images and average their
gradients.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from finetune.lora.base_model import trainable_parameters
from finetune.lora.evaluation import TrainingBackend
from finetune.rl.config import Config
from finetune.rl.drift import measure_drift
from finetune.rl.examples import ExampleStream
from finetune.rl.objective import Counts, DecisionTensors, policy_loss
from finetune.rl.policy import read_policy
from finetune.rl.rollouts import Group, RolloutEngine
from finetune.rl.scoring import ScoredGroup, reward_means, score_groups, set_advantages
from judge.errors import BackendError

Evaluator = Callable[[], Mapping[str, float]]
"""Measures the model in training on held-out samples; returns numbers by name."""
STATE_FILE = "state.pt"
LOG_FILE = "log.jsonl"
LAST_RATE = 0.05
"""Share of the learning rate at the end."""


@dataclass
class Progress:
    """Where a training is. It is saved, and a resumed training goes on from it."""

    step: int = 0
    seconds: float = 0.0
    """Of training, without measuring."""
    best: float | None = None
    """Best value of the held-out measure."""
    best_step: int = 0
    misses: int = 0
    """Measurements since the best one."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """Lines of the log."""


class RlTrainer:
    """Trains the adapter of a model.

    Args:
        config: the configuration.
        model: the model with its trainable adapter, as `load_trainable_model` returns it.
        backend: the same model as a backend.
        stream: the images.
        out: folder of the run.
        evaluator: measures on held-out samples; None: nothing is measured.
        process: index of this process, and the number of processes.
    """

    def __init__(
        self,
        config: Config,
        model: Any,
        backend: TrainingBackend,
        stream: ExampleStream,
        out: Path,
        evaluator: Evaluator | None = None,
        process: tuple[int, int] = (0, 1),
    ) -> None:
        self.config, self.model, self.backend, self.stream = config, model, backend, stream
        self.out, self.evaluator = out, evaluator
        self.rank, self.processes = process
        policy = config.policy
        self.engine = RolloutEngine(
            backend,
            config.model.max_pixels,
            policy.group,
            policy.temperature,
            config.seed * 1009 + self.rank,
            draws_texts=policy.texts == "drawn",
        )
        self.parameters = list(trainable_parameters(model))
        self.first = [parameter.detach().clone() for parameter in self.parameters] if policy.kl else []
        """The adapter that the training starts from: the reference of the divergence."""
        self.optimizer = torch.optim.AdamW(
            self.parameters,
            lr=config.training.learning_rate,
            betas=(0.9, 0.98),
            weight_decay=config.training.weight_decay,
        )
        self.progress = Progress()
        self._log: dict[str, list[float]] = {}
        self._since = self._step_start = time.monotonic()
        model.eval()
        if config.training.checkpointing:
            model.gradient_checkpointing_enable({"use_reentrant": False})
            for module in model.modules():
                if isinstance(module, torch.nn.Dropout):
                    module.p = 0.0

    @property
    def seconds(self) -> float:
        """Seconds of training so far, without measuring."""
        return self.progress.seconds + time.monotonic() - self._since

    @property
    def share(self) -> float:
        """Progress of the schedule, 0 to 1: by time if it is limited, else by steps."""
        schedule = self.config.training
        by_step = self.progress.step / schedule.steps
        share = self.seconds / (60 * schedule.minutes) if schedule.minutes else by_step
        return self._average(min(1.0, max(share, by_step if schedule.minutes else 0.0)))

    def train(self) -> Progress:
        """Train to the end of the schedule, from where the folder of the run has got to."""
        self._since = time.monotonic()
        if self.evaluator is not None and not self.progress.step and self.config.held.before:  # type: ignore[union-attr]
            self._evaluate()
        share = self.share
        while share < 1 and not self._has_given_up():
            self.run_step(share)
            share = self.share
            is_due = self.config.held and not self.progress.step % self.config.held.every
            if self.evaluator is not None and (is_due or share >= 1):
                self._evaluate()
                self.save()
            elif share >= 1 or not self.progress.step % 50:
                self.save()
        return self.progress

    def run_step(self, share: float) -> dict[str, float]:
        """Sample and score the answers of one step, and update the adapter.

        Args:
            share: progress of the schedule, 0 to 1.

        Returns:
            What is logged of the step.
        """
        config, schedule = self.config, self.config.training
        groups = self.sample(share)
        sampled = time.monotonic()
        scored = score_groups(groups, config.rewards, config.policy)
        set_advantages(scored, config.rewards, config.policy)
        weights = config.rewards.weights
        successes = [one.success(weights) for one in scored]
        self.stream.curriculum.add([group.example for group in groups], successes)
        numbers = {"reward": fmean(fmean(one.totals(weights)) for one in scored), **reward_means(scored)}
        numbers |= {f"drift_{name}": value for name, value in measure_drift(groups).items()}
        for update in range(config.policy.updates):
            numbers |= self.update(scored, is_first=update == 0, share=share)
        self.progress.step += 1
        done = time.monotonic()
        numbers["samples_per_second"] = len(groups) * config.policy.group / (done - self._step_start)
        numbers["sampling_share"] = (sampled - self._step_start) / (done - self._step_start)
        self._record(numbers)
        if not self.progress.step % schedule.log_every:
            self._write_log()
        return numbers

    def sample(self, share: float) -> list[Group]:
        """Sample the answers of the next step."""
        self._step_start = time.monotonic()
        schedule, step = self.config.training, self.progress.step
        examples = self.stream.draw(step, share, schedule.images, self.rank)
        groups: list[Group] = []
        for start in range(0, len(examples), schedule.rollout_batch):
            groups += self.engine.sample(examples[start : start + schedule.rollout_batch], step, start)
        return groups

    def update(self, scored: Sequence[ScoredGroup], *, is_first: bool, share: float) -> dict[str, float]:
        """Follow the gradient of a step once.

        Args:
            scored: all groups of the step, with advantages.
            is_first: the weights are those that sampled.
            share: progress of the schedule, 0 to 1.
        """
        policy, schedule = self.config.policy, self.config.training
        used = [one for one in scored if one.has_signal or policy.kl]
        # Groups of similar length share a pass, so that little of it is padding.
        used.sort(key=lambda one: max(len(rollout.tokens) for rollout in one.group.rollouts))
        decisions = sum(len(r.decisions) for one in used for r in one.group.rollouts)
        counts = Counts(decisions, len(used) * policy.group)
        sums = {"loss": 0.0, "kl": 0.0, "clipped": 0.0, "entropy": 0.0}
        gap = 0.0
        for start in range(0, len(used), schedule.batch):
            part = used[start : start + schedule.batch]
            groups = [one.group for one in part]
            reference = self._reference(groups)
            with self._training_mode():
                output = self._read(groups)
                tensors = DecisionTensors.from_groups(part, output.choice_logs.shape[1], output.logs.device)
                found = policy_loss(output, tensors, reference, policy, counts, is_first=is_first)
                found.loss.backward()
            sums["loss"] += float(found.loss.detach())
            sums["kl"] += found.kl / max(1, decisions)
            sums["clipped"] += found.clipped / max(1, decisions)
            sums["entropy"] += found.entropy / max(1, decisions)
            gap = max(gap, found.gap) if is_first else gap
        norm = self._follow_gradient(share)
        used_share = len(used) / max(1, len(scored))
        return {**sums, "gradient": norm, "used": used_share, **({"gap": gap} if is_first else {})}

    def _read(self, groups: Sequence[Group]) -> Any:
        network, device = self.backend.network(""), self.parameters[0].device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.config.training.autocast):
            return read_policy(network, groups, self.backend.tokenizer, self.config.policy.temperature)

    def _reference(self, groups: Sequence[Group]) -> Tensor | None:
        """Return the log-probabilities of the reference, if the divergence from it counts."""
        if not self.config.policy.kl:
            return None
        with torch.no_grad(), self._first_weights():
            logs: Tensor = self._read(groups).logs
        return logs

    @contextmanager
    def _first_weights(self) -> Iterator[None]:
        now = [parameter.data for parameter in self.parameters]
        try:
            for parameter, first in zip(self.parameters, self.first, strict=True):
                parameter.data = first
            yield
        finally:
            for parameter, own in zip(self.parameters, now, strict=True):
                parameter.data = own

    def _follow_gradient(self, share: float) -> float:
        """Average the gradients of all processes, clip them, and update the adapter; return their norm."""
        schedule = self.config.training
        grads = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for parameter in self.parameters
        ]
        if self.processes > 1:
            flat = torch.cat([grad.flatten() for grad in grads])
            dist.all_reduce(flat)
            flat /= self.processes
            parts = flat.split([grad.numel() for grad in grads])
            grads = [part.view_as(grad) for part, grad in zip(parts, grads, strict=True)]
        for parameter, grad in zip(self.parameters, grads, strict=True):
            parameter.grad = grad
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, schedule.clip))
        if not math.isfinite(norm):
            mend = "lower training.learning_rate, or switch training.autocast off"
            raise BackendError(f"step {self.progress.step}: the gradient is {norm}; {mend}")
        rate = schedule.learning_rate * _rate_factor(share, self.progress.step, schedule.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        return norm

    def _average(self, value: float) -> float:
        """Return the mean of a number over all processes, so that all take the same branches."""
        if self.processes == 1:
            return value
        number = torch.tensor([value], device=self.parameters[0].device)
        dist.all_reduce(number)
        return float(number) / self.processes

    @contextmanager
    def _training_mode(self) -> Iterator[None]:
        """Recompute activations, if so configured. transformers does it in training mode, without a cache.

        Nothing is dropped out: the policy that is trained is the one that samples.
        """
        if not self.config.training.checkpointing:
            yield
            return
        self.model.train()
        try:
            yield
        finally:
            self.model.eval()

    # -- measures, log and state -----------------------------------------------------------------------

    def _has_given_up(self) -> bool:
        held = self.config.held
        return bool(held and held.patience and self.progress.misses >= held.patience)

    def _evaluate(self) -> None:
        """Measure, and keep the adapter if it is the best."""
        held, evaluator = self.config.held, self.evaluator
        assert held is not None and evaluator is not None
        self.progress.seconds = self.seconds
        shared: list[Any] = [None]
        if self.rank == 0:
            shared = [dict(evaluator())]
        if self.processes > 1:
            dist.broadcast_object_list(shared)
        measures, step = shared[0], self.progress.step
        row = {f"eval_{name}": value for name, value in measures.items()}
        self._append({"step": step, "minute": round(self.progress.seconds / 60, 2), **row})
        value = measures.get(held.metric, -math.inf if held.greater else math.inf)
        sign = 1 if held.greater else -1
        if self.progress.best is None or sign * value > sign * self.progress.best:
            self.progress.best, self.progress.best_step, self.progress.misses = value, step, 0
            if self.rank == 0:
                self.model.save_pretrained(self.out / "best")
        else:
            self.progress.misses += 1
        self._since = time.monotonic()

    def _record(self, numbers: dict[str, float]) -> None:
        for name, value in numbers.items():
            self._log.setdefault(name, []).append(value)

    def _write_log(self) -> None:
        row = {name: round(fmean(values), 5) for name, values in self._log.items()}
        self._log = {}
        self._append({"step": self.progress.step, "minute": round(self.seconds / 60, 2), **row})

    def _append(self, row: dict[str, Any]) -> None:
        self.progress.history.append(row)
        if self.rank == 0:
            shown = {n: round(v, 4) if isinstance(v, float) else v for n, v in row.items()}
            print(json.dumps(shown), flush=True)
            with (self.out / LOG_FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def save(self) -> None:
        """Save the state, from which `resume` goes on."""
        self.progress.seconds, self._since = self.seconds, time.monotonic()
        if self.rank:
            return
        path = self.out / STATE_FILE
        state = {
            "parameters": [parameter.detach().cpu() for parameter in self.parameters],
            "first": [first.cpu() for first in self.first],
            "optimizer": self.optimizer.state_dict(),
            "curriculum": self.stream.curriculum.state(),
            "progress": dict(vars(self.progress)),
            "log": self._log,
        }
        partial_file = path.with_suffix(".part")
        torch.save(state, partial_file)
        partial_file.replace(path)

    def resume(self) -> bool:
        """Go on from the state in the folder of the run; return whether there is one."""
        path = self.out / STATE_FILE
        if not path.is_file():
            return False
        state = torch.load(path, weights_only=True, map_location="cpu")
        with torch.no_grad():
            for parameter, saved in zip(self.parameters, state["parameters"], strict=True):
                parameter.copy_(saved)
        device = self.parameters[0].device
        self.first = [first.to(device) for first in state["first"]]
        self.optimizer.load_state_dict(state["optimizer"])
        self.stream.curriculum.load(state["curriculum"])
        self.progress = Progress(**state["progress"])
        self._log = state["log"]
        self._since = time.monotonic()
        return True


def _rate_factor(share: float, step: int, warmup: int) -> float:
    """Return the factor of the learning rate: a linear warm-up, then a cosine to `LAST_RATE`."""
    cosine = LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))
    return min(1.0, (step + 1) / (warmup + 1)) * cosine
