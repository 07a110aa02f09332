"""What rewards do not say: numbers of the sampled answers that move if a reward is hacked.

| number | what moves it |
|---|---|
| area | boxes that grow or shrink: mean area of a box over that of a true one |
| boxes | more or fewer boxes: mean number over that of true ones |
| clean | boxes on clean images: share of answers about them without any |
| severities | one severity for everything: entropy of the severities, in bits |
| kinds | one kind for everything: entropy of the kinds, in bits |
| texts | explanations that repeat: different ones, of all |
| length | explanations that grow: mean characters |
| scores | one score for everything: spread of the scores |
| alike | answers of a group that are all the same: share of such groups |

VLM-R1 (Shen et al. 2025, arXiv 2504.07615) met the first three.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import log2
from statistics import fmean, pstdev
from typing import Any

from finetune.rl.rollouts import Group


def measure_drift(groups: Sequence[Group]) -> dict[str, float]:
    """Compute the numbers over some groups; those that cannot be computed are left out."""
    found: dict[str, float] = {}
    answers = [(answer, group) for group in groups for answer in group.answers]
    with_boxes = [(a, g) for a, g in answers if "defects" in a and g.example.target.is_labelled("defects")]
    defects = [defect for answer, _ in with_boxes for defect in answer["defects"]]
    true_boxes = [box for _, group in with_boxes for box in group.example.target.boxes]
    if defects and true_boxes:
        areas = [fmean(map(_area, boxes)) for boxes in ([d["box"] for d in defects], true_boxes)]
        found["area"] = areas[0] / areas[1]
    if true_boxes:
        found["boxes"] = len(defects) / len(true_boxes)
    clean = [not answer["defects"] for answer, group in with_boxes if not group.example.target.boxes]
    if clean:
        found["clean"] = fmean(clean)
    for name, member in (("severities", "severity"), ("kinds", "kind")):
        if values := [defect[member] for defect in defects if member in defect]:
            found[name] = _entropy(values)
    texts = [answer["explanation"] for answer, _ in answers if answer.get("explanation")]
    if texts:
        found |= {"texts": len(set(texts)) / len(texts), "length": fmean(map(len, texts))}
    if scores := [float(answer["score"]) for answer, _ in answers if "score" in answer]:
        found["scores"] = pstdev(scores)
    found["alike"] = fmean(len({r.text for r in group.rollouts}) == 1 for group in groups)
    return found


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _entropy(values: Iterable[Any]) -> float:
    counts = Counter(values)
    return -sum(n / counts.total() * log2(n / counts.total()) for n in counts.values())
