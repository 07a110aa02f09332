"""A task for lmms-eval: measure how well one of its models judges images with known labels.

    judge eval lmms-task scenes --data scenes/ --out task/
    python -m lmms_eval --include_path task/ --tasks judge_scenes --model qwen2_5_vl --model_args ...

The model gets the image and the text of the rubric, and answers with the rubric's form in one message. The
reply is parsed by the same form that parses every judge's reply. A reply that cannot be parsed is unscored:
it is left out of the correlations, counts as wrong for its elements, and is counted. lmms-eval calls the
functions at the end of this file by their names in the task file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from eval.suites.shared.samples import SuiteSample
from eval.suites.shared.suite import Suite
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
"""Whether a higher value is better, by name of the metric."""


def write_task(suite: Suite, samples: Iterable[SuiteSample], out: Path) -> int:
    """Write a task: rows.jsonl and the YAML file that lmms-eval reads.

    Args:
        suite: the suite. The task is named judge_NAME after it and uses its rubric.
        samples: samples whose image is a file.
        out: folder to pass to lmms-eval as --include_path; created if it does not exist.

    Returns:
        The number of rows.

    Raises:
        InputError: a sample has no image file, there is no sample, or `out` cannot be written.
    """
    name = f"judge_{suite.name.replace('-', '_')}"
    rows = out / "rows.jsonl"
    count = 0
    try:
        out.mkdir(parents=True, exist_ok=True)
        with rows.open("w", encoding="utf-8") as file:
            for sample in samples:
                file.write(json.dumps(_make_row(sample, suite), ensure_ascii=False) + "\n")
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


def _make_row(sample: SuiteSample, suite: Suite) -> dict[str, Any]:
    if not isinstance(sample.image, str | Path):
        raise InputError("image", sample.id, "rows whose image is a file", "write the images to disk first")
    labels = sample.labels
    score = labels.mos if labels.mos is not None else labels.score
    return {
        "id": sample.id,
        "picture": str(Path(sample.image).resolve()),
        "prompt": sample.prompt,
        "rubric": suite.rubric,
        "elements": sample.to_sample().elements or [],
        "present": [label.present for label in labels.elements],
        "score": score,
    }


# ------------------------------------------------------------- functions that lmms-eval calls by name


def doc_to_visual(doc: dict[str, Any]) -> list[Any]:
    """Return the image of a row in a list."""
    from judge.media.image import load_image

    return [load_image(doc["picture"]).image]


def doc_to_text(doc: dict[str, Any], lmms_eval_specific_kwargs: Any = None) -> str:
    """Return the text of the rubric for a row."""
    rubric = Rubric.load(doc["rubric"]).for_general_models()
    *_, message = rubric.messages(doc["prompt"], doc["elements"], depth="score")
    return "\n".join(part["text"] for part in message["content"] if part["type"] == "text")


def process_results(doc: dict[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Return the contribution of a row to every metric.

    Args:
        doc: the row.
        results: the replies of the model; the first one is used.
    """
    answer: dict[str, Any] | None
    try:
        form = Rubric.load(doc["rubric"]).form(doc["elements"]).at_depth("score")
        answer = form.parse(_strip_fence(results[0]))
    except ReplyError:
        answer = None
    score = None if answer is None else float(answer["score"])
    elements = (answer or {}).get("elements", {})
    correct = [
        elements.get(name) == present for name, present in zip(doc["elements"], doc["present"], strict=False)
    ]
    pair = (score, doc["score"])
    return {
        "srcc": pair,
        "plcc": pair,
        "element_accuracy": (sum(correct), len(correct)),
        "unscored": score is None,
    }


def _strip_fence(reply: str) -> str:
    """Return the reply without the Markdown fence that chat models put around JSON."""
    fenced = re.fullmatch(r"\s*```(?:json)?\s*(.*?)\s*```\s*", reply, flags=re.S)
    return fenced.group(1) if fenced else reply


def srcc(pairs: Sequence[tuple[float | None, float | None]]) -> float | None:
    """Return the rank correlation, or None where it is undefined.

    Args:
        pairs: (predicted score, true score) of each row.
    """
    from eval.metrics import correlation

    return correlation.srcc(*_complete_pairs(pairs)).value


def plcc(pairs: Sequence[tuple[float | None, float | None]]) -> float | None:
    """Return the linear correlation, or None where it is undefined.

    Args:
        pairs: (predicted score, true score) of each row.
    """
    from eval.metrics import correlation

    return correlation.plcc(*_complete_pairs(pairs)).value


def element_accuracy(tallies: Sequence[tuple[int, int]]) -> float | None:
    """Return the share of elements that are judged correctly, pooled over the images.

    Args:
        tallies: (correct elements, all elements) of each row.
    """
    correct, total = sum(c for c, _ in tallies), sum(n for _, n in tallies)
    return correct / total if total else None


def unscored(flags: Sequence[bool]) -> int:
    """Return the number of rows whose reply could not be parsed."""
    return sum(flags)


def _complete_pairs(pairs: Sequence[tuple[float | None, float | None]]) -> tuple[list[float], list[float]]:
    both = [(p, t) for p, t in pairs if p is not None and t is not None]
    return [p for p, _ in both], [t for _, t in both]
