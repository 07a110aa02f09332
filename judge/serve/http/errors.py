"""Errors over HTTP: a status, a few headers, and one JSON shape for all of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from judge.errors import InputError, JudgeError, UnavailableError

MAX_VALUE_CHARS = 80
"""Characters of a rejected value that an error repeats."""


class RequestRejected(InputError):
    """A request that is rejected by its headers or body, before its content is judged.

    Args:
        status: HTTP status of the response.
        field: as in `InputError`, like the next three.
        value: the value that was sent.
        allowed: what is allowed.
        mend: what to do.
        headers: headers of the response.
    """

    def __init__(
        self,
        status: int,
        field: str,
        value: object,
        allowed: str,
        mend: str,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(field, value, allowed, mend)
        self.status, self.headers = status, dict(headers or {})


def error_response(error: Exception, request_id: str) -> Response:
    """Return the response to an error. An unexpected error reveals nothing but the id of the request."""
    status, headers = 500, dict[str, str]()
    fields = {"field": "", "value": "", "allowed": "", "mend": "tell the operator the request_id"}
    message = "something went wrong inside the gateway"
    match error:
        case InputError():
            status, headers = getattr(error, "status", 400), getattr(error, "headers", {})
            fields |= {"field": error.field, "allowed": error.allowed, "mend": error.mend}
            fields["value"] = _shorten(error.value)
            message = str(error)
        case UnavailableError():
            status, message, fields["mend"] = error.status, str(error), error.mend
            if error.retry_after:
                headers["Retry-After"] = str(math.ceil(error.retry_after))
        case JudgeError():
            status, message, fields["mend"] = 503, str(error), "try again later"
        case HTTPException():
            status, headers = error.status_code, dict(error.headers or {})
            message = error.detail or HTTPStatus(status).phrase
            fields["allowed"] = headers.get("Allow", "")
            fields |= {
                "field": "method" if status == 405 else "request",
                "mend": "see /openapi.json for what this server takes",
            }
    body = {"error": {**fields, "message": message, "request_id": request_id}}
    return Response(_to_json(body), status, headers, "application/json")


def _shorten(value: object) -> str:
    text = " ".join((value if isinstance(value, str) else repr(value)).split())
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[: MAX_VALUE_CHARS - 1]}…"


def _to_json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
