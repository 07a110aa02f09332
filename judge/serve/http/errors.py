"""Errors as HTTP sees them: a status, a few headers and one JSON shape for all of them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from judge.errors import InputError, JudgeError, Unavailable

SHOWN = 80
"""Characters of a refused value that are told back."""


class Refused(InputError):
    """A request that is refused before it is a question: which status, and the four parts of an error."""

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


def answer(error: Exception, request_id: str) -> Response:
    """The response to an error. Of one that nobody expected it tells nothing but the request's id."""
    status, headers = 500, dict[str, str]()
    told = {"field": "", "value": "", "allowed": "", "mend": "tell the operator the request_id"}
    message = "something went wrong inside the gateway"
    match error:
        case InputError():
            status, headers = getattr(error, "status", 400), getattr(error, "headers", {})
            told |= {"field": error.field, "allowed": error.allowed, "mend": error.mend}
            told["value"] = _shown(error.value)
            message = str(error)
        case Unavailable():
            status, message, told["mend"] = error.status, str(error), error.mend
            if error.retry_after:
                headers["Retry-After"] = str(math.ceil(error.retry_after))
        case JudgeError():
            status, message, told["mend"] = 503, str(error), "try again later"
        case HTTPException():
            status, headers = error.status_code, dict(error.headers or {})
            message = error.detail or HTTPStatus(status).phrase
            told |= {"field": "request", "mend": "see /openapi.json for what this server takes"}
    body = {"error": {**told, "message": message, "request_id": request_id}}
    return Response(_json(body), status, headers, "application/json")


def _shown(value: object) -> str:
    text = " ".join((value if isinstance(value, str) else repr(value)).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


def _json(body: dict[str, Any]) -> bytes:
    return json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
