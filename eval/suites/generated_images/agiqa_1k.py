"""AGIQA-1K: 1,080 AI-generated images with one human score each.

Source: https://github.com/lcysyzxdxc/AGIQA-1k-Database

Labels, as the repository has them: `AIGC_all.csv` with the header `Image,Score` (mean opinions, 0 to 5), and
`AIGC_MOS_Zscore.xlsx` with `Image, Prompt, MOS` (the opinions as z-scores). The CSV file is read where both
are there; the workbook is read when it is named as `--data` or `--truth`. Their scores differ (their
correlation is .84), so results on the one are not results on the other.

- Prompts are only in the workbook. They are taken from it by name when it lies next to the CSV file; two
  names of the CSV file are not in it, and those images are judged without a prompt.
- The workbook has one name twice, with two scores. Which of them belongs to the image is not known, so this
  image has no score: it is left out of the numbers, and counted in `unlabelled`.
- A CSV file saved from the workbook (`Image,Prompt,MOS`) is read like the workbook.

Predictions: lines `name,score`.

Numbers: SRCC, PLCC and KRCC, as in the paper. There is no official single number, and the authors publish no
scorer; PLCC is raw, and `plcc_fitted` is reported as well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_csv_rows
from eval.suites.readers.xlsx import read_workbook
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.shared.samples import GroundTruth, SuiteSample
from judge.errors import InputError

WORKBOOK = "AIGC_MOS_Zscore.xlsx"
NAME_COLUMNS = ("image", "name", "filename")
PROMPT_COLUMNS = ("prompt",)
SCORE_COLUMNS = ("mos", "score")


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read a CSV file or the workbook. A name with several scores gives a sample without a score."""
    rows = list(_read_rows(path))
    scores: dict[str, set[float]] = {}
    for name, _, score in rows:
        scores.setdefault(name, set()).add(score)
    counts = Counter(name for name, _, _ in rows)
    copied = [name for name, count in counts.items() if count > 1 and len(scores[name]) == 1]
    if copied:
        raise InputError(str(path), copied[0], "each name once", "remove the duplicate row")
    prompts = {name: prompt for name, prompt, _ in rows}
    if not any(prompts.values()) and (path.parent / WORKBOOK).is_file():
        prompts = {name: prompt for name, prompt, _ in _read_rows(path.parent / WORKBOOK)}
    for name in counts:
        labels = GroundTruth(mos=next(iter(scores[name])) if len(scores[name]) == 1 else None)
        yield SuiteSample(
            id=name,
            image=name,
            prompt=prompts.get(name, ""),
            generator=name.partition("_")[0] if "_" in name else "",
            labels=labels,
        )


def _read_rows(path: Path) -> Iterator[tuple[str, str, float]]:
    """Yield (name, prompt or empty, score) of each row; the columns are found by the names in the header.

    Raises:
        InputError: the file cannot be read, lacks a column, or a score is no number.
    """
    if path.suffix.lower() in (".xlsx", ".xls"):
        sheets = read_workbook(path)
        rows = list(enumerate(next(iter(sheets.values()), []), 1))
    else:
        rows = list(read_csv_rows(path, (), field="truth"))
    header = [cell.strip().lower() for cell in rows[0][1]] if rows else []
    name, prompt, score = (
        next((at for at, cell in enumerate(header) if cell in names), None)
        for names in (NAME_COLUMNS, PROMPT_COLUMNS, SCORE_COLUMNS)
    )
    if name is None or score is None:
        found = ", ".join(header) or "nothing"
        raise InputError(
            f"{path.name}: header", found, "Image,Score or Image,Prompt,MOS", "rename the columns"
        )
    for number, row in rows[1:]:
        place = f"{path.name} line {number}"
        if len(row) <= max(name, score):
            raise InputError(place, row, f"{len(header)} values, as in the header", "fix the line")
        text = row[prompt].strip() if prompt is not None else ""
        yield row[name].strip(), text, parse_number(row[score], place, header[score])


SUITE = build_mos_suite(
    name="agiqa-1k",
    title="AGIQA-1K (AI-generated images)",
    source="https://github.com/lcysyzxdxc/AGIQA-1k-Database",
    read_labels=read_labels,
    label_files={"all": ("AIGC_all.csv", WORKBOOK, "AIGC_MOS_Zscore.csv", "AGIQA-1K.csv")},
    default_split="all",
    read_predictions=read_score_lines,
    protocol=MosProtocol(weights={}),
)
