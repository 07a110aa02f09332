"""The splitters: ways to take statements out of a plain text, by name.

    GRAMMAR.split("two red cats on a wooden table")

- `rules`: phrases by the rules of `judge.elements.splitting`, refined by
`judge.elements.splitters.refinement`; needs nothing,
  takes microseconds.
- `grammar`: one statement for each thing, property, number, relation and activity, by a dependency parser
  (`judge.elements.grammar`); needs spaCy and an English pipeline.
- `words`: as fine, by the parts of speech of `judge.elements.atomic`; needs nothing.
- `model`: the judge's own model lists them; see `judge.elements.model_extraction`. It needs a backend, so it
is
  not in `SPLITTERS`.

All of them split text in other languages by `judge.elements.languages`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from judge.elements.atomic import extract_atomic_statements
from judge.elements.grammar import pipeline
from judge.elements.languages.clauses import split_by_language
from judge.elements.splitters.refinement import refine_statements
from judge.elements.splitting import split_prompt
from judge.elements.statements import Statement, annotate_elements
from judge.errors import InputError

SPLITTER_NAMES = ("auto", "rules", "grammar", "words", "model")
"""Values of the option `elements`; "auto" is the model for general models, else `default_splitter`."""
MAX_STATEMENTS = 200
"""Largest number of statements that a splitter returns by default."""


@dataclass(frozen=True)
class Splitter:
    """A way to take statements out of plain text."""

    name: str
    """As in `SPLITTER_NAMES`; verdicts name it in their provenance."""
    split_english: Callable[[str, int], list[Statement]]
    """Returns the statements of English text, at most as many as the number says."""
    detail: Callable[[], str] = lambda: ""
    """Returns what the result depends on besides this package, for example a spaCy pipeline."""

    def split(self, text: str, limit: int = MAX_STATEMENTS) -> list[Statement]:
        """Split a plain text.

        Args:
            text: text without the syntax of a generator and without negation, in any language.
            limit: largest number of statements.

        Returns:
            Statements with distinct names, in the order of the text; `needs` holds names of the same list.
        """
        statements = split_by_language(text, lambda part: self.split_english(part, limit))[:limit]
        names = {statement.name for statement in statements}
        return [
            statement
            if names.issuperset(statement.needs)
            else statement.model_copy(update={"needs": [name for name in statement.needs if name in names]})
            for statement in statements
        ]

    __call__ = split

    @property
    def label(self) -> str:
        """The name with what the result depends on, for example "grammar (en_core_web_sm 3.8.0)"."""
        detail = self.detail()
        return f"{self.name} ({detail})" if detail else self.name


def _split_into_phrases(text: str, limit: int) -> list[Statement]:
    return annotate_elements(split_prompt(text, limit))


def _split_by_rules(text: str, limit: int) -> list[Statement]:
    return refine_statements(_split_into_phrases(text, limit))[:limit]


def _split_by_grammar(text: str, limit: int) -> list[Statement]:
    from judge.elements.grammar.reading import read_statements

    return read_statements(text)[:limit]


PHRASES = Splitter("rules", _split_into_phrases, lambda: "phrases")
"""The rules without their last step: "two red cats" stays one element. Models that were tuned on the scenes
of this package get such elements for prompts in the words of the scenes, as in their training."""
RULES = Splitter("rules", _split_by_rules)
GRAMMAR = Splitter("grammar", _split_by_grammar, pipeline.pipeline_version)
WORDS = Splitter("words", extract_atomic_statements)
SPLITTERS = {splitter.name: splitter for splitter in (RULES, GRAMMAR, WORDS)}
"""The splitters that need no model."""


def default_splitter() -> Splitter:
    """Return `GRAMMAR` if spaCy and an English pipeline are installed, else `RULES`."""
    return GRAMMAR if pipeline.is_available() else RULES


def find_splitter(name: str) -> Splitter:
    """Return a splitter that needs no model.

    Args:
        name: rules, grammar, words, or auto for the default.

    Raises:
        InputError: `grammar` is not installed.
    """
    if name == "auto":
        return default_splitter()
    if name == "model":
        raise InputError("elements", name, "rules, grammar or words here", "there is no model to ask")
    if name == "grammar" and not pipeline.is_available():
        raise InputError("elements", name, "rules, words or model in this installation", HOW_TO_INSTALL)
    return SPLITTERS[name]


HOW_TO_INSTALL = (
    'install spaCy and an English pipeline: pip install "judge[nlp]" && '
    "python -m spacy download en_core_web_sm"
)
"""What to do to split by grammar."""


def check_splitter(name: Any, field: str = "elements") -> str:
    """Return the name of a splitter.

    Args:
        name: one of `SPLITTER_NAMES`.
        field: name of the argument, for the error.

    Raises:
        InputError: the name is unknown.
    """
    if name not in SPLITTER_NAMES:
        near = get_close_matches(str(name), SPLITTER_NAMES, n=1)
        mend = f"did you mean {near[0]!r}?" if near else "use one of them"
        raise InputError(field, name, ", ".join(SPLITTER_NAMES), mend)
    return str(name)
