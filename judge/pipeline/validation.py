"""Check the arguments and samples of a caller before a model sees them.

Each `check_*` function returns the checked value or raises `InputError`, which names the field, the value,
what is allowed and how to correct it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, get_args

from pydantic import ValidationError

from judge.elements.element_list import MAX_LISTED_ELEMENTS
from judge.elements.splitters.registry import check_splitter
from judge.elements.text import CONTROL_CHARACTERS, MAX_ELEMENT_CHARS, clean_text
from judge.errors import InputError
from judge.types import ComparisonOption, Depth, OutOfDomain, Sample, normalize_id

if TYPE_CHECKING:
    from judge.backends.base import Backend

BACKENDS = ("auto", "transformers", "vllm", "openai")
MAX_PROMPT_CHARS = 20_000
MAX_ELEMENTS = 64
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


def check_backend(backend: str | Backend, base_url: str | None) -> str:
    """Check the name of a backend and resolve "auto" with a `base_url` to "openai".

    Args:
        backend: one of `BACKENDS`, or a backend object of the caller.
        base_url: address of an OpenAI-compatible server, up to `/v1`.

    Returns:
        The name of the backend; empty for a backend object.

    Raises:
        InputError: the name is unknown, or `base_url` is missing or not allowed.
    """
    name = "openai" if backend == "auto" and base_url else backend
    if not isinstance(name, str):
        return ""
    if name not in BACKENDS:
        nearest = get_close_matches(name, BACKENDS, n=1, cutoff=0.0)[0]
        raise InputError("backend", name, ", ".join(BACKENDS), f"did you mean {nearest!r}?")
    if name == "openai" and not base_url:
        raise InputError("base_url", base_url, "the address of the server up to /v1", "pass it with openai")
    if base_url and name != "openai":
        raise InputError("base_url", base_url, "none with this backend", "leave it out")
    return name


def is_address(model: object) -> bool:
    """Return whether the name of a model is the address of a gateway."""
    return isinstance(model, str) and model.lower().startswith(("http://", "https://"))


def check_depth(depth: Depth) -> Depth:
    """Return the depth; raise `InputError` if it is unknown."""
    if depth not in get_args(Depth):
        raise InputError("depth", depth, ", ".join(get_args(Depth)), "use one of them")
    return depth


def check_how(how: ComparisonOption) -> ComparisonOption:
    """Return the way to compare two images; raise `InputError` if it is unknown."""
    if how not in get_args(ComparisonOption):
        raise InputError("how", how, ", ".join(get_args(ComparisonOption)), "use one of them")
    return how


def check_out_of_domain(out_of_domain: OutOfDomain) -> OutOfDomain:
    """Return what is done with samples outside the judge's domain; raise `InputError` if it is unknown."""
    if out_of_domain not in get_args(OutOfDomain):
        mend = "abstain gives no number, score gives one that means little"
        raise InputError("out_of_domain", out_of_domain, ", ".join(get_args(OutOfDomain)), mend)
    return out_of_domain


def select_media_fields(media: Mapping[str, Any]) -> dict[str, Any]:
    """Return the media fields of a sample without the absent optional ones.

    Args:
        media: field name (`image`, `video`, `reference`, ...) -> value or None.

    Returns:
        The fields with a value, and required fields without one: `reference` and `video` are optional,
        `image` is optional only if there is a video. If both are absent, `image` stays in with None, so that
        the function that reads it reports it.
    """
    optional = {"reference", "video"} | ({"image"} if media.get("video") is not None else set())
    return {name: value for name, value in media.items() if value is not None or name not in optional}


def check_sample(sample: Sample | Mapping[str, Any]) -> Sample:
    """Return the sample; a mapping of its fields is converted.

    Raises:
        InputError: a field is unknown or has the wrong type.
    """
    if isinstance(sample, Sample):
        return sample
    try:
        return Sample.model_validate(sample)
    except ValidationError as error:
        first = error.errors()[0]
        # A field of several types has the type in its place: "elements.list[str].0".
        field = ".".join(str(part) for part in first["loc"] if part not in ("str", "list[str]")) or "sample"
        raise InputError(field, first.get("input"), "a Sample's fields", first["msg"]) from None


def get_sample_id(sample: Sample | Mapping[str, Any]) -> str:
    """Return the id of a sample, which need not be valid, nor a sample at all."""
    return str(sample.id) if isinstance(sample, Sample) else get_row_id(sample)


def get_row_id(row: object) -> str:
    """Return the id of a row, which need not be valid; empty if it has none that can be used."""
    try:
        return normalize_id(row.get("id")) if isinstance(row, Mapping) else ""
    except ValueError:
        return ""


def check_prompt(prompt: str, needed: bool, notes: list[str], field: str = "prompt") -> str:
    """Return the prompt on one line, since a line end in it could look like a line of the instructions.

    Args:
        prompt: the prompt.
        needed: whether a blank prompt is an error.
        notes: a note is appended if control characters were replaced.
        field: name of the prompt in errors and notes.

    Raises:
        InputError: the prompt is too long, not valid Unicode, or blank although it is needed.
    """
    if len(prompt) > MAX_PROMPT_CHARS:
        mend = f"it has {len(prompt)}: shorten it"
        raise InputError(field, prompt, f"at most {MAX_PROMPT_CHARS} characters", mend)
    _check_unicode(field, prompt)
    if any(not mark.isspace() for mark in CONTROL_CHARACTERS.findall(prompt)):
        name = field.replace("_", " ")
        notes.append(f"control characters in the {name} were read as spaces")
    prompt = clean_text(prompt)
    if needed and not prompt:
        mend = "pass the text the image was generated from, or use a rubric that needs none (quality)"
        raise InputError(field, prompt, "text that is not blank", mend)
    return prompt


def check_max_elements(max_elements: int) -> int:
    """Return the largest number of elements that are taken from a prompt; raise `InputError` if unusable."""
    is_number = isinstance(max_elements, int) and not isinstance(max_elements, bool)
    if not is_number or not 1 <= max_elements <= MAX_ELEMENTS:
        mend = f"{MAX_LISTED_ELEMENTS} is the usual value"
        raise InputError("max_elements", max_elements, f"1 to {MAX_ELEMENTS}", mend)
    return max_elements


def check_elements(elements: list[str] | str | None) -> list[str] | None:
    """Return the elements with white space collapsed; None for None and for the name of a splitter.

    Raises:
        InputError: the name of a splitter is unknown, there are more than 64 elements, or one is blank, too
        long, duplicated, not valid Unicode
            or contains control characters.
    """
    if isinstance(elements, str):
        check_splitter(elements)
    if elements is None or isinstance(elements, str):
        return None
    if len(elements) > MAX_ELEMENTS:
        raise InputError("elements", len(elements), f"at most {MAX_ELEMENTS}", "pass fewer at once")
    checked: list[str] = []
    for name in elements:
        _check_unicode("elements", name)
        allowed = f"statements of 1 to {2 * MAX_ELEMENT_CHARS} characters without control characters"
        if not name.strip():
            raise InputError("elements", name, allowed, "leave empty ones out")
        if len(name) > 2 * MAX_ELEMENT_CHARS or CONTROL_CHARACTERS.search(name):
            raise InputError("elements", name, allowed, "reword it")
        name = " ".join(name.split())
        if name in checked:
            raise InputError("elements", name, "elements that differ", "give each element once")
        checked.append(name)
    return checked


def _check_unicode(field: str, text: str) -> None:
    if _LONE_SURROGATE.search(text):
        raise InputError(field, text, "Unicode text", "it contains a lone surrogate (half a character)")


def replace_surrogates(text: object) -> str:
    """Return the text of an object with lone surrogates replaced by "?", so that it can be encoded."""
    return str(text).encode("utf-8", "replace").decode("utf-8")
