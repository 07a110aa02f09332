"""A panel is a judge: the same calls, the weighted mean of what its judges say, and how far they disagree."""

from __future__ import annotations

import pytest
from filler import Filler
from PIL import Image

from judge.backends.scripted import Scripted
from judge.compare.panel import Panel
from judge.errors import InputError
from judge.judge import Judge
from judge.rubrics.rubric import Rubric, ScoreRule
from judge.types import LabelledSample, Labels, Verdict

PICTURE = Image.new("RGB", (100, 100))
PLAIN = Rubric.load("quality").model_copy(update={"score": ScoreRule()})
"""Its score is what the model says, and nothing measured."""


def quality(score: int) -> dict:
    spoilt = "noise" if score == 4 else "none"
    return {"degradation": spoilt, "severity": "none", "defects": [], "score": score}


def saying(*scores: int) -> Judge:
    """Gives these scores, one a picture, whole as at score depth."""
    return Judge(backend=Scripted([quality(score) for score in scores]), rubric=PLAIN)


def seeing(box: list[int] | None) -> Judge:
    defects = [{"kind": "smeared", "box": box, "severity": "moderate", "explanation": "x"}] if box else []
    answer = {
        "elements": {"red cat": True, "cat": True}, "degradation": "none", "defects": defects,
        "alignment": 5, "structure": 3, "score": 4, "explanation": "",
    }  # fmt: skip
    return Judge(backend=Scripted([answer]))


def test_scores_are_weighted_and_disagreement_is_reported() -> None:
    verdict = Panel([saying(2), saying(4)], weights=[1, 3])(PICTURE)
    assert verdict.score == pytest.approx(3.5)
    assert verdict.distribution == pytest.approx([0, 0.25, 0, 0.75, 0])
    assert verdict.disagreement == pytest.approx((0.25 * 1.5**2 + 0.75 * 0.5**2) ** 0.5)
    assert [(one.score, one.weight) for one in verdict.panel] == [(2, 0.25), (4, 0.75)]
    assert verdict.explanation.startswith("slight noise") and verdict.provenance.model == "panel"
    Verdict.model_validate_json(verdict.model_dump_json())


def test_a_region_stands_when_half_of_the_weight_sees_it() -> None:
    judges = [seeing([100, 100, 500, 500]), seeing([120, 100, 500, 500]), seeing(None)]
    (defect,) = Panel(judges)(PICTURE, prompt="a red cat", elements=["red cat", "cat"]).defects
    assert defect.confidence == pytest.approx(2 / 3)
    assert defect.box == pytest.approx((11, 10, 50, 50))
    apart = [seeing([100, 100, 200, 200]), seeing([600, 600, 900, 900]), seeing(None)]
    assert Panel(apart)(PICTURE, prompt="a red cat", elements=["red cat", "cat"]).defects == []


def test_a_judge_without_a_score_is_left_out_and_noted() -> None:
    broken = Judge(backend=Scripted(["?"]), rubric=PLAIN)
    verdict = Panel([saying(2), broken])(PICTURE)
    assert verdict.score == 2 and "1 of 2 judges gave no score" in verdict.provenance.notes[-1]
    alone = Panel([Judge(backend=Scripted(["?"]), rubric=PLAIN)])(PICTURE)
    assert alone.status == "unscored" and alone.reason and alone.panel[0].score is None


def test_weights_are_fitted_to_labels() -> None:
    """One judge says what people say, one says the opposite: the second gets nothing."""
    truth = [1, 2, 3, 4, 5, 5, 4, 2, 1, 3]
    samples = [LabelledSample(image=PICTURE, labels=Labels(score=score)) for score in truth]
    numbers = [
        {k: v for k, v in quality(n).items() if k != "defects"} for n in [*truth, *(6 - n for n in truth)]
    ]
    honest, contrary = (Judge(backend=Scripted(some), rubric=PLAIN) for some in (numbers[:10], numbers[10:]))
    panel = Panel([honest, contrary]).calibrated(samples)
    assert panel.weights == pytest.approx([1, 0], abs=1e-3)
    with pytest.raises(InputError, match="at least 8"):
        Panel([saying(1)]).calibrated(samples[:1])


def test_many_gives_one_verdict_a_sample_in_order_and_bad_ones_their_reason() -> None:
    panel = Panel([Judge(backend=Filler()), Judge(backend=Filler(3))])
    samples = [{"id": "1", "image": PICTURE, "prompt": "a cat"}, {"id": "2", "image": b"", "prompt": "a cat"},
               {"id": "3", "image": PICTURE, "prompt": "two dogs"}]  # fmt: skip
    found = list(panel.many(samples, batch=2))
    assert [verdict.id for verdict in found] == ["1", "2", "3"]
    assert [verdict.status for verdict in found] == ["scored", "unscored", "scored"]
    assert found[0].disagreement is not None and len(found[0].panel) == 2


def test_self_consistency_asks_in_other_orders_with_other_seeds() -> None:
    backend = Filler()
    panel = Panel.consistent(Judge(backend=backend, seed=7), times=3)
    verdict = panel(PICTURE, prompt="a cat", elements=["a", "b", "c"])
    orders = [list(dict(request.form.root.members)["elements"].members) for request in backend.requests]
    assert [[name for name, _ in order] for order in orders] == [list("abc"), list("bca"), list("cab")]
    assert [request.seed for request in backend.requests] == [7, 8, 9]
    assert {element.name for element in verdict.elements} == set("abc")


def test_panels_compare() -> None:
    found = Panel([saying(5, 1), saying(4, 2)]).compare(PICTURE, PICTURE, how="pointwise")
    assert (found.preferred, found.probability, found.margin) == ("a", 1.0, pytest.approx(3.0))
    assert found.a.disagreement == pytest.approx(0.5)


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, float("nan")]])
def test_unusable_weights_are_told(weights: list[float]) -> None:
    with pytest.raises(InputError, match="weights"):
        Panel([saying(1), saying(2)], weights=weights)
    with pytest.raises(InputError, match="judges"):
        Panel([])
