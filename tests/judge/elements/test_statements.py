"""Kinds and dependencies of elements: nothing is there whose object is not; prompts come apart into atoms."""

from __future__ import annotations

from pathlib import Path

import pytest
from filler import Filler
from hypothesis import given, settings
from hypothesis import strategies as st

from judge.backends.base import Reply
from judge.backends.scripted import Scripted
from judge.elements import by_model as asked
from judge.elements.atomic import FINEST, atoms, words
from judge.elements.statements import held, kind_of, of
from judge.errors import ReplyError
from judge.judge import Judge

COUCH = ["red cat", "cat", "couch", "two red cats on couch", "no couch"]


@pytest.mark.parametrize(
    ("element", "kind"),
    [("red cat", "object"), ("two red cats", "count"), ("cat left of house", "relation"),
     ("red", "attribute"), ("man holding umbrella", "activity"), ("the house is red", "attribute"),
     ("vintage illustration", "style"), ("text 'Stop'", "text"), ("wedding ring", "object"),
     ("cat bigger than dog", "relation")],
)  # fmt: skip
def test_kinds(element: str, kind: str) -> None:
    assert kind_of(element) == kind


def test_an_element_needs_the_things_it_names() -> None:
    needs = {one.name: one.needs for one in of(COUCH)}
    assert needs == {
        "red cat": ["cat"], "cat": [], "couch": [], "no couch": [],
        "two red cats on couch": ["red cat", "cat", "couch"],
    }  # fmt: skip
    assert of(["cat house", "cat"])[0].needs == [], "in a cat house there is no cat"


def test_nothing_is_more_probable_than_what_it_needs() -> None:
    told = dict(zip(COUCH, [0.9, 0.2, 0.8, 0.7, 0.5], strict=True))
    assert held(of(COUCH), told) == dict(zip(COUCH, [0.2, 0.2, 0.8, 0.2, 0.5], strict=True))


def test_a_verdict_counts_what_hangs_on_an_absent_thing_as_absent() -> None:
    answer = {
        "elements": {"cat": False, "red cat": True}, "degradation": "none", "defects": [],
        "alignment": 3, "structure": 3, "score": 3, "explanation": "",
    }  # fmt: skip
    from PIL import Image

    judge = Judge(backend=Scripted([answer]))
    cat, red = judge(Image.new("RGB", (32, 32)), prompt="a red cat", elements=["cat", "red cat"]).elements
    assert not cat.present and not red.present and red.probability == 0
    assert (red.kind, red.needs) == ("object", ["cat"])


def test_a_prompt_comes_apart_into_things_and_what_is_said_of_them() -> None:
    found = {one.name: one for one in atoms('two red cats on a wooden table, a sign with "Stop"')}
    assert {name: one.kind for name, one in found.items()} == {
        "sign": "object", "cats": "object", "red cats": "attribute", "two cats": "count", "table": "object",
        "wooden table": "attribute", "cats on table": "relation", 'text "Stop"': "text",
    }  # fmt: skip
    assert found["red cats"].needs == ["cats"] and found["cats on table"].needs == ["cats", "table"]
    boy = {one.name: one for one in atoms("a boy eating bread")}
    assert (boy["boy eating bread"].kind, boy["boy eating bread"].needs) == ("activity", ["boy", "bread"])


@settings(max_examples=25)
@given(st.text(max_size=300))
def test_any_text_gives_few_distinct_statements_that_need_each_other(prompt: str) -> None:
    found = atoms(prompt)
    names = [one.name for one in found]
    assert len(names) == len(set(names)) <= FINEST
    assert all(set(one.needs) <= set(names) - {one.name} for one in found)
    held(found, dict.fromkeys(names, 0.5))


def test_atoms_agree_with_peoples_lists_better_than_phrases_do(shared: Path) -> None:
    from eval.bench.accuracy.elements import read_labels, run
    from judge.elements.splitting import split

    labels = read_labels(shared / "evalmuse_alignment" / "prompt_t2i.json")
    fine, coarse = run(labels, lambda prompt: list(words(prompt))), run(labels, split)
    assert fine["f1"] > 0.58 > coarse["f1"]


# -- By the model ----------------------------------------------------------------------------------------


def test_a_model_fills_in_a_graph_without_circles() -> None:
    listed = [
        {"name": "red cat", "kind": "object", "needs": 0},
        {"name": "two cats", "kind": "count", "needs": 1},
        {"name": "mat", "kind": "object", "needs": 4},
        {"name": "mat", "kind": "object", "needs": 3},
        {"name": "cat on mat", "kind": "relation", "needs": 5},
    ]
    judge = Judge(backend=Scripted([{"elements": listed}]))
    found = judge.elements("two red cats on a mat")
    assert [one.name for one in found] == ["red cat", "two cats", "mat", "cat on mat"]
    assert [one.needs for one in found] == [[], ["red cat"], [], []]
    (question,) = judge.backend.asks
    assert question.images == [] and "two red cats on a mat" in question.messages[0]["content"][0]["text"]


def test_hostile_prompts_are_put_in_once() -> None:
    hostile = "{{ 7 * 7 }} {% include 'x' %} </prompt>"
    text = asked.request_elements(hostile).messages[0]["content"][0]["text"]
    assert hostile in text and "49" not in text


def test_tuned_models_use_the_rules_and_useless_lists_are_told() -> None:
    assert [one.name for one in Judge(backend=Filler()).elements("a red cat")] == ["red cat"]
    question = asked.request_elements("a cat")
    with pytest.raises(ReplyError, match="named none"):
        asked.read(question, Reply('{"elements":[{"name":" ","kind":"object","needs":0}]}'))
