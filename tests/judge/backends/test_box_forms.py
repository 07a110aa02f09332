"""Backends ask for boxes as their model writes them, and verdicts have pixels of the original image."""

from __future__ import annotations

import json
from typing import Any

import pytest
from form_requests import noise_image
from model_server import ModelServer, completion, connect
from PIL import Image

from judge.backends.base import Reply, Request
from judge.backends.box_forms import BoxTranslator
from judge.backends.models.boxes import BoxConvention, write_box
from judge.errors import ReplyError
from judge.judge import Judge
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Box, Choice, Object, Repeat
from judge.rubrics.rubric import Rubric
from judge.rubrics.templates import BOX_TEXT, prompts_folder

FORM = Form(
    Object(
        (
            (
                "defects",
                Repeat(
                    "defects", Object((("kind", Choice("kind", ("cut",), quoted=True)), ("box", Box("box"))))
                ),
            ),
            ("score", Choice("score", ("1", "2"))),
        )
    )
)
RESIZED = (560, 420)
TRUTH = (320.0, 120.0, 960.0, 600.0)
"""A box in an image of 1280 x 960."""


def translator(convention: BoxConvention) -> BoxTranslator:
    return BoxTranslator(convention, lambda shown: RESIZED)


def request(text: str = f'"box": {BOX_TEXT} that enclose it') -> Request:
    content = [{"type": "image"}, {"type": "text", "text": text}]
    return Request([noise_image(1, 1280, 960)], [{"role": "user", "content": content}], FORM)


def last_text(asked: Request) -> str:
    return str(asked.messages[-1]["content"][-1]["text"])


@pytest.mark.parametrize("convention", [c for c in BoxConvention if c is not BoxConvention.JUDGE_GRID])
def test_a_box_of_the_model_comes_back_in_relative_coordinates(convention: BoxConvention) -> None:
    asked = translator(convention).request(request())
    written = list(write_box(TRUTH, convention, (1280, 960), RESIZED))
    text = asked.form.render({"defects": [{"kind": "cut", "box": written}], "score": 1})
    reply = translator(convention).reply(Reply(text), request())
    assert isinstance(reply, Reply)
    [defect] = FORM.parse(reply.text)["defects"]
    assert defect["box"] == pytest.approx([250, 125, 750, 625], abs=2)


def test_the_form_of_the_embedded_judge_stays_as_it_is() -> None:
    asked = request()
    assert translator(BoxConvention.JUDGE_GRID).request(asked) is asked


def test_the_labels_of_corners_are_renamed() -> None:
    shares = {str(n): float(n == 140) for n in range(560)}
    text = '{"defects":[{"kind":"cut","box":[140,0,280,420]}],"score":1}'
    pixels = translator(BoxConvention.RESIZED_PIXELS_XYXY)
    reply = pixels.reply(Reply(text, {"defects.0.box.x1": shares, "score": {"1": 1.0, "2": 0.0}}), request())
    assert isinstance(reply, Reply)
    found = reply.probabilities["defects.0.box.x1"]
    assert len(found) == 560 and found["250"] == 1.0
    assert reply.probabilities["score"] == {"1": 1.0, "2": 0.0}


@pytest.mark.parametrize(
    ("box", "reason"), [([0, 0, 561, 10], "outside x 0..560, y 0..420"), ([9, 9, 9, 20], "x1 < x2")]
)
def test_a_box_that_the_convention_does_not_allow_is_no_reply(box: list[int], reason: str) -> None:
    text = json.dumps({"defects": [{"kind": "cut", "box": box}], "score": 1})
    reply = translator(BoxConvention.RESIZED_PIXELS_XYXY).reply(Reply(text), request())
    assert isinstance(reply, ReplyError)
    assert reason in str(reply)


@pytest.mark.parametrize(
    ("convention", "words"),
    [
        (BoxConvention.RELATIVE_1000_XYXY, BOX_TEXT),
        (BoxConvention.RELATIVE_1000_YXYX, "[ymin, xmin, ymax, xmax]"),
        (BoxConvention.RESIZED_PIXELS_XYXY, "[560, 420] (right, bottom)"),
    ],
)
def test_instructions_state_the_convention(convention: BoxConvention, words: str) -> None:
    assert words in last_text(translator(convention).request(request()))
    unsaid = last_text(translator(convention).request(request("Mark what is broken.")))
    assert (words in unsaid) is (convention is not BoxConvention.RELATIVE_1000_XYXY)


def test_a_prompt_that_quotes_the_description_is_not_changed() -> None:
    text = f"<prompt>a sign: {BOX_TEXT}</prompt> ... {BOX_TEXT} that enclose it"
    changed = last_text(translator(BoxConvention.RELATIVE_1000_YXYX).request(request(text)))
    assert f"a sign: {BOX_TEXT}</prompt>" in changed
    assert changed.count("ymin") == 1


@pytest.mark.parametrize("path", sorted(prompts_folder().glob("*.jinja")), ids=lambda path: path.stem)
def test_every_template_that_asks_for_boxes_describes_them_in_the_same_words(path: Any) -> None:
    text = path.read_text("utf-8")
    assert text.count('"box":') == text.count(BOX_TEXT)


def test_answers_of_worked_examples_are_in_the_convention() -> None:
    answer = '{"defects":[{"kind":"cut","box":[500,0,1000,500]}],"score":1}'
    shown = request()
    shown.messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "one"}]},
        {"role": "assistant", "content": [{"type": "text", "text": answer}]},
        *shown.messages,
    ]
    shown.images = [noise_image(2, 100, 100), *shown.images]
    asked = translator(BoxConvention.RESIZED_PIXELS_XYXY).request(shown)
    assert '"box":[280,0,560,210]' in asked.messages[1]["content"][0]["text"]


@pytest.mark.parametrize(
    ("model", "options", "convention"),
    [
        ("Qwen/Qwen2.5-VL-7B-Instruct", {}, BoxConvention.RESIZED_PIXELS_XYXY),
        ("gemini-3-flash", {}, BoxConvention.RELATIVE_1000_YXYX),
        ("my-model", {}, BoxConvention.RELATIVE_1000_XYXY),
        ("my-model", {"boxes": "pixels"}, BoxConvention.RESIZED_PIXELS_XYXY),
    ],
)
def test_a_hosted_model_that_marks_the_truth_gives_it_in_the_verdict(
    serve: Any, model: str, options: dict[str, Any], convention: BoxConvention
) -> None:
    """The server answers with the box in the pixels of the image that it was sent, or relative to it."""
    import base64
    import io

    from judge.backends.openai.backend import OpenAI

    rubric = Rubric.load("structure")

    def answer(path: str, body: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        url = body["messages"][-1]["content"][0]["image_url"]["url"]
        sent = Image.open(io.BytesIO(base64.b64decode(url.split(",")[1]))).size
        box = list(write_box(TRUTH, convention, (1280, 960), sent))
        kind = rubric.defects.kinds["artifact"][0]
        values: dict[str, Any] = {"defects": [{"kind": kind, "box": box, "severity": "moderate"}]}
        values["defects"][0] |= {"explanation": "it is cut"} if rubric.defects.explanation else {}
        values |= {dimension.name: 3 for dimension in rubric.dimensions}
        values |= {"score": 3} | ({"explanation": "cut"} if rubric.explanation else {})
        return 200, {}, completion([json.dumps(values)], None)

    server: ModelServer = serve(answer)
    judge = Judge(backend=OpenAI(server.url, model, api_key="", **options), rubric=rubric)
    verdict = judge(Image.new("RGB", (1280, 960), "red"), prompt="a cat")
    assert verdict.status == "scored", verdict.reason
    assert verdict.defects[0].box == pytest.approx(TRUTH, abs=2)


def test_an_unknown_convention_is_named(serve: Any) -> None:
    from judge.errors import InputError

    with pytest.raises(InputError, match="boxes: 'percent' .* relative, pixels, relative-yxyx, grid"):
        connect(serve(), boxes="percent")
