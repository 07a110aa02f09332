"""Q-Eval-Video: AI-generated video with one human score each, NTIRE 2025 XGC track 2.

Source: https://github.com/zzc-1998/Q-Eval

Labels: a JSON list of `{"video", "prompt", "gt_score"}` (train 23,820, val 3,402, test 6,807 rows). The lists
of val and test may come without `gt_score`.

Predictions: `output.json`, a list of `{"video", "predict_score"}`, sent with a `readme.txt`.

Numbers: score = (PLCC + SROCC) / 2. Whether PLCC is taken after a logistic is not published for this track.
It is taken after the 4-parameter logistic here, as the baseline of the third track proves for that one, and
`plcc_raw` is reported as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from eval.suites.readers.prediction_files import read_score_objects
from eval.suites.readers.text_files import parse_number, read_json
from eval.suites.shared.mos_benchmark import MosProtocol, build_mos_suite
from eval.suites.shared.samples import GroundTruth, SuiteSample
from eval.suites.shared.submission_files import build_objects_submission
from judge.errors import InputError

LABEL_FILES = {
    split: (
        *(f"{split}.json", f"{split}_info.json", f"aigv_{split}.json", f"q_eval_video_{split}.json"),
        *(("eval.json",) if split == "val" else ()),
    )
    for split in ("train", "val", "test")
}
PLCC_NOTE = "whether PLCC is fitted is not published for this track; plcc_raw is reported as well"


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read a label file."""
    rows = read_json(path, ".json", field="truth")
    if not isinstance(rows, list):
        expected = "a list of {video, prompt, gt_score}"
        raise InputError(str(path.name), type(rows).__name__, expected, "write the file in this layout")
    for number, row in enumerate(rows, 1):
        place = f"{path.name} row {number}"
        if not isinstance(row, dict) or not isinstance(row.get("video"), str):
            raise InputError(place, row, "an object with video, prompt and gt_score", "fix the row")
        has_score = row.get("gt_score") is not None
        mos = parse_number(row["gt_score"], place, "gt_score") if has_score else None
        yield SuiteSample(
            id=row["video"],
            video=Path(row["video"]),
            prompt=str(row.get("prompt") or ""),
            labels=GroundTruth(mos=mos),
        )


SUITE = build_mos_suite(
    name="qeval-video",
    title="Q-Eval-Video (AI-generated video, NTIRE 2025 XGC track 2)",
    source="https://github.com/zzc-1998/Q-Eval",
    read_labels=read_labels,
    label_files=LABEL_FILES,
    default_split="val",
    read_predictions=partial(read_score_objects, name_key="video", score_key="predict_score"),
    protocol=MosProtocol(logistic_parameters=4, note=PLCC_NOTE),
    rubric="video",
    kind="video",
    submission=build_objects_submission("output.json", "video", "predict_score", llm=False, unit="video"),
)
