"""The student's training targets: everything that is known of the images, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finetune.distill.teacher_labels import TeacherLabel

Region = tuple[str, tuple[float, float, float, float]]
"""Kind and box of a defect. The box is left, top, right, bottom as shares of the image's sides."""
REGION_GRID = 16
"""Cells along each side in which regions are learned."""
MIN_CELL_SHARE = 0.3
"""A region marks a cell if it covers more than this share of it."""


@dataclass(frozen=True)
class TrainingTargets:
    """Targets for n images."""

    rounds: Tensor
    """(rounds, n, labels of all blanks) the teacher's probabilities."""
    known: Tensor
    """(rounds, n) 1 where the teacher gave a verdict."""
    facts: Tensor
    """(n, facts) with mean 0 and standard deviation 1."""
    opinions: Tensor
    """(n, 5) shares of people's opinions; zeros where there are none."""
    score: slice
    """Position of the score's five labels."""
    regions: Tensor
    """(n, REGION_GRID, REGION_GRID) kind of defect + 1 in each cell; 0 for none, -1 if regions were not
    labelled."""
    kinds: Tensor
    """(n, kinds) 1 where the labels have a defect of the kind."""
    weights: Any
    """(n,) probability of each image in a batch; the sum is 1."""

    @classmethod
    def build(
        cls,
        rounds: Sequence[Sequence[TeacherLabel]],
        opinions: Sequence[Sequence[float] | None],
        blanks: dict[str, list[str]],
        regions: Sequence[Sequence[Region] | None],
        weights: Sequence[float],
    ) -> TrainingTargets:
        """Build the tensors.

        Args:
            rounds: the teacher's answers in each round.
            opinions: shares of people's opinions; None where there are none.
            blanks: path of a blank -> its labels.
            regions: labelled regions; None where they were not labelled.
            weights: relative frequency of each image.
        """
        width = sum(map(len, blanks.values()))
        start = 0
        for blank, labels in blanks.items():
            if blank == "score":
                break
            start += len(labels)
        rows = [
            [
                [share for blank in blanks for share in label.probabilities[blank]]
                if label.probabilities
                else [0.0] * width
                for label in answers
            ]
            for answers in rounds
        ]
        names = list(next((label.facts for label in rounds[0] if label.facts), {}))
        facts = torch.tensor([[label.facts.get(name, 0.0) for name in names] for label in rounds[0]])
        facts = (facts - facts.mean(0)) / facts.std(0).clamp_min(1e-3) if names else facts
        return cls(
            rounds=torch.tensor(rows),
            known=torch.tensor(
                [[float(bool(label.probabilities)) for label in answers] for answers in rounds]
            ),
            facts=facts.clamp(-4, 4),
            opinions=torch.tensor([list(shares or [0.0] * 5) for shares in opinions]),
            score=slice(start, start + 5),
            **region_targets(regions),
            weights=np.array(weights) / np.sum(weights),
        )


def region_targets(regions: Sequence[Sequence[Region] | None]) -> dict[str, Tensor]:
    """Return the fields `regions` and `kinds` of `TrainingTargets`."""
    names = sorted({kind for own in regions for kind, _ in own or ()})
    cells = torch.full((len(regions), REGION_GRID, REGION_GRID), -1, dtype=torch.long)
    kinds = torch.zeros(len(regions), len(names))
    for index, own in enumerate(regions):
        if own is None:
            continue
        cells[index] = 0
        for kind, box in own:
            kinds[index, names.index(kind)] = 1
            across, down = (_cell_shares(box[n], box[n + 2]) for n in (0, 1))
            cells[index][torch.outer(down, across) > MIN_CELL_SHARE] = names.index(kind) + 1
    return {"regions": cells, "kinds": kinds}


def _cell_shares(low: float, high: float) -> Tensor:
    """Return the share of each cell along one side that lies between two places (0..1)."""
    edges = torch.arange(REGION_GRID + 1) / REGION_GRID
    return (edges[1:].clamp_max(high) - edges[:-1].clamp_min(low)).clamp_min(0) * REGION_GRID
