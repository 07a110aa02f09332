"""FineVD-GC: user-generated video, NTIRE 2025 XGC track 1.

Source: https://huggingface.co/datasets/IntMeGroup/FineVD

Labels: the layout of the track's label file could not be verified. Accepted are a CSV with the columns
`Video,Score` (the layout of the challenge's third track) or `video_name,mos`, and a JSON list of
`{"video", "gt_score"}` (that of the second track). Further columns `color`, `noise`, `artifact`, `blur` and
`temporal`, the finer scores of the set, are read where they exist.

Predictions: lines `video,score`, or a JSON list of `{"video", "predict_score"}`.

Numbers: score = (PLCC + SROCC) / 2, with PLCC after the 4-parameter logistic. The logistic is proved only for
the third track, by its baseline; it is not published for this track, so `plcc_raw` is reported as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites.readers.prediction_files import read_score_lines, read_score_objects
from eval.suites.readers.text_files import parse_number, read_csv_table
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.shared.samples import GroundTruth, SuiteSample
from eval.suites.shared.submission_files import build_lines_submission
from eval.suites.videos import qeval_video
from judge.errors import InputError

DIMENSION_COLUMNS = ("color", "noise", "artifact", "blur", "temporal")
NAME_COLUMNS = ("Video", "video_name", "video", "filename")
SCORE_COLUMNS = ("Score", "mos", "MOS", "overall")


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read a label file, JSON or CSV."""
    if path.suffix.lower() == ".json":
        yield from qeval_video.read_labels(path)
        return
    for number, row in read_csv_table(path, [], "truth"):
        place = f"{path.name} line {number}"
        name = next((row[key].strip() for key in NAME_COLUMNS if key in row), "")
        score = next((row[key] for key in SCORE_COLUMNS if key in row), None)
        if not name:
            expected = "the columns Video,Score or video_name,mos"
            raise InputError(place, row, expected, "rename the columns")
        by_dimension = {key: parse_number(row[key], place, key) for key in DIMENSION_COLUMNS if row.get(key)}
        mos = None if score is None else parse_number(score, place, "score")
        yield SuiteSample(
            id=name, video=Path(name), labels=GroundTruth(mos=mos, mos_by_dimension=by_dimension)
        )


def read_predictions(path: Path) -> dict[str, float]:
    """Read a JSON list of `{video, predict_score}`, or lines."""
    if path.suffix.lower() == ".json":
        return read_score_objects(path, "video", "predict_score")
    return read_score_lines(path)


SUITE = build_mos_suite(
    name="finevd",
    title="FineVD-GC (user-generated video, NTIRE 2025 XGC track 1)",
    source="https://huggingface.co/datasets/IntMeGroup/FineVD",
    read_labels=read_labels,
    label_files={
        split: (
            *(f"{split}.csv", f"{split}.json", f"finevd_{split}.csv", f"{split}_data.csv"),
            *(("eval.csv", "eval.json") if split == "val" else ()),
        )
        for split in ("train", "val", "test")
    },
    default_split="val",
    read_predictions=read_predictions,
    protocol=MosProtocol(logistic_parameters=4, note=qeval_video.PLCC_NOTE),
    rubric="video",
    kind="video",
    submission=build_lines_submission("output.txt"),
)
