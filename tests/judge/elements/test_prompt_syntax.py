"""Syntax of generators: each dialect is read and noted, and ordinary text stays as it is."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.elements.prompt_syntax import read_negative_prompt, read_prompt

PLAIN = "a red circle and a green square"


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("(a red circle:1.2) and a green square", PLAIN),
        ("a (red:0.8) circle and a ((green)) square", PLAIN),
        ("[a red circle] and (a green square: 1.1)", PLAIN),
        ("(a red circle and (a green square:1.3):0.9)", PLAIN),
        ("a red circle and a green square <lora:flat_v2:0.8><hypernet:x:1> <lyco:y:.5>", PLAIN),
        ("a red circle and a green square, embedding:style-v1, (embedding:other:1.2)", PLAIN),
        ("zelda \\(the game\\), {{a sword}}, {a shield}", "zelda (the game), a sword, a shield"),
        ("a cat [a hat::0.5] and [a bow:0.3]", "a cat a hat and a bow"),
        ("a red circle BREAK a green square", "a red circle. a green square"),
        ("a red circle :1.2 AND a green square :0.7", "a red circle. a green square"),
        ("a red circle++, a green square:1.3", "a red circle, a green square"),
        ("/imagine prompt: a red circle and a green square --ar 3:2 --v 6 --style raw --s 50 --tile", PLAIN),
        ("https://example.com/a.png https://s.mj.run/xyz a red circle and a green square --iw 2", PLAIN),
        ("a red circle::2 a green square::1", "a red circle. a green square"),
        ("a red circle and a green square —ar 16:9 –v 5", PLAIN),
        ("score_9, score_8_up, source_anime, rating_safe, red_circle", "red circle"),
        ("1girl, 2boys, solo, long_hair", "one girl, two boys, long hair"),
        ("masterpiece, best quality, 8k, a red circle, trending on artstation, sharp focus", "a red circle"),
        ("oil painting of a ship, shot on Nikon D850, f/1.8, by Greg Rutkowski", "oil painting of a ship"),
        ("a red circle and a green square 8k", PLAIN),
        ("Prompt: a red circle and a green square\nSteps: 30, Sampler: Euler a, Seed: 1", PLAIN),
        ('{"prompt": "a red circle", "other": {"more": ["a green square"]}, "seed": 1}',
         "a red circle. a green square"),
        ('[{"shape": "circle", "color": "red", "count": 2}]', "two red circles"),
        ("Subject: a red circle\nBackground: white\nLighting: soft",
         "a red circle. white background. soft lighting"),
        ("Subject: a cat. Style: oil painting. Aspect ratio: 1:1.", "a cat. oil painting"),
        ("1. a red circle\n2. a green square", "a red circle. a green square"),
        ("1) a red circle 2) a green square", "a red circle. a green square"),
        ("- a red circle\n* a green square", "a red circle. a green square"),
        ("# Poster\n**a red circle** and `a green square`", "Poster. a red circle and a green square"),
        ("| left | right |\n|---|---|\n| a cat | a dog |", "left. right. a cat. a dog"),
        ("<p>a red circle</p><br/>a <b>green</b> square &amp; more", "a red circle. a green square & more"),
        ("a red circle\na green square", "a red circle. a green square"),
        ("a red circle and\na green square", PLAIN),
        ("（红色圆形：1.2），杰作，8K", "红色圆形"),
    ],
)  # fmt: skip
def test_each_dialect_becomes_plain_text_with_a_note(prompt: str, text: str) -> None:
    plain = read_prompt(prompt)
    assert plain.text == text
    assert plain.notes or "\n" in prompt


@pytest.mark.parametrize(
    "prompt",
    [
        "a cat (orange) on a mat", "a clock that shows 10:30, a screen in 16:9",
        "John (left) and Mary (right)",
        "a smiling man :) and a sad one :(", "I <3 NY on a t-shirt, 2 < 3",
        "a movie poster: two cats in space",
        "a sign that says 'NO ENTRY (24:7) --no dogs'", 'a card with "{red|blue} __name__ <lora:x:1>"',
        "a browser at https://example.com/a_b?c=1:2", "write to a_b@example.com", "the file my_cat_photo.png",
        "a 4k monitor on a desk", "a map of the sea -- with ships", "a castle, by the sea",
        "C++ code on a screen",
        "the Mona Lisa [1503]", "a man AND HIS DOG IN CAPITALS", "a 3.5 inch disk, size 10 shoes",
        "a masterpiece of a cake on a table", "a beautiful woman in a detailed dress", "John 3:16 on a wall",
        "(10:30)", "a sale, 50% off", "AT&T building", "a cat; a dog: friends", "std::vector on a whiteboard",
        "一只猫和一只狗", "un chat, un chien",
    ],
)  # fmt: skip
def test_ordinary_text_stays_as_it_is(prompt: str) -> None:
    plain = read_prompt(prompt)
    assert plain.text == prompt
    assert plain.notes == plain.negative == plain.style == plain.choices == [] and plain.settings == {}


@pytest.mark.parametrize(
    "prompt",
    [
        f"{PLAIN} --no yellow cross, text",
        f"{PLAIN}, (yellow cross, text:-1)",
        f"{PLAIN}\nNegative prompt: yellow cross, (text:1.3), lowres\nSteps: 20, Sampler: Euler",
        f"{PLAIN} Negative prompt: yellow cross, text, bad hands",
        f'{{"prompt": "{PLAIN}", "negative_prompt": "yellow cross, text"}}',
        f'{{"prompt": "{PLAIN}", "yellow cross": false, "avoid": ["text"]}}',
        f"Subject: {PLAIN}\nAvoid:\n- yellow cross\n- text",
        f"{PLAIN}::2 yellow cross::-.5 text::-1",
        f"{PLAIN} AND yellow cross:-1 AND text:-0.5",
    ],
)
def test_what_must_not_be_shown_leaves_the_text(prompt: str) -> None:
    plain = read_prompt(prompt)
    assert (plain.text, plain.negative) == (PLAIN, ["yellow cross", "text"])


def test_settings_and_style_are_kept_apart_and_not_lost() -> None:
    plain = read_prompt("a cat, masterpiece --ar 16:9 --seed 7\nSteps: 20, CFG scale: 7")
    assert plain.style == ["masterpiece"]
    assert plain.settings == {"ar": "16:9", "seed": "7", "steps": "20", "cfg scale": "7"}


@pytest.mark.parametrize(
    ("prompt", "choice"),
    [
        ("a {red|blue} car", ("red", "blue")), ("a [red|blue] car", ("red", "blue")),
        ("a [red:blue:0.4] car", ("red", "blue")), ("a {red, blue} car --v 6", ("red", "blue")),
        ("a {2$$red|0.5::blue|{green|red}} car", ("red", "blue", "green")),
        ("a {red|blue} car and a red bus", ("blue", "red")),
    ],
)  # fmt: skip
def test_any_of_several_alternatives_counts(prompt: str, choice: tuple[str, ...]) -> None:
    plain = read_prompt(prompt)
    assert plain.choices == [choice]
    assert plain.text.startswith(f"a {choice[0]} car")
    assert plain.name_choices(f"{choice[0]} car") == f"{' or '.join(choice)} car"


def test_phrases_about_quality_in_a_negative_prompt_are_no_elements() -> None:
    plain = read_negative_prompt(
        "no people, (lowres:1.2), bad anatomy, <lora:x:1> extra fingers, {cat|dog}, jpeg"
    )
    assert plain.negative == ["people", "cat", "dog"]
    assert "lowres" in plain.notes[-1] and "and 1 more" in plain.notes[-1]


def test_a_note_quotes_some_places_and_counts_the_others() -> None:
    (note,) = read_prompt("(a:1.1), (b:1.1), (c:1.1), (d:1.1), (e:1.1)").notes
    assert note == "read as brackets of a generator: (a:1.1); (b:1.1); (c:1.1); and 2 more"


@given(st.text(alphabet="ab ,.:;()[]{}|<>\\_-*#\"'\n1/&{}", max_size=200))
def test_any_text_is_read_to_one_printable_line(prompt: str) -> None:
    plain = read_prompt(prompt)
    for text in (plain.text, *plain.negative, *plain.style):
        assert text == " ".join(text.split()) and not any(mark in text for mark in "\ue000\ue001\ue002\ue003")


@pytest.mark.parametrize(
    "unit",
    ["a (red:1.2) cat, ", "((((", "[a|", "{a|b}", "--no a ", "a::-1 ", "<p>", "\n- a", '{"a": "b"}, ',
     "__a__ ",
     "a: b\n", "best quality, ", "without a, ", "**a"],
)  # fmt: skip
def test_the_time_grows_with_the_length_and_not_with_its_square(unit: str) -> None:
    def seconds(length: int) -> float:
        start = time.process_time()
        read_prompt((unit * length)[:length])
        return time.process_time() - start

    read_prompt(unit)
    assert min(seconds(10_000) for _ in range(3)) < 0.25
