"""The overlay must be readable on any picture, and what was judged must never become markup or control."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from judge.errors import InputError, MediaError
from judge.explain.overlay import MAX_SIDE, MIN_SIDE, overlay
from judge.explain.plain_text import to_plain_text
from judge.explain.terminal import render_comparison, render_verdict
from judge.types import Attribute, Comparison, Defect, Dimension, Element, Provenance, Verdict


def made_up(
    size: tuple[int, int] | None = (64, 64), defects: int = 3, elements: int = 4, **changed: object
) -> Verdict:
    width, height = size or (64, 64)
    boxes = [(0.1, 0.2, 0.4, 0.5), (0.5, 0.0, 0.8, 0.3), (0.5, 0.01, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0)]
    found = [
        Defect(
            family="artifact",
            kind="displaced part",
            box=(x1 * width, y1 * height, x2 * width, y2 * height),
            severity="moderate",
            confidence=0.8,
            explanation="the wheel of the red car is out of place",
        )
        for x1, y1, x2, y2 in (boxes * 3)[:defects]
    ]
    names = [
        "red circle",
        "two blue cats left of a house",
        "ein schöner Baum 中文",
        "[bold]x[/bold] \x1b[31m",
    ]
    fields = {
        "status": "scored",
        "score": 3.4,
        "distribution": [0.05, 0.1, 0.35, 0.4, 0.1],
        "size": size,
        "dimensions": {"alignment": Dimension(score=3.9, distribution=[0, 0, 0.3, 0.5, 0.2])},
        "attributes": {"degradation": Attribute(label="blur", probabilities={"blur": 0.8, "none": 0.2})},
        "elements": [
            Element(name=n, present=i % 2 == 0, probability=0.5) for i, n in enumerate((names * 5)[:elements])
        ],
        "defects": found,
        "explanation": "two of four are there",
        "provenance": Provenance(
            model="m",
            backend="b",
            rubric="default",
            rubric_hash="0",
            depth="verdict",
            version="0",
            milliseconds=12,
            notes=["animation: judged by its first frame"],
        ),
    }
    return Verdict.model_validate(fields | changed)


def flat(width: int, height: int, value: int) -> Image.Image:
    return Image.new("RGB", (width, height), (value, value, value))


def printed(renderable: object, width: int = 100) -> str:
    from rich.console import Console

    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=True, color_system=None).print(renderable)
    return stream.getvalue()


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize(
    "size", [(64, 64), (224, 224), (1000, 700), (3840, 2160), (1, 1), (1, 3000), (900, 40)]
)
def test_boxes_stand_out_on_light_and_dark_pictures_of_any_size(size: tuple[int, int], value: int) -> None:
    source = flat(*size, value)
    drawn = overlay(made_up(size), source)
    assert drawn.mode == "RGB"
    assert source.getextrema() == ((value, value),) * 3, "the picture itself must not change"
    picture = np.asarray(drawn).astype(int)
    # Whatever the ground, the frame has pixels far from it.
    assert np.abs(picture - value).max(-1).max() > 120


def test_small_pictures_are_enlarged_and_huge_ones_reduced() -> None:
    assert overlay(made_up((64, 64)), flat(64, 64, 9)).width == MIN_SIDE
    assert overlay(made_up((3, 20_000)), flat(3, 20_000, 9)).height < MAX_SIDE + 2000
    assert overlay(made_up((1500, 900)), flat(1500, 900, 9)).width == 1500


def test_boxes_are_drawn_where_they_are() -> None:
    """One box in the right half of a black picture: coloured there, black on the left."""
    verdict = made_up((100, 100), defects=0)
    box = verdict.model_copy(update={"defects": made_up((100, 100)).defects[2:3]})
    drawn = np.asarray(overlay(box, flat(100, 100, 0)))[:700]
    middle = drawn[350]
    assert middle[:340].max() == 0
    assert middle[340:].max() > 100


@pytest.mark.parametrize("defects", [0, 1, 4, 12])
@pytest.mark.parametrize("elements", [0, 1, 12])
def test_every_number_of_rows_fits(defects: int, elements: int) -> None:
    drawn = overlay(made_up(defects=defects, elements=elements), flat(64, 64, 40))
    assert drawn.height > MIN_SIDE + 20 * (defects + elements)


def test_an_unscored_verdict_shows_its_reason() -> None:
    verdict = made_up(
        defects=0, elements=0, status="unscored", score=None, distribution=None, reason="no reply " * 40
    )
    drawn = np.asarray(overlay(verdict, flat(64, 64, 40)))
    assert (drawn[MIN_SIDE:, :, 0] > 200).any()


def test_a_verdict_read_from_json_needs_its_picture_again(tmp_path: Path) -> None:
    verdict = Verdict.model_validate_json(made_up().model_dump_json())
    with pytest.raises(InputError, match="pass overlay"):
        verdict.overlay()
    flat(64, 64, 3).save(tmp_path / "it.png")
    assert verdict.overlay(tmp_path / "it.png").width == MIN_SIDE


def test_another_picture_than_the_judged_one_is_refused() -> None:
    """Boxes drawn on the wrong picture would look like a verdict about it."""
    with pytest.raises(InputError, match="64 x 64"):
        overlay(made_up((64, 64)), flat(65, 64, 3))
    with pytest.raises(MediaError):
        overlay(made_up(), "missing.png")


def test_the_terminal_shows_what_was_judged_as_text() -> None:
    """Rich markup or an escape sequence in a prompt must reach the reader as the characters it is."""
    shown = printed(render_verdict(made_up(), "pic[red]ture.png"))
    assert "\x1b[31m" not in shown
    for part in (
        "3.40",
        "[bold]x[/bold]",
        "pic[red]ture.png",
        "two of four are there",
        "first frame",
        "✗",
        "12 ms",
    ):
        assert part in shown


def test_the_terminal_shows_reasons_of_unscored_verdicts() -> None:
    verdict = made_up(
        defects=0, elements=0, status="unscored", score=None, distribution=None, reason="it broke"
    )
    assert "unscored: it broke" in printed(render_verdict(verdict))


def test_a_comparison_names_the_better_picture() -> None:
    a, b = made_up(), made_up(score=2.0)
    better = Comparison(preferred="b", probability=0.2, margin=-1.0, a=b, b=a)
    assert "b is better: two.png  by 1.00, probability 0.80" in printed(
        render_comparison(better, "one.png", "two.png")
    )
    tie = Comparison(preferred="tie", probability=0.5, margin=0.0, a=a, b=a)
    assert "tie" in printed(render_comparison(tie))
    none = Comparison(preferred=None, probability=None, reason="a: it broke", a=a, b=b)
    assert "no preference: a: it broke" in printed(render_comparison(none))


def test_plain_text_has_no_control_or_direction_characters() -> None:
    assert to_plain_text("a\x1b[31m\u202eb\u2028c\nd\ud800") == "a [31m b c d"
