"""Elements taken out of a prompt by the model itself, as a form that it fills: for large models.

Each element has a name, a kind and the number of an earlier one that must hold first (0: none), so that what
comes back is a graph without circles whatever the model writes.
"""

from __future__ import annotations

from typing import Any, get_args

from judge.backends.base import Reply, Request
from judge.elements.splitting import LIMIT, MAX_CHARS, clean
from judge.elements.statements import Kind, Statement
from judge.errors import ReplyError
from judge.rubrics.form import Choice, Form, Object, Repeat, Text
from judge.rubrics.templates import template


def form(limit: int = LIMIT) -> Form:
    """The list to fill, of one to `limit` elements."""
    item = Object(
        (
            ("name", Text("name", MAX_CHARS)),
            ("kind", Choice("kind", get_args(Kind), quoted=True)),
            ("needs", Choice("needs", tuple(map(str, range(limit + 1))))),
        )
    )
    return Form(Object((("elements", Repeat("elements", item, 1, limit)),)))


def request_elements(prompt: str, limit: int = LIMIT, seed: int = 0) -> Request:
    """The question; it shows no picture, so that elements cannot be taken from one."""
    text = template("elements").render(prompt=clean(prompt), kinds=get_args(Kind), limit=limit)
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    return Request(images=[], messages=messages, form=form(limit), seed=seed)


def read(asked: Request, reply: Reply | ReplyError) -> list[Statement]:
    """Statements with distinct names, in the model's order. One that needs itself or a later one needs none.

    Raises:
        ReplyError: the reply does not fit the form, or names nothing.
    """
    if isinstance(reply, ReplyError):
        raise reply
    listed = asked.form.parse(reply.text)["elements"]
    names = [clean(item["name"]) for item in listed]
    found: dict[str, Statement] = {}
    for number, (name, item) in enumerate(zip(names, listed, strict=True), 1):
        if name and name not in found:
            needed = names[item["needs"] - 1] if 0 < item["needs"] < number else ""
            found[name] = Statement(name=name, kind=item["kind"], needs=[needed] if needed in found else [])
    if not found:
        raise ReplyError("elements: the model named none")
    return list(found.values())
