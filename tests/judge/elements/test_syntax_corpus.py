"""The elements of prompts as people write them: what they ask for, and nothing that is junk or inverted."""

from __future__ import annotations

import pytest
from syntax_corpus import GROUPS, Case

from judge.elements.element_list import list_elements
from judge.elements.statements import singularise
from judge.elements.text import normalise_element


def find_problems(case: Case) -> list[str]:
    """Return what is missing, junk or inverted in the elements of a prompt."""
    statements = list_elements(case.prompt, case.negative_prompt).statements
    wanted, unwanted = ([s.name for s in statements if s.expected is flag] for flag in (True, False))
    problems = [f"missing: {phrase}" for phrase in case.asked if not is_named(phrase, wanted)]
    problems += [f"not excluded: {phrase}" for phrase in case.absent if not is_named(phrase, unwanted)]
    for word in case.never:
        names = unwanted if word.startswith("-") and len(word) > 2 else wanted
        bare = word.lstrip("-") if names is unwanted else word
        problems += [f"junk: {name!r}" for name in names if is_in(bare, name)]
    return problems


def is_named(phrase: str, names: list[str]) -> bool:
    return any(to_words(phrase) <= to_words(name) for name in names)


def is_in(word: str, name: str) -> bool:
    """Return whether a name has a word, or for marks and other scripts whether it contains them."""
    bare = word.casefold()
    return bare in name.casefold().split() if bare.isascii() and bare.isalnum() else bare in name.casefold()


def to_words(text: str) -> set[str]:
    return set(map(singularise, (normalise_element(text) or text).split()))


def test_at_least_nine_in_ten_prompts_are_clean() -> None:
    cases = [case for group in GROUPS.values() for case in group]
    problems = {case.prompt: found for case in cases if (found := find_problems(case))}
    assert len(cases) >= 80
    assert len(problems) <= 0.1 * len(cases), problems


@pytest.mark.parametrize("style", GROUPS)
def test_no_style_fails_more_often_than_once_in_five_prompts(style: str) -> None:
    problems = {case.prompt: found for case in GROUPS[style] if (found := find_problems(case))}
    assert len(problems) <= 0.2 * len(GROUPS[style]), problems


def test_no_element_repeats_in_any_prompt() -> None:
    for case in (case for group in GROUPS.values() for case in group):
        names = [statement.name for statement in list_elements(case.prompt, case.negative_prompt).statements]
        assert len({normalise_element(name) or name for name in names}) == len(names), names
