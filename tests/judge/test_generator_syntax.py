"""The embedded judge gives a picture the same score whatever the syntax of its prompt is."""

from __future__ import annotations

import pytest
from PIL import Image, ImageDraw

from judge import Judge
from judge.types import Depth

PLAIN = "a red circle and a green square"
SIBLINGS = {
    "weights": (
        "(a red circle:1.2) and a green square", "((a red circle)), [a green square]",
        "a (red:1.1) circle BREAK a [green:0.9] square", "a red circle AND a green square :0.8",
    ),
    "networks and quality": (
        f"{PLAIN} <lora:flat_v2:0.8>, masterpiece", f"masterpiece, best quality, 8k, {PLAIN}, embedding:x",
        f"{PLAIN}, trending on artstation, highly detailed, sharp focus <hypernet:y:1>",
        "score_9, score_8_up, rating_safe, red_circle, green_square",
    ),
    "parameters": (
        f"{PLAIN} --no yellow cross", f"/imagine prompt: {PLAIN} --ar 16:9 --v 6 --no people, blue house",
        "a red circle::2 a green square::1 yellow cross::-0.5", f"{PLAIN} —no trees --s 250",
    ),
    "metadata": (
        f"{PLAIN}\nNegative prompt: yellow cross, lowres, bad hands\nSteps: 30, Sampler: Euler a, Seed: 1",
        f"{PLAIN} Negative prompt: text, watermark, purple star Steps: 20, Sampler: DDIM, CFG scale: 7",
        f"Prompt: {PLAIN}\nNegative prompt: blue boat",
        f"{PLAIN}\nSteps: 20, Sampler: DDIM, CFG scale: 7, Seed: 4",
    ),
    "lists": (
        "1. a red circle\n2. a green square", "1) a red circle 2) a green square",
        "- a red circle\n- a green square",
        "a red circle\na green square", "<ul><li>a red circle</li><li>a green square</li></ul>",
    ),
    "JSON": (
        '{"subject": "a red circle", "other": "a green square"}',
        '{"objects": [{"shape": "circle", "color": "red"}, {"shape": "square", "color": "green"}]}',
        f'{{"prompt": "{PLAIN}", "negative_prompt": "yellow cross", "steps": 30}}',
        f"Subject: {PLAIN}\nAvoid: yellow cross\nAspect ratio: 1:1",
    ),
    "negation": (
        f"{PLAIN} without a yellow cross", f"{PLAIN}, no people",
        "a red circle and no yellow cross, a green square",
        f"{PLAIN}. There is neither a cat nor a dog.", f"{PLAIN} instead of a blue star",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    image = Image.new("RGB", (224, 224), (235, 235, 235))
    draw = ImageDraw.Draw(image)
    draw.ellipse((30, 60, 100, 130), fill=(214, 40, 40))
    draw.rectangle((130, 110, 195, 175), fill=(40, 160, 70))
    return image


@pytest.fixture(scope="module")
def judge() -> Judge:
    return Judge()


@pytest.mark.parametrize("depth", ["score", "verdict"])
def test_the_syntax_of_a_prompt_does_not_change_the_score(
    judge: Judge, picture: Image.Image, depth: Depth
) -> None:
    prompts = [PLAIN, *(prompt for group in SIBLINGS.values() for prompt in group)]
    prompts = (
        prompts if depth == "score" else [PLAIN, *(group[n] for group in SIBLINGS.values() for n in (0, 2))]
    )
    verdicts = judge.many([{"image": picture, "prompt": prompt} for prompt in prompts], depth=depth)
    scores = {prompt: verdict.score for prompt, verdict in zip(prompts, verdicts, strict=True)}
    plain = scores[PLAIN]
    assert plain is not None and plain > 4.5
    far = {prompt: score for prompt, score in scores.items() if score is None or abs(score - plain) > 0.1}
    assert not far, plain


def test_a_picture_that_shows_what_is_excluded_loses_score(judge: Judge, picture: Image.Image) -> None:
    samples = [
        {"image": picture, "prompt": "a green square", "negative_prompt": negative}
        for negative in ("", "yellow cross", "a red circle", "text, wristwatch, blurry")
    ]
    plain, absent, shown, unknown = judge.many(samples, depth="score")
    assert plain.score is not None and shown.score is not None
    assert absent.score == pytest.approx(plain.score, abs=0.1) and shown.score < plain.score - 1
    circle = shown.elements[-1]
    assert (circle.expected, circle.present, circle.shown) == (
        False,
        False,
        True,
    ) and circle.probability < 0.2
    assert unknown.score == plain.score
    assert "left out text, wristwatch" in " ".join(unknown.provenance.notes)
