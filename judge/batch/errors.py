"""Errors of batch runs, and how an error travels between processes."""

from __future__ import annotations

from judge.errors import InputError, JudgeError

MAX_TEXT = 300
"""Characters of an error's text that are kept."""


class WorkersLost(JudgeError):
    """Workers died, and their rows were not judged by anyone else. The verdicts so far are kept."""


def encode_error(error: Exception) -> tuple[str, ...]:
    """Return an error as plain text, from which `decode_error` makes an error in another process.

    Args:
        error: any exception.

    Returns:
        The four fields of an `InputError`, or the text of any other error. Never empty.
    """
    if isinstance(error, InputError):
        return error.field, str(error.value), error.allowed, error.mend
    text = " ".join(str(error).split())[:MAX_TEXT]
    return (text if isinstance(error, JudgeError) else f"{type(error).__name__}: {text}",)


def decode_error(texts: tuple[str, ...]) -> JudgeError:
    """Return the error that `encode_error` encoded."""
    return InputError(*texts) if len(texts) == 4 else JudgeError(*texts)
