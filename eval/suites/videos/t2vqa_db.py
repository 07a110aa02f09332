"""T2VQA-DB: text-to-video with one human score each.

Source: https://github.com/QMME/T2VQA

Labels: `info.txt` with lines `file|prompt|MOS`, MOS about 6.5 to 93. A prompt may contain the separator, so
the first and the last separator of a line count. The lines of the test split have four fields,
`file|prompt|number|MOS`, where the third field is a number: it is no part of the prompt.

Predictions: lines `file,score`.

Numbers: SRCC, PLCC, KRCC and RMSE. The set has no official single number. PLCC is raw, and `plcc_fitted` is
reported as well. `rmse` is taken after the 4-parameter logistic, `rmse_raw` without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_text
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.shared.samples import GroundTruth, SuiteSample
from judge.errors import InputError

_NUMBER = re.compile(r"[-+]?[0-9]+(\.[0-9]+)?")


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read `info.txt`."""
    for number, line in enumerate(read_text(path, "info.txt", ".txt", field="truth").splitlines(), 1):
        if not line.strip():
            continue
        name, first_separator, rest = line.partition("|")
        prompt, last_separator, mos = rest.rpartition("|")
        place = f"{path.name} line {number}"
        if not first_separator or not last_separator:
            raise InputError(place, line, "file|prompt|MOS", "fix the line")
        prompt = _drop_number(prompt)
        labels = GroundTruth(mos=parse_number(mos.strip(), place, "MOS"))
        yield SuiteSample(id=name.strip(), video=Path(name.strip()), prompt=prompt.strip(), labels=labels)


def _drop_number(prompt: str) -> str:
    """Return the prompt without the number that test lines hold between prompt and MOS."""
    text, separator, number = prompt.rpartition("|")
    return text if separator and _NUMBER.fullmatch(number.strip()) else prompt


SUITE = build_mos_suite(
    name="t2vqa-db",
    title="T2VQA-DB (text-to-video)",
    source="https://github.com/QMME/T2VQA",
    read_labels=read_labels,
    label_files={"all": ("info.txt",)},
    default_split="all",
    read_predictions=read_score_lines,
    protocol=MosProtocol(has_errors=True, weights={}),
    rubric="video",
    kind="video",
    mos_range=(0.0, 100.0),
)
