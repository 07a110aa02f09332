"""A task for lmms-eval: how well any of its models judges pictures whose labels are known.

    judge eval lmms-task scenes --data scenes/ --out task/
    python -m lmms_eval --include_path task/ --tasks judge_scenes --model qwen2_5_vl --model_args ...

The model gets the picture and the words of our rubric, and answers with the rubric's form in one message; the
answer is read by the form that reads everybody's. What cannot be read is unscored: left out of correlations,
wrong about its elements, and counted. lmms-eval calls the functions below by their names in the task's file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from eval.suites.base import Item, Suite
from judge.errors import InputError, ReplyError
from judge.rubrics.rubric import Rubric

TASK = """dataset_path: json
dataset_kwargs:
  data_files:
    test: {rows}
task: {name}
test_split: test
output_type: generate_until
doc_to_visual: !function eval.interop.lmms_task.doc_to_visual
doc_to_text: !function eval.interop.lmms_task.doc_to_text
doc_to_target: score
process_results: !function eval.interop.lmms_task.process_results
generation_kwargs:
  max_new_tokens: 512
  temperature: 0
  do_sample: false
metric_list:
"""
METRIC = """  - metric: {name}
    aggregation: !function eval.interop.lmms_task.{name}
    higher_is_better: {better}
"""
METRICS = {"srcc": True, "plcc": True, "element_accuracy": True, "unscored": False}
"""Name -> whether more is better."""


def write(suite: Suite, items: Iterable[Item], out: Path) -> int:
    """Write a task: rows.jsonl and the YAML file that lmms-eval reads.

    Args:
        suite: the task is called judge_NAME after it and asks its rubric.
        items: rows with a picture on disk.
        out: folder, made when it is not there; give it to lmms-eval as --include_path.

    Returns:
        How many rows were written.

    Raises:
        InputError: a row has no picture on disk, or there is no row, or `out` cannot be written.
    """
    name = f"judge_{suite.name.replace('-', '_')}"
    rows = out / "rows.jsonl"
    count = 0
    try:
        out.mkdir(parents=True, exist_ok=True)
        with rows.open("w", encoding="utf-8") as file:
            for item in items:
                file.write(json.dumps(_row(item, suite), ensure_ascii=False) + "\n")
                count += 1
        metrics = "".join(METRIC.format(name=m, better=str(b).lower()) for m, b in METRICS.items())
        task = TASK.format(rows=json.dumps(str(rows.resolve())), name=name) + metrics
        (out / f"{name}.yaml").write_text(task, encoding="utf-8")
    except OSError as error:
        raise InputError(
            "out", str(out), "a folder that can be written", error.strerror or str(error)
        ) from None
    if not count:
        raise InputError("data", 0, "at least one row", "there is nothing to judge")
    return count


def _row(item: Item, suite: Suite) -> dict[str, Any]:
    if not isinstance(item.image, str | Path):
        raise InputError("image", item.id, "rows whose picture is a file", "write the pictures to disk first")
    asked, labels = item.asked(), item.labels
    score = labels.mos if labels.mos is not None else labels.score
    return {
        "id": item.id,
        "picture": str(Path(item.image).resolve()),
        "prompt": item.prompt,
        "rubric": suite.rubric,
        "elements": asked.elements or [],
        "present": [label.present for label in labels.elements],
        "score": score,
    }


# -------------------------------------------------------------------------- what lmms-eval calls by name


def doc_to_visual(doc: dict[str, Any]) -> list[Any]:
    """The picture."""
    from judge.media import image as media

    return [media.load(doc["picture"]).image]


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: Any = None) -> str:
    """The rubric's own words."""
    rubric = Rubric.load(doc["rubric"])
    (message,) = rubric.messages(doc["prompt"], doc["elements"], depth="score")
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "text")


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """One row's part in every metric."""
    answer: dict[str, Any] | None
    try:
        form = Rubric.load(doc["rubric"]).form(doc["elements"]).at_depth("score")
        answer = form.parse(_bare(results[0]))
    except ReplyError:
        answer = None
    said = None if answer is None else float(answer["score"])
    seen = (answer or {}).get("elements", {})
    right = [
        seen.get(name) == present for name, present in zip(doc["elements"], doc["present"], strict=False)
    ]
    pair = (said, doc["score"])
    return {
        "srcc": pair,
        "plcc": pair,
        "element_accuracy": (sum(right), len(right)),
        "unscored": said is None,
    }


def _bare(reply: str) -> str:
    """The reply without the fence that chat models put around JSON."""
    fenced = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", reply, flags=re.S)
    return fenced.group(1) if fenced else reply


def srcc(pairs: Sequence[tuple[float | None, float | None]]) -> float | None:
    """Rank correlation; None where it is undefined, which lmms-eval shows as such."""
    from eval.metrics import agreement as metrics

    return metrics.srcc(*_sides(pairs)).value


def plcc(pairs: Sequence[tuple[float | None, float | None]]) -> float | None:
    """Linear correlation."""
    from eval.metrics import agreement as metrics

    return metrics.plcc(*_sides(pairs)).value


def element_accuracy(tallies: Sequence[tuple[int, int]]) -> float | None:
    """Share of elements judged right, pooled over the pictures."""
    right, asked = sum(r for r, _ in tallies), sum(n for _, n in tallies)
    return right / asked if asked else None


def unscored(flags: Sequence[bool]) -> int:
    """Rows whose answer could not be read."""
    return sum(flags)


def _sides(pairs: Sequence[tuple[float | None, float | None]]) -> tuple[list[float], list[float]]:
    both = [(p, t) for p, t in pairs if p is not None and t is not None]
    return [p for p, _ in both], [t for _, t in both]
