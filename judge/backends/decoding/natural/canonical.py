"""A form as the tokens that the tokenizer would write, with the labels of its blanks as trees.

For models that were tuned on the form, of which all blanks are read in one pass, and for gradients. The
tokens that are read are those of `alternatives`, without knowing which of them matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from judge.backends.decoding.label_tree import LabelTree
from judge.backends.decoding.natural.alternatives import Boundary, MayFollow, Path, agree, common_prefix
from judge.backends.decoding.natural.continuations import literals_after, texts_after
from judge.backends.decoding.natural.vocabulary import TokenTable
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Branch, Choice

MAX_NODES = 64
"""Greatest number of tokens of one blank that are followed."""


@dataclass
class CanonicalText:
    """A filled form that is encoded from left to right.

    Args:
        vocabulary: the model's.
    """

    vocabulary: TokenTable

    def __post_init__(self) -> None:
        self._boundary = Boundary(self.vocabulary)
        self.first_tokens: list[int] = []
        """For each label of the last blank, the first token that the tokenizer would write for it there."""

    def append(self, text: str) -> None:
        """Append text that is not read."""
        self._boundary.pending += text.encode()

    def append_blank(
        self, blank: Choice | Branch, form: Form, answers: Sequence[str], answer: str
    ) -> tuple[Path, LabelTree]:
        """Append a blank that is read.

        Args:
            blank: the blank.
            form: its form.
            answers: answers to the blanks before it.
            answer: the label that the text goes on with.

        Returns:
            The tokens before the blank that were not returned yet, and the labels as a tree after them.
        """
        boundary, labels = self._boundary, blank.labels
        following = literals_after(form, answers, blank)
        texts = [label.encode() for label in labels]
        paths = self.vocabulary.encode_labels(boundary.context, boundary.pending, texts, following)
        common = common_prefix(paths) if len(paths) > 1 else ()
        start = len(self.vocabulary.text(common))
        rests = [
            (boundary.pending + label + after)[start:] for label, after in zip(texts, following, strict=True)
        ]
        self.first_tokens = [path[len(common)] for path in paths]
        chosen = boundary.pending + answer.encode()
        boundary.advance(common, chosen[start:])
        tree = _build_tree(
            self.vocabulary, rests, lambda n: texts_after(form, answers, labels[n], following[n])
        )
        return common, tree

    def finish(self) -> Path:
        """Return the tokens of the rest of the text."""
        rest = self._boundary.encode(self._boundary.pending)
        self._boundary.advance(rest, b"")
        return rest


def _build_tree(vocabulary: TokenTable, texts: Sequence[bytes], may_follow: MayFollow) -> LabelTree:
    """Build the tree of all tokens that agree with some alternatives.

    Args:
        vocabulary: the model's.
        texts: what remains of each alternative.
        may_follow: see `Boundary.open_choice`.

    Returns:
        The tree, whose paths end where a token agrees with one alternative only.
    """
    ends: dict[Path, int] = {}
    nodes: list[tuple[Path, tuple[int, ...], int]] = [((), tuple(range(len(texts))), 0)]
    for path, owners, offset in nodes:
        if len(nodes) > MAX_NODES and path:
            break
        agreement = agree(vocabulary, texts, owners, offset, may_follow)
        for token, found, length in zip(agreement.tokens, agreement.owners, agreement.lengths, strict=True):
            if len(found) == 1:
                ends[(*path, token)] = owners[found[0]]
            else:
                nodes.append(((*path, token), tuple(owners[n] for n in found), offset + length))
    tree = LabelTree.from_paths(list(ends))
    tree.owners = np.array(list(ends.values()), dtype=np.int64)
    return tree
