"""How well elements are read from prompts, against the element lists that people wrote for EvalMuse-40K.

Names are compared in lower case, without the kind in brackets ("couch (object)"), articles and punctuation;
there is no stemming. Two rules, both one to one within a prompt: `exact` wants the same words in the same
order, `overlap` at least half of all words of the two in common (Jaccard >= 0.5, greedily). People split
finely there ("red (color)", "wallet (object)"), so a splitter that keeps "red wallet" together for judging
loses on `exact` by design.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from eval.metrics.agreement import f1_of
from judge.errors import InputError

Words = tuple[str, ...]
_ARTICLES = frozenset({"a", "an", "the"})


def read_labels(file: Path) -> list[tuple[str, list[str]]]:
    """Prompts with their elements: `prompt_t2i.json`, or the list of rows of the train set.

    Raises:
        InputError: the file is no JSON, or has another shape.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        rows = list(content.values()) if isinstance(content, dict) else content
        pairs = {row["prompt"]: [str(name) for name in row["element_score"]] for row in rows}
    except (ValueError, TypeError, KeyError) as error:
        allowed = "EvalMuse's JSON of rows with prompt and element_score"
        raise InputError("labels", str(file), allowed, f"mend it ({error!r})") from None
    return [(prompt, names) for prompt, names in pairs.items() if names]


def words(name: str) -> Words:
    """The words that are compared; empty for a name of punctuation only."""
    bare = re.sub(r"\s*\([^()]*\)\s*$", "", name.strip().lower())
    return tuple(w for w in re.findall(r"[^\W_]+(?:'[^\W_]+)?", bare) if w not in _ARTICLES)


def run(labels: Sequence[tuple[str, list[str]]], split: Callable[[str], list[str]]) -> dict[str, Any]:
    """Precision, recall and F1 of `split(prompt)` under both rules, pooled over the prompts."""
    rules: dict[str, Callable[[Words, Words], float]] = {"": _same, "overlap_": _jaccard}
    counts: dict[str, list[tuple[int, int, int, int]]] = {rule: [] for rule in rules}
    for prompt, names in labels:
        ours, theirs = _known(split(prompt)), _known(names)
        for rule, likeness in rules.items():
            hits = _matched(ours, theirs, likeness)
            counts[rule].append((hits, len(ours), hits, len(theirs)))
    result: dict[str, Any] = {}
    notes: dict[str, str] = {}
    for rule, rows in counts.items():
        for name, m in zip(("f1", "precision", "recall"), _measures(rows), strict=True):
            result[rule + name] = m.value
            notes |= {rule + name: m.note} if m.note else {}
    total = [sum(row[side] for row in counts[""]) for side in (1, 3)]
    sizes = {"elements_found": total[0], "elements_true": total[1], "count": len(labels)}
    return {**result, **sizes, "notes": notes}


def _measures(rows: list[tuple[int, int, int, int]]) -> Any:
    import numpy as np

    return f1_of(np.array(rows, dtype=np.int64).reshape(-1, 4), "element")


def _known(names: Sequence[str]) -> list[Words]:
    """The comparable names, without doubles, in order."""
    return list(dict.fromkeys(w for w in map(words, names) if w))


def _same(a: Words, b: Words) -> float:
    return float(a == b)


def _jaccard(a: Words, b: Words) -> float:
    return len(set(a) & set(b)) / len(set(a) | set(b))


def _matched(ours: list[Words], theirs: list[Words], likeness: Callable[[Words, Words], float]) -> int:
    pairs = [(likeness(a, b), i, j) for i, a in enumerate(ours) for j, b in enumerate(theirs)]
    used_i: set[int] = set()
    used_j: set[int] = set()
    for like, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if like >= 0.5 and i not in used_i and j not in used_j:
            used_i.add(i)
            used_j.add(j)
    return len(used_i)
