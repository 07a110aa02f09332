"""Text to tokens: chats that content cannot break out of, and label sets as little trees of tokens."""

from __future__ import annotations

import copy
import re
from collections import ChainMap, Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

TIP = -1
"""Parent of a token that follows directly on what the row has read so far."""


class Wording:
    """Encodes chats and forms for one processor (a tokenizer with a chat template).

    Content is encoded as plain text: `<|im_end|>` in a prompt becomes the tokens of its characters, never
    the token that closes a turn. Training encodes the segments of a form with the same `plain`.
    """

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.image_token: int = processor.image_token_id
        self.video_token: int = processor.video_token_id
        self.merge: int = processor.image_processor.merge_size
        self._control = frozenset(
            number for number, token in self.tokenizer.added_tokens_decoder.items() if token.special
        ) | {processor.image_token_id, processor.video_token_id}
        self._marked = _unpadded(self.tokenizer.backend_tokenizer)
        self._unmarked = _unpadded(self.tokenizer.backend_tokenizer)
        self._unmarked.encode_special_tokens = True
        self.plain = lru_cache(maxsize=65536)(self._plain)
        self.menu = lru_cache(maxsize=4096)(self._menu)
        self.spelt = lru_cache(maxsize=65536)(lambda token: self.decode([token]))
        self._outline = lru_cache(maxsize=64)(self._outline_of)

    def chat(
        self, messages: Sequence[dict[str, Any]], image_tokens: Sequence[int], films: Sequence[str] = ()
    ) -> list[int]:
        """Tokens of a chat up to where the answer starts.

        Args:
            messages: the chat.
            image_tokens: how many tokens each image takes.
            films: what stands for each video, in marks of the tokenizer (`judge.backends.video_inputs.words`).
        """
        shape = tuple(
            (message["role"], tuple(part["type"] for part in _parts(message["content"])))
            for message in messages
        )
        texts = [p["text"] for m in messages for p in _parts(m["content"]) if p["type"] == "text"]
        images, reels = iter(image_tokens), iter(films)
        tokens: list[int] = []
        for piece in self._outline(shape):
            for token in self.plain(texts[piece]) if isinstance(piece, int) else piece:
                if token == self.image_token:
                    tokens += [token] * next(images)
                elif token == self.video_token:
                    tokens += self.marked(next(reels))
                else:
                    tokens.append(token)
        return tokens

    def marked(self, text: str) -> list[int]:
        """Tokens of the template's own text, in which control tokens are what they say."""
        return list(self._marked.encode(text, add_special_tokens=False).ids)

    def decode(self, tokens: Sequence[int]) -> str:
        return str(self._marked.decode(list(tokens), skip_special_tokens=False))

    def _plain(self, text: str) -> tuple[int, ...]:
        """Tokens of content, none of them a control token."""
        tokens = self._unmarked.encode(text, add_special_tokens=False).ids
        if not self._control.isdisjoint(tokens):  # a tokenizer that keeps some mark: no mark is one character
            tokens = [t for c in text for t in self._unmarked.encode(c, add_special_tokens=False).ids]
        return tuple(tokens)

    def _outline_of(self, shape: tuple[tuple[str, tuple[str, ...]], ...]) -> list[tuple[int, ...] | int]:
        """The chat template around its content: tokens, and the index of the text that goes between."""
        slot, messages = 0, []
        for role, kinds in shape:
            parts: list[dict[str, str]] = []
            for kind in kinds:
                text = {"text": f"\ue000{slot}\ue001"} if kind == "text" else {}
                parts.append({"type": kind, **text})
                slot += kind == "text"
            messages.append({"role": role, "content": parts})
        chat = self.processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        return [
            int(piece) if index % 2 else tuple(self._marked.encode(piece, add_special_tokens=False).ids)
            for index, piece in enumerate(re.split("\ue000(\\d+)\ue001", chat))
        ]

    def _menu(self, labels: tuple[str, ...], then: str = "") -> Menu:
        paths = [self.plain(label) for label in labels]
        if _one_begins_another(paths):
            after = self.plain(then)[:1]
            paths = [(*path, *after) for path in paths]
            return Menu.of(paths, ended=len(after))
        return Menu.of(paths)


@dataclass
class Growth:
    """Tokens to feed to one row in one go: a tree that grows from the row's tip."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    """For each token, the index of the one before it in this growth, or `TIP`."""

    def chain(self, tokens: Sequence[int], after: int) -> int:
        """Append tokens one after the other; returns the index of the last (`after` when there is none)."""
        for token in tokens:
            self.tokens.append(token)
            self.parents.append(after)
            after = len(self.tokens) - 1
        return after

    def graft(self, menu: Menu, after: int) -> tuple[int, list[tuple[int, int]]]:
        """Append a menu's inner tokens; returns the index of the first, and the menu's edges from here."""
        start = len(self.tokens)
        self.tokens += menu.tokens
        self.parents += [after if parent == TIP else start + parent for parent in menu.parents]
        return start, [(after if node == TIP else start + node, token) for node, token in menu.edges]

    def graft_some(self, menu: Menu, nodes: Sequence[int]) -> dict[int, int]:
        """Append some of a menu's inner tokens to the tip, parents before children; returns where each is."""
        placed = {TIP: TIP}
        for node in nodes:
            self.parents.append(placed[menu.parents[node]])
            placed[node] = len(self.tokens)
            self.tokens.append(menu.tokens[node])
        del placed[TIP]
        return placed


@dataclass
class Menu:
    """A set of labels as a tree of tokens, so that one forward pass reads the probability of each.

    Inner tokens, those that some label goes on from, are fed side by side; no attention runs between
    branches. An edge is a token whose probability is read at the node before it. A label's probability is
    the product along the tokens that spell it the tokenizer's way.
    """

    tokens: list[int]
    """Inner tokens; none when every label is one token."""
    parents: list[int]
    """For each inner token, the inner token before it, or `TIP`."""
    edges: list[tuple[int, int]]
    """(inner token or `TIP`, token read after it)."""
    paths: np.ndarray[Any, Any]
    """(labels, longest path) indexes into `edges`; `len(edges)` fills up."""
    fed: list[list[int]]
    """For each label, the inner tokens that spell its beginning."""
    rest: list[tuple[int, ...]]
    """For each label, the tokens of it that are still to be fed once it is chosen."""

    @classmethod
    def of(cls, paths: Sequence[tuple[int, ...]], ended: int = 0) -> Menu:
        """Build from the labels' tokens; the last `ended` of each belong to what follows the label."""
        import numpy as np

        inner: dict[tuple[int, ...], int] = {}
        for path in paths:
            for length in range(1, len(path)):
                inner.setdefault(path[:length], len(inner))
        edges: dict[tuple[int, int], int] = {}
        table = np.zeros((len(paths), max(map(len, paths))), dtype=np.int64)
        walked = []
        for path in paths:
            steps = [(inner.get(path[:i], TIP), token) for i, token in enumerate(path)]
            walked.append([edges.setdefault(step, len(edges)) for step in steps])
        table[:] = len(edges)
        for row, steps_of in zip(table, walked, strict=True):
            row[: len(steps_of)] = steps_of
        fed = [[inner[path[:i]] for i in range(1, len(path))] for path in paths]
        return cls(
            tokens=[prefix[-1] for prefix in inner],
            parents=[inner.get(prefix[:-1], TIP) for prefix in inner],
            edges=list(edges),
            paths=table,
            fed=fed,
            rest=[() if ended else path[-1:] for path in paths],
        )

    @cached_property
    def trunk(self) -> list[int]:
        """Indexes of the edges that are read at the tip: the labels' first tokens."""
        return [index for index, (node, _) in enumerate(self.edges) if node == TIP]

    def promising(self, first: np.ndarray[Any, Any], least: float) -> list[int]:
        """Inner tokens of the labels whose first token has at least this log-probability; `first` are the
        log-probabilities of `trunk`."""
        starts = (self.edges[edge][1] for edge in self.trunk)
        chosen = {token for token, score in zip(starts, first, strict=True) if score >= least}
        nodes: dict[int, None] = {}
        for node, (token, parent) in enumerate(zip(self.tokens, self.parents, strict=True)):
            if (token in chosen) if parent == TIP else (parent in nodes):
                nodes[node] = None
        return list(nodes)

    def known(self, scores: np.ndarray[Any, Any], nodes: Sequence[int]) -> float:
        """Log-probability of all labels together that first tokens and these inner ones spell."""
        import numpy as np

        read = np.array([node == TIP or node in nodes for node, _ in self.edges] + [True])
        logs = np.append(scores, 0.0)[self.paths].sum(axis=1, dtype=np.float64)
        return float(np.logaddexp.reduce(logs[read[self.paths].all(axis=1)]))

    @cached_property
    def even(self) -> np.ndarray[Any, Any]:
        """(edges,) log-probabilities of edges if each token that may follow were as likely as the others."""
        import numpy as np

        siblings = Counter(node for node, _ in self.edges)
        return np.array([-np.log(siblings[node]) for node, _ in self.edges], dtype=np.float32)

    def probabilities(self, scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Probabilities of the labels, summing to 1, from the edges' log-probabilities."""
        import numpy as np

        logs = np.append(scores, 0.0)[self.paths].sum(axis=1, dtype=np.float64)
        weights = np.exp(logs - logs.max())
        shares: np.ndarray[Any, Any] = weights / weights.sum()
        return shares


class PhraseCache:
    """Which token follows which, to guess what a free text will say. A guess only saves rounds: what is
    written is the model's own choice. Nothing is kept from one form to the next, since a text that is fed in
    other portions differs in the last digits of its numbers.

    Args:
        texts: phrases, as tokens, that the model is known to write.
    """

    def __init__(self, texts: Iterable[Sequence[int]] = ()) -> None:
        self._next: ChainMap[tuple[int, ...], int] = ChainMap({})
        for text in texts:
            self.learn(text)

    def own(self) -> PhraseCache:
        """Habits that know the same, and learn on their own."""
        child = PhraseCache()
        child._next = self._next.new_child()
        return child

    def learn(self, text: Sequence[int]) -> None:
        for last, token in zip(text, text[1:], strict=False):
            self._next[(last,)] = token
        for before, last, token in zip(text, text[1:], text[2:], strict=False):
            self._next[before, last] = token

    def guess(self, written: Sequence[int], most: int) -> list[int]:
        """Up to `most` tokens that may follow what is written of a text."""
        tail, guessed = tuple(written[-2:]), list[int]()
        while tail and len(guessed) < most:
            token = self._next.get(tail, self._next.get(tail[-1:]))
            if token is None:
                break
            guessed.append(token)
            tail = (tail[-1], token)
        return guessed


def _one_begins_another(paths: Sequence[tuple[int, ...]]) -> bool:
    ordered = sorted(paths)
    return any(b[: len(a)] == a for a, b in zip(ordered, ordered[1:], strict=False))


def _parts(content: str | Sequence[dict[str, Any]]) -> Sequence[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _unpadded(tokenizer: Any) -> Any:
    copied = copy.deepcopy(tokenizer)
    copied.no_padding()
    copied.no_truncation()
    return copied
