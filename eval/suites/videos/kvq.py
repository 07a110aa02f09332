"""KVQ: short user-generated video with human scores and ranked pairs, NTIRE 2024.

Source: https://github.com/lixinustc/KVQ-Challenge-CVPR-NTIRE2024

Labels: `truth.csv` (train: `train_data.csv`) with the header `filename,score`. Ranked pairs are read from the
same folder: `rank-pair-val.xlsx` with the sheets `nonsource` and `source`, or two CSV files
`rank-pair-nonsource.csv` and `rank-pair-source.csv`. A row is first video, second video, and 1 or 2, the
better one; the first row is a header. Further columns are ignored, as in the organisers' script.

Predictions: `prediction.csv` with the header `filename,score`, in any order and among other columns.

Numbers: score = 0.45 SROCC + 0.45 PLCC (raw) + 0.05 accuracy on nonsource pairs + 0.05 accuracy on source
pairs. Equal predictions count as "the first is better". Checked against `metric_score.py`
in the organisers' repository.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from eval.metrics.averages import weighted_sum
from eval.metrics.classification import accuracy
from eval.metrics.metric_value import MetricValue
from eval.suites.readers.prediction_files import read_score_lines
from eval.suites.readers.text_files import parse_number, read_csv_rows, read_csv_table
from eval.suites.readers.xlsx import read_workbook
from eval.suites.shared.mos_benchmark import MosProtocol, evaluate_mos, score_mos_files
from eval.suites.shared.name_matching import shorten_list, suggest_change
from eval.suites.shared.reading import read_samples
from eval.suites.shared.samples import GroundTruth, JudgedSample, SuiteSample, get_predicted_score
from eval.suites.shared.scoring import add_note
from eval.suites.shared.submission_files import build_lines_submission
from eval.suites.shared.suite import Metrics, Suite
from judge.errors import InputError

SOURCE = "https://github.com/lixinustc/KVQ-Challenge-CVPR-NTIRE2024"
WEIGHTS = {"srcc": 0.45, "plcc": 0.45, "accuracy_nonsource": 0.05, "accuracy_source": 0.05}
PROTOCOL = MosProtocol(weights={})
LABEL_FILES = {
    "train": ("train_data.csv", "train.csv"),
    "val": ("truth.csv", "val.csv"),
    "test": ("truth.csv", "test.csv"),
}
PAIR_KINDS = ("nonsource", "source")
RankedPairs = dict[str, list[tuple[str, str, int]]]
"""Kind -> (first video, second video, 1 or 2: the better one)."""


# ---------------------------------------------------------------------------------------------- reading


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read a label file, without the ranked pairs."""
    for number, row in read_csv_table(path, ["filename", "score"], "truth"):
        mos = parse_number(row["score"], f"{path.name} line {number}")
        yield SuiteSample(id=row["filename"], video=Path(row["filename"]), labels=GroundTruth(mos=mos))


def read_labels_with_pairs(path: Path) -> Iterator[SuiteSample]:
    """Read a label file, each video with its ranks in the ranked pairs of the same folder.

    The n-th pair of a kind is the comparison `KIND#n`, counted from 0.
    """
    ranks: dict[str, dict[str, float]] = {}
    for kind, pairs in read_ranked_pairs(path.parent).items():
        for number, (first, second, better) in enumerate(pairs):
            ranks.setdefault(first, {})[f"{kind}#{number}"] = float(better)
            ranks.setdefault(second, {})[f"{kind}#{number}"] = float(3 - better)
    for sample in read_labels(path):
        labels = sample.labels.model_copy(update={"ranks": ranks.get(sample.id, {})})
        yield sample.model_copy(update={"labels": labels})


def read_ranked_pairs(folder: Path) -> RankedPairs:
    """Read the ranked pairs of a folder; empty where there are none. Other sheets are not read.

    Raises:
        InputError: a workbook has neither sheet, a row is not a pair, or its rank is neither 1 nor 2.
    """
    tables: dict[str, list[list[str]]] = {}
    for path in sorted(folder.glob("rank-pair*.xlsx")):
        sheets = {name.strip().lower(): rows for name, rows in read_workbook(path).items()}
        if not any(kind in sheets for kind in PAIR_KINDS):
            raise InputError(
                f"{path.name}: sheets", ", ".join(sheets), " and ".join(PAIR_KINDS), "rename the sheets"
            )
        tables |= {kind: sheets[kind] for kind in PAIR_KINDS if kind in sheets}
    for kind in PAIR_KINDS:
        for path in sorted(folder.glob(f"rank-pair-{kind}.csv")):
            tables[kind] = [row for _, row in read_csv_rows(path, (), field="truth")]
    return {
        kind: [_parse_pair(row, f"{kind} row {number}") for number, row in enumerate(rows[1:], 2)]
        for kind, table in tables.items()
        if (rows := _drop_index(table))
    }


def _drop_index(rows: list[list[str]]) -> list[list[str]]:
    """Return the rows without a first column that has no name, the index of pandas."""
    has_index = bool(rows) and not rows[0][0].strip()
    return [row[1:] for row in rows] if has_index else rows


def _parse_pair(row: list[str], place: str) -> tuple[str, str, int]:
    if len(row) < 3 or row[2] not in ("1", "2", "1.0", "2.0"):
        raise InputError(place, row, "first video, second video, 1 or 2", "fix the row")
    return row[0].strip(), row[1].strip(), int(float(row[2]))


# ---------------------------------------------------------------------------------------------- metrics


def evaluate(judged_samples: Iterable[JudgedSample]) -> Metrics:
    """Compare verdicts with human scores, and with the ranked pairs where the samples hold them."""
    scores: dict[str, float] = {}
    ranks: dict[str, list[tuple[float, str]]] = {}

    def collect() -> Iterator[JudgedSample]:
        """Pass the samples on, and note scores and ranks on the way: they can be read only once."""
        for judged in judged_samples:
            score = get_predicted_score(judged)
            if score is not None:
                scores[judged.sample.id] = score
            for comparison, rank in judged.sample.labels.ranks.items():
                ranks.setdefault(comparison, []).append((rank, judged.sample.id))
            yield judged

    metrics = evaluate_mos(collect(), protocol=PROTOCOL)
    pairs: RankedPairs = {}
    for comparison, sides in ranks.items():
        if len(sides) == 2:
            (rank, first), (_, second) = sides
            kind = comparison.split("#")[0]
            pairs.setdefault(kind, []).append((first, second, 1 if rank == 1 else 2))
    return _add_pair_metrics(metrics, scores, pairs)


def score_files(pred: Path, truth: Path) -> Metrics:
    """Compute the official numbers; the ranked pairs are read from the folder of the label file.

    Raises:
        InputError: a file cannot be read, or predictions are missing.
    """
    metrics = score_mos_files(
        pred, truth, read_labels=read_labels, read_predictions=read_predictions, protocol=PROTOCOL
    )
    metrics = _add_pair_metrics(metrics, read_predictions(pred), read_ranked_pairs(truth.parent))
    books = sorted(truth.parent.glob("rank-pair*.xlsx"))
    notes = "; ".join(f"{book.name}: {note}" for book in books for note in read_workbook(book).notes)
    return {key: add_note(m, notes) if key.startswith("accuracy_") else m for key, m in metrics.items()}


def read_predictions(path: Path) -> dict[str, float]:
    """Read `prediction.csv`: lines `filename,score` under that header."""
    return read_score_lines(path, "prediction.csv")


def _add_pair_metrics(metrics: Metrics, scores: Mapping[str, float], pairs: RankedPairs) -> Metrics:
    """Add the accuracies on ranked pairs, and `final`."""
    metrics = dict(metrics)
    for kind in PAIR_KINDS:
        name, listed = f"accuracy_{kind}", pairs.get(kind, [])
        complete = [pair for pair in listed if pair[0] in scores and pair[1] in scores]
        absent = len(listed) - len(complete)
        if absent:
            unknown = sorted({name for pair in listed for name in pair[:2] if name not in scores})
            note = (
                f"{absent} of {len(listed)} pairs have a video without a prediction: {shorten_list(unknown)}"
            )
            mend = suggest_change(unknown, list(scores), scores)
            metrics[name] = MetricValue(None, f"{note}; {mend}" if mend else note)
        elif not complete:
            note = f"there is no list of {kind} pairs in the folder of the labels"
            metrics[name] = MetricValue(None, note)
        else:
            predicted = [1 if scores[first] >= scores[second] else 2 for first, second, _ in complete]
            metrics[name] = accuracy(predicted, [better for _, _, better in complete], interval=True)
    metrics["final"] = weighted_sum(metrics, WEIGHTS)
    return metrics


SUITE = Suite(
    name="kvq",
    title="KVQ (short user-generated video, NTIRE 2024)",
    source=SOURCE,
    read=partial(
        read_samples,
        read_labels=read_labels_with_pairs,
        label_files=LABEL_FILES,
        default_split="val",
        source=SOURCE,
        kind="video",
    ),
    evaluate=evaluate,
    score_files=score_files,
    rubric="video",
    kind="video",
    depth="score",
    mos_range=(1.0, 5.0),
    splits=tuple(LABEL_FILES),
    default_split="val",
    submission=build_lines_submission("prediction.csv", header="filename,score"),
)
