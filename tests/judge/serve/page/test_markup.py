"""The page's HTML: text from outside stays text, and nothing is shown by colour alone."""

from __future__ import annotations

import base64
import io
import json
import re
from html import unescape

import pytest
from PIL import Image
from writing import line

from judge.errors import BackendError, InputError
from judge.serve.page import markup
from judge.serve.page.formatting import MAX_SIDE, image_url
from judge.types import Attribute, Comparison, Defect, Dimension, Element, Look, Provenance, Verdict

SIZE = (200, 100)
HOSTILE = "<img src=x onerror=alert(1)> \"'><script>alert(2)</script> ${alert(3)} {{4}} \u202e txet"
IMAGE = Image.new("RGB", SIZE, "red")


def build_verdict(text: str = "the wheel is missing", **changed: object) -> Verdict:
    fields: dict[str, object] = {
        "status": "scored",
        "score": 3.4,
        "distribution": [0.001, 0.1, 0.349, 0.45, 0.1],
        "size": SIZE,
        "dimensions": {"alignment": Dimension(score=3.9, distribution=[0, 0, 0.3, 0.5, 0.2])},
        "attributes": {"degradation": Attribute(label="blur", probabilities={"blur": 0.8, "none": 0.2})},
        "texts": [line(f"{text} on a wall")],
        "elements": [
            Element(name=f"{text} 1", present=True, probability=0.999),
            Element(name=f"{text} 2", present=False, probability=0.02),
        ],
        "defects": [
            Defect(
                family="artifact",
                kind="missing part",
                box=(50, 25, 100, 300),
                severity="moderate",
                confidence=0.8,
                explanation=text,
            )
        ],
        "explanation": text,
        "trace": [Look(region=(100, 0, 150, 50), question=text, answer=text, milliseconds=20)],
        "provenance": build_provenance(notes=[text], domain=text),
    }
    return Verdict.model_validate(fields | changed)


def build_provenance(**changed: object) -> Provenance:
    fields = {"model": "m", "backend": "b", "rubric": "default", "rubric_hash": "0" * 16, "depth": "verdict"}
    return Provenance.model_validate({**fields, "version": "0", "milliseconds": 1.0, **changed})


def text_of(html: str) -> str:
    """Return the text of HTML without its tags."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


@pytest.mark.parametrize("prompt", ["a red car", HOSTILE])
def test_text_from_outside_adds_no_tag_and_no_attribute(prompt: str) -> None:
    plain, hostile = build_verdict("x"), build_verdict(HOSTILE)
    tags = [re.findall(r"<[a-z/]+", markup.verdict(one, IMAGE, prompt=prompt)) for one in (plain, hostile)]
    assert tags[0] == tags[1]
    html = markup.verdict(hostile, IMAGE, prompt=prompt)
    assert "<img src=x" not in html and "<script" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "\u202e" not in html.split('class="j-json"')[0]  # it would reverse the text around it


def test_present_and_absent_differ_by_sign_and_word_and_no_probability_is_rounded_to_certainty() -> None:
    html = markup.verdict(build_verdict(), IMAGE)
    assert "✓ present: the wheel is missing 1 >99 %" in text_of(html)
    assert "✗ absent: the wheel is missing 2 2 %" in text_of(html)
    assert "1 of 2 present" in text_of(html)
    assert "1 <1 %" in text_of(html)  # the label 1 has a probability of 0.001


def test_boxes_are_in_percent_of_the_image_and_clipped_to_it() -> None:
    html = markup.verdict(build_verdict(), IMAGE)
    assert "left:25.00%;top:25.00%;width:25.00%;height:75.00%" in html


def test_every_region_has_the_same_number_on_the_image_and_in_the_list() -> None:
    verdict = build_verdict(defects=[build_verdict().defects[0]] * 8)
    html = markup.verdict(verdict, IMAGE)
    for number in range(8):
        assert html.count(f'data-region="{number}"') == 2
        assert html.count(f"Region {number + 1}: missing part") == 1


def test_every_zoom_in_shows_its_question_region_and_answer() -> None:
    looks = [
        Look(region=(0, 0, 100, 50), question="what is broken here?", answer="cut 0.91", milliseconds=40),
        Look(region=(100, 50, 200, 100), question="a wheel", answer="0.30", milliseconds=1200),
    ]
    html = markup.verdict(build_verdict(trace=looks), IMAGE)
    assert "Zoom-ins 2 after the first look" in text_of(html)
    assert "what is broken here? cut 0.91 0, 0 to 100, 50 · 40 ms" in text_of(html)
    assert "a wheel 0.30 100, 50 to 200, 100 · 1.2 s" in text_of(html)
    assert '<span style="left:50.00%;top:50.00%;width:50.00%;height:50.00%"></span>' in html
    assert "Zoom-ins" not in markup.verdict(build_verdict(trace=[]), IMAGE)


def test_notes_come_before_the_image() -> None:
    html = markup.verdict(build_verdict(provenance=build_provenance(notes=["outside the domain"])), IMAGE)
    assert 0 < html.index("Outside the domain.") < html.index("j-image")


def test_the_json_is_the_complete_verdict() -> None:
    html = markup.verdict(build_verdict(HOSTILE), IMAGE)
    found = re.search(r"<pre[^>]*>(.*)</pre>", html, re.DOTALL)
    assert found and json.loads(unescape(found[1])) == build_verdict(HOSTILE).model_dump(mode="json")


def test_an_unscored_verdict_shows_the_reason_and_no_number() -> None:
    verdict = Verdict(
        status="unscored", reason="the reply ended early", size=SIZE, provenance=build_provenance()
    )
    html = markup.verdict(verdict, IMAGE)
    assert "Unscored The reply ended early." in text_of(html)
    assert "j-dist" not in html and " of 5" not in html and "No broken region" not in html


def test_score_depth_does_not_claim_that_nothing_is_broken() -> None:
    html = markup.verdict(build_verdict(defects=[], provenance=build_provenance(depth="score")), IMAGE)
    assert "Regions are not asked for at score depth" in html
    assert "No broken region was found" in markup.verdict(build_verdict(defects=[]), IMAGE)


@pytest.mark.parametrize(
    ("preferred", "probability", "margin", "text"),
    [
        ("a", 0.9, 1.5, "Image A is better By 1.50, with probability 90 %."),
        ("b", 0.1, -1.5, "Image B is better By 1.50, with probability 90 %."),
        ("tie", 0.5, 0.0, "A tie Both have the same score."),
    ],
)
def test_a_comparison_shows_the_better_image_and_the_probability(
    preferred: str, probability: float, margin: float, text: str
) -> None:
    fields = {"preferred": preferred, "probability": probability, "margin": margin}
    found = Comparison.model_validate({**fields, "a": build_verdict(), "b": build_verdict()})
    html = markup.comparison(found, (IMAGE, IMAGE), prompt="a car")
    assert text in text_of(html)
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(set(ids)) == len(ids) == 2


def test_a_comparison_without_preference_shows_the_reason() -> None:
    unscored = Verdict(status="unscored", reason="no reply", size=SIZE, provenance=build_provenance())
    found = Comparison(preferred=None, probability=None, reason="b: no reply", a=build_verdict(), b=unscored)
    assert "No preference B: no reply." in text_of(markup.comparison(found, (IMAGE, IMAGE)))


def test_an_error_is_an_alert_that_says_what_to_do_and_is_escaped() -> None:
    html = markup.error_alert(InputError("<b>image</b>", HOSTILE, "one <image>", "choose <one>"))
    assert 'role="alert"' in html
    assert "The <b>image</b> cannot be used Choose <one>. Allowed: one <image>." in text_of(html)
    assert "<b>" not in html
    assert "out of memory" in markup.error_alert(BackendError("out of memory"))


@pytest.mark.parametrize(("size", "kind"), [((224, 224), "png"), ((3000, 500), "jpeg"), ((1, 4000), "png")])
def test_images_keep_their_shape_and_are_reduced_to_fit_a_screen(size: tuple[int, int], kind: str) -> None:
    head, _, body = image_url(Image.new("RGB", size)).partition(",")
    image = Image.open(io.BytesIO(base64.b64decode(body)))
    assert head == f"data:image/{kind};base64"
    assert max(image.size) == min(MAX_SIDE, max(size))


def test_examples_are_buttons_with_escaped_prompts_and_nothing_if_there_are_none() -> None:
    html = markup.example_gallery([("two", HOSTILE, IMAGE)])
    assert "<button" in html and "<script" not in html
    assert markup.example_gallery([]) == ""


def test_what_must_be_absent_is_shown_as_such() -> None:
    elements = [
        Element(name="red car", present=True, probability=0.9),
        Element(name="dog", expected=False, present=True, probability=0.8),
        Element(name="text", expected=False, present=False, probability=0.1),
    ]
    text = text_of(markup.verdict(build_verdict(elements=elements), IMAGE))
    assert "2 of 3 as asked" in text
    assert "✓ as asked: no dog 80 %" in text and "✗ not as asked: no text 10 %" in text
