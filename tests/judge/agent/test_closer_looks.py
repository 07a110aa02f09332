"""Closer looks: which questions are asked, what they change in the verdict, and how many there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from patch_finder import INPUT_SIDE, PATCH, PatchFinder, draw_wall
from PIL import Image

from judge.agent.budget import RECOMMENDED_LOOKS
from judge.agent.closer_looks import ELEMENT_VIEWS, FOLLOW_UP_WINDOWS
from judge.backends.base import AdapterInfo, Reply
from judge.backends.scripted import Scripted
from judge.errors import ReplyError
from judge.judge import Judge
from judge.media.regions import iou
from judge.rubrics.form_nodes import canonical_json
from judge.rubrics.rubric import Rubric
from judge.rubrics.schema import Sentences
from judge.types import Verdict

SMALL_IMAGE = Image.new("RGB", (INPUT_SIDE, INPUT_SIDE))
"""An image that the model sees in full detail."""


class GeneralPatchFinder(PatchFinder):
    """A model that was tuned on no rubric."""

    brief = False


class PairedElements(PatchFinder):
    """In doubt about every element at first; later looks give each name its own probability."""

    def __init__(self, later: dict[str, float]) -> None:
        super().__init__()
        self.later = later

    def _fill(self, request: Any) -> Reply:
        is_first, reply = not self.requests, super()._fill(request)
        names = [
            name for key, node in request.form.root.members if key == "elements" for name, _ in node.members
        ]
        for number, name in enumerate(names):
            p = 0.6 if is_first else self.later.get(name, 0.6)
            reply.probabilities[f"elements.{number}"] = {"true": p, "false": 1 - p}
        return reply


class PersonFinder(GeneralPatchFinder):
    """Takes the red patch for the person of a portrait, and names no defects."""

    def _defects(self, image: Image.Image) -> list[dict[str, object]]:
        return []


def judge_wall(backend: PatchFinder, image: Any, **options: Any) -> Verdict:
    return Judge(backend=backend)(image, prompt="a plain wall", elements=[], **options)


def judge_element(backend: PatchFinder, image: Image.Image = SMALL_IMAGE, **options: Any) -> Verdict:
    return Judge(backend=backend)(image, prompt="a wall", elements=["wall"], **options)


# -- Defects in large images -----------------------------------------------------------------------------


def test_a_defect_too_small_for_the_first_look_is_found_by_closer_looks() -> None:
    without = judge_wall(PatchFinder(), draw_wall(), looks=0)
    verdict = judge_wall(PatchFinder(), draw_wall(), looks=400)
    assert (without.defects, without.trace) == ([], [])
    [defect] = verdict.defects
    assert iou(defect.box, PATCH) > 0.5, "the box is in pixels of the original"
    assert verdict.score is not None and without.score is not None and verdict.score < without.score


def test_a_defect_that_moves_with_the_crop_is_dropped() -> None:
    """For unusual crops, a model names defects that are not there, but not twice at the same place."""
    assert judge_wall(PatchFinder(imagines_defect=True), draw_wall(None), looks=1000).defects[1:] == []
    verdict = judge_wall(PatchFinder(imagines_defect=True), draw_wall(), looks=1000)
    assert sum(iou(defect.box, PATCH) > 0.5 for defect in verdict.defects) == 1


@pytest.mark.parametrize(
    ("confidence", "misses", "remaining"),
    [(0.6, 0, 1), (0.99, 1, 1), (0.9, 1, 0), (0.99, 2, 0), (1.0, 3, 0)],
)
def test_a_defect_that_some_looks_miss_remains_only_if_the_others_are_sure(
    confidence: float, misses: int, remaining: int
) -> None:
    without_misses = PatchFinder()
    judge_wall(without_misses, draw_wall(), looks=400)
    patches = without_misses.patch_count
    missed = range(patches - misses + 1, patches + 1)  # in the last follow-up windows
    backend = PatchFinder(confidence=confidence, missed_patches=missed)
    defects = judge_wall(backend, draw_wall(), looks=400).defects
    assert len(defects) == remaining
    if defects:
        look_count = 1 + len(FOLLOW_UP_WINDOWS)
        expected = confidence * (look_count - misses) / look_count
        assert defects[0].confidence == pytest.approx(expected)


def test_a_defect_on_the_border_of_two_tiles_is_reported_once() -> None:
    for x in range(640, 720, 16):
        patch = (float(x), 300.0, x + 16.0, 316.0)
        [defect] = judge_wall(PatchFinder(), draw_wall(patch), looks=400).defects
        assert iou(defect.box, patch) > 0.5


def test_the_parts_are_judged_by_the_adapter_for_parts_if_there_is_one() -> None:
    backend = PatchFinder(element_probabilities=[0.5])
    backend.adapters = {"default-look": AdapterInfo("look")}  # type: ignore[attr-defined]
    Judge(backend=backend)(draw_wall(), prompt="a red patch", elements=["red patch"], looks=40)
    rubrics: dict[bool, list[str]] = {True: [], False: []}
    for request in backend.requests:
        rubrics["defects" in dict(request.form.root.members)].append(request.rubric)
    assert rubrics[True][0] == "default" and set(rubrics[True][1:]) == {"default-look"}
    assert set(rubrics[False]) == {"default"}


# -- Elements and defects in doubt -----------------------------------------------------------------------


def test_an_element_in_doubt_is_asked_again_on_its_own() -> None:
    backend = PatchFinder(element_probabilities=[0.4, 0.9, 0.9])
    verdict = judge_element(backend, looks=RECOMMENDED_LOOKS)
    [element] = verdict.elements
    assert element.present and 0.4 < element.probability < 0.9
    assert [look.question for look in verdict.trace] == ["wall"] * len(ELEMENT_VIEWS)
    assert verdict.dimensions["alignment"].score == pytest.approx(1 + 4 * element.probability)


@pytest.mark.parametrize(("later", "limits"), [(0.1, True), (0.9, False)])
def test_an_element_asked_again_keeps_its_kind_and_stays_below_what_it_needs(
    later: float, limits: bool
) -> None:
    """Both looks say 0.9 for "cat on a mat", which needs "cat", for which they say `later`."""
    backend = PairedElements({"cat": later, "cat on a mat": 0.9})
    image = draw_wall(None)
    verdict = Judge(backend=backend)(image, prompt="a cat", elements=["cat", "cat on a mat"], looks=2)
    first = Judge(backend=PairedElements({}))(image, prompt="a cat", elements=["cat", "cat on a mat"])
    assert len(verdict.trace) == len(ELEMENT_VIEWS)
    for before, after in zip(first.elements, verdict.elements, strict=True):
        assert (after.kind, after.needs) == (before.kind, before.needs)
        assert after.present == (after.probability >= 0.5)
    cat, relation = verdict.elements
    assert relation.needs == ["cat"] and relation.kind == "relation"
    assert relation.probability <= cat.probability
    assert relation.present is cat.present is not limits


def test_at_score_depth_only_elements_are_asked_again() -> None:
    backend = PatchFinder(element_probabilities=[0.6, 0.1, 0.1])
    verdict = judge_element(backend, draw_wall(), depth="score", looks=50)
    assert [method for method, _ in backend.rounds] == ["choose", "choose"]
    assert not verdict.elements[0].present and verdict.score is not None and verdict.score < 3


def test_a_defect_in_doubt_that_a_closer_look_does_not_show_is_dropped() -> None:
    pixels = np.zeros((INPUT_SIDE, INPUT_SIDE, 3), np.uint8)
    imagining = PatchFinder(imagines_defect=True, confidence=0.55)
    assert judge_wall(imagining, pixels, looks=RECOMMENDED_LOOKS).defects == []
    pixels[:8, :8] = (250, 20, 20)
    verdict = judge_wall(PatchFinder(confidence=0.6), pixels, looks=RECOMMENDED_LOOKS)
    assert [defect.confidence for defect in verdict.defects] == [pytest.approx(0.6)]


def test_an_unreadable_reply_to_a_closer_look_does_not_cost_the_verdict() -> None:
    values = {"elements": {"wall": True}, "degradation": "none", "defects": [], "alignment": 4,
              "structure": 4, "score": 4, "explanation": "fine"}  # fmt: skip
    in_doubt = Reply(canonical_json(values), {"elements.0": {"true": 0.5, "false": 0.5}})
    backend = Scripted([in_doubt, ReplyError("gone"), ReplyError("gone")], brief=True, size=INPUT_SIDE)
    verdict = Judge(backend=backend, looks=RECOMMENDED_LOOKS)(SMALL_IMAGE, prompt="a wall", elements=["wall"])
    assert verdict.status == "scored"
    assert [look.answer for look in verdict.trace] == ["unreadable: gone"] * RECOMMENDED_LOOKS


# -- Explanations ----------------------------------------------------------------------------------------


def test_the_explanation_tells_what_closer_looks_have_changed() -> None:
    changed = judge_wall(PatchFinder(), draw_wall(), looks=400)
    assert changed.explanation == "At first look: seen. After closer looks: tint."
    unchanged = judge_wall(PatchFinder(), draw_wall(None), looks=400)
    assert unchanged.explanation == "seen"
    imagining = PatchFinder(imagines_defect=True, missed_patches=range(99))
    verdict = judge_wall(imagining, draw_wall(None), looks=400)
    assert verdict.explanation.endswith("After closer looks: nothing broken.")
    verdict = judge_element(PatchFinder(element_probabilities=[0.4, 0.9, 0.9]), looks=RECOMMENDED_LOOKS)
    assert verdict.explanation.endswith("After closer looks: 1 of 1 elements there, nothing broken.")


def test_the_explanation_after_closer_looks_is_in_the_language_of_the_rubric() -> None:
    rubric = Rubric.load("default").model_copy(update={"language": "zh"})
    judge = Judge(backend=PatchFinder(), rubric=rubric, looks=400)
    assert (
        judge(draw_wall(), prompt="a plain wall", elements=[]).explanation == "初看：seen。细看之后：tint。"
    )


def test_the_rubrics_own_sentences_are_rendered_again_after_closer_looks() -> None:
    sentences = Sentences(
        picture="{% if defects %}It has a {{ defects[0].kind }}.{% else %}It is sound.{% endif %}"
    )
    rubric = Rubric.load("default").model_copy(update={"explanation": 0, "sentences": sentences})
    explanations = [
        Judge(backend=PatchFinder(), rubric=rubric, looks=looks)(
            draw_wall(), prompt="a plain wall"
        ).explanation
        for looks in (0, 400)
    ]
    assert explanations == ["It is sound.", "It has a tint."]


# -- Trace and number of questions -----------------------------------------------------------------------


def test_every_closer_look_is_in_the_trace() -> None:
    backend = PatchFinder()
    verdict = judge_wall(backend, draw_wall(), looks=400)
    assert len(verdict.trace) == len(backend.requests) - 1
    assert any("tint 0.90" in look.answer for look in verdict.trace)
    for look in verdict.trace:
        x1, y1, x2, y2 = look.region
        assert 0 <= x1 < x2 <= 1024 and 0 <= y1 < y2 <= 768
        assert look.milliseconds >= 0 and look.question


@pytest.mark.parametrize("looks", [0, 1, 2, 7, 30, 100])
def test_the_number_of_questions_is_within_the_budget(looks: int) -> None:
    backend = PatchFinder(imagines_defect=True, element_probabilities=[0.5])
    judge_element(backend, draw_wall(), looks=looks)
    assert len(backend.requests) <= 1 + looks


def test_a_small_image_without_doubts_takes_one_question() -> None:
    backend = PatchFinder()
    judge_element(backend, looks=50)
    assert len(backend.requests) == 1


def test_the_looks_at_many_images_go_to_the_model_together() -> None:
    samples = [{"image": draw_wall(), "prompt": "a wall", "elements": []} for _ in range(3)]
    backend, single_backend = PatchFinder(), PatchFinder()
    verdicts = list(Judge(backend=backend, looks=40).many(samples))
    single = Judge(backend=single_backend, looks=40)(**samples[0])
    assert backend.rounds == [(method, 3 * count) for method, count in single_backend.rounds]
    assert all(verdict.defects == single.defects for verdict in verdicts)


# -- General models, and parts of portraits --------------------------------------------------------------


def test_a_general_model_is_told_that_it_sees_a_part_of_the_image() -> None:
    backend = GeneralPatchFinder()
    judge_wall(backend, draw_wall(), looks=60)
    text = backend.requests[-1].messages[-1]["content"][-1]["text"]
    assert "one part of a picture" in text and "a plain wall" in text and '"defects"' in text
    assert '"score"' not in text and "missing object" not in text


def draw_portrait(person: tuple[int, int, int, int] | None) -> Image.Image:
    """400 x 300 grey pixels with the person as a red box."""
    pixels = np.full((300, 400, 3), 120, np.uint8)
    if person:
        x1, y1, x2, y2 = person
        pixels[y1:y2, x1:x2] = (250, 20, 20)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("depth", ["verdict", "score"])
def test_the_person_of_a_portrait_is_cut_out_and_judged_alone(depth: Any) -> None:
    backend = PersonFinder()
    judge, image = Judge(backend=backend, rubric="portrait"), draw_portrait((100, 60, 200, 240))
    first, closer = (judge(image, depth=depth, looks=looks) for looks in (0, RECOMMENDED_LOOKS))
    assert first.dimensions["person"].score == pytest.approx(2)
    assert closer.dimensions["person"].score == pytest.approx(5)
    assert closer.dimensions["picture"].score == first.dimensions["picture"].score == pytest.approx(5)
    assert (first.score, closer.score) == (pytest.approx(3.2), pytest.approx(5))  # (3 person + 2 picture) / 5
    locating, rating = closer.trace
    assert locating.region == (0, 0, 400, 300) and "where is the person" in locating.question
    assert rating.region == (95, 51, 205, 249) and rating.answer == "person 5"
    texts = [request.messages[-1]["content"][-1]["text"] for request in backend.requests[-2:]]
    assert '"box"' in texts[0] and "the person" in texts[0]
    assert '"person"' in texts[1] and '"picture"' not in texts[1] and "5 excellent" in texts[1]


@pytest.mark.parametrize(
    ("person", "looks", "question_count"),
    [(None, 2, 1), ((2, 2, 398, 298), 2, 1), ((100, 60, 200, 240), 1, 1), ((100, 60, 200, 240), 9, 2)],
)
def test_a_part_that_is_missing_or_fills_the_image_is_not_judged_alone(
    person: Any, looks: int, question_count: int
) -> None:
    verdict = Judge(backend=PersonFinder(), rubric="portrait")(draw_portrait(person), looks=looks)
    assert sum("the person" in look.question for look in verdict.trace) == question_count
    assert verdict.status == "scored"


def test_a_model_tuned_on_whole_images_is_not_asked_for_parts() -> None:
    class TunedPersonFinder(PersonFinder):
        brief = True

    judge = Judge(backend=TunedPersonFinder(), rubric="portrait")
    verdict = judge(draw_portrait((9, 9, 90, 90)), looks=RECOMMENDED_LOOKS)
    assert verdict.status == "scored"
    assert not any("the person" in look.question for look in verdict.trace)
