"""Checks of what a caller gives, before any model sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from judge.elements.splitting import CONTROL, MAX_CHARS, clean
from judge.errors import InputError
from judge.types import Depth, How, Sample

if TYPE_CHECKING:
    from judge.backends.base import Backend

BACKENDS = ("auto", "transformers", "vllm", "openai")
MAX_PROMPT = 20_000
MAX_ELEMENTS = 64
_HALF = re.compile(r"[\ud800-\udfff]")


def check_backend(backend: str | Backend, base_url: str | None) -> str:
    """The name of the backend that is meant; empty for one of the caller's own. Raises `InputError`."""
    wanted = "openai" if backend == "auto" and base_url else backend
    if not isinstance(wanted, str):
        return ""
    if wanted not in BACKENDS:
        near = get_close_matches(wanted, BACKENDS, n=1, cutoff=0.0)[0]
        raise InputError("backend", wanted, ", ".join(BACKENDS), f"did you mean {near!r}?")
    if wanted == "openai" and not base_url:
        raise InputError("base_url", base_url, "the address of the server up to /v1", "give it with openai")
    if base_url and wanted != "openai":
        raise InputError("base_url", base_url, "none with this backend", "leave it out")
    return wanted


def is_address(model: object) -> bool:
    """Whether a model's name is the address of a gateway."""
    return isinstance(model, str) and model.lower().startswith(("http://", "https://"))


def check_depth(depth: Depth) -> Depth:
    if depth not in get_args(Depth):
        raise InputError("depth", depth, ", ".join(get_args(Depth)), "use one of them")
    return depth


def check_how(how: How) -> How:
    if how not in get_args(How):
        raise InputError("how", how, ", ".join(get_args(How)), "use one of them")
    return how


def there(given: Mapping[str, Any]) -> dict[str, Any]:
    """Pictures and videos by field, without those that need not be: a reference, and whichever of `image` and
    `video` the other stands in place of. Neither leaves the picture, to be missed by whoever reads it."""
    spare = {"reference", "video"} | ({"image"} if given.get("video") is not None else set())
    return {name: one for name, one in given.items() if one is not None or name not in spare}


def check_sample(given: Sample | Mapping[str, Any]) -> Sample:
    if isinstance(given, Sample):
        return given
    try:
        return Sample.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "sample"
        raise InputError(where, first.get("input"), "a Sample's fields", first["msg"]) from None


def check_prompt(prompt: str, needed: bool, notes: list[str]) -> str:
    """The prompt on one line: a line end in it could pass for a line of the instructions."""
    if len(prompt) > MAX_PROMPT:
        mend = f"it has {len(prompt)}: shorten it"
        raise InputError("prompt", prompt, f"at most {MAX_PROMPT} characters", mend)
    _check_unicode("prompt", prompt)
    if any(not mark.isspace() for mark in CONTROL.findall(prompt)):
        notes.append("control characters in the prompt were read as spaces")
    prompt = clean(prompt)
    if needed and not prompt:
        mend = "pass the text the picture was made from, or a rubric that needs none (quality)"
        raise InputError("prompt", prompt, "text that is not blank", mend)
    return prompt


def check_elements(elements: list[str] | None) -> list[str] | None:
    if elements is None:
        return None
    if len(elements) > MAX_ELEMENTS:
        raise InputError("elements", len(elements), f"at most {MAX_ELEMENTS}", "ask for fewer at once")
    kept: list[str] = []
    for name in elements:
        _check_unicode("elements", name)
        allowed = f"statements of 1 to {2 * MAX_CHARS} characters without control characters"
        if not name.strip():
            raise InputError("elements", name, allowed, "leave empty ones out")
        if len(name) > 2 * MAX_CHARS or CONTROL.search(name):
            raise InputError("elements", name, allowed, "reword it")
        name = " ".join(name.split())
        if name in kept:
            raise InputError("elements", name, "elements that differ", "give each element once")
        kept.append(name)
    return kept


def _check_unicode(field: str, text: str) -> None:
    if _HALF.search(text):
        raise InputError(field, text, "Unicode text", "it holds half a character (a lone surrogate)")


def printable(text: object) -> str:
    """Text that can be written as UTF-8 JSON whatever it came from."""
    return str(text).encode("utf-8", "replace").decode("utf-8")
