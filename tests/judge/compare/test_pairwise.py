"""`Judge.compare` on two images: both orders are asked, and the better image wins."""

from __future__ import annotations

from typing import Any

import pytest
from brightness import general_judge, grey_image, tuned_judge
from serving import gateway

from judge.errors import InputError
from judge.judge import Judge
from judge.remote.client import Client
from judge.serve.engine.ipc import BackendSpec


def pair_requests(judge: Judge) -> list[Any]:
    """The requests that showed two images together."""
    return [request for request in judge.backend.requests if len(request.images) == 2]


def test_general_models_see_both_images_in_both_orders() -> None:
    judge = general_judge()
    comparison = judge.compare(grey_image(200), grey_image(100))
    first, second = pair_requests(judge)
    assert [image.getpixel((0, 0))[0] for image in first.images] == [200, 100]
    assert [image.getpixel((0, 0))[0] for image in second.images] == [100, 200]
    assert (comparison.preferred, comparison.how) == ("a", "pairwise")
    assert comparison.probability == pytest.approx(0.5 + 100 / 255 / 2)
    assert comparison.swap_disagreement == pytest.approx(0)
    assert comparison.explanation == "lighter" and comparison.a.score is not None


def test_a_bias_for_one_position_cancels_and_is_reported() -> None:
    comparison = general_judge(bias=0.2).compare(grey_image(150), grey_image(140))
    assert comparison.probability == pytest.approx(0.5 + 10 / 255 / 2)
    assert comparison.swap_disagreement == pytest.approx(0.4)
    tie = general_judge(bias=0.2).compare(grey_image(150), grey_image(150))
    assert (tie.preferred, tie.probability) == ("tie", pytest.approx(0.5))


def test_at_score_depth_the_form_asks_only_which_image_is_better() -> None:
    judge = general_judge()
    judge.compare(grey_image(200), grey_image(100), depth="score")
    members = [[key for key, _ in request.form.root.members] for request in pair_requests(judge)]
    assert members == [["better"]] * 2


def test_models_tuned_on_single_images_compare_scores_and_refuse_pairs() -> None:
    comparison = tuned_judge().compare(grey_image(200), grey_image(100))
    assert (comparison.preferred, comparison.how, comparison.swap_disagreement) == ("a", "pointwise", 0)
    with pytest.raises(InputError, match="how.*pointwise"):
        tuned_judge().compare(grey_image(1), grey_image(2), how="pairwise")
    with pytest.raises(InputError, match="how"):
        tuned_judge().compare(grey_image(1), grey_image(2), how="sideways")


@pytest.mark.parametrize(
    ("brief", "how", "expected"),
    [
        (False, "pairwise", "pairwise"),
        (False, "auto", "pairwise"),
        (False, "pointwise", "pointwise"),
        (True, "auto", "pointwise"),
    ],
)
def test_a_gateway_compares_as_its_model_does_in_process(brief: bool, how: Any, expected: str) -> None:
    local = tuned_judge() if brief else general_judge(bias=0.2)
    with gateway(BackendSpec("brightness:PrefersBright", {"bias": 0.2, "brief": brief})) as running:
        bright, dark = grey_image(200), grey_image(100)
        by_client = Client(running.url).compare(bright, dark, rubric=local.rubric.name, how=how)
        in_process = local.compare(bright, dark, how=how)
        fields = {"preferred", "probability", "how", "orders", "swap_disagreement", "explanation", "margin"}
        assert by_client.how == expected
        assert by_client.model_dump(include=fields) == in_process.model_dump(include=fields)
        remote = Judge(running.url, rubric="quality")
        assert remote.compare(bright, dark).how == "pointwise"  # "auto" is pointwise behind a gateway
        if brief:
            with pytest.raises(InputError, match="how.*pointwise"):
                remote.compare(grey_image(1), grey_image(2), how="pairwise")
        else:
            assert remote.compare(grey_image(1), grey_image(2), how="pairwise").how == "pairwise"
