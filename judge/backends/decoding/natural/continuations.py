"""What may follow in a form: the texts after an answer, up to a free text or a limit."""

from __future__ import annotations

from collections.abc import Sequence

from judge.errors import ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Branch, Choice, Literal, Piece, Text

MAX_CONTINUATION = 24
"""Greatest number of bytes of a text that is known after an answer."""
MAX_CONTINUATIONS = 64
"""Greatest number of such texts. If a blank has more labels, the texts end before it."""

MAX_FOLLOWING = 48
"""Greatest number of bytes of the literal after a label that the label is encoded with."""


def continuations(form: Form, answers: Sequence[str], limit: int = MAX_CONTINUATION) -> tuple[bytes, ...]:
    """Return what may follow in a form after some answers.

    Args:
        form: the form.
        answers: answers to the first blanks of its walk.
        limit: the texts end after so many bytes.

    Returns:
        Texts, each followed by something unknown or, at the end of the form, by nothing. Empty if the form
        has ended with the answers.
    """
    found: list[bytes] = []
    _extend(form, list(answers), b"", limit, found)
    texts = tuple(dict.fromkeys(found))
    return texts if texts != (b"",) or _next_blank(form, answers)[1] is not None else ()


def following_literal(form: Form, answers: Sequence[str]) -> bytes:
    """Return the literal text between the last of the answers and the next blank, or the end."""
    return _next_blank(form, answers)[0]


def literals_after(form: Form, answers: Sequence[str], blank: Choice | Branch) -> list[bytes]:
    """Return the literal text after each label of a blank, cut to `MAX_FOLLOWING` bytes.

    Args:
        form: the form.
        answers: answers to the blanks before.
        blank: the blank, as the walk yields it.
    """
    if isinstance(blank, Choice):
        return [_cut(blank.next_literal.encode())] * len(blank.labels)
    return [_cut(following_literal(form, [*answers, label])) for label in blank.labels]


def texts_after(form: Form, answers: Sequence[str], label: str, literal: bytes) -> tuple[bytes, ...]:
    """Return what may follow after a label and the literal that `literals_after` gives for it.

    Args:
        form: the form.
        answers: answers to the blanks before.
        label: the label.
        literal: the literal.
    """
    found = continuations(form, [*answers, label], len(literal) + MAX_CONTINUATION)
    return tuple(text[len(literal) :] for text in found)


def _cut(text: bytes) -> bytes:
    """Cut a text to `MAX_FOLLOWING` bytes, at a whole character."""
    return text if len(text) <= MAX_FOLLOWING else text[:MAX_FOLLOWING].decode("utf-8", "ignore").encode()


def _extend(form: Form, answers: list[str], text: bytes, limit: int, found: list[bytes]) -> None:
    literal, blank = _next_blank(form, answers)
    text += literal
    labels = () if blank is None or isinstance(blank, Text | Literal) else blank.labels
    if len(text) >= limit or not labels or len(labels) + len(found) > MAX_CONTINUATIONS:
        found.append(text[:limit])
        return
    for label in labels:
        _extend(form, [*answers, label], text + label.encode(), limit, found)


def _next_blank(form: Form, answers: Sequence[str]) -> tuple[bytes, Piece | None]:
    """Return the literal text after some answers, and the blank after it; None at the end of the form."""
    walk, remaining, text = form.walk(), iter(answers), ""
    left = len(answers)
    try:
        piece = next(walk)
        while True:
            if isinstance(piece, Literal):
                text += "" if left else piece.text
                piece = walk.send("")
                continue
            if not left:
                return text.encode(), piece
            left -= 1
            piece = walk.send(next(remaining))
    except (StopIteration, ReplyError):
        return text.encode(), None
