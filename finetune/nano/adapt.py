"""Teach a pre-trained nano to judge: LoRA on its language layers, targets rendered by the rubrics' own forms.

    python -m finetune.nano adapt POOL... --init BASE --out RUN --minutes 15

The vision tower and the base stay as they are, so one base serves any number of such adapters.
"""

from __future__ import annotations

from random import Random
from typing import Any

import torch

from finetune.nano import tasks
from finetune.nano.batches import Batch, Visits
from finetune.nano.losses import Answers, attention_losses, forward, tallies
from finetune.nano.network import Trunk
from finetune.nano.trainer import Settings, Team, held_out, join, live_dtype, measure, train
from judge.rubrics.rubric import Rubric
from judge.scenes import Facts

TARGETS = r".*language_model\.layers\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
"""The vision tower has layers of the same names; vLLM serves no adapter for it by default."""


LOOKS = {"named": 0.1, "boxed": 0.2, "linked": 0.1}
"""Weights of the attention losses: the adapter must not lose where the base has learnt to look."""


class Plan:
    """Each visit: two whole verdicts and one at score depth. (`quality` has an adapter of its own.)"""

    def __init__(self) -> None:
        self.default = Rubric.load("default")

    def __call__(self, r: Random, facts: Facts, progress: float) -> list[tasks.Task]:
        return [
            tasks.judge(r, facts, self.default, score_only=score_only) for score_only in (False, True, False)
        ]


def lora(model: Any, rank: int) -> Any:
    """The model with a fresh LoRA adapter on its language layers, everything else frozen."""
    from peft import LoraConfig, get_peft_model

    return get_peft_model(
        model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS, task_type="CAUSAL_LM")
    )


def adapt(worker: int, workers: int, settings: Settings, lora_rank: int) -> None:
    """Train for `settings.minutes`; writes `settings.out/adapter` and the state to go on from."""
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    join(worker, workers, settings.port)
    torch.manual_seed(settings.seed)  # the same fresh adapter in every worker
    out, size = settings.out, settings.batch // workers
    base = AutoModelForImageTextToText.from_pretrained(settings.init, dtype=live_dtype())
    tokenizer = AutoTokenizer.from_pretrained(settings.init)
    tuned = lora(base, lora_rank)
    plan = Plan()
    visits = Visits(
        settings.pools,
        tokenizer,
        plan,
        size=size,
        longest=settings.longest,
        seed=settings.seed * 100 + worker,
    )
    trunk, answers = Trunk(base, visits.writer.prefix), Answers(tokenizer, base.config.text_config.vocab_size)
    team = Team([tuned], settings.lr, worker, workers, plain=True)
    check = held_out(settings.held, tokenizer, 300, plan, longest=settings.longest) if worker == 0 else []

    def step(batch: Batch, progress: float) -> tuple[dict[str, float], dict[str, tuple[int, int]]]:
        with torch.no_grad():
            seen = trunk.see(batch.pictures)
        run = forward(trunk, batch, seen, answers, probe=True)
        if run.probed is None:
            raise AssertionError("a probing pass probes")
        looks = attention_losses(run.probed, batch)
        total = run.loss + sum(LOOKS[n] * v for n, v in looks.items())
        total.backward()
        shown = {"loss": run.loss, **looks}
        return {n: float(v.detach()) for n, v in shown.items()}, tallies(run.hits, run.tags)

    train(team, visits, settings, step, lambda: measure(trunk, answers, check), warm=40)
    if worker == 0:
        team.masters_into([tuned])
        tuned.save_pretrained(out / "adapter")
