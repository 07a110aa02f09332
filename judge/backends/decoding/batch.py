"""Run many rows on one model, in steps.

In a step, every row feeds all the tokens that it has, literal text included, as one left-padded sequence. The
rows share a key-value cache. Slots that a row does not use are masked out, so the numbers of a row do not
depend on the batch that it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from judge.backends.base import Reply
from judge.backends.decoding.forward_input import (
    ForwardInput,
    Row,
    count_weights,
    prepend_tokens,
    prompt_positions,
    read_results,
    vision_tensors,
)
from judge.backends.decoding.program import StepInput
from judge.backends.decoding.recurrent_batch import RecurrentBatch, hidden_states_of_trees, is_recurrent
from judge.errors import ReplyError
from judge.runtime import threads

if TYPE_CHECKING:
    from numpy.typing import NDArray


@torch.inference_mode()
def run_rows(model: Any, rows: Sequence[Row], image_token: int, video_token: int) -> list[Reply | ReplyError]:
    """Run the programs of all rows to their end.

    Args:
        model: a Qwen-VL for conditional generation (`judge.backends.models`), in evaluation mode.
        rows: rows whose programs have not started.
        image_token: the model's image token.
        video_token: the model's video token.

    Returns:
        The reply of each row; the `ReplyError` of a row whose program raised one.
    """
    for row in rows:
        row.resume(None)
    running = [row for row in rows if row.reply is None]
    if running:
        batch = RecurrentBatch(model, running) if is_recurrent(model) else _Batch(model, running)
        batch.prefill(image_token, video_token)
        while batch.rows:
            with threads.limit_threads(batch.num_step_tokens * batch.num_weights):
                batch.run_step()
    return [row.reply for row in rows if row.reply is not None]


@torch.inference_mode()
def run_groups(
    model: Any, groups: Sequence[Sequence[Row]], image_token: int, video_token: int
) -> list[list[Reply | ReplyError]]:
    """Run groups of programs, each group on one prompt with one set of images, which is read once.

    Args:
        model: as for `run_rows`.
        groups: the rows of each group, at least one. They have the same prompt, images and videos, and their
            programs begin with the same step, as programs that sample do.
        image_token: the model's image token.
        video_token: the model's video token.

    Returns:
        The replies of each group.
    """
    rows = [row for group in groups for row in group]
    if is_recurrent(model):
        run_rows(model, rows, image_token, video_token)
    else:
        for row in rows:
            row.resume(None)
        batch = _Batch(model, [group[0] for group in groups])
        batch.prefill(image_token, video_token, groups)
        while batch.rows:
            with threads.limit_threads(batch.num_step_tokens * batch.num_weights):
                batch.run_step()
    return [[row.reply for row in group if row.reply is not None] for group in groups]


def tree_states(
    model: Any, rows: Sequence[Row], image_token: int, video_token: int
) -> tuple[list[Any], list[StepInput]]:
    """Compute the last hidden states of prompts with the first step of each row, with gradients.

    Args:
        model: as for `run_rows`.
        rows: rows with a step and no program. Their pixels may require gradients.
        image_token: the model's image token.
        video_token: the model's video token.

    Returns:
        For each row, the states (n, H) of its prompt and step; and the prompts with their steps.
    """
    if is_recurrent(model):
        return hidden_states_of_trees(model, rows, image_token, video_token)
    batch = _Batch(model, list(rows), use_cache=False)
    steps, inputs, vision = batch.build_prompts(image_token, video_token)
    padded = batch.hidden_states(inputs, vision)
    hidden = [states[len(states) - len(step.tokens) :] for states, step in zip(padded, steps, strict=True)]
    return hidden, steps


def log_probabilities(model: Any, rows: Sequence[Row], image_token: int, video_token: int) -> list[Any]:
    """Compute what `run_rows` reads in the first step of each row, with gradients.

    Args:
        model: as for `run_rows`.
        rows: rows with a step and no program. Their pixels may require gradients.
        image_token: the model's image token.
        video_token: the model's video token.

    Returns:
        For each row, a tensor (edges,) of log-probabilities.
    """
    head, found = model.get_output_embeddings(), []
    hidden, steps = tree_states(model, rows, image_token, video_token)
    for states, step in zip(hidden, steps, strict=True):
        nodes, tokens = torch.tensor(step.edges, device=states.device).T
        logits = head(states[nodes])
        logits = logits if logits.dtype == torch.float64 else logits.float()
        found.append(logits.log_softmax(dim=1).gather(1, tokens[:, None])[:, 0])
    return found


class _Batch:
    """The rows that are still running, and their key-value cache.

    Slot t of the cache holds a token of row b where `filled[b, t]`.
    """

    def __init__(self, model: Any, rows: list[Row], *, use_cache: bool = True) -> None:
        from transformers import DynamicCache

        self.model, self.rows = model, rows
        self.cache: Any = DynamicCache(config=model.config.get_text_config()) if use_cache else None
        self.filled: NDArray[np.bool_] = np.zeros((len(rows), 0), dtype=bool)
        self.num_weights = count_weights(model.config.get_text_config())

    @property
    def num_step_tokens(self) -> int:
        """Number of tokens of the next step, padding included."""
        return len(self.rows) * max(len(row.step.tokens) for row in self.rows)

    def prefill(
        self, image_token: int, video_token: int, groups: Sequence[Sequence[Row]] | None = None
    ) -> None:
        """Feed the prompts with their images and videos and, in the same pass, the first step of each row.

        Args:
            image_token: the model's image token.
            video_token: the model's video token.
            groups: for each row, the rows that go on from what it has read, itself among them.
        """
        steps, inputs, vision = self.build_prompts(image_token, video_token)
        self._forward(inputs, steps, vision, groups)

    def build_prompts(
        self, image_token: int, video_token: int
    ) -> tuple[list[StepInput], ForwardInput, dict[str, Any]]:
        """Return prompts with first steps, the model's input for them, and the images and videos."""
        steps = [prepend_tokens(row.prompt, row.step) for row in self.rows]
        inputs = ForwardInput.from_steps(steps, self.filled, [0] * len(steps))
        width = inputs.tokens.shape[1]
        rope = prompt_positions(self.model, self.rows, image_token, video_token)
        for index, (row, own) in enumerate(zip(self.rows, rope, strict=True)):
            start = width - len(steps[index].tokens)
            row.position += int(own.max()) + 1
            # The tokens after the prompt are shifted to follow its greatest position.
            inputs.positions[:, index] += row.position - len(row.prompt)
            inputs.positions[:, index, start : start + len(row.prompt)] = own
        return steps, inputs, vision_tensors(self.model, self.rows)

    def run_step(self) -> None:
        """Feed the step of each row and resume the row with the result."""
        steps = [row.step for row in self.rows]
        inputs = ForwardInput.from_steps(steps, self.filled, [row.position for row in self.rows])
        self._forward(inputs, steps, {})

    def hidden_states(self, inputs: ForwardInput, vision: dict[str, Any]) -> Any:
        """Run the model; returns the last hidden states (B, n, H)."""
        device = self.model.device
        blocked = torch.from_numpy(~inputs.attention).to(device)
        mask = torch.zeros(blocked.shape, dtype=self.model.dtype, device=device)
        return self.model.model(
            input_ids=torch.from_numpy(inputs.tokens).to(device),
            position_ids=torch.from_numpy(inputs.positions).to(device),
            attention_mask=mask.masked_fill_(blocked, torch.finfo(mask.dtype).min)[:, None],
            past_key_values=self.cache,
            use_cache=self.cache is not None,
            **vision,
        ).last_hidden_state

    def _forward(
        self,
        inputs: ForwardInput,
        steps: list[StepInput],
        vision: dict[str, Any],
        groups: Sequence[Sequence[Row]] | None = None,
    ) -> None:
        hidden = self.hidden_states(inputs, vision)
        self.filled = inputs.filled
        results = read_results(self.model.get_output_embeddings(), hidden, steps)
        if groups is not None:
            results = self._spread(groups, results)
        for index, (row, result) in enumerate(zip(self.rows, results, strict=True)):
            count = row.resume(result)
            self.filled[index, [node - count for node in row.step.discarded]] = False
        self._compact()

    def _spread(self, groups: Sequence[Sequence[Row]], results: list[Any]) -> list[Any]:
        """Replace each row by its group, which goes on from the same place; return the result of each."""
        source = [index for index, group in enumerate(groups) for _ in group]
        for first, group in zip(self.rows, groups, strict=True):
            for row in group:
                row.position = first.position
        self.rows, self.filled = [row for group in groups for row in group], self.filled[source]
        self.cache.batch_select_indices(torch.tensor(source))
        return [results[index] for index in source]

    def _compact(self) -> None:
        """Drop rows that are done, and drop holes from the cache once they outnumber the filled slots."""
        running = [index for index, row in enumerate(self.rows) if row.reply is None]
        if len(running) < len(self.rows):
            self.rows, self.filled = [self.rows[index] for index in running], self.filled[running]
            if not running:
                return
            self.cache.batch_select_indices(torch.tensor(running))
        longest = int(self.filled.sum(axis=1).max())
        if self.filled.shape[1] > 2 * longest:
            # The stable sort puts the filled slots last, in order.
            slots = np.argsort(self.filled, axis=1, kind="stable")[:, -longest:]
            self.filled = np.take_along_axis(self.filled, slots, axis=1)
            rows = torch.arange(len(slots))[:, None]
            for layer in self.cache.layers:  # (B, heads, T, width)
                layer.keys = layer.keys.transpose(1, 2)[rows, slots].transpose(1, 2)
                layer.values = layer.values.transpose(1, 2)[rows, slots].transpose(1, 2)
