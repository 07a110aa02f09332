"""A form as the tokens that the tokenizer would write, with the labels of its blanks as trees.

For models that were tuned on the form, which all blanks are read of in one pass, and for gradients. Unlike in
`alternatives`, the probability of a label is that of its own tokens up to where no other label has them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from judge.backends.decoding.label_tree import LabelTree
from judge.backends.decoding.natural.alternatives import Boundary, Path, common_prefix
from judge.backends.decoding.natural.vocabulary import TokenTable


@dataclass
class CanonicalText:
    """A filled form that is encoded from left to right.

    Args:
        vocabulary: the model's.
    """

    vocabulary: TokenTable

    def __post_init__(self) -> None:
        self._boundary = Boundary(self.vocabulary)

    def append(self, text: str) -> None:
        """Append text that is not read."""
        self._boundary.pending += text.encode()

    def append_blank(
        self, labels: Sequence[str], following: Sequence[bytes], answer: str
    ) -> tuple[Path, LabelTree]:
        """Append a blank that is read.

        Args:
            labels: its labels.
            following: for each label, the literal text after it.
            answer: the label that the text goes on with.

        Returns:
            The tokens before the blank that were not returned yet, and the labels as a tree after them.
        """
        boundary = self._boundary
        texts = [label.encode() for label in labels]
        paths = self.vocabulary.encode_labels(boundary.context, boundary.pending, texts, following)
        common = common_prefix(paths)
        start = len(self.vocabulary.text(common))
        chosen = boundary.pending + answer.encode()
        boundary.advance(common, chosen[start:])
        return common, LabelTree.from_paths(_shorten([path[len(common) :] for path in paths]))

    def finish(self) -> Path:
        """Return the tokens of the rest of the text."""
        rest = self._boundary.encode(self._boundary.pending)
        self._boundary.advance(rest, b"")
        return rest


def _shorten(paths: Sequence[Path]) -> list[Path]:
    """Cut each path after the first token that tells it from all others."""
    shortened = []
    for path in paths:
        shared = max((len(common_prefix([path, other])) for other in paths if other != path), default=0)
        shortened.append(path[: shared + 1])
    return shortened
