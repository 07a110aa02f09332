"""What the numbers of an examination mean: findings, settings, and whether the model is fit to judge.

A fault makes a model unfit, a setting makes it fit with that setting, a caution is said and changes nothing.
The limits are wide: they tell apart what works and what does not, and rank no models.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from eval.examination.box_conventions import ConventionFit
from eval.examination.measures import Measures
from judge.backends.cards import CardSettings, Finding, Fitness, Measure

MAX_UNSCORED = 0.1
"""Share of images without a score."""
MIN_LABEL_MASS = 0.5
"""Probability that the model gives to the labels of the form before all else is masked."""
MIN_ELEMENT_GAIN = 0.05
"""Accuracy of the elements minus that of the constant answer."""
MIN_OF_KIND = 8
"""Fewer elements of a kind decide nothing."""
MAX_YES_TO_ABSENT, MIN_YES_TO_PRESENT = 0.5, 0.5
"""Share of absent and of present elements that the model says yes to."""
MAX_YES_BIAS = 0.15
MAX_ORDER_CHANGE = 0.15
"""Mean change of an element's probability in the opposite order."""
MIN_DAMAGE_CORRELATION, GOOD_DAMAGE_CORRELATION = 0.3, 0.6
"""Mean rank correlation of score and lack of damage within a scene."""
MIN_BOX_IOU = 0.2
MAX_PAIR_SWAP, MAX_PAIR_BIAS = 0.5, 0.25
MAX_BATCH_CHANGE = 0.02


@dataclass(frozen=True)
class Result:
    """The findings of an examination, and what follows."""

    findings: list[Finding]
    settings: CardSettings
    verdict: Fitness


def apply_rules(
    measures: Measures,
    fit: ConventionFit | None,
    accepted: set[str],
    errors: list[str],
    *,
    thinks: bool = False,
) -> Result:
    """Derive the findings.

    Args:
        measures: the numbers.
        fit: of the box conventions; None if there were too few boxes.
        accepted: names of the options that the backend takes; other settings cannot be made.
        errors: questions that ended in an error.
        thinks: whether the model was examined with a thought before its answers.
    """
    rules: tuple[Callable[[Measures], Iterator[Finding]], ...] = (
        _check_replies, _check_elements, _check_yes_bias, _check_element_order, _check_damage,
    )  # fmt: skip
    findings = [finding for rule in rules for finding in rule(measures)]
    settings = CardSettings()
    for finding, changes in (
        *_check_boxes(measures, fit, accepted),
        *_check_pairs(measures),
        *_check_batches(measures, accepted),
        *_check_thinking(measures, thinks),
    ):
        findings.append(finding)
        settings = settings.model_copy(update=changes)
    if errors:
        findings.append(
            Finding(name="errors", level="caution", text=f"{len(errors)} questions failed: {errors[0]}")
        )
    levels = {finding.level for finding in findings}
    verdict: Fitness = "unfit" if "fault" in levels else "fit with settings" if settings.chosen() else "fit"
    return Result(findings, settings, verdict)


def _check_replies(measures: Measures) -> Iterator[Finding]:
    unscored = measures["unscored"]
    if unscored.value is not None:
        is_bad = unscored.value > MAX_UNSCORED
        why = f" ({unscored.note})" if unscored.note else ""
        level = "fault" if is_bad else "caution" if unscored.value else "ok"
        yield Finding(name="replies", level=level, text=f"{unscored.value:.0%} without a score{why}")
    estimated = measures["estimated"].value
    if estimated:
        text = (
            f"{estimated:.0%} of the numbers are estimates or written labels, not the model's probabilities"
        )
        yield Finding(name="probabilities", level="caution", text=text)
    mass = measures["label_mass"].value
    if mass is not None:
        text = f"{mass:.2f} of the probability lies on the form's labels before all else is masked"
        yield Finding(name="label mass", level="ok" if mass >= MIN_LABEL_MASS else "caution", text=text)


def _check_elements(measures: Measures) -> Iterator[Finding]:
    if "element_accuracy" not in measures:
        return
    accuracy, gain = measures["element_accuracy"], measures["element_gain"]
    if accuracy.value is None or gain.value is None:
        yield Finding(name="elements", level="fault", text=f"no answers: {accuracy.note or gain.note}")
        return
    constant = measures["element_constant"].value or 0.0
    text = f"accuracy {_show(accuracy)}, the constant answer has {constant:.2f}"
    # Chance is no gain: the interval has to lie above 0 as well.
    is_better = gain.value >= MIN_ELEMENT_GAIN and (gain.low is None or gain.low > 0)
    if not is_better:
        text += ": no better than answering the same every time"
    yield Finding(name="elements", level="ok" if is_better else "fault", text=text)
    weak = []
    for name, measure in measures.items():
        prefix, _, kind = name.partition("element_accuracy.")
        if prefix or not kind or measure.value is None:
            continue
        own = measures[f"element_constant.{kind}"].value or 0.0
        if measure.count >= MIN_OF_KIND and measure.value <= own < 1:
            weak.append(f"{kind} {measure.value:.2f} (constant {own:.2f})")
    if weak and is_better:
        yield Finding(
            name="element kinds", level="caution", text=f"no better than constant: {', '.join(weak)}"
        )


def _check_yes_bias(measures: Measures) -> Iterator[Finding]:
    if "yes_bias" not in measures or measures["yes_bias"].value is None:
        return
    bias = measures["yes_bias"].value
    absent, present = measures["yes_to_absent"].value, measures["yes_to_present"].value
    shares = f"yes to {_percent(present)} of what is there and to {_percent(absent)} of what is not"
    if bias > MAX_YES_BIAS:
        always = absent is not None and absent > MAX_YES_TO_ABSENT
        text = f"says yes too often: {shares}"
        yield Finding(name="yes-bias", level="fault" if always else "caution", text=text)
    elif bias < -MAX_YES_BIAS:
        never = present is not None and present < MIN_YES_TO_PRESENT
        text = f"says no too often: {shares}"
        yield Finding(name="no-bias", level="fault" if never else "caution", text=text)
    else:
        yield Finding(name="yes-bias", level="ok", text=shares)


def _check_element_order(measures: Measures) -> Iterator[Finding]:
    change = measures.get("element_order_change")
    if change is None or change.value is None:
        return
    flips = measures["element_order_flips"].value or 0.0
    text = f"the opposite order changes probabilities by {change.value:.2f} and {flips:.0%} of the answers"
    is_biased = change.value > MAX_ORDER_CHANGE
    text = f"{text}; {change.note}" if is_biased and change.note else text
    yield Finding(name="order of elements", level="caution" if is_biased else "ok", text=text)


def _check_damage(measures: Measures) -> Iterator[Finding]:
    correlation, drop = measures["damage_correlation"], measures["damage_drop"]
    if correlation.value is None:
        yield Finding(name="damage", level="fault", text="no scores on scenes with growing damage")
        return
    text = (
        f"rank correlation {_show(correlation)}, the score falls by {drop.value or 0:.2f} from none to strong"
    )
    if correlation.value < MIN_DAMAGE_CORRELATION:
        yield Finding(name="damage", level="fault", text=f"the score does not fall as damage grows: {text}")
    else:
        level = "ok" if correlation.value >= GOOD_DAMAGE_CORRELATION else "caution"
        yield Finding(name="damage", level=level, text=text)


Change = tuple[Finding, dict[str, object]]


def _check_boxes(measures: Measures, fit: ConventionFit | None, accepted: set[str]) -> Iterator[Change]:
    if fit is None:
        if "defect_box_f1" in measures:
            yield Finding(name="boxes", level="caution", text="too few boxes to tell"), {}
        return
    how = "asked in each" if fit.is_asked else "read as each"
    others = f"{how}: " + ", ".join(f"{name} {value:.2f}" for name, value in fit.mean_iou.items())
    if fit.best is not fit.used:
        name = fit.best.value
        text = f"the model writes boxes as {name!r}, used as {fit.used.value!r}; mean IoU, {others}"
        if "boxes" in accepted:
            yield Finding(name="boxes", level="setting", text=f"{text}; use boxes={name}"), {"boxes": name}
        else:
            yield Finding(name="boxes", level="caution", text=f"{text}; this backend has no option boxes"), {}
        return
    iou, constant = measures["box_iou"], measures["box_iou_constant"].value or 0.0
    value = iou.value or 0.0
    text = f"{fit.used.value!r} fits best, IoU {_show(iou)} with the {iou.note}; mean IoU, {others}"
    if value < MIN_BOX_IOU or value <= constant:
        text = f"no convention fits: IoU {_show(iou)} with the {iou.note}, a box around everything has "
        yield Finding(name="boxes", level="caution", text=f"{text}{constant:.2f}; do not rely on boxes"), {}
    else:
        yield Finding(name="boxes", level="ok", text=text), {}


def _check_pairs(measures: Measures) -> Iterator[Change]:
    if "pair_swap" not in measures or measures["pair_swap"].value is None:
        return
    swap, bias = measures["pair_swap"].value, measures["pair_first_bias"].value or 0.0
    accuracy = measures["pair_accuracy"]
    side = "first" if bias > 0 else "second"
    text = f"the order changes the preference by {swap:.2f}; accuracy {_show(accuracy)}"
    if swap > MAX_PAIR_SWAP or abs(bias) > MAX_PAIR_BIAS:
        prefers = f"prefers the image that is shown {side}: " if abs(bias) > MAX_PAIR_BIAS else ""
        text = f"{prefers}{text}; compare by scores (compare=pointwise)"
        yield Finding(name="order of pairs", level="setting", text=text), {"compare": "pointwise"}
    else:
        yield Finding(name="order of pairs", level="ok", text=text), {}


def _check_batches(measures: Measures, accepted: set[str]) -> Iterator[Change]:
    change = measures["batch_change"].value
    if change is None:
        return
    text = f"a batch changes scores and probabilities by {change:.2g} at most"
    if change <= MAX_BATCH_CHANGE:
        yield Finding(name="batches", level="ok", text=text), {}
    elif "batch" in accepted:
        yield Finding(name="batches", level="setting", text=f"{text}; use batch=1"), {"batch": 1}
    else:
        yield Finding(name="batches", level="caution", text=text), {}


def _check_thinking(measures: Measures, thinks: bool) -> Iterator[Change]:
    leaks = measures["thinking_leaks"]
    if leaks.value is None:
        return
    if not leaks.value:
        yield Finding(name="thinking", level="ok", text="no thoughts in the texts"), {}
        return
    text = f"thoughts or control tokens in {leaks.value:.0%} of the texts, for example {leaks.note}"
    if thinks:
        yield Finding(name="thinking", level="setting", text=f"{text}; use thinking=0"), {"thinking": 0}
    else:
        text = f"{text}; switch thinking off on the server, or use a checkpoint that does not think"
        yield Finding(name="thinking", level="caution", text=text), {}


def _show(measure: Measure) -> str:
    if measure.value is None:
        return "–"
    interval = "" if measure.low is None else f" ({measure.low:.2f} to {measure.high:.2f})"
    return f"{measure.value:.2f}{interval}"


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"
