"""AIGCIQA2023: 2,400 AI-generated images with human scores of quality, authenticity and correspondence.

Source: https://github.com/wangjiarui153/AIGCIQA2023

Labels: the MATLAB files `mosz1.mat` (quality), `mosz2.mat` (authenticity) and `mosz3.mat` (correspondence),
each with the variable `MOSz` (about 0 to 100). The n-th value belongs to the n-th image `0.png`, `1.png`, ...
in numeric order, as in the public loaders. A CSV `prompts.csv` with the columns `name,prompt` is read where
it exists.

Predictions: lines `name,score`, compared with quality.

Numbers: SRCC, raw PLCC and KRCC. There is no official single number. A run is also compared with authenticity
(its dimension `structure`) and correspondence (`alignment`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.readers.matlab import read_matlab_array
from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import read_csv_table
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.shared.reading import build_missing_files_error
from eval.suites.shared.samples import GroundTruth, SuiteSample
from judge.errors import InputError

SOURCE = "https://github.com/wangjiarui153/AIGCIQA2023"
SCORE_FILES = {"quality": "mosz1.mat", "authenticity": "mosz2.mat", "correspondence": "mosz3.mat"}


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read the three label files, which are in the folder of `path`."""
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
    for number in range(lengths.pop()):
        by_dimension = {dimension: values[number] for dimension, values in scores.items()}
        name = f"{number}.png"
        yield SuiteSample(
            id=name,
            image=name,
            prompt=prompts.get(name, ""),
            labels=GroundTruth(mos=by_dimension["quality"], mos_by_dimension=by_dimension),
        )


def _read_prompts(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    return {row["name"]: row["prompt"] for _, row in read_csv_table(path, ["name", "prompt"], "truth")}


SUITE = build_mos_suite(
    name="aigciqa2023",
    title="AIGCIQA2023 (AI-generated images)",
    source=SOURCE,
    read_labels=read_labels,
    label_files={"all": ("mosz1.mat",)},
    default_split="all",
    read_predictions=read_score_lines,
    protocol=MosProtocol(weights={}),
    rubric="quality",
    extra_dimensions={"quality": "", "authenticity": "structure", "correspondence": "alignment"},
    mos_range=(0.0, 100.0),
)
