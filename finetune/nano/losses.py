"""What training minimises: weighted cross-entropy of the answers, and helps that are dropped afterwards.

The helps make a vision tower learn from nothing in minutes rather than days: each patch says what it shows,
each image token lies near the words for its colour and kind and knows its row and column, and attention is
told where the objects are that a question names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finetune.nano.batches import COORDINATE, GRADED, TAGS, Batch, Texts
from finetune.nano.network import CELLS, IMAGE_TOKENS, Probed, Probes, Seen, Trunk
from judge.scenes.vocabulary import BACKGROUNDS, COLORS, DEFECTS, DEGRADATIONS, KINDS, SEVERITIES, STYLES

_PATCH_HEADS = (
    len(KINDS) + 1,
    len(COLORS) + 1,
    len(DEFECTS) + 1,
    len(DEGRADATIONS),
    len(SEVERITIES),
    len(BACKGROUNDS),
    len(STYLES),
    8,
)

MOST = 6
"""Counts that a named object's state is asked to tell apart: 0 to 4, and more."""


class Helps(nn.Module):
    """Heads on the vision tower that exist in training only."""

    def __init__(self, vision_width: int, width: int, tokenizer: Any) -> None:
        super().__init__()
        self.patch = nn.Linear(vision_width, sum(_PATCH_HEADS))
        self.place = nn.Linear(width, 2 * CELLS + 1)
        self.noun = nn.Linear(width, 2 + MOST)
        self.gap = nn.Linear(width, 2)
        self.none = nn.Parameter(torch.randn(3, width) * 0.02)
        self.scale = nn.Parameter(torch.full((3,), 2.3))
        self.words = [
            torch.tensor([[tokenizer.encode(form)[0] for form in (w, f" {w}")] for w in group])
            for group in (KINDS, COLORS, DEFECTS)
        ]

    def forward(
        self, batch: Batch, seen: Seen, probed: Probed, order: Tensor, embedding: Tensor
    ) -> dict[str, Tensor]:
        """The losses by name, each a scalar."""
        b = len(batch.pictures)
        heads = self.patch(seen.patches.float()).split(_PATCH_HEADS, -1)
        truth = batch.patches.flatten(2)[:, :, order]
        out = {}
        for i, name in enumerate(("kind", "color", "defect")):
            out[name] = F.cross_entropy(
                heads[i].flatten(0, 1), truth[:, i].flatten(), weight=_rare(_PATCH_HEADS[i] - 1)
            )
        every = batch.globals[:, None].expand(-1, heads[0].shape[1], -1)
        out["globals"] = sum(
            (F.cross_entropy(heads[3 + i].flatten(0, 1), every[..., i].flatten()) for i in range(4)),
            torch.zeros(()),
        )
        edges = batch.edges.flatten(2, 3)[:, :, order]
        known = ~edges.isnan()
        guess = heads[7].view(b, -1, 2, 4).transpose(1, 2)
        out["edges"] = (
            4 * F.smooth_l1_loss(guess[known], edges[known], beta=0.05) if known.any() else guess.sum() * 0
        )
        place = self.place(seen.tokens.float())
        cell = torch.arange(IMAGE_TOKENS).repeat(b)
        out["place"] = 0.5 * (
            F.cross_entropy(place[..., :CELLS].flatten(0, 1), cell // CELLS)
            + F.cross_entropy(place[..., CELLS:-1].flatten(0, 1), cell % CELLS)
        )
        out["centre"] = F.binary_cross_entropy_with_logits(
            place[..., -1], batch.centres, pos_weight=torch.tensor(4.0)
        )
        noun, known = self.noun(probed.states.float()), batch.instances
        one, zero = known[:, 0] == 1, 0 * noun.sum()
        out["noun place"] = (
            4 * F.smooth_l1_loss(noun[one, :2], known[one, 1:], beta=0.05) if one.any() else zero
        )
        out["noun count"] = (
            F.cross_entropy(noun[:, 2:], known[:, 0].long().clamp(max=MOST - 1)) if len(noun) else zero
        )
        gap, true = self.gap(probed.links.float()), ~batch.gaps.isnan()
        out["gap"] = (
            4 * F.smooth_l1_loss(gap[true], batch.gaps[true], beta=0.05) if true.any() else 0 * gap.sum()
        )
        merged = truth.view(b, 3, IMAGE_TOKENS, -1).amax(-1)
        z = F.normalize(seen.tokens.float(), dim=-1)
        for i, name in enumerate(("kind word", "color word", "defect word")):
            table = F.normalize(
                torch.cat([self.none[i : i + 1], embedding[self.words[i]].float().mean(1)]), dim=-1
            )
            out[name] = F.cross_entropy(
                (z @ table.T * self.scale[i].exp()).flatten(0, 1),
                merged[:, i].flatten(),
                weight=_rare(len(self.words[i])),
            )
        return out


def _rare(n: int) -> Tensor:
    """Weights of no class, which most patches are of, and of n others."""
    return torch.tensor([0.25] + [1.0] * n)


class Answers:
    """Weighted cross-entropy of the answers, with soft targets for numbers."""

    def __init__(self, tokenizer: Any, vocabulary: int, spread: float = 1.2) -> None:
        number = [tokenizer.encode(str(n))[0] for n in range(0, 1001, 10)]
        place = torch.arange(len(number)).float()
        bell = torch.softmax(-((place[:, None] - place[None]) ** 2) / (2 * spread**2), -1)
        self.bell = torch.zeros(vocabulary, vocabulary)
        self.bell[torch.tensor(number)[:, None], torch.tensor(number)[None]] = bell
        self.grade = torch.tensor([tokenizer.encode(str(n))[0] for n in range(1, 6)])
        self.vocabulary = vocabulary

    def __call__(self, logits: Tensor, batch: Texts, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss, and whether each asked token was the likeliest.

        Args:
            logits: (n, vocabulary) at the places before the asked tokens, in row-major order.
            batch: the batch.
            asked: (B, L - 1) True where the next token is asked for.
        """
        target, how, weight, grades = (
            known[:, 1:][asked] for known in (batch.targets, batch.how, batch.weights, batch.grades)
        )
        log = logits.float().log_softmax(-1)
        loss = -log.gather(-1, target[:, None])[:, 0]
        if (c := how == COORDINATE).any():
            loss = loss.masked_scatter(c, -(log[c] * self.bell[target[c]]).sum(-1))
        if (g := how == GRADED).any():
            share = (1 - (grades[g][:, None] - torch.arange(1, 6)).abs()).clamp(min=0)
            loss = loss.masked_scatter(g, -(log[g][:, self.grade] * share).sum(-1))
        return (loss * weight).sum() / weight.sum(), log.argmax(-1) == target


def attention_losses(probed: Probed, batch: Batch) -> dict[str, Tensor]:
    """How far attention is from the named objects, from the place of the box being written, and from the
    objects that a statement names.

    A named object's head shares itself equally among the instances and a sink (the first token), so that an
    object that is not there leaves all of it on the sink, and more instances leave less.
    """
    nothing = torch.zeros(())
    out = {"named": nothing, "boxed": nothing, "linked": nothing}
    if len(groups := batch.named[2]):
        log = probed.named[:, 0].log_softmax(-1)
        mass = log[:, None].masked_fill(~groups, -1e9).logsumexp(-1)
        used = groups.any(-1)
        out["named"] = -(mass.masked_fill(~used, 0).sum(-1) / used.sum(-1)).mean()
    if len(cells := batch.boxed[2]):
        log = probed.boxed[:, 1].log_softmax(-1)
        out["boxed"] = -log[:, 1:].masked_fill(~cells, -1e9).logsumexp(-1).mean()
    if len(names := batch.linked[2]):
        log = probed.linked[:, :2].log_softmax(-1)
        out["linked"] = -log.gather(-1, names[:, :, None]).mean()
    return out


def tallies(hits: Tensor, tags: Tensor) -> dict[str, tuple[int, int]]:
    """Per tag: how many tokens were right, of how many."""
    out = {}
    for i, name in enumerate(TAGS[1:], 1):
        at = tags == i
        if at.any():
            out[name] = int(hits[at].sum()), int(at.sum())
    return out


@dataclass
class Pass:
    """One forward pass over a batch."""

    loss: Tensor
    hits: Tensor
    """(n,) whether each asked token was the likeliest."""
    tags: Tensor
    """(n,) what each asked token is about."""
    probed: Probed | None


def forward(trunk: Trunk, batch: Batch, seen: Seen, answers: Answers, *, probe: bool) -> Pass:
    """Loss of the answers, and with `probe` the attention that `attention_losses` and `Helps` want."""
    probes = Probes(batch.named[:2], batch.boxed[:2], batch.linked[:2]) if probe else None
    h, probed = trunk.read(batch.ids, seen, batch.positions, batch.mask(), probes)
    asked = batch.weights[:, 1:] > 0
    loss, hits = answers(trunk.head(h[:, :-1][asked]), batch, asked)
    return Pass(loss, hits, batch.tags[:, 1:][asked], probed)
