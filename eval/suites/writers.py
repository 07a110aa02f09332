"""What challenges want to be sent: lines, JSON lists and the readme they ask for.

A writer takes the rows of a complete run, in the order of the set, and gives the archive's files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from eval.suites.base import Row, Submission, answer_of, verdict_of
from judge.errors import InputError

README = {
    "runtime": "seconds per image in readme.txt; default: the mean of the run",
    "cpu": "1 when the run used no GPU, else 0; default 1",
    "extra-data": "1 when data beyond the challenge's was trained on, else 0; default 0",
    "description": "text after `Other description`; default: model, rubric and version of the run",
}
"""Options of the challenges' readme.txt."""


def lines_submission(file: str, *, predicts: str = "", header: str = "") -> Submission:
    """An archive with one text file of `name,score` lines."""
    return Submission(partial(_lines, file=file, predicts=predicts, header=header))


def objects_submission(
    file: str, key: str, score: str, *, predicts: str = "", llm: bool = True, per: str = "image"
) -> Submission:
    """An archive with a JSON list of `{key: name, score: number}` and a readme.txt."""
    options = {**README, "llm": "1 when a large language model is part of it, else 0; default 1"}
    return Submission(
        partial(_objects, file=file, key=key, score=score, predicts=predicts, llm=llm, per=per),
        options if llm else README,
    )


def number_of(row: Row, predicts: str = "") -> float:
    """The judge's number for one row.

    Raises:
        InputError: it gave none.
    """
    value = answer_of(row, predicts)
    if value is None:
        raise InputError(f"verdict {row.sample.id}", None, "a score", "judge it again")
    return value


def readme(rows: Sequence[Row], options: Mapping[str, str], *, llm: bool, per: str = "image") -> bytes:
    """readme.txt as the NTIRE challenges ask for it."""
    verdicts = [verdict_of(row) for row in rows[:1000]]
    seconds = sum(v.provenance.milliseconds for v in verdicts) / 1000 / max(1, len(verdicts))
    lines = [
        f"runtime per {per} [s] : {options.get('runtime', f'{seconds:.3f}')}",
        f"CPU[1] / GPU[0] : {_bit(options, 'cpu', '1')}",
        f"Extra Data [1] / No Extra Data [0] : {_bit(options, 'extra-data', '0')}",
    ]
    if llm:
        lines.append(f"LLM[1] / Non-LLM[0] : {_bit(options, 'llm', '1')}")
    told = options.get("description") or (_told(verdicts[0].provenance) if verdicts else "")
    lines.append(f"Other description : {' '.join(told.split())}")
    return ("\n".join(lines) + "\n").encode()


def _told(origin: Any) -> str:
    adapter = f" with adapter {origin.adapter}" if origin.adapter else ""
    return f"{origin.model}{adapter}, rubric {origin.rubric} {origin.rubric_hash}, judge {origin.version}"


def _bit(options: Mapping[str, str], name: str, default: str) -> str:
    value = options.get(name, default)
    if value not in ("0", "1"):
        raise InputError(name, value, "0 or 1", "give one of these")
    return value


def _lines(rows: Sequence[Row], *, file: str, predicts: str, header: str, **_: str) -> dict[str, bytes]:
    made = [f"{row.sample.id},{number_of(row, predicts):.6f}" for row in rows]
    return {file: ("\n".join([*([header] if header else []), *made]) + "\n").encode()}


def _objects(
    rows: Sequence[Row],
    *,
    file: str,
    key: str,
    score: str,
    predicts: str,
    llm: bool,
    per: str,
    **options: str,
) -> dict[str, bytes]:
    made = [{key: row.sample.id, score: round(number_of(row, predicts), 6)} for row in rows]
    return {file: dumped(made), "readme.txt": readme(rows, _dashed(options), llm=llm, per=per)}


def _dashed(options: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in options.items()}


def dumped(value: Any) -> bytes:
    """JSON as the organisers' scripts read it; a number that JSON lacks is an error here, not there."""
    return json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False).encode()
