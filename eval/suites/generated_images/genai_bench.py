"""GenAI-Bench: 1 to 5 ratings of generated images (or videos) for agreement with the prompt.

Source: https://huggingface.co/datasets/BaiqiL/GenAI-Bench-1600

Labels: `genai_image.json`, `{id: {prompt, models: {name: [ratings]}}}`; the images are `MODEL/ID.jpeg`. The
means of ratings are the truth. GenAI-Bench-Video has `genai_video.json` in the same layout and videos
`MODEL/ID.mp4`: it is the split `video`, and is read too where a folder has only this file. Judge it with
`--rubric video`.

Predictions: a CSV `model_name,video_id,prompt,METRIC...` with one or more columns of scores (the layout in
which the authors publish T2VScore), or `{"MODEL/ID": score}`.

Numbers, over all images at once: Pearson (`plcc`, raw), Kendall's tau-b (`krcc`), Spearman (`srcc`), and
pairwise accuracy with the best tie threshold (`accuracy`, threshold `tie`). Several columns of scores give
the numbers of each as `METRIC/...`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from eval.metrics.correlation import krcc, plcc, srcc
from eval.metrics.metric_value import MetricValue
from eval.metrics.pairwise.pair_accuracy import tie_optimised_accuracy
from eval.suites.readers.text_files import parse_number, read_csv_table, read_json
from eval.suites.shared.preference_benchmark import read_scores_by_name
from eval.suites.shared.reading import check_split, find_label_file, read_samples
from eval.suites.shared.samples import GroundTruth, JudgedSample, SuiteSample, get_predicted_score
from eval.suites.shared.scoring import build_unscored_metric, match_names, prefix_names
from eval.suites.shared.suite import MediaKind, Metrics, Suite
from judge.errors import InputError

SOURCE = "https://huggingface.co/datasets/BaiqiL/GenAI-Bench-1600"
LABEL_FILES = {
    "all": ("genai_image.json", "genai_bench.json", "genai_video.json"),
    "video": ("genai_video.json",),
}
ID_COLUMNS = ("video_id", "image_id", "id", "item_id")


def read(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[SuiteSample]:
    """Read samples of images, or of videos where the label file is of these; see `read_samples`."""
    file = find_label_file(
        data, LABEL_FILES[check_split(split, tuple(LABEL_FILES), "all")], SOURCE, LABEL_FILES
    )
    return read_samples(
        data,
        split,
        read_labels=read_labels,
        label_files=LABEL_FILES,
        default_split="all",
        source=SOURCE,
        kind=_find_kind(file),
        media=media,
    )


def _find_kind(file: Path) -> MediaKind:
    return "video" if "video" in file.name.lower() else "image"


def read_labels(path: Path) -> Iterator[SuiteSample]:
    """Read one sample per prompt and model; ids are `MODEL/ID`."""
    kind = _find_kind(path)
    rows = read_json(path, ".json", field="truth")
    if not isinstance(rows, dict) or not rows:
        expected = "{id: {prompt, models: {name: [ratings]}}}"
        raise InputError("truth", str(path), expected, "take the set's file")
    for prompt_id, row in rows.items():
        place = f"{path.name}: {prompt_id}"
        if not isinstance(row, dict) or not isinstance(row.get("models"), dict):
            raise InputError(place, row, "{prompt, models: {name: [ratings]}}", "fix the row")
        for model, ratings in row["models"].items():
            values = ratings if isinstance(ratings, list) else [ratings]
            if not values:
                continue
            mos = sum(parse_number(value, place, model) for value in values) / len(values)
            name = f"{model}/{prompt_id}"
            yield SuiteSample(
                id=name,
                image=name if kind == "image" else None,
                video=Path(name) if kind == "video" else None,
                prompt=str(row.get("prompt") or ""),
                generator=model,
                group=prompt_id,
                labels=GroundTruth(mos=mos, score=mos if 1 <= mos <= 5 else None),
            )


def compute_metrics(predicted: Sequence[float], truth: Sequence[float]) -> Metrics:
    """Compute all numbers from predicted and human scores."""
    best = tie_optimised_accuracy(predicted, truth, interval=True)
    if best.tie is None:
        tie = MetricValue(None, best.accuracy.note or "undefined")
    else:
        tie = MetricValue(best.tie)
    return {
        "plcc": plcc(predicted, truth, interval=True),
        "krcc": krcc(predicted, truth, interval=True),
        "srcc": srcc(predicted, truth, interval=True),
        "accuracy": best.accuracy,
        "tie": tie,
    }


def evaluate(judged_samples: Iterable[JudgedSample]) -> Metrics:
    """Compare the dimension `alignment` of verdicts with the ratings."""
    pairs: list[tuple[float, float]] = []
    unscored = total = 0
    for judged in judged_samples:
        predicted, mos, total = get_predicted_score(judged, "alignment"), judged.sample.labels.mos, total + 1
        unscored += predicted is None
        if predicted is not None and mos is not None:
            pairs.append((predicted, mos))
    metrics = compute_metrics([p for p, _ in pairs], [t for _, t in pairs])
    return metrics | build_unscored_metric(unscored, total)


def score_files(pred: Path, truth: Path) -> Metrics:
    """Compute the official numbers of one or more columns of scores.

    Raises:
        InputError: a file cannot be read, or predictions are missing.
    """
    mos = {sample.id: sample.labels.mos or 0.0 for sample in read_labels(truth)}
    columns = read_predictions(pred)
    metrics: Metrics = {}
    for column, scores in columns.items():
        names, extra = match_names(scores, mos, pred)
        own = compute_metrics([scores[n] for n in names], [mos[n] for n in names]) | extra
        metrics |= own if len(columns) == 1 else prefix_names(column, own)
    return metrics


def read_predictions(path: Path) -> dict[str, dict[str, float]]:
    """Read the columns of scores: column -> (`MODEL/ID` -> score).

    Raises:
        InputError: the file has no rows, no column of ids or no column of scores, or an id occurs twice.
    """
    if path.suffix.lower() == ".json":
        return {"": read_scores_by_name(path)}
    columns: dict[str, dict[str, float]] = {}
    for number, row in read_csv_table(path, ["model_name"], "pred"):
        place, header = f"{path.name} line {number}", f"{path.name}: header"
        prompt_id = next((row[key] for key in ID_COLUMNS if key in row), None)
        if prompt_id is None:
            raise InputError(header, ", ".join(row), f"one of {', '.join(ID_COLUMNS)}", "rename the column")
        score_columns = [key for key in row if key not in (*ID_COLUMNS, "model_name", "prompt")]
        if not score_columns:
            raise InputError(header, ", ".join(row), "a column of scores", "add one")
        name = f"{row['model_name']}/{prompt_id}"
        for column in score_columns:
            scores = columns.setdefault(column, {})
            if name in scores:
                raise InputError(place, name, "each model and id once", "remove the duplicate row")
            scores[name] = parse_number(row[column], place, column)
    if not columns:
        raise InputError("pred", str(path), "at least one row", "write the predictions into it")
    return columns


SUITE = Suite(
    name="genai-bench",
    title="GenAI-Bench (agreement of generated images with their prompts)",
    source=SOURCE,
    read=read,
    evaluate=evaluate,
    score_files=score_files,
    depth="score",
    dimension="alignment",
    mos_range=(1.0, 5.0),
    splits=tuple(LABEL_FILES),
    default_split="all",
)
