"""Restrict Gradio to what the page needs: allowed routes, requests of this site only, and text inputs only.

Gradio opens or fetches every input that a request declares to be a file, and serves the files in its folders.
The page needs none of that. Images travel as text inside the event (`data:` URLs, byte for byte, so that
`judge.media.image` reads them like all others), `TextOnlyBlocks` accepts nothing but text, and `RouteFilter`
lets through only the routes that the page uses. So no uploaded file touches the disk, and no route reads
files from it.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

import gradio as gr
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; "
    # Gradio builds its templates with Function(), and starts from inline scripts.
    "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "connect-src 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
ALLOWED_ROUTES = re.compile(
    r"/|/config/?|/theme\.css|/manifest\.json|/robots\.txt|/favicon\.ico|/pwa_icon(/\d+)?|/(assets|static)/.+"
    r"|/gradio_api/(startup-events|heartbeat/\w+|queue/join|queue/data|cancel|reset/?|info|app_id|theme\.css)"
)


class TextOnlyBlocks(gr.Blocks):
    """Blocks whose events accept only text: each input as it was sent, None for an input that is not text.

    Gradio opens or fetches every input that declares itself a file before it calls any function, whether or
    not the field is meant for files, and whether or not the event is declared with `preprocess=False`.
    """

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[str | None]:
        """Return the inputs of an event, in place of Gradio's own preprocessing."""
        return [value if isinstance(value, str) else None for value in inputs]


class RouteFilter:
    """ASGI middleware that lets through the routes of Gradio that the page uses, for the page itself only.

    Gradio has more than a hundred routes. Some read files, take uploads, fetch addresses or change the app. A
    list of the routes that are needed does not grow with the next version. Gradio also answers scripts of any
    other site, with the visitor's credentials; here they are rejected.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an allowed request on; answer any other one with 403 or 404."""
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1000})
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")).rstrip("/")) or "/"
        if _is_cross_site(Headers(scope=scope)):
            await PlainTextResponse("not for other sites", 403)(scope, receive, send)
        elif ALLOWED_ROUTES.fullmatch(path):
            await self.app(scope, receive, _with_security_headers(send))
        elif path.startswith("/gradio_api/"):
            await PlainTextResponse("not open here", 403)(scope, receive, send)
        else:
            await PlainTextResponse("not found", 404)(scope, receive, send)


def _is_cross_site(headers: Headers) -> bool:
    """Return whether a script or form of another site sent the request; a link to the page does not count."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        is_navigation = (
            headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        )
        return site not in ("same-origin", "none") and not is_navigation
    # Browsers omit Sec-Fetch-Site if the page has no https. They send Origin with every POST.
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def _with_security_headers(send: Send) -> Send:
    """Wrap `send` to add headers that forbid scripts, fonts, images and frames of other sites."""

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [
                (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
            message = {**message, "headers": [*message.get("headers", []), *headers]}
        await send(message)

    return send_with_headers
