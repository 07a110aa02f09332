"""Lists of elements: nothing repeats, nothing is cut silently, contradictions are said."""

from __future__ import annotations

import time

import pytest

from judge.elements.element_list import MAX_LISTED_ELEMENTS, list_elements, list_given_elements, shown_text
from judge.elements.splitting import split_prompt
from judge.elements.text import normalise_element

MANY = ", ".join(f"a {color} {thing}" for color in ("red", "blue", "green", "old", "new")
                 for thing in ("cat", "dog", "hat", "car", "cup", "bed"))  # fmt: skip


def test_more_elements_than_the_limit_are_a_note_with_their_number() -> None:
    listed = list_elements(MANY)
    assert len(listed.statements) == MAX_LISTED_ELEMENTS == 24
    (note,) = listed.notes
    assert "30 elements were found, the limit is 24: 6 are not checked" in note
    assert list_elements(MANY, limit=64).notes == []


def test_the_most_specific_elements_stay_in_the_order_of_the_prompt() -> None:
    prompt = "snow, a red cat on a mat, fog, two black dogs under a round table"
    listed = list_elements(prompt, "rain", limit=4)
    names = [statement.name for statement in listed.statements]
    assert names == ["snow", "red cat on mat", "fog", "two black dogs under round table"]
    assert "rain" in listed.notes[-1]
    assert all(set(statement.needs) <= set(names) for statement in listed.statements)


def test_what_must_be_there_goes_before_what_must_not() -> None:
    listed = list_elements("a cat, a dog", ", ".join(f"thing {n}" for n in range(40)), limit=5)
    assert [s.name for s in listed.statements] == ["cat", "dog", "thing 0", "thing 1", "thing 2"]


def test_nothing_repeats() -> None:
    listed = list_elements("a cat, Cat, the cat! --no dogs, dog, a dog", "Dogs")
    assert [(s.name, s.expected) for s in listed.statements] == [("cat", True), ("dogs", False)]


def test_what_is_asked_for_and_excluded_counts_as_asked_for() -> None:
    listed = list_elements("a red cat and a mat --no red cats")
    assert all(statement.expected for statement in listed.statements)
    assert "both asks for and excludes 'red cats'" in listed.notes[-1]


def test_elements_of_the_caller_are_kept_and_the_negative_prompt_is_added() -> None:
    listed = list_given_elements("a cat --no dog", ["a cat", "no hat"], "(bird:1.2), blurry")
    assert [(s.name, s.expected) for s in listed.statements] == [
        ("a cat", True), ("no hat", True), ("bird", False),
    ]  # fmt: skip


def test_alternatives_are_one_element() -> None:
    listed = list_elements("a {red|blue} car next to a [cat|dog]")
    names = [statement.name for statement in listed.statements]
    assert names == ["red or blue car", "cat or dog", "red or blue car next to cat or dog"]
    assert shown_text(listed) == "a red or blue car next to a cat or dog"
    assert listed.statements[2].needs == names[:2]


def test_prompts_of_drawn_scenes_keep_their_elements() -> None:
    from judge.scenes import draw_scene

    for seed in range(9_000, 9_060):
        prompt = draw_scene(seed, 64).sample.prompt
        listed = list_elements(prompt)
        assert [statement.name for statement in listed.statements] == split_prompt(prompt)
        assert listed.notes == [] and shown_text(listed) == prompt


@pytest.mark.parametrize(
    "unit",
    ["a red cat under two trees, ", "(a red cat:1.2), best quality, ", "a street without cars, no dogs. ",
     "- a man holding an umbrella\n", "a {red|blue} car, "],
)  # fmt: skip
def test_ten_thousand_characters_take_less_than_fifty_milliseconds(unit: str) -> None:
    def seconds() -> float:
        start = time.process_time()
        list_elements((unit * 10_000)[:10_000])
        return time.process_time() - start

    assert min(seconds() for _ in range(8)) < 0.05


def test_no_name_is_empty_or_only_marks() -> None:
    for prompt in (
        "--no",
        "::",
        "()",
        "(:1.2)",
        "{|}",
        "[::0.5]",
        "Negative prompt:",
        "no",
        "without",
        "--no ,,",
    ):
        assert all(normalise_element(s.name) for s in list_elements(prompt).statements), prompt
