"""The rewards of a reinforcement: each compares one part of an answer with the truth.

The form of an answer is not rewarded: it is sampled under its grammar, so it is always right. Every reward is
0 to 1, or up to the agreement of the annotators. A reward gives `Credit`s, which name the decisions that they
are about. Its weight is in `finetune.rl.config.RewardConfig`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Any, get_args

from eval.metrics.boxes import box_iou
from finetune.lora.encoding import DEFAULT_SPREAD
from finetune.lora.targets import Target
from finetune.rl.rollouts import Group
from judge.rubrics.form_nodes import canonical_json
from judge.rubrics.schema import SCORE_LABELS
from judge.types import Severity

SEVERITIES = get_args(Severity)
MIN_MATCH = 0.1
"""Least IoU of a box with a true one whose kind and severity it is compared with."""
HIT = 0.5
"""IoU from which a box counts as found in the usual measures."""

Box = Sequence[float]
Value = Callable[[str], float]
"""Reward of a label of a blank."""


@dataclass(frozen=True)
class Credit:
    """What one answer earned in one respect."""

    reward: str
    """Name of the reward."""
    channel: str
    """Credits of one channel in one group are compared with each other."""
    blanks: tuple[str, ...]
    """Patterns (`fnmatch`) of the blanks whose decisions are credited."""
    value: float


@dataclass(frozen=True)
class ScoreMoments:
    """What the model thinks of the score of one image."""

    mean: float
    variance: float


def label_values(group: Group, agreement: bool) -> Iterator[tuple[str, str, Value]]:
    """Yield the rewards that depend on the label of one blank alone: reward, blank, value of a label.

    - elements: 1 for the right answer, times the agreement of the annotators, after EvalMuse-40K (Han et al.
      2024, arXiv 2412.18150), which trusts elements less if annotators disagree. The factor is |2 s - 1| for
      the share s of annotators who see the element.
    - attributes: 1 for the right label. Accuracy as a reward is that of DeepSeekMath (Shao et al. 2024, arXiv
      2402.03300) and, for the perception of degradations, of Q-Insight (Li et al. 2025, arXiv 2503.22679).
    - scores: 1 - |label - opinion| / 4. Q-Insight rewards a score within a threshold; the distance has no
      threshold to choose.

    Args:
        group: answers about one image.
        agreement: weight elements by the agreement of their annotators.
    """
    target = group.example.target
    for blank, weight in target.agreement.items():
        name = target.elements[int(blank.rpartition(".")[2])]
        right = "true" if target.values["elements"][name] else "false"
        yield "elements", blank, _equals(right, weight if agreement else 1.0)
    for question in group.example.rubric.attributes:
        blank = f"attributes.{question.name}"
        if target.is_labelled(blank):
            yield "attributes", blank, _equals(canonical_json(target.values[question.name]).strip('"'), 1.0)
    for blank, opinion in target.opinions.items():
        yield "scores", blank, _closeness(opinion.mean)


def _equals(right: str, value: float) -> Value:
    return lambda label: value if label == right else 0.0


def _closeness(mean: float) -> Value:
    return lambda label: 1 - abs(float(label) - mean) / 4


def score_moments(group: Group) -> ScoreMoments | None:
    """Return the mean and variance of the score that a group gives; None if the image has no human score.

    If one token decides the score, they are those of the model's distribution, averaged over the answers;
    else those of the sampled scores, as in VisualQuality-R1.
    """
    blank = group.example.target.score_blank
    if blank not in group.example.target.opinions:
        return None
    decisions = [d for r in group.rollouts for d in r.decisions if d.blank == blank and d.labels]
    if decisions:
        shares = [
            fmean(dict(zip(d.labels, d.shares, strict=True))[label] for d in decisions)
            for label in SCORE_LABELS
        ]
    else:
        member = blank.removeprefix("dimensions.")
        values = [str(answer[member]) for answer in group.answers]
        shares = [values.count(label) / len(values) for label in SCORE_LABELS]
    mean = sum(share * float(label) for share, label in zip(shares, SCORE_LABELS, strict=True))
    pairs = zip(shares, SCORE_LABELS, strict=True)
    return ScoreMoments(mean, sum(share * (float(label) - mean) ** 2 for share, label in pairs))


def rank_value(groups: Sequence[Group], moments: Sequence[ScoreMoments | None], number: int) -> Value | None:
    """Return the fidelity of the order of one image among the others, by its score.

    The reward of VisualQuality-R1 (Wu et al. 2025, arXiv 2505.14460): for each other image, p is the
    probability that people prefer this one, q that of the answer's score against the mean score of the other
    image, by Thurstone's model, and the reward is sqrt(p q) + sqrt((1 - p) (1 - q)) (Tsai et al. 2007),
    averaged over the other images. Images of one rubric are compared; with the same `Target.group` if they
    have one.

    Args:
        groups: the groups of a step.
        moments: `score_moments` of each.
        number: index of the image.

    Returns:
        The reward of a score; None if there is nothing to compare with.
    """
    own, moment = groups[number].example, moments[number]
    others = [
        (groups[n].example.target, other)
        for n, other in enumerate(moments)
        if n != number
        and other is not None
        and groups[n].example.rubric.hash == own.rubric.hash
        and groups[n].example.target.group == own.target.group
    ]
    if moment is None or not others:
        return None
    opinion = own.target.opinions[own.target.score_blank]

    def value(label: str) -> float:
        found = []
        for target, other in others:
            theirs = target.opinions[target.score_blank]
            p = _preference(opinion.mean, _spread(opinion) ** 2, theirs.mean, _spread(theirs) ** 2)
            q = _preference(float(label), moment.variance, other.mean, other.variance)
            found.append((p * q) ** 0.5 + ((1 - p) * (1 - q)) ** 0.5)
        return fmean(found)

    return value


def _spread(opinion: Any) -> float:
    return DEFAULT_SPREAD if opinion.spread is None else opinion.spread


def _preference(a: float, a_variance: float, b: float, b_variance: float) -> float:
    return NormalDist().cdf((a - b) / (a_variance + b_variance + 1e-3) ** 0.5)


def box_quality(iou: float) -> float:
    """Return what a box with this IoU is worth.

    IoU itself is the reward of Visual-RFT (Liu et al. 2025, arXiv 2503.01785). Here a hit at IoU 0.5, which
    the measures count, adds a step of a quarter: q = IoU below .5, and (1 + IoU) / 2 from there.
    """
    return (1 + iou) / 2 if iou >= HIT else iou


def match_boxes(boxes: Sequence[Box], truth: Sequence[Box]) -> dict[int, tuple[int, float]]:
    """Match boxes one to one with true ones, greedily by IoU above 0: index -> true index, IoU."""
    pairs = [(box_iou(a, b), i, j) for i, a in enumerate(boxes) for j, b in enumerate(truth)]
    found: dict[int, tuple[int, float]] = {}
    taken: set[int] = set()
    for iou, i, j in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
        if iou > 0 and i not in found and j not in taken:
            found[i] = j, iou
            taken.add(j)
    return found


def soft_box_f1(boxes: Sequence[Box], truth: Sequence[Box]) -> float:
    """Return F1 with `box_quality` in place of hits; 1 for no box on a clean image, 0 for some there."""
    if not boxes and not truth:
        return 1.0
    total = sum(box_quality(iou) for _, iou in match_boxes(boxes, truth).values())
    return 2 * total / (len(boxes) + len(truth))


def defect_credits(answer: dict[str, Any], target: Target, *, each: bool) -> Iterator[Credit]:
    """Yield the credits of the defects of one answer.

    - boxes: `soft_box_f1`. It credits where boxes are and whether another one follows. With `each`, a box is
      credited by what the F1 loses without it (difference rewards, Wolpert and Tumer 2001).
    - counts: 1 - |n - m| / max(n, m) for n defects in place of m. VLM-R1 (Shen et al. 2025,
      arXiv 2504.07615) found that a reward for boxes alone is hacked by many boxes, and rewards their number.
    - kinds and severities: of boxes that overlap a true one (IoU >= .1): 1 for the right kind; 1 for the
      right severity, half for the next one.
    """
    if not target.is_labelled("defects") or "defects" not in answer:
        return
    defects, true_defects = answer["defects"], target.values["defects"]
    boxes, truth = [defect["box"] for defect in defects], list(target.boxes)
    places = "defects.*.open"
    f1 = soft_box_f1(boxes, truth)
    if each:
        yield Credit("boxes", "boxes", (places,), f1)
        for n in range(len(boxes)):
            without = soft_box_f1([*boxes[:n], *boxes[n + 1 :]], truth)
            yield Credit("boxes", "box", (f"defects.{n}.box.*",), f1 - without)
    else:
        yield Credit("boxes", "boxes", (places, "defects.*.box.*"), f1)
    count = max(len(boxes), len(truth))
    closeness = 1 - abs(len(boxes) - len(truth)) / count if count else 1.0
    yield Credit("counts", "counts", (places,), closeness)
    for n, (m, iou) in match_boxes(boxes, truth).items():
        if iou < MIN_MATCH:
            continue
        if target.is_labelled("defects.0.kind"):
            right = defects[n]["kind"] == true_defects[m]["kind"]
            yield Credit("kinds", "kinds", (f"defects.{n}.kind",), float(right))
        if target.is_labelled("defects.0.severity"):
            order = [SEVERITIES.index(one["severity"]) for one in (defects[n], true_defects[m])]
            near = 1 - abs(order[0] - order[1]) / 2
            yield Credit("severities", "severities", (f"defects.{n}.severity",), near)


_COUNTED = re.compile(r"\b(\d+) of (\d+)\b")


def consistency(answer: dict[str, Any], kinds: Sequence[str]) -> float | None:
    """Return how far the explanation says what the answer found; None without an explanation.

    The mean of two numbers: F1 of the kinds that the text names against those that were found (1 if both are
    none), and whether each "n of m" counts the elements, where the text has one. The rule is this project's
    own. It looks at words, so a text in other words than the rubric's earns nothing.

    Args:
        answer: values of the form.
        kinds: names of the kinds of defects of the rubric.
    """
    text = answer.get("explanation")
    if not isinstance(text, str):
        return None
    found = {defect["kind"] for defect in answer.get("defects", ())}
    said = {kind for kind in kinds if re.search(rf"\b{re.escape(kind)}\b", text, re.IGNORECASE)}
    both = len(found) + len(said)
    parts = [2 * len(found & said) / both if both else 1.0]
    elements = answer.get("elements", {})
    counted = (sum(map(bool, elements.values())), len(elements))
    parts += [float((int(a), int(b)) == counted) for a, b in _COUNTED.findall(text)]
    return fmean(parts)


def rubric_kinds(rubric: Any) -> list[str]:
    """Return the kinds of defects of a rubric."""
    return [kind for group in rubric.defects.kinds.values() for kind in group] if rubric.defects else []
