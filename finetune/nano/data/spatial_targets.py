"""Targets of the auxiliary losses, computed from the exact boxes of a scene."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from finetune.nano.network import CELLS, GRID, IMAGE_PIXELS, IMAGE_TOKENS
from finetune.nano.tasks import PixelBox
from judge.scenes import SceneFacts
from judge.scenes.vocabulary import BACKGROUNDS, DEGRADATIONS, STYLES

MAX_GROUPS = 6
"""Most groups of image tokens that the attention of a mention is shared among: the sink and up to five
instances."""


def cells_of_box(box: PixelBox) -> NDArray[np.bool_]:
    """Find the image tokens that a box covers by 30 %, or the most covered one if there is none.

    Args:
        box: in pixels.

    Returns:
        (IMAGE_TOKENS,) of bools.
    """
    edge = np.arange(CELLS + 1) * IMAGE_PIXELS / CELLS
    across = np.clip(np.minimum(box[2], edge[1:]) - np.maximum(box[0], edge[:-1]), 0, None)
    down = np.clip(np.minimum(box[3], edge[1:]) - np.maximum(box[1], edge[:-1]), 0, None)
    share = down[:, None] * across[None] * (CELLS / IMAGE_PIXELS) ** 2
    covered: NDArray[np.bool_] = share >= min(0.3, share.max() * 0.99)
    return covered.reshape(-1)


def mention_targets(mentions: list[tuple[int, int, list[PixelBox]]]) -> tuple[Tensor, Tensor, Tensor]:
    """Build `SceneBatch.mentions` from row, column and boxes of each named object."""
    groups = torch.zeros(len(mentions), MAX_GROUPS, 1 + IMAGE_TOKENS, dtype=torch.bool)
    for n, (_, _, boxes) in enumerate(mentions):
        groups[n, 0, 0] = True
        for k, box in enumerate(boxes, 1):
            groups[n, k, 1:] = torch.from_numpy(cells_of_box(box))
    return (
        torch.tensor([m[0] for m in mentions], dtype=torch.long),
        torch.tensor([m[1] for m in mentions], dtype=torch.long),
        groups,
    )


def box_targets(tokens: list[tuple[int, int, PixelBox]]) -> tuple[Tensor, Tensor, Tensor]:
    """Build `SceneBatch.box_tokens` from row, column and box of each coordinate."""
    cells = (
        np.stack([cells_of_box(box) for _, _, box in tokens]) if tokens else np.zeros((0, IMAGE_TOKENS), bool)
    )
    return (
        torch.tensor([t[0] for t in tokens], dtype=torch.long),
        torch.tensor([t[1] for t in tokens], dtype=torch.long),
        torch.from_numpy(cells),
    )


def statement_targets(columns: list[tuple[int, int, int, int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Build `SceneBatch.statements` from row, column, and the columns of the first and the last object."""
    table = torch.tensor(columns, dtype=torch.long).view(-1, 4)
    return table[:, 0], table[:, 1], table[:, 2:]


def center_offset(first: list[PixelBox], last: list[PixelBox]) -> tuple[float, float]:
    """Compute `SceneBatch.offsets` of one statement: NaN unless both names have one object."""
    if len(first) != 1 or len(last) != 1:
        return float("nan"), float("nan")
    (a, b, c, d), (e, f, g, h) = first[0], last[0]
    return (a + c - e - g) / 2 / IMAGE_PIXELS, (b + d - f - h) / 2 / IMAGE_PIXELS


def mention_counts(boxes_of_mentions: list[list[PixelBox]]) -> NDArray[np.float32]:
    """Build `SceneBatch.mention_counts` from the boxes of each mention."""
    out = np.full((len(boxes_of_mentions), 3), np.nan, np.float32)
    for n, boxes in enumerate(boxes_of_mentions):
        out[n, 0] = len(boxes)
        if len(boxes) == 1:
            x1, y1, x2, y2 = boxes[0]
            out[n, 1:] = (x1 + x2) / 2 / IMAGE_PIXELS, (y1 + y2) / 2 / IMAGE_PIXELS
    return out


def image_labels(facts: Sequence[SceneFacts]) -> NDArray[np.int64]:
    """Build `SceneBatch.image_labels`."""
    return np.array(
        [
            (
                DEGRADATIONS.index(f.degradation),
                f.level,
                BACKGROUNDS.index(f.background),
                STYLES.index(f.style),
            )
            for f in facts
        ]
    )


def edge_distances(facts: Sequence[SceneFacts], patches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Build `SceneBatch.edges`.

    Args:
        facts: of B scenes.
        patches: (B, 3, GRID, GRID) what each patch shows.
    """
    out = np.full((len(facts), 2, GRID, GRID, 4), np.nan, np.float32)
    center = (np.arange(GRID) + 0.5) * IMAGE_PIXELS / GRID
    for n, f in enumerate(facts):
        for layer, boxes in ((0, [o.box for o in f.objects]), (1, [d.box for d in f.defects])):
            for x1, y1, x2, y2 in boxes:
                ys = np.flatnonzero((center >= y1) & (center <= y2))
                xs = np.flatnonzero((center >= x1) & (center <= x2))
                for y in ys:
                    for x in xs:
                        if patches[n, 2 * layer, y, x]:
                            distances = [center[x] - x1, center[y] - y1, x2 - center[x], y2 - center[y]]
                            out[n, layer, y, x] = np.array(distances) / IMAGE_PIXELS
    return out


def center_cells(facts: Sequence[SceneFacts]) -> NDArray[np.float32]:
    """Build `SceneBatch.centers`."""
    out = np.zeros((len(facts), IMAGE_TOKENS), np.float32)
    for n, f in enumerate(facts):
        for o in f.objects:
            x, y = (o.box[0] + o.box[2]) / 2, (o.box[1] + o.box[3]) / 2
            row = min(CELLS - 1, int(y * CELLS / IMAGE_PIXELS))
            column = min(CELLS - 1, int(x * CELLS / IMAGE_PIXELS))
            out[n, row * CELLS + column] = 1
    return out
