"""Rule-based splitting of prompts: a lost or invented element would change the score without notice."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.elements.matching import precision_recall
from judge.elements.splitting import MAX_SPLIT_ELEMENTS, split_prompt
from judge.elements.text import MAX_ELEMENT_CHARS, clean_text


@pytest.mark.parametrize(
    ("prompt", "elements"),
    [
        ("a picture of a red circle and two blue cats", ["red circle", "two blue cats"]),
        (
            "two green stars left of a pink house on a striped background",
            ["two green stars", "pink house", "two green stars left of pink house", "striped background"],
        ),
        (
            "A red circle to the left of a blue star, dotted background",
            ["red circle", "blue star", "red circle left of blue star", "dotted background"],
        ),
        (
            "a house is on the left side of a car and above a black cat",
            ["house", "car", "house left of car", "black cat", "house above black cat"],
        ),
        ("please draw red cat, chair and gradient background", ["red cat", "chair", "gradient background"]),
        ("three yellow fish near a red and blue ball", ["three yellow fish", "red and blue ball",
                                                        "three yellow fish near red and blue ball"]),
        ("a vintage illustration of a rabbit driving a car", ["vintage illustration", "rabbit", "car",
                                                              "rabbit driving car"]),
        ("a boy at a table eating bread", ["boy", "table", "bread", "boy eating bread"]),
        ("a glowing blue cat", ["glowing blue cat"]),
        ("the sun rising in the distance", ["sun", "distance", "sun rising"]),
        ("the house is red", ["house", "house is red"]),
        ("a cat without a hat", ["cat", "no hat"]),
        ("a sign with the text 'Stop, now'", ["sign", "text 'Stop, now'"]),
        ("“ house of cards ”", ["house of cards"]),
        ("red cat, Red Cat and a red cat", ["red cat"]),
        ("一只红色的猫", ["一只红色的猫"]),
    ],
)  # fmt: skip
def test_prompts_are_split_into_things_and_relations(prompt: str, elements: list[str]) -> None:
    assert sorted(split_prompt(prompt)) == sorted(elements)


@pytest.mark.parametrize("prompt", ["", "   ", "!!! ...", "\x00\n"])
def test_a_prompt_without_words_has_no_elements(prompt: str) -> None:
    assert split_prompt(prompt) == []


def test_a_prompt_that_no_rule_matches_is_one_element() -> None:
    assert split_prompt("left of") == ["left of"]


@given(st.text(max_size=300))
def test_elements_of_any_text_are_few_short_distinct_and_printable(prompt: str) -> None:
    """The form writes elements as JSON keys: duplicates and control characters would break it."""
    elements = split_prompt(prompt)
    assert len(elements) <= MAX_SPLIT_ELEMENTS
    assert len({name.casefold() for name in elements}) == len(elements)
    for name in elements:
        assert 0 < len(name) <= MAX_ELEMENT_CHARS
        assert name == clean_text(name)
        name.encode("utf-8")


@pytest.mark.parametrize(
    "unit", ["a cat ", "x", "'", "a ", "- ", "of a ", "a cating ", "red and ", " \u201c", "is ", "letter a "]
)
def test_ten_thousand_characters_are_split_within_a_second(unit: str) -> None:
    """The regular expressions must not take exponential time on hostile prompts."""
    prompt = (unit * 10_000)[:10_000]
    start = time.perf_counter()
    assert len(split_prompt(prompt)) <= MAX_SPLIT_ELEMENTS
    assert time.perf_counter() - start < 1.0


def test_prompts_of_drawn_scenes_give_the_elements_of_the_scenes() -> None:
    """A scene that is judged by its prompt alone gets the questions that it was drawn for."""
    from judge.scenes import draw_scene

    scores = []
    for seed in range(9_000, 9_060):
        sample = draw_scene(seed, 64).sample
        scores.append(precision_recall(split_prompt(sample.prompt), sample.elements or []))
    assert mean(recall for _, recall in scores) > 0.98
    assert mean(precision for precision, _ in scores) > 0.85


def test_elements_of_real_prompts_agree_with_those_written_by_people(shared_data: Path) -> None:
    """The limits lie below the measured values; a lower value means that a rule is broken.

    EvalMuse lists single words ("red", "ball") where this package checks one statement ("red ball"), so equal
    names are rarer than shared words.
    """
    rows = json.loads((shared_data / "evalmuse_alignment" / "prompt_t2i.json").read_text(encoding="utf-8"))
    pairs = [(split_prompt(prompt), list(row["element_score"])) for prompt, row in rows.items()]
    exact = [precision_recall(*pair) for pair in pairs]
    soft = [precision_recall(*pair, soft=True) for pair in pairs]
    assert mean(p for p, _ in exact) > 0.42 and mean(r for _, r in exact) > 0.39
    assert mean(p for p, _ in soft) > 0.73 and mean(r for _, r in soft) > 0.69
