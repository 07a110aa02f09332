"""T2VQA-DB: text-to-video.

Labels: `info.txt` with lines `file|prompt|MOS`, MOS about 6.5 to 93; a prompt may hold the separator, so the
first and the last one of a line count. Predictions: lines `file,score`. The set has no official single
number; PLCC is raw, with the fitted one beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.base import Item, Truth
from eval.suites.opinions import Rule, opinion_suite
from eval.suites.readers import files
from judge.errors import InputError


def labels(path: Path) -> Iterator[Item]:
    """Rows of `info.txt`."""
    for at, line in enumerate(files.text(path, "info.txt", ".txt", field="truth").splitlines(), 1):
        if not line.strip():
            continue
        name, first, rest = line.partition("|")
        prompt, last, mos = rest.rpartition("|")
        where = f"{path.name} line {at}"
        if not first or not last:
            raise InputError(where, line, "file|prompt|MOS", "mend the line")
        truth = Truth(mos=files.number(mos.strip(), where, "MOS"))
        yield Item(id=name.strip(), video=Path(name.strip()), prompt=prompt.strip(), labels=truth)


SUITE = opinion_suite(
    name="t2vqa-db",
    title="T2VQA-DB (text-to-video)",
    source="https://github.com/QMME/T2VQA",
    labels=labels,
    files={"all": ("info.txt",)},
    default="all",
    predictions=files.scored_lines,
    rule=Rule(weights={}),
    rubric="video",
    kind="video",
    scale=(0.0, 100.0),
)
