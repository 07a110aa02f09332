"""What a server takes as `response_format`: the form's JSON schema, as much of it as possible, or less.

OpenAI, Azure, Gemini, Together, Groq, Ollama, llama.cpp and LM Studio support different parts of JSON Schema,
and refuse the rest with status 400 in words of their own. A refused request is sent again with less: without
the keywords that the error names; if it names none, without all that can be left out; as `json_object`; as
plain text. What the server took is remembered for the model. What was left out is checked when the reply is
read (`judge.backends.openai.reply_reading`), and noted in the verdict.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from judge.rubrics.form import Form

Kind = Literal["json_schema", "json_object", "text"]
"""Value of `response_format.type`; for `text` the field is not sent."""

STRICT = "strict"
"""The member of `response_format` by which OpenAI enforces a schema."""
_ESSENTIAL = frozenset({"type", "properties", "required", "items", "enum"})
"""Keywords that stay in a schema. `enum` is left out where an error names it, but not that of texts: Gemini
takes it for texts only."""
_ORDINARY_WORDS = frozenset({"minimum", "maximum", "type", "required", "items", "properties", STRICT})
"""Keywords that are also words of other errors ("maximum context length"): there they count between quotes
only."""
_ABOUT_SCHEMA = re.compile(
    r"schema|response[_ ]?format|json_object|json mode|structured|grammar|guided|generation_?config",
    re.IGNORECASE,
)
_ABOUT_CONTENT = re.compile(
    r"context.?(length|window)|json_validate_failed|failed_generation|content_filter"
    r"|content management policy|rate.?limit|quota",
    re.IGNORECASE,
)
"""Errors about what a request holds or a model wrote, which another format would not change."""
_KIND_REFUSED = re.compile(
    r"(json_schema|json_object|response.?format)\W+(\w+\W+){0,6}?"
    r"(not (supported|available|allowed|permitted)|unsupported|unavailable|unknown|must be|extra inputs)"
    r"|(not support|unsupported|unknown|unrecognized|invalid value)\w*\W+(\w+\W+){0,6}?"
    r"(json_schema|json_object|response.?format|structured)"
    r"|\btype\W+must be",
    re.IGNORECASE,
)
"""A kind of format is refused as a whole, not a part of a schema."""
_WORD = re.compile(r"\$?[A-Za-z][A-Za-z_]*")
_QUOTES = "'\"`‘’“”"


@dataclass(frozen=True)
class ResponseFormat:
    """What one model on one server takes."""

    kind: Kind = "json_schema"
    refused: tuple[str, ...] = ()
    """Keywords that are left out of the schema, among them `STRICT`."""

    def fields(self, form: Form) -> dict[str, Any]:
        """Return the fields of a request for the answer to a form."""
        if self.kind == "text":
            return {}
        if self.kind == "json_object":
            return {"response_format": {"type": "json_object"}}
        strict = {} if STRICT in self.refused else {STRICT: True}
        schema = {"name": "verdict", **strict, "schema": _without(form.json_schema(), self.refused)}
        return {"response_format": {"type": "json_schema", "json_schema": schema}}

    def messages(self, form: Form, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the messages of a request. Where the server takes no schema, they end with it in words.

        Args:
            form: the form of the answer.
            messages: the messages as JSON.
        """
        if self.kind == "json_schema":
            return messages
        schema = json.dumps(form.json_schema(), ensure_ascii=False)
        text = f"Answer with one JSON object that follows this JSON schema, and nothing else: {schema}"
        *before, last = messages
        content = last["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        return [*before, {**last, "content": [*parts, {"type": "text", "text": text}]}]

    def after_refusal(self, message: str, form: Form) -> ResponseFormat | None:
        """Return what to send after the server refused this format.

        Args:
            message: the server's error text.
            form: the form of the answer.

        Returns:
            A format with less; None if the error is about something else, or there is nothing to leave out.
        """
        if self.kind == "text" or _ABOUT_CONTENT.search(message):
            return None
        is_about_schema = bool(_ABOUT_SCHEMA.search(message))
        if self.kind == "json_schema":
            sent = dict.fromkeys([*_keywords(form.json_schema()), STRICT])
            open_words = [word for word in sent if word not in self.refused]
            optional = [word for word in open_words if word not in _ESSENTIAL]
            if named := _named_words(message, [*optional, "enum"] if "enum" in open_words else optional):
                return replace(self, refused=(*self.refused, *named))
            if optional and is_about_schema and not _KIND_REFUSED.search(message):
                return replace(self, refused=(*self.refused, *optional))
        if not is_about_schema:
            return None
        return ResponseFormat("json_object" if self.kind == "json_schema" else "text")

    @property
    def note(self) -> str:
        """What the reader of a verdict should know; empty if the server takes the whole schema."""
        if self.kind == "json_schema":
            names = ", ".join(self.refused)
            return (
                f"the server refused {names} in the JSON schema: the reply was checked here" if names else ""
            )
        kind = "json_object" if self.kind == "json_object" else "plain text"
        return f"the server refused a JSON schema and was asked for {kind}: the reply was checked here"


def _without(schema: Any, keywords: tuple[str, ...]) -> Any:
    """Return a schema without keywords, at any depth. Names of properties are no keywords."""
    if not isinstance(schema, Mapping):
        return schema
    kept = {}
    for key, value in schema.items():
        if key == "properties":
            kept[key] = {name: _without(one, keywords) for name, one in value.items()}
        elif key == "enum" and all(isinstance(one, str) for one in value):
            kept[key] = value
        elif key not in keywords:
            kept[key] = _without(value, keywords)
    return kept


def _keywords(schema: Any) -> Iterator[str]:
    """Yield the keywords of a schema, at any depth."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            yield key
            for one in value.values() if key == "properties" else [value]:
                yield from _keywords(one)


def _named_words(message: str, words: list[str]) -> list[str]:
    """Return the words that an error names, in any spelling: `maxItems`, `max_items`, `MaxItems`."""
    by_spelling = {_spelling(word): word for word in words}
    is_about_schema = bool(_ABOUT_SCHEMA.search(message))
    found = dict[str, None]()
    for match in _WORD.finditer(message):
        word = by_spelling.get(_spelling(match[0]))
        is_quoted = message[: match.start()][-1:] in _QUOTES or message[match.end() :][:1] in _QUOTES
        if word and (is_about_schema or is_quoted or word not in _ORDINARY_WORDS):
            found[word] = None
    return list(found)


def _spelling(word: str) -> str:
    return word.replace("_", "").lower()
