"""What a fine-tuning minimises. Each part has a weight of its own (`finetune.lora.config.Losses`); 0: off.

Let log p be the model's log-probabilities at the place before a token, over its whole vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import erf, sqrt

import torch
from torch import Tensor

from judge.pipeline.calibration import tilted


def text(log: Tensor, tokens: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Cross-entropy of one right token each: the sum over places of weight * -log p(token), and of weights.

    The usual loss of supervised fine-tuning (Ouyang et al. 2022, InstructGPT), on the answer only. Elements
    come with a weight times their annotators' agreement, after EvalMuse-40K (Han et al. 2024), whose
    FGA-BLIP2 trusts labels the less the more annotators disagree; here the weight is |2 s - 1| for a share s.

    Args:
        log: (B, K, vocabulary).
        tokens: (B, K).
        weights: (B, K), 0 where nothing is asked.
    """
    loss = -log.gather(-1, tokens[..., None])[..., 0]
    return (loss * weights).sum(), weights.sum()


def soft(log: Tensor, targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Cross-entropy against distributions over labels, summed over blanks, and the sum of weights.

    For scores the distribution of opinions (`opinion_shares`); for coordinates a bell around the true one
    (`bell`).

    Args:
        log: (B, K, vocabulary).
        targets: `at` (n, 2), `ids` and `shares` (n, labels), `weights` (n,).
    """
    if not len(targets["at"]):
        return log.sum() * 0, targets["weights"].sum()
    own = log[targets["at"][:, 0], targets["at"][:, 1]].gather(-1, targets["ids"])
    loss = -(own * targets["shares"]).sum(-1)
    return (loss * targets["weights"]).sum(), targets["weights"].sum()


def fidelity(score: Tensor, variance: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Mean fidelity loss of all pairs of a group: 1 - sqrt(p q) - sqrt((1 - p) (1 - q)).

    Tsai et al. 2007 (FRank); with Thurstone's model for both sides as in UNIQUE (Zhang et al. 2021): p is the
    chance that one picture is liked better by two opinions drawn from mean and spread of people, q the same
    by the expectation and variance of the model's distribution.

    Args:
        score, variance: (m,) of the model's distribution over the labels 1 to 5.
        targets: `mean`, `spread` and `group` (m,) of people's.
    """
    first, second = _within(targets["group"])
    if not len(first):
        return score.sum() * 0
    p = _better(targets["mean"], targets["spread"] ** 2, first, second)
    q = _better(score, variance, first, second)
    small = 1e-8  # the root has no finite slope at 0
    agreed = (p * q).clamp(min=small).sqrt() + ((1 - p) * (1 - q)).clamp(min=small).sqrt()
    return (1 - agreed).mean()


def rank(score: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Mean logistic loss of all pairs of a group whose human means differ: log(1 + exp(-(s_i - s_j))) for i
    liked better than j. Burges et al. 2005 (RankNet)."""
    first, second = _within(targets["group"])
    gap = targets["mean"][first] - targets["mean"][second]
    apart = gap != 0
    if not apart.any():
        return score.sum() * 0
    margin = (score[first] - score[second])[apart] * gap[apart].sign()
    return torch.nn.functional.softplus(-margin).mean()


def moments(log: Tensor, targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Expectation and variance (m,) of the labels 1 to 5 at the blanks that are compared, the labels alone
    taken into account, as a backend reads them."""
    at, ids = targets["at"], targets["ids"]
    shares = log[at[:, 0], at[:, 1]][:, ids].softmax(-1)
    label = torch.arange(1, len(ids) + 1, device=log.device, dtype=shares.dtype)
    mean = (shares * label).sum(-1)
    return mean, (shares * (label - mean[:, None]) ** 2).sum(-1)


def _within(group: Tensor) -> tuple[Tensor, Tensor]:
    """Both members of every pair within a group."""
    same = (group[:, None] == group[None]).triu(1)
    first, second = same.nonzero(as_tuple=True)
    return first, second


def _better(mean: Tensor, variance: Tensor, first: Tensor, second: Tensor) -> Tensor:
    gap = (mean[first] - mean[second]) / (variance[first] + variance[second] + 1e-3).sqrt()
    chance: Tensor = torch.special.ndtr(gap)
    return chance


def opinion_shares(mean: float, spread: float | None) -> list[float]:
    """Shares of the labels 1 to 5, summing to 1, with this mean.

    With the spread of opinions: a normal distribution cut into labels, after DeQA-Score (You et al. 2025),
    which mends the mean that cutting loses by a linear change; here exponential tilting mends it, which turns
    no share negative. Without: the two neighbouring labels.
    """
    if not spread:
        return [max(0.0, 1 - abs(mean - label)) for label in range(1, 6)]
    edges = [0.5 * (1 + erf((label + 0.5 - mean) / (spread * sqrt(2)))) for label in range(1, 5)]
    shares = [high - low for low, high in zip([0.0, *edges], [*edges, 1.0], strict=True)]
    return tilted(shares, mean)


def bell(at: int, count: int, spread: float) -> list[float]:
    """Shares of `count` neighbouring labels around the true one, summing to 1: softmax of -d^2 / (2 spread^2)
    of the distance d in labels.

    Coordinates as tokens are Pix2Seq's (Chen et al. 2022), soft labels for things in order those of Diaz and
    Marathe 2019 (SORD): a box one step off is less wrong than one at the other edge.
    """
    heights = [2.718281828459045 ** (-((n - at) ** 2) / (2 * spread**2)) for n in range(count)]
    total = sum(heights)
    return [height / total for height in heights]
