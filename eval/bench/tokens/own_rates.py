"""The rates of a taught model itself, by brute force: what a reading of it should give.

A model learns what it was taught only nearly, so a reading that differs from the taught rates may be right.
Here nothing of the reading is used: whole answers that differ in one decision, and in the one after it, are
encoded by the tokenizer and fed in plain forward passes. The rate of a label is the probability of the
answers with it, each up to the token that tells it from all the others.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.tokens.teaching import BOXES, RATES, TEXTS, Condition, build_values, pick_from
from judge.backends.decoding.chat_tokenizer import ChatTokenizer
from judge.backends.torchvision_compat import patch_imports
from judge.errors import ReplyError

MAX_SEQUENCES = 64
"""Greatest number of answers in one forward pass."""
Decisions = dict[str, tuple[str, str]]
"""Path of a decision -> the name of its rates, and its label."""


class TaughtModel:
    """A taught checkpoint in plain forward passes.

    Args:
        folder: the checkpoint.
    """

    def __init__(self, folder: Path) -> None:
        patch_imports()
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()
        self.tokenizer = ChatTokenizer(AutoProcessor.from_pretrained(folder))

    def own_rates(self, condition: Condition, values: Mapping[str, Any]) -> dict[str, dict[str, float]]:
        """Compute the rates of every decision of an answer, behind the decisions before it.

        Args:
            condition: the condition that the answer was given under.
            values: the answer.

        Returns:
            Path of a blank -> label -> rate, named as in `judge.backends.base.Reply.probabilities`. Texts
            are left out.

        Raises:
            ReplyError: the answer holds something that was not taught.
        """
        decisions = decisions_of(condition, values)
        alternatives = [
            alternative
            for path in decisions
            if not path.endswith(".text") and path != "explanation"
            for alternative in self._alternatives(condition, decisions, path)
        ]
        sums: dict[str, dict[str, float]] = {}
        for alternative, log in zip(
            alternatives, self._log_probabilities(condition, alternatives), strict=True
        ):
            found = sums.setdefault(alternative.path, {})
            found[alternative.label] = found.get(alternative.label, 0.0) + float(np.exp(log))
        return {
            _blank_of(path): {
                _label_of(path, label): share / sum(found.values()) for label, share in found.items()
            }
            for path, found in sums.items()
        }

    def _alternatives(self, condition: Condition, decisions: Decisions, path: str) -> list[_Alternative]:
        """Return answers with each label of a decision and of the one after it."""
        name, found = decisions[path][0], []
        for label in RATES[name]:
            if not RATES[name][label]:
                continue
            changed = {**decisions, path: (name, label)}
            reached = self._reached(condition, changed)
            after = next(iter(reached[[one for one, _ in reached].index(path) + 1 :]), None)
            for other in RATES[after[1]] if after else [""]:
                if after and not RATES[after[1]][other]:
                    continue
                whole = {**changed, after[0]: (after[1], other)} if after else changed
                values = build_values(condition, partial(pick_from, whole))
                tokens = self.tokenizer.encode_text(condition.render(values))
                found.append(_Alternative(path, label, tuple(tokens)))
        unique = {one.tokens: one for one in found}
        return _between_branches(list(unique.values()))

    def _reached(self, condition: Condition, decisions: Decisions) -> list[tuple[str, str]]:
        """Return the path and name of every decision of an answer, in order."""
        seen: list[tuple[str, str]] = []

        def pick(path: str, name: str) -> str:
            seen.append((path, name))
            return pick_from(decisions, path, name)

        build_values(condition, pick)
        return seen

    def _log_probabilities(
        self, condition: Condition, alternatives: Sequence[_Alternative]
    ) -> Iterator[float]:
        """Yield the log-probability of the part of each answer that tells it from the others."""
        import torch

        request = condition.request()
        encoded = self.tokenizer.processor.image_processor(images=request.images, return_tensors="pt")
        grid = encoded["image_grid_thw"]
        image_tokens = [int(grid.prod()) // self.tokenizer.merge_size**2]
        prompt = self.tokenizer.encode_chat(request.messages, image_tokens)
        for start in range(0, len(alternatives), MAX_SEQUENCES):
            part = alternatives[start : start + MAX_SEQUENCES]
            width = len(prompt) + max(one.end for one in part)
            ids = torch.zeros((len(part), width), dtype=torch.long)
            for row, one in enumerate(part):
                ids[row, : len(prompt) + one.end] = torch.tensor([*prompt, *one.tokens[: one.end]])
            with torch.inference_mode():
                hidden = self.model.model(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),  # padding stands behind, where nothing sees it
                    mm_token_type_ids=(ids == self.tokenizer.image_token).int(),
                    pixel_values=encoded["pixel_values"].repeat(len(part), 1),
                    image_grid_thw=grid.repeat(len(part), 1),
                    use_cache=False,
                ).last_hidden_state
                head = self.model.get_output_embeddings()
                for row, one in enumerate(part):
                    places = torch.arange(one.start, one.end) + len(prompt) - 1
                    logs = head(hidden[row, places]).log_softmax(-1)
                    yield float(logs[torch.arange(len(places)), list(one.tokens[one.start : one.end])].sum())


@dataclass
class _Alternative:
    path: str
    """The decision that it is an alternative of."""
    label: str
    tokens: tuple[int, ...]
    """The whole answer."""
    start: int = 0
    end: int = 0
    """The tokens from `start` to `end` tell it from the others; those before are common to all."""


def _between_branches(alternatives: list[_Alternative]) -> list[_Alternative]:
    """Set where the alternatives part from all, and where each one parts from every other."""
    rows = [one.tokens for one in alternatives]
    for one in alternatives:
        common = [_common_length(one.tokens, other) for other in rows if other != one.tokens]
        one.start, one.end = min(common), max(common) + 1
    return alternatives


def _common_length(first: Sequence[int], second: Sequence[int]) -> int:
    pairs = enumerate(zip(first, second, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(first), len(second)))


def decisions_of(condition: Condition, values: Mapping[str, Any]) -> Decisions:
    """Return the decisions that an answer was built from, in order.

    Raises:
        ReplyError: the answer holds something that was not taught.
    """
    found: Decisions = {}
    defects = values.get("defects", [])

    def pick(path: str, name: str) -> str:
        kind, _, rest = path.partition(".")
        number, _, member = rest.partition(".")
        if kind == "elements":
            label = "true" if list(values["elements"].values())[int(rest)] else "false"
        elif kind == "defects" and member == "open":
            label = "open" if int(number) < len(defects) else "close"
        elif kind == "defects":
            label = _defect_label(defects[int(number)], member, path)
        elif kind == "explanation":
            label = _index(TEXTS, values["explanation"], path)
        else:
            label = str(values[rest or path])
        found[path] = name, label
        return label

    build_values(condition, pick)
    return found


def _defect_label(defect: Mapping[str, Any], member: str, path: str) -> str:
    if member == "box":
        return _index([list(box) for box in BOXES], defect["box"], path)
    return _index(TEXTS, defect["explanation"], path) if member == "text" else str(defect[member])


def _index(known: Sequence[Any], value: Any, path: str) -> str:
    if value not in known:
        raise ReplyError(f"{path}: {value} was not taught")
    return str(list(known).index(value))


def _blank_of(path: str) -> str:
    return f"{path}.x1" if path.endswith(".box") else path


def _label_of(path: str, label: str) -> str:
    return str(BOXES[int(label)][0]) if path.endswith(".box") else label
