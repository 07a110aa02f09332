"""Request bodies, multipart or JSON, read into the shapes of `judge.serve.http.schemas`.

Pictures and videos stay encoded here: they are decoded by the service, in threads. Over HTTP each is an
uploaded file, a `data:` URL, or a URL of an allowed host; never a path, which would read the server's own
files.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from judge.errors import InputError, MediaError
from judge.pipeline.rows import BadRow
from judge.pipeline.validation import there
from judge.serve.fetch import is_url
from judge.serve.http.errors import Refused
from judge.serve.http.schemas import Row, ScoresRequest
from judge.types import Model, Sample

M = TypeVar("M", bound=Model)
FIELDS = 100
"""Fields of a form at most."""
LARGE = 1 << 18
"""Bytes of JSON from which on parsing leaves the event loop."""
DEEPEST = 16
"""Levels of JSON; the shapes have four."""
_MEND = "see /openapi.json for what this route takes"


async def read(request: Request, shape: type[M], pictures: tuple[str, ...]) -> M:
    """Read and check a body.

    Raises:
        Refused: it is neither a form nor JSON.
        InputError: a field is missing, misspelt, or no such value is allowed.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        found = checked(shape, await _form(request, pictures))
    else:
        found = checked(shape, await read_json(request, kind))
    _check_pictures(found, pictures)
    return found


async def read_json(request: Request, kind: str | None = None) -> Any:
    kind = kind if kind is not None else request.headers.get("content-type", "").partition(";")[0].strip()
    if kind.lower() != "application/json":
        allowed = "application/json, or multipart/form-data where the route takes files"
        raise Refused(415, "Content-Type", kind, allowed, "name what you send")
    body = await request.body()
    return _parsed(body) if len(body) < LARGE else await asyncio.to_thread(_parsed, body)


def checked(shape: type[M], fields: Any) -> M:
    try:
        return shape.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "body"
        raise InputError(where, first.get("input"), first["msg"], _MEND) from None


def _check_pictures(found: Model, names: tuple[str, ...]) -> None:
    """Raises `MediaError` for a picture or video that is none as HTTP takes it."""
    for name, one in there({name: getattr(found, name) for name in names}).items():
        check_picture(one, name)


def check_picture(given: object, field: str) -> None:
    if isinstance(given, bytes) or is_url(given):
        return
    if not (isinstance(given, str) and given[:5].lower() == "data:"):
        allowed = "an uploaded file, or a base64 data: URL"
        what = "video" if field == "video" else "picture"
        mend = f"send the {what} itself: paths are not read over HTTP"
        raise MediaError(field, given, allowed, "it is missing: send one" if given is None else mend)


def rows(request: ScoresRequest, most: int) -> list[Sample | BadRow]:
    """The rows of a batch; a bad row is an item, never the end of it. Raises `InputError` for too many."""
    if len(request.rows) > most:
        raise InputError("rows", len(request.rows), f"at most {most}", "send them in several requests")
    return [_row(row) for row in request.rows]


def _row(given: Any) -> Sample | BadRow:
    try:
        row = checked(Row, given)
        _check_pictures(row, ("image", "video", "reference"))
    except InputError as error:
        name = given.get("id") if isinstance(given, dict) else None
        return BadRow(name if isinstance(name, str) else "", str(error))
    return Sample.model_validate(row.model_dump())


async def _form(request: Request, pictures: tuple[str, ...]) -> dict[str, Any]:
    """Fields of a form. `elements` may be repeated, or be one JSON list."""
    fields: dict[str, Any] = {}
    async with request.form(max_files=len(pictures), max_fields=FIELDS) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile) and name not in pictures:
                raise InputError(name, "a file", "text, not a file", _MEND)
            if name == "elements":
                fields.setdefault(name, []).append(value)
                continue
            if name in fields:
                raise InputError(name, value, "each field once", "send it once")
            fields[name] = await value.read() if isinstance(value, UploadFile) else value
    listed = fields.get("elements")
    if listed and len(listed) == 1 and listed[0].lstrip().startswith("["):
        fields["elements"] = _parsed(listed[0].encode("utf-8", "surrogateescape"), "elements")
    return fields


def _parsed(body: bytes, field: str = "body") -> Any:
    try:
        found = json.loads(body, parse_constant=_no_constant)
    except RecursionError:
        raise InputError(field, "deep JSON", f"at most {DEEPEST} levels", "flatten it") from None
    except ValueError as error:
        raise InputError(field, f"{len(body)} bytes", "JSON in UTF-8", f"mend it: {error}") from None
    if _depth(found) > DEEPEST:
        raise InputError(field, "deep JSON", f"at most {DEEPEST} levels", "flatten it")
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _depth(value: Any) -> int:
    """Levels of lists and objects, counted level by level and no deeper than is of interest."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        depth += bool(level)
    return depth
