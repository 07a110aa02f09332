"""Atomic statements: one for each thing, property, number, action and relation of a prompt."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from judge.elements.atomic import MAX_STATEMENTS, atomic_words, extract_atomic_statements
from judge.elements.splitting import split_prompt
from judge.elements.statements import Statement, cap_by_dependencies


def statements_by_name(prompt: str) -> dict[str, Statement]:
    return {statement.name: statement for statement in extract_atomic_statements(prompt)}


def test_a_prompt_is_taken_apart_into_things_and_statements_about_them() -> None:
    statements = statements_by_name('two red cats on a wooden table, a sign with "Stop"')
    assert {name: statement.kind for name, statement in statements.items()} == {
        "sign": "object", "cats": "object", "red cats": "attribute", "two cats": "count", "table": "object",
        "wooden table": "attribute", "cats on table": "relation", 'text "Stop"': "text",
    }  # fmt: skip
    assert statements["red cats"].needs == ["cats"]
    assert statements["cats on table"].needs == ["cats", "table"]


def test_a_verb_joins_two_things() -> None:
    statement = statements_by_name("a boy eating bread")["boy eating bread"]
    assert (statement.kind, statement.needs) == ("activity", ["boy", "bread"])


@settings(max_examples=25)
@given(st.text(max_size=300))
def test_statements_of_any_text_are_few_and_distinct_and_need_each_other(prompt: str) -> None:
    statements = extract_atomic_statements(prompt)
    names = [statement.name for statement in statements]
    assert len(names) == len(set(names)) <= MAX_STATEMENTS
    assert all(set(statement.needs) <= set(names) - {statement.name} for statement in statements)
    cap_by_dependencies(statements, dict.fromkeys(names, 0.5))


def test_atomic_words_agree_with_peoples_lists_better_than_phrases(shared_data: Path) -> None:
    from eval.bench.accuracy.elements import measure_splitting, read_labels

    labels = read_labels(shared_data / "evalmuse_alignment" / "prompt_t2i.json")
    atomic = measure_splitting(labels, lambda prompt: list(atomic_words(prompt)))
    phrases = measure_splitting(labels, split_prompt)
    assert atomic["f1"] > 0.58 > phrases["f1"]
