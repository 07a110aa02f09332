"""Parse request bodies, multipart or JSON, into the models of `judge.serve.http.schemas`.

Images and videos stay encoded here; the service decodes them in threads. Over HTTP, each is an uploaded file,
a `data:` URL, or a URL of an allowed host. It is never a path, as that would read the server's own files.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from judge.elements.splitters.registry import SPLITTER_NAMES
from judge.errors import InputError, MediaError
from judge.pipeline.rows import BadRow
from judge.pipeline.validation import get_row_id, select_media_fields
from judge.serve.fetcher import is_url
from judge.serve.http.errors import RequestRejected
from judge.serve.http.schemas import REQUESTS, Row, ScoresRequest
from judge.types import Sample, StrictModel

M = TypeVar("M", bound=StrictModel)
MAX_FORM_FIELDS = 100
THREADED_JSON_BYTES = 1 << 18
"""Size from which JSON is parsed in a thread, to keep the event loop free."""
MAX_JSON_DEPTH = 16
"""Levels of nesting in JSON; the schemas have four."""
_SEE_SCHEMA = "see /openapi.json for what this route takes"


async def parse_request(request: Request, schema: type[M]) -> M:
    """Parse and validate a JSON or multipart body.

    Args:
        request: the request.
        schema: model of the body, one of `judge.serve.http.schemas.REQUESTS`.

    Raises:
        RequestRejected: the body is neither a form nor JSON.
        InputError: a field is missing, unknown, or has a value that is not allowed.
    """
    media_fields = REQUESTS[schema]
    if _content_type(request) == "multipart/form-data":
        parsed = validate(schema, await _parse_form(request, media_fields), is_text=True)
    else:
        parsed = validate(schema, await parse_json_body(request))
    _check_media_fields(parsed, media_fields)
    return parsed


async def parse_json_body(request: Request) -> Any:
    """Parse a JSON body.

    Raises:
        RequestRejected: the content type is not JSON.
        InputError: the body is not valid JSON, or too deeply nested.
    """
    kind = _content_type(request)
    if kind != "application/json":
        allowed = "application/json, or multipart/form-data where the route takes files"
        raise RequestRejected(415, "Content-Type", kind, allowed, "set the type of what you send")
    body = await request.body()
    return (
        _parse_json(body) if len(body) < THREADED_JSON_BYTES else await asyncio.to_thread(_parse_json, body)
    )


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def validate(schema: type[M], fields: Any, is_text: bool = False) -> M:
    """Validate fields against a model.

    Args:
        schema: the model.
        fields: values of JSON, which must have the types that the schema says; `is_text`: of a form, where
            "1" is a number and "true" a truth value.
        is_text: as above.

    Raises:
        InputError: for the first bad field.
    """
    try:
        return schema.model_validate(fields, strict=not is_text)
    except ValidationError as error:
        first = error.errors()[0]
        # A field of several types has the type in its place: "elements.list[str].0".
        where = ".".join(str(part) for part in first["loc"] if part not in ("str", "list[str]")) or "body"
        raise InputError(where, first.get("input"), first["msg"], _SEE_SCHEMA) from None


def _check_media_fields(parsed: StrictModel, names: tuple[str, ...]) -> None:
    """Raise `MediaError` for an image or video in a form that HTTP does not take."""
    for name, value in select_media_fields({name: getattr(parsed, name) for name in names}).items():
        _check_media(value, name)


def _check_media(value: object, field: str) -> None:
    if isinstance(value, bytes) or is_url(value):
        return
    if not (isinstance(value, str) and value[:5].lower() == "data:"):
        allowed = "an uploaded file, or a base64 data: URL"
        kind = "video" if field == "video" else "image"
        mend = f"send the {kind} itself: paths are not read over HTTP"
        raise MediaError(field, value, allowed, "it is missing: send one" if value is None else mend)


def parse_rows(request: ScoresRequest, max_rows: int) -> list[Sample | BadRow]:
    """Return the rows of a batch as samples; a row that is not valid becomes a `BadRow` with the reason.

    A row that is no object has no id: it gets its place in the list, from 0, unless that is the id of another
    row.

    Raises:
        InputError: there are more than `max_rows` rows.
    """
    if len(request.rows) > max_rows:
        raise InputError("rows", len(request.rows), f"at most {max_rows}", "send them in several requests")
    ids = {get_row_id(row) for row in request.rows}
    return [
        _parse_row(row) if isinstance(row, Mapping) else _not_an_object(row, number, ids)
        for number, row in enumerate(request.rows)
    ]


def _not_an_object(row: object, number: int, ids: set[str]) -> BadRow:
    error = InputError(f"rows.{number}", row, "an object with the fields of a row", _SEE_SCHEMA)
    return BadRow("" if str(number) in ids else str(number), str(error))


def _parse_row(fields: Mapping[str, Any]) -> Sample | BadRow:
    try:
        row = validate(Row, fields)
        _check_media_fields(row, ("image", "video", "reference"))
    except InputError as error:
        return BadRow(get_row_id(fields), str(error))
    return Sample.model_validate(row.model_dump())


async def _parse_form(request: Request, media_fields: tuple[str, ...]) -> dict[str, Any]:
    """Return the fields of a form. `elements` may be repeated, hold one JSON list, or name a splitter."""
    fields: dict[str, Any] = {}
    async with request.form(max_files=len(media_fields), max_fields=MAX_FORM_FIELDS) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile) and name not in media_fields:
                raise InputError(name, "a file", "text, not a file", _SEE_SCHEMA)
            if name == "elements":
                fields.setdefault(name, []).append(value)
                continue
            if name in fields:
                raise InputError(name, value, "each field once", "send it once")
            fields[name] = await value.read() if isinstance(value, UploadFile) else value
    elements = fields.get("elements")
    if elements and len(elements) == 1 and elements[0].lstrip().startswith("["):
        fields["elements"] = _parse_json(elements[0].encode("utf-8", "surrogateescape"), "elements")
    elif elements and len(elements) == 1 and elements[0] in SPLITTER_NAMES:
        fields["elements"] = elements[0]
    return fields


def _parse_json(body: bytes, field: str = "body") -> Any:
    try:
        value = json.loads(body, parse_constant=_reject_constant)
    except RecursionError:
        raise _too_deep(field) from None
    except ValueError as error:
        raise InputError(field, f"{len(body)} bytes", "JSON in UTF-8", f"correct it: {error}") from None
    if _json_depth(value) > MAX_JSON_DEPTH:
        raise _too_deep(field)
    return value


def _too_deep(field: str) -> InputError:
    return InputError(field, "deeply nested JSON", f"at most {MAX_JSON_DEPTH} levels", "flatten it")


def _reject_constant(name: str) -> None:
    """Reject NaN and Infinity, which Python's parser accepts."""
    raise ValueError(f"{name} is not JSON")


def _json_depth(value: Any) -> int:
    """Count the levels of lists and objects, one level at a time, and stop above the limit."""
    level, depth = [value], 0
    while level and depth <= MAX_JSON_DEPTH:
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        depth += bool(level)
    return depth
