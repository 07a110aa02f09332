"""A client of `judge serve`: the same verdicts, from another process or machine.

    client = Client("http://127.0.0.1:8000", api_key="jk_...")
    verdict = client.verdict("image.png", prompt="a red circle")
    verdict = await client.averdict("image.png", prompt="a red circle")

`judge.remote.calls` defines the calls; two small loops here drive them, one that blocks and one that awaits.
"""

from __future__ import annotations

import asyncio
import os
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

import httpx

from judge.errors import BackendError, InputError
from judge.pipeline.validation import is_address
from judge.remote.calls import Call, HttpRequest, compare_call, rubrics_call, scores_call, verdict_call
from judge.remote.retries import Steps, with_retries
from judge.runtime.version import __version__

P = ParamSpec("P")
T = TypeVar("T")

KEY_VARIABLE = "JUDGE_API_KEY"
"""Environment variable with the API key of clients that are created without one."""


@dataclass(frozen=True)
class _Result(Generic[T]):
    """The result of a call that has ended."""

    value: T


def _blocking(call: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    """Make a blocking method of the client from a call."""

    @wraps(call)
    def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(call(*args, **kwargs))

    return method


def _awaitable(call: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], Awaitable[T]]:
    """Make an asynchronous method of the client from a call."""

    @wraps(call)
    async def method(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run_async(call(*args, **kwargs))

    return method


class Client:
    """A client of a gateway. It may be shared between threads, and between the tasks of one event loop.

    Each call has a blocking and an awaitable form with the same arguments: `verdict` and `averdict`,
        `compare` and
    `acompare`, `scores` and `ascores`, `rubrics` and `arubrics`. Use the client as a context manager, or call
    `close` (or `aclose`), to close its connections.

    Args:
        base_url: address of `judge serve`, for example http://127.0.0.1:8000.
        api_key: a key of the server; default: the environment variable JUDGE_API_KEY, if it is set.
        timeout: seconds for one response and for the pauses before it, above 0.
        retries: how often a request is sent again after 429 (full) or 503 (restarting), 0 or more.
        headers: sent with every request.

    Raises:
        InputError: an argument is unusable.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout: float = 120.0,
        retries: int = 5,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not is_address(base_url):
            raise InputError(
                "base_url", base_url, "http:// or https:// addresses", "give the server's address"
            )
        if not timeout > 0 or retries < 0:
            raise InputError("timeout", timeout, "seconds above 0, and 0 or more retries", "120 is usual")
        key = os.environ.get(KEY_VARIABLE) if api_key is None else api_key
        if key and not (key.isascii() and key.isprintable()):
            raise InputError("api_key", "(not shown)", "printable ASCII", "copy the key again")
        self.base_url, self.timeout, self.retries = base_url.rstrip("/"), timeout, retries
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        self._options: dict[str, Any] = {
            "base_url": self.base_url,
            "headers": {"User-Agent": f"judge/{__version__}", **authorization, **(headers or {})},
            "timeout": timeout,
            "limits": httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=3.0),
        }
        self._client: httpx.Client | None = None
        self._async_client: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient] | None = None

    verdict = _blocking(verdict_call)
    """Judge one image or one video; see `judge.remote.calls.verdict_call`."""
    averdict = _awaitable(verdict_call)
    """`verdict`, awaited."""
    scores = _blocking(scores_call)
    """Score many images at depth "score"; see `judge.remote.calls.scores_call`."""
    ascores = _awaitable(scores_call)
    """`scores`, awaited."""
    compare = _blocking(compare_call)
    """Say which of two images is better; see `judge.remote.calls.compare_call`."""
    acompare = _awaitable(compare_call)
    """`compare`, awaited."""
    rubrics = _blocking(rubrics_call)
    """List the server's rubrics; see `judge.remote.calls.rubrics_call`."""
    arubrics = _awaitable(rubrics_call)
    """`rubrics`, awaited."""

    def close(self) -> None:
        """Close the connections of the blocking methods."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def aclose(self) -> None:
        """Close all connections."""
        self.close()
        if self._async_client is not None:
            await self._async_client[1].aclose()
            self._async_client = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.aclose()

    def _run(self, call: Call[T]) -> T:
        """Drive a call, blocking."""
        steps, response = with_retries(call, self.timeout, self.retries), None
        while not isinstance(step := _advance(steps, response), _Result):
            response = None
            if isinstance(step, float):
                time.sleep(step)
                continue
            try:
                client = self._open_client()
                response = client.send(client.build_request(step.method, step.path, **step.body))
            except httpx.HTTPError as error:
                raise self._connection_error(error) from error
        return step.value

    async def _run_async(self, call: Call[T]) -> T:
        """Drive a call in the running event loop."""
        steps, response = with_retries(call, self.timeout, self.retries), None
        # Images are read and encoded in a thread, so that the event loop is not blocked.
        while not isinstance(step := await asyncio.to_thread(_advance, steps, response), _Result):
            response = None
            if isinstance(step, float):
                await asyncio.sleep(step)
                continue
            try:
                client = await self._open_async_client()
                response = await client.send(client.build_request(step.method, step.path, **step.body))
            except httpx.HTTPError as error:
                raise self._connection_error(error) from error
        return step.value

    def _open_client(self) -> httpx.Client:
        """Return the blocking httpx client, opened at the first call."""
        if self._client is None:
            self._client = httpx.Client(**self._options)
            # A `Judge` at an address is never closed by its user, so the connections go with the client.
            weakref.finalize(self, self._client.close)
        return self._client

    async def _open_async_client(self) -> httpx.AsyncClient:
        """Return the httpx client of the running event loop: connections belong to one loop."""
        loop = asyncio.get_running_loop()
        if self._async_client is None or self._async_client[0] is not loop:
            self._async_client = (loop, httpx.AsyncClient(**self._options))
        return self._async_client[1]

    def _connection_error(self, error: httpx.HTTPError) -> BackendError:
        """Return a failed connection as a `BackendError`."""
        reason = " ".join(str(error).split()) or type(error).__name__
        return BackendError(f"{self.base_url}: {reason}")


def _advance(steps: Steps[T], response: httpx.Response | None) -> HttpRequest | float | _Result[T]:
    """Send a response into a call and return its next request or pause, or its result."""
    try:
        return steps.send(response)
    except StopIteration as stop:
        return _Result(stop.value)
