"""Responses of a gateway, as data or as the errors that they stand for."""

from __future__ import annotations

import json
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from judge.errors import BackendError, DeadlineError, EngineDownError, InputError, OverloadedError
from judge.types import StrictModel, Verdict

M = TypeVar("M", bound=StrictModel)

RETRY_STATUSES = (429, 503)
"""Statuses after which a request is sent again: the server is full, or restarting."""


def check_response(response: httpx.Response) -> httpx.Response:
    """Return a successful response.

    Raises:
        InputError: the server rejected the request.
        BackendError: any other failure. `OverloadedError` (429), `EngineDownError` (503) and
            `DeadlineError` (504) are subclasses.
    """
    if response.is_success:
        return response
    try:
        error = parse_json(response)["error"]
        field, value, allowed, mend, message = (
            str(error[name]) for name in ("field", "value", "allowed", "mend", "message")
        )
    except (BackendError, KeyError, TypeError):
        status = response.status_code
        raise BackendError(f"{response.url}: status {status} without a gateway's error body") from None
    if 400 <= response.status_code < 500 and response.status_code not in RETRY_STATUSES:
        raise InputError(field, value, allowed, mend)
    by_status = {kind.status: kind for kind in (OverloadedError, EngineDownError, DeadlineError)}
    kind = by_status.get(response.status_code, BackendError)
    raise kind(f"{response.url.host}: {message} ({response.status_code})")


def parse_json(response: httpx.Response) -> Any:
    """Parse the body as JSON.

    Raises:
        BackendError: it is not JSON.
    """
    try:
        return json.loads(response.content)
    except (ValueError, RecursionError):
        raise BackendError(f"{response.url}: the response is not JSON") from None


def parse_model(response: httpx.Response, model: type[M]) -> M:
    """Parse the body as a model of `judge.types`.

    Raises:
        BackendError: it does not validate.
    """
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BackendError(f"{response.url}: not a valid {model.__name__}: {where}: {first['msg']}") from None


def parse_verdicts(response: httpx.Response, count: int) -> list[Verdict]:
    """Parse the body as a list of `count` verdicts.

    Raises:
        BackendError: it is not such a list.
    """
    try:
        verdicts = [Verdict.model_validate(verdict) for verdict in parse_json(response)["verdicts"]]
    except (ValidationError, KeyError, TypeError) as error:
        raise BackendError(f"{response.url}: no valid verdicts: {type(error).__name__}") from None
    if len(verdicts) != count:
        raise BackendError(f"{response.url}: {len(verdicts)} verdicts for {count} rows")
    return verdicts
