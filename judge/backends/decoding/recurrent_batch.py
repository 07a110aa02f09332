"""Run rows on a model with recurrent layers, such as Gated DeltaNet in Qwen3.5.

A recurrent layer keeps a state in place of keys and values. No attention mask reaches it: a token that is fed
has changed the state, and two branches that are fed side by side change each other. So here

- the tokens of a step are cut where its tree branches, and every segment is fed as a sequence of its own, on
  a copy of the state of the segment before it;
- only segments of equal length share a pass. Prompts are the exception. They begin with a state of zeros,
  which the layers' own mask of padding leaves as it is (arXiv 2412.06464, equation 10, with k = v = 0);
- after a step, the state of a row is that of the last segment that is part of its answer. Tokens of the
  answer behind it are fed again with the next step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from judge.backends.decoding.forward_input import (
    Row,
    count_weights,
    prepend_tokens,
    prompt_positions,
    read_results,
    tree_depths,
    vision_tensors,
)
from judge.backends.decoding.label_tree import ROOT
from judge.backends.decoding.program import StepInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_SEQUENCES = 32
"""Greatest number of segments in one pass; each has a copy of what its row has read."""
MAX_WAITING_TOKENS = 32
"""A row with more tokens to feed again has them fed in a pass of their own, which advances its state."""
LayerState = tuple[Any, Any]
"""Keys and values (1, heads, T, width), or states of the convolution and the recurrence (1, ...)."""


def is_recurrent(model: Any) -> bool:
    """Return whether a model has recurrent layers."""
    return "linear_attention" in (getattr(model.config.get_text_config(), "layer_types", None) or ())


@dataclass
class State:
    """What a row has read, as the layers keep it."""

    layers: list[LayerState] = field(default_factory=list)
    length: int = 0
    """Number of tokens; 0: the row has read nothing, and there are no layers."""


@dataclass
class Segment:
    """Tokens of a tree that follow each other without a branch."""

    nodes: list[int]
    """Indexes into the tree."""
    parent: int
    """Index of the segment before it, or `ROOT`."""


def split_segments(parents: Sequence[int]) -> list[Segment]:
    """Cut a tree at its branches.

    Args:
        parents: for each node, the node before it, or `ROOT`; parents stand before their children.

    Returns:
        Segments that together hold each node once, parents before children.
    """
    children = np.bincount(np.array(parents, dtype=np.int64) + 1, minlength=len(parents) + 1)
    segments, owner = list[Segment](), list[int]()
    for node, parent in enumerate(parents):
        if parent != ROOT and children[parent + 1] == 1:
            owner.append(owner[parent])
            segments[owner[parent]].nodes.append(node)
        else:
            owner.append(len(segments))
            segments.append(Segment([node], ROOT if parent == ROOT else owner[parent]))
    return segments


@dataclass
class _Pass:
    """One sequence of tokens to feed."""

    tokens: list[int]
    positions: NDArray[np.int64]
    """(3, n) rope positions."""
    state: State
    keeps_state: bool = True
    """Whether the state behind it may be needed. The branches of labels are many, and fed again if taken."""
    vision: Row | None = None
    """The row whose images and videos are among the tokens."""
    hidden: Any = None
    """(n, H) last hidden states, once it was fed."""
    new_state: State | None = None


@dataclass
class _RunningRow:
    row: Row
    state: State = field(default_factory=State)
    waiting: list[int] = field(default_factory=list)
    """Tokens that the row has read and that are not in the state; with the prompt, if there is no state."""
    waiting_positions: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 0), np.int64))
    """(3, n) rope positions of the tokens that are waiting."""
    positions: NDArray[np.int64] = field(default_factory=lambda: np.zeros((3, 0), np.int64))
    """(3, n) rope positions of the last step, after the tokens that were waiting."""
    fed: StepInput = field(default_factory=StepInput)
    """The last step, after the tokens that were waiting."""
    segments: list[Segment] = field(default_factory=list)
    passes: list[_Pass] = field(default_factory=list)
    """For each segment of the last step, its pass."""

    def keep_answer(self, count: int) -> None:
        """Set the state and the waiting tokens after the row has said which tokens it discards.

        Args:
            count: number of tokens of the last step of the row's own.
        """
        first = len(self.fed.tokens) - count
        discarded = {first + index for index in self.row.step.discarded}
        kept, complete = [n for n in range(len(self.fed.tokens)) if n not in discarded], {ROOT}
        used = 0
        for index, segment in enumerate(self.segments):
            state = self.passes[index].new_state
            if state and segment.parent in complete and discarded.isdisjoint(segment.nodes):
                complete.add(index)
                self.state, used = state, used + len(segment.nodes)
        self.waiting = [self.fed.tokens[node] for node in kept[used:]]
        self.waiting_positions = self.positions[:, kept[used:]]
        self.passes = []


class RecurrentBatch:
    """The rows that are still running on a model with recurrent layers, each with its own state."""

    def __init__(self, model: Any, rows: Sequence[Row]) -> None:
        self.model, self._running = model, [_RunningRow(row) for row in rows]
        self.num_weights = count_weights(model.config.get_text_config())

    @property
    def rows(self) -> list[Row]:
        """The rows that are still running."""
        return [one.row for one in self._running]

    @property
    def num_step_tokens(self) -> int:
        """Number of tokens of the next step."""
        return sum(len(one.waiting) + len(one.row.step.tokens) for one in self._running)

    def prefill(self, image_token: int, video_token: int) -> None:
        """Feed the prompts with their images and videos, and the first step of each row."""
        rope = prompt_positions(self.model, self.rows, image_token, video_token)
        for one, own in zip(self._running, rope, strict=True):
            one.row.position += int(own.max()) + 1
            one.waiting, one.waiting_positions = one.row.prompt, own
        self._feed()

    def run_step(self) -> None:
        """Feed the step of each row and resume the row with the result."""
        self._advance([one for one in self._running if len(one.waiting) > MAX_WAITING_TOKENS])
        self._feed()

    def _advance(self, long: Sequence[_RunningRow]) -> None:
        """Feed the waiting tokens of some rows by themselves."""
        passes = [
            _Pass(one.waiting, one.waiting_positions, one.state, vision=None if one.state.length else one.row)
            for one in long
        ]
        _run_passes(self.model, passes)
        for one, done in zip(long, passes, strict=True):
            assert done.new_state is not None
            one.state, one.waiting = done.new_state, []
            one.waiting_positions = one.waiting_positions[:, :0]

    def _feed(self) -> None:
        """Feed the waiting tokens and the step of each row, segment by segment, and resume the rows."""
        steps = []
        for one in self._running:
            one.fed = prepend_tokens(one.waiting, one.row.step)
            depths = one.row.position + tree_depths(one.row.step.parents)
            one.positions = np.concatenate([one.waiting_positions, _text_positions(depths)], axis=1)
            one.segments = split_segments(one.fed.parents)
            followed = {segment.parent for segment in one.segments}
            one.passes = [
                _Pass(
                    [one.fed.tokens[n] for n in segment.nodes],
                    one.positions[:, segment.nodes],
                    one.state,
                    keeps_state=len(one.segments) == 1 or index in followed,
                )
                for index, segment in enumerate(one.segments)
            ]
            if one.state.length == 0:
                one.passes[0].vision = one.row
            steps.append(one.fed)
        for wave in _waves(self._running):
            _run_passes(self.model, wave)
        results = read_results(self.model.get_output_embeddings(), self._padded_hidden(), steps)
        for one, result in zip(self._running, results, strict=True):
            count = one.row.resume(result)
            if one.row.reply is None:
                one.keep_answer(count)
        self._running = [one for one in self._running if one.row.reply is None]

    def _padded_hidden(self) -> Any:
        """Return the last hidden states of all nodes, (B, n, H), right-aligned."""
        width = max(len(one.fed.tokens) for one in self._running)
        example = self._running[0].passes[0].hidden
        padded = example.new_zeros((len(self._running), width, example.shape[-1]))
        for own, one in zip(padded, self._running, strict=True):
            start = width - len(one.fed.tokens)
            for segment, done in zip(one.segments, one.passes, strict=True):
                own[[start + node for node in segment.nodes]] = done.hidden
        return padded


def _waves(running: Sequence[_RunningRow]) -> Iterator[list[_Pass]]:
    """Yield the passes that can run next, and give each the state of the segment before it."""
    waiting = [(one, index) for one in running for index in range(len(one.segments))]
    while waiting:
        ready, later = list[_Pass](), []
        for one, index in waiting:
            parent = one.segments[index].parent
            before = one.state if parent == ROOT else one.passes[parent].new_state
            if before is None:  # it has not been fed
                later.append((one, index))
            else:
                one.passes[index].state = before
                ready.append(one.passes[index])
        waiting = later
        yield ready


def _text_positions(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rope positions (3, n) of text."""
    return np.repeat(positions[None], 3, axis=0)


def _run_passes(model: Any, passes: Sequence[_Pass]) -> None:
    """Feed sequences, together where they may be: those without a state, and those of equal length."""
    groups: dict[int, list[_Pass]] = {}
    for one in passes:
        groups.setdefault(len(one.tokens) if one.state.length else 0, []).append(one)
    for group in groups.values():
        for start in range(0, len(group), MAX_SEQUENCES):
            _run_group(model, group[start : start + MAX_SEQUENCES])


def _run_group(model: Any, group: Sequence[_Pass]) -> None:
    cache = _join_states(model, [one.state for one in group])
    rows = [one.vision for one in group if one.vision is not None]
    hidden = _run_model(
        model,
        [one.tokens for one in group],
        [one.positions for one in group],
        [one.state.length for one in group],
        vision_tensors(model, rows),
        cache,
    )
    for index, one in enumerate(group):
        one.hidden = hidden[index, -len(one.tokens) :]
        if one.keeps_state:
            one.new_state = _split_state(cache, index, one.state.length + len(one.tokens))


def _run_model(
    model: Any,
    tokens: Sequence[Sequence[int]],
    positions: Sequence[NDArray[np.int64]],
    past: Sequence[int],
    vision: dict[str, Any],
    cache: Any,
) -> Any:
    """Feed sequences, aligned on the right; returns the last hidden states (B, n, H).

    Args:
        model: the model.
        tokens: of each sequence; of equal number if anything was read before.
        positions: rope positions of each sequence, (3, n).
        past: number of tokens that each sequence has read before.
        vision: images and videos, as the model's arguments.
        cache: what was read, aligned on the right; None to keep nothing.
    """
    width, longest, count = max(map(len, tokens)), max(past), len(tokens)
    ids, rope = np.zeros((count, width), np.int64), np.zeros((3, count, width), np.int64)
    is_token, blocked = np.zeros((count, width), bool), np.ones((count, width, longest + width), bool)
    slots = np.arange(width)
    for index, (own, own_positions) in enumerate(zip(tokens, positions, strict=True)):
        start = width - len(own)
        ids[index, start:], rope[:, index, start:], is_token[index, start:] = own, own_positions, True
        blocked[index, start:, longest - past[index] : longest] = False
        blocked[index, start:, longest + start :] = ~np.tri(len(own), dtype=bool)
    blocked[:, slots, longest + slots] = False  # with nothing to attend to, padding would become NaN
    device = model.device
    mask = torch.zeros(blocked.shape, dtype=model.dtype, device=device)
    mask.masked_fill_(torch.from_numpy(blocked).to(device), torch.finfo(mask.dtype).min)
    padding = None if is_token.all() else torch.from_numpy(is_token).to(device)
    return model.model(
        input_ids=torch.from_numpy(ids).to(device),
        position_ids=torch.from_numpy(rope).to(device),
        attention_mask={"full_attention": mask[:, None], "linear_attention": padding},
        past_key_values=cache,
        use_cache=cache is not None,
        **vision,
    ).last_hidden_state


def _join_states(model: Any, states: Sequence[State]) -> Any:
    """Build a cache of several rows; keys and values are aligned on the right."""
    from transformers import DynamicCache

    config = model.config.get_text_config()
    cache: Any = DynamicCache(config=config)
    longest = max(state.length for state in states)
    if not longest:
        return cache
    for index, kind in enumerate(config.layer_types):
        first, second = (
            torch.cat([_pad_left(state.layers[index][part], kind, longest) for state in states])
            for part in (0, 1)
        )
        if kind == "linear_attention":
            cache.update_conv_state(first, index)
            cache.update_recurrent_state(second, index)
        else:
            cache.update(first, second, index)
    return cache


def _pad_left(tensor: Any, kind: str, length: int) -> Any:
    """Pad keys or values (1, heads, T, width) to a length; other states are returned as they are."""
    if kind == "linear_attention" or tensor.shape[2] == length:
        return tensor
    return torch.nn.functional.pad(tensor, (0, 0, length - tensor.shape[2], 0))


def _split_state(cache: Any, index: int, length: int) -> State:
    """Return a copy of the state of one row of a cache."""
    layers: list[LayerState] = []
    for layer in cache.layers:
        if hasattr(layer, "recurrent_states"):
            parts = (layer.conv_states[0][index : index + 1], layer.recurrent_states[0][index : index + 1])
        else:
            parts = (layer.keys[index : index + 1, :, -length:], layer.values[index : index + 1, :, -length:])
        layers.append((parts[0].clone(), parts[1].clone()))
    return State(layers, length)


def hidden_states_of_trees(
    model: Any, rows: Sequence[Row], image_token: int, video_token: int
) -> tuple[list[Any], list[StepInput]]:
    """Run prompts with their first steps, with gradients.

    The state of a recurrent layer is not kept, so a tree is fed as one sequence for each of its branches that
    has something to read, with the whole prompt before it.

    Args:
        model: a model with recurrent layers.
        rows: rows with a step. Their pixels may require gradients.
        image_token: the model's image token.
        video_token: the model's video token.

    Returns:
        For each row, the last hidden states (n, H) of its prompt and step, zero where nothing is read; and
        the prompts with their steps.
    """
    rope = prompt_positions(model, rows, image_token, video_token)
    steps = [prepend_tokens(row.prompt, row.step) for row in rows]
    paths = [(n, path) for n, step in enumerate(steps) for path in _read_paths(step)]
    tokens, positions = [], []
    for n, path in paths:
        start = int(rope[n].max()) + 1
        own = np.concatenate([rope[n], _text_positions(start + tree_depths(rows[n].step.parents))], axis=1)
        tokens.append([steps[n].tokens[node] for node in path])
        positions.append(own[:, path])
    vision = vision_tensors(model, [rows[n] for n, _ in paths])
    hidden = _run_model(model, tokens, positions, [0] * len(paths), vision, None)
    found = [hidden.new_zeros((len(step.tokens), hidden.shape[-1])) for step in steps]
    for (n, path), states in zip(paths, hidden, strict=True):
        index = torch.tensor(path, device=states.device)
        found[n] = found[n].index_copy(0, index, states[-len(path) :])
    return found, steps


def _read_paths(step: StepInput) -> Iterable[list[int]]:
    """Return paths from the root of a tree that hold all nodes that are read, none the start of another."""
    covered, paths = set[int](), list[list[int]]()
    for leaf in sorted({node for node, _ in step.edges}, reverse=True):
        if leaf in covered:
            continue
        path, node = list[int](), leaf
        while node != ROOT:
            path.append(node)
            node = step.parents[node]
        covered |= set(path)
        paths.append(path[::-1])
    return paths
