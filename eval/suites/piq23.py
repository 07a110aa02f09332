"""PIQ23: portraits from phones, ranked within 50 scenes by experts.

Labels: `Scores_Overall.csv` (split `overall`; also `Scores_Exposure.csv`, `Scores_Details.csv`) with
`IMAGE PATH,JOD,JOD STD,...,SCENE,...`; paths use backslashes. `Device Split` and `Scene Split` files have
the same columns and may be named outright. Predictions: lines `IMAGE PATH,score`. Official is the median over
scenes of the correlation within each scene; scores of different scenes are not comparable, so there is no
correlation over the whole set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from eval.metrics.agreement import krcc, mae, median_over, plcc, srcc
from eval.suites import base, opinions
from eval.suites.base import Item, Measures, Row, Suite, Truth, answer_of
from eval.suites.readers import files

SOURCE = "https://corp.dxomark.com/data-base-piq23/"
FILES: Mapping[str, tuple[str, ...]] = {
    part.lower(): (f"Scores_{part}.csv",) for part in ("Overall", "Exposure", "Details")
}


def labels(path: Path) -> Iterator[Item]:
    """Rows of a label file; ids are paths with forward slashes."""
    for at, row in files.table(path, ["IMAGE PATH", "JOD", "JOD STD", "SCENE"], "truth"):
        where = f"{path.name} line {at}"
        name = row["IMAGE PATH"].replace("\\", "/")
        truth = Truth(
            mos=files.number(row["JOD"], where, "JOD"), spread=files.number(row["JOD STD"], where, "JOD STD")
        )
        yield Item(id=name, image=name, group=row["SCENE"], labels=truth)


def medians(predicted: Sequence[float], truth: Sequence[float], scenes: Sequence[str]) -> Measures:
    """Medians over scenes of the correlations within them."""
    return {
        "srcc": median_over(srcc, predicted, truth, scenes, interval=True),
        "plcc": median_over(plcc, predicted, truth, scenes, interval=True),
        "krcc": median_over(krcc, predicted, truth, scenes, interval=True),
        "mae": median_over(partial(mae, fitted=True), predicted, truth, scenes, interval=True),
    }


def measure(rows: Iterable[Row]) -> Measures:
    """A run, by the official rule."""
    sides: list[tuple[float, float, str]] = []
    total = 0
    for row in rows:
        total += 1
        answer, mos = answer_of(row), row.sample.labels.mos
        if answer is not None and mos is not None:
            sides.append((answer, mos, row.sample.group))
    x, y, scenes = ([side[at] for side in sides] for at in range(3))
    return medians(x, y, scenes) | opinions.unscored_of(total - len(sides), total)  # type: ignore[arg-type]


def score(pred: Path, truth: Path) -> Measures:
    """The official numbers of a prediction file."""
    items = {item.id: item for item in base.unique(labels(truth), truth)}
    given = {name.replace("\\", "/"): value for name, value in files.scored_lines(pred).items()}
    names, said = opinions.joined(given, items, pred)
    mos = [items[name].labels.mos or 0.0 for name in names]
    return medians([given[name] for name in names], mos, [items[name].group for name in names]) | said


SUITE = Suite(
    name="piq23",
    title="PIQ23 (portraits from phones)",
    source=SOURCE,
    read=partial(opinions.read, labels=labels, files=FILES, default="overall", source=SOURCE),
    measure=measure,
    score=score,
    rubric="quality",
    depth="score",
    splits=tuple(FILES),
)
