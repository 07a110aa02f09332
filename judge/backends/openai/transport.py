"""HTTP requests to a model server: retries of temporary failures, and one clear error for the rest."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from judge.errors import BackendError, ReplyError

RETRYABLE_STATUSES = frozenset({429, 500, 502, 503, 504})
"""HTTP statuses after which the request is sent again."""
MAX_DETAIL_CHARS = 20_000
"""Characters of a server's error text that are kept."""
REPEATED_MEMBERS = frozenset({"input", "body", "request"})
"""Members of an error in which servers repeat what was sent (FastAPI: `input`)."""
FATAL_STATUSES = frozenset({401, 403, 404})
"""HTTP statuses that every request to the server would get."""


class RequestRejectedError(ReplyError):
    """The server understood the request and does not serve it. The text holds what the server said.

    Args:
        message: one line, with a shortened text of the server.
        detail: all texts in the server's answer, up to `MAX_DETAIL_CHARS`, without what was sent to it.
    """

    def __init__(self, message: str, detail: str = "") -> None:
        super().__init__(message)
        self.detail = detail or message


class ServerFailedError(ReplyError):
    """The server still answers 429 or 5xx after all tries; see `RequestRejectedError`."""

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail


class ServerRefusedError(BackendError):
    """The server would refuse every request: the key is wrong, or nothing is at the address."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class HttpTransport:
    """A connection to one server. Several threads may use it.

    Args:
        address: base URL; paths are appended to it.
        api_key: sent as a bearer token; empty for none.
        timeout: seconds to wait for one response.
        retries: number of further tries after a temporary failure.
        max_pause: longest pause in seconds before a retry.
        connections: greatest number of requests at the same time.
        sleep: function that waits so many seconds; tests replace it.
    """

    def __init__(
        self,
        address: str,
        *,
        api_key: str = "",
        timeout: float = 120.0,
        retries: int = 4,
        max_pause: float = 30.0,
        connections: int = 16,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.address, self.retries, self.max_pause = address.rstrip("/"), retries, max_pause
        self.timeout, self._sleep = timeout, sleep
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx.Timeout(timeout, connect=min(10.0, timeout), pool=None),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            follow_redirects=False,  # images and keys go only where they were sent
        )

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def get(self, path: str) -> Any:
        """Send a GET request; returns the JSON of the response and raises as `post`."""
        return self._request("GET", path, None)

    def post(self, path: str, payload: Mapping[str, Any]) -> Any:
        """Send JSON.

        Args:
            path: appended to the address.
            payload: the body.

        Returns:
            The JSON of the response.

        Raises:
            BackendError: nothing listens at the address. `ServerRefusedError` for status 401, 403 or 404.
            RequestRejectedError: the server does not serve this request (400, 413, 422, ...).
            ReplyError: no usable response within the timeout and the retries; `ServerFailedError` for a
                status of 429 or 5xx.
        """
        return self._request("POST", path, payload)

    def _request(self, method: str, path: str, payload: Mapping[str, Any] | None) -> Any:
        for attempt in range(self.retries + 1):
            is_last = attempt == self.retries
            try:
                response = self._client.request(method, self.address + path, json=payload)
            except httpx.TimeoutException as error:
                # The server may still be working on it. Another request would only add to its load.
                if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
                    raise ReplyError(f"{self.address}: no answer in {self.timeout:g} s") from None
                if is_last:
                    raise self._unreachable(error) from None
            except httpx.TransportError as error:
                if is_last:
                    raise self._unreachable(error) from None
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise self._unreachable(error) from None
            else:
                if response.status_code not in RETRYABLE_STATUSES:
                    return self._read_json(response)
                pause = _retry_after(response)
                if is_last or (pause is not None and pause > self.max_pause):
                    raise ServerFailedError(self._describe(response), _error_detail(response))
                if pause is not None:
                    self._sleep(pause)
                    continue
            self._sleep(min(self.max_pause, 0.5 * 2**attempt) * random.uniform(0.5, 1.0))
        raise AssertionError("the last try returns or raises")

    def _read_json(self, response: httpx.Response) -> Any:
        if response.status_code in FATAL_STATUSES:
            raise ServerRefusedError(self._describe(response), response.status_code)
        if not response.is_success:
            raise RequestRejectedError(self._describe(response), _error_detail(response))
        try:
            return response.json()
        except ValueError:
            raise ReplyError(f"{self.address}: the answer is no JSON ({_shorten(response.text)})") from None

    def _describe(self, response: httpx.Response) -> str:
        """Return the status and the server's error text, without what was sent to it."""
        try:
            body: Any = response.json()
            body = body[0] if isinstance(body, list) and body else body  # Gemini
            for key in ("error", "message", "detail"):
                body = body.get(key, body) if isinstance(body, dict) else body
        except ValueError:
            body = response.text
        return f"{self.address}: HTTP {response.status_code} ({_shorten(str(body))})"

    def _unreachable(self, error: Exception) -> BackendError:
        return BackendError(
            f"{self.address}: cannot be reached ({_shorten(str(error)) or type(error).__name__})"
        )


def _error_detail(response: httpx.Response) -> str:
    """Return all texts in an error of a server, without the parts that repeat the request."""
    try:
        texts = " ".join(_texts(response.json()))
    except (ValueError, RecursionError):
        texts = response.text
    return texts[:MAX_DETAIL_CHARS]


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key not in REPEATED_MEMBERS:
                yield str(key)
                yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    else:
        yield str(value)


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that the server asks to wait; None if it does not say."""
    value = response.headers.get("Retry-After", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 200 else f"{text[:199]}…"
