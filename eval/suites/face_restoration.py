"""Face restoration in the wild, NTIRE 2025: a weighted ranking over metrics, and a check of identity.

Truth of `score`: a CSV `image,subset` with an optional `cosine` (AdaFace similarity of the restored face to
the input), subset one of CelebA, LFW, CelebChild, Wider, WebPhoto (any spelling such as `LFW-Test`).
Predictions: a CSV of metric values, ours or other packages': columns `clipiqa, maniqa, musiq, niqe, qalign,
fid` in any spelling (`CLIP-IQA`, `Q-Align`), one row per image (means are taken) or one row for the set, with
an optional `method` (several are ranked), `image`, and `cosine` in place of the truth's.

final = CLIPIQA + MANIQA + MUSIQ / 100 + max(0, (10 - NIQE) / 10) + QALIGN / 5 + max(0, (100 - FID) / 100).
Identity fails below a cosine of .5 (CelebA), .6 (LFW, CelebChild), .3 (Wider, WebPhoto); more than 10
failures make a method invalid (`valid` 0), which the ranking says and the score does not change.
Data of a run: a folder with the restored images, one folder per subset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from eval.metrics.agreement import Measure, mean
from eval.suites import base, opinions
from eval.suites.base import Item, Measures, Row, Suite, answer_of
from eval.suites.readers import files
from judge.errors import InputError

SOURCE = "https://github.com/zhengchen1999/NTIRE2025_RealWorld_Face_Restoration"
METRICS = ("clipiqa", "maniqa", "musiq", "niqe", "qalign", "fid")
THRESHOLDS = {"celeba": 0.5, "lfw": 0.6, "celebchild": 0.6, "wider": 0.3, "webphoto": 0.3}
ALLOWED = 10
"""Failures of identity that a method may have."""


def final(values: Mapping[str, float]) -> float:
    """The weighted sum of the six metrics' means."""
    return (
        values["clipiqa"]
        + values["maniqa"]
        + values["musiq"] / 100
        + max(0.0, (10 - values["niqe"]) / 10)
        + values["qalign"] / 5
        + max(0.0, (100 - values["fid"]) / 100)
    )


def bare(name: str) -> str:
    """A name without case and marks: "CLIP-IQA" -> "clipiqa"."""
    return "".join(c for c in name.lower() if c.isalnum())


def subset_of(name: str) -> str | None:
    """The subset that a name means: "LFW-Test" -> "lfw"; None for others."""
    plain = bare(name)
    found = [key for key in THRESHOLDS if plain.startswith(key)]
    return max(found, key=len) if found else None


def failures(cosines: Iterable[tuple[str, float]]) -> int:
    """How many of (subset, cosine) are below their subset's threshold."""
    count = 0
    for name, cosine in cosines:
        subset = subset_of(name)
        if subset is None:
            raise InputError("subset", name, ", ".join(THRESHOLDS), "name the subset so")
        count += cosine < THRESHOLDS[subset]
    return count


def score(pred: Path, truth: Path) -> Measures:
    """The ranking score and the check of identity of each method in a CSV."""
    images = _images(truth)
    methods: dict[str, list[dict[str, str]]] = {}
    for _, row in files.table(pred, [], "pred"):
        plain = {bare(name): value for name, value in row.items()}
        methods.setdefault(plain.get("method", ""), []).append(plain)
    if not methods:
        raise InputError("pred", str(pred), "at least one row of metric values", "write them into it")
    found: Measures = {}
    for method, rows in methods.items():
        own = _method(rows, images, pred)
        found |= (
            own
            if len(methods) == 1
            else {f"{method.replace('/', '|')}/{name}": value for name, value in own.items()}
        )
    return found


def _method(rows: list[dict[str, str]], images: Mapping[str, tuple[str, str]], pred: Path) -> Measures:
    found: Measures = {}
    for metric in METRICS:
        values = [files.number(r[metric], pred.name, metric) for r in rows if r.get(metric)]
        if not values:
            known = ", ".join(sorted({name for row in rows for name in row}))
            raise InputError(f"{pred.name}: header", known, ", ".join(METRICS), f"{metric} is missing")
        found[metric] = mean(values, interval=metric != "fid" and len(values) > 1)
    found["final"] = Measure(final({m: found[m].value or 0.0 for m in METRICS}), "", len(rows))
    own = {r["image"]: r["cosine"] for r in rows if r.get("image") and r.get("cosine")}
    cosines = [
        (subset, files.number(text, pred.name, "cosine"))
        for name, (subset, known) in images.items()
        if (text := own.get(name, known))
    ]
    if len(cosines) < len(images) or not images:
        why = f"{len(images) - len(cosines)} of {len(images)} images have no cosine of identity"
        return found | {"identity_failures": Measure(None, why), "valid": Measure(None, why)}
    failed = failures(cosines)
    note = f"{failed} failures of identity, more than {ALLOWED}: invalid" if failed > ALLOWED else ""
    found["identity_failures"] = Measure(float(failed), note, len(cosines))
    found["valid"] = Measure(float(failed <= ALLOWED), note, len(cosines))
    return found


def _images(path: Path) -> dict[str, tuple[str, str]]:
    """Image -> (subset, cosine as text or empty)."""
    return {
        row["image"]: (row["subset"], row.get("cosine", ""))
        for _, row in files.table(path, ["image", "subset"], "truth")
    }


def read(data: Path, split: str | None = None, *, media: bool = True) -> Iterator[Item]:
    """The restored images of a folder; the group is the subset."""
    opinions.checked_split(split, ("all",), "all")
    if not data.is_dir():
        raise InputError("data", str(data), "a folder of restored images", f"get the set at {SOURCE}")
    found = [
        (p, s) for p in base.pictures(data) if (s := subset_of(p.relative_to(data).parts[0])) is not None
    ]
    if not found:
        raise base.missing("subsets", ["CelebA", "LFW", "CelebChild", "Wider", "WebPhoto"], 5, data, SOURCE)
    for path, subset in found:
        yield Item(id=str(path.relative_to(data)), image=str(path), group=subset)


def measure(rows: Iterable[Row]) -> Measures:
    """Mean score of the judge, overall and by subset: beside the ranking, not part of it."""
    by: dict[str, list[float]] = {}
    total = 0
    for row in rows:
        total += 1
        answer = answer_of(row)
        if answer is not None:
            by.setdefault(row.sample.group, []).append(answer)
    every = [value for values in by.values() for value in values]
    found = {"mean_score": mean(every, interval=True)}
    found |= {f"mean_score/{name}": mean(values, interval=True) for name, values in sorted(by.items())}
    return found | opinions.unscored_of(total - len(every), total)


SUITE = Suite(
    name="face-restoration",
    title="Real-world face restoration (NTIRE 2025): the ranking formula and the check of identity",
    source=SOURCE,
    read=read,
    measure=measure,
    score=score,
    rubric="quality",
    depth="score",
    splits=("all",),
)
