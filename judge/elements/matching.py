"""Compare predicted elements with elements written by people."""

from __future__ import annotations

from judge.elements.text import normalise_element


def precision_recall(predicted: list[str], truth: list[str], *, soft: bool = False) -> tuple[float, float]:
    """Return precision and recall of predicted elements against true ones.

    Both lists are compared after `normalise_element`.

    Args:
        predicted: elements from `split_prompt` or from another source.
        truth: elements written by people.
        soft: False: an element counts 1 if the other list holds an equal one, else 0. True: it counts the
            F1 of its words against the words of the best match in the other list.

    Returns:
        (precision, recall), each 0..1. If one list is empty, both are 1 when the other is empty too, else 0.
    """
    predictions = list(dict.fromkeys(filter(None, map(normalise_element, predicted))))
    labels = list(dict.fromkeys(filter(None, map(normalise_element, truth))))
    if not predictions or not labels:
        both_empty = float(not predictions and not labels)
        return both_empty, both_empty
    similarity = _word_f1 if soft else _equality
    precision = sum(max(similarity(p, t) for t in labels) for p in predictions) / len(predictions)
    recall = sum(max(similarity(p, t) for p in predictions) for t in labels) / len(labels)
    return precision, recall


def _equality(a: str, b: str) -> float:
    return float(a == b)


def _word_f1(a: str, b: str) -> float:
    words_a, words_b = set(a.split()), set(b.split())
    return 2 * len(words_a & words_b) / (len(words_a) + len(words_b))
