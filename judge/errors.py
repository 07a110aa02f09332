"""All errors that this package raises on purpose.

- `JudgeError`
    - `InputError`: a value that the caller passed is not usable
        - `MediaError`: the image or video cannot be read within the limits
        - `RubricError`: a rubric file, or a form built from it, is not valid
    - `BackendError`: the model cannot be loaded, reached or run
        - `ModelNotFoundError`: there is no such model here; also an `InputError`
        - `UnscoredBatchError`: nothing in a batch of a trainer could be scored
        - `UnavailableError`: a gateway cannot answer now
            - `OverloadedError`: it has no room (HTTP 429)
            - `EngineDownError`: it has no running engine (HTTP 503)
            - `DeadlineError`: the deadline passed (HTTP 504)
    - `ReplyError`: the reply of a model does not fit the form; the verdict becomes `unscored`

Every message is one line. `InputError` names the field, the value, what is allowed and what to do, so the
message alone is enough to correct the call.
"""

from __future__ import annotations

MAX_VALUE_CHARS = 80
"""Longer values are shortened in messages, in the middle: the end of a path is what names the file."""


def _shorten(value: object) -> str:
    text = " ".join(repr(value).split())
    if len(text) <= MAX_VALUE_CHARS:
        return text
    half = (MAX_VALUE_CHARS - 1) // 2
    return f"{text[:-half][: MAX_VALUE_CHARS - 1 - half]}…{text[-half:]}"


class JudgeError(Exception):
    """Base class of all errors of this package."""


class InputError(JudgeError, ValueError):
    """An input that is not usable.

    Args:
        field: the name of the input.
        value: its value; the message shows a shortened form.
        allowed: what is allowed.
        mend: what the caller can do.
    """

    def __init__(self, field: str, value: object, allowed: str, mend: str) -> None:
        self.field, self.value, self.allowed, self.mend = field, value, allowed, mend
        super().__init__(f"{field}: {_shorten(value)} is not usable; allowed: {allowed}; {mend}")


class MediaError(InputError):
    """An image or video that cannot be decoded, is truncated, or exceeds a limit."""


class RubricError(InputError):
    """A rubric that is not valid, or a form that cannot be built from it."""


class BackendError(JudgeError, RuntimeError):
    """The model cannot be loaded, reached or run."""


class ModelNotFoundError(InputError, BackendError):
    """A checkpoint or an adapter that is no folder and cannot be had from the hub.

    Args:
        field: as for `InputError`.
        value: as for `InputError`.
        allowed: as for `InputError`.
        mend: why it cannot be loaded, and what the caller can do.
    """

    def __init__(self, field: str, value: object, allowed: str, mend: str) -> None:
        super().__init__(field, value, allowed, f"it cannot be loaded: {mend}")


class UnscoredBatchError(BackendError):
    """Nothing in a batch could be scored, and its trainer takes no missing score.

    A number in place of each score would be the same for all: the trainer would go on without learning.
    """


class ReplyError(JudgeError):
    """A reply that does not fit its form.

    The verdict gets `status="unscored"` and this message as its reason.
    """


class UnavailableError(BackendError):
    """A gateway cannot answer now, although the request is valid.

    Args:
        reason: why, in words.
        retry_after: seconds after which the request may succeed; None if unknown.
    """

    status = 503
    """HTTP status of the response."""
    mend = "try again after Retry-After seconds"
    """What the caller can do."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class OverloadedError(UnavailableError):
    """The gateway has no room for another request."""

    status = 429


class EngineDownError(UnavailableError):
    """The gateway has no running engine."""

    status = 503
    mend = "try again after Retry-After seconds; without that header, ask the operator"


class DeadlineError(UnavailableError):
    """The deadline of the request passed before the model answered."""

    status = 504
    mend = "try again, with fewer rows at once"
