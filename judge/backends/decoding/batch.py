"""Run many rows on one model, in steps.

In a step, every row feeds all the tokens that it has, literal text included, as one left-padded sequence. The
rows share a key-value cache. Slots that a row does not use are masked out, so the numbers of a row do not
depend on the batch that it is in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from judge.backends.base import Reply
from judge.backends.decoding.forward_input import ForwardInput, prepend_prompt, read_results
from judge.backends.decoding.program import RowProgram, StepInput
from judge.errors import ReplyError
from judge.runtime import threads

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


@torch.inference_mode()
def run_rows(model: Any, rows: Sequence[Row], image_token: int, video_token: int) -> list[Reply | ReplyError]:
    """Run the programs of all rows to their end.

    Args:
        model: a Qwen2-VL, Qwen2.5-VL or Qwen3-VL for conditional generation, in evaluation mode.
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
        batch = _Batch(model, running)
        batch.prefill(image_token, video_token)
        while batch.rows:
            batch.run_step()
    return [row.reply for row in rows if row.reply is not None]


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
    batch = _Batch(model, list(rows), use_cache=False)
    steps, inputs, vision = batch.build_prompts(image_token, video_token)
    hidden, head = batch.hidden_states(inputs, vision), model.get_output_embeddings()
    found = []
    for states, step in zip(hidden, steps, strict=True):
        nodes, tokens = torch.tensor(step.edges, device=hidden.device).T
        logits = head(states[len(states) - len(step.tokens) + nodes])
        logits = logits if logits.dtype == torch.float64 else logits.float()
        found.append(logits.log_softmax(dim=1).gather(1, tokens[:, None])[:, 0])
    return found


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


class _Batch:
    """The rows that are still running, and their key-value cache.

    Slot t of the cache holds a token of row b where `filled[b, t]`.
    """

    def __init__(self, model: Any, rows: list[Row], *, use_cache: bool = True) -> None:
        from transformers import DynamicCache

        self.model, self.rows = model, rows
        self.cache: Any = DynamicCache(config=model.config.get_text_config()) if use_cache else None
        self.filled: NDArray[np.bool_] = np.zeros((len(rows), 0), dtype=bool)
        self.num_weights = _count_weights(model.config.get_text_config())

    def prefill(self, image_token: int, video_token: int) -> None:
        """Feed the prompts with their images and videos and, in the same pass, the first step of each row."""
        steps, inputs, vision = self.build_prompts(image_token, video_token)
        self._forward(inputs, steps, vision)

    def build_prompts(
        self, image_token: int, video_token: int
    ) -> tuple[list[StepInput], ForwardInput, dict[str, Any]]:
        """Return prompts with first steps, the model's input for them, and the images and videos."""
        steps = [prepend_prompt(row.prompt, row.step) for row in self.rows]
        inputs = ForwardInput.from_steps(steps, self.filled, [0] * len(steps))
        dtype = self.model.dtype
        vision = {
            name: value.to(self.model.device, dtype if value.is_floating_point() else None)
            for name, value in vision_arguments(self.rows).items()
        }
        self._set_prompt_positions(inputs, vision, image_token, video_token)
        return steps, inputs, vision

    def run_step(self) -> None:
        """Feed the step of each row and resume the row with the result."""
        steps = [row.step for row in self.rows]
        inputs = ForwardInput.from_steps(steps, self.filled, [row.position for row in self.rows])
        with threads.limit_threads(inputs.tokens.size * self.num_weights):
            self._forward(inputs, steps, {})

    def _set_prompt_positions(
        self, inputs: ForwardInput, vision: dict[str, Any], image_token: int, video_token: int
    ) -> None:
        """Give the prompts the model's own 3-D rope positions, and shift the tokens after them."""
        prompts = np.zeros_like(inputs.tokens)
        for index, row in enumerate(self.rows):
            start = inputs.tokens.shape[1] - len(row.prompt) - len(row.step.tokens)
            prompts[index, start : start + len(row.prompt)] = 1
        tokens = torch.from_numpy(inputs.tokens)
        grids = {name: grid.cpu() for name, grid in vision.items() if name.endswith("_grid_thw")}
        seconds = [value for row in self.rows for value in row.seconds_per_patch]
        rope, _ = self.model.model.get_rope_index(
            input_ids=tokens,
            mm_token_type_ids=(tokens == image_token).int() + 2 * (tokens == video_token).int(),
            second_per_grid_ts=torch.tensor(seconds) if seconds else None,
            attention_mask=torch.from_numpy(prompts),
            **grids,
        )
        is_prompt = prompts.astype(bool)
        for index, row in enumerate(self.rows):
            own = rope[:, index, is_prompt[index]].numpy()
            row.position += int(own.max()) + 1
            inputs.positions[:, index] += row.position - len(row.prompt)
            inputs.positions[:, index, is_prompt[index]] = own

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

    def _forward(self, inputs: ForwardInput, steps: list[StepInput], vision: dict[str, Any]) -> None:
        hidden = self.hidden_states(inputs, vision)
        self.filled = inputs.filled
        results = read_results(self.model.get_output_embeddings(), hidden, steps)
        for index, (row, result) in enumerate(zip(self.rows, results, strict=True)):
            count = row.resume(result)
            self.filled[index, [node - count for node in row.step.discarded]] = False
        self._compact()

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


def _count_weights(config: Any) -> int:
    """Estimate the weights of a language model that each token is multiplied by, without the output layer."""
    return int(
        config.num_hidden_layers
        * config.hidden_size
        * (4 * config.hidden_size + 3 * config.intermediate_size)
    )
