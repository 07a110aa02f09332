"""A form as a grammar in EBNF, the kind that xgrammar reads: what a server may write, and nothing else.

Why not the form's JSON schema: a schema cannot say what training and the walker fix, that boxes stand on a
grid, that no blank space is written, that text holds no quote, and above all into which tokens the answer is
cut. `Spell` decides the last: with a tokenizer at hand every literal and label is spelled in its tokens (each
piece on its own, as in training), so that a server's reply takes the walker's path token by token and the
mask leaves exactly the labels at each blank; without one, in characters.

Compiling the default rubric's form with xgrammar 0.2.8 on one core takes (vocabulary of 1,024 / 151,000):
JSON schema 70 ms / 10 s, and 30 ms for the same form with other elements, from a cache; characters with
bounded text 25 ms / 11 s, then 4 ms; tokens or characters with unbounded text 2 to 4 ms / 10 to 15 ms, with
no cache at all. What costs is the bound on a text's length, so who can cut a text leaves it off.

What no grammar says in reasonable size is that a box's second corner lies beyond its first. A reply that
breaks this is continued from the corner on: `ebnf` takes the answers given so far and writes the rest, in
which that corner has only the labels it may have.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from judge.rubrics.form import Choice, Form, Literal, Part, Repeat, Text, opening

Spell = Callable[[str], Sequence[str]]
"""A literal or a label as EBNF terminals, in order."""


def in_tokens(plain: Callable[[str], Iterable[int]]) -> Spell:
    """Spelling in tokens, given what encodes a text on its own."""
    return lambda text: [f"Token({token})" for token in plain(text)]


def in_characters(text: str) -> Sequence[str]:
    return [f'"{"".join(map(_escaped, text))}"'] if text else []


def before(form: Form, answers: Iterable[str] = ()) -> list[str]:
    """The literals between the last of the answers and the next blank, or the end."""
    walk, left, literals = form.walk(), deque(answers), list[str]()
    try:
        piece = next(walk)
        while left or isinstance(piece, Literal):
            answer = "" if isinstance(piece, Literal) else left.popleft()
            if isinstance(piece, Literal) and not left:
                literals.append(piece.text)
            piece = walk.send(answer)
    except StopIteration:
        pass
    return literals


def behind(form: Form) -> str:
    """The literal that a form ends with."""
    return form.parts[-1].text if isinstance(form.parts[-1], Literal) else ""


def widest(form: Form) -> int:
    """How many labels the blank with the most of them has."""
    return max(map(_width, form.parts))


def _width(part: Part) -> int:
    match part:
        case Choice(labels=labels):
            return len(labels)
        case Repeat():
            return max(2, *map(_width, part.parts))
    return 1


def longest(form: Form) -> int:
    """Tokens that any filled form fits into, if no text takes more than one for each of its characters."""
    return sum(map(_length, form.parts))


def _length(part: Part) -> int:
    match part:
        case Literal(text):
            return len(text.encode())
        case Choice(labels=labels):
            return max(len(label.encode()) for label in labels)
        case Text(max_chars=most):
            return most + 1
        case Repeat():
            return part.max * (2 + sum(map(_length, part.parts))) + 1


def ebnf(
    form: Form,
    spell: Spell,
    answers: Iterable[str] = (),
    *,
    bounded: bool = True,
    room: int | None = None,
    whole: bool = False,
) -> str:
    """The grammar from the first blank behind `answers` to the last. The literals before the one and after
    the other are known, and left to the caller (`before`, `behind`).

    Args:
        form: the form to fill.
        spell: how literals and labels are spelled.
        answers: what the walk's first blanks were answered.
        bounded: hold free text to its length.
        room: characters that may follow in the text that is next, of which some stand already.
        whole: with the literals before the first blank and after the last.
    """
    parts = form.parts[:-1] if behind(form) else form.parts
    writer = _Writer(spell, bounded, room)
    root = writer.rest(parts, deque(answers))
    if whole:
        first = [terminal for text in before(form, answers) for terminal in spell(text)]
        root = [*first, *root, *spell(behind(form))]
    lines = [f"root ::= {' '.join(root)}", *(f"{name} ::= {body}" for name, body in writer.rules.items())]
    return "\n".join(lines) + "\n"


class _Writer:
    """Writes expressions, and the rules that they refer to."""

    def __init__(self, spell: Spell, bounded: bool, room: int | None) -> None:
        self.spell, self.bounded, self.room = spell, bounded, room
        self.rules: dict[str, str] = {}
        self.named: dict[tuple[str, ...], str] = {}

    def rest(self, parts: Sequence[Part], answers: deque[str]) -> list[str]:
        """What follows the answered blanks, from a blank on; empty when there is none left."""
        told: dict[str, str] = {}
        for index, part in enumerate(parts):
            here: list[str] = []
            match part:
                case Repeat():
                    here = self._rest_of_list(part, answers)
                case Choice() | Text() if answers:
                    told[part.name] = answers.popleft()
                case Text() if self.room is not None:
                    here = [self._text(f"{{0,{self.room}}}")]
                case Choice() | Text():
                    here = self._all([part], told)
            if here:
                return here + self._all(parts[index + 1 :], told)
        return []

    def _rest_of_list(self, repeat: Repeat, answers: deque[str]) -> list[str]:
        for index in range(repeat.max):
            if index >= repeat.min:
                if not answers:
                    return self._items(repeat, index)
                if answers.popleft() == "]":
                    return []
            if here := self.rest(repeat.parts, answers):
                return here + self._items(repeat, index + 1)
        return []

    def _all(self, parts: Sequence[Part], told: Mapping[str, str]) -> list[str]:
        """Every part in order; corners whose opposite was told have only the labels beyond it."""
        written: list[str] = []
        for part in parts:
            match part:
                case Literal(text):
                    written += self.spell(text)
                case Choice(labels=labels):
                    if part.above in told:
                        labels = tuple(label for label in labels if int(label) > int(told[part.above]))
                    written.append(self._labels(labels))
                case Text(max_chars=longest):
                    written.append(self._text(f"{{0,{longest}}}" if self.bounded else "*"))
                case Repeat():
                    written += self._items(part, 0)
        return written

    def _items(self, repeat: Repeat, index: int) -> list[str]:
        """A list from the blank before its item of this index on, to its closing bracket."""
        close = " ".join(self.spell("]"))
        if index == repeat.max:
            return [close]
        item = self._rule(("item", repeat.name), " ".join(self._all(repeat.parts, {})))
        after = " ".join(self._items(repeat, index + 1))
        more = " ".join([*self.spell(opening(index)), item, after])
        body = more if index < repeat.min else f"{more} | {close}"
        return [self._rule(("items", repeat.name, str(index)), body)]

    def _text(self, many: str) -> str:
        return self._rule(("text", many), rf'[^"\\\x00-\x1f]{many} "\""')

    def _labels(self, labels: tuple[str, ...]) -> str:
        return self._rule(labels, _menu(self.spell, labels))

    def _rule(self, key: tuple[str, ...], body: str) -> str:
        """The name of the rule of this key, which is written at its first use."""
        if key not in self.named:
            self.named[key] = f"r{len(self.named)}"
            self.rules[self.named[key]] = body
        return self.named[key]


@lru_cache(maxsize=256)  # most menus are the rubric's, the same for every sample
def _menu(spell: Spell, labels: tuple[str, ...]) -> str:
    return _alternatives([tuple(spell(label)) for label in labels])


def _alternatives(paths: Sequence[tuple[str, ...]]) -> str:
    """One of several sequences of terminals, those that begin alike sharing their beginning."""
    groups: dict[str, list[tuple[str, ...]]] = {}
    for path in paths:
        groups.setdefault(path[0], []).append(path[1:])
    written = []
    for first, rests in groups.items():
        further = [rest for rest in rests if rest]
        inner = _alternatives(further) if further else ""
        optional = ' | ""' if further and len(further) < len(rests) else ""
        written.append(f"{first} ({inner}{optional})" if further else first)
    return " | ".join(written)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if " " <= character <= "~" else f"\\U{ord(character):08x}"
