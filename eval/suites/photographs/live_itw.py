"""LIVE In the Wild: 1,162 photographs from phones, each with about 175 opinions (0 to 100).

Source: https://live.ece.utexas.edu/research/ChallengeDB/index.html

Labels: `Data/AllImages_release.mat`, `AllMOS_release.mat` and `AllStdDev_release.mat` as released, or a CSV
`labels.csv` with the columns `image,mos_0_100,std`. The first 7 images of the released lists were shown to
train the raters and are left out, as usual.

Predictions: lines `name,score`.

Numbers: SRCC, PLCC and KRCC. There is no official single number. PLCC is raw, and `plcc_fitted` is reported
as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.readers.matlab import read_matlab_array
from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_csv_table
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.shared.reading import build_missing_files_error
from eval.suites.shared.samples import GroundTruth, SuiteSample

SOURCE = "https://live.ece.utexas.edu/research/ChallengeDB/index.html"
RATER_TRAINING_IMAGES = 7
"""Number of images at the head of the released lists that the raters were trained with."""
VARIABLES = ("AllImages_release", "AllMOS_release", "AllStdDev_release")
"""MATLAB variables; each is stored in a file of its own name."""


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read the CSV, or the MATLAB files in the folder of `AllImages_release.mat`."""
    if path.suffix.lower() != ".mat":
        for number, row in read_csv_table(path, ["image", "mos_0_100", "std"], "truth"):
            place = f"{path.name} line {number}"
            mos, mos_std = (parse_number(row[key], place, key) for key in ("mos_0_100", "std"))
            yield _build_sample(row["image"], mos, mos_std)
        return
    files = [path.with_name(f"{variable}.mat") for variable in VARIABLES]
    absent = [file.name for file in files if not file.is_file()]
    if absent:
        raise build_missing_files_error("label files", absent, len(files), path.parent, SOURCE)
    columns = [read_matlab_array(file, variable) for file, variable in zip(files, VARIABLES, strict=True)]
    for name, mos, mos_std in list(zip(*columns, strict=True))[RATER_TRAINING_IMAGES:]:
        yield _build_sample(str(name), float(mos), float(mos_std))


def _build_sample(name: str, mos: float, mos_std: float) -> SuiteSample:
    return SuiteSample(id=name, image=name, labels=GroundTruth(mos=mos, mos_std=mos_std))


SUITE = build_mos_suite(
    name="live-itw",
    title="LIVE In the Wild (photographs)",
    source=SOURCE,
    read_labels=read_labels,
    label_files={"all": ("AllImages_release.mat", "labels.csv")},
    default_split="all",
    read_predictions=read_score_lines,
    protocol=MosProtocol(weights={}),
    rubric="quality",
    mos_range=(0.0, 100.0),
)
