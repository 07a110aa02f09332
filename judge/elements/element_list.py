"""The elements of a prompt, from its text to a list of statements that must hold or must not hold.

The steps: the syntax of generators (`judge.elements.prompt_syntax`), instructions of an edit
(`judge.elements.edits`), negation (`judge.elements.negation`), a splitter for the plain text that remains,
and the limit of the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from judge.elements.edits import EVERYTHING_ELSE, Edit, read_edit
from judge.elements.negation import split_negation, strip_articles
from judge.elements.prompt_syntax import PlainPrompt, read_negative_prompt, read_prompt
from judge.elements.splitting import QUOTED_TEXT, split_prompt
from judge.elements.statements import Statement, annotate_elements, classify_element, singularise
from judge.elements.text import clean_text, normalise_element, truncate

MAX_LISTED_ELEMENTS = 24
"""Default of the largest number of elements of one prompt."""
MAX_GIVEN_ELEMENTS = 64
"""Elements that a caller may give; those of the negative prompt do not go beyond it."""
MAX_SPLIT = 200
"""Largest number of elements that a splitter is asked for; those above the limit are counted in a note."""

_ONLY = re.compile(r"(^|[,.;:]\s+)(?:only|just|simply)\s+(?=(?:an?|the|one|two|three|some)\b)", re.I)
"""Words before a thing that do not describe it."""

GIVEN = "given"
"""`ElementList.splitter` of statements that the caller gave."""

Splitter = Callable[[str, int], list[Statement]]
"""Returns the statements of a plain text without negation; the number is the largest number of statements."""


@dataclass(frozen=True)
class ElementList:
    """The elements of one prompt."""

    statements: list[Statement]
    """Distinct statements in the order of the prompt; those that must not hold stand last."""
    prompt: PlainPrompt
    """The prompt without the syntax of a generator."""
    notes: list[str] = field(default_factory=list)
    """What the reader of a verdict should know about the list."""
    is_edit: bool = False
    """Whether the prompt is an instruction of an edit."""
    splitter: str = ""
    """How the statements were listed, for example "rules" or "grammar (en_core_web_sm 3.8.0)"."""

    def without_statements(self) -> ElementList:
        """Return the list without any element."""
        return replace(self, statements=[], notes=[])


def split_by_rules(text: str, limit: int) -> list[Statement]:
    """Split plain text by the rules of `judge.elements.splitting`."""
    return annotate_elements(split_prompt(text, limit))


def list_elements(
    prompt: str,
    negative_prompt: str = "",
    *,
    split: Splitter = split_by_rules,
    limit: int = MAX_LISTED_ELEMENTS,
    has_reference: bool = False,
) -> ElementList:
    """List the elements of a prompt.

    Args:
        prompt: the prompt as its author wrote it, with line ends.
        negative_prompt: what the image must not show.
        split: takes the elements out of plain text.
        limit: largest number of elements.
        has_reference: whether the judge is shown the source of an edit, so that what must be unchanged can be
            checked.

    Returns:
        The elements, with a note for whatever was read as syntax or left out.
    """
    plain, excluded = read_prompt(prompt), read_negative_prompt(negative_prompt)
    notes = [*plain.notes, *excluded.notes]
    edit = read_edit(plain.text)
    text, negated = split_negation(_ONLY.sub(r"\1", edit.text if edit else plain.text))
    wanted = _name_choices(split(text, MAX_SPLIT), plain) if text else []
    if edit:
        wanted = _add_unchanged(wanted, edit, has_reference, notes)
    wanted = remove_repeated(wanted)
    phrases = [*(edit.gone if edit else []), *negated, *plain.negative, *excluded.negative]
    unwanted = _to_statements(phrases, wanted, notes)
    label = getattr(split, "label", "rules")
    statements = limit_statements(wanted, unwanted, limit, notes)
    return ElementList(statements, plain, notes, edit is not None, label)


def list_given_elements(prompt: str, elements: Sequence[str], negative_prompt: str = "") -> ElementList:
    """List statements that the caller gave, and what the negative prompt excludes.

    Args:
        prompt: the prompt; only its syntax is read.
        elements: distinct statements, all of them kept.
        negative_prompt: what the image must not show.
    """
    excluded, notes = read_negative_prompt(negative_prompt), list[str]()
    wanted = annotate_elements(elements)
    unwanted = _to_statements(excluded.negative, wanted, notes)[: max(0, MAX_GIVEN_ELEMENTS - len(wanted))]
    return ElementList([*wanted, *unwanted], read_prompt(prompt), [*excluded.notes, *notes], splitter=GIVEN)


def shown_text(listed: ElementList) -> str:
    """Return the text of the prompt for a model that was trained on plain prompts."""
    return listed.prompt.name_choices(split_negation(listed.prompt.text)[0])


def _name_choices(statements: list[Statement], plain: PlainPrompt) -> list[Statement]:
    """Put all alternatives of a choice into the names of the statements about it."""
    if not plain.choices:
        return statements
    names = {statement.name: truncate(plain.name_choices(statement.name)) for statement in statements}
    return [
        statement.model_copy(
            update={
                "name": names[statement.name],
                "needs": [names.get(name, name) for name in statement.needs],
            }
        )
        for statement in statements
    ]


def _add_unchanged(
    wanted: list[Statement], edit: Edit, has_reference: bool, notes: list[str]
) -> list[Statement]:
    """Add what an edit keeps: as it is in the reference, or without one its presence."""
    if has_reference:
        kept = [Statement(name=truncate(f"{name} unchanged"), kind="unchanged") for name in edit.unchanged]
        return [*wanted, *kept]
    if edit.unchanged:
        listed = ", ".join(edit.unchanged)
        notes.append(
            f"without a reference image only the presence of what the edit keeps is checked: {listed}"
        )
    names = [name for name in edit.unchanged if name != EVERYTHING_ELSE]
    return annotate_elements(list(dict.fromkeys([*(s.name for s in wanted), *map(truncate, names)])))


def remove_repeated(statements: Iterable[Statement]) -> list[Statement]:
    """Return the statements without those that repeat an earlier one in other letters, articles or marks."""
    kept: dict[str, Statement] = {}
    for statement in statements:
        kept.setdefault(_key(statement.name), statement)
    names = {statement.name for statement in kept.values()}
    return [
        statement
        if all(name in names for name in statement.needs)
        else statement.model_copy(update={"needs": [name for name in statement.needs if name in names]})
        for statement in kept.values()
    ]


def _key(name: str) -> str:
    return normalise_element(name) or name.casefold()


def _to_statements(phrases: Iterable[str], wanted: Sequence[Statement], notes: list[str]) -> list[Statement]:
    """Return a statement that must not hold for each phrase."""
    positive = {_singular_key(statement.name) for statement in wanted}
    found: dict[str, Statement] = {}
    for phrase in phrases:
        name = truncate(clean_text(_unquote(strip_articles(phrase))))
        if not re.search(r"\w", name):
            continue
        if _singular_key(name) in positive:
            notes.append(
                f"the prompt both asks for and excludes {name!r}: it counts as an element that must be there"
            )
            continue
        found.setdefault(
            _singular_key(name), Statement(name=name, kind=classify_element(name), expected=False)
        )
    return list(found.values())


def _singular_key(name: str) -> str:
    return " ".join(map(singularise, _key(name).split()))


def _unquote(phrase: str) -> str:
    quoted = QUOTED_TEXT.fullmatch(phrase.strip())
    return next(filter(None, quoted.groups()), phrase) if quoted else phrase


def limit_statements(
    wanted: list[Statement], unwanted: list[Statement], limit: int, notes: list[str]
) -> list[Statement]:
    """Return at most `limit` statements, the most specific ones, in their order.

    What must be there goes before what must not. A statement of more words is more specific; one that others
    need says nothing that they do not say.

    Args:
        wanted: statements that must hold.
        unwanted: statements that must not hold.
        limit: largest number.
        notes: a note with the number of statements left out is appended.
    """
    total = len(wanted) + len(unwanted)
    more = " or more" if len(wanted) >= MAX_SPLIT else ""
    if total <= limit:
        return [*wanted, *unwanted]
    needed = {name for statement in wanted for name in statement.needs}
    order = sorted(
        range(len(wanted)), key=lambda n: (wanted[n].name in needed, -len(wanted[n].name.split()), n)
    )
    chosen = sorted(order[:limit])
    kept = [wanted[n] for n in chosen] + unwanted[: max(0, limit - len(wanted))]
    names = {statement.name for statement in kept}
    left_out = [s for s in (*wanted, *unwanted) if s.name not in names]
    notes.append(
        f"{total}{more} elements were found, the limit is {limit}: {len(left_out)} are not checked, the "
        f"least specific ones: {_join(left_out)}"
    )
    return [s.model_copy(update={"needs": [name for name in s.needs if name in names]}) for s in kept]


def _join(statements: Sequence[Statement], count: int = 6) -> str:
    listed = "; ".join(statement.name for statement in statements[:count])
    return listed + (f"; and {len(statements) - count} more" if len(statements) > count else "")
