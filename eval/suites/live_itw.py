"""LIVE In the Wild: 1,162 photographs from phones, each with about 175 opinions (0 to 100).

Labels: `Data/AllImages_release.mat`, `AllMOS_release.mat` and `AllStdDev_release.mat` as released (the first
7 pictures trained the raters and are left out, as is usual), or a CSV `labels.csv` with the columns
`image,mos_0_100,std`. Predictions: lines `name,score`. There is no official single number; PLCC is raw, with
the fitted one beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites import base
from eval.suites.base import Item, Truth
from eval.suites.opinions import Rule, opinion_suite
from eval.suites.readers import files
from eval.suites.readers.matlab import array

SOURCE = "https://live.ece.utexas.edu/research/ChallengeDB/index.html"
TRAINING = 7
"""Pictures at the head of the released lists that the raters were trained with."""


def labels(path: Path) -> Iterator[Item]:
    """Rows of the CSV, or of the MATLAB files beside `AllImages_release.mat`."""
    if path.suffix.lower() != ".mat":
        for at, row in files.table(path, ["image", "mos_0_100", "std"], "truth"):
            where = f"{path.name} line {at}"
            yield _item(row["image"], *(files.number(row[k], where, k) for k in ("mos_0_100", "std")))
        return
    parts = [path.with_name(f"All{part}_release.mat") for part in ("Images", "MOS", "StdDev")]
    absent = [part.name for part in parts if not part.is_file()]
    if absent:
        raise base.missing("label files", absent, 3, path.parent, SOURCE)
    names, mos, spread = (
        array(part, key)
        for part, key in zip(parts, ("AllImages_release", "AllMOS_release", "AllStdDev_release"), strict=True)
    )
    for name, score, std in list(zip(names, mos, spread, strict=True))[TRAINING:]:
        yield _item(str(name), float(score), float(std))


def _item(name: str, mos: float, spread: float) -> Item:
    return Item(id=name, image=name, labels=Truth(mos=mos, spread=spread))


SUITE = opinion_suite(
    name="live-itw",
    title="LIVE In the Wild (photographs)",
    source=SOURCE,
    labels=labels,
    files={"all": ("AllImages_release.mat", "labels.csv")},
    default="all",
    predictions=files.scored_lines,
    rule=Rule(weights={}),
    rubric="quality",
    scale=(0.0, 100.0),
)
