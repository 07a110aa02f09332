"""T2VQA-DB: text-to-video with one human score each.

Source: https://github.com/QMME/T2VQA

Labels: `info.txt` with lines `file|prompt|MOS`, MOS about 6.5 to 93. A prompt may contain the separator, so
the first and the last separator of a line count. The organisers' `test.py` reads lines of four fields,
`file|prompt|number|MOS`, whose third field is a number and no part of the prompt. Lines are taken as of four
fields where every line of the file has such a number; `--option fields=3` or `fields=4` states it.

Predictions: lines `file,score`.

Numbers: SRCC, PLCC, KRCC and RMSE, as in `test.py`. The set has no official single number. PLCC is raw, and
`plcc_fitted` is reported as well. `rmse` is the organisers': predictions are first rescaled to the mean and
the standard deviation of the labels. `rmse_fitted` is taken after the 4-parameter logistic, `rmse_raw`
without a mapping; `mae_fitted` and `mae_raw` likewise.

What differs: the organisers split the lines at random, with 80 % for training; here the whole file is one
split.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_text
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite, score_mos_files
from eval.suites.shared.reading import read_samples
from eval.suites.shared.samples import GroundTruth, SuiteSample
from eval.suites.shared.suite import Metrics
from judge.errors import InputError

SOURCE = "https://github.com/QMME/T2VQA"
LABEL_FILES = {"all": ("info.txt",)}
PROTOCOL = MosProtocol(errors="rescaled", weights={})
FIELDS_HELP = "fields of each line of info.txt, 3 or 4; default: 4 where all lines have a number before MOS"
_FOUR_FIELDS = re.compile(r"[^|]*\|.*\|\s*[-+]?[0-9]+(\.[0-9]+)?\s*\|[^|]*")


def read_labels(path: Path, fields: str = "") -> Iterator[SuiteSample]:
    """Read `info.txt`.

    Args:
        path: the file.
        fields: `3` or `4`, the fields of each line; empty: 4 where all lines have a number before the MOS.

    Raises:
        InputError: `fields` has another value, or a line has another layout.
    """
    if fields not in ("", "3", "4"):
        raise InputError("fields", fields, "3 or 4", "choose one of these")
    text = read_text(path, "info.txt", ".txt", field="truth")
    lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    has_number = fields == "4" or (not fields and all(_FOUR_FIELDS.fullmatch(line) for _, line in lines))
    for number, line in lines:
        name, first_separator, rest = line.partition("|")
        prompt, last_separator, mos = rest.rpartition("|")
        place = f"{path.name} line {number}"
        if not first_separator or not last_separator:
            raise InputError(place, line, "file|prompt|MOS", "fix the line")
        if has_number:
            prompt, separator, _ = prompt.rpartition("|")
            if not separator:
                raise InputError(place, line, "file|prompt|number|MOS", "fix the line, or give fields=3")
        labels = GroundTruth(mos=parse_number(mos.strip(), place, "MOS"))
        yield SuiteSample(id=name.strip(), video=Path(name.strip()), prompt=prompt.strip(), labels=labels)


def score_files(pred: Path, truth: Path, *, fields: str = "") -> Metrics:
    """Compute the official numbers of a prediction file."""
    return score_mos_files(
        pred,
        truth,
        read_labels=partial(read_labels, fields=fields),
        read_predictions=read_score_lines,
        protocol=PROTOCOL,
    )


def read(
    data: Path, split: str | None = None, *, media: bool = True, fields: str = ""
) -> Iterator[SuiteSample]:
    """Read the samples of a folder or label file; see `read_samples`."""
    return read_samples(
        data,
        split,
        read_labels=partial(read_labels, fields=fields),
        label_files=LABEL_FILES,
        default_split="all",
        source=SOURCE,
        kind="video",
        media=media,
    )


_SUITE = build_mos_suite(
    name="t2vqa-db",
    title="T2VQA-DB (text-to-video)",
    source=SOURCE,
    read_labels=read_labels,
    label_files=LABEL_FILES,
    default_split="all",
    read_predictions=read_score_lines,
    protocol=PROTOCOL,
    rubric="video",
    kind="video",
    mos_range=(0.0, 100.0),
)
SUITE = replace(
    _SUITE,
    read=read,
    score_files=score_files,
    options={"fields": FIELDS_HELP},
    score_options={"fields": FIELDS_HELP},
)
