"""The probabilities of alternative texts, read from the last token boundary that all of them share."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from judge.backends.decoding.natural.vocabulary import CONTEXT_TOKENS, Agreement, TokenTable
from judge.backends.decoding.program import check_not_nan

MIN_SHARE = 1e-5
"""A token that agrees with several alternatives is followed if it holds at least this share of what the
alternatives hold together."""
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
        may_follow: see `Boundary.open_choice`.

    Returns:
        The tokens; their owners are positions in `owners`.
    """
    rests = tuple(texts[owner][offset:] for owner in owners)
    follow = tuple(
        may_follow(owner) if vocabulary.has_extension(rest) else ()
        for owner, rest in zip(owners, rests, strict=True)
    )
    return vocabulary.agreement(rests, follow)


ReadResult = Sequence["NDArray[np.floating[Any]]"]
"""For each node of a `Read`, the log-probabilities of its tokens."""


@dataclass
class Read:
    """An operation of a row: feed tokens, then read log-probabilities at one or several nodes."""

    commit: list[int]
    """Tokens that are fed for good."""
    nodes: list[tuple[Path, tuple[int, ...]]]
    """For each node, the tokens that are fed after the committed ones to reach it, and the tokens whose
    log-probability is read there."""
    draft: Draft | None = None
    """What is probably read next; what runs the operation may read it in the same pass, or ignore it."""


class Draft(Protocol):
    """The operations that follow a `Read` if every label is the expected one."""

    def reads(self) -> Iterator[Read]:
        """Yield these operations; the commit of each follows that of the one before."""
        ...

    def learn(self, results: Sequence[ReadResult]) -> None:
        """Note which labels are to be expected from now on.

        Args:
            results: results of the first of these operations.
        """
        ...


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

    def open_choice(
        self, labels: Sequence[bytes], following: Sequence[bytes], may_follow: MayFollow, blank: str
    ) -> OpenChoice:
        """Move the boundary past the tokens that all alternatives begin with.

        Args:
            labels: the labels. A label may stand several times, with other texts after it.
            following: for each label, the literal text after it.
            may_follow: returns what may follow after a label and its literal; called only if some token
                reaches beyond them.
            blank: path of the blank, for errors.

        Returns:
            The alternatives after the boundary.
        """
        chosen = [self.pending + label for label in labels]
        texts = [text + after for text, after in zip(chosen, following, strict=True)]
        paths = self.vocabulary.encode_labels(self.context, self.pending, labels, following)
        common = list(common_prefix(paths))
        start = len(self.vocabulary.text(common))
        self.advance(common, b"")
        rests, paths = [text[start:] for text in texts], [path[len(common) :] for path in paths]
        firsts = {label: index for index, label in reversed(list(enumerate(labels)))}
        groups = [firsts[label] for label in labels]
        reader = _AlternativeReader(self.vocabulary, rests, paths, groups, may_follow, blank)
        return OpenChoice(self, common, [text[start:] for text in chosen], reader)


@dataclass
class OpenChoice:
    """Alternatives after a boundary, of which none is chosen yet."""

    boundary: Boundary
    commit: list[int]
    """The tokens that were moved past."""
    texts: list[bytes]
    """What is pending after each label."""
    reader: _AlternativeReader

    def read(self, draft: Draft | None = None) -> Generator[Read, ReadResult, Shares]:
        """Read the probabilities of the labels, and append the likeliest.

        Args:
            draft: what is probably read after the choice.

        Yields:
            Operations of the row.

        Returns:
            The shares of the labels.
        """
        shares = yield from self.reader.read(self.commit, draft)
        self.settle(self._likeliest(shares.probabilities))
        return shares

    def settle(self, index: int) -> None:
        """Append a label."""
        self.boundary.pending = self.texts[index]

    def expected_read(self) -> Read:
        """Return the first operation of `read`, as if nothing were known of the place."""
        return self.reader.first_read(self.commit)

    def likely_label(self, result: ReadResult) -> int:
        """Return the label that seems to be the likeliest, by the result of `expected_read` alone."""
        return self._likeliest(np.exp(self.reader.estimate(result)))

    def _likeliest(self, shares: NDArray[np.float64]) -> int:
        sums: dict[bytes, float] = {}
        for text, share in zip(self.texts, shares.tolist(), strict=True):
            sums[text] = sums.get(text, 0.0) + share
        return self.texts.index(max(sums, key=lambda text: sums[text]))


@dataclass(frozen=True)
class _Node:
    path: Path
    owners: tuple[int, ...]
    """Indexes of the alternatives that agree with the path."""
    offset: int
    """Number of bytes of the path."""
    log: float
    """Log-probability of the path."""


_Known = dict[Path, tuple[Agreement, "NDArray[np.float64]"]]
"""Path of a node -> its tokens, and their log-probabilities."""


def _places(nodes: Sequence[_Node], agreements: Sequence[Agreement]) -> list[tuple[Path, tuple[int, ...]]]:
    """Return the nodes of a `Read`."""
    return [(node.path, agreement.tokens) for node, agreement in zip(nodes, agreements, strict=True)]


@dataclass
class _AlternativeReader:
    """Distributes the probability after a boundary over alternatives."""

    vocabulary: TokenTable
    texts: Sequence[bytes]
    """What remains of each alternative after the boundary."""
    paths: Sequence[Path]
    """The same as the tokenizer would write it."""
    groups: Sequence[int]
    """For each alternative, the first one with the same label: these need not be told apart."""
    may_follow: MayFollow
    blank: str
    logs: NDArray[np.float64] = field(init=False)
    """(alternatives,) log-probabilities found so far."""

    def read(self, commit: list[int], draft: Draft | None = None) -> Generator[Read, ReadResult, Shares]:
        """Read the nodes that matter, starting at the boundary after some tokens."""
        self.logs = np.full(len(self.texts), -math.inf)
        known: _Known = {}
        waiting = [self._root]
        wanted = [*waiting, *(self._first_nodes() if commit else ())]
        while wanted:
            agreements = [self._agreement(node) for node in wanted]
            result = yield Read(commit, _places(wanted, agreements), draft)
            commit = []
            known |= self._check(wanted, agreements, result)
            waiting = self._resolve_all(waiting, known)
            total = np.logaddexp.reduce([*self.logs, *(node.log for node in waiting)])
            wanted = [node for node in waiting if node.log >= total + math.log(MIN_SHARE)]
        return self._shares()

    def first_read(self, commit: list[int]) -> Read:
        """Return the first operation of `read` after tokens that are not fed yet."""
        nodes = [self._root, *self._first_nodes()]
        return Read(commit, _places(nodes, [self._agreement(node) for node in nodes]))

    def estimate(self, result: ReadResult) -> NDArray[np.float64]:
        """Estimate the log-probabilities of the alternatives from the result of `first_read` alone.

        What is not told apart yet counts for the first of its alternatives.
        """
        self.logs = np.full(len(self.texts), -math.inf)
        nodes = [self._root, *self._first_nodes()]
        known = self._check(nodes, [self._agreement(node) for node in nodes], result)
        for node in self._resolve_all([self._root], known):
            self.logs[node.owners[0]] = np.logaddexp(self.logs[node.owners[0]], node.log)
        return self.logs

    @property
    def _root(self) -> _Node:
        return _Node((), tuple(range(len(self.texts))), 0, 0.0)

    def _check(self, nodes: Sequence[_Node], agreements: Sequence[Agreement], result: ReadResult) -> _Known:
        return {
            node.path: (agreement, check_not_nan(np.asarray(scores, dtype=np.float64), self.blank))
            for node, agreement, scores in zip(nodes, agreements, result, strict=True)
        }

    def _first_nodes(self) -> list[_Node]:
        """Return the nodes that are read with the first one.

        These are the tokens that several alternatives agree with, and those behind them, as far as they are
        few. If there are many at once, they are those on the tokenizer's own paths, or none.
        """
        nodes, level = list[_Node](), [self._root]
        while level:
            children = [child for node in level for child in self._children(node)]
            if len(nodes) + len(children) > self.vocabulary.max_first_nodes:
                break
            nodes += children
            level = children
        return nodes or self._shared_paths()

    def _children(self, node: _Node) -> list[_Node]:
        """Return the nodes behind one that several labels share."""
        agreement = self._agreement(node)
        found = []
        for index in agreement.shared:
            owners = tuple(node.owners[owner] for owner in agreement.owners[index])
            if len({self.groups[owner] for owner in owners}) > 1:
                path = (*node.path, agreement.tokens[index])
                found.append(_Node(path, owners, node.offset + agreement.lengths[index], 0.0))
        return found

    def _shared_paths(self) -> list[_Node]:
        """Return the nodes on the tokenizer's own paths that several alternatives share."""
        counts = Counter(path[:length] for path in self.paths for length in range(1, len(path)))
        shared = [path for path, count in counts.items() if count > 1]
        if len(shared) > self.vocabulary.max_first_nodes:
            return []
        nodes = []
        for path in shared:
            text = self.vocabulary.text(path)
            owners = tuple(n for n, other in enumerate(self.texts) if other.startswith(text))
            if len({self.groups[owner] for owner in owners}) > 1:
                nodes.append(_Node(path, owners, len(text), 0.0))
        return nodes

    def _agreement(self, node: _Node) -> Agreement:
        return agree(self.vocabulary, self.texts, node.owners, node.offset, self.may_follow)

    def _resolve_all(self, nodes: Sequence[_Node], known: _Known) -> list[_Node]:
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
        """Count the tokens of a node for their alternatives; returns those with several labels."""
        owners = np.array(node.owners)
        np.logaddexp.at(self.logs, owners[agreement.single_owners], node.log + scores[agreement.singles])
        children = []
        for index in agreement.shared:
            found = tuple(node.owners[owner] for owner in agreement.owners[index])
            log = float(node.log + scores[index])
            if len({self.groups[owner] for owner in found}) == 1:
                self.logs[found[0]] = np.logaddexp(self.logs[found[0]], log)
            elif log > -math.inf:
                path = (*node.path, agreement.tokens[index])
                children.append(_Node(path, found, node.offset + agreement.lengths[index], log))
        return children

    def _shares(self) -> Shares:
        total = float(np.logaddexp.reduce(self.logs))
        if total == -math.inf:
            return Shares(np.full(len(self.logs), 1 / len(self.logs)), 0.0)
        weights = np.exp(self.logs - self.logs.max())
        return Shares(weights / weights.sum(), min(1.0, math.exp(total)))
