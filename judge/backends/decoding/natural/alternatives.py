"""The probabilities of alternative texts, read from the last token boundary that all of them share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from judge.backends.decoding.natural.vocabulary import CONTEXT_TOKENS, Agreement, TokenTable
from judge.backends.decoding.program import check_not_nan

MIN_SHARE = 1e-5
"""A token that agrees with several alternatives is followed if it holds at least this share of what the
alternatives hold together."""
MAX_FIRST_NODES = 8
"""Greatest number of tokens that are followed at once, before their probability is known."""
Path = tuple[int, ...]
MayFollow = Callable[[int], tuple[bytes, ...]]
"""Index of a label -> what may follow after the label and its literal (`continuations`)."""


def common_prefix(paths: Sequence[Path]) -> Path:
    """Return the tokens that all paths begin with."""
    first, last = min(paths), max(paths)
    length = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[: min(length, len(last))]


def agree(
    vocabulary: TokenTable,
    texts: Sequence[bytes],
    owners: Sequence[int],
    offset: int,
    may_follow: MayFollow,
) -> Agreement:
    """Find the tokens that agree with some alternatives from an offset on.

    Args:
        vocabulary: the model's.
        texts: all alternatives.
        owners: indexes of those to look at.
        offset: number of bytes that they share and that are fed.
        may_follow: see `Boundary.choose`.

    Returns:
        The tokens; their owners are positions in `owners`.
    """
    rests = tuple(texts[owner][offset:] for owner in owners)
    follow = tuple(
        may_follow(owner) if vocabulary.has_extension(rest) else ()
        for owner, rest in zip(owners, rests, strict=True)
    )
    return vocabulary.agreement(rests, follow)


@dataclass
class Read:
    """An operation of a row: feed tokens, then read log-probabilities at one or several nodes."""

    commit: list[int]
    """Tokens that are fed for good."""
    nodes: list[tuple[Path, tuple[int, ...]]]
    """For each node, the tokens that are fed after the committed ones to reach it, and the tokens whose
    log-probability is read there."""


ReadResult = Sequence["NDArray[np.floating[Any]]"]
"""For each node of a `Read`, the log-probabilities of its tokens."""


@dataclass
class Shares:
    """What was read at one blank."""

    probabilities: NDArray[np.float64]
    """(alternatives,), summing to 1."""
    mass: float
    """Probability that the model gives to all alternatives together."""


@dataclass
class Boundary:
    """The end of what was fed, and the text that is decided but not fed."""

    vocabulary: TokenTable
    context: Path = ()
    """The last tokens that were fed, at most `CONTEXT_TOKENS`. Tokens before the answer do not count."""
    pending: bytes = b""
    """Text after them that is decided."""

    def advance(self, tokens: Sequence[int], pending: bytes) -> None:
        """Move the boundary past tokens.

        Args:
            tokens: the tokens that were fed.
            pending: the decided text after them.
        """
        self.context = (*self.context, *tokens)[-CONTEXT_TOKENS:]
        self.pending = pending

    def encode(self, text: bytes) -> Path:
        """Encode a text that follows what was fed."""
        return self.vocabulary.encode_after(self.context, text)

    def choose(
        self, labels: Sequence[bytes], following: Sequence[bytes], may_follow: MayFollow, blank: str
    ) -> Generator[Read, ReadResult, Shares]:
        """Read the probabilities of alternative labels after the pending text, and append the likeliest.

        The tokens that all alternatives begin with are fed.

        Args:
            labels: the labels.
            following: for each label, the literal text after it.
            may_follow: returns what may follow after a label and its literal; called only if some token
                reaches beyond them.
            blank: path of the blank, for errors.

        Yields:
            Operations of the row.

        Returns:
            The shares of the labels.
        """
        chosen = [self.pending + label for label in labels]
        texts = [text + after for text, after in zip(chosen, following, strict=True)]
        paths = self.vocabulary.encode_labels(self.context, self.pending, labels, following)
        common = list(common_prefix(paths))
        start = len(self.vocabulary.text(common))
        self.advance(common, b"")
        rests, paths = [text[start:] for text in texts], [path[len(common) :] for path in paths]
        reader = _AlternativeReader(self.vocabulary, rests, paths, may_follow, blank)
        shares = yield from reader.read(common)
        self.pending = chosen[int(shares.probabilities.argmax())][start:]
        return shares


@dataclass(frozen=True)
class _Node:
    path: Path
    owners: tuple[int, ...]
    """Indexes of the alternatives that agree with the path."""
    offset: int
    """Number of bytes of the path."""
    log: float
    """Log-probability of the path."""


@dataclass
class _AlternativeReader:
    """Distributes the probability after a boundary over alternatives."""

    vocabulary: TokenTable
    texts: Sequence[bytes]
    """What remains of each alternative after the boundary."""
    paths: Sequence[Path]
    """The same as the tokenizer would write it."""
    may_follow: MayFollow
    blank: str
    logs: NDArray[np.float64] = field(init=False)
    """(alternatives,) log-probabilities found so far."""

    def read(self, commit: list[int]) -> Generator[Read, ReadResult, Shares]:
        """Read the nodes that matter, starting at the boundary after some tokens."""
        self.logs = np.full(len(self.texts), -math.inf)
        known: dict[Path, tuple[Agreement, NDArray[np.float64]]] = {}
        waiting = [_Node((), tuple(range(len(self.texts))), 0, 0.0)]
        wanted = [*waiting, *(self._first_nodes() if commit else ())]
        while wanted:
            agreements = [self._agreement(node) for node in wanted]
            pairs = list(zip(wanted, agreements, strict=True))
            results = yield Read(commit, [(node.path, agreement.tokens) for node, agreement in pairs])
            commit = []
            for (node, agreement), result in zip(pairs, results, strict=True):
                scores = check_not_nan(np.asarray(result, dtype=np.float64), self.blank)
                known[node.path] = agreement, scores
            waiting = self._resolve_all(waiting, known)
            total = np.logaddexp.reduce([*self.logs, *(node.log for node in waiting)])
            wanted = [node for node in waiting if node.log >= total + math.log(MIN_SHARE)]
        return self._shares()

    def _first_nodes(self) -> list[_Node]:
        """Return the nodes on the tokenizer's own paths that several alternatives share."""
        counts = Counter(path[:length] for path in self.paths for length in range(1, len(path)))
        shared = [path for path, count in counts.items() if count > 1]
        if len(shared) > MAX_FIRST_NODES:
            return []
        nodes = []
        for path in shared:
            text = self.vocabulary.text(path)
            owners = tuple(n for n, other in enumerate(self.texts) if other.startswith(text))
            nodes.append(_Node(path, owners, len(text), 0.0))
        return nodes

    def _agreement(self, node: _Node) -> Agreement:
        return agree(self.vocabulary, self.texts, node.owners, node.offset, self.may_follow)

    def _resolve_all(
        self, nodes: list[_Node], known: Mapping[Path, tuple[Agreement, NDArray[np.float64]]]
    ) -> list[_Node]:
        """Resolve the nodes that were read, and those below them; returns the nodes that were not read."""
        waiting, stack = [], list(nodes)
        while stack:
            node = stack.pop()
            if node.path in known:
                stack += self._resolve(node, *known[node.path])
            else:
                waiting.append(node)
        return waiting

    def _resolve(self, node: _Node, agreement: Agreement, scores: NDArray[np.float64]) -> list[_Node]:
        """Count the tokens of a node for their alternatives; returns those that agree with several."""
        owners = np.array(node.owners)
        np.logaddexp.at(self.logs, owners[agreement.single_owners], node.log + scores[agreement.singles])
        return [
            _Node(
                (*node.path, agreement.tokens[index]),
                tuple(node.owners[owner] for owner in agreement.owners[index]),
                node.offset + agreement.lengths[index],
                float(node.log + scores[index]),
            )
            for index in agreement.shared
            if scores[index] > -math.inf
        ]

    def _shares(self) -> Shares:
        total = float(np.logaddexp.reduce(self.logs))
        if total == -math.inf:
            return Shares(np.full(len(self.logs), 1 / len(self.logs)), 0.0)
        weights = np.exp(self.logs - self.logs.max())
        return Shares(weights / weights.sum(), min(1.0, math.exp(total)))
