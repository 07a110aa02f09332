"""The rows of one call of a reward: prompt, image and metadata, read one by one.

Trainers pass columns of any library (`judge.tables.cells`). A row with something that cannot be read has a
problem in place of a score; it never ends the call.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

from judge.errors import InputError
from judge.media.tensors import split_batch
from judge.tables.cells import is_missing, read_elements, read_mapping, read_records, read_text
from judge.tables.chat_turns import chat_text

log = logging.getLogger("judge.reward")


@dataclass(frozen=True)
class Missing:
    """Stands for a prompt, an image or metadata that could not be made. Its row is unscored."""

    reason: str
    """Why, in one line."""


@dataclass(frozen=True)
class Row:
    """One image to score."""

    prompt: str
    image: Any
    id: str = ""
    texts: Mapping[str, Any] = field(default_factory=dict)
    """`elements`, and `negative_prompt` if it is not empty, as `Sample` takes them."""
    problem: str = ""
    """Why the row cannot be scored; empty if nothing is known against it."""


def read_prompts(prompts: Any, *, is_needed: bool = True) -> list[str | Missing]:
    """Read a column of prompts.

    Args:
        prompts: a list, array or column of texts or chats; see `judge.tables.chat_turns.chat_text`.
        is_needed: whether a missing prompt is a problem of its row; else it is "".

    Raises:
        InputError: it is a single text, or no list.
    """
    mend = "put a single one in a list too"
    if isinstance(prompts, str | bytes | Mapping) or not isinstance(prompts, Iterable):
        raise InputError("prompts", prompts, "a list of texts", mend)
    try:
        cells = list(prompts)
    except TypeError:  # an array of no dimensions
        raise InputError("prompts", prompts, "a list of texts", mend) from None
    return [_read_prompt(cell, is_needed) for cell in cells]


def _read_prompt(cell: Any, is_needed: bool) -> str | Missing:
    if isinstance(cell, Missing):
        return cell
    if not is_needed and is_missing(cell):
        return ""
    try:
        return chat_text(cell)
    except InputError as error:
        return Missing(str(error))


def read_rows(prompts: Sequence[str | Missing], images: Any, metadata: Any) -> Iterator[Row]:
    """Check the arguments of a call as far as their length is known, and return their rows.

    Args:
        prompts: of `read_prompts`.
        images: one per prompt.
        metadata: a mapping or a missing value per prompt, or a table; None for none at all.

    Raises:
        InputError: an argument is not a list, or has another length.
    """
    metadata = read_records(metadata)
    for name, values in (("images", images), ("metadata", metadata)):
        is_single = isinstance(values, str | bytes | Mapping)
        if is_single or (values is not None and not isinstance(values, Iterable)):
            raise InputError(name, values, "a list, one for each prompt", "put a single one in a list too")
        length = len(values) if isinstance(values, Sized) else len(prompts)
        if values is not None and length != len(prompts):
            raise _length_error(name, length, prompts)
    if images is None:
        raise InputError("images", images, "a list, one for each prompt", "pass the images")
    return _zip_rows(prompts, images, metadata)


def _zip_rows(prompts: Sequence[str | Missing], images: Any, metadata: Any) -> Iterator[Row]:
    """Yield the rows. Raises `InputError` if an iterator has too few or too many items."""
    image_iterator = split_batch(images)
    metadata_iterator = iter(metadata) if metadata is not None else None
    end = object()
    for number, prompt in enumerate(prompts):
        image = next(image_iterator, end)
        fields = next(metadata_iterator, end) if metadata_iterator else None
        for name, value in (("images", image), ("metadata", fields)):
            if value is end:
                raise _length_error(name, number, prompts)
        yield _read_row(prompt, image, fields)
    for name, iterator in (("images", image_iterator), ("metadata", metadata_iterator)):
        if iterator is not None and next(iterator, end) is not end:
            raise _length_error(name, "more", prompts)


def _read_row(prompt: str | Missing, image: Any, fields: Any) -> Row:
    text = prompt if isinstance(prompt, str) else ""
    for value in (prompt, image, fields):
        if isinstance(value, Missing):
            return Row(text, None, problem=value.reason)
    try:
        metadata = read_mapping(fields, "metadata")
        id = "" if is_missing(metadata.get("id")) else str(metadata["id"])
    except InputError as error:
        return Row(text, None, problem=str(error))
    if isinstance(image, InputError):
        return Row(text, None, id, problem=str(image))
    try:
        texts: dict[str, Any] = {"elements": read_elements(metadata.get("elements"))}
        if negative_prompt := read_text(metadata.get("negative_prompt"), "negative_prompt"):
            texts["negative_prompt"] = negative_prompt
    except InputError as error:
        return Row(text, None, id, problem=str(error))
    return Row(text, image, id, texts)


def _length_error(name: str, length: int | str, prompts: Sequence[object]) -> InputError:
    """Return the error for an argument that has another length than the prompts."""
    return InputError(name, length, f"{len(prompts)}, as many as prompts", "pair them one to one")


def render_image(render: Callable[[str], Any], completion: Any) -> Any:
    """Render what a model wrote.

    Args:
        render: makes an image of a text; returns None where there is none.
        completion: text or chat turns, of which the last one of the assistant counts.

    Returns:
        The image; `Missing` if the completion has no text, or `render` fails or returns None.
    """
    try:
        text = chat_text(completion, "assistant", field="completion")
    except InputError as error:
        return Missing(str(error))
    try:
        image = render(text)
    except Exception as error:  # whatever it does with what a model wrote, it is a matter of this row
        log.debug("render failed", exc_info=True)
        return Missing(f"render: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
    return Missing("render: it returned no image for this completion") if image is None else image
