"""Instructions of an edit: what must be there, what must be gone, and what must be as before."""

from __future__ import annotations

import pytest

from judge.elements.edits import Edit, read_edit
from judge.elements.element_list import list_elements


@pytest.mark.parametrize(
    ("text", "there", "gone", "unchanged"),
    [
        ("replace the red car with a bicycle, keep the house", "a bicycle", ["red car"], ["house"]),
        ("Please swap the apple for a pear.", "a pear", ["apple"], []),
        ("turn the cat into a dog", "a dog", ["cat"], []),
        ("Remove the lamp and the chair from the room.", "", ["lamp", "chair"], []),
        ("get rid of the fence, add a gate", "a gate", ["fence"], []),
        ("change the color of the shirt from red to green", "green shirt", ["red shirt"], []),
        ("change the red car to blue", "blue car", ["red car"], []),
        ("change the background to a beach", "a beach", [], []),
        ("change the man's hair color to blonde", "man with blonde hair", [], []),
        ("change the number of apples from three to five", "five apples", [], []),
        ("Make the sky purple and add two moons", "purple sky. two moons", [], []),
        ("put a hat on the dog and leave everything else as it is", "a hat on the dog", [],
         ["everything else"]),
        ("replace the sky by a starry sky without changing the house", "a starry sky", [], ["house"]),
        ("replace 'OPEN' with 'CLOSED' on the sign", "'CLOSED' on the sign", ["'OPEN'"], []),
        ("把红色的车换成自行车，保持房子不变", "自行车", ["红色的车"], ["房子"]),
    ],
)  # fmt: skip
def test_instructions_are_read(text: str, there: str, gone: list[str], unchanged: list[str]) -> None:
    assert read_edit(text) == Edit(there, gone, unchanged)


@pytest.mark.parametrize(
    "text",
    ["a man removing his hat", "turn of the century street", "make a picture of a cat",
     "keep calm and carry on poster",
     "Turning leaves into gold, autumn art", "add to cart button", "a cat", ""],
)  # fmt: skip
def test_descriptions_are_no_instructions(text: str) -> None:
    assert read_edit(text) is None


def test_what_an_edit_keeps_is_compared_only_with_a_reference() -> None:
    prompt = "replace the car with a bicycle, keep the house and everything else"
    with_reference = list_elements(prompt, has_reference=True)
    names = [(s.name, s.kind, s.expected) for s in with_reference.statements]
    assert names == [
        ("bicycle", "object", True), ("house unchanged", "unchanged", True),
        ("everything else unchanged", "unchanged", True), ("car", "object", False),
    ]  # fmt: skip
    alone = list_elements(prompt)
    assert [s.name for s in alone.statements] == ["bicycle", "house", "car"]
    assert "without a reference image" in alone.notes[-1]
