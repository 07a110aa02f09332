"""A judge at an address behaves like one in this process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from serving import Gateway, png

from judge import Judge, Rubric
from judge.errors import InputError
from judge.types import Sample

PROMPT: dict[str, Any] = {"prompt": "a red circle and two cats"}
OTHER_RUBRIC_NOTE = "not the one of this installation"


def test_a_judge_at_an_address_has_the_calls_of_a_local_one(running: Gateway) -> None:
    judge = Judge(running.url)
    verdict = judge(png(), **PROMPT, id="7", reference=png())
    assert (verdict.id, verdict.status) == ("7", "scored")
    assert any("reference" in note for note in verdict.provenance.notes)
    assert not any(OTHER_RUBRIC_NOTE in note for note in verdict.provenance.notes)
    assert judge(png(), **PROMPT, depth="score").provenance.depth == "score"
    assert judge.compare(png(), png(), **PROMPT).preferred in ("a", "b", "tie")
    assert judge.unscored("why", id="3").reason == "why"
    assert Judge(running.url, rubric="quality")(png()).provenance.rubric == "quality"


def test_a_judge_at_an_address_sends_negative_prompts_and_its_limit(running: Gateway) -> None:
    judge = Judge(running.url, max_elements=2)
    verdict = judge(png(), prompt="a cat", negative_prompt="dog")
    assert [(e.name, e.expected) for e in verdict.elements] == [("cat", True), ("dog", False)]
    (row,) = judge.many([Sample(image=png(), prompt="a cat, a fish", negative_prompt="dog")])
    assert [e.name for e in row.elements] == ["cat", "fish"]
    assert "the limit is 2" in row.provenance.notes[0]
    (scored,) = judge._remote.client.scores([{"image": png(), "prompt": "a cat", "negative_prompt": "dog"}])  # type: ignore[union-attr]
    assert [e.expected for e in scored.elements] == [True, False]


def test_a_judge_at_an_address_raises_the_errors_of_a_local_one(running: Gateway) -> None:
    judge = Judge(running.url)
    with pytest.raises(InputError, match="prompt"):
        judge(png())
    with pytest.raises(InputError, match="depth"):
        judge(png(), **PROMPT, depth="deep")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no backend"):
        judge.backend  # noqa: B018


def test_many_samples_come_back_in_order(running: Gateway, tmp_path: Path) -> None:
    rows: list[Any] = [{"id": str(n), "image": png(), **PROMPT} for n in range(40)]
    rows[3]["image"] = tmp_path / "missing.png"
    rows[5] = Sample(id="5", image=png(), prompt="")
    rows[7]["prompt"] = "a broken cat"
    verdicts = list(Judge(running.url).many(iter(rows), batch=8))
    assert [verdict.id for verdict in verdicts] == [str(n) for n in range(40)]
    assert [n for n, verdict in enumerate(verdicts) if verdict.status == "unscored"] == [3, 5, 7]
    assert verdicts[0]._image is None
    with pytest.raises(InputError, match="batch"):
        Judge(running.url).many(rows, batch=0)
    first = next(iter(Judge(running.url).many(iter(rows), batch=2)))
    assert first.id == "0"


@pytest.mark.parametrize(
    "option",
    [
        {"adapter": "x"},
        {"backend": "transformers"},
        {"seed": 3},
        {"max_defects": 2},
        {"max_pixels": 100},
        {"device": "cpu"},
    ],
)
def test_options_that_the_server_decides_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(option))):
        Judge("http://127.0.0.1:9", **option)


def test_a_rubric_that_differs_from_the_servers_is_noted(running: Gateway) -> None:
    rubric = Rubric.load("quality").model_copy(update={"description": "another one"})
    notes = Judge(running.url, rubric=rubric)(png()).provenance.notes
    assert any(OTHER_RUBRIC_NOTE in note for note in notes)
