"""What the teacher says of every picture, one line each, kept as it comes: a run that was cut off goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.suites.base import Item
from judge.errors import InputError
from judge.judge import Judge
from judge.rubrics.rubric import SCALE
from judge.types import Verdict


@dataclass(frozen=True)
class Label:
    """The teacher's answer about one picture."""

    told: Mapping[str, list[float]] = field(default_factory=dict)
    """Path of a blank -> probabilities of its labels; empty: the teacher gave no verdict."""
    facts: Mapping[str, float] = field(default_factory=dict)

    @property
    def score(self) -> float:
        """Expectation, 1 to 5."""
        return sum(label * share for label, share in enumerate(self.told["score"], 1))


def labels(
    judge: Judge,
    items: Sequence[Item],
    blanks: Mapping[str, Sequence[str]],
    out: Path,
    batch: int,
    tick: Callable[[int], None],
) -> list[Label]:
    """Have all items judged at depth `score`; OUT holds one line for each, in order.

    Raises:
        InputError: the teacher gave no verdict on more than half of the pictures.
        BackendError: the teacher cannot be run.
    """
    lines = list(_whole_lines(out))
    with out.open("a", encoding="utf-8") as file:
        verdicts = judge.many((item.asked() for item in items[len(lines) :]), depth="score", batch=batch)
        for verdict in verdicts:
            lines.append(_line(verdict, blanks))
            file.write(json.dumps(lines[-1]) + "\n")
            file.flush()
            tick(len(lines))
    found = [Label(line.get("told", {}), line.get("facts", {})) for line in lines]
    silent = [line["reason"] for line in lines if "reason" in line]
    if 2 * len(silent) > len(found):
        mend = f"mend the teacher first; it said: {silent[0]}"
        raise InputError("teacher", f"{len(silent)} of {len(found)} pictures unscored", "at most half", mend)
    return found


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines that were written to their end; half a one is cut off."""
    if not path.is_file():
        return
    text = path.read_text("utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, "utf-8")
    yield from map(json.loads, whole.splitlines())


def _line(verdict: Verdict, blanks: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    if verdict.status == "unscored":
        return {"reason": verdict.reason}
    return {"told": {blank: _shares(verdict, blank, known) for blank, known in blanks.items()},
            "facts": verdict.facts}  # fmt: skip


def _shares(verdict: Verdict, blank: str, known: Sequence[str]) -> list[float]:
    """The probabilities of a blank's labels, out of the verdict that was made of them."""
    kind, _, name = blank.partition(".")
    if kind == "attributes":
        told = verdict.attributes[name].probabilities
        return [told.get(label, 0.0) for label in known]
    distribution = verdict.distribution if blank == "score" else verdict.dimensions[name].distribution
    return list(distribution or [0.2] * len(SCALE))
