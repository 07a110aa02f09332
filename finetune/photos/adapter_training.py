"""Adapter training for the rubric `quality`: LoRA on the language layers of the embedded judge.

    judge finetune photos train distorted scenes opinions --held held --out runs/quality --minutes 8

The vision tower does not change, so each image is encoded once, and training is many times as fast. Measured
facts tell the model what 224 x 224 pixels do not show.

The loss is the cross-entropy of the answers, with scores as soft labels (two neighbors), and
1 - Pearson's correlation of the expected scores within each source of images, which is what the ranking of
images needs (PLCC loss: Li et al. 2020, "Norm-in-Norm", its first form).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from torch import Tensor

from finetune.lora.base_model import continue_adapter
from finetune.lora.config import LANGUAGE_LAYERS
from finetune.nano.adapter_training import add_lora
from finetune.nano.batched_forward import BatchedForward
from finetune.nano.data.rows import RowBuilder
from finetune.nano.data.target_tags import GRADED
from finetune.nano.losses import AnswerLoss, Hits, count_hits
from finetune.nano.trainer import TrainingSettings, add_hits, train
from finetune.nano.workers import SharedOptimizer, join_workers
from finetune.photos.features import FeatureDataset, PhotoBatch, PhotoBatches

CORRELATION_WEIGHT = 0.5
"""Weight of the correlation loss."""
WARMUP_STEPS = 30
HELD_OUT_BATCH, HELD_OUT_SEED = 32, 5


@dataclass
class ForwardResult:
    """Results of one forward pass over a batch; n target tokens, m score blanks."""

    loss: Tensor
    hits: Tensor
    """(n,) whether each target token was the likeliest."""
    tags: Tensor
    """(n,) tag of each target token."""
    scores: Tensor
    """(m,) expectations at the score blanks of both depths, row by row."""
    true_scores: Tensor
    """(m,)."""
    sources: Tensor
    """(m,) source of each score's image."""


def run_batch(forward: BatchedForward, batch: PhotoBatch, answer_loss: AnswerLoss) -> ForwardResult:
    """Run the language model over a batch; compute the loss of the answers and the expected scores."""
    h, _ = forward.run_language_model(batch.ids, batch.features, batch.positions, batch.attention_mask())
    mask = batch.target_mask()
    logits = forward.head(h[:, :-1][mask])
    loss, hits = answer_loss(logits, batch, mask)
    is_score = batch.target_kinds[:, 1:][mask] == GRADED
    shares = logits[is_score][:, answer_loss.score_tokens].float().softmax(-1)
    return ForwardResult(
        loss,
        hits,
        batch.tags[:, 1:][mask],
        shares @ torch.arange(1.0, 6.0),
        batch.exact_scores[:, 1:][mask][is_score],
        batch.sources[:, None].expand_as(mask)[mask][is_score],
    )


def correlation_loss(result: ForwardResult) -> Tensor:
    """Compute the mean of 1 - correlation over the sources that have four scores or more in the batch."""
    losses = []
    for source in result.sources.unique():
        x, y = result.scores[result.sources == source], result.true_scores[result.sources == source]
        if len(x) >= 4 and y.std() > 0.05:
            x, y = x - x.mean(), y - y.mean()
            losses.append(1 - (x * y).sum() / (x.norm() * y.norm() + 1e-3))
    return torch.stack(losses).mean() if losses else result.loss * 0


def load_model(init: Path, rank: int, seed: int, adapter: Path | None) -> tuple[Any, Any, Any]:
    """Load the base and add an adapter.

    Args:
        init: model folder of the base.
        rank: rank of a new adapter.
        seed: of a new adapter.
        adapter: folder of an adapter to start from; None: a new one.

    Returns:
        The base, the same model with the adapter, and the tokenizer.
    """
    from transformers import AutoModelForImageTextToText, AutoTokenizer

    torch.manual_seed(seed)
    base = AutoModelForImageTextToText.from_pretrained(init, dtype=torch.float32)
    if adapter is None:
        adapted = add_lora(base, rank)
    else:
        adapted = continue_adapter(base, adapter, layers=LANGUAGE_LAYERS)  # of the base's own tower
    return base, adapted, AutoTokenizer.from_pretrained(init)


def cache_features(settings: TrainingSettings) -> None:
    """Encode all images once, before the workers start."""
    torch.set_num_threads(1)  # on a busy machine two threads wait for each other at every operation
    base, _, tokenizer = load_model(settings.init, 1, 0, None)
    forward = BatchedForward(base, RowBuilder(tokenizer, ground=False).prefix)
    settings.out.mkdir(parents=True, exist_ok=True)
    for folder in (*settings.datasets, settings.held_out):
        FeatureDataset.load(folder, forward, settings.init)


def train_photo_adapter(
    rank: int, workers: int, settings: TrainingSettings, lora_rank: int, adapter: Path | None
) -> None:
    """Train until the end of the schedule. Writes `settings.out`/adapter. Call `cache_features` first.

    Args:
        rank: of this worker.
        workers: number of workers.
        settings: of the training.
        lora_rank: rank of a new adapter.
        adapter: folder of an adapter to start from; None: a new one.
    """
    join_workers(rank, workers, settings.port)
    base, adapted, tokenizer = load_model(settings.init, lora_rank, settings.seed, adapter)
    row_builder = RowBuilder(tokenizer, ground=False)
    forward = BatchedForward(base, row_builder.prefix)
    answer_loss = AnswerLoss(tokenizer, base.config.text_config.vocab_size)
    batches = PhotoBatches(
        [FeatureDataset.load(folder, forward, settings.init) for folder in settings.datasets],
        row_builder,
        size=settings.batch_size // workers,
        max_text_tokens=settings.max_text_tokens,
        seed=settings.seed * 100 + rank,
    )
    held_out = FeatureDataset.load(settings.held_out, forward, settings.init, is_fitted_on=False)
    optimizer = SharedOptimizer([adapted], settings.lr, rank, workers, adamw_only=True)

    def step(batch: PhotoBatch, progress: float) -> tuple[dict[str, float], Hits]:
        result = run_batch(forward, batch, answer_loss)
        correlation = correlation_loss(result)
        (result.loss + CORRELATION_WEIGHT * correlation).backward()
        losses = {"loss": float(result.loss.detach()), "ranked": float(correlation.detach())}
        return losses, count_hits(result.hits, result.tags)

    train(
        optimizer,
        batches,
        settings,
        step,
        lambda: measure(forward, batches, answer_loss, held_out),
        warmup=WARMUP_STEPS,
    )
    if rank == 0:
        optimizer.copy_masters_into([adapted])
        adapted.save_pretrained(settings.out / "adapter")


@torch.inference_mode()
def measure(
    forward: BatchedForward, batches: PhotoBatches, answer_loss: AnswerLoss, held_out: FeatureDataset
) -> dict[str, float]:
    """Measure held-out images, each answer given the right answer so far.

    Returns:
        Shares of right tokens by tag, and the rank correlation of the scores at either depth.
    """
    from scipy.stats import spearmanr

    totals: dict[str, list[int]] = {}
    scores, true_scores = list[Tensor](), list[Tensor]()
    r, images = Random(HELD_OUT_SEED), [(held_out, i) for i in range(len(held_out.rows))]
    for k in range(0, len(images), HELD_OUT_BATCH):
        result = run_batch(forward, batches.build_batch(images[k : k + HELD_OUT_BATCH], r), answer_loss)
        add_hits(totals, count_hits(result.hits, result.tags))
        scores.append(result.scores)
        true_scores.append(result.true_scores)
    measures = {name: round(right / total, 4) for name, (right, total) in totals.items()}
    predicted, truth = torch.cat(scores), torch.cat(true_scores)
    for offset, depth in ((0, "verdict"), (1, "score")):
        correlation = spearmanr(predicted[offset::2], truth[offset::2])[0]
        measures[f"srcc at {depth} depth"] = round(float(correlation), 4)
    return measures
