"""Cleaning, truncating and normalising the text of elements."""

from __future__ import annotations

from judge.elements.text import normalise_element, truncate


def test_long_phrases_are_cut_after_a_word() -> None:
    assert truncate("one two three", 9) == "one two"
    assert truncate("abcdef", 3) == "abc"


def test_normalised_elements_have_no_article_and_no_type() -> None:
    assert normalise_element("The Cat (animal-big) ") == "cat"
