"""The losses of a fine-tuning. Each has its own weight in `finetune.lora.config.LossConfig`.

`log` are the model's log-probabilities at the place before a token, over its whole vocabulary. B is the
number of rows, K the number of places, n the number of blanks with soft targets, m the number of compared
rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import erf, sqrt

import torch
from torch import Tensor

from judge.pipeline.distributions import tilt_to_mean

MIN_PROBABILITY = 1e-8
"""Lower limit under the root of the fidelity loss, whose slope at 0 is not finite."""


def token_loss(log: Tensor, tokens: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Compute the cross-entropy of places with one right token.

    This is the usual loss of supervised fine-tuning (Ouyang et al. 2022, InstructGPT), on the answer only.
    The weight of an element includes the agreement of its annotators, after EvalMuse-40K (Han et al. 2024),
    whose FGA-BLIP2 trusts labels less if annotators disagree. Here the factor is |2 s - 1| for a share s.

    Args:
        log: (B, K, vocabulary).
        tokens: (B, K).
        weights: (B, K), 0 where there is no target.

    Returns:
        The sum over places of weight * -log p(token), and the sum of the weights.
    """
    loss = -log.gather(-1, tokens[..., None])[..., 0]
    return (loss * weights).sum(), weights.sum()


def soft_label_loss(log: Tensor, targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Compute the cross-entropy against distributions over labels.

    The target of a score is the distribution of opinions (`opinion_distribution`), that of a coordinate is a
    bell around the true one (`bell_distribution`).

    Args:
        log: (B, K, vocabulary).
        targets: `at` (n, 2) row and place, `ids` and `shares` (n, labels), `weights` (n,).

    Returns:
        The weighted sum over blanks, and the sum of the weights.
    """
    if not len(targets["at"]):
        return log.sum() * 0, targets["weights"].sum()
    own = log[targets["at"][:, 0], targets["at"][:, 1]].gather(-1, targets["ids"])
    loss = -(own * targets["shares"]).sum(-1)
    return (loss * targets["weights"]).sum(), targets["weights"].sum()


def fidelity_loss(score: Tensor, variance: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Compute the mean fidelity loss of all pairs of a group: 1 - sqrt(p q) - sqrt((1 - p) (1 - q)).

    Tsai et al. 2007 (FRank), with Thurstone's model for both sides as in UNIQUE (Zhang et al. 2021). p is the
    probability that the first image is preferred, if two opinions are drawn from the mean and spread of
    people. q is the same for the expectation and variance of the model's distribution.

    Args:
        score: (m,) expectation of the model's distribution over the labels 1 to 5.
        variance: (m,) its variance.
        targets: `mean`, `spread` and `group` (m,) of people's opinions.
    """
    first, second = _pairs_within(targets["group"])
    if not len(first):
        return score.sum() * 0
    p = _preference(targets["mean"], targets["spread"] ** 2, first, second)
    q = _preference(score, variance, first, second)
    fidelity = (p * q).clamp(min=MIN_PROBABILITY).sqrt() + ((1 - p) * (1 - q)).clamp(
        min=MIN_PROBABILITY
    ).sqrt()
    return (1 - fidelity).mean()


def rank_loss(score: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """Compute the mean logistic loss of all pairs of a group whose human means differ.

    The loss of a pair is log(1 + exp(-(s_i - s_j))) if people prefer i to j: Burges et al. 2005 (RankNet).

    Args:
        score: (m,) expectation of the model's distribution over the labels 1 to 5.
        targets: `mean` and `group` (m,) of people's opinions.
    """
    first, second = _pairs_within(targets["group"])
    gap = targets["mean"][first] - targets["mean"][second]
    differs = gap != 0
    if not differs.any():
        return score.sum() * 0
    margin = (score[first] - score[second])[differs] * gap[differs].sign()
    return torch.nn.functional.softplus(-margin).mean()


def score_moments(log: Tensor, targets: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Compute the expectation and variance of the score labels at the compared blanks.

    Only the labels 1 to 5 are considered, as a backend does when it reads a blank.

    Args:
        log: (B, K, vocabulary).
        targets: `at` (m, 2) row and place, `ids` (labels,).

    Returns:
        Expectation and variance, (m,) each.
    """
    at, ids = targets["at"], targets["ids"]
    shares = log[at[:, 0], at[:, 1]][:, ids].softmax(-1)
    label = torch.arange(1, len(ids) + 1, device=log.device, dtype=shares.dtype)
    mean = (shares * label).sum(-1)
    return mean, (shares * (label - mean[:, None]) ** 2).sum(-1)


def _pairs_within(group: Tensor) -> tuple[Tensor, Tensor]:
    """Return the indices of both members of all pairs within a group."""
    same = (group[:, None] == group[None]).triu(1)
    first, second = same.nonzero(as_tuple=True)
    return first, second


def _preference(mean: Tensor, variance: Tensor, first: Tensor, second: Tensor) -> Tensor:
    """Return the probability that the first of each pair is preferred."""
    gap = (mean[first] - mean[second]) / (variance[first] + variance[second] + 1e-3).sqrt()
    probability: Tensor = torch.special.ndtr(gap)
    return probability


def opinion_distribution(mean: float, spread: float | None) -> list[float]:
    """Return shares of the labels 1 to 5 that have the given mean. They sum to 1.

    With a spread, the shares are those of a normal distribution cut into labels, after DeQA-Score (You et al.
    2025). Cutting changes the mean. DeQA-Score restores it by a linear change; here exponential tilting does,
    which makes no share negative. Without a spread, the two neighboring labels share everything.

    Args:
        mean: 1 to 5.
        spread: standard deviation of the opinions; None if unknown.
    """
    if not spread:
        return [max(0.0, 1 - abs(mean - label)) for label in range(1, 6)]
    edges = [0.5 * (1 + erf((label + 0.5 - mean) / (spread * sqrt(2)))) for label in range(1, 5)]
    shares = [high - low for low, high in zip([0.0, *edges], [*edges, 1.0], strict=True)]
    return tilt_to_mean(shares, mean)


def bell_distribution(index: int, count: int, spread: float) -> list[float]:
    """Return shares of neighboring labels around the true one. They sum to 1.

    The shares are the softmax of -d^2 / (2 spread^2) of the distance d in labels. Coordinates as tokens are
    from Pix2Seq (Chen et al. 2022), soft labels for ordered classes from Diaz and Marathe 2019 (SORD). A box
    that is one step off is less wrong than one at the other edge.

    Args:
        index: of the true label.
        count: number of labels.
        spread: width of the bell in labels.
    """
    heights = [2.718281828459045 ** (-((n - index) ** 2) / (2 * spread**2)) for n in range(count)]
    total = sum(heights)
    return [height / total for height in heights]
