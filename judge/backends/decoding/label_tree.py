"""Trees of tokens: what a row feeds in one forward pass, and the labels of a blank as such a tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

ROOT = -1
"""Parent of a token that directly follows what the row has read so far."""


@dataclass
class TokenTree:
    """Tokens to feed to one row in one forward pass, as a tree that starts after what the row has read."""

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    """For each token, the index in `tokens` of the token before it, or `ROOT`."""

    def append_chain(self, tokens: Sequence[int], parent: int) -> int:
        """Append tokens that follow each other.

        Args:
            tokens: the tokens.
            parent: index of the token before the first of them, or `ROOT`.

        Returns:
            Index of the last token; `parent` if there are no tokens.
        """
        for token in tokens:
            self.tokens.append(token)
            self.parents.append(parent)
            parent = len(self.tokens) - 1
        return parent

    def append_label_tree(self, tree: LabelTree, parent: int) -> tuple[int, list[tuple[int, int]]]:
        """Append the inner tokens of a label tree.

        Args:
            tree: the label tree.
            parent: index of the token before the labels, or `ROOT`.

        Returns:
            Index of the first appended token, and the edges of the label tree with indexes into this tree.
        """
        start = len(self.tokens)
        self.tokens += tree.tokens
        self.parents += [parent if before == ROOT else start + before for before in tree.parents]
        return start, [(parent if node == ROOT else start + node, token) for node, token in tree.edges]

    def append_branches(self, tree: LabelTree, nodes: Sequence[int]) -> dict[int, int]:
        """Append some inner tokens of a label tree at the root.

        Args:
            tree: the label tree.
            nodes: indexes of its inner tokens, parents before children.

        Returns:
            For each of the nodes, its index in this tree.
        """
        placed = {ROOT: ROOT}
        for node in nodes:
            self.parents.append(placed[tree.parents[node]])
            placed[node] = len(self.tokens)
            self.tokens.append(tree.tokens[node])
        del placed[ROOT]
        return placed


@dataclass
class LabelTree:
    """A set of labels as a tree of tokens, so that one forward pass reads the probability of each label.

    Inner tokens are the tokens that some label continues after. They are fed side by side, without attention
    between branches. An edge is a token whose probability is read at the node before it. The probability of a
    label is the product over the tokens of its standard tokenization.
    """

    tokens: list[int]
    """Inner tokens; empty if every label is a single token."""
    parents: list[int]
    """For each inner token, the index of the inner token before it, or `ROOT`."""
    edges: list[tuple[int, int]]
    """(index of an inner token or `ROOT`, token that is read after it)."""
    paths: np.ndarray[Any, Any]
    """(paths, longest path) indexes into `edges`, padded with `len(edges)`."""
    inner_nodes: list[list[int]]
    """For each label, the indexes of the inner tokens on its path."""
    unfed_tokens: list[tuple[int, ...]]
    """For each label, the tokens that still have to be fed once it is chosen."""
    owners: np.ndarray[Any, Any] | None = None
    """(paths,) index of the label of each path, if labels have several; the probability of such a label is
    the sum over its paths. None: path and label are the same."""

    @classmethod
    def from_paths(cls, paths: Sequence[tuple[int, ...]], end_length: int = 0) -> LabelTree:
        """Build the tree.

        Args:
            paths: the tokens of each label.
            end_length: number of tokens at the end of each path that belong to the text after the label.

        Returns:
            The tree.
        """
        import numpy as np

        inner: dict[tuple[int, ...], int] = {}
        for path in paths:
            for length in range(1, len(path)):
                inner.setdefault(path[:length], len(inner))
        edges: dict[tuple[int, int], int] = {}
        table = np.zeros((len(paths), max(map(len, paths))), dtype=np.int64)
        edge_paths = []
        for path in paths:
            steps = [(inner.get(path[:i], ROOT), token) for i, token in enumerate(path)]
            edge_paths.append([edges.setdefault(step, len(edges)) for step in steps])
        table[:] = len(edges)
        for row, edge_path in zip(table, edge_paths, strict=True):
            row[: len(edge_path)] = edge_path
        return cls(
            tokens=[prefix[-1] for prefix in inner],
            parents=[inner.get(prefix[:-1], ROOT) for prefix in inner],
            edges=list(edges),
            paths=table,
            inner_nodes=[[inner[path[:i]] for i in range(1, len(path))] for path in paths],
            unfed_tokens=[() if end_length else path[-1:] for path in paths],
        )

    @cached_property
    def root_edges(self) -> list[int]:
        """Indexes of the edges at the root: the first tokens of the labels."""
        return [index for index, (node, _) in enumerate(self.edges) if node == ROOT]

    def select_nodes(self, root_scores: np.ndarray[Any, Any], threshold: float) -> list[int]:
        """Select the inner tokens of the labels with a likely first token.

        Args:
            root_scores: log-probabilities of `root_edges`.
            threshold: least log-probability of the first token.

        Returns:
            Indexes of inner tokens, parents before children.
        """
        first_tokens = (self.edges[edge][1] for edge in self.root_edges)
        likely = {token for token, score in zip(first_tokens, root_scores, strict=True) if score >= threshold}
        nodes: dict[int, None] = {}
        for node, (token, parent) in enumerate(zip(self.tokens, self.parents, strict=True)):
            if (token in likely) if parent == ROOT else (parent in nodes):
                nodes[node] = None
        return list(nodes)

    def total_log_probability(self, scores: np.ndarray[Any, Any], nodes: Sequence[int]) -> float:
        """Sum the probabilities of the labels that were read whole.

        Args:
            scores: log-probabilities of the edges.
            nodes: inner tokens whose edges were read, besides those at the root.

        Returns:
            Log-probability of these labels together.
        """
        import numpy as np

        is_read = np.array([node == ROOT or node in nodes for node, _ in self.edges] + [True])
        logs = np.append(scores, 0.0)[self.paths].sum(axis=1, dtype=np.float64)
        return float(np.logaddexp.reduce(logs[is_read[self.paths].all(axis=1)]))

    @cached_property
    def uniform_scores(self) -> np.ndarray[Any, Any]:
        """(edges,) log-probabilities of the edges if all tokens at a node were equally likely."""
        import numpy as np

        siblings = Counter(node for node, _ in self.edges)
        return np.array([-np.log(siblings[node]) for node, _ in self.edges], dtype=np.float32)

    def label_probabilities(self, scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Compute the probabilities of the labels.

        Args:
            scores: (edges,) log-probabilities of the edges.

        Returns:
            (labels,) probabilities, summing to 1.
        """
        import numpy as np

        logs = self._label_logs(scores)
        weights = np.exp(logs - logs.max())
        shares: np.ndarray[Any, Any] = weights / weights.sum()
        return shares if self.owners is None else np.bincount(self.owners, shares)

    def label_mass(self, scores: np.ndarray[Any, Any]) -> float:
        """Compute the probability of all labels together.

        Args:
            scores: (edges,) log-probabilities of the edges, of the model itself.
        """
        import numpy as np

        return float(np.exp(self._label_logs(scores)).sum())

    def _label_logs(self, scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Return the (paths,) log-probabilities of the paths."""
        import numpy as np

        logs: np.ndarray[Any, Any] = np.append(scores, 0.0)[self.paths].sum(axis=1, dtype=np.float64)
        return logs
