"""The writing that prompts ask for."""

from __future__ import annotations

import pytest

from judge.elements.wanted_text import WantedText, find_wanted_texts

PROMPTS = {
    'a sign that says "OPEN LATE"': ["OPEN LATE"],
    "a cake with the caption “Happy Birthday, Anna”": ["Happy Birthday, Anna"],
    "two signs, 'Left' and ‘Right’": ["Left", "Right"],
    'a card shows this code: { "name": "Ann", "title": "Smith" }': ["name", "Ann", "title", "Smith"],
    "an inn called «Au Bon Coin»": ["Au Bon Coin"],
    "a mug labelled 'World's Best Dad'": ["World's Best Dad"],
    '"Hello," says the bubble': ["Hello"],
    "一家小店，招牌上写着“营业中”": ["营业中"],
    "看板に「営業中」": ["営業中"],
    "《红楼梦》的海报": ["红楼梦"],
    "a sign that says OPEN LATE at night": ["OPEN LATE"],
    "the word HELLO written on a wall": ["HELLO"],
    "HELLO written in the sand": ["HELLO"],
    "a poster with the text reading FRESH FISH, 50% OFF": ["FRESH FISH, 50% OFF"],
    "a t-shirt saying I love NY and a cap": ["I love NY"],
    "a storefront sign that says open late, at night": ["open late"],
    "A road sign says Welcome to Paris.": ["Welcome to Paris"],
    "a banner with the title Summer of Love in red": ["Summer of Love"],
    "a jersey with the number 23": ["23"],
    "a STOP sign": ["STOP"],
    "招牌上写着营业中的小店": ["营业中"],
    "海报，标语是加油，印有2024字样": ["加油", "2024"],
}
NO_TEXT = [
    "the dog's ball and the cats' toys, '90s style",
    "a woman reading a book on a bench",
    'a painting in the style of "Starry Night"',
    'a 12" robot beside a 10" cube',
    '{"style": {"name": "Minimal"}, "colour": "red"}',
    "a man of few words, a message in a bottle, a title page",
    "a cat, no text",
    "",
]


@pytest.mark.parametrize("prompt", PROMPTS)
def test_texts_are_found_with_and_without_quotation_marks(prompt: str) -> None:
    assert [wanted.text for wanted in find_wanted_texts(prompt)] == PROMPTS[prompt]


@pytest.mark.parametrize("prompt", NO_TEXT)
def test_what_is_no_writing_is_left_alone(prompt: str) -> None:
    assert find_wanted_texts(prompt) == []


def test_case_counts_where_the_sentence_asks_for_it() -> None:
    assert find_wanted_texts('"f-is-h" on a fish, all lowercase letters') == [WantedText("f-is-h", True)]
    assert find_wanted_texts('A sign says "open" in capitals. A "Sale" label.') == [
        WantedText("OPEN", True),
        WantedText("Sale"),
    ]


def test_a_text_that_must_be_absent_is_marked() -> None:
    [wanted] = find_wanted_texts('a shop without the word "SALE"')
    assert (wanted.text, wanted.expected) == ("SALE", False)
