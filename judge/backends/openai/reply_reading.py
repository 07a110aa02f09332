"""Read a reply that no grammar held to its form: the values that the form allows, and notes on the rest.

A server under a schema of less than the form, or under none, may answer "4" for 4, write a label in another
case, or put a corner of a box outside the image. A value with one possible meaning is mended; a region
without a usable box, and a member that the form does not have, are left out; a blank without a usable answer
is missing, and what depends on it has no number (`judge.pipeline.parsing`). Each of these is a note.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from judge.backends.openai.reply_json import FoundObject, choose_object, find_objects
from judge.errors import ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import (
    BOX_CORNERS,
    Box,
    Choice,
    Node,
    Object,
    Repeat,
    Text,
    canonical_json,
    is_encodable,
    short_repr,
)

BOX_TOLERANCE = 0.02
"""Corners may lie this share of the image's side outside of it; they are then moved to its edge."""
_SHARE = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*(?:/|out of|of)\s*(\d+(?:\.\d+)?)\s*", re.IGNORECASE)
_YES_NO = {"true": "true", "yes": "true", "1": "true", "false": "false", "no": "false", "0": "false"}


@dataclass
class ReadReply:
    """What was read in a reply."""

    text: str
    """The canonical JSON of the values; the reply itself if nothing had to be mended."""
    start: int = 0
    """Offset in the reply where its JSON object begins."""
    end: int | None = None
    """Offset after it; None for the end of the reply."""
    notes: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict)
    """Name of a blank without a usable answer -> why."""
    renamed: dict[str, str | None] = field(default_factory=dict)
    """Path of an item of a list in the reply, or of a box -> its path now; None if it was left out, or its
    numbers are no longer those that the model chose."""

    def rename(self, probabilities: Mapping[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        """Return probabilities by the paths of the values that were kept."""
        kept = {}
        for path, shares in probabilities.items():
            prefix = max((p for p in self.renamed if path.startswith(f"{p}.")), key=len, default=None)
            if prefix is None:
                kept[path] = shares
            elif (now := self.renamed[prefix]) is not None:
                kept[now + path.removeprefix(prefix)] = shares
        return kept


def read_reply(form: Form, text: str) -> ReadReply:
    """Read a reply.

    Args:
        form: the form that was to be filled.
        text: the reply, without a thought before it.

    Raises:
        ReplyError: it holds no JSON object, or none of the form's members.
    """
    try:
        form.parse(text)
        return ReadReply(text)
    except ReplyError:
        pass
    mender = _Mender()
    found, start, end = _find_answer(form, text, mender.notes)
    values = mender.mend_object(form.root, _unwrap(form, found.value), "")
    if found.is_mended:
        mender.notes.insert(0, "the reply was almost JSON, and was read as such")
    if mender.missing and set(_blank_names(form.root)) == set(mender.missing):
        raise ReplyError(f"reply: nothing in it answers the form; {next(iter(mender.missing.values()))}")
    return ReadReply(canonical_json(values), start, end, tuple(mender.notes), mender.missing, mender.renamed)


def _find_answer(form: Form, text: str, notes: list[str]) -> tuple[FoundObject, int, int | None]:
    """Return the object that is the answer, and where it stands in the text. Raises `ReplyError`."""
    inner = _inner_text(text)
    found = choose_object(find_objects(inner), lambda value: _fits(form, value), notes)
    if found is None:
        raise ReplyError(f"reply: no complete JSON object in it ({short_repr(text.strip())})")
    return (found, found.start, found.end) if inner is text else (found, 0, None)


def _inner_text(text: str) -> str:
    """Return the text in a JSON string, where the reply is one; else the reply."""
    if text.lstrip().startswith('"'):
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            return text
        return inner if isinstance(inner, str) else text
    return text


def _fits(form: Form, value: dict[str, Any]) -> bool:
    """Return whether an object has an answer to every blank that is no text."""
    mender = _Mender()
    try:
        mender.mend_object(form.root, _unwrap(form, value), "")
    except ReplyError:
        return False
    return not mender.missing


def _unwrap(form: Form, value: dict[str, Any]) -> dict[str, Any]:
    """Return the object in an object of one member that is not the form's, such as {"verdict": {...}}."""
    names = {_fold(key) for key, _ in form.root.members}
    while len(value) == 1 and not names & {_fold(key) for key in value}:
        (inner,) = value.values()
        if not isinstance(inner, dict):
            break
        value = inner
    return value


class _Mender:
    """Reads values by the nodes of a form, and collects what it had to change."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.missing: dict[str, str] = {}
        self.renamed: dict[str, str | None] = {}

    def mend_object(self, node: Object, value: Any, path: str) -> dict[str, Any]:
        """Return the members that have a value; the others are in `missing`."""
        if not isinstance(value, dict):
            values = self.mend_object(node, {}, path)
            reason = f"{path or 'reply'}: {short_repr(value)} is not an object"
            self.missing |= dict.fromkeys(_blank_names(node), reason)
            return values
        members = self._match_keys(node, value, path)
        values = {}
        for key, child in node.members:
            where = f"{path}.{key}".lstrip(".")
            if key in members:
                mended = self._mend(child, members[key], where)
            else:
                mended = self._missing_value(child, where)
            if mended is not None:
                values[key] = mended
        return values

    def _missing_value(self, node: Node, path: str) -> Any:
        """Return the value of a member that the reply does not have: an empty one, or None for a blank."""
        match node:
            case Object():
                return self.mend_object(node, {}, path)
            case Text():
                if not node.is_optional:
                    self.notes.append(f"{path}: missing in the reply")
                return ""
        self.missing[node.name] = f"{path}: missing in the reply"
        return None

    def _match_keys(self, node: Object, value: dict[str, Any], path: str) -> dict[str, Any]:
        """Return the members of the form by its own keys. Others are noted."""
        keys = [key for key, _ in node.members]
        folded = {_fold(key): key for key in keys}
        members, unknown = {key: one for key, one in value.items() if key in keys}, []
        for key, one in value.items():
            if key in keys:
                continue
            meant = folded.get(_fold(key))
            if meant is None or meant in members:
                unknown.append(key)
            else:
                members[meant] = one
                self.notes.append(f"{f'{path}.{meant}'.lstrip('.')}: the reply called it {short_repr(key)}")
        if unknown:
            names = ", ".join(map(short_repr, unknown[:5])) + (", ..." if unknown[5:] else "")
            self.notes.append(f"{path or 'reply'}: left out what the form does not have: {names}")
        return members

    def _mend(self, node: Node, value: Any, path: str) -> Any:
        """Return the value of a node; None if it is missing."""
        match node:
            case Object():
                return self.mend_object(node, value, path)
            case Choice():
                return self._mend_choice(node, value, path)
            case Box():
                return self._mend_box(node, value, path)
            case Text():
                return self._mend_text(node, value, path)
            case Repeat():
                return self._mend_list(node, value, path)

    def _mend_choice(self, node: Choice, value: Any, path: str) -> Any:
        try:
            return node.check(value, path)
        except ReplyError as error:
            label = _find_label(node, value)
            if label is None:
                self.missing[node.name] = str(error)
                return None
        mended = json.loads(f'"{label}"' if node.quoted else label)
        self.notes.append(f"{path}: {short_repr(value)} was read as {label}")
        return mended

    def _mend_text(self, node: Text, value: Any, path: str) -> str:
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            value = " ".join(value)
        elif isinstance(value, int | float):
            value = str(value)
        if not isinstance(value, str):
            if value is not None:
                self.notes.append(f"{path}: {short_repr(value)} is not text and was left out")
            return ""
        if not is_encodable(value):
            self.notes.append(f"{path}: half characters were replaced by '?'")
            value = value.encode("utf-8", "replace").decode("utf-8")
        return node.check(value, path)

    def _mend_list(self, node: Repeat, value: Any, path: str) -> list[Any] | None:
        if value is None or (isinstance(value, str) and _fold(value) in ("", "none", "[]")):
            self.notes.append(f"{path}: {short_repr(value)} was read as an empty list")
            value = []
        elif isinstance(value, dict):
            self.notes.append(f"{path}: an object was read as a list of one")
            value = [value]
        if not isinstance(value, list):
            self.missing[node.name] = f"{path}: {short_repr(value)} is not a list"
            return None
        items: list[dict[str, Any]] = []
        for index, item in enumerate(value):
            old = f"{node.name}.{index}"
            if len(items) == node.max:
                self.notes.append(
                    f"{path}: {len(value)} items, those after the first {node.max} were left out"
                )
                self.renamed |= {f"{node.name}.{n}": None for n in range(index, len(value) + 1)}
                break
            inner = _Mender()
            mended = inner.mend_object(node.item, item, f"{path}.{index}")
            if inner.missing:
                self.notes.append(f"{next(iter(inner.missing.values()))}: this item was left out")
                self.renamed[old] = None
                continue
            self.notes += inner.notes
            now = f"{node.name}.{len(items)}"
            self.renamed[old] = now
            self.renamed |= {f"{old}.{name}": None for name in inner.renamed}
            items.append(mended)
        else:
            self.renamed[f"{node.name}.{len(value)}"] = f"{node.name}.{len(items)}"
        if len(items) < node.min:
            self.missing[node.name] = f"{path}: {len(items)} usable items, at least {node.min}"
            return None
        return items

    def _mend_box(self, node: Box, value: Any, path: str) -> list[int] | None:
        try:
            return node.check(value, path)
        except ReplyError as error:
            box = _to_box(node, value)
            if box is None:
                self.missing[node.name] = str(error)
                return None
        self.notes.append(f"{path}: {short_repr(value)} was read as {box}")
        self.renamed[node.name] = None
        return box


def _blank_names(node: Object) -> list[str]:
    """Return the names of the blanks of an object that are no texts."""
    names: list[str] = []
    for _, child in node.members:
        if isinstance(child, Object):
            names += _blank_names(child)
        elif not isinstance(child, Text):
            names.append(child.name)
    return names


def _fold(text: str) -> str:
    """Return a text without case, and with white space, `_` and `-` as single spaces."""
    return " ".join(re.split(r"[\s_\-\u00a0]+", text.casefold())).strip(" .,;:!\"'`*")


def _find_label(node: Choice, value: Any) -> str | None:
    """Return the label that a value means; None if that is not clear."""
    if node.quoted:
        folded = [label for label in node.labels if isinstance(value, str) and _fold(label) == _fold(value)]
        return folded[0] if len(folded) == 1 else None
    if set(node.labels) == {"true", "false"}:
        return _YES_NO.get(_fold(str(value))) if isinstance(value, str | int) else None
    number = _to_number(value, max(node.labels, key=_label_number))
    matching = [label for label in node.labels if number is not None and _label_number(label) == number]
    return matching[0] if matching else None


def _label_number(label: str) -> float:
    try:
        return float(label)
    except ValueError:
        return math.nan


def _to_number(value: Any, best: str = "") -> float | None:
    """Return the number in a value; a share such as "4/5" only if its second number is the best label."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value) if abs(value) < 1e9 else None
    if not isinstance(value, str) or len(value) > 40:
        return None
    if (share := _SHARE.fullmatch(value)) is not None:
        is_of_best = bool(best) and Fraction(share[2]) == Fraction(best)
        return float(share[1]) if is_of_best else None
    try:
        number = float(value.strip().rstrip("."))
    except ValueError:
        return None
    return number if math.isfinite(number) and abs(number) < 1e9 else None


def _to_box(node: Box, value: Any) -> list[int] | None:
    """Return four whole numbers in order and inside the image; None if that would be a guess."""
    if isinstance(value, dict):
        folded = {_fold(key).replace(" ", ""): one for key, one in value.items()}
        value = [folded.get(corner, folded.get(_MIN_MAX[corner])) for corner in node.corners]
    if not isinstance(value, list):
        return None
    if len(value) == 2 and all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        value = [*value[0], *value[1]]
    numbers = [_to_number(one) for one in value]
    if len(numbers) != 4 or any(number is None for number in numbers):
        return None
    named = {corner: float(number or 0) for corner, number in zip(node.corners, numbers, strict=True)}
    if max(named.values()) <= 1 and any(number % 1 for number in named.values()):
        return None  # shares of the side, which were not asked for
    limits = {"x": node.width, "y": node.height}
    for axis, limit in limits.items():
        low, high = sorted((named[f"{axis}1"], named[f"{axis}2"]))
        if low < -BOX_TOLERANCE * limit or high > (1 + BOX_TOLERANCE) * limit:
            return None
        named[f"{axis}1"], named[f"{axis}2"] = max(0, round(low)), min(limit, round(high))
        if named[f"{axis}1"] >= named[f"{axis}2"]:
            return None
    return [int(named[corner]) for corner in node.corners]


_MIN_MAX = dict(zip(BOX_CORNERS, ("xmin", "ymin", "xmax", "ymax"), strict=True))
"""Corner -> its other usual name."""
