"""Closer looks: what is asked again, what comes of it, and what it may cost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from patch_finder import INPUT_SIDE, PATCH, PatchFinder, draw_wall
from PIL import Image
from serving import gateway

from judge.agent.budget import RECOMMENDED_LOOKS, Budget
from judge.agent.closer_looks import ELEMENT_VIEWS
from judge.agent.tiling import MIN_LOST_DETAIL, tile_lost_detail
from judge.backends.base import AdapterInfo
from judge.backends.scripted import Scripted
from judge.errors import InputError, ReplyError
from judge.judge import Judge
from judge.media.regions import iou
from judge.rubrics.rubric import Rubric
from judge.rubrics.schema import Sentences
from judge.serve.engine.ipc import BackendSpec
from judge.types import Verdict


def look(backend: PatchFinder, image: Any, **options: Any) -> Verdict:
    return Judge(backend=backend)(image, prompt="a plain wall", elements=[], **options)


def test_what_is_too_small_for_the_first_look_is_found_by_closer_ones() -> None:
    without, found = look(PatchFinder(), draw_wall(), looks=0), look(PatchFinder(), draw_wall(), looks=400)
    assert (without.defects, without.trace) == ([], [])
    [defect] = found.defects
    assert iou(defect.box, PATCH) > 0.5  # in pixels of the original
    assert found.score is not None and without.score is not None and found.score < without.score


def test_the_explanation_says_what_closer_looks_have_found_otherwise() -> None:
    changed, same = look(PatchFinder(), draw_wall(), looks=400), look(PatchFinder(), draw_wall(None), looks=400)
    assert changed.explanation == "At first look: seen. After closer looks: tint."
    assert same.explanation == "seen"
    dreamt = look(PatchFinder(dreams=True, blinks=range(99)), draw_wall(None), looks=400)
    assert dreamt.explanation.endswith("After closer looks: nothing broken.")
    usual = Judge(backend=PatchFinder(elements=[0.4, 0.9, 0.9]), looks=RECOMMENDED_LOOKS)
    found = usual(Image.new("RGB", (INPUT_SIDE, INPUT_SIDE)), prompt="a wall", elements=["wall"])
    assert found.explanation.endswith("After closer looks: 1 of 1 elements there, nothing broken.")


def test_the_explanation_after_closer_looks_is_in_the_rubrics_language() -> None:
    chinese = Rubric.load("default").model_copy(update={"language": "zh"})
    found = Judge(backend=PatchFinder(), rubric=chinese, looks=400)(draw_wall(), prompt="a plain wall", elements=[])
    assert found.explanation == "初看：seen。细看之后：tint。"


def test_a_rubrics_own_sentences_are_said_anew_after_closer_looks() -> None:
    sentence = Sentences(
        picture="{% if defects %}It has a {{ defects[0].kind }}.{% else %}It is sound.{% endif %}"
    )
    own = Rubric.load("default").model_copy(update={"explanation": 0, "sentences": sentence})
    said = [
        Judge(backend=PatchFinder(), rubric=own, looks=looks)(draw_wall(), prompt="a plain wall").explanation
        for looks in (0, 400)
    ]
    assert said == ["It is sound.", "It has a tint."]


def test_a_finding_that_moves_with_the_cut_is_dropped() -> None:
    """A model that is shown unusual cuts names regions that are not there, but not twice at one place."""
    assert look(PatchFinder(dreams=True), draw_wall(None), looks=1000).defects[1:] == []
    boxes = [defect.box for defect in look(PatchFinder(dreams=True), draw_wall(), looks=1000).defects]
    assert sum(iou(box, PATCH) > 0.5 for box in boxes) == 1


@pytest.mark.parametrize(
    ("confidence", "missed", "left"),
    [(0.6, 0, 1), (0.99, 1, 1), (0.9, 1, 0), (0.99, 2, 0), (1.0, 3, 0)],
)
def test_a_finding_that_was_missed_stays_only_if_the_other_looks_were_sure(
    confidence: float, missed: int, left: int
) -> None:
    shown = PatchFinder()
    look(shown, draw_wall(), looks=400)
    blinks = range(shown.patches - missed + 1, shown.patches + 1)  # in the last windows
    found = look(PatchFinder(confidence=confidence, blinks=blinks), draw_wall(), looks=400).defects
    assert len(found) == left
    if found:
        assert found[0].confidence == pytest.approx(confidence * (4 - missed) / 4)


def test_a_defect_on_the_seam_of_two_tiles_is_one_finding() -> None:
    for x in range(640, 720, 16):
        patch = (float(x), 300.0, x + 16.0, 316.0)
        [defect] = look(PatchFinder(), draw_wall(patch), looks=400).defects
        assert iou(defect.box, patch) > 0.5


def test_every_look_is_in_the_trace() -> None:
    backend = PatchFinder()
    verdict = look(backend, draw_wall(), looks=400)
    assert len(verdict.trace) == len(backend.requests) - 1
    assert any("tint 0.90" in one.answer for one in verdict.trace)
    for one in verdict.trace:
        x1, y1, x2, y2 = one.region
        assert 0 <= x1 < x2 <= 1024 and 0 <= y1 < y2 <= 768
        assert one.milliseconds >= 0 and one.question


@pytest.mark.parametrize("looks", [0, 1, 2, 7, 30, 100])
def test_no_more_is_asked_than_was_allowed(looks: int) -> None:
    backend = PatchFinder(dreams=True, elements=[0.5])
    Judge(backend=backend, looks=looks)(draw_wall(), prompt="a wall", elements=["wall"])
    assert len(backend.requests) <= 1 + looks


def test_a_decided_picture_of_usual_size_costs_one_question() -> None:
    backend = PatchFinder()
    Judge(backend=backend, looks=50)(Image.new("RGB", (INPUT_SIDE, INPUT_SIDE)), prompt="a wall", elements=["wall"])
    assert len(backend.requests) == 1


def test_an_element_in_doubt_is_asked_again_on_its_own() -> None:
    backend = PatchFinder(elements=[0.4, 0.9, 0.9])
    usual = Judge(backend=backend, looks=RECOMMENDED_LOOKS)
    verdict = usual(Image.new("RGB", (INPUT_SIDE, INPUT_SIDE)), prompt="a wall", elements=["wall"])
    [element] = verdict.elements
    assert element.present and 0.4 < element.probability < 0.9
    assert [one.question for one in verdict.trace] == ["wall"] * len(ELEMENT_VIEWS)
    assert verdict.dimensions["alignment"].score == pytest.approx(1 + 4 * element.probability)


def test_score_depth_looks_again_at_elements_only() -> None:
    backend = PatchFinder(elements=[0.6, 0.1, 0.1])
    verdict = Judge(backend=backend)(draw_wall(), prompt="a wall", elements=["wall"], depth="score", looks=50)
    assert [verb for verb, _ in backend.rounds] == ["choose", "choose"]
    assert not verdict.elements[0].present and verdict.score is not None and verdict.score < 3


def test_a_defect_in_doubt_that_is_not_seen_closely_is_dropped() -> None:
    picture = np.zeros((INPUT_SIDE, INPUT_SIDE, 3), np.uint8)
    picture[:8, :8] = (250, 20, 20)
    kept = look(PatchFinder(confidence=0.6), picture, looks=RECOMMENDED_LOOKS)
    assert [defect.confidence for defect in kept.defects] == [pytest.approx(0.6)]
    blinking = PatchFinder(dreams=True, confidence=0.55)
    assert look(blinking, np.zeros((INPUT_SIDE, INPUT_SIDE, 3), np.uint8), looks=RECOMMENDED_LOOKS).defects == []


def test_parts_are_put_to_an_adapter_for_parts_where_the_model_has_one() -> None:
    backend = PatchFinder(elements=[0.5])
    backend.adapters = {"default-look": AdapterInfo("look")}  # type: ignore[attr-defined]
    Judge(backend=backend)(draw_wall(), prompt="a red patch", elements=["red patch"], looks=40)
    parts = [request.rubric for request in backend.requests if "defects" in dict(request.form.root.members)]
    assert parts[0] == "default" and set(parts[1:]) == {"default-look"}
    statements = [
        request.rubric for request in backend.requests if "defects" not in dict(request.form.root.members)
    ]
    assert statements and set(statements) == {"default"}


def test_tiles_of_many_pictures_go_to_the_model_together() -> None:
    backend, one = PatchFinder(), PatchFinder()
    samples = [{"image": draw_wall(), "prompt": "a wall", "elements": []} for _ in range(3)]
    many = list(Judge(backend=backend, looks=40).many(samples))
    alone = Judge(backend=one, looks=40)(**samples[0])
    assert [verb for verb, _ in backend.rounds] == [verb for verb, _ in one.rounds]
    assert [count for _, count in backend.rounds] == [3 * count for _, count in one.rounds]
    assert all(verdict.defects == alone.defects for verdict in many)


def test_no_look_is_begun_that_would_pass_the_deadline() -> None:
    now = 0.0
    budget = Budget(looks=100, deadline=10.0, clock=lambda: now)
    assert budget.count_affordable(50) == 50  # nothing is known of the pace yet
    budget.record_time(500.0)
    assert budget.count_affordable(50) == 20
    now = 9.9
    assert budget.count_affordable(50) == 0


def test_a_look_that_cannot_be_read_costs_no_verdict() -> None:
    first = {"elements": {"wall": True}, "degradation": "none", "defects": [], "alignment": 4,
             "structure": 4, "score": 4, "explanation": "fine"}  # fmt: skip
    backend = Scripted([_doubtful(first), ReplyError("gone"), ReplyError("gone")], brief=True, size=INPUT_SIDE)
    usual = Judge(backend=backend, looks=RECOMMENDED_LOOKS)
    verdict = usual(Image.new("RGB", (INPUT_SIDE, INPUT_SIDE)), prompt="a wall", elements=["wall"])
    assert (
        verdict.status == "scored" and [one.answer for one in verdict.trace] == ["unreadable: gone"] * RECOMMENDED_LOOKS
    )


def _doubtful(values: dict[str, Any]) -> Any:
    from judge.backends.base import Reply
    from judge.rubrics.form_nodes import canonical_json

    return Reply(canonical_json(values), {"elements.0": {"true": 0.5, "false": 0.5}})


def test_a_general_model_is_told_that_it_sees_a_part() -> None:
    backend = General()
    look(backend, draw_wall(), looks=60)
    told = backend.requests[-1].messages[-1]["content"][-1]["text"]
    assert "one part of a picture" in told and "a plain wall" in told and '"defects"' in told
    assert '"score"' not in told and "missing object" not in told


class General(PatchFinder):
    """A model that was tuned on no rubric."""

    brief = False


class Viewer(General):
    """It takes what is red for the person, and nothing for damage."""

    def _defects(self, image: Image.Image) -> list[dict[str, object]]:
        return []


def portrait(person: tuple[int, int, int, int] | None) -> Image.Image:
    picture = np.full((300, 400, 3), 120, np.uint8)
    if person:
        x1, y1, x2, y2 = person
        picture[y1:y2, x1:x2] = (250, 20, 20)
    return Image.fromarray(picture)


@pytest.mark.parametrize("depth", ["verdict", "score"])
def test_the_person_of_a_portrait_is_cut_out_and_judged_alone(depth: Any) -> None:
    backend = Viewer()
    judge = Judge(backend=backend, rubric="portrait")
    picture = portrait((100, 60, 200, 240))
    first, closer = (judge(picture, depth=depth, looks=looks) for looks in (0, RECOMMENDED_LOOKS))
    assert first.dimensions["person"].score == pytest.approx(2)
    assert closer.dimensions["person"].score == pytest.approx(5)
    assert closer.dimensions["picture"].score == first.dimensions["picture"].score == pytest.approx(5)
    assert (first.score, closer.score) == (pytest.approx(3.2), pytest.approx(5))  # (3 person + 2 picture) / 5
    where, apart = closer.trace
    assert where.region == (0, 0, 400, 300) and "where is the person" in where.question
    assert apart.region == (95, 51, 205, 249) and apart.answer == "person 5"
    told = [request.messages[-1]["content"][-1]["text"] for request in backend.requests[-2:]]
    assert '"box"' in told[0] and "the person" in told[0]
    assert '"person"' in told[1] and '"picture"' not in told[1] and "5 excellent" in told[1]


@pytest.mark.parametrize(
    ("person", "looks", "asked"),
    [(None, 2, 1), ((2, 2, 398, 298), 2, 1), ((100, 60, 200, 240), 1, 1), ((100, 60, 200, 240), 9, 2)],
)
def test_a_part_that_is_not_there_or_is_everything_is_not_looked_at_apart(
    person: Any, looks: int, asked: int
) -> None:
    verdict = Judge(backend=Viewer(), rubric="portrait")(portrait(person), looks=looks)
    assert sum("the person" in one.question for one in verdict.trace) == asked
    assert verdict.status == "scored"


def test_a_model_tuned_on_whole_pictures_is_not_asked_for_parts() -> None:
    class Tuned(Viewer):
        brief = True

    verdict = Judge(backend=Tuned(), rubric="portrait")(portrait((9, 9, 90, 90)), looks=RECOMMENDED_LOOKS)
    assert verdict.status == "scored"
    assert not any("the person" in one.question for one in verdict.trace)


def test_tiles_cover_what_is_lost_and_leave_flat_parts_out() -> None:
    picture = np.full((600, 1200, 3), 120, np.uint8)
    picture[:, 800:] = np.asarray(draw_wall(None))[:600, :400]
    whole = Image.fromarray(picture)
    found = tile_lost_detail(whole, whole.resize((INPUT_SIDE, INPUT_SIDE)), INPUT_SIDE, 200)
    assert found and all(x2 > 780 for _, _, x2, _ in found)
    covered = np.zeros((600, 1200), bool)
    for x1, y1, x2, y2 in found:
        covered[int(y1) : int(y2), int(x1) : int(x2)] = True
    assert covered[:, 820:].all()
    assert len(tile_lost_detail(whole, whole.resize((INPUT_SIDE, INPUT_SIDE)), INPUT_SIDE, 40)) <= 40
    assert tile_lost_detail(Image.new("RGB", (1200, 600)), Image.new("RGB", (INPUT_SIDE, INPUT_SIDE)), INPUT_SIDE, 200) == [] and MIN_LOST_DETAIL > 0


@pytest.mark.parametrize(("looks", "deadline"), [(-1, None), (1025, None), (True, None), (2, 0), (2, -1.0)])
def test_bad_limits_are_one_clear_error(looks: Any, deadline: Any) -> None:
    with pytest.raises(InputError, match=r"looks|deadline"):
        look(PatchFinder(), draw_wall(), looks=looks, deadline=deadline)


# -- Behind a gateway ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def behind() -> Iterator[str]:
    """The address of a gateway over a model that looks, which takes up to 400 looks a request."""
    with gateway(BackendSpec("patch_finder:PatchFinder"), looks=400) as running:
        yield running.url


def test_a_gateway_looks_as_often_and_sees_as_much_as_a_judge_of_ones_own(behind: str) -> None:
    asked: dict[str, Any] = {"prompt": "a plain wall", "elements": []}
    own, far = look(PatchFinder(), draw_wall(), looks=400), Judge(behind)(draw_wall(), **asked, looks=400)
    assert far.trace and far.defects == own.defects and far.score == own.score
    assert [(one.region, one.question, one.answer) for one in far.trace] == [
        (one.region, one.question, one.answer) for one in own.trace
    ]
    assert far.provenance.milliseconds >= max(one.milliseconds for one in far.trace)
    assert not Judge(behind)(draw_wall(), **asked).trace


def test_looks_of_a_judge_behind_a_gateway_are_those_it_was_made_with(behind: str) -> None:
    judge = Judge(behind, looks=30)
    sample = {"image": draw_wall(), "prompt": "a plain wall", "elements": []}
    found = [judge(**sample), *judge.many([sample, sample])]
    compared = judge.compare(draw_wall(), draw_wall(None), prompt="a plain wall", elements=[])
    assert all(0 < len(one.trace) <= 30 for one in (*found, compared.a, compared.b))


def test_a_gateway_takes_no_more_looks_than_its_operator_allows(behind: str) -> None:
    judge, given = Judge(behind), {"image": draw_wall(), "prompt": "a plain wall"}
    for asked in (
        lambda: judge(**given, looks=401),
        lambda: list(judge.many([given], looks=401)),  # of every row alike, so it ends the run
        lambda: Judge(behind, looks=401).compare(draw_wall(), draw_wall(), prompt="a plain wall"),
    ):
        with pytest.raises(InputError, match="0 to 400 with this gateway") as caught:
            asked()
        assert caught.value.field == "looks"


def test_time_for_looks_is_the_gateways_own_affair(behind: str) -> None:
    with pytest.raises(InputError, match="none with a gateway"):
        Judge(behind)(draw_wall(), prompt="a plain wall", looks=3, deadline=5)
