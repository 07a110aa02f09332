"""A panel has the calls of a judge, merges its judges' verdicts and reports their disagreement."""

from __future__ import annotations

import pytest
from PIL import Image
from random_backend import RandomBackend

from judge.backends.scripted import Scripted
from judge.compare.panel import Panel
from judge.errors import InputError
from judge.judge import Judge
from judge.rubrics.rubric import Rubric
from judge.rubrics.schema import ScoreRule
from judge.types import LabelledSample, Labels, Verdict

IMAGE = Image.new("RGB", (100, 100))
MODEL_SCORE = Rubric.load("quality").model_copy(update={"score": ScoreRule()})
"""A rubric whose score is the one that the model writes; nothing is measured."""


def quality_answer(score: int) -> dict:
    degradation = "noise" if score == 4 else "none"
    return {"degradation": degradation, "severity": "none", "defects": [], "score": score}


def judge_scoring(*scores: int) -> Judge:
    """A judge that gives these scores, one per image."""
    return Judge(backend=Scripted([quality_answer(score) for score in scores]), rubric=MODEL_SCORE)


def judge_unreadable() -> Judge:
    return Judge(backend=Scripted(["?"]), rubric=MODEL_SCORE)


def judge_locating(box: list[int] | None) -> Judge:
    """A judge that reports one defect in a box (relative, 0 to 1000), or none."""
    defects = [{"kind": "smeared", "box": box, "severity": "moderate", "explanation": "x"}] if box else []
    answer = {
        "elements": {"red cat": True, "cat": True}, "degradation": "none", "defects": defects,
        "alignment": 5, "structure": 3, "score": 4, "explanation": "",
    }  # fmt: skip
    return Judge(backend=Scripted([answer]))


def test_scores_are_weighted_and_disagreement_is_reported() -> None:
    verdict = Panel([judge_scoring(2), judge_scoring(4)], weights=[1, 3])(IMAGE)
    assert verdict.score == pytest.approx(3.5)
    assert verdict.distribution == pytest.approx([0, 0.25, 0, 0.75, 0])
    assert verdict.disagreement == pytest.approx((0.25 * 1.5**2 + 0.75 * 0.5**2) ** 0.5)
    assert [(panelist.score, panelist.weight) for panelist in verdict.panel] == [(2, 0.25), (4, 0.75)]
    assert verdict.explanation.startswith("slight noise") and verdict.provenance.model == "panel"
    Verdict.model_validate_json(verdict.model_dump_json())


def test_a_region_is_kept_when_half_of_the_weight_reports_it() -> None:
    overlapping = [
        judge_locating([100, 100, 500, 500]),
        judge_locating([120, 100, 500, 500]),
        judge_locating(None),
    ]
    (defect,) = Panel(overlapping)(IMAGE, prompt="a red cat", elements=["red cat", "cat"]).defects
    assert defect.confidence == pytest.approx(2 / 3)
    assert defect.box == pytest.approx((11, 10, 50, 50))
    distant = [
        judge_locating([100, 100, 200, 200]),
        judge_locating([600, 600, 900, 900]),
        judge_locating(None),
    ]
    assert Panel(distant)(IMAGE, prompt="a red cat", elements=["red cat", "cat"]).defects == []


def test_a_judge_without_a_score_is_left_out_and_noted() -> None:
    verdict = Panel([judge_scoring(2), judge_unreadable()])(IMAGE)
    assert verdict.score == 2 and "1 of 2 judges gave no score" in verdict.provenance.notes[-1]
    unscored = Panel([judge_unreadable()])(IMAGE)
    assert unscored.status == "unscored" and unscored.reason and unscored.panel[0].score is None


def test_weights_are_fitted_to_labels() -> None:
    """A judge that agrees with the labels gets all the weight, one that says the opposite gets none."""
    labels = [1, 2, 3, 4, 5, 5, 4, 2, 1, 3]
    samples = [LabelledSample(image=IMAGE, labels=Labels(score=score)) for score in labels]

    def score_depth_judge(scores: list[int]) -> Judge:
        answers = [{k: v for k, v in quality_answer(n).items() if k != "defects"} for n in scores]
        return Judge(backend=Scripted(answers), rubric=MODEL_SCORE)

    agreeing, opposing = score_depth_judge(labels), score_depth_judge([6 - score for score in labels])
    panel = Panel([agreeing, opposing]).calibrated(samples)
    assert panel.weights == pytest.approx([1, 0], abs=1e-3)
    with pytest.raises(InputError, match="at least 8"):
        Panel([judge_scoring(1)]).calibrated(samples[:1])


def test_many_yields_one_verdict_per_sample_in_order_with_reasons_for_bad_ones() -> None:
    panel = Panel([Judge(backend=RandomBackend()), Judge(backend=RandomBackend(3))])
    samples = [{"id": "1", "image": IMAGE, "prompt": "a cat"}, {"id": "2", "image": b"", "prompt": "a cat"},
               {"id": "3", "image": IMAGE, "prompt": "two dogs"}]  # fmt: skip
    verdicts = list(panel.many(samples, batch=2))
    assert [verdict.id for verdict in verdicts] == ["1", "2", "3"]
    assert [verdict.status for verdict in verdicts] == ["scored", "unscored", "scored"]
    assert verdicts[0].disagreement is not None and len(verdicts[0].panel) == 2


def test_self_consistency_asks_in_other_orders_with_other_seeds() -> None:
    backend = RandomBackend()
    panel = Panel.consistent(Judge(backend=backend, seed=7), times=3)
    verdict = panel(IMAGE, prompt="a cat", elements=["a", "b", "c"])
    orders = [list(dict(request.form.root.members)["elements"].members) for request in backend.requests]
    assert [[name for name, _ in order] for order in orders] == [list("abc"), list("bca"), list("cab")]
    assert [request.seed for request in backend.requests] == [7, 8, 9]
    assert {element.name for element in verdict.elements} == set("abc")


def test_comparisons_are_merged() -> None:
    panel = Panel([judge_scoring(5, 1), judge_scoring(4, 2)])
    comparison = panel.compare(IMAGE, IMAGE, how="pointwise")
    assert (comparison.preferred, comparison.probability) == ("a", 1.0)
    assert comparison.margin == pytest.approx(3.0)
    assert comparison.a.disagreement == pytest.approx(0.5)


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, float("nan")]])
def test_unusable_weights_are_rejected(weights: list[float]) -> None:
    with pytest.raises(InputError, match="weights"):
        Panel([judge_scoring(1), judge_scoring(2)], weights=weights)


def test_a_panel_without_judges_is_rejected() -> None:
    with pytest.raises(InputError, match="judges"):
        Panel([])
