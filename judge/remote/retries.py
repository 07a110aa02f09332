"""Send requests again while the server is full or restarting."""

from __future__ import annotations

import random
import time
from collections.abc import Generator
from typing import TypeVar

import httpx

from judge.remote.calls import Call, HttpRequest
from judge.remote.responses import RETRY_STATUSES, check_response

T = TypeVar("T")

FIRST_PAUSE = 0.5
"""Seconds before the first retry at most; each further retry doubles it."""
MAX_PAUSE = 30.0
"""Seconds. If the server asks for a longer pause, the request is not sent again."""

Steps = Generator[HttpRequest | float, httpx.Response | None, T]
"""Like `Call`, but also yields pauses in seconds, to which None is sent."""


def with_retries(call: Call[T], timeout: float, retries: int) -> Steps[T]:
    """Run a call and repeat its requests after a pause while the server is full or restarting.

    Args:
        call: the call to run; it is sent successful responses only.
        timeout: seconds after which no request is sent again.
        retries: repetitions of a request at most.

    Raises:
        InputError: the server rejected a request.
        BackendError: a request failed otherwise.
    """
    try:
        request = next(call)
        while True:
            response = yield from _send_until_final(request, timeout, retries)
            request = call.send(check_response(response))
    except StopIteration as stop:
        value: T = stop.value
        return value


def _send_until_final(request: HttpRequest, timeout: float, retries: int) -> Steps[httpx.Response]:
    """Send a request until its response is final, or time or retries are used up."""
    deadline = time.monotonic() + timeout
    attempt = 0
    while True:
        response = yield request
        assert response is not None  # only a pause is answered with None
        pause = retry_delay(response, attempt)
        if pause is None or attempt == retries or time.monotonic() + pause > deadline:
            return response
        yield pause
        attempt += 1


def retry_delay(response: httpx.Response, attempt: int) -> float | None:
    """Seconds to wait before a request is sent again, or None if its response is final.

    Args:
        response: to the latest attempt.
        attempt: number of the attempt, from 0.
    """
    if response.status_code not in RETRY_STATUSES:
        return None
    retry_after = response.headers.get("retry-after", "")
    if not retry_after and response.status_code == 503:  # the server is stopping, or its engine has failed
        return None
    required = int(retry_after) if retry_after.isdecimal() else 0
    if required > MAX_PAUSE:
        return None
    # Random pauses spread the clients out, so that those refused together do not come back together.
    longest = min(MAX_PAUSE, FIRST_PAUSE * 2.0**attempt)
    return required + random.uniform(0.5, 1.0) * longest
