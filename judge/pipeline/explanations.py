"""Write the explanation of a verdict: by the rubric's own sentences, and after closer looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from judge.media.regions import describe_position
from judge.rubrics.rubric import Rubric, facts_for_prompt
from judge.types import Attribute, Defect, Element, Verdict

_AFTER_LOOKS = {
    "en": {
        "change": "At first look: {before}. After closer looks: {after}.",
        "elements": "{present} of {count} elements there",
        "elements as asked": "{present} of {count} elements as asked",
        "no defects": "nothing broken",
    },
    "zh": {
        "change": "初看：{before}。细看之后：{after}。",
        "elements": "{count} 个元素中有 {present} 个",
        "elements as asked": "{count} 个元素中有 {present} 个符合要求",
        "no defects": "无破损",
    },
}
"""Texts for an explanation that closer looks have changed, for each language of a rubric."""

_EXCLUDED = {
    "en": "{explanation}; excluded by the prompt, but shown: {names}",
    "zh": "{explanation}；提示词排除却出现：{names}",
}


def add_excluded(explanation: str, absent: Sequence[Element], rubric: Rubric) -> str:
    """Add to an explanation what the image shows although the prompt excludes it.

    Args:
        explanation: of a model that was asked about what must be absent in another request.
        absent: the elements that must be absent.
        rubric: gives the language.
    """
    names = ", ".join(element.name for element in absent if element.shown)
    if not names or not explanation:
        return explanation
    return _EXCLUDED[rubric.language].format(explanation=explanation.rstrip(".。"), names=names)


def explain_by_rubric(
    rubric: Rubric,
    attributes: Mapping[str, Attribute],
    defects: Sequence[Defect],
    facts: Mapping[str, float],
    score: float,
    size: tuple[int, int],
) -> str:
    """Render the rubric's own sentence about the image; empty if it has none, or an attribute has no answer.

    Args:
        rubric: the rubric with the sentence.
        attributes: answers to the rubric's categorical questions.
        defects: regions, in pixels of the image.
        facts: measured facts, 0..1.
        score: the overall score, 1..5.
        size: width and height of the image in pixels.
    """
    if any(question.name not in attributes for question in rubric.attributes):
        return ""
    described_defects = [
        {"kind": d.kind, "severity": d.severity, "place": describe_position(d.box, *size)} for d in defects
    ]
    return rubric.render_sentence(
        "picture",
        attributes={name: attribute.label for name, attribute in attributes.items()},
        defects=described_defects,
        facts=facts_for_prompt(facts),
        score=score,
    )


def explain_after_looks(before: Verdict, after: Verdict, rubric: Rubric, facts: Mapping[str, float]) -> str:
    """Return the explanation of a verdict after closer looks.

    An explanation made by the rubric's own sentences is rendered again. An explanation in the model's words
    stays, and the findings of all looks are added to it.

    Args:
        before: the verdict after the first look.
        after: the verdict with the elements, defects and numbers of all looks.
        rubric: the rubric; its language is used.
        facts: measured facts, 0..1.
    """
    if not before.explanation or _has_same_findings(before, after):
        return before.explanation

    def render(verdict: Verdict) -> str:
        assert verdict.score is not None and verdict.size is not None
        return explain_by_rubric(
            rubric, verdict.attributes, verdict.defects, facts, verdict.score, verdict.size
        )

    if before.explanation == render(before):
        return render(after)
    texts, findings = _AFTER_LOOKS[rubric.language], list[str]()
    if after.elements:
        present = sum(element.present for element in after.elements)
        has_unwanted = not all(element.expected for element in after.elements)
        text = texts["elements as asked" if has_unwanted else "elements"]
        findings.append(text.format(present=present, count=len(after.elements)))
    if rubric.defects:
        findings += [defect.kind for defect in after.defects] or [texts["no defects"]]
    return texts["change"].format(before=before.explanation.rstrip(".。"), after=", ".join(findings))


def _has_same_findings(a: Verdict, b: Verdict) -> bool:
    """Return whether two verdicts have the same elements present and the same kinds of defects."""
    kinds_a, kinds_b = (sorted(defect.kind for defect in verdict.defects) for verdict in (a, b))
    present_a, present_b = ([element.present for element in verdict.elements] for verdict in (a, b))
    return kinds_a == kinds_b and present_a == present_b
