"""Compare the elements read from prompts with the lists that annotators wrote for EvalMuse-40K.

Both sides are compared without the kind in brackets ("couch (object)"), in lower case, without the articles
a, an
and the, and without punctuation; plurals and other endings are not removed. An element counts as the words
of the
prompt that it stands for: "red" for "red ball" next to "ball", since the annotators list words; style that
is kept
apart from the elements counts too, since they list it as well. There are three rules; all are pooled over the
prompts, and an element that a prompt lists twice counts once.

- exact (`f1`): one to one, the same words in the same order.
- `soft_f1`: each element counts the F1 of its words against those of its best match on the other side.
- `overlap_f1`: one to one, greedily, a Jaccard index of the words of at least 0.5.

Rules and word lists were chosen on one half of the prompts; the other half is reported. The parity of the
prompt's
SHA-256 decides.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eval.metrics.bootstrap import interval_from_sums
from eval.metrics.classification import f1_from_counts
from judge.errors import InputError

Words = tuple[str, ...]
Labels = Sequence[tuple[str, list[str]]]
"""Prompts with their labelled elements."""
LABEL_FILE = "prompt_t2i.json"
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


def find_label_file(data: Path) -> Path:
    """Return the label file: `data`, or `prompt_t2i.json` in it or in its `evalmuse_alignment`."""
    folders = (data, data / "evalmuse_alignment")
    return next((folder / LABEL_FILE for folder in folders if (folder / LABEL_FILE).is_file()), data)


def is_reported(prompt: str) -> bool:
    """Return whether a prompt is in the half that is reported, on which nothing was chosen."""
    return int(hashlib.sha256(prompt.encode("utf-8")).hexdigest(), 16) % 2 == 1


def split_words(name: str) -> Words:
    """Return the words of a name that are compared; none for a name of punctuation only."""
    text = re.sub(r"\s*\([^()]*\)\s*$", "", name.strip().lower())
    return tuple(w for w in re.findall(r"[^\W_]+(?:'[^\W_]+)?", text) if w not in _ARTICLES)


def list_words(prompt: str, split: Callable[[str, int], list[Any]]) -> list[str]:
    """Return what a splitter lists for a prompt, in its words, with the style that is kept apart."""
    from judge.elements.element_list import MAX_SPLIT, list_elements

    listed = list_elements(prompt, split=split, limit=MAX_SPLIT)
    return [statement.word or statement.name for statement in listed.statements] + listed.prompt.style


def measure_splitters(labels: Labels, splitters: Mapping[str, Any], default: str) -> dict[str, Any]:
    """Measure several splitters on the half of the prompts that is reported.

    Args:
        labels: all prompts with their labelled elements.
        splitters: name -> splitter.
        default: name of the one whose numbers are also those of the part.

    Returns:
        The numbers of the default; under `splitters` those of each; under `other_half` F1 on the half on
        which
        rules and word lists were chosen.
    """
    reported = [(prompt, names) for prompt, names in labels if is_reported(prompt)]
    other = [(prompt, names) for prompt, names in labels if not is_reported(prompt)]
    results: dict[str, dict[str, Any]] = {}
    intervals: dict[str, Any] = {}
    notes: dict[str, str] = {}
    for name, splitter in splitters.items():
        measured = measure_splitting(reported, partial(list_words, split=splitter))
        prefixes = [f"splitters.{name}.", *([""] if name == default else [])]
        for prefix in prefixes:
            intervals |= {prefix + key: value for key, value in measured["interval_95"].items()}
            notes |= {prefix + key: value for key, value in measured["notes"].items()}
        results[name] = {key: value for key, value in measured.items() if key not in ("interval_95", "notes")}
    chosen_on = {
        name: measure_splitting(other, partial(list_words, split=splitter))
        for name, splitter in splitters.items()
    }
    other_half = {name: {key: m[key] for key in ("f1", "soft_f1")} for name, m in chosen_on.items()}
    return {
        "default": splitters[default].label,
        **results[default],
        "splitters": results,
        "other_half": {"count": len(other), **other_half},
        "interval_95": intervals,
        "notes": notes,
    }


def measure_splitting(labels: Labels, split: Callable[[str], list[str]]) -> dict[str, Any]:
    """Compute precision, recall and F1 of a splitter under the rules, pooled over the prompts.

    Args:
        labels: prompts with their labelled elements.
        split: returns the elements of a prompt.

    Returns:
        The numbers, with intervals by the bootstrap over prompts.
    """
    rules: dict[str, Callable[[Words, Words], float]] = {"": _equality, "overlap_": _jaccard}
    counts: dict[str, list[tuple[float, int, float, int]]] = {rule: [] for rule in (*rules, "soft_")}
    for prompt, names in labels:
        predicted, labelled = _comparable_names(split(prompt)), _comparable_names(names)
        for rule, similarity in rules.items():
            matches = _count_matches(predicted, labelled, similarity)
            counts[rule].append((matches, len(predicted), matches, len(labelled)))
        hits, found = _sum_best(predicted, labelled), _sum_best(labelled, predicted)
        counts["soft_"].append((hits, len(predicted), found, len(labelled)))
    result: dict[str, Any] = {}
    notes: dict[str, str] = {}
    intervals: dict[str, tuple[float | None, float | None]] = {}
    for rule in rules:
        for name, measure in zip(("f1", "precision", "recall"), _compute_f1(counts[rule]), strict=True):
            result[rule + name] = measure.value
            notes |= {rule + name: measure.note} if measure.note else {}
            if measure.interval is not None:
                intervals[rule + name] = (measure.interval.low, measure.interval.high)
    soft = np.array(counts["soft_"], dtype=np.float64).reshape(-1, 4)
    result["soft_f1"] = _soft_f1(soft.sum(axis=0, keepdims=True))[0].item() if soft[:, (1, 3)].sum() else None
    interval = interval_from_sums(soft, _soft_f1)
    intervals["soft_f1"] = (interval.low, interval.high)
    predicted_count, labelled_count = (int(sum(row[column] for row in counts[""])) for column in (1, 3))
    sizes = {"elements_found": predicted_count, "elements_true": labelled_count, "count": len(labels)}
    return {**result, **sizes, "interval_95": intervals, "notes": notes}


def _soft_f1(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return F1 from sums of shape (resamples, 4): hits and number of predictions, then of labels."""
    precision, recall = sums[:, 0] / np.maximum(sums[:, 1], 1), sums[:, 2] / np.maximum(sums[:, 3], 1)
    return np.asarray(2 * precision * recall / np.maximum(precision + recall, 1e-12))


def _sum_best(names: Sequence[Words], others: Sequence[Words]) -> float:
    """Return the sum over names of the F1 of their words against the best match among the others."""
    return sum(max((_word_f1(name, other) for other in others), default=0.0) for name in names)


def _word_f1(a: Words, b: Words) -> float:
    return 2 * len(set(a) & set(b)) / (len(set(a)) + len(set(b)))


def _compute_f1(rows: Sequence[tuple[float, int, float, int]]) -> Any:
    return f1_from_counts(np.array(rows, dtype=np.int64).reshape(-1, 4), "element", interval=True)


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
