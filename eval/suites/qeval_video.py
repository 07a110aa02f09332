"""Q-Eval-Video: AI-generated video, NTIRE 2025 XGC track 2.

Labels: a JSON list of `{"video", "prompt", "gt_score"}` (train 23,820, val 3,402, test 6,807; the latter two
may come without `gt_score`). Predictions: `output.json`, a list of `{"video", "predict_score"}`, sent with a
`readme.txt`. Score = (PLCC + SROCC) / 2. Whether PLCC is fitted is not published for this track; it is taken
after the 4-parameter logistic, as the sister track's baseline proves for that one, and `plcc_raw` stands
beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from eval.suites.base import Item, Truth
from eval.suites.opinions import Rule, opinion_suite
from eval.suites.readers import files
from eval.suites.writers import objects_submission
from judge.errors import InputError

SPLITS = {
    split: (f"{split}.json", f"{split}_info.json", f"aigv_{split}.json", f"q_eval_video_{split}.json")
    for split in ("train", "val", "test")
}


def labels(path: Path) -> Iterator[Item]:
    """Rows of a label file."""
    rows = files.json_of(path, ".json", field="truth")
    if not isinstance(rows, list):
        raise InputError(
            str(path.name), type(rows).__name__, "a list of {video, prompt, gt_score}", "write it so"
        )
    for at, row in enumerate(rows, 1):
        where = f"{path.name} row {at}"
        if not isinstance(row, dict) or not isinstance(row.get("video"), str):
            raise InputError(where, row, "an object with video, prompt and gt_score", "mend the row")
        mos = files.number(row["gt_score"], where, "gt_score") if row.get("gt_score") is not None else None
        yield Item(
            id=row["video"],
            video=Path(row["video"]),
            prompt=str(row.get("prompt") or ""),
            labels=Truth(mos=mos),
        )


SUITE = opinion_suite(
    name="qeval-video",
    title="Q-Eval-Video (AI-generated video, NTIRE 2025 XGC track 2)",
    source="https://github.com/zzc-1998/Q-Eval",
    labels=labels,
    files=SPLITS,
    default="val",
    predictions=partial(files.scored_objects, key="video", score="predict_score"),
    rule=Rule(
        fit=4, note="whether PLCC is fitted is not published for this track; plcc_raw stands beside it"
    ),
    rubric="video",
    kind="video",
    submission=objects_submission("output.json", "video", "predict_score", llm=False, per="video"),
)
