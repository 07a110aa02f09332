"""How far a wanted text is from what was read."""

from __future__ import annotations

import pytest
from writing import line

from judge.evidence.text_matching import match_text

SAME = [
    ("OPEN LATE", ["open late"]),
    ("OPEN LATE", ["OPENLATE"]),
    ("OPEN LATE", ["WE ARE OPEN LATE TODAY"]),
    ("Happy Birthday, Anna!", ["Happy", "Birthday", "Anna"]),
    ("CELEBRATION", ["CELE-", "BRATION"]),
    ("well-known", ["well-", "known"]),
    ("f-is-h", ["f-is-h"]),
    ("GOOD MORNING", ["GOOD-MORNING"]),
    ("don't", ["don’t"]),
    ("OPEN 24", ["ＯＰＥＮ　２４"]),
    ("营业中", ["今日营业中"]),
    ("营业中 OPEN", ["营业中OPEN"]),
    ("今日特价：牛肉面8元", ["今日特价:", "牛肉面 8元"]),
    ("3.50", ["only 3.50 today"]),
    ("谢谢", ["谢谢"]),
]
OTHER = [
    ("HELLO", ["HELLOO"], 1),
    ("HELLO", ["HELO"], 1),
    ("HELLO", ["HALLO"], 1),
    ("OPEN", ["0PEN"], 1),
    ("ALL", ["A11"], 2),
    ("OPEN", ["OPENING"], 3),
    ("CAFE", ["CAFÉ"], 1),
    ("f-is-h", ["fish"], 2),
    ("fish", ["f-is-h"], 2),
    ("3.50", ["350"], 1),
    ("50%", ["50"], 1),
    ("营业中", ["营营业中"], 1),
    ("营业中", ["营业中中"], 1),
    ("营业中", ["营业"], 1),
    ("2035年", ["2305年"], 2),
]


@pytest.mark.parametrize(("wanted", "read"), SAME)
def test_what_does_not_count_is_no_difference(wanted: str, read: list[str]) -> None:
    match = match_text(wanted, [line(text, 0, 30 * n) for n, text in enumerate(read)])
    assert match.is_exact and match.similarity == 1 and match.box is not None


@pytest.mark.parametrize(("wanted", "read", "distance"), OTHER)
def test_every_other_difference_counts(wanted: str, read: list[str], distance: int) -> None:
    match = match_text(wanted, [line(text, 0, 30 * n) for n, text in enumerate(read)])
    assert match.distance == distance and not match.is_exact


def test_case_counts_if_it_is_asked_for_where_a_reader_can_tell_it() -> None:
    assert not match_text("HELLO", [line("hello")], case_counts=True).is_exact
    assert match_text("HELLO", [line("HELLo")], case_counts=True).is_exact, "o and O differ by size alone"


def test_the_best_of_several_places_counts_and_has_the_box() -> None:
    match = match_text("OPEN", [line("OPNE", 0, 0), line("we are OPEN", 200, 300)])
    assert match.is_exact and match.read == "OPEN"
    assert match.box is not None and match.box[0] > 250 and match.box[1] == 300


def test_nothing_similar_has_no_place() -> None:
    for lines in ([], [line("####")], [line("zzzz")]):
        match = match_text("OPEN", lines)
        assert (match.read, match.box, match.similarity) == ("", None, 0)


def test_lines_of_another_block_do_not_stand_between_the_words() -> None:
    lines = [line("FRESH", 0, 0), line("BUS", 300, 4), line("FISH", 0, 24), line("STOP", 300, 28)]
    assert match_text("FRESH FISH", lines).is_exact and match_text("BUS STOP", lines).is_exact
