"""Teach the embedded judge the rubric `video`: LoRA on its language layers, begun as its adapter for
pictures.

    python -m finetune.nano adapt-video CLIPS... --init judge/assets/nano --held HELD --out RUN --minutes 20

In float32, as it is served on a CPU; a machine without bfloat16 of its own is several times as fast with it.
The vision tower and the base stay as they are; what it sees of each frame is in the pool (`finetune.nano.clips`).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import torch
from torch import Tensor

from finetune.nano.batches import TAGS
from finetune.nano.clips import Batch, Visits, Writer, read
from finetune.nano.losses import Answers, tallies
from finetune.nano.network import Trunk
from finetune.nano.trainer import Settings, Team, join, train
from judge.rubrics.rubric import Rubric


def look(trunk: Trunk, batch: Batch) -> Tensor:
    """Last hidden states (B, L, width) of the language model over clips whose frames were seen before."""
    h = trunk.language.embed_tokens(batch.ids)

    def place(parts: Sequence[Tensor]) -> Tensor:
        return torch.cat([part.flatten(0, 1) for part in parts]).to(h.dtype)

    tokens = [clip.tokens for clip in batch.pictures if clip.tokens is not None]
    h = h.masked_scatter(batch.film[..., None], place(tokens))
    deep = [place(level) for level in zip(*(clip.deep for clip in batch.pictures), strict=True)]
    rotary, mask = trunk.language.rotary_emb(h, batch.positions), batch.mask()
    for i, layer in enumerate(trunk.language.layers):
        h = layer(h, attention_mask=mask, position_embeddings=rotary)
        if i < len(deep):
            h = h + torch.zeros_like(h).masked_scatter(batch.film[..., None], deep[i])
    states: Tensor = trunk.language.norm(h)
    return states


def _answered(trunk: Trunk, answers: Answers, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Loss, whether each asked token was the likeliest, and what it is about."""
    asked = batch.weights[:, 1:] > 0
    loss, hits = answers(trunk.head(look(trunk, batch)[:, :-1][asked]), batch, asked)
    return loss, hits, batch.tags[:, 1:][asked]


@torch.inference_mode()
def _measured(trunk: Trunk, answers: Answers, batches: list[Batch]) -> dict[str, float]:
    """Share of right tokens per tag on held-out clips, with the answer so far given."""
    right: dict[str, list[int]] = {}
    for batch in batches:
        for name, (hit, of) in tallies(*_answered(trunk, answers, batch)[1:]).items():
            total = right.setdefault(name, [0, 0])
            total[0], total[1] = total[0] + hit, total[1] + of
    return {name: round(right[name][0] / right[name][1], 4) for name in TAGS if name in right}


def adapt(worker: int, workers: int, settings: Settings) -> None:
    """Train for `settings.minutes`; writes `settings.out/adapter`, in bfloat16, and the state to go on
    from."""
    from peft import PeftModel
    from transformers import AutoModelForImageTextToText, AutoProcessor

    join(worker, workers, settings.port)
    base = AutoModelForImageTextToText.from_pretrained(settings.init / "base", dtype=torch.float32)
    tuned: Any = PeftModel.from_pretrained(base, settings.init / "adapter", is_trainable=True)
    processor = AutoProcessor.from_pretrained(settings.init / "base")
    writer, rubric = Writer(processor), Rubric.load("video")
    size = settings.batch // workers
    visits = Visits(read(settings.pools), writer, rubric, size=size, seed=settings.seed * 100 + worker)
    trunk = Trunk(base, 0)
    answers = Answers(processor.tokenizer, base.config.text_config.vocab_size)
    check = _held_out(settings, writer, rubric) if worker == 0 else []
    team = Team([tuned], settings.lr, worker, workers, plain=True)

    def step(batch: Batch, _: float) -> tuple[dict[str, float], dict[str, tuple[int, int]]]:
        loss, hits, tags = _answered(trunk, answers, batch)
        loss.backward()
        return {"loss": float(loss.detach())}, tallies(hits, tags)

    train(team, visits, settings, step, lambda: _measured(trunk, answers, check), warm=30)  # type: ignore[arg-type]
    if worker == 0:
        team.masters_into([tuned])
        tuned.to(torch.bfloat16).save_pretrained(settings.out / "adapter")


def _held_out(settings: Settings, writer: Writer, rubric: Rubric, size: int = 25) -> list[Batch]:
    clips, r = read([settings.held])[:50], Random(7)
    visits = Visits(clips, writer, rubric, size=size, seed=7)
    return [visits.batch(clips[k : k + size], r) for k in range(0, len(clips), size)]
