"""AIGCIQA2023: 2,400 AI-generated images with human scores of quality, authenticity and correspondence.

Source: https://github.com/wangjiarui153/AIGCIQA2023

Labels: the MATLAB files `mosz1.mat` (quality), `mosz2.mat` (authenticity) and `mosz3.mat` (correspondence),
each with the variable `MOSz` (about 0 to 100). The n-th value belongs to the n-th image `0.png`, `1.png`, ...
in numeric order, as in the public loaders. Prompts come from `AIGCIQA2023_Prompts.xlsx` (scene,
category, prompt; no header), the generators from `pic-index.xlsx` (model and `PROMPT-VARIANT.png`; its n-th
row is the n-th image), where these exist in the folder of the labels or up to three folders above. A CSV
`prompts.csv` with the columns `name,prompt` goes before them. The repository's `AIGCIQA2023.csv`
(`,name,prompt,style,class,quality_mos,authenticity_mos,correspondence_mos,quality_std,...`) holds the same
scores with their prompts, and is read where the MATLAB files are not there.

Predictions: lines `name,score`, compared with quality.

Numbers: SRCC, raw PLCC and KRCC. There is no official single number. A run is also compared with authenticity
(its dimension `structure`) and correspondence (`alignment`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.readers.matlab import read_matlab_array
from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_csv_table
from eval.suites.readers.xlsx import read_workbook
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.shared.name_matching import check_names
from eval.suites.shared.reading import build_missing_files_error
from eval.suites.shared.samples import GroundTruth, SuiteSample
from judge.errors import InputError

SOURCE = "https://github.com/wangjiarui153/AIGCIQA2023"
SCORE_FILES = {"quality": "mosz1.mat", "authenticity": "mosz2.mat", "correspondence": "mosz3.mat"}
WORKBOOKS = ("AIGCIQA2023_Prompts.xlsx", "pic-index.xlsx")


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read the repository's table, or the three MATLAB files, which are in the folder of `path`."""
    if path.suffix.lower() == ".csv":
        yield from _read_table(path)
        return
    files = {dimension: path.with_name(file) for dimension, file in SCORE_FILES.items()}
    absent = [file.name for file in files.values() if not file.is_file()]
    if absent:
        raise build_missing_files_error("label files", absent, len(files), path.parent, SOURCE)
    scores = {
        dimension: [float(value) for value in read_matlab_array(file, "MOSz")]
        for dimension, file in files.items()
    }
    lengths = {len(values) for values in scores.values()}
    if len(lengths) > 1:
        raise InputError("truth", sorted(lengths), "as many values in each file", "take the released files")
    prompts = _read_prompts(path.with_name("prompts.csv"))
    images = [f"{number}.png" for number in range(max(lengths))]
    if prompts and not any(name in prompts for name in images):
        file = path.with_name("prompts.csv")
        check_names(prompts, images, file, field="truth", what="a prompt", unit="images")
    official = _read_index(path, max(lengths))
    for number in range(lengths.pop()):
        by_dimension = {dimension: values[number] for dimension, values in scores.items()}
        name = f"{number}.png"
        generator, prompt = official[number] if official else ("", "")
        yield SuiteSample(
            id=name,
            image=name,
            prompt=prompts.get(name, prompt),
            generator=generator,
            labels=GroundTruth(mos=by_dimension["quality"], mos_by_dimension=by_dimension),
        )


def _read_table(path: Path) -> Iterator[SuiteSample]:
    columns = {dimension: f"{dimension}_mos" for dimension in SCORE_FILES}
    for number, row in read_csv_table(path, ["name", "prompt", *columns.values()], "truth"):
        place = f"{path.name} line {number}"
        scores = {name: parse_number(row[column], place, column) for name, column in columns.items()}
        std = parse_number(row["quality_std"], place, "quality_std") if row.get("quality_std") else None
        labels = GroundTruth(mos=scores["quality"], mos_std=std, mos_by_dimension=scores)
        yield SuiteSample(id=row["name"], image=row["name"], prompt=row["prompt"], labels=labels)


def _read_prompts(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    return {row["name"]: row["prompt"] for _, row in read_csv_table(path, ["name", "prompt"], "truth")}


def _read_index(path: Path, count: int) -> list[tuple[str, str]]:
    """Return (generator, prompt) of each image from the two workbooks; empty where one is not there.

    Raises:
        InputError: the index has another number of images, or names a prompt that is not there.
    """
    folders = [path.parent, *list(path.resolve().parents)[1:4]]
    found = [next((f / n for f in folders if (f / n).is_file()), None) for n in WORKBOOKS]
    prompt_file, index_file = found
    if prompt_file is None or index_file is None:
        return []
    prompts = [row[2] for rows in read_workbook(prompt_file).values() for row in rows if len(row) > 2]
    rows = [row for rows in read_workbook(index_file).values() for row in rows]
    if len(rows) != count:
        raise InputError(
            str(index_file), len(rows), f"{count} rows, one per score", "take the released files"
        )
    images = []
    for number, (generator, name, *_) in enumerate((row + [""] for row in rows), 1):
        prompt = name.partition("-")[0]
        if not prompt.isdigit() or int(prompt) >= len(prompts):
            place = f"{index_file.name} row {number}"
            raise InputError(place, name, f"PROMPT-VARIANT.png, PROMPT < {len(prompts)}", "fix the row")
        images.append((generator, prompts[int(prompt)]))
    return images


SUITE = build_mos_suite(
    name="aigciqa2023",
    title="AIGCIQA2023 (AI-generated images)",
    source=SOURCE,
    read_labels=read_labels,
    label_files={"all": ("mosz1.mat", "AIGCIQA2023.csv")},
    default_split="all",
    read_predictions=read_score_lines,
    protocol=MosProtocol(weights={}),
    rubric="quality",
    extra_dimensions={"quality": "", "authenticity": "structure", "correspondence": "alignment"},
    mos_range=(0.0, 100.0),
)
