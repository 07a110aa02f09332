"""Why a request gets no verdict although nothing is wrong with it. All are `BackendError`s.

Unavailable
 x- Busy        more requests than there is room for: come back later        429
 x- Down        the engine is loading, restarting or gone                    503
 x- Late        the request's deadline passed                                504
"""

from __future__ import annotations

from judge.errors import BackendError


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
