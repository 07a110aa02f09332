"""The verdict as HTML: what strangers wrote stays text, and nothing is told by colour alone."""

from __future__ import annotations

import base64
import io
import json
import re
from html import unescape

import pytest
from PIL import Image

from judge.errors import BackendError, InputError
from judge.serve.page import markup
from judge.types import Attribute, Comparison, Defect, Dimension, Element, Look, Provenance, Verdict

SIZE = (200, 100)
HOSTILE = "<img src=x onerror=alert(1)> \"'><script>alert(2)</script> ${alert(3)} {{4}} \u202e txet"
ROTS = Image.new("RGB", SIZE, "red")


def made_up(text: str = "the wheel is missing", **changed: object) -> Verdict:
    fields: dict[str, object] = {
        "status": "scored",
        "score": 3.4,
        "distribution": [0.001, 0.1, 0.349, 0.45, 0.1],
        "size": SIZE,
        "dimensions": {"alignment": Dimension(score=3.9, distribution=[0, 0, 0.3, 0.5, 0.2])},
        "attributes": {"degradation": Attribute(label="blur", probabilities={"blur": 0.8, "none": 0.2})},
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
        "provenance": made(notes=[text], domain=text),
    }
    return Verdict.model_validate(fields | changed)


def made(**changed: object) -> Provenance:
    fields = {"model": "m", "backend": "b", "rubric": "default", "rubric_hash": "0" * 16, "depth": "verdict"}
    return Provenance.model_validate({**fields, "version": "0", "milliseconds": 1.0, **changed})


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


@pytest.mark.parametrize("prompt", ["a red car", HOSTILE])
def test_what_strangers_wrote_adds_no_tag_and_no_attribute(prompt: str) -> None:
    plain, hostile = made_up("x"), made_up(HOSTILE)
    tags = [re.findall(r"<[a-z/]+", markup.verdict(one, ROTS, prompt=prompt)) for one in (plain, hostile)]
    assert tags[0] == tags[1]
    html = markup.verdict(hostile, ROTS, prompt=prompt)
    assert "<img src=x" not in html and "<script" not in html
    assert "&lt;img src=x onerror=alert(1)&gt;" in html
    assert "\u202e" not in html.split('class="j-json"')[0]  # it would turn the text around it


def test_presence_differs_by_sign_and_word_and_probabilities_are_never_rounded_to_certainty() -> None:
    html = markup.verdict(made_up(), ROTS)
    assert "✓ there: the wheel is missing 1 >99 %" in text_of(html)
    assert "✗ absent: the wheel is missing 2 2 %" in text_of(html)
    assert "1 of 2 there" in text_of(html)
    assert "1 <1 %" in text_of(html)  # the label 1 has a probability of 0.001


def test_boxes_are_in_percent_of_the_picture_and_inside_it() -> None:
    html = markup.verdict(made_up(), ROTS)
    assert "left:25.00%;top:25.00%;width:25.00%;height:75.00%" in html


def test_every_region_stands_on_the_picture_and_in_the_list_under_one_number() -> None:
    verdict = made_up(defects=[made_up().defects[0]] * 8)
    html = markup.verdict(verdict, ROTS)
    for number in range(8):
        assert html.count(f'data-region="{number}"') == 2
        assert html.count(f"Region {number + 1}: missing part") == 1


def test_every_closer_look_says_what_was_asked_where_and_answered() -> None:
    asked = [
        Look(region=(0, 0, 100, 50), question="what is broken here?", answer="cut 0.91", milliseconds=40),
        Look(region=(100, 50, 200, 100), question="a wheel", answer="0.30", milliseconds=1200),
    ]
    html = markup.verdict(made_up(trace=asked), ROTS)
    assert "Closer looks 2 after the first" in text_of(html)
    assert "what is broken here? cut 0.91 0, 0 to 100, 50 · 40 ms" in text_of(html)
    assert "a wheel 0.30 100, 50 to 200, 100 · 1.2 s" in text_of(html)
    assert '<span style="left:50.00%;top:50.00%;width:50.00%;height:50.00%"></span>' in html
    assert "Closer looks" not in markup.verdict(made_up(trace=[]), ROTS)


def test_notes_stand_before_the_picture() -> None:
    html = markup.verdict(made_up(provenance=made(notes=["outside the domain"])), ROTS)
    assert 0 < html.index("Outside the domain.") < html.index("j-picture")


def test_the_json_is_the_verdict() -> None:
    html = markup.verdict(made_up(HOSTILE), ROTS)
    found = re.search(r"<pre[^>]*>(.*)</pre>", html, re.DOTALL)
    assert found and json.loads(unescape(found[1])) == made_up(HOSTILE).model_dump(mode="json")


def test_unscored_shows_the_reason_and_no_number() -> None:
    verdict = Verdict(status="unscored", reason="the reply ended early", size=SIZE, provenance=made())
    html = markup.verdict(verdict, ROTS)
    assert "Unscored The reply ended early." in text_of(html)
    assert "j-dist" not in html and " of 5" not in html and "No region" not in html


def test_score_depth_does_not_claim_that_nothing_is_broken() -> None:
    html = markup.verdict(made_up(defects=[], provenance=made(depth="score")), ROTS)
    assert "Regions are not asked for at score depth" in html
    assert "No region was named" in markup.verdict(made_up(defects=[]), ROTS)


@pytest.mark.parametrize(
    ("preferred", "probability", "margin", "said"),
    [
        ("a", 0.9, 1.5, "Picture A is better By 1.50, with probability 90 %."),
        ("b", 0.1, -1.5, "Picture B is better By 1.50, with probability 90 %."),
        ("tie", 0.5, 0.0, "A tie Both have the same score."),
    ],
)
def test_a_comparison_says_which_and_how_sure(
    preferred: str, probability: float, margin: float, said: str
) -> None:
    fields = {"preferred": preferred, "probability": probability, "margin": margin}
    found = Comparison.model_validate({**fields, "a": made_up(), "b": made_up()})
    html = markup.comparison(found, (ROTS, ROTS), prompt="a car")
    assert said in text_of(html)
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(set(ids)) == len(ids) == 2


def test_a_comparison_without_preference_says_why() -> None:
    lost = Verdict(status="unscored", reason="no reply", size=SIZE, provenance=made())
    found = Comparison(preferred=None, probability=None, reason="b: no reply", a=made_up(), b=lost)
    assert "No preference B: no reply." in text_of(markup.comparison(found, (ROTS, ROTS)))


def test_a_complaint_is_an_alert_that_says_the_mend_and_escapes_the_field() -> None:
    html = markup.complaint(InputError("<b>picture</b>", HOSTILE, "one <picture>", "choose <one>"))
    assert 'role="alert"' in html
    assert "The <b>picture</b> cannot be used Choose <one>. Allowed: one <picture>." in text_of(html)
    assert "<b>" not in html
    assert "out of memory" in markup.complaint(BackendError("out of memory"))


@pytest.mark.parametrize(("size", "kind"), [((224, 224), "png"), ((3000, 500), "jpeg"), ((1, 4000), "png")])
def test_shown_pictures_keep_their_shape_and_fit_a_screen(size: tuple[int, int], kind: str) -> None:
    head, _, body = markup.shown(Image.new("RGB", size)).partition(",")
    picture = Image.open(io.BytesIO(base64.b64decode(body)))
    assert head == f"data:image/{kind};base64"
    assert max(picture.size) == min(markup.LARGEST, max(size))


def test_scenes_are_buttons_with_escaped_prompts_and_nothing_where_there_are_none() -> None:
    html = markup.scenes([("two", HOSTILE, ROTS)])
    assert "<button" in html and "<script" not in html
    assert markup.scenes([]) == ""
