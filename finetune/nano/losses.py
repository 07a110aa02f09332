"""Losses of the embedded judge: weighted cross-entropy of the answers, and auxiliary losses.

The auxiliary losses let a vision tower learn from random weights in minutes instead of days. Each patch
predicts what it shows. Each image token lies near the words for its color and kind, and predicts its row and
column. Attention is taught to find the objects that a prompt names. Their heads are dropped after training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from finetune.nano.batched_forward import AttentionQueries, AttentionReadout, BatchedForward, ImageFeatures
from finetune.nano.data.batch import SceneBatch, TextBatch
from finetune.nano.data.target_tags import COORDINATE, GRADED, TAGS
from finetune.nano.network import CELLS, IMAGE_TOKENS
from judge.scenes.vocabulary import (
    BACKGROUNDS,
    COLORS,
    DEFECT_KINDS,
    DEGRADATIONS,
    OBJECT_KINDS,
    SEVERITIES,
    STYLES,
)

_PATCH_OUTPUTS = (
    len(OBJECT_KINDS) + 1,
    len(COLORS) + 1,
    len(DEFECT_KINDS) + 1,
    len(DEGRADATIONS),
    len(SEVERITIES),
    len(BACKGROUNDS),
    len(STYLES),
    8,
)
"""Outputs of the patch head: three labels of the patch, four labels of the image, distances to eight
edges."""

_WORD_GROUPS = {"kind word": OBJECT_KINDS, "color word": COLORS, "defect word": DEFECT_KINDS}
"""Loss -> the words that image tokens are brought near to."""
COUNT_CLASSES = 6
"""Counts that the state of a named object distinguishes: 0 to 4, and more."""


class AuxiliaryHeads(nn.Module):
    """Heads for the auxiliary losses. They exist in training only.

    Args:
        vision_width: width of the vision tower.
        width: width of the language model.
        tokenizer: of the model.
    """

    def __init__(self, vision_width: int, width: int, tokenizer: Any) -> None:
        super().__init__()
        self.patch = nn.Linear(vision_width, sum(_PATCH_OUTPUTS))
        self.place = nn.Linear(width, 2 * CELLS + 1)
        self.noun = nn.Linear(width, 2 + COUNT_CLASSES)
        self.gap = nn.Linear(width, 2)
        self.none = nn.Parameter(torch.randn(3, width) * 0.02)
        self.scale = nn.Parameter(torch.full((3,), 2.3))
        for name, group in _WORD_GROUPS.items():
            tokens = [[tokenizer.encode(form)[0] for form in (w, f" {w}")] for w in group]
            self.register_buffer(name, torch.tensor(tokens), persistent=False)

    def forward(
        self,
        batch: SceneBatch,
        features: ImageFeatures,
        readout: AttentionReadout,
        order: Tensor,
        embedding: Tensor,
    ) -> dict[str, Tensor]:
        """Compute the auxiliary losses.

        Args:
            batch: the batch.
            features: outputs of the vision tower.
            readout: states of the named objects and statements.
            order: raster index of each patch in merge order.
            embedding: (vocabulary, width) embedding of the language model.

        Returns:
            The losses by name, each a scalar.
        """
        patch_labels = batch.patches.flatten(2)[:, :, order]
        return {
            **self._patch_losses(batch, features, patch_labels, order),
            **self._token_losses(batch, features),
            **self._state_losses(batch, readout),
            **self._word_losses(features, patch_labels, embedding),
        }

    def _patch_losses(
        self, batch: SceneBatch, features: ImageFeatures, patch_labels: Tensor, order: Tensor
    ) -> dict[str, Tensor]:
        """Losses of what each patch shows, of the whole image's labels, and of the distances to edges."""
        heads = self.patch(features.patches.float()).split(_PATCH_OUTPUTS, -1)
        losses = {}
        for i, name in enumerate(("kind", "color", "defect")):
            losses[name] = F.cross_entropy(
                heads[i].flatten(0, 1),
                patch_labels[:, i].flatten(),
                weight=_class_weights(_PATCH_OUTPUTS[i] - 1, patch_labels.device),
            )
        of_image = batch.image_labels[:, None].expand(-1, heads[0].shape[1], -1)
        losses["globals"] = sum(
            (F.cross_entropy(heads[3 + i].flatten(0, 1), of_image[..., i].flatten()) for i in range(4)),
            torch.zeros((), device=of_image.device),
        )
        edges = batch.edges.flatten(2, 3)[:, :, order]
        known = ~edges.isnan()
        predicted = heads[7].view(len(batch.images), -1, 2, 4).transpose(1, 2)
        losses["edges"] = (
            4 * F.smooth_l1_loss(predicted[known], edges[known], beta=0.05)
            if known.any()
            else predicted.sum() * 0
        )
        return losses

    def _token_losses(self, batch: SceneBatch, features: ImageFeatures) -> dict[str, Tensor]:
        """Losses of each image token's row and column, and of whether an object has its center there."""
        place = self.place(features.tokens.float())
        cell = torch.arange(IMAGE_TOKENS, device=place.device).repeat(len(batch.images))
        row_and_column = 0.5 * (
            F.cross_entropy(place[..., :CELLS].flatten(0, 1), cell // CELLS)
            + F.cross_entropy(place[..., CELLS:-1].flatten(0, 1), cell % CELLS)
        )
        center = F.binary_cross_entropy_with_logits(
            place[..., -1], batch.centers, pos_weight=torch.tensor(4.0, device=place.device)
        )
        return {"place": row_and_column, "centre": center}

    def _state_losses(self, batch: SceneBatch, readout: AttentionReadout) -> dict[str, Tensor]:
        """Losses of the place and count of named objects, and of the offset in a statement."""
        noun, truth = self.noun(readout.mention_states.float()), batch.mention_counts
        single, zero = truth[:, 0] == 1, 0 * noun.sum()
        losses = {}
        losses["noun place"] = (
            4 * F.smooth_l1_loss(noun[single, :2], truth[single, 1:], beta=0.05) if single.any() else zero
        )
        losses["noun count"] = (
            F.cross_entropy(noun[:, 2:], truth[:, 0].long().clamp(max=COUNT_CLASSES - 1))
            if len(noun)
            else zero
        )
        gap, known = self.gap(readout.statement_states.float()), ~batch.offsets.isnan()
        losses["gap"] = (
            4 * F.smooth_l1_loss(gap[known], batch.offsets[known], beta=0.05)
            if known.any()
            else 0 * gap.sum()
        )
        return losses

    def _word_losses(
        self, features: ImageFeatures, patch_labels: Tensor, embedding: Tensor
    ) -> dict[str, Tensor]:
        """Losses that bring image tokens near the words for their kind, color and defect."""
        merged = patch_labels.view(len(patch_labels), 3, IMAGE_TOKENS, -1).amax(-1)
        z = F.normalize(features.tokens.float(), dim=-1)
        losses = {}
        for i, name in enumerate(_WORD_GROUPS):
            tokens = self.get_buffer(name)
            table = F.normalize(torch.cat([self.none[i : i + 1], embedding[tokens].float().mean(1)]), dim=-1)
            losses[name] = F.cross_entropy(
                (z @ table.T * self.scale[i].exp()).flatten(0, 1),
                merged[:, i].flatten(),
                weight=_class_weights(len(tokens), merged.device),
            )
        return losses


def _class_weights(classes: int, device: torch.device) -> Tensor:
    """Return the weights of "none", which most patches show, and of the other classes."""
    return torch.tensor([0.25] + [1.0] * classes, device=device)


class AnswerLoss(nn.Module):
    """Weighted cross-entropy of the answers, with soft targets for numbers.

    Args:
        tokenizer: of the model.
        vocabulary: size of the vocabulary.
        spread: width of the bell around a coordinate, in steps of the grid.
    """

    def __init__(self, tokenizer: Any, vocabulary: int, spread: float = 1.2) -> None:
        super().__init__()
        coordinates = [tokenizer.encode(str(n))[0] for n in range(0, 1001, 10)]
        place = torch.arange(len(coordinates)).float()
        bell = torch.softmax(-((place[:, None] - place[None]) ** 2) / (2 * spread**2), -1)
        self.bell: Tensor
        """Row of a coordinate's token -> its soft target."""
        self.score_tokens: Tensor
        self.register_buffer("bell", torch.zeros(vocabulary, vocabulary), persistent=False)
        self.bell[torch.tensor(coordinates)[:, None], torch.tensor(coordinates)[None]] = bell
        score_tokens = torch.tensor([tokenizer.encode(str(n))[0] for n in range(1, 6)])
        self.register_buffer("score_tokens", score_tokens, persistent=False)

    def forward(self, logits: Tensor, batch: TextBatch, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the loss.

        Args:
            logits: (n, vocabulary) at the places before the target tokens, in row-major order.
            batch: the batch.
            mask: (B, L - 1), True where the next token is a target; see `TextBatch.target_mask`.

        Returns:
            The weighted mean loss, and (n,) whether each target token was the likeliest.
        """
        target, kind, weight, exact_scores = (
            field[:, 1:][mask]
            for field in (batch.targets, batch.target_kinds, batch.weights, batch.exact_scores)
        )
        log = logits.float().log_softmax(-1)
        loss = -log.gather(-1, target[:, None])[:, 0]
        if (c := kind == COORDINATE).any():
            loss = loss.masked_scatter(c, -(log[c] * self.bell[target[c]]).sum(-1))
        if (g := kind == GRADED).any():
            share = (1 - (exact_scores[g][:, None] - torch.arange(1, 6, device=log.device)).abs()).clamp(
                min=0
            )
            loss = loss.masked_scatter(g, -(log[g][:, self.score_tokens] * share).sum(-1))
        return (loss * weight).sum() / weight.sum(), log.argmax(-1) == target


def attention_losses(readout: AttentionReadout, batch: SceneBatch) -> dict[str, Tensor]:
    """Compute how far attention is from the objects that a text names, and from the box being written.

    The head of a named object shares its attention equally among the instances and a sink (the first token of
    the row). So the sink gets everything for an object that is not in the image, and less for more instances.

    Returns:
        `named`: from a named object to where it is; `boxed`: from a coordinate to the box; `linked`: from a
        statement to the objects it names. Each is a scalar, 0 if the batch has none of the kind.
    """
    zero = torch.zeros((), device=readout.mention_logits.device)
    losses = {"named": zero, "boxed": zero, "linked": zero}
    if len(groups := batch.mentions[2]):
        log = readout.mention_logits[:, 0].log_softmax(-1)
        mass = log[:, None].masked_fill(~groups, -1e9).logsumexp(-1)
        used = groups.any(-1)
        losses["named"] = -(mass.masked_fill(~used, 0).sum(-1) / used.sum(-1)).mean()
    if len(cells := batch.box_tokens[2]):
        log = readout.box_logits[:, 1].log_softmax(-1)
        losses["boxed"] = -log[:, 1:].masked_fill(~cells, -1e9).logsumexp(-1).mean()
    if len(columns := batch.statements[2]):
        log = readout.statement_logits[:, :2].log_softmax(-1)
        losses["linked"] = -log.gather(-1, columns[:, :, None]).mean()
    return losses


Hits = dict[str, tuple[int, int]]
"""Tag -> number of target tokens that were the likeliest, and number of target tokens."""


def count_hits(hits: Tensor, tags: Tensor) -> Hits:
    """Count the right tokens by tag.

    Args:
        hits: (n,) whether each target token was the likeliest.
        tags: (n,) index into TAGS.
    """
    # Counted at once: on a GPU each number that is read waits for all that was computed before.
    places = torch.bincount(tags * 2 + hits, minlength=2 * len(TAGS)).view(-1, 2).tolist()
    return {
        name: (right, wrong + right)
        for name, (wrong, right) in zip(TAGS[1:], places[1:], strict=True)
        if wrong + right
    }


def read_losses(losses: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the values of some losses, which are read from the device at once."""
    values = torch.stack([value.detach().float() for value in losses.values()]).tolist()
    return dict(zip(losses, values, strict=True))


@dataclass
class ForwardResult:
    """Results of one forward pass over a batch."""

    loss: Tensor
    hits: Tensor
    """(n,) whether each target token was the likeliest."""
    tags: Tensor
    """(n,) tag of each target token."""
    readout: AttentionReadout | None


def run_batch(
    model: BatchedForward,
    batch: SceneBatch,
    features: ImageFeatures,
    answer_loss: AnswerLoss,
    *,
    read_attention: bool,
) -> ForwardResult:
    """Run the language model over a batch and compute the loss of the answers.

    Args:
        model: the model.
        batch: the batch.
        features: outputs of the vision tower for its images.
        answer_loss: the loss.
        read_attention: read out what `attention_losses` and `AuxiliaryHeads` need.
    """
    queries = (
        AttentionQueries(batch.mentions[:2], batch.box_tokens[:2], batch.statements[:2])
        if read_attention
        else None
    )
    h, readout = model.run_language_model(
        batch.ids, features, batch.positions, batch.attention_mask(), queries
    )
    mask = batch.target_mask()
    loss, hits = answer_loss(model.head(h[:, :-1][mask]), batch, mask)
    return ForwardResult(loss, hits, batch.tags[:, 1:][mask], readout)
