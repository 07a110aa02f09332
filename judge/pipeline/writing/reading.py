"""Read an image and compare the lines with the texts that its sample wants."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from judge.elements.element_list import ElementList
from judge.elements.statements import Statement
from judge.elements.wanted_text import WantedText, find_wanted_texts, find_wanted_texts_of
from judge.errors import InputError
from judge.evidence import text
from judge.evidence.text_matching import TextMatch, comparable, match_text
from judge.media.regions import describe_position
from judge.types import Sample, TextLine

if TYPE_CHECKING:
    from PIL import Image

MAX_TOLD_LINES = 40
"""Lines that a model is told."""
MAX_TOLD_CHARS = 120
"""Characters of one of these lines."""
_CHAT_MARK = re.compile(r"<[|｜][^<>]*[|｜]>|</?s>|\[/?INST\]")
"""Matches what ends or begins a turn of a chat in the formats of common models."""


@dataclass(frozen=True)
class TextReading:
    """What was read in an image, and what of it is wanted."""

    lines: tuple[TextLine, ...]
    """In reading order."""
    statements: tuple[Statement, ...]
    """The elements that want a text; some may be among the elements of the request."""
    wanted: tuple[WantedText, ...]
    """The text of each statement."""
    matches: tuple[TextMatch, ...]
    """What was read for each of them."""
    decides_alone: bool = False
    """Whether the verdict rests on the reading alone, because the model does not know the rubric."""
    left_out: tuple[str, ...] = ()
    """If it decides alone: the elements that are not about writing."""
    max_defects: int = 0
    """Defects that the verdict lists, at most."""
    milliseconds: float = 0.0
    """Time of the reading."""


def check_reader(rubric: str) -> None:
    """Check that the package that reads is installed.

    Args:
        rubric: name of the rubric that needs it.

    Raises:
        InputError: it is not.
    """
    if not text.is_available():
        allowed = "a rubric without `texts` while the package rapidocr is missing"
        raise InputError("rubric", rubric, allowed, f"install it: {text.HOW_TO_INSTALL}")


def find_sample_texts(sample: Sample) -> list[WantedText]:
    """Return the texts that a sample wants.

    They are those of its own elements, if one of them names a text, else those of its prompt; and those of
    its negative prompt, which must be absent.
    """
    wanted = find_wanted_texts_of(sample.elements) if isinstance(sample.elements, list) else []
    wanted = wanted or find_wanted_texts(sample.prompt)
    unwanted = [replace(w, expected=False) for w in find_wanted_texts(sample.negative_prompt)]
    return [*wanted, *unwanted]


def state_texts(listed: ElementList, wanted: Sequence[WantedText]) -> list[Statement]:
    """Return a statement for each wanted text: the element that names it, or a new one.

    Args:
        listed: the elements of the sample.
        wanted: the texts.
    """
    statements: list[Statement] = []
    for own in wanted:
        found = next((s for s in listed.statements if s not in statements and _names(s, own)), None)
        statements.append(
            found or Statement(name=own.statement, kind="text", expected=own.expected, word=own.text)
        )
    return statements


def add_text_statements(listed: ElementList, wanted: Sequence[WantedText]) -> ElementList:
    """Return the elements with one for each wanted text that none of them names."""
    names = {statement.name for statement in listed.statements}
    added = [s for s in state_texts(listed, wanted) if s.name not in names]
    return replace(listed, statements=[*listed.statements, *added]) if added else listed


def _names(statement: Statement, wanted: WantedText) -> bool:
    """Return whether a statement is that an image shows, or does not show, a text."""
    if statement.kind != "text" or statement.expected != wanted.expected:
        return False
    return comparable(wanted.text) in comparable(f"{statement.name} {statement.word}")


def read_image(image: Image.Image, listed: ElementList, wanted: Sequence[WantedText]) -> TextReading:
    """Read an image and compare what was read with the wanted texts.

    Args:
        image: the original.
        listed: the elements of the sample.
        wanted: the texts that the image must show, or must not.

    Raises:
        BackendError: the reader cannot be loaded.
    """
    start = time.perf_counter()
    lines = text.read_text_lines(image)
    matches = [match_text(own.text, lines, case_counts=own.case_counts) for own in wanted]
    statements = state_texts(listed, wanted)
    names = {statement.name for statement in statements}
    left_out = tuple(s.name for s in listed.statements if s.name not in names)
    return TextReading(
        lines=tuple(lines),
        statements=tuple(statements),
        wanted=tuple(wanted),
        matches=tuple(matches),
        left_out=left_out,
        milliseconds=(time.perf_counter() - start) * 1000,
    )


def describe_lines(lines: Sequence[TextLine], size: tuple[int, int]) -> list[str]:
    """Return the lines as a model is told them: JSON strings with their places.

    What is read may be written to be read: quotation marks are escaped, marks of a chat's turns are removed,
    and the number and length of the lines are limited.

    Args:
        lines: in reading order.
        size: width and height of the image in pixels.
    """
    told = []
    for line in lines[:MAX_TOLD_LINES]:
        content = _CHAT_MARK.sub(" ", line.text)
        content = content if len(content) <= MAX_TOLD_CHARS else f"{content[:MAX_TOLD_CHARS]}…"
        told.append(f"{json.dumps(content, ensure_ascii=False)} ({describe_position(line.box, *size)})")
    if len(lines) > MAX_TOLD_LINES:
        told.append(f"and {len(lines) - MAX_TOLD_LINES} more lines")
    return told
