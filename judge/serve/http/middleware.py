"""ASGI middleware around every route and the web page: request id, host, key, body limits, metrics and log.

It wraps the whole app, so nothing can be mounted outside of it. As soon as there are keys, every path that is
not in `PUBLIC_PATHS` needs one.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import re
import time
import traceback
import uuid
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from judge.errors import OverloadedError
from judge.serve.http.errors import RequestRejected, error_response
from judge.serve.metrics import Metrics
from judge.serve.settings import Settings

PUBLIC_PATHS = ("/healthz", "/readyz")
"""Paths that need no key."""
MAX_DRAIN_BYTES = 8 << 20
"""Bytes of an unread body that are read and dropped before an error is sent. A client that is still writing
when the connection closes would see a broken connection instead of the response."""
MAX_DRAIN_SECONDS = 3.0
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class GatewayMiddleware:
    """The layer around an app.

    Args:
        app: the app.
        settings: keys and limits.
        log: called with the name of an event and its fields.
        metrics: counts the requests.
    """

    def __init__(self, app: ASGIApp, settings: Settings, log: Callable[..., None], metrics: Metrics) -> None:
        self.app, self.settings, self.log, self.metrics = app, settings, log, metrics
        self.buffered_bytes = 0
        """Bytes in the bodies of all active requests."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; close a WebSocket, as no route uses them."""
        match scope["type"]:
            case "http":
                await self._handle(scope, receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1008})
            case _:
                await self.app(scope, receive, send)

    async def _handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        sent_id = headers.get("x-request-id", "")
        request_id = sent_id if _REQUEST_ID.fullmatch(sent_id) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        exchange = _Exchange(self, headers, receive, send, request_id)
        start, owner = time.perf_counter(), ""
        try:
            self._check_host(headers)
            owner = self._check_key(scope["path"], headers)
            exchange.check_length()
            await self.app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            exchange.status = exchange.status or 499
        except Exception as error:
            if not isinstance(error, RequestRejected | OverloadedError):
                self._log_error(error, request_id)
            if not exchange.status:
                await error_response(error, request_id)(scope, receive, exchange.send)
        finally:
            self.buffered_bytes -= exchange.size
            self._record(scope, exchange, request_id, owner, time.perf_counter() - start)

    def _check_host(self, headers: Headers) -> None:
        if self.settings.hosts is None:
            return
        header = headers.get("host", "")
        host = re.sub(r":\d*$", "", header).strip("[]").lower()
        if host not in self.settings.hosts:
            allowed = ", ".join(sorted(self.settings.hosts))
            mend = "without keys this server answers only to its own names: start it with --keys or --open"
            raise RequestRejected(421, "Host", header, allowed, mend)

    def _check_key(self, path: str, headers: Headers) -> str:
        """Return the name of the key's owner; "" if no key is needed."""
        keys = self.settings.keys
        if not keys or path in PUBLIC_PATHS:
            return ""
        is_api = path == "/v1" or path.startswith("/v1/")
        for key in _presented_keys(headers, allow_basic=not is_api):
            if owner := keys.owner(key):
                return owner
        basic = 'Basic realm="judge: any name, the key as password", charset="UTF-8"'
        mend = "send a key as Authorization: Bearer or X-API-Key"
        challenge = {"WWW-Authenticate": "Bearer" if is_api else basic}
        raise RequestRejected(401, "key", "", "a key of this server", mend, challenge)

    def _log_error(self, error: Exception, request_id: str) -> None:
        """Log where an unexpected error happened, without its message, which may quote what was judged."""
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        self.log("error", request_id=request_id, error=type(error).__name__, where=where)

    def _record(self, scope: Scope, exchange: _Exchange, request_id: str, owner: str, seconds: float) -> None:
        """Count a finished request, and log it without its query string, body or key."""
        route = getattr(scope.get("route"), "path", "") or "other"
        self.metrics.record_request(route, exchange.status, seconds)
        self.log(
            "request",
            request_id=request_id,
            method=scope["method"],
            path=scope["path"][:200],
            status=exchange.status,
            ms=round(seconds * 1000, 1),
            bytes=exchange.size,
            **({"key": owner} if owner else {}),
            **scope["state"].get("log_fields", {}),
        )


class _Exchange:
    """One request and its response: limits the body's size and time, and adds headers to the response."""

    def __init__(
        self, middleware: GatewayMiddleware, headers: Headers, receive: Receive, send: Send, request_id: str
    ) -> None:
        self.middleware, self.request_id = middleware, request_id
        self.size = self.status = 0
        self._receive, self._send = receive, send
        self._content_length = headers.get("content-length", "")
        self._is_read = self._content_length in ("", "0") and "transfer-encoding" not in headers
        self._expects_continue = "expect" in headers
        self._is_late = False
        self._deadline = asyncio.get_running_loop().time() + middleware.settings.body_timeout

    def check_length(self) -> None:
        """Reject a body by its Content-Length, before it is sent."""
        length = self._content_length
        if length.isdecimal() and int(length[:20]) > self.middleware.settings.max_body:
            raise self._too_large(length)

    async def receive(self) -> Message:
        """Receive the next part of the body within its limits."""
        if self._is_read:
            return await self._receive()
        settings = self.middleware.settings
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            self._is_late = True
            limit = f"a body within {settings.body_timeout:g} s"
            raise RequestRejected(408, "body", f"{self.size} bytes so far", limit, "send it faster") from None
        self._is_read = not message.get("more_body", False)
        size = len(message.get("body", b""))
        self.size += size
        self.middleware.buffered_bytes += size
        if self.size > settings.max_body:
            raise self._too_large(f"over {self.size} bytes")
        if self.middleware.buffered_bytes > settings.max_buffered:
            raise OverloadedError("the bodies of all active requests are too large together", 5.0)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the response, with the request's id among its headers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.request_id
            headers.setdefault("X-Content-Type-Options", "nosniff")
            if not self._is_read:
                await self._drain()
            if not self._is_read:
                headers["Connection"] = "close"
        await self._send(message)

    async def _drain(self) -> None:
        """Read and drop what a rejected client is still sending, up to a limit."""
        if (
            self._is_late or self._expects_continue
        ):  # too slow to wait for; or waits for a 100 before it sends
            return
        remaining = MAX_DRAIN_BYTES
        with suppress(TimeoutError):
            async with asyncio.timeout(MAX_DRAIN_SECONDS):
                while not self._is_read and remaining > 0:
                    message = await self._receive()
                    self._is_read = not message.get("more_body", False)
                    remaining -= len(message.get("body", b""))

    def _too_large(self, size: str) -> RequestRejected:
        limit = self.middleware.settings.max_body
        return RequestRejected(413, "body", size, f"at most {limit} bytes", "send a smaller image, or fewer")


def _presented_keys(headers: Headers, allow_basic: bool) -> list[str]:
    """Return the keys that a request presents.

    Browsers send Basic credentials by themselves. They are accepted for the web page but not for the API,
    where a form of another site could use them.
    """
    keys: list[Any] = [headers.get("x-api-key")]
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        keys.append(credentials.strip())
    if scheme.lower() == "basic" and allow_basic:
        with suppress(binascii.Error, ValueError):
            keys.append(base64.b64decode(credentials, validate=True).decode("utf-8").partition(":")[2])
    return [key for key in keys if key]
