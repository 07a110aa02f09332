"""Requests to a model server: bounded retries of what may pass, one clear error for what will not."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from judge.errors import BackendError, ReplyError

PASSING = frozenset({429, 500, 502, 503, 504})
"""Answers that another try may not get."""
REFUSED = frozenset({401, 403, 404})
"""Answers that every request would get."""


class Declined(ReplyError):
    """The server understood the request and will not serve it; holds what it said."""


class Refused(BackendError):
    """The server would refuse every such request: the key is wrong, or there is nothing at the address."""

    def __init__(self, said: str, status: int) -> None:
        super().__init__(said)
        self.status = status


class Line:
    """A connection to one server, for many threads.

    Args:
        address: what the paths are appended to.
        api_key: sent as a bearer token; empty for none.
        timeout: seconds to wait for one answer.
        retries: further tries after a first that failed in passing.
        patience: longest pause in seconds before one of them.
        connections: most requests at once.
        sleep: waits so many seconds; tests put a quicker one in its place.
    """

    def __init__(
        self,
        address: str,
        *,
        api_key: str = "",
        timeout: float = 120.0,
        retries: int = 4,
        patience: float = 30.0,
        connections: int = 16,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.address, self.retries, self.patience = address.rstrip("/"), retries, patience
        self.timeout, self._sleep = timeout, sleep
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(timeout, connect=min(10.0, timeout), pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=False,  # pictures and keys go where they were sent, or nowhere
        )

    def close(self) -> None:
        self._client.close()

    def get(self, path: str) -> Any:
        return self._ask("GET", path, None)

    def post(self, path: str, payload: Mapping[str, Any]) -> Any:
        """Send JSON; returns the JSON of the answer.

        Raises:
            BackendError: nothing listens there; `Refused` for an answer of 401, 403 or 404.
            Declined: this request is not served (400, 413, 422, ...).
            ReplyError: no usable answer in the time and tries it was given.
        """
        return self._ask("POST", path, payload)

    def _ask(self, verb: str, path: str, payload: Mapping[str, Any] | None) -> Any:
        for attempt in range(self.retries + 1):
            last = attempt == self.retries
            try:
                answer = self._client.request(verb, self.address + path, json=payload)
            except httpx.TimeoutException as error:
                # It may still be at work on it: asking again would only add to its load.
                if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
                    raise ReplyError(f"{self.address}: no answer in {self.timeout:g} s") from None
                if last:
                    raise self._unreachable(error) from None
            except httpx.TransportError as error:
                if last:
                    raise self._unreachable(error) from None
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise self._unreachable(error) from None
            else:
                if answer.status_code not in PASSING:
                    return self._read(answer)
                asked = _retry_after(answer)
                if last or (asked is not None and asked > self.patience):
                    raise ReplyError(self._said(answer))
                if asked is not None:
                    self._sleep(asked)
                    continue
            self._sleep(min(self.patience, 0.5 * 2**attempt) * random.uniform(0.5, 1.0))
        raise AssertionError("the last try returns or raises")

    def _read(self, answer: httpx.Response) -> Any:
        if answer.status_code in REFUSED:
            raise Refused(self._said(answer), answer.status_code)
        if not answer.is_success:
            raise Declined(self._said(answer))
        try:
            return answer.json()
        except ValueError:
            raise ReplyError(f"{self.address}: the answer is no JSON ({_short(answer.text)})") from None

    def _said(self, answer: httpx.Response) -> str:
        """What the server said, without what was sent to it."""
        try:
            told: Any = answer.json()
            for key in ("error", "message", "detail"):
                told = told.get(key, told) if isinstance(told, dict) else told
        except ValueError:
            told = answer.text
        return f"{self.address}: HTTP {answer.status_code} ({_short(str(told))})"

    def _unreachable(self, error: Exception) -> BackendError:
        return BackendError(
            f"{self.address}: cannot be reached ({_short(str(error)) or type(error).__name__})"
        )


def _retry_after(answer: httpx.Response) -> float | None:
    """Seconds that the server asks to wait; None when it does not say."""
    told = answer.headers.get("Retry-After", "")
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(told)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 200 else f"{text[:199]}…"
