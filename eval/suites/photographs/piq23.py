"""PIQ23: portraits from phones, ranked by experts within 50 scenes.

Source: https://corp.dxomark.com/data-base-piq23/

Labels: `Scores_Overall.csv` (split `overall`; also `Scores_Exposure.csv`, `Scores_Details.csv`) with the
header `IMAGE PATH,JOD,JOD STD,...,SCENE,...`; paths use backslashes. The files of the folders
`Device Split` and `Scene Split` have the same columns and are splits by name: `device-test-overall` is
`DeviceSplit_Test_Scores_Overall.csv`.

Predictions: lines `IMAGE PATH,score`.

Numbers: official is the median over scenes of the correlation within each scene (SRCC, raw PLCC, KRCC, and
MAE after the 4-parameter logistic). Scores of different scenes are not comparable, so there is no correlation
over the whole set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from eval.metrics.averages import group_median
from eval.metrics.correlation import krcc, plcc, srcc
from eval.metrics.prediction_error import mae
from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_csv_table
from eval.suites.shared.reading import check_unique_ids, read_samples
from eval.suites.shared.samples import GroundTruth, JudgedSample, SuiteSample, get_predicted_score
from eval.suites.shared.scoring import build_unscored_metric, match_names
from eval.suites.shared.suite import Metrics, Suite

SOURCE = "https://corp.dxomark.com/data-base-piq23/"
LABEL_FILES: Mapping[str, tuple[str, ...]] = {
    attribute.lower(): (f"Scores_{attribute}.csv",) for attribute in ("Overall", "Exposure", "Details")
} | {
    f"{kind}-{part}-{attribute}".lower(): (f"{kind}Split_{part}_Scores_{attribute}.csv",)
    for kind in ("Device", "Scene")
    for part in ("Train", "Test")
    for attribute in ("Overall", "Exposure", "Details")
}


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read a label file; ids are paths with forward slashes."""
    for number, row in read_csv_table(path, ["IMAGE PATH", "JOD", "JOD STD", "SCENE"], "truth"):
        place = f"{path.name} line {number}"
        name = row["IMAGE PATH"].replace("\\", "/")
        mos, mos_std = (parse_number(row[key], place, key) for key in ("JOD", "JOD STD"))
        yield SuiteSample(
            id=name, image=name, group=row["SCENE"], labels=GroundTruth(mos=mos, mos_std=mos_std)
        )


def compute_scene_medians(
    predicted: Sequence[float], truth: Sequence[float], scenes: Sequence[str]
) -> Metrics:
    """Compute the medians over scenes of the metrics within them."""
    fitted_mae = partial(mae, logistic_parameters=4)
    return {
        "srcc": group_median(srcc, predicted, truth, scenes, interval=True),
        "plcc": group_median(plcc, predicted, truth, scenes, interval=True),
        "krcc": group_median(krcc, predicted, truth, scenes, interval=True),
        "mae": group_median(fitted_mae, predicted, truth, scenes, interval=True),
    }


def evaluate(judged_samples: Iterable[JudgedSample]) -> Metrics:
    """Compare verdicts with human scores by the official rule."""
    predicted: list[float] = []
    truth: list[float] = []
    scenes: list[str] = []
    total = 0
    for judged in judged_samples:
        total += 1
        score, mos = get_predicted_score(judged), judged.sample.labels.mos
        if score is not None and mos is not None:
            predicted.append(score)
            truth.append(mos)
            scenes.append(judged.sample.group)
    return compute_scene_medians(predicted, truth, scenes) | build_unscored_metric(
        total - len(predicted), total
    )


def score_files(pred: Path, truth: Path) -> Metrics:
    """Compute the official numbers of a prediction file.

    Raises:
        InputError: a file cannot be read, or predictions are missing.
    """
    samples = {sample.id: sample for sample in check_unique_ids(read_labels(truth), truth)}
    scores = {name.replace("\\", "/"): value for name, value in read_score_lines(pred).items()}
    names, extra = match_names(scores, samples, pred)
    mos = [samples[name].labels.mos or 0.0 for name in names]
    scenes = [samples[name].group for name in names]
    return compute_scene_medians([scores[name] for name in names], mos, scenes) | extra


SUITE = Suite(
    name="piq23",
    title="PIQ23 (portraits from phones)",
    source=SOURCE,
    read=partial(
        read_samples, read_labels=read_labels, label_files=LABEL_FILES, default_split="overall", source=SOURCE
    ),
    evaluate=evaluate,
    score_files=score_files,
    rubric="quality",
    depth="score",
    splits=tuple(LABEL_FILES),
    default_split="overall",
)
