"""What every request passes before and after the app: id, host, key, size, time, log.

A plain ASGI layer around all routes and the page alike, so that nothing can be mounted beside it. Whatever
is not named in `OPEN` needs a key as soon as there are keys.
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

from judge.errors import Busy
from judge.serve.http.errors import Refused, answer
from judge.serve.metrics import Metrics
from judge.serve.settings import Settings

OPEN = ("/healthz", "/readyz")
"""Paths that need no key."""
LINGER = 8 << 20
"""Bytes of an unread body that are thrown away before a refusal is sent: a client that is still writing
when the connection closes would see a broken connection instead of the answer."""
LINGER_S = 3.0
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class Guard:
    """The layer around an app. `log` is called with the name of an event and its fields."""

    def __init__(self, app: ASGIApp, settings: Settings, log: Callable[..., None], metrics: Metrics) -> None:
        self.app, self.settings, self.log, self.metrics = app, settings, log, metrics
        self.held = 0
        """Bytes of bodies of requests that are inside."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        match scope["type"]:
            case "http":
                await self._http(scope, receive, send)
            case "websocket":
                await send({"type": "websocket.close", "code": 1008})  # nothing here speaks it
            case _:
                await self.app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        wanted = headers.get("x-request-id", "")
        name = wanted if _ID.fullmatch(wanted) else uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = name
        passage = _Passage(self, headers, receive, send, name)
        start, owner = time.perf_counter(), ""
        try:
            self._check_host(headers)
            owner = self._check_key(scope["path"], headers)
            passage.check_length()
            await self.app(scope, passage.receive, passage.send)
        except ClientDisconnect:
            passage.status = passage.status or 499
        except Exception as error:
            if not isinstance(error, Refused | Busy):
                self._report(error, name)
            if not passage.status:
                await answer(error, name)(scope, receive, passage.send)
        finally:
            self.held -= passage.size
            self._record(scope, passage, name, owner, time.perf_counter() - start)

    def _check_host(self, headers: Headers) -> None:
        if self.settings.hosts is None:
            return
        given = headers.get("host", "")
        host = re.sub(r":\d*$", "", given).strip("[]").lower()
        if host not in self.settings.hosts:
            allowed = ", ".join(sorted(self.settings.hosts))
            mend = "without keys this server answers to its own names only: start it with --keys or --open"
            raise Refused(421, "Host", given, allowed, mend)

    def _check_key(self, path: str, headers: Headers) -> str:
        """The name of the key's owner; empty where no key is needed."""
        keys = self.settings.keys
        if not keys or path in OPEN:
            return ""
        api = path == "/v1" or path.startswith("/v1/")
        for key in _presented(headers, basic=not api):
            if owner := keys.owner(key):
                return owner
        challenge = "Bearer" if api else 'Basic realm="judge: any name, the key as password", charset="UTF-8"'
        mend = "send a key as Authorization: Bearer or X-API-Key"
        raise Refused(401, "key", "", "a key of this server", mend, {"WWW-Authenticate": challenge})

    def _report(self, error: Exception, name: str) -> None:
        """Where something unexpected happened. Not what it says: it may quote what was being judged."""
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        where = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        self.log("error", request_id=name, error=type(error).__name__, where=where)

    def _record(self, scope: Scope, passage: _Passage, name: str, owner: str, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "") or "other"
        self.metrics.request(route, passage.status, seconds)
        self.log(
            "request",
            request_id=name,
            method=scope["method"],
            path=scope["path"][:200],
            status=passage.status,
            ms=round(seconds * 1000, 1),
            bytes=passage.size,
            **({"key": owner} if owner else {}),
            **scope["state"].get("noted", {}),
        )


class _Passage:
    """One request's way in and out: its body is counted and timed, its response gets the request's id."""

    def __init__(self, guard: Guard, headers: Headers, receive: Receive, send: Send, name: str) -> None:
        self.guard, self.name = guard, name
        self.size = self.status = 0
        self._receive, self._send = receive, send
        self._length = headers.get("content-length", "")
        self._read = self._length in ("", "0") and "transfer-encoding" not in headers
        self._waits = "expect" in headers
        self._late = False
        self._until = asyncio.get_running_loop().time() + guard.settings.body_s

    def check_length(self) -> None:
        if self._length.isdecimal() and int(self._length[:20]) > self.guard.settings.max_body:
            raise self._too_large(self._length)

    async def receive(self) -> Message:
        if self._read:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._until):
                message = await self._receive()
        except TimeoutError:
            self._late = True
            limit = f"a body within {self.guard.settings.body_s:g} s"
            raise Refused(408, "body", f"{self.size} bytes so far", limit, "send it faster") from None
        self._read = not message.get("more_body", False)
        more = len(message.get("body", b""))
        self.size += more
        self.guard.held += more
        if self.size > self.guard.settings.max_body:
            raise self._too_large(f"over {self.size} bytes")
        if self.guard.held > self.guard.settings.max_held:
            raise Busy("the server holds as many bytes as it has room for", 5.0)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self.name
            headers.setdefault("X-Content-Type-Options", "nosniff")
            if not self._read:
                await self._linger()
            if not self._read:
                headers["Connection"] = "close"
        await self._send(message)

    async def _linger(self) -> None:
        """Read on what a refused client is still sending, up to a limit, and keep none of it."""
        if self._late or self._waits:  # too slow to wait for; or it sends nothing before it is told to
            return
        left = LINGER
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while not self._read and left > 0:
                    message = await self._receive()
                    self._read = not message.get("more_body", False)
                    left -= len(message.get("body", b""))

    def _too_large(self, shown: str) -> Refused:
        limit = self.guard.settings.max_body
        return Refused(413, "body", shown, f"at most {limit} bytes", "send a smaller picture, or fewer")


def _presented(headers: Headers, basic: bool) -> list[str]:
    """Keys that a request shows. Basic, which browsers send by themselves, is good for the page, not for
    the API: there another site's form could use it."""
    shown: list[Any] = [headers.get("x-api-key")]
    kind, _, rest = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        shown.append(rest.strip())
    if kind.lower() == "basic" and basic:
        with suppress(binascii.Error, ValueError):
            shown.append(base64.b64decode(rest, validate=True).decode("utf-8").partition(":")[2])
    return [key for key in shown if key]
