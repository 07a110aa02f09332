"""Cells of columns in memory: numpy, pyarrow and pandas values become Python's own, and chats become text."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from judge.errors import InputError
from judge.tables.cells import read_elements, read_mapping, read_text
from judge.tables.chat_turns import chat_text

NAMES = ["a hat", "a dog"]


def no_dimensions(value: Any) -> np.ndarray:
    array = np.empty((), dtype=object)
    array[()] = value
    return array


@pytest.mark.parametrize(
    "cell",
    [
        tuple(NAMES),
        np.array(NAMES),
        np.array(NAMES, dtype=object),
        np.array(NAMES).astype("S"),
        no_dimensions(NAMES),
        no_dimensions(np.array(NAMES, dtype=object)),
        [np.str_(name) for name in NAMES],
        [[NAMES[0]], [NAMES[1]]],
        np.array([[name] for name in NAMES], dtype=object),
        pa.array(NAMES),
        pa.scalar(NAMES),
        pa.chunked_array([[name] for name in NAMES]),
        pd.Series(NAMES),
        pd.Series(NAMES, dtype="string").array,
        pd.Series(NAMES, dtype="category"),
        json.dumps(NAMES),
        "a hat; a dog",
        no_dimensions(json.dumps(NAMES)),
    ],
    ids=lambda cell: f"{type(cell).__name__}-{getattr(cell, 'dtype', '')}",
)
def test_elements_are_read_from_every_kind_of_column(cell: Any) -> None:
    assert read_elements(cell) == NAMES


MISSING = [
    None,
    float("nan"),
    np.float32("nan"),
    pd.NA,
    pd.NaT,
    pa.scalar(None),
    np.array(None),
    "",
    [],
    np.array([]),
]


@pytest.mark.parametrize("cell", MISSING, ids=lambda cell: type(cell).__name__)
def test_a_missing_value_has_no_elements_no_text_and_no_metadata(cell: Any) -> None:
    assert read_elements(cell) is None
    if not (hasattr(cell, "__len__") and not isinstance(cell, str)):
        assert read_text(cell, "negative_prompt") == ""
        assert read_mapping(cell, "metadata") == {}


@pytest.mark.parametrize(
    "cell", [[1, 2], ["a hat", None], {"a": 1}, b"\xff", "[1,", ["a hat", float("nan")], 7]
)
def test_elements_that_are_no_texts_are_one_error(cell: Any) -> None:
    with pytest.raises(InputError, match="elements"):
        read_elements(cell)


@pytest.mark.parametrize("name", ["rules", "auto", np.str_("words")])
def test_the_name_of_a_splitter_stays_one(name: str) -> None:
    assert read_elements(name) == str(name)


@pytest.mark.parametrize(
    "cell", [{"a": 1}, '{"a": 1}', pa.scalar({"a": 1}), no_dimensions({"a": 1}), np.array('{"a": 1}')]
)
def test_metadata_is_read_from_every_kind_of_column(cell: Any) -> None:
    assert read_mapping(cell, "metadata") == {"a": 1}
    with pytest.raises(InputError, match="metadata"):
        read_mapping([cell, cell], "metadata")


TURNS = [
    {"role": "system", "content": "Draw nicely."},
    {"role": "user", "content": "a dog"},
    {"role": "assistant", "content": "<svg>dog</svg>"},
    {"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "a cat"}]},
    {"role": "tool", "content": "42"},
]


@pytest.mark.parametrize(
    "cell",
    [
        TURNS,
        tuple(TURNS),
        np.array(TURNS, dtype=object),
        no_dimensions(TURNS),
        json.dumps(TURNS),
        np.array(json.dumps(TURNS)),
        pa.scalar([{"role": "user", "content": "a cat"}]),
        pa.array([{"role": "user", "content": "a cat"}]),
        pd.Series(TURNS),
        [TURNS],
        {"role": "user", "content": "a cat"},
        [{"role": "user", "content": [["a"], [{"type": "text", "text": "cat"}]]}],
        [{"role": "user", "content": ({"text": "a cat"}, {"type": "image_url", "image_url": {"url": "x"}})}],
        [{"from": "human", "value": "a cat"}, {"from": "gpt", "value": "fine"}],
        [{"content": "a dog"}, {"content": "a cat"}],
        np.array("a cat"),
        np.array(["a cat"]),
        b"a cat",
        pa.scalar("a cat"),
    ],
    ids=lambda cell: type(cell).__name__,
)
def test_the_prompt_of_a_chat_is_its_last_user_turn(cell: Any) -> None:
    assert chat_text(cell) == "a cat"


def test_the_text_of_a_completion_is_its_last_turn_of_the_assistant() -> None:
    assert chat_text(TURNS, "assistant") == "<svg>dog</svg>"
    assert chat_text([{"role": "assistant", "content": "<svg/>"}], "assistant") == "<svg/>"
    assert chat_text("<svg/>", "assistant") == "<svg/>"


@pytest.mark.parametrize(
    "text",
    ["[red] cat, {blue|green} hat", '{"subject": "a cat"}', '["a cat", "a dog"]', "[", '{"a": 1}', "[]"],
)
def test_a_text_that_is_no_chat_stays_as_it_is(text: str) -> None:
    assert chat_text(text) == text


@pytest.mark.parametrize(
    "cell",
    [
        [{"role": "user", "content": None}],
        [{"role": "user"}],
        [{"role": "user", "content": [{"type": "image"}]}],
        [{"role": "user", "content": [{"type": "text", "text": None}]}],
        [{"role": "user", "content": "a cat"}, {"role": "user", "content": None}],
        [{"role": "system", "content": "Draw."}],
        [{"role": "tool", "content": "42"}],
        [],
        None,
        float("nan"),
        pd.NA,
        3,
        [3],
        ["a cat", "a dog"],
        b"\xff\xfe",
        np.zeros((2, 2)),
    ],
    ids=repr,
)
def test_a_prompt_without_text_is_one_error(cell: Any) -> None:
    with pytest.raises(InputError, match="prompt"):
        chat_text(cell)
