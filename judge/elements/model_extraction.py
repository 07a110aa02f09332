"""Let a large model list the elements of a prompt by filling a form.

Each element has a name, a kind and the number of an earlier element that must hold first (0: none).
References can only point backwards, so the result is a graph without cycles whatever the model writes.
"""

from __future__ import annotations

from typing import Any, get_args

from judge.backends.base import Reply, Request
from judge.elements.splitting import MAX_SPLIT_ELEMENTS
from judge.elements.statements import Kind, Statement
from judge.elements.text import MAX_ELEMENT_CHARS, clean_text
from judge.errors import ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Choice, Object, Repeat, Text
from judge.rubrics.templates import load_template

LISTED_KINDS = tuple(kind for kind in get_args(Kind) if kind != "unchanged")
"""Kinds of statements that a model may list; what an edit keeps is read by rules."""


def extraction_form(limit: int = MAX_SPLIT_ELEMENTS) -> Form:
    """Return the form that the model fills: a list of 1 to `limit` elements."""
    item = Object(
        (
            ("name", Text("name", MAX_ELEMENT_CHARS)),
            ("kind", Choice("kind", LISTED_KINDS, quoted=True)),
            ("needs", Choice("needs", tuple(map(str, range(limit + 1))))),
        )
    )
    return Form(Object((("elements", Repeat("elements", item, 1, limit)),)))


def build_extraction_request(prompt: str, limit: int = MAX_SPLIT_ELEMENTS, seed: int = 0) -> Request:
    """Build the request that asks a model for the elements of a prompt.

    The request has no image, so the model cannot take elements from one.

    Args:
        prompt: the text that an image was generated from; inserted once, never read as a template.
        limit: maximum number of elements.
        seed: for backends that sample.

    Returns:
        The request; parse the reply with `parse_elements`.
    """
    text = load_template("elements").render(prompt=clean_text(prompt), kinds=LISTED_KINDS, limit=limit)
    messages: list[dict[str, Any]] = [{"role": "user", "content": [{"type": "text", "text": text}]}]
    return Request(images=[], messages=messages, form=extraction_form(limit), seed=seed)


def parse_elements(request: Request, reply: Reply | ReplyError) -> list[Statement]:
    """Parse the reply to a request of `build_extraction_request`.

    Args:
        request: the request.
        reply: the backend's reply.

    Returns:
        Statements with distinct names, in the model's order. A reference to the element itself or to a later
        one is dropped.

    Raises:
        ReplyError: the reply does not fit the form, or names no element.
    """
    if isinstance(reply, ReplyError):
        raise reply
    items = request.form.parse(reply.text)["elements"]
    names = [clean_text(item["name"]) for item in items]
    statements: dict[str, Statement] = {}
    for number, (name, item) in enumerate(zip(names, items, strict=True), 1):
        if name and name not in statements:
            needed = names[item["needs"] - 1] if 0 < item["needs"] < number else ""
            statements[name] = Statement(
                name=name, kind=item["kind"], needs=[needed] if needed in statements else []
            )
    if not statements:
        raise ReplyError("elements: the model named no element")
    return list(statements.values())
