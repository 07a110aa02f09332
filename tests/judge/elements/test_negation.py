"""Negated parts of a text become phrases that must not hold, and leave nothing behind."""

from __future__ import annotations

import pytest

from judge.elements.negation import split_negation


@pytest.mark.parametrize(
    ("text", "positive", "negated"),
    [
        ("a beach without people at sunset", "a beach at sunset", ["people"]),
        ("a street without cars or people", "a street", ["cars", "people"]),
        ("a forest without people, animals, or huts", "a forest", ["people", "animals", "huts"]),
        ("a forest without people, a boat and a lake", "a forest, a boat and a lake", ["people"]),
        ("a house without windows and a tree", "a house and a tree", ["windows"]),
        ("a room without windows and doors", "a room", ["windows", "doors"]),
        ("no people, no text", "", ["people", "text"]),
        ("a portrait, no glasses, blue eyes", "a portrait, blue eyes", ["glasses"]),
        ("a man with no hat riding a horse", "a man riding a horse", ["hat"]),
        ("a park without dogs running around", "a park", ["dogs running around"]),
        ("There are no people in the image.", "", ["people"]),
        ("a street with nobody in sight", "a street", ["people"]),
        ("neither cats nor dogs, a sofa", "a sofa", ["cats", "dogs"]),
        ("a robot with wheels instead of legs", "a robot with wheels", ["legs"]),
        ("a bicycle rather than a car", "a bicycle", ["car"]),
        ("a cat, not a dog, on a sofa", "a cat, on a sofa", ["dog"]),
        ("a dog and not a cat", "a dog", ["cat"]),
        ("the car is not red", "the car", ["car is red"]),
        ("a photo of a man who is not wearing a hat", "a photo of a man", ["man wearing a hat"]),
        ("The girl doesn't have a hat.", "The girl.", ["hat"]),
        ("A tree. Do not include any text or watermark.", "A tree.", ["text", "watermark"]),
        ("Never draw a watermark", "", ["watermark"]),
        ("a cloud-free sky over a lake", "a sky over a lake", ["cloud"]),
        ("a desk free of clutter with a lamp", "a desk with a lamp", ["clutter"]),
        ("a plate with no food on it", "a plate", ["food"]),
        ("a red ball, nothing else", "a red ball", ["other objects"]),
        ("not only a cat but also a dog", "a cat and a dog", []),
        ("没有人的海滩", "海滩", ["人"]),
        ("一只猫，不要狗和鸟，无水印", "一只猫", ["狗", "鸟", "水印"]),
        ("人のいない海岸", "海岸", ["人"]),
        ("文字なし、赤い車", "赤い車", ["文字"]),
        ("푸른 바다, 노란 배 없음", "푸른 바다", ["노란 배"]),
        ("una playa sin gente y con palmeras", "una playa con palmeras", ["gente"]),
        ("une plage sans personnes ni voitures", "une plage", ["personnes", "voitures"]),
        ("ein Strand ohne Menschen am Abend", "ein Strand am Abend", ["Menschen"]),
        ("una spiaggia senza persone", "una spiaggia", ["persone"]),
        ("пляж без людей", "пляж", ["людей"]),
        ("شاطئ بدون ناس", "شاطئ", ["ناس"]),
    ],
)  # fmt: skip
def test_negated_phrases_are_taken_out(text: str, positive: str, negated: list[str]) -> None:
    assert split_negation(text) == (positive, negated)


@pytest.mark.parametrize(
    "text",
    [
        "a sign that says 'no dogs without a leash'", "a no entry sign on a wall", "a no-smoking sign",
        "no. 5 perfume",
        "no more than three cats", "a gluten-free bread", "duty-free shop", "a never-ending road",
        "a sign saying NO DOGS",
        "a text in Comic Sans, a sans serif font", "a sin city",
        "a drone show", "一只无人机", "a knot and a note",
        "a person standing, no background", "Neverland at dusk",
    ],
)  # fmt: skip
def test_words_that_only_look_like_a_negation_stay(text: str) -> None:
    assert split_negation(text) == (text, [])
