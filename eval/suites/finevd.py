"""FineVD-GC: video of users, NTIRE 2025 XGC track 1.

The layout of the track's label file could not be verified. Accepted are a CSV with the columns `Video,Score`
(the layout of the challenge's third track) or `video_name,mos` (further columns `color`, `noise`, `artifact`,
`blur` and `temporal`, the set's finer scores, are read where present), and a JSON list of
`{"video", "gt_score"}` (that of the second). Predictions: lines `video,score`, or a JSON list of
`{"video", "predict_score"}`. Score = (PLCC + SROCC) / 2, PLCC after the 4-parameter logistic, as the third
track's baseline proves for that one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites import qeval_video
from eval.suites.base import Item, Truth
from eval.suites.opinions import Rule, opinion_suite
from eval.suites.readers import files
from eval.suites.writers import lines_submission
from judge.errors import InputError

FINER = ("color", "noise", "artifact", "blur", "temporal")


def labels(path: Path) -> Iterator[Item]:
    """Rows of a label file, JSON or CSV."""
    if path.suffix.lower() == ".json":
        yield from qeval_video.labels(path)
        return
    for at, row in files.table(path, [], "truth"):
        where = f"{path.name} line {at}"
        name = next((row[k].strip() for k in ("Video", "video_name", "video", "filename") if k in row), "")
        score = next((row[k] for k in ("Score", "mos", "MOS", "overall") if k in row), None)
        if not name:
            raise InputError(where, row, "the columns Video,Score or video_name,mos", "name the columns so")
        finer = {k: files.number(row[k], where, k) for k in FINER if row.get(k)}
        mos = None if score is None else files.number(score, where, "score")
        yield Item(id=name, video=Path(name), labels=Truth(mos=mos, mos_by=finer))


def predictions(path: Path) -> dict[str, float]:
    """A JSON list of `{video, predict_score}`, or lines."""
    if path.suffix.lower() == ".json":
        return files.scored_objects(path, "video", "predict_score")
    return files.scored_lines(path)


SUITE = opinion_suite(
    name="finevd",
    title="FineVD-GC (video of users, NTIRE 2025 XGC track 1)",
    source="https://huggingface.co/datasets/IntMeGroup/FineVD",
    labels=labels,
    files={
        s: (f"{s}.csv", f"{s}.json", f"finevd_{s}.csv", f"{s}_data.csv") for s in ("train", "val", "test")
    },
    default="val",
    predictions=predictions,
    rule=Rule(
        fit=4, note="whether PLCC is fitted is not published for this track; plcc_raw stands beside it"
    ),
    rubric="video",
    kind="video",
    submission=lines_submission("output.txt"),
)
