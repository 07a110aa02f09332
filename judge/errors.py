"""Every error this package raises on purpose.

JudgeError
 x- InputError        a field of what the caller gave is unusable
 |    + MediaError    the picture or video cannot be read within the limits
 |    + RubricError   a rubric file, or a form built from it, is not valid
 x- BackendError      the model cannot be loaded, reached or run
 |    + Unavailable    a gateway has no room, no engine or no time now (`judge.errors`)
 x- ReplyError        a model's reply does not fit the form (a verdict turns it into `unscored`)

All of them print as one line. `InputError` names the field, the value, what is allowed and the mend,
so that the message alone is enough to repair the call.
"""

from __future__ import annotations

_SHOWN = 80


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


class JudgeError(Exception):
    """Base of all errors below; catching it catches everything this package raises on purpose."""


class InputError(JudgeError, ValueError):
    """One unusable input: which field, what it was, what is allowed, how to mend it."""

    def __init__(self, field: str, value: object, allowed: str, mend: str) -> None:
        self.field, self.value, self.allowed, self.mend = field, value, allowed, mend
        super().__init__(f"{field}: {_short(value)} is not usable; allowed: {allowed}; {mend}")


class MediaError(InputError):
    """A picture or video that cannot be decoded, is truncated, or exceeds a limit."""


class RubricError(InputError):
    """A rubric that does not validate, or a form that cannot be built from it."""


class BackendError(JudgeError, RuntimeError):
    """The model behind the seam cannot be loaded, reached or run."""


class ReplyError(JudgeError):
    """A reply that does not fit its form. Becomes `status="unscored"` with this text as the reason."""


class Unavailable(BackendError):
    """Nothing is wrong with the request; `retry_after` says in how many seconds it may do better."""

    status = 503
    mend = "try again after Retry-After seconds"

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Busy(Unavailable):
    status = 429


class Down(Unavailable):
    status = 503
    mend = "try again after Retry-After seconds; without that header, ask the operator"


class Late(Unavailable):
    status = 504
    mend = "try again, with fewer rows at once"
