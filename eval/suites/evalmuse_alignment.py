"""EvalMuse-40K: does the picture show the prompt, as a whole and element by element (NTIRE 2025 track 1).

Labels: `train_list.json`, a list of `{prompt_id, prompt, type, img_path, total_score: [one per annotator],
element_score: {"pig giants (animal)": [0/1 per annotator]}, ...}`; means over annotators are the truth. Test
lists have null in place of scores. Averaged numbers in place of lists, and `element_score` as JSON text (as
on Hugging Face), are read too. Predictions: `output.json` (or the archive), a list of `{prompt, img_path,
total_score, element_score: {element: number}}`.

SRCC is raw, PLCC is after the 4-parameter logistic, accuracy pools all elements of all images with both
sides cut at >= 0.5, final = PLCC / 4 + SRCC / 4 + accuracy / 2. The organisers' script sorts both lists by
`img_path` and pairs them by index; here they are joined by name, and what is missing, doubled or extra is
said. Precision, recall and F1 of "present" stand beside the official numbers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from eval.metrics.agreement import accuracy_by_kind, combined, element_accuracy, element_f1, plcc, srcc
from eval.suites import opinions, writers
from eval.suites.base import SHOWN, Item, Measures, Row, Submission, Suite, Truth, verdict_of
from eval.suites.readers import files
from judge.errors import InputError
from judge.types import ElementLabel

SOURCE = "https://huggingface.co/datasets/DY-Evalab/EvalMuse"
FILES = {
    "train": ("train_list.json", "train.json"),
    "val": ("val_list.json", "val.json"),
    "test": ("test_list.json", "test.json"),
}
COMMON = 20
"""Elements of a kind from which on its accuracy is reported apart."""
WEIGHTS = {"srcc": 0.25, "plcc": 0.25, "accuracy": 0.5}
_KEPT = ("", "counting", "spatial")
Scores = dict[str, float | None]


def labels(path: Path) -> Iterator[Item]:
    """Rows of a label file; null scores give items without labels."""
    for at, row in enumerate(_list(path, "truth"), 1):
        where = f"{path.name} row {at}"
        name, total, shares = _read(row, where)
        asked = spoken(list(shares))
        known = [
            ElementLabel(name=said, present=share >= 0.5, kind=kind_of(key))
            for said, (key, share) in zip(asked, shares.items(), strict=True)
            if share is not None
        ]
        yield Item(
            id=name,
            image=name,
            prompt=str(row.get("prompt") or ""),
            elements=asked,
            generator=name.split("/")[0] if "/" in name else "",
            group=str(row.get("prompt_id") or row.get("prompt") or ""),
            labels=Truth(
                mos=total,
                score=total if total is not None and 1 <= total <= 5 else None,
                shares=shares,
                elements=known if len(known) == len(shares) else [],
            ),
        )


def spoken(keys: Sequence[str]) -> list[str]:
    """The elements as a judge is asked for them: without their kinds, unless that would make doubles or
    leave a bare number or preposition ("two (counting)", "on (spatial)")."""
    bare = [" ".join(key.rpartition(" (")[0].split()) if kind_of(key) not in _KEPT else key for key in keys]
    return [b if b and bare.count(b) == 1 and b not in keys else k for b, k in zip(bare, keys, strict=True)]


def kind_of(key: str) -> str:
    """What stands in brackets at the end of an element, in small letters: "pigs (Animal)" -> "animal"."""
    head, bracket, tail = key.strip().rpartition(" (")
    return tail[:-1].strip().lower() if head and bracket and tail.endswith(")") else ""


def _list(path: Path, field: str) -> list[Any]:
    rows = files.json_of(path, "output.json", ".json", field=field)
    if isinstance(rows, dict) and field == "truth":  # prompts with their elements, and no pictures
        raise InputError(
            field, str(path), "a list with img_path", "this file has no pictures: take a label list"
        )
    if not isinstance(rows, list) or not rows:
        raise InputError(
            field, str(path), "a JSON list of {img_path, total_score, element_score}", "write it so"
        )
    return rows


def _read(row: Any, where: str) -> tuple[str, float | None, Scores]:
    """Name, total score and element scores of one object, means over annotators."""
    if not isinstance(row, dict) or not isinstance(row.get("img_path"), str):
        raise InputError(where, row, "an object with img_path, total_score and element_score", "mend the row")
    elements = row.get("element_score") or {}
    if isinstance(elements, str):
        try:
            elements = json.loads(elements)
        except ValueError:
            raise InputError(f"{where}: element_score", elements, "a JSON object", "mend the row") from None
    if not isinstance(elements, dict):
        raise InputError(f"{where}: element_score", elements, "an object {element: score}", "mend the row")
    shares = {str(key): _mean(value, f"{where}: {key}") for key, value in elements.items()}
    return row["img_path"], _mean(row.get("total_score"), f"{where}: total_score"), shares


def _mean(value: Any, where: str) -> float | None:
    if value is None or value == []:
        return None
    if isinstance(value, list):
        return sum(files.number(v, where) for v in value) / len(value)
    return files.number(value, where)


def _table(path: Path, field: str) -> dict[str, tuple[float | None, Scores]]:
    found: dict[str, tuple[float | None, Scores]] = {}
    doubled = []
    for at, row in enumerate(_list(path, field), 1):
        name, total, shares = _read(row, f"{path.name} row {at}")
        if name in found:
            doubled.append(name)
        found[name] = total, shares
    if doubled:
        shown = ", ".join(doubled[:SHOWN])
        raise InputError(
            field, str(path), f"each img_path once; {len(doubled)} are doubled: {shown}", "remove one"
        )
    return found


def score(pred: Path, truth: Path) -> Measures:
    """The official numbers of an output.json."""
    wanted = {n: row for n, row in _table(truth, "truth").items() if row[0] is not None}
    if not wanted:
        raise InputError(
            "truth", str(truth), "a list with scores", "this one has none: it is for participants"
        )
    given = _table(pred, "pred")
    names, said = opinions.joined(given, wanted, pred)
    _same_elements(names, given, wanted, pred)
    totals, elements = [], []
    for name in names:
        (total, found), (mos, shares) = given[name], wanted[name]
        if total is None:
            raise InputError(f"pred: {name}", None, "a total_score", "predict one")
        totals.append((total, mos or 0.0))
        elements += [(name, key, found[key], share) for key, share in shares.items() if share is not None]
    return _numbers(totals, elements) | said


def _same_elements(names: list[str], given: Any, wanted: Any, path: Path) -> None:
    absent = [
        f"{name}: {key}"
        for name in names
        for key, share in wanted[name][1].items()
        if share is not None and given[name][1].get(key) is None
    ]
    if absent:
        total = sum(len(wanted[name][1]) for name in names)
        shown = "; ".join(absent[:SHOWN])
        raise InputError(
            "pred",
            str(path),
            f"a score for each of the {total} elements; {len(absent)} are missing: {shown}",
            "take the elements' names from the label list",
        )


def measure(rows: Iterable[Row]) -> Measures:
    """A run. An unscored verdict has no total, and answers all its elements wrongly."""
    totals: list[tuple[float, float]] = []
    elements: list[tuple[str, str, float | None, float]] = []
    unscored = total = 0
    for row in rows:
        verdict, truth, total = verdict_of(row), row.sample.labels, total + 1
        answer = verdict.dimensions["alignment"].score if "alignment" in verdict.dimensions else verdict.score
        unscored += answer is None
        if answer is not None and truth.mos is not None:
            totals.append((answer, truth.mos))
        found = element_scores(row)
        elements += [
            (row.sample.id, key, found.get(key), share)
            for key, share in truth.shares.items()
            if share is not None
        ]
    return _numbers(totals, elements) | opinions.unscored_of(unscored, total)


def element_scores(row: Row) -> dict[str, float]:
    """The judge's probabilities by the set's own names of the elements."""
    said = {" ".join(e.name.split()): e.probability for e in verdict_of(row).elements}
    keys = list(row.sample.labels.shares)
    names = [" ".join(name.split()) for name in spoken(keys)]
    return {key: said[name] for key, name in zip(keys, names, strict=True) if name in said}


def _numbers(
    totals: Sequence[tuple[float, float]], elements: Sequence[tuple[str, str, float | None, float]]
) -> Measures:
    x, y = [p for p, _ in totals], [t for _, t in totals]
    pictures, keys, said, shares = ([e[at] for e in elements] for at in range(4))
    f1, precision, recall = element_f1(said, shares, groups=pictures, interval=True)  # type: ignore[arg-type]
    found = {
        "srcc": srcc(x, y, interval=True),
        "plcc": plcc(x, y, fitted=True, interval=True),
        "accuracy": element_accuracy(said, shares, groups=pictures, interval=True),  # type: ignore[arg-type]
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "plcc_raw": plcc(x, y, interval=True),
    }
    found["final"] = combined(found, WEIGHTS)
    kinds = accuracy_by_kind(_common([kind_of(str(k)) for k in keys]), said, shares)  # type: ignore[arg-type]
    return found | {f"accuracy_by_kind/{kind}": measure for kind, measure in sorted(kinds.items())}


def _common(kinds: Sequence[str]) -> list[str]:
    """The kinds, those of few elements under one name: the set has hundreds that occur once."""
    often = Counter(kinds)
    return [kind if kind and often[kind] >= COMMON else "rare" for kind in kinds]


def files_of(rows: Sequence[Row], **options: str) -> dict[str, bytes]:
    """output.json and readme.txt."""
    made = []
    for row in rows:
        total, found = writers.number_of(row, "alignment"), element_scores(row)
        absent = [key for key in row.sample.labels.shares if key not in found]
        if absent:
            raise InputError(
                f"verdict {row.sample.id}", absent, "an answer to each element", "judge it again"
            )
        made.append(
            {
                "prompt": row.sample.prompt,
                "img_path": row.sample.id,
                "total_score": round(total, 6),
                "element_score": {key: round(found[key], 6) for key in row.sample.labels.shares},
            }
        )
    options = {name.replace("_", "-"): value for name, value in options.items()}
    return {"output.json": writers.dumped(made), "readme.txt": writers.readme(rows, options, llm=True)}


SUITE = Suite(
    name="evalmuse-alignment",
    title="EvalMuse-40K alignment (NTIRE 2025 text-to-image quality, track 1)",
    source=SOURCE,
    read=partial(opinions.read, labels=labels, files=FILES, default="train", source=SOURCE),
    measure=measure,
    score=score,
    predicts="alignment",
    scale=(1.0, 5.0),
    splits=tuple(FILES),
    submission=Submission(files_of, {**writers.README, "llm": "1 when a large language model is part of it"}),
)
