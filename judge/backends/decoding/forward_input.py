"""The tensors of one forward pass over ragged rows: what goes into the model, and what is read from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from judge.backends.base import Reply
from judge.backends.decoding.label_tree import ROOT
from judge.backends.decoding.program import RowProgram, StepInput
from judge.errors import ReplyError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_LOGIT_ROWS = 256
"""Greatest number of positions whose whole vocabulary (V float32 each) is in memory at once."""
PROMPT_WIDTH_MULTIPLE = 8
"""Prompts are fed in widths of multiples of this, because libraries keep a kernel for each shape they met."""


@dataclass(kw_only=True)
class VisionInputs:
    """The images and videos of one chat, as the model takes them."""

    pixels: Any = None
    """(patches, values) patches of the images; None without images."""
    grid: Any = None
    """(images, 3) number of patches of each image in time, height and width; None without images."""
    video_pixels: Any = None
    """(patches, values) patches of the videos; None without videos."""
    video_grid: Any = None
    """(videos, 3) as `grid`; None without videos."""
    seconds_per_patch: list[float] = field(default_factory=list)
    """For each video, the seconds between two patches in time."""


@dataclass
class Row(VisionInputs):
    """One form that is being filled."""

    program: RowProgram | None
    """None for a row that only `log_probabilities` reads."""
    prompt: list[int]
    """Tokens before the answer, image and video tokens included."""
    step: StepInput = field(default_factory=StepInput)
    """The tokens that the row feeds next."""
    position: int = 0
    """Rope position of the next token."""
    reply: Reply | ReplyError | None = None
    """The result, once the program has ended."""

    def resume(self, result: Any) -> int:
        """Send the program what the last step read, and take its next step.

        Args:
            result: log-probabilities or logits, see `RowProgram`; None to start the program.

        Returns:
            Number of tokens of the last step.
        """
        assert self.program is not None
        count = len(self.step.tokens)
        try:
            self.step = self.program.send(result)
            self.position += count - len(self.step.discarded)
        except StopIteration as done:
            self.reply = done.value
        except ReplyError as error:
            self.reply = error
        return count


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


def tree_depths(parents: Sequence[int]) -> NDArray[np.int64]:
    """Return the depth of each token of a tree, (m,).

    Args:
        parents: index of the token before each token, or `ROOT`.
    """
    depths = np.zeros(len(parents), dtype=np.int64)
    for index, parent in enumerate(parents):
        depths[index] = 0 if parent == ROOT else depths[parent] + 1
    return depths


def prepend_tokens(before: Sequence[int], step: StepInput) -> StepInput:
    """Return the step with tokens before it, such as the prompt's, which all of its tokens follow."""
    shift = len(before)
    return StepInput(
        tokens=[*before, *step.tokens],
        parents=[*range(-1, shift - 1), *(shift - 1 if p == ROOT else shift + p for p in step.parents)],
        edges=[(shift + node, token) for node, token in step.edges],
        num_logits=step.num_logits,
    )


def vision_arguments(rows: Sequence[VisionInputs]) -> dict[str, Any]:
    """Build the model's arguments for the images and videos of a batch.

    Args:
        rows: the inputs of each row.

    Returns:
        Patches and grids of all images and of all videos; neither where there are none.
    """
    parts = {
        "pixel_values": [row.pixels for row in rows],
        "image_grid_thw": [row.grid for row in rows],
        "pixel_values_videos": [row.video_pixels for row in rows],
        "video_grid_thw": [row.video_grid for row in rows],
    }
    present = {name: [part for part in own if part is not None] for name, own in parts.items()}
    return {name: torch.cat(own) for name, own in present.items() if own}


def vision_tensors(model: Any, rows: Sequence[VisionInputs]) -> dict[str, Any]:
    """Build the arguments of `vision_arguments` in the model's data type, on its device."""
    dtype = model.dtype
    return {
        name: value.to(model.device, dtype if value.is_floating_point() else None)
        for name, value in vision_arguments(rows).items()
    }


def prompt_positions(
    model: Any, rows: Sequence[Row], image_token: int, video_token: int
) -> list[NDArray[np.int64]]:
    """Compute the model's own rope positions of the prompts.

    Args:
        model: a Qwen-VL for conditional generation.
        rows: rows with their prompts and grids.
        image_token: the model's image token.
        video_token: the model's video token.

    Returns:
        For each row, (3, prompt) positions in time, height and width.
    """
    width = max(len(row.prompt) for row in rows)
    tokens, is_prompt = np.zeros((2, len(rows), width), dtype=np.int64)
    for index, row in enumerate(rows):
        start = width - len(row.prompt)
        tokens[index, start:], is_prompt[index, start:] = row.prompt, 1
    ids = torch.from_numpy(tokens)
    grids = {name: grid.cpu() for name, grid in vision_arguments(rows).items() if name.endswith("_grid_thw")}
    seconds = [value for row in rows for value in row.seconds_per_patch]
    rope, _ = model.model.get_rope_index(
        input_ids=ids,
        mm_token_type_ids=(ids == image_token).int() + 2 * (ids == video_token).int(),
        second_per_grid_ts=torch.tensor(seconds) if seconds else None,
        attention_mask=torch.from_numpy(is_prompt),
        **grids,
    )
    return [rope[:, index, width - len(row.prompt) :].numpy() for index, row in enumerate(rows)]


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


def count_weights(config: Any) -> int:
    """Estimate the weights of a language model that each token is multiplied by, without the output layer.

    Args:
        config: config of the language model. Of a mixture of experts, a token passes some of the experts.
    """
    width = getattr(config, "intermediate_size", None)
    if experts := getattr(config, "num_experts_per_tok", None):
        shared = getattr(config, "shared_expert_intermediate_size", None) or 0
        width = experts * config.moe_intermediate_size + shared
    layer = 4 * config.hidden_size + 3 * (width or 4 * config.hidden_size)
    return int(config.num_hidden_layers * config.hidden_size * layer)
