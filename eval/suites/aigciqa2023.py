"""AIGCIQA2023: 2,400 AI-generated images scored for quality, authenticity and correspondence.

Labels: MATLAB files `mosz1.mat` (quality), `mosz2.mat` (authenticity) and `mosz3.mat` (correspondence), each
with the variable `MOSz` (about 0 to 100), the n-th value for the n-th picture `0.png`, `1.png`, ... in
numeric order, as the public loaders read them; a CSV `prompts.csv` with the columns `name,prompt` is read
where present. Predictions: lines `name,score`, measured against quality. There is no official single number.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eval.suites import base
from eval.suites.base import Item, Truth
from eval.suites.opinions import Rule, opinion_suite
from eval.suites.readers import files
from eval.suites.readers.matlab import array
from judge.errors import InputError

SOURCE = "https://github.com/wangjiarui153/AIGCIQA2023"
FILES = {"quality": "mosz1.mat", "authenticity": "mosz2.mat", "correspondence": "mosz3.mat"}


def labels(path: Path) -> Iterator[Item]:
    """Rows of the three files, which lie beside each other."""
    parts = {name: path.with_name(file) for name, file in FILES.items()}
    absent = [part.name for part in parts.values() if not part.is_file()]
    if absent:
        raise base.missing("label files", absent, len(parts), path.parent, SOURCE)
    scores = {name: [float(value) for value in array(part, "MOSz")] for name, part in parts.items()}
    lengths = {len(values) for values in scores.values()}
    if len(lengths) > 1:
        raise InputError("truth", sorted(lengths), "as many values in each file", "take the released files")
    prompts = _prompts(path.with_name("prompts.csv"))
    for at in range(lengths.pop()):
        by = {name: values[at] for name, values in scores.items()}
        name = f"{at}.png"
        yield Item(
            id=name,
            image=name,
            prompt=prompts.get(name, ""),
            labels=Truth(mos=by["quality"], mos_by=by),
        )


def _prompts(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    return {row["name"]: row["prompt"] for _, row in files.table(path, ["name", "prompt"], "truth")}


SUITE = opinion_suite(
    name="aigciqa2023",
    title="AIGCIQA2023 (AI-generated images)",
    source=SOURCE,
    labels=labels,
    files={"all": ("mosz1.mat",)},
    default="all",
    predictions=files.scored_lines,
    rule=Rule(weights={}),
    rubric="quality",
    also={"quality": "", "authenticity": "structure", "correspondence": "alignment"},
    scale=(0.0, 100.0),
)
