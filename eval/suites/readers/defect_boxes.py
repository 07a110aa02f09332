"""Read the labelled boxes of SDG-30K, from labels and from replies of models (`<answer>[...]</answer>`)."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.suites.readers.text_files import parse_number, read_json_lines
from judge.errors import InputError

LABELS = ("artifact", "misalignment", "both")
IMPORTANCE = ("negligible", "moderate", "critical")
TIERS = ((70, "critical"), (40, "moderate"), (1, "negligible"))
"""Least score 1..100 of each word; the paper's tiers critical and major are one, and minor and negligible."""
ORDERS = ("xyxy", "yxyx")
LIST_KEYS = ("ann_translated_bboxes", "boxes")
"""Keys of a list whose boxes name their labels."""
TYPE_KEYS = (
    {"artifact": "artifact_bboxes_ann", "misalignment": "misalignment_bboxes_ann"},
    {"artifact": "artifact_bboxes", "misalignment": "misalignment_bboxes"},
    {"artifact": "gemini_artifact_bboxes", "misalignment": "gemini_misalignment_bboxes"},
)
"""Label -> key of a list of boxes of this label."""
BOX_KEYS = ("box_2d", "bbox_2d", "bbox", "box")
DESCRIPTION_KEYS = ("description", "desc", "explanation", "reason")
REPLY_KEY = "response"


@dataclass(frozen=True)
class LabelledBox:
    """One box, predicted or true."""

    box: tuple[float, float, float, float]
    """x1, y1, x2, y2."""
    label: str
    """One of `LABELS`; a reply may have others, which match no true box."""
    importance: str = ""
    """One of `IMPORTANCE`, or empty."""
    importance_score: float | None = None
    """Importance 1..100, where it is a number."""

    def as_annotation(self) -> dict[str, Any]:
        """Return the fields that are set, for `GroundTruth.annotations`."""
        return {k: v for k, v in vars(self).items() if k != "importance_score" or v is not None}


@dataclass
class BoxRow:
    """One line of a file: an image and its boxes."""

    filepath: str
    caption: str = ""
    boxes: list[LabelledBox] = field(default_factory=list)
    descriptions: list[str] = field(default_factory=list)
    is_parsed: bool = True
    """False for a reply without a readable list of boxes; it counts as no box, as in the authors' script."""
    skipped: int = 0
    """Boxes of a reply that lack a box or label; they are left out, as in the authors' script."""


def read_box_rows(path: Path, field_name: str, order: str = "xyxy") -> Iterator[BoxRow]:
    """Yield the images of a JSONL file of labels or predictions.

    Args:
        path: the file.
        field_name: what the caller calls this input, for errors.
        order: order of the coordinates: xyxy, or yxyx as Gemini writes them.

    Raises:
        InputError: a line has another layout.
    """
    if order not in ORDERS:
        raise InputError("order", order, ", ".join(ORDERS), "choose one of these")
    for number, row in read_json_lines(path, field_name):
        place = f"{path.name} line {number}"
        name = row.get("filepath", row.get("filename")) if isinstance(row, dict) else None
        if not isinstance(name, str):
            raise InputError(place, row, "an object with filepath, caption and boxes", "fix the line")
        result = BoxRow(name, str(row.get("caption") or ""))
        if field_name == "pred" and REPLY_KEY in row:
            row = {REPLY_KEY: row[REPLY_KEY]}  # The authors' files of replies repeat the labels.
        _fill_boxes(result, row, place, order)
        yield result


def _fill_boxes(result: BoxRow, row: dict[str, Any], place: str, order: str) -> None:
    """Fill in the boxes of a line, from the first key that it has."""
    key = next((key for key in LIST_KEYS if key in row), None)
    keys = next((keys for keys in TYPE_KEYS if any(key in row for key in keys.values())), None)
    if key is not None:
        entries = [(entry, _check_label(entry, place)) for entry in _parse_list(row[key], f"{place}: {key}")]
    elif keys is not None:
        order = "yxyx" if keys is TYPE_KEYS[-1] else order
        entries = [
            (entry, label)
            for label, key in keys.items()
            for entry in _parse_list(row.get(key) or [], f"{place}: {key}")
        ]
    elif REPLY_KEY in row:
        reply = parse_reply(row[REPLY_KEY])
        valid = [entry for entry in reply or [] if _find_corners(entry) and _label_of(entry)]
        result.is_parsed, result.skipped = reply is not None, len(reply or []) - len(valid)
        entries = [(_drop_wrong_importance(entry), _label_of(entry)) for entry in valid]
    else:
        known = [*LIST_KEYS, *(key for keys in TYPE_KEYS for key in keys.values()), REPLY_KEY]
        raise InputError(place, sorted(row), f"one of the keys {', '.join(known)}", "fix the line")
    for entry, label in entries:
        result.boxes.append(_parse_box(entry, place, label, order))
        texts = entry if isinstance(entry, dict) else {}
        result.descriptions.append(next((str(texts[k]) for k in DESCRIPTION_KEYS if texts.get(k)), ""))


def parse_reply(text: Any) -> list[Any] | None:
    """Return the list of boxes in a model's reply; None where it has none that can be read.

    Tried in turn: the content of `<answer>...</answer>`, a fenced block, and the whole reply when it is a
    list. An empty answer is an empty list.
    """
    if not isinstance(text, str):
        return None
    answer = re.search(r"<answer>(.*?)</answer>", text, re.DOTALL)
    fence = re.search(r"```(?:json)?(.*?)```", answer.group(1) if answer else text, re.DOTALL)
    whole = text.strip() if text.strip().startswith("[") else None
    for part in (fence and fence.group(1), answer and answer.group(1), whole):
        if part is not None and (found := _load_list(part)) is not None:
            return found
    return None


def _load_list(text: str) -> list[Any] | None:
    """Parse a list in JSON or in Python's notation; None where it is neither, and [] for any other value."""
    if not text.strip():
        return []
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            return None
    return value if isinstance(value, list) else []


def _parse_list(value: Any, place: str) -> list[Any]:
    """Return a list, which may be written as text.

    Raises:
        InputError: it is no list.
    """
    parsed = _load_list(value) if isinstance(value, str) else value
    if not isinstance(parsed, list):
        raise InputError(place, value, "a list of boxes", "fix the line")
    return parsed


def _find_corners(entry: Any) -> list[Any] | None:
    """Return the four numbers of a box, an object or the list itself; None where they are not four."""
    corners = next((entry[k] for k in BOX_KEYS if k in entry), None) if isinstance(entry, dict) else entry
    return corners if isinstance(corners, list) and len(corners) == 4 else None


def _label_of(entry: Any) -> str:
    """Return the label of a box: of `type`, where this is one, else of `label`."""
    if not isinstance(entry, dict):
        return ""
    return str(
        entry["type"] if entry.get("type") in LABELS else entry.get("label") or entry.get("type") or ""
    )


def _check_label(entry: Any, place: str) -> str:
    label = _label_of(entry)
    if label not in LABELS:
        raise InputError(place, entry, f"a box with a label of {', '.join(LABELS)}", "fix the line")
    return label


def _drop_wrong_importance(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a box of a reply without an importance that is none: models write what they like."""
    try:
        parse_importance(entry.get("importance"), "")
    except InputError:
        return {**entry, "importance": None}
    return entry


def _parse_box(entry: Any, place: str, label: str, order: str) -> LabelledBox:
    corners = _find_corners(entry)
    if corners is None:
        raise InputError(f"{place}: box_2d", entry, "[x1, y1, x2, y2]", "fix the line")
    x1, y1, x2, y2 = (parse_number(corner, place, "box_2d") for corner in corners)
    if order == "yxyx":
        x1, y1, x2, y2 = y1, x1, y2, x2
    word, score = parse_importance(entry.get("importance") if isinstance(entry, dict) else None, place)
    return LabelledBox((x1, y1, x2, y2), label, word, score)


def parse_importance(value: Any, place: str) -> tuple[str, float | None]:
    """Return an importance as a word, and as a number 1..100 where it is one.

    Raises:
        InputError: it is neither a known word nor a number from 1 to 100.
    """
    if value is None or value == "":
        return "", None
    word = str(value).strip().lower()
    word = {"major": "critical", "minor": "negligible"}.get(word, word)
    if word in IMPORTANCE:
        return word, None
    expected, mend = f"{', '.join(IMPORTANCE)}, or a number from 1 to 100", "fix the line"
    try:
        score = parse_number(value, place)
    except InputError:
        raise InputError(f"{place}: importance", value, expected, mend) from None
    if not 1 <= score <= 100:
        raise InputError(f"{place}: importance", value, expected, mend)
    return next(word for least, word in TIERS if score >= least), score
