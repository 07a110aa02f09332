"""Plain values of the cells of columns in memory: numpy, pyarrow, pandas, polars.

Trainers and data sets hand over the same text as a `str`, a numpy array of no dimensions, bytes, a pyarrow
scalar or a cell of a pandas column. None of these libraries is imported here; values are recognised by the
methods that turn them into Python's own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from judge.errors import InputError

_MISSING_TYPES = frozenset({"NAType", "NaTType"})
"""Names of the types of pandas' missing values."""
_CONVERSIONS = ("as_py", "to_pylist", "to_list", "tolist")
"""Methods that return Python's own values: of pyarrow scalars, pyarrow arrays, pandas and polars, numpy."""


def plain_value(cell: Any) -> Any:
    """Return a cell as Python's own values.

    Args:
        cell: text, bytes in UTF-8, a number, a mapping, a list, or anything with one of the methods
            `as_py`, `to_pylist`, `to_list`, `tolist`.

    Returns:
        The value: missing values (None, NaN, NA) as None, tuples and arrays as lists, bytes as text.

    Raises:
        UnicodeDecodeError: bytes are no UTF-8.
    """
    if isinstance(cell, str):
        return str(cell)
    if isinstance(cell, bytes | bytearray):
        return bytes(cell).decode("utf-8")
    if is_missing(cell):
        return None
    if isinstance(cell, Mapping):
        return {plain_value(key): plain_value(value) for key, value in cell.items()}
    if isinstance(cell, list | tuple):
        return [plain_value(value) for value in cell]
    for name in _CONVERSIONS:
        if callable(convert := getattr(cell, name, None)):
            return plain_value(convert())
    return cell


def is_missing(cell: Any) -> bool:
    """Return whether a cell holds no value: None, NaN, or the missing values of pandas and pyarrow."""
    if cell is None or type(cell).__name__ in _MISSING_TYPES:
        return True
    return isinstance(cell, float) and math.isnan(cell)


def read_text(cell: Any, field: str) -> str:
    """Return the text of a cell, "" for a missing value.

    Args:
        cell: the cell.
        field: name of the column in errors.

    Raises:
        InputError: the cell holds something else.
    """
    value = _plain(cell, field)
    if value is None:
        return ""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        raise InputError(field, cell, "text", "give one text for each row")
    return value


def read_elements(cell: Any, field: str = "elements") -> list[str] | str | None:
    """Return the elements of a cell, as `Sample.elements` takes them.

    Args:
        cell: a list of texts in any form, also nested; a text that holds a JSON list, or texts separated
            by ";"; the name of a splitter; or a missing value.
        field: name of the column in errors.

    Returns:
        The texts; the name of a splitter; None for a missing or empty value, so that the elements are taken
        from the prompt.

    Raises:
        InputError: the cell holds something else than texts.
    """
    value = _plain(cell, field)
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            value = _parse_json(text, cell, field)
        elif ";" in text:
            value = [part.strip() for part in text.split(";") if part.strip()]
        elif " " in text:  # no name of a splitter
            value = [text]
        else:
            return text or None
    if value is None or value == []:
        return None
    texts = _flatten(value) if isinstance(value, list) else [value]
    for text in texts:
        if not isinstance(text, str):
            raise InputError(field, text, "a list of texts", "leave empty ones out, give the others as text")
    return texts


def read_mapping(cell: Any, field: str) -> dict[str, Any]:
    """Return the mapping of a cell, empty for a missing value. Its values stay as they are.

    Args:
        cell: a mapping, the text of a JSON object, or a missing value.
        field: name of the column in errors.

    Raises:
        InputError: the cell holds something else.
    """
    is_plain = isinstance(cell, Mapping) and not hasattr(cell, "as_py")
    value = cell if is_plain else _plain(cell, field)
    if isinstance(value, str) and value.strip():
        value = _parse_json(value, cell, field)
    if value in (None, ""):
        return {}
    if not isinstance(value, Mapping):
        raise InputError(field, cell, "a mapping or None", "give one mapping for each row")
    return {str(key): value[key] for key in value}


def read_records(table: Any) -> Any:
    """Return the rows of a data frame or of a pyarrow table as mappings; anything else as it is."""
    if hasattr(table, "column_names") and callable(rows := getattr(table, "to_pylist", None)):
        return rows()
    if hasattr(table, "columns") and callable(rows := getattr(table, "to_dict", None)):
        return rows("records")
    return table


def _plain(cell: Any, field: str) -> Any:
    try:
        return plain_value(cell)
    except (UnicodeDecodeError, RecursionError):
        raise InputError(field, cell, "text in UTF-8", "decode it first") from None


def _parse_json(text: str, cell: Any, field: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise InputError(field, cell, "JSON, as it begins like it", "correct it") from None


def _flatten(values: list[Any]) -> list[Any]:
    """Return the items of nested lists in order."""
    flat: list[Any] = []
    for value in values:
        flat += _flatten(value) if isinstance(value, list) else [value]
    return flat
