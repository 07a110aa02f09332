"""What the reward servers share: one POST route, a limit on the body, one line for every error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from judge.errors import BackendError, InputError

LOOPBACK = ("127.0.0.1", "::1")
"""Addresses of this machine."""
MAX_BODY_BYTES = 512_000_000
"""Bytes of one request at most."""


@dataclass(frozen=True)
class PostRequest:
    """One request."""

    body: bytes
    media_type: str
    """Media type of the body, in lower case and without parameters."""
    peer: str
    """Address that the request came from."""


def build_app(path: str, answer: Callable[[PostRequest], tuple[bytes, str]]) -> Any:
    """Build an ASGI application with one POST route.

    Args:
        path: of the route.
        answer: called in a thread; returns a body and its media type. `InputError` becomes status 400 and
            `BackendError` 503, with the error's text.
    """
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    async def post(request: Request) -> Response:
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                return JSONResponse({"error": f"body: at most {MAX_BODY_BYTES} bytes"}, 413)
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        peer = request.client.host if request.client else ""
        try:
            posted = PostRequest(bytes(body), content_type, peer)
            content, media_type = await asyncio.to_thread(answer, posted)
        except InputError as error:
            return JSONResponse({"error": str(error)}, 400)
        except BackendError as error:
            return JSONResponse({"error": str(error)}, 503)
        return Response(content, media_type=media_type)

    return Starlette(routes=[Route(path, post, methods=["POST"])])


def run_server(app: Any, host: str, port: int, *, loopback_only: bool = False) -> None:
    """Serve an application until it is interrupted.

    Args:
        app: the ASGI application.
        host: address to listen on.
        port: port to listen on.
        loopback_only: refuse an address that other machines can reach.

    Raises:
        InputError: `loopback_only` and the address is not one of this machine only.
    """
    import uvicorn

    if loopback_only and host not in (*LOOPBACK, "localhost"):
        raise InputError("host", host, "127.0.0.1 with --pickle", "leave --pickle out, or use that address")
    uvicorn.run(app, host=host, port=port, log_level="warning")
