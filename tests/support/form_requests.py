"""Requests with noise images and forms of every kind, for tests of backends with random weights."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from PIL import Image

from judge.backends.base import Reply, Request, VideoInput
from judge.errors import ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Box, Choice, Object, Repeat, Text
from judge.rubrics.rubric import Rubric
from judge.rubrics.schema import SCORE_LABELS

DEFAULT = Rubric.load("default")


def noise_image(seed: int, width: int = 64, height: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def noise_video(seed: int, count: int = 5, side: int = 56) -> VideoInput:
    """A video of `count` noise frames at uneven times."""
    times = [0.1, 0.5, 1.3, 1.4, 2.0]
    return VideoInput([noise_image(seed + n, side, side) for n in range(count)], times[:count], 2.5)


def full_form(elements: list[str], defects: int) -> Form:
    """A form with every kind of blank, and at least so many defects that random weights reach each blank."""
    defect = Object(
        (
            ("kind", Choice("kind", ("missing part", "missing object", "missing", "fused"), quoted=True)),
            ("box", Box("box")),
            ("note", Text("note", 6)),
        )
    )
    element_choices = Object(
        tuple((name, Choice(f"elements.{n}", ("true", "false"))) for n, name in enumerate(elements))
    )
    return Form(
        Object(
            (
                ("elements", element_choices),
                ("defects", Repeat("defects", defect, defects, defects + 1)),
                ("count", Choice("count", ("1", "10", "100", "1000"))),
                ("score", Choice("score", SCORE_LABELS)),
                ("note", Text("note", 9)),
            )
        )
    )


def build_request(
    seed: int, *, depth: str = "verdict", prompt: str | None = None, size: tuple[int, int] = (64, 64)
) -> Request:
    """A request with a noise image, 0 to 4 elements and a prompt of random length."""
    random = Random(seed)
    elements = [f"thing {n}{'!' * random.randint(0, 9)}" for n in range(random.randint(0, 4))]
    prompt = "a red circle " * random.randint(1, 6) if prompt is None else prompt
    form = full_form(elements, random.randint(0, 2)).at_depth(depth)
    messages = DEFAULT.messages(prompt, elements, brief=True, depth=depth)
    return Request([noise_image(seed, *size)], messages, form)


def video_request(video: VideoInput) -> Request:
    """A request for the score of a video."""
    content = [{"type": "video"}, {"type": "text", "text": "How good?"}]
    form = Form(Object((("score", Choice("score", SCORE_LABELS)),)))
    return Request([], [{"role": "user", "content": content}], form, videos=[video])


def check_filled(replies: list[Reply | ReplyError]) -> list[Reply]:
    """Check that no reply is an error; returns the replies."""
    assert all(isinstance(reply, Reply) for reply in replies), replies
    return replies


def assert_equal_replies(replies: list[Reply], others: list[Reply], within: float = 1e-4) -> None:
    """Assert that two lists of replies have equal texts and nearly equal probabilities."""
    for one, other in zip(replies, others, strict=True):
        assert one.text == other.text
        for blank, probabilities in one.probabilities.items():
            assert other.probabilities[blank] == pytest.approx(probabilities, abs=within)
