"""What the reward servers share: one POST route, a limit on bodies, one line for every error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from judge.errors import BackendError, InputError

LOOPBACK = ("127.0.0.1", "::1")
MAX_BODY = 512_000_000
"""Bytes of one request."""


@dataclass(frozen=True)
class Posted:
    """One request."""

    body: bytes
    kind: str
    """Its media type."""
    peer: str
    """Address that it came from."""


def application(path: str, answer: Callable[[Posted], tuple[bytes, str]]) -> Any:
    """An ASGI application with one POST route.

    Args:
        path: of the route.
        answer: called in a thread; returns a body and its media type. `InputError` becomes 400,
            `BackendError` 503, with its text.
    """
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    async def post(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                return JSONResponse({"error": f"body: at most {MAX_BODY} bytes"}, 413)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        peer = request.client.host if request.client else ""
        try:
            told, media_type = await asyncio.to_thread(answer, Posted(bytes(body), kind, peer))
        except InputError as error:
            return JSONResponse({"error": str(error)}, 400)
        except BackendError as error:
            return JSONResponse({"error": str(error)}, 503)
        return Response(told, media_type=media_type)

    return Starlette(routes=[Route(path, post, methods=["POST"])])


def run(app: Any, host: str, port: int, *, closed: bool = False) -> None:
    """Serve until interrupted. Raises `InputError` where a `closed` one would listen beyond this machine."""
    import uvicorn

    if closed and host not in (*LOOPBACK, "localhost"):
        raise InputError("host", host, "127.0.0.1 with pickles", "leave --pickle out, or listen there")
    uvicorn.run(app, host=host, port=port, log_level="warning")
