"""The tensors of a training batch. B is the number of images (rows), L the number of tokens in a row.

All prompts about one image share its tokens. They follow each other in one row. Each prompt with its answer
is a block that attends only to the image and to itself, with rotary positions that restart after the image.
So the image is encoded once, and no answer leaks into another prompt.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

ROW_MULTIPLE = 16
"""Rows are padded to a multiple of this many tokens."""


@dataclass
class TextBatch:
    """Prompts and answers about some images."""

    ids: Tensor
    """(B, L) input tokens."""
    targets: Tensor
    """(B, L) the right token at each place."""
    weights: Tensor
    """(B, L) weight in the loss; 0 where there is no target."""
    target_kinds: Tensor
    """(B, L) HARD, COORDINATE or GRADED."""
    exact_scores: Tensor
    """(B, L) exact score 1..5 of GRADED targets."""
    tags: Tensor
    """(B, L) index into TAGS."""
    positions: Tensor
    """(3, B, L) rotary positions."""
    blocks: Tensor
    """(B, L) 0 for the shared image, 1.. for prompts, -1 for padding."""

    def to(self, device: torch.device) -> Self:
        """Return the batch with its tensors on a device."""
        return type(self)(**{field.name: _move(getattr(self, field.name), device) for field in fields(self)})

    def attention_mask(self) -> Tensor:
        """Return (B, 1, L, L): True where a query may attend, to the image and to its own block."""
        blocks = self.blocks
        visible = (blocks[:, :, None] == blocks[:, None, :]) | (blocks[:, None, :] == 0)
        return (visible & torch.ones_like(visible[0]).tril())[:, None]

    def target_mask(self) -> Tensor:
        """Return (B, L - 1): True where the next token is a target."""
        return self.weights[:, 1:] > 0


@dataclass
class SceneBatch(TextBatch):
    """Scenes with the prompts about them, and the targets of the auxiliary losses."""

    images: Tensor
    """(B, 224, 224, 3) uint8."""
    mentions: tuple[Tensor, Tensor, Tensor]
    """Objects that a text names: row and column (n,), and where to attend:
    (n, MAX_GROUPS, 1 + IMAGE_TOKENS) of bools."""
    box_tokens: tuple[Tensor, Tensor, Tensor]
    """Coordinates about to be written: row and column (n,), and the cells of the box (n, IMAGE_TOKENS) of
    bools."""
    statements: tuple[Tensor, Tensor, Tensor]
    """Statements to check: row and column (n,) of the token before the blank, and the columns (n, 2) of the
    first and the last object they name."""
    offsets: Tensor
    """(n, 2) offset from the last to the first object of each statement, as a share of the image; NaN if one
    of them is not a single object."""
    mention_counts: Tensor
    """(n, 3) for each mention: how many such objects there are, and the center (0..1) of a single one, else
    NaN."""
    patches: Tensor
    """(B, 3, GRID, GRID) kind, color and defect of each patch."""
    image_labels: Tensor
    """(B, 4) degradation, its level, background, style."""
    edges: Tensor
    """(B, 2, GRID, GRID, 4) distances of a patch to the edges of the object and of the defect there; NaN
    where there is none."""
    centers: Tensor
    """(B, IMAGE_TOKENS) 1 where an object has its center."""


def _move(value: Any, device: torch.device) -> Any:
    if isinstance(value, tuple):
        return tuple(part.to(device) for part in value)
    return value.to(device) if isinstance(value, Tensor) else value


def padded_length(rows: list[list[int]]) -> int:
    """Return the length of the longest row, rounded up to a multiple of `ROW_MULTIPLE`."""
    return -(-max(map(len, rows)) // ROW_MULTIPLE) * ROW_MULTIPLE


def target_tensors(target: NDArray[np.float32]) -> dict[str, Any]:
    """Turn the array (5, B, L) of token, weight, kind, exact score and tag into fields of `TextBatch`."""
    tensor = torch.from_numpy
    return {
        "targets": tensor(target[0].astype(np.int64)),
        "weights": tensor(target[1]),
        "target_kinds": tensor(target[2].astype(np.int64)),
        "exact_scores": tensor(target[3]),
        "tags": tensor(target[4].astype(np.int64)),
    }
