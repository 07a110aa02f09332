"""Verdicts and comparisons in a terminal: judged texts are never read as markup or control codes."""

from __future__ import annotations

import io

from example_verdict import example_unscored_verdict, example_verdict
from rich.console import Console
from writing import line

from judge.explain.plain_text import to_plain_text
from judge.explain.terminal import render_comparison, render_verdict
from judge.types import Comparison, Element


def print_to_text(renderable: object, width: int = 100) -> str:
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=True, color_system=None).print(renderable)
    return stream.getvalue()


def test_markup_and_escape_sequences_are_shown_as_characters() -> None:
    text = print_to_text(render_verdict(example_verdict(), "pic[red]ture.png"))
    assert "\x1b[31m" not in text
    for part in (
        "3.40",
        "[bold]x[/bold]",
        "pic[red]ture.png",
        "two of four are there",
        "first frame",
        "✗",
        "12 ms",
    ):
        assert part in text


def test_writing_is_shown_as_it_was_read() -> None:
    lines = [line("[red]OPEN[/red]\x1b[31m", confidence=0.97)] + [line("LATE")] * 13
    text = print_to_text(render_verdict(example_verdict(texts=lines)), width=400)
    assert "“[red]OPEN[/red] [31m” 0.97" in text and "\x1b[31m" not in text and "and 2 more lines" in text


def test_an_unscored_verdict_shows_its_reason() -> None:
    text = print_to_text(render_verdict(example_unscored_verdict("it broke")))
    assert "unscored: it broke" in text


def test_a_comparison_names_the_better_image() -> None:
    a, b = example_verdict(), example_verdict(score=2.0)
    comparison = Comparison(preferred="b", probability=0.2, margin=-1.0, a=b, b=a)
    text = print_to_text(render_comparison(comparison, "one.png", "two.png"))
    assert "b is better: two.png  by 1.00, probability 0.80" in text


def test_a_comparison_without_a_better_image_says_why() -> None:
    a, b = example_verdict(), example_verdict(score=2.0)
    tie = Comparison(preferred="tie", probability=0.5, margin=0.0, a=a, b=a)
    assert "tie" in print_to_text(render_comparison(tie))
    failed = Comparison(preferred=None, probability=None, reason="a: it broke", a=a, b=b)
    assert "no preference: a: it broke" in print_to_text(render_comparison(failed))


def test_plain_text_has_no_control_or_direction_characters() -> None:
    assert to_plain_text("a\x1b[31m\u202eb\u2028c\nd\ud800") == "a [31m b c d"


def test_what_must_be_absent_is_shown_with_no_before_it() -> None:
    element = Element(name="yellow cross", expected=False, present=True, probability=0.97)
    text = print_to_text(render_verdict(example_verdict().model_copy(update={"elements": [element]})))
    assert "✓ 0.97 no yellow cross" in text
