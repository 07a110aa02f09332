"""Compare the elements read from prompts with the lists that annotators wrote for EvalMuse-40K.

Names are compared in lower case, without the kind in brackets ("couch (object)"), articles and punctuation,
and without stemming. There are two rules; both match names one to one within a prompt. Rule `exact`
requires the same words in the same order. Rule `overlap` requires a Jaccard index of the words of at least
0.5, and matches greedily. The annotators split finely ("red (color)", "wallet (object)"), so a splitter
that keeps "red wallet" together for judging loses on `exact` by design.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from eval.metrics.classification import f1_from_counts
from judge.errors import InputError

Words = tuple[str, ...]
_ARTICLES = frozenset({"a", "an", "the"})


def read_labels(file: Path) -> list[tuple[str, list[str]]]:
    """Read prompts with their elements.

    Args:
        file: `prompt_t2i.json`, or the list of rows of the train set.

    Raises:
        InputError: the file is no JSON, or has another format.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        rows = list(content.values()) if isinstance(content, dict) else content
        pairs = {row["prompt"]: [str(name) for name in row["element_score"]] for row in rows}
    except (ValueError, TypeError, KeyError) as error:
        allowed = "EvalMuse's JSON of rows with prompt and element_score"
        raise InputError("labels", str(file), allowed, f"correct the file ({error!r})") from None
    return [(prompt, names) for prompt, names in pairs.items() if names]


def split_words(name: str) -> Words:
    """Return the words of a name that are compared; none for a name of punctuation only."""
    text = re.sub(r"\s*\([^()]*\)\s*$", "", name.strip().lower())
    return tuple(w for w in re.findall(r"[^\W_]+(?:'[^\W_]+)?", text) if w not in _ARTICLES)


def measure_splitting(
    labels: Sequence[tuple[str, list[str]]], split: Callable[[str], list[str]]
) -> dict[str, Any]:
    """Compute precision, recall and F1 of a splitter under both rules, pooled over the prompts.

    Args:
        labels: prompts with their labelled elements.
        split: returns the elements of a prompt.
    """
    rules: dict[str, Callable[[Words, Words], float]] = {"": _equality, "overlap_": _jaccard}
    counts: dict[str, list[tuple[int, int, int, int]]] = {rule: [] for rule in rules}
    for prompt, names in labels:
        predicted, labelled = _comparable_names(split(prompt)), _comparable_names(names)
        for rule, similarity in rules.items():
            matches = _count_matches(predicted, labelled, similarity)
            counts[rule].append((matches, len(predicted), matches, len(labelled)))
    result: dict[str, Any] = {}
    notes: dict[str, str] = {}
    for rule, rows in counts.items():
        for name, measure in zip(("f1", "precision", "recall"), _compute_f1(rows), strict=True):
            result[rule + name] = measure.value
            notes |= {rule + name: measure.note} if measure.note else {}
    predicted_count, labelled_count = (sum(row[column] for row in counts[""]) for column in (1, 3))
    sizes = {"elements_found": predicted_count, "elements_true": labelled_count, "count": len(labels)}
    return {**result, **sizes, "notes": notes}


def _compute_f1(rows: list[tuple[int, int, int, int]]) -> Any:
    import numpy as np

    return f1_from_counts(np.array(rows, dtype=np.int64).reshape(-1, 4), "element")


def _comparable_names(names: Sequence[str]) -> list[Words]:
    """Return the names that can be compared, without duplicates, in order."""
    return list(dict.fromkeys(words for words in map(split_words, names) if words))


def _equality(a: Words, b: Words) -> float:
    return float(a == b)


def _jaccard(a: Words, b: Words) -> float:
    return len(set(a) & set(b)) / len(set(a) | set(b))


def _count_matches(
    predicted: list[Words], labelled: list[Words], similarity: Callable[[Words, Words], float]
) -> int:
    """Match names one to one, the most similar first, and return the number of matches."""
    pairs = [(similarity(a, b), i, j) for i, a in enumerate(predicted) for j, b in enumerate(labelled)]
    used_i: set[int] = set()
    used_j: set[int] = set()
    for value, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if value >= 0.5 and i not in used_i and j not in used_j:
            used_i.add(i)
            used_j.add(j)
    return len(used_i)
