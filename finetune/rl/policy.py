"""The log-probabilities of sampled answers under the weights as they are now, with gradients.

All answers about one image are one tree of tokens behind it (`judge.backends.decoding.label_tree`): what
they begin with in common is read once, the image and the prompt as well. One pass over the tree gives the
states of all decisions of the group.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from finetune.rl.rollouts import Group
from finetune.rl.sampling import Decision
from judge.backends.decoding.batch import tree_states
from judge.backends.decoding.chat_tokenizer import ChatTokenizer
from judge.backends.decoding.forward_input import Row
from judge.backends.decoding.label_tree import ROOT
from judge.backends.decoding.program import StepInput

MAX_LOGIT_CELLS = 1 << 26
"""Greatest number of logits in memory at once (256 MiB in float32). More are computed again in the backward
pass."""


@dataclass
class PolicyOutput:
    """The decisions of some groups, in order of group, rollout and decision. n is their number."""

    logs: Tensor
    """(n,) log-probability of each decision's token among the allowed ones."""
    choice_logs: Tensor
    """(n, widest) log-probabilities of the choices; -inf beyond a decision's own, all -inf for masks."""
    entropy: Tensor
    """(n,) entropy of each decision, without gradient."""


def read_policy(
    model: Any, groups: Sequence[Group], tokenizer: ChatTokenizer, temperature: float
) -> PolicyOutput:
    """Compute the log-probabilities of all decisions of some groups.

    Args:
        model: the Qwen-VL in training.
        groups: the sampled groups.
        tokenizer: the model's.
        temperature: as it was sampled at.
    """
    rows, places = [], []
    for group in groups:
        row, nodes = _tree_row(group)
        rows.append(row)
        places.append(nodes)
    hidden, steps = tree_states(model, rows, tokenizer.image_token, tokenizer.video_token)
    states = []
    for own, step, group, nodes in zip(hidden, steps, groups, places, strict=True):
        shift = len(step.tokens) - len(nodes.tree.tokens)
        states.append(own[[shift + node if node != ROOT else shift - 1 for node in nodes.decisions]])
        assert len(nodes.decisions) == sum(len(rollout.decisions) for rollout in group.rollouts)
    decisions = [d for group in groups for rollout in group.rollouts for d in rollout.decisions]
    return _read_decisions(model.get_output_embeddings(), torch.cat(states), decisions, temperature)


@dataclass
class _Places:
    tree: StepInput
    decisions: list[int]
    """Node of the tree after which each decision was drawn, or `ROOT`."""


def _tree_row(group: Group) -> tuple[Row, _Places]:
    """Lay out the answers of a group as one tree, in which equal beginnings are one chain."""
    tree, children, decisions = StepInput(), dict[tuple[int, int], int](), list[int]()
    for rollout in group.rollouts:
        last = max((decision.node for decision in rollout.decisions), default=ROOT)
        nodes, parent = list[int](), ROOT
        for token in rollout.tokens[: last + 1]:  # nothing is read behind the last decision
            node = children.get((parent, token))
            if node is None:
                node = children[parent, token] = tree.append_chain([token], parent)
            nodes.append(node)
            parent = node
        decisions += [nodes[d.node] if d.node != ROOT else ROOT for d in rollout.decisions]
    # The states that are read are chosen by `decisions`. Recurrent models look for edges.
    tree.edges = [(node, 0) for node in sorted(set(decisions))]
    row = group.row
    vision = {"pixels": row.pixels, "grid": row.grid, "video_pixels": row.video_pixels}
    vision |= {"video_grid": row.video_grid, "seconds_per_patch": row.seconds_per_patch}
    return Row(None, row.prompt, step=tree, **vision), _Places(tree, decisions)


def _read_decisions(
    head: Any, states: Tensor, decisions: Sequence[Decision], temperature: float
) -> PolicyOutput:
    """Read the decisions from the states (n, H) before them."""
    width = max((len(d.choices) for d in decisions), default=1) or 1
    vocabulary = head.weight.shape[0]
    size = max(1, MAX_LOGIT_CELLS // vocabulary)
    parts = []
    for start in range(0, len(decisions), size):
        some, own = states[start : start + size], decisions[start : start + size]
        if len(decisions) > size and states.requires_grad:
            parts.append(checkpoint(_read_some, head, some, own, width, temperature, use_reentrant=False))
        else:
            parts.append(_read_some(head, some, own, width, temperature))
    logs, choice_logs, entropy = (torch.cat(part) for part in zip(*parts, strict=True))
    return PolicyOutput(logs, choice_logs, entropy)


def _read_some(
    head: Any, states: Tensor, decisions: Sequence[Decision], width: int, temperature: float
) -> tuple[Tensor, Tensor, Tensor]:
    logits = head(states).float() / temperature
    device, count = logits.device, len(decisions)
    choices = torch.zeros(count, width, dtype=torch.long)
    chosen = torch.tensor([d.token for d in decisions], device=device)
    for n, decision in enumerate(decisions):
        if decision.choices:
            choices[n, : len(decision.choices)] = torch.tensor(decision.choices)
    lengths = torch.tensor([len(d.choices) for d in decisions])
    beyond = (torch.arange(width)[None] >= lengths[:, None]).to(device)
    choices = choices.to(device)
    scores = logits.gather(1, choices).masked_fill(beyond, -torch.inf)
    is_mask = (lengths == 0).to(device)
    norm = scores.masked_fill(is_mask[:, None], 0.0).logsumexp(1)
    masked = [n for n, decision in enumerate(decisions) if not decision.choices]
    entropy = torch.zeros(count, device=device)
    with torch.no_grad():
        shares = (scores - norm[:, None]).exp()
        entropy += -(shares * (scores - norm[:, None]).masked_fill(beyond, 0.0)).sum(1)
    if masked:
        index = torch.tensor(masked, device=device)
        bits = np.stack([_unpack(decisions[n].mask, logits.shape[1]) for n in masked])
        own = logits[index].masked_fill(~torch.from_numpy(bits).to(device), -torch.inf)
        norm = norm.index_copy(0, index, own.logsumexp(1))
        with torch.no_grad():
            log = own.log_softmax(1)
            entropy[index] = -(log.exp() * log.masked_fill(log == -torch.inf, 0.0)).sum(1)
    logs = logits.gather(1, chosen[:, None])[:, 0] - norm
    choice_logs = scores - norm[:, None]
    return logs, choice_logs, entropy


def _unpack(mask: bytes, size: int) -> Any:
    bits = np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")[:size]
    return np.pad(bits, (0, size - len(bits))).astype(bool)
