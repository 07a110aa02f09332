"""GenAI-Bench: 1 to 5 ratings of generated images (or videos) for agreement with the prompt.

Labels: `genai_image.json`, `{id: {prompt, models: {name: [ratings]}}}`; images lie in `MODEL/ID.jpeg`.
Predictions: a CSV `model_name,video_id,prompt,METRIC...` with one or more columns of scores (the layout in
which the authors publish T2VScore), or `{"MODEL/ID": score}`. Means of ratings are the truth. Reported, over
all images at once: Pearson (`plcc`, raw), Kendall's tau-b (`krcc`), Spearman, and pairwise accuracy with the
best threshold of a tie (`accuracy`, threshold `tie`). Several columns give the numbers of each, `METRIC/...`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from eval.metrics.agreement import Measure, krcc, plcc, srcc, tie_optimised_accuracy
from eval.suites import opinions, preferences
from eval.suites.base import Item, Measures, Row, Suite, Truth, answer_of
from eval.suites.readers import files
from judge.errors import InputError

SOURCE = "https://huggingface.co/datasets/BaiqiL/GenAI-Bench-1600"
FILES = {"all": ("genai_image.json", "genai_bench.json")}
IDS = ("video_id", "image_id", "id", "item_id")


def labels(path: Path) -> Iterator[Item]:
    """One item per prompt and model; ids are `MODEL/ID`."""
    rows = files.json_of(path, ".json", field="truth")
    if not isinstance(rows, dict) or not rows:
        raise InputError(
            "truth", str(path), "{id: {prompt, models: {name: [ratings]}}}", "take the set's file"
        )
    for key, row in rows.items():
        where = f"{path.name}: {key}"
        if not isinstance(row, dict) or not isinstance(row.get("models"), dict):
            raise InputError(where, row, "{prompt, models: {name: [ratings]}}", "mend the row")
        for model, ratings in row["models"].items():
            values = ratings if isinstance(ratings, list) else [ratings]
            if not values:
                continue
            mos = sum(files.number(v, where, model) for v in values) / len(values)
            name = f"{model}/{key}"
            truth = Truth(mos=mos, score=mos if 1 <= mos <= 5 else None)
            yield Item(
                id=name,
                image=name,
                prompt=str(row.get("prompt") or ""),
                generator=model,
                group=key,
                labels=truth,
            )


def numbers(predicted: Sequence[float], truth: Sequence[float]) -> Measures:
    """The set's measures."""
    best = tie_optimised_accuracy(predicted, truth, interval=True)
    tie = Measure(None, best.accuracy.note or "undefined") if best.tie is None else Measure(best.tie)
    return {
        "plcc": plcc(predicted, truth, interval=True),
        "krcc": krcc(predicted, truth, interval=True),
        "srcc": srcc(predicted, truth, interval=True),
        "accuracy": best.accuracy,
        "tie": tie,
    }


def measure(rows: Iterable[Row]) -> Measures:
    """A run, the dimension `alignment` against the ratings."""
    pairs: list[tuple[float, float]] = []
    unscored = total = 0
    for row in rows:
        answer, mos, total = answer_of(row, "alignment"), row.sample.labels.mos, total + 1
        unscored += answer is None
        if answer is not None and mos is not None:
            pairs.append((answer, mos))
    return numbers([p for p, _ in pairs], [t for _, t in pairs]) | opinions.unscored_of(unscored, total)


def score(pred: Path, truth: Path) -> Measures:
    """The official numbers of one or more columns of scores."""
    wanted = {item.id: item.labels.mos or 0.0 for item in labels(truth)}
    tables = predictions(pred)
    found: Measures = {}
    for metric, given in tables.items():
        names, said = opinions.joined(given, wanted, pred)
        own = numbers([given[n] for n in names], [wanted[n] for n in names]) | said
        found |= (
            own
            if len(tables) == 1
            else {f"{metric.replace('/', '|')}/{name}": value for name, value in own.items()}
        )
    return found


def predictions(path: Path) -> dict[str, dict[str, float]]:
    """Metric -> (`MODEL/ID` -> score)."""
    if path.suffix.lower() == ".json":
        return {"": preferences.predictions(path)}
    found: dict[str, dict[str, float]] = {}
    for at, row in files.table(path, ["model_name"], "pred"):
        where = f"{path.name} line {at}"
        key = next((row[k] for k in IDS if k in row), None)
        if key is None:
            raise InputError(f"{path.name}: header", ", ".join(row), f"one of {', '.join(IDS)}", "name it so")
        metrics = [k for k in row if k not in (*IDS, "model_name", "prompt")]
        if not metrics:
            raise InputError(f"{path.name}: header", ", ".join(row), "a column of scores", "add one")
        name = f"{row['model_name']}/{key}"
        for metric in metrics:
            column: dict[str, Any] = found.setdefault(metric, {})
            if name in column:
                raise InputError(where, name, "each model and id once", "remove the doubled row")
            column[name] = files.number(row[metric], where, metric)
    if not found:
        raise InputError("pred", str(path), "at least one row", "write the predictions into it")
    return found


SUITE = Suite(
    name="genai-bench",
    title="GenAI-Bench (agreement of generated images with their prompts)",
    source=SOURCE,
    read=partial(opinions.read, labels=labels, files=FILES, default="all", source=SOURCE),
    measure=measure,
    score=score,
    depth="score",
    predicts="alignment",
    scale=(1.0, 5.0),
    splits=tuple(FILES),
)
