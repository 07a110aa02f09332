"""What is read next in a form if every label is the expected one: a draft, to be read in one pass.

A row of a form that is filled from left to right needs a pass for each label, and a pass over few tokens
takes about as long as one over many, because all weights are read. So the rest of the form, up to the next
free text, is read along behind labels that are expected. As far as the expected labels are those that are
chosen, what was read is what would have been read one by one. From the first other label on, it only says
which labels to expect behind that one. (Jacobi decoding, arXiv 2305.10427, with the check of speculative
decoding, arXiv 2211.17192, for labels in place of tokens.)
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace

from judge.backends.decoding.natural.alternatives import Boundary, OpenChoice, Read, ReadResult
from judge.backends.decoding.natural.continuations import literals_after, texts_after
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Branch, Choice, Literal, Piece, Text


def open_blank(boundary: Boundary, form: Form, answers: Sequence[str], blank: Choice | Branch) -> OpenChoice:
    """Return the labels of a blank as alternatives.

    Args:
        boundary: the end of what was fed before the blank; it is moved.
        form: the form.
        answers: answers to the blanks before.
        blank: the blank, as the walk yields it.
    """
    labels, following = blank.labels, literals_after(form, answers, blank)
    before = list(answers)
    return boundary.open_choice(
        [label.encode() for label in labels],
        following,
        lambda index: texts_after(form, before, labels[index], following[index]),
        blank.name,
    )


def default_label(blank: Choice | Branch) -> str:
    """Return the label to expect at a blank of which nothing is known.

    It is the first one, but for numbers the one in the middle, and a list is expected to end.
    """
    if isinstance(blank, Branch):
        return blank.closing
    are_numbers = all(label.isdecimal() for label in blank.labels)
    return blank.labels[len(blank.labels) // 2 if are_numbers else 0]


@dataclass
class FormDraft:
    """The reads that follow a choice in a form; see `judge.backends.decoding.natural.alternatives.Draft`."""

    choice: OpenChoice
    """The choice, which is made before."""
    form: Form
    boundary: Boundary
    """The boundary at the choice. It is moved."""
    answers: list[str]
    """Answers to the blanks before."""
    piece_count: int
    """Number of pieces before, literals included."""
    expected: dict[str, str]
    """Path of a blank -> the label to expect. It is changed."""
    _choices: list[tuple[Choice | Branch, OpenChoice]] = field(default_factory=list)

    def reads(self) -> Iterator[Read]:
        """Yield the reads up to the next free text."""
        boundary, answers = replace(self.boundary), list(self.answers)
        self._choices = []
        walk, piece = self._walk()
        assert isinstance(piece, Choice | Branch)
        answer = self._expect(piece)
        replace(self.choice, boundary=boundary).settle(piece.labels.index(answer))
        answers.append(answer)
        try:
            while True:
                piece = walk.send(answer)
                if isinstance(piece, Text):
                    return
                answer = piece.text if isinstance(piece, Literal) else self._expect(piece)
                if isinstance(piece, Literal) or len(piece.labels) == 1:
                    boundary.pending += answer.encode()
                else:
                    choice = open_blank(boundary, self.form, answers, piece)
                    self._choices.append((piece, choice))
                    yield choice.expected_read()
                    choice.settle(piece.labels.index(answer))
                if isinstance(piece, Literal):
                    answer = ""
                else:
                    answers.append(answer)
        except StopIteration:
            return

    def learn(self, results: Sequence[ReadResult]) -> None:
        """Expect the labels that were the likeliest."""
        for (blank, choice), result in zip(self._choices, results, strict=False):
            self.expected[blank.name] = blank.labels[choice.likely_label(result)]

    def _walk(self) -> tuple[Generator[Piece, str, None], Piece]:
        """Walk the form up to the choice; returns the walk and the piece that it is at."""
        walk, answers = self.form.walk(), iter(self.answers)
        piece = next(walk)
        for _ in range(self.piece_count):
            piece = walk.send("" if isinstance(piece, Literal) else next(answers))
        return walk, piece

    def _expect(self, blank: Choice | Branch) -> str:
        label = self.expected.get(blank.name)
        return label if label in blank.labels else default_label(blank)
