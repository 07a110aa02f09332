"""The teacher's answer about each image, written line by line. An interrupted run continues the file."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eval.suites.shared.samples import SuiteSample
from judge.errors import InputError
from judge.judge import Judge
from judge.rubrics.schema import SCORE_LABELS
from judge.types import Verdict


@dataclass(frozen=True)
class TeacherLabel:
    """The teacher's answer about one image."""

    probabilities: Mapping[str, list[float]] = field(default_factory=dict)
    """Path of a blank -> probabilities of its labels; empty if the teacher gave no verdict."""
    facts: Mapping[str, float] = field(default_factory=dict)
    """Measured facts, by name."""

    @property
    def score(self) -> float:
        """Expectation of the score, 1 to 5."""
        return sum(label * share for label, share in enumerate(self.probabilities["score"], 1))


def label_samples(
    judge: Judge,
    samples: Sequence[SuiteSample],
    blanks: Mapping[str, Sequence[str]],
    out: Path,
    batch: int,
    tick: Callable[[int], None],
) -> list[TeacherLabel]:
    """Judge all samples at depth `score`.

    Args:
        judge: the teacher.
        samples: the samples.
        blanks: path of a blank -> its labels.
        out: file with one line for each sample, in order. Samples that have a line are not judged again.
        batch: images judged at once.
        tick: called with the number of samples done.

    Raises:
        InputError: the teacher gave no verdict on more than half of the images.
        BackendError: the teacher cannot run.
    """
    lines = list(_read_complete_lines(out))
    with out.open("a", encoding="utf-8") as file:
        remaining = (sample.to_sample() for sample in samples[len(lines) :])
        for verdict in judge.many(remaining, depth="score", batch=batch):
            lines.append(_to_line(verdict, blanks))
            file.write(json.dumps(lines[-1]) + "\n")
            file.flush()
            tick(len(lines))
    labels = [TeacherLabel(line.get("told", {}), line.get("facts", {})) for line in lines]
    reasons = [line["reason"] for line in lines if "reason" in line]
    if 2 * len(reasons) > len(labels):
        mend = f"fix the teacher first; its reason: {reasons[0]}"
        raise InputError("teacher", f"{len(reasons)} of {len(labels)} images unscored", "at most half", mend)
    return labels


def _read_complete_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the complete lines of the file, and remove an incomplete last line."""
    if not path.is_file():
        return
    text = path.read_text("utf-8")
    complete = text[: text.rfind("\n") + 1]
    if complete != text:
        path.write_text(complete, "utf-8")
    yield from map(json.loads, complete.splitlines())


def _to_line(verdict: Verdict, blanks: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    if verdict.status == "unscored":
        return {"reason": verdict.reason}
    probabilities = {blank: _probabilities(verdict, blank, labels) for blank, labels in blanks.items()}
    return {"told": probabilities, "facts": verdict.facts}


def _probabilities(verdict: Verdict, blank: str, labels: Sequence[str]) -> list[float]:
    """Return the probabilities of a blank's labels from a verdict."""
    kind, _, name = blank.partition(".")
    if kind == "attributes":
        probabilities = verdict.attributes[name].probabilities
        return [probabilities.get(label, 0.0) for label in labels]
    distribution = verdict.distribution if blank == "score" else verdict.dimensions[name].distribution
    return list(distribution or [0.2] * len(SCORE_LABELS))
