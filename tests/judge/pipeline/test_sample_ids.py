"""Ids of samples: whole numbers are ids everywhere, and nothing else becomes one silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from random_backend import RandomBackend
from tables import read

from judge.judge import Judge
from judge.pipeline.rows import BadRow
from judge.serve.http.request_parsing import parse_rows, validate
from judge.serve.http.schemas import ScoresRequest, VerdictRequest
from judge.types import Sample, normalize_id

IMAGE = Image.new("RGB", (8, 8))
URL = "data:image/png;base64,AAAA"
BAD_IDS: list[Any] = [True, 1.5, float("nan"), float("inf"), 2.0**60, ["a"], {"a": 1}, b"a"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1"), (1.0, "1"), ("1", "1"), ("1.0", "1.0"), ("01", "01"), (0, "0"), (-3, "-3"),
     (10**30, "1" + "0" * 30), (np.int64(7), "7"), (np.float32(7), "7"), (None, "")],
)  # fmt: skip
def test_whole_numbers_are_ids_as_they_are_written(value: Any, text: str) -> None:
    assert normalize_id(value) == text
    (verdict,) = Judge(backend=RandomBackend(), rubric="quality").many([{"id": value, "image": IMAGE}])
    assert (verdict.id, verdict.status) == (text, "scored")
    assert Sample(id=value).id == validate(VerdictRequest, {"id": value, "image": URL}).id == text


@pytest.mark.parametrize("value", BAD_IDS, ids=repr)
def test_other_values_are_refused_with_the_field(value: Any) -> None:
    (verdict,) = Judge(backend=RandomBackend(), rubric="quality").many([{"id": value, "image": IMAGE}])
    assert verdict.status == "unscored" and verdict.id == ""
    assert verdict.reason.startswith("id:") and "whole number" in verdict.reason


@pytest.mark.parametrize("value", [5, 5.0, "5"])
def test_rows_over_http_keep_their_ids_also_when_they_are_bad(value: Any) -> None:
    rows = [{"id": value, "image": URL}, {"id": value, "image": "/etc/passwd"}, {"id": value, "other": 1}]
    parsed = parse_rows(ScoresRequest(rows=rows), 10)
    assert [row.id for row in parsed] == ["5"] * 3
    assert [isinstance(row, BadRow) for row in parsed] == [False, True, True]


def test_samples_that_are_no_objects_are_unscored_in_their_place() -> None:
    samples: list[Any] = [{"id": 1, "image": IMAGE}, 9, None, "a.png", [1], {"id": 2, "image": IMAGE}]
    verdicts = list(Judge(backend=RandomBackend(), rubric="quality").many(samples))
    assert [verdict.id for verdict in verdicts] == ["1", "", "", "", "", "2"]
    assert [verdict.status for verdict in verdicts] == ["scored", *["unscored"] * 4, "scored"]
    assert verdicts[1].reason.startswith("sample: 9 ")


def test_rows_of_files_keep_their_ids(tmp_path: Path) -> None:
    lines = [{"id": 1}, {"id": 2.0, "image": "a.png"}, {"id": "3", "image": 3}, {"id": [4], "image": "a.png"}]
    rows = read(tmp_path, "\n".join(map(json.dumps, lines)), "rows.jsonl")
    assert [row.id for row in rows] == ["1", "2", "3", ""]
    assert isinstance(rows[3], BadRow) and rows[3].reason.startswith("id:")
