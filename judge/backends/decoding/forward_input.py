"""The tensors of one forward pass over ragged rows: what goes into the model, and what is read from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from judge.backends.decoding.label_tree import ROOT
from judge.backends.decoding.program import StepInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_LOGIT_ROWS = 256
"""Greatest number of positions whose whole vocabulary (V float32 each) is in memory at once."""
PROMPT_WIDTH_MULTIPLE = 8
"""Prompts are fed in widths of multiples of this, because libraries keep a kernel for each shape they met."""


@dataclass
class ForwardInput:
    """Input of one forward pass: B rows of n tokens, right-aligned, after T cached slots.

    Rows are ragged, so some slots of a row are holes. The attention mask leaves them out, and every token
    carries its own rope position.
    """

    tokens: NDArray[np.int64]
    """(B, n) token ids; 0 in holes."""
    positions: NDArray[np.int64]
    """(3, B, n) rope positions in time, height and width."""
    attention: NDArray[np.bool_]
    """(B, n, T + n) true where a token attends to a slot."""
    filled: NDArray[np.bool_]
    """(B, T + n) true for slots that hold a token."""

    @classmethod
    def from_steps(
        cls, steps: Sequence[StepInput], filled: NDArray[np.bool_], positions: Sequence[int]
    ) -> ForwardInput:
        """Lay out the steps of all rows.

        Args:
            steps: the step of each row.
            filled: (B, T) true for cached slots that hold a token.
            positions: rope position of the next token of each row.

        Returns:
            The input.
        """
        rows, past = filled.shape
        width = max(len(step.tokens) for step in steps)
        width += 0 if past else -width % PROMPT_WIDTH_MULTIPLE
        tokens = np.zeros((rows, width), dtype=np.int64)
        depths = np.zeros((rows, width), dtype=np.int64)
        attention = np.zeros((rows, width, past + width), dtype=bool)
        slots = np.arange(width)
        # A hole attends to itself: with nothing to attend to it would become NaN, which would spread.
        attention[:, slots, past + slots] = True
        is_token = np.zeros((rows, width), dtype=bool)
        for index, step in enumerate(steps):
            start = width - len(step.tokens)
            tokens[index, start:] = step.tokens
            ancestors, depth = _tree_attention(step.parents)
            depths[index, start:] = positions[index] + depth
            attention[index, start:, :past] = filled[index]
            attention[index, start:, past + start :] = ancestors
            is_token[index, start:] = True
        return cls(
            tokens,
            np.repeat(depths[None], 3, axis=0),
            attention,
            np.concatenate([filled, is_token], axis=1),
        )


def _tree_attention(parents: Sequence[int]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Compute the attention within a tree of m tokens.

    Args:
        parents: index of the token before each token, or `ROOT`.

    Returns:
        (m, m) true where a token follows another or is the same, and (m,) the depth of each token.
    """
    count = len(parents)
    attention, depth = np.tri(count, dtype=bool), np.arange(count)
    first_branch = next((index for index, parent in enumerate(parents) if parent != index - 1), count)
    for index in range(first_branch, count):
        parent = parents[index]
        attention[index] = False if parent == ROOT else attention[parent]
        attention[index, index] = True
        depth[index] = 0 if parent == ROOT else depth[parent] + 1
    return attention, depth


def prepend_prompt(prompt: Sequence[int], step: StepInput) -> StepInput:
    """Return the step with the tokens of a prompt before it."""
    shift = len(prompt)
    return StepInput(
        tokens=[*prompt, *step.tokens],
        parents=[*range(-1, shift - 1), *(shift - 1 if p == ROOT else shift + p for p in step.parents)],
        edges=[(shift + node, token) for node, token in step.edges],
        num_logits=step.num_logits,
    )


def read_results(head: Any, hidden: Any, steps: Sequence[StepInput]) -> list[Any]:
    """Read the log-probabilities or logits that each step needs.

    Args:
        head: the model's output layer.
        hidden: (B, n, H) last hidden states.
        steps: the step of each row.

    Returns:
        For each row, (edges,) log-probabilities or (`num_logits`, V) logits, as float32 arrays.
    """
    width = hidden.shape[1]
    positions: dict[tuple[int, int], int] = {}
    logit_positions: dict[int, list[int]] = {}
    pairs: list[tuple[int, int]] = []
    for row, step in enumerate(steps):
        start = width - len(step.tokens)
        pairs += [
            (positions.setdefault((row, start + node), len(positions)), token) for node, token in step.edges
        ]
        for last in range(width - step.num_logits, width):
            position = positions.setdefault((row, last), len(positions))
            logit_positions.setdefault(row, []).append(position)
    states = hidden[tuple(torch.tensor(list(positions)).T)]
    edges = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    scores = np.empty(len(edges), dtype=np.float32)
    logits: dict[int, list[Any]] = {}
    for start in range(0, len(positions), MAX_LOGIT_ROWS):
        some = head(states[start : start + MAX_LOGIT_ROWS]).float()
        here = (start <= edges[:, 0]) & (edges[:, 0] < start + MAX_LOGIT_ROWS)
        index, token = torch.from_numpy(edges[here] - [start, 0]).T
        scores[here] = (some[index, token] - some.logsumexp(dim=1)[index]).cpu().numpy()
        for row, own in logit_positions.items():
            if within := [p - start for p in own if start <= p < start + MAX_LOGIT_ROWS]:
                logits.setdefault(row, []).append(some[within].cpu().numpy())
    ends = np.cumsum([len(step.edges) for step in steps])[:-1]
    return [
        np.concatenate(logits[row]) if row in logits else row_scores
        for row, row_scores in enumerate(np.split(scores, ends))
    ]
