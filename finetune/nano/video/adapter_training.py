"""Adapter training for the rubric `video`: LoRA on the language layers, starting from the adapter for images.

    python -m finetune.nano adapt-video CLIPS... --init judge/assets/nano --held HELD --out RUN --minutes 20

Training runs in float32, as the adapter is served on a CPU. A CPU without bfloat16 instructions is several
times as fast with it. The vision tower and the base do not change. The features of the frames are in the
dataset (`finetune.nano.video.clip_dataset`).
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import torch
from torch import Tensor

from finetune.lora.base_model import continue_adapter
from finetune.lora.config import LANGUAGE_LAYERS
from finetune.nano.batched_forward import BatchedForward
from finetune.nano.data.target_tags import TAGS
from finetune.nano.losses import AnswerLoss, Hits, count_hits
from finetune.nano.trainer import TrainingSettings, add_hits, train
from finetune.nano.video.clip_batches import ClipBatch, ClipBatches, ClipRowBuilder
from finetune.nano.video.clip_dataset import read_clip_datasets
from finetune.nano.workers import SharedOptimizer, join_workers
from judge.rubrics.rubric import Rubric

HELD_OUT_CLIPS, HELD_OUT_SEED = 50, 7
WARMUP_STEPS = 30


def run_language_model(forward: BatchedForward, batch: ClipBatch) -> Tensor:
    """Compute the last hidden states (B, L, width) of the language model over clips with encoded frames."""
    h = forward.language.embed_tokens(batch.ids)

    def concatenate(parts: Sequence[Tensor]) -> Tensor:
        return torch.cat([part.flatten(0, 1) for part in parts]).to(h.dtype)

    tokens = [clip.tokens for clip in batch.clips if clip.tokens is not None]
    h = h.masked_scatter(batch.video_mask[..., None], concatenate(tokens))
    deepstack = [concatenate(level) for level in zip(*(clip.deepstack for clip in batch.clips), strict=True)]
    rotary, mask = forward.language.rotary_emb(h, batch.positions), batch.attention_mask()
    for i, layer in enumerate(forward.language.layers):
        h = layer(h, attention_mask=mask, position_embeddings=rotary)
        if i < len(deepstack):
            h = h + torch.zeros_like(h).masked_scatter(batch.video_mask[..., None], deepstack[i])
    states: Tensor = forward.language.norm(h)
    return states


def run_batch(
    forward: BatchedForward, answer_loss: AnswerLoss, batch: ClipBatch
) -> tuple[Tensor, Tensor, Tensor]:
    """Run the model over a batch.

    Returns:
        The loss, (n,) whether each target token was the likeliest, and (n,) its tag.
    """
    mask = batch.target_mask()
    states = run_language_model(forward, batch)
    loss, hits = answer_loss(forward.head(states[:, :-1][mask]), batch, mask)
    return loss, hits, batch.tags[:, 1:][mask]


@torch.inference_mode()
def measure(forward: BatchedForward, answer_loss: AnswerLoss, batches: list[ClipBatch]) -> dict[str, float]:
    """Measure the share of right tokens by tag on held-out clips, each given the right answer so far."""
    totals: dict[str, list[int]] = {}
    for batch in batches:
        add_hits(totals, count_hits(*run_batch(forward, answer_loss, batch)[1:]))
    return {name: round(totals[name][0] / totals[name][1], 4) for name in TAGS if name in totals}


def train_video_adapter(rank: int, workers: int, settings: TrainingSettings) -> None:
    """Train until the end of the schedule.

    Writes `settings.out`/adapter in bfloat16, and the state to resume from.

    Args:
        rank: of this worker.
        workers: number of workers.
        settings: of the training; `init` is the folder of the embedded judge.
    """
    from transformers import AutoModelForImageTextToText, AutoProcessor

    join_workers(rank, workers, settings.port)
    base = AutoModelForImageTextToText.from_pretrained(settings.init / "base", dtype=torch.float32)
    # The frames were encoded by the base's own tower.
    adapted = continue_adapter(base, settings.init / "adapter", layers=LANGUAGE_LAYERS)
    processor = AutoProcessor.from_pretrained(settings.init / "base")
    row_builder, rubric = ClipRowBuilder(processor), Rubric.load("video")
    batches = ClipBatches(
        read_clip_datasets(settings.datasets),
        row_builder,
        rubric,
        size=settings.batch_size // workers,
        seed=settings.seed * 100 + rank,
    )
    forward = BatchedForward(base, 0)
    answer_loss = AnswerLoss(processor.tokenizer, base.config.text_config.vocab_size)
    held_out = _build_held_out_batches(settings, row_builder, rubric) if rank == 0 else []
    optimizer = SharedOptimizer([adapted], settings.lr, rank, workers, adamw_only=True)

    def step(batch: ClipBatch, _: float) -> tuple[dict[str, float], Hits]:
        loss, hits, tags = run_batch(forward, answer_loss, batch)
        loss.backward()
        return {"loss": float(loss.detach())}, count_hits(hits, tags)

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
        adapted.to(torch.bfloat16).save_pretrained(settings.out / "adapter")


def _build_held_out_batches(
    settings: TrainingSettings, row_builder: ClipRowBuilder, rubric: Rubric, size: int = 25
) -> list[ClipBatch]:
    clips, r = read_clip_datasets([settings.held_out])[:HELD_OUT_CLIPS], Random(HELD_OUT_SEED)
    batches = ClipBatches(clips, row_builder, rubric, size=size, seed=HELD_OUT_SEED)
    return [batches.build_batch(clips[k : k + size], r) for k in range(0, len(clips), size)]
