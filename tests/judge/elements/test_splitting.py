"""Elements: what is checked comes from the prompt, so a lost or invented one silently moves the score."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from judge.elements.splitting import LIMIT, MAX_CHARS, agreement, clean, normalise, shorten, split


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
def test_statements_a_reader_would_check_are_found(prompt: str, elements: list[str]) -> None:
    assert sorted(split(prompt)) == sorted(elements)


@pytest.mark.parametrize("prompt", ["", "   ", "!!! ...", "\x00\n"])
def test_a_prompt_without_a_word_has_no_elements(prompt: str) -> None:
    assert split(prompt) == []


def test_a_prompt_no_rule_reads_is_one_element() -> None:
    assert split("left of") == ["left of"]


@given(st.text(max_size=300))
def test_any_text_gives_few_short_printable_distinct_elements(prompt: str) -> None:
    """The form writes names as JSON keys: a double, an endless or a control-laden one would break it."""
    found = split(prompt)
    assert len(found) <= LIMIT
    assert len({name.casefold() for name in found}) == len(found)
    for name in found:
        assert 0 < len(name) <= MAX_CHARS
        assert name == clean(name)
        name.encode("utf-8")


@pytest.mark.parametrize(
    "bit", ["a cat ", "x", "'", "a ", "- ", "of a ", "a cating ", "red and ", " \u201c", "is ", "letter a "]
)
def test_ten_thousand_characters_are_split_at_once(bit: str) -> None:
    """Rules made of regular expressions must not take exponential time on hostile prompts."""
    prompt = (bit * 10_000)[:10_000]
    start = time.perf_counter()
    assert len(split(prompt)) <= LIMIT
    assert time.perf_counter() - start < 1.0


def test_long_phrases_are_cut_at_a_word() -> None:
    assert shorten("one two three", 9) == "one two"
    assert shorten("abcdef", 3) == "abc"


def test_agreement_counts_equal_names_and_softly_shared_words() -> None:
    assert agreement(["Red cat", "dog"], ["a red cat (animal)"]) == (0.5, 1.0)
    precision, recall = agreement(["red cat"], ["cat", "red"], soft=True)
    assert precision == recall == pytest.approx(2 / 3)
    assert agreement([], []) == (1.0, 1.0)
    assert agreement([], ["cat"]) == (0.0, 0.0)
    assert normalise("The Cat (animal-big) ") == "cat"


def test_scene_prompts_give_back_the_elements_they_were_written_from() -> None:
    """A scene judged by its prompt alone is asked the questions it was drawn for."""
    from judge.scenes import draw

    scores = []
    for seed in range(9_000, 9_060):
        sample = draw(seed, 64).sample
        scores.append(agreement(split(sample.prompt), sample.elements or []))
    assert mean(recall for _, recall in scores) > 0.98
    assert mean(precision for precision, _ in scores) > 0.85


def test_real_prompts_agree_with_elements_written_by_people(shared: Path) -> None:
    """EvalMuse lists single words ("red", "ball") where one statement is checked here ("red ball"), so
    equal names are rarer than shared words; a fall below these floors means a rule broke."""
    rows = json.loads((shared / "evalmuse_alignment" / "prompt_t2i.json").read_text(encoding="utf-8"))
    exact = [agreement(split(prompt), list(row["element_score"])) for prompt, row in rows.items()]
    soft = [agreement(split(prompt), list(row["element_score"]), soft=True) for prompt, row in rows.items()]
    assert mean(p for p, _ in exact) > 0.42 and mean(r for _, r in exact) > 0.39
    assert mean(p for p, _ in soft) > 0.73 and mean(r for _, r in soft) > 0.69
