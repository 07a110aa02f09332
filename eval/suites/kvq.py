"""KVQ: short video of users, NTIRE 2024.

Labels: `truth.csv` (train: `train_data.csv`) with the header `filename,score`. Ranked pairs stand beside it:
`rank-pair-val.xlsx` with the sheets `nonsource` and `source`, or two CSV files `rank-pair-nonsource.csv` and
`rank-pair-source.csv`; a row is first video, second video, and 1 or 2, the better one; the first row is a
header. Predictions: `prediction.csv` with the header `filename,score`. Score = 0.45 SROCC + 0.45 PLCC (raw) +
0.05 accuracy on nonsource pairs + 0.05 on source pairs; equal predictions count as "the first is better".
Checked against the organisers' `metric_score.py` in lixinustc/KVQ-Challenge-CVPR-NTIRE2024.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from eval.metrics.agreement import Measure, accuracy, combined
from eval.suites import opinions
from eval.suites.base import Item, Measures, Row, Suite, Truth, answer_of
from eval.suites.opinions import Rule
from eval.suites.readers import files
from eval.suites.writers import lines_submission
from judge.errors import InputError

SOURCE = "https://github.com/lixinustc/KVQ-Challenge-CVPR-NTIRE2024"
WEIGHTS = {"srcc": 0.45, "plcc": 0.45, "accuracy_nonsource": 0.05, "accuracy_source": 0.05}
RULE = Rule(weights={})
FILES = {
    "train": ("train_data.csv", "train.csv"),
    "val": ("truth.csv", "val.csv"),
    "test": ("truth.csv", "test.csv"),
}
Pairs = dict[str, list[tuple[str, str, int]]]


def labels(path: Path) -> Iterator[Item]:
    """Rows of a label file."""
    for at, row in files.table(path, ["filename", "score"], "truth"):
        mos = files.number(row["score"], f"{path.name} line {at}")
        yield Item(id=row["filename"], video=Path(row["filename"]), labels=Truth(mos=mos))


def ranked_pairs(folder: Path) -> Pairs:
    """The ranked pairs beside a label file, by kind; empty where there are none.

    Raises:
        InputError: a row that is no pair, a rank that is neither 1 nor 2.
    """
    sheets: dict[str, list[list[str]]] = {}
    for book in sorted(folder.glob("rank-pair*.xlsx")):
        sheets |= workbook(book)
    for kind in ("nonsource", "source"):
        for path in sorted(folder.glob(f"rank-pair-{kind}.csv")):
            sheets[kind] = [row for _, row in files.cells(path, 3, field="truth")]
    found: Pairs = {}
    for kind, rows in sheets.items():
        found[kind] = [_pair(row, f"{kind} row {at}") for at, row in enumerate(rows[1:], 2)]
    return found


def _pair(row: list[str], where: str) -> tuple[str, str, int]:
    if len(row) < 3 or row[2] not in ("1", "2", "1.0", "2.0"):
        raise InputError(where, row, "first video, second video, 1 or 2", "mend the row")
    return row[0], row[1], int(float(row[2]))


def workbook(path: Path) -> dict[str, list[list[str]]]:
    """The cells of an .xlsx file as text, by sheet; formulas as they were last computed.

    Raises:
        InputError: not such a file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            shared = _shared_texts(archive)
            parts = _parts(archive, "xl/_rels/workbook.xml.rels")
            links = {part.attrib["Id"]: part.attrib["Target"] for part in parts if "Id" in part.attrib}
            return {
                sheet.attrib["name"]: _sheet(archive, links[_attribute(sheet, "id")], shared)
                for sheet in _parts(archive, "xl/workbook.xml")
                if sheet.tag.endswith("}sheet")
            }
    except (OSError, KeyError, IndexError, ValueError, zipfile.BadZipFile, ElementTree.ParseError):
        raise InputError("truth", str(path), "an .xlsx workbook", "save it again, or as CSV files") from None


def _parts(archive: zipfile.ZipFile, name: str) -> Iterator[ElementTree.Element]:
    data = archive.read(name)
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:  # entities that grow without end
        raise ValueError("a document type in a workbook")
    return ElementTree.fromstring(data).iter()


def _attribute(element: ElementTree.Element, name: str) -> str:
    return next(value for key, value in element.attrib.items() if key.endswith("}" + name))


def _shared_texts(archive: zipfile.ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    entries = (e for e in _parts(archive, "xl/sharedStrings.xml") if e.tag.endswith("}si"))
    return ["".join(t.text or "" for t in entry.iter() if t.tag.endswith("}t")) for entry in entries]


def _sheet(archive: zipfile.ZipFile, target: str, shared: list[str]) -> list[list[str]]:
    name = target.lstrip("/") if target.startswith("/") else f"xl/{target}"
    rows = []
    for row in (e for e in _parts(archive, name) if e.tag.endswith("}row")):
        values: list[str] = []
        for cell in (c for c in row if c.tag.endswith("}c")):
            values += [""] * (_column(cell.attrib.get("r", ""), len(values)) - len(values))
            text = "".join(e.text or "" for e in cell.iter() if e.tag.endswith(("}v", "}t")))
            values.append(shared[int(text)] if cell.attrib.get("t") == "s" else text)
        if any(values):
            rows.append(values)
    return rows


def _column(reference: str, default: int) -> int:
    """Place of a cell in its row from its name, "C7" -> 2."""
    letters = re.match(r"[A-Z]{1,3}", reference)
    place = 0
    for letter in letters.group() if letters else "":
        place = place * 26 + ord(letter) - 64
    return place - 1 if letters else default


def _with_pairs(found: Measures, given: Mapping[str, float], pairs: Pairs) -> Measures:
    for kind in ("nonsource", "source"):
        known = [p for p in pairs.get(kind, []) if p[0] in given and p[1] in given]
        absent = len(pairs.get(kind, [])) - len(known)
        if absent:
            note = f"{absent} of {len(pairs[kind])} pairs have a video without a prediction"
            found[f"accuracy_{kind}"] = Measure(None, note)
        elif not known:
            found[f"accuracy_{kind}"] = Measure(None, f"there is no list of {kind} pairs beside the labels")
        else:
            ranks = [1 if given[a] >= given[b] else 2 for a, b, _ in known]
            found[f"accuracy_{kind}"] = accuracy(ranks, [rank for _, _, rank in known], interval=True)
    found["final"] = combined(found, WEIGHTS)
    return found


def score(pred: Path, truth: Path) -> Measures:
    """The official numbers; the ranked pairs lie beside the label file."""
    found = opinions.scored(pred, truth, labels=labels, predictions=predictions, rule=RULE)
    return _with_pairs(found, predictions(pred), ranked_pairs(truth.parent))


def predictions(path: Path) -> dict[str, float]:
    """`prediction.csv`: lines `filename,score` under that header."""
    return files.scored_lines(path, "prediction.csv")


def measure(rows: Iterable[Row]) -> Measures:
    """Correlations of a run; the pairs' accuracies where the items say which pairs they are in."""
    given: dict[str, float] = {}
    places: dict[str, list[tuple[float, str]]] = {}

    def seen() -> Iterator[Row]:
        for row in rows:
            answer = answer_of(row)
            if answer is not None:
                given[row.sample.id] = answer
            for name, place in row.sample.labels.places.items():
                places.setdefault(name, []).append((place, row.sample.id))
            yield row

    found = opinions.measured(seen(), rule=RULE)
    pairs: Pairs = {}
    for name, sides in places.items():
        if len(sides) == 2:
            (a, first), (_, second) = sides
            pairs.setdefault(name.split("#")[0], []).append((first, second, 1 if a == 1 else 2))
    return _with_pairs(found, given, pairs)


def with_pairs(path: Path) -> Iterator[Item]:
    """Rows of a label file, each with its places in the ranked pairs beside it."""
    places: dict[str, dict[str, float]] = {}
    for kind, pairs in ranked_pairs(path.parent).items():
        for at, (first, second, rank) in enumerate(pairs):
            places.setdefault(first, {})[f"{kind}#{at}"] = float(rank)
            places.setdefault(second, {})[f"{kind}#{at}"] = float(3 - rank)
    for item in labels(path):
        truth = item.labels.model_copy(update={"places": places.get(item.id, {})})
        yield item.model_copy(update={"labels": truth})


SUITE = Suite(
    name="kvq",
    title="KVQ (short video of users, NTIRE 2024)",
    source=SOURCE,
    read=partial(opinions.read, labels=with_pairs, files=FILES, default="val", source=SOURCE, kind="video"),
    measure=measure,
    score=score,
    rubric="video",
    kind="video",
    depth="score",
    scale=(1.0, 5.0),
    splits=tuple(FILES),
    submission=lines_submission("prediction.csv", header="filename,score"),
)
