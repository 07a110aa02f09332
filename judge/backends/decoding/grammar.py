"""Compile a form to a grammar in EBNF, as xgrammar reads it: what a server may write, and nothing else.

The JSON schema of a form is not enough. It cannot say what training and the in-process decoding fix: that
boxes lie on a grid, that there is no whitespace, that text holds no quote, and above all how the answer is
split into tokens. `Speller` decides the last. With a tokenizer, every literal and label is spelled in its own
tokens, as in training. A server's reply then takes the same path token by token, and the mask leaves exactly
the labels at each blank. Without a tokenizer, they are spelled in characters.

Compiling the form of the default rubric with xgrammar 0.2.8 on one core takes (for a vocabulary of 1,024 /
151,000):

- JSON schema: 70 ms / 10 s; the same form with other elements 30 ms, from a cache.
- Characters with bounded text: 25 ms / 11 s, then 4 ms.
- Tokens or characters with unbounded text: 2 to 4 ms / 10 to 15 ms, without any cache.

The bound on the length of a text is what costs, so callers that can cut a text leave it out.

No grammar of reasonable size says that the second corner of a box lies beyond the first. A reply that breaks
this rule is continued from that corner: `form_to_ebnf` takes the answers so far and writes the rest, in which
the corner has only its allowed labels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache

from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Choice, Literal, Part, Repeat, Text, item_opening

Speller = Callable[[str], Sequence[str]]
"""A literal or a label -> EBNF terminals, in order."""


def token_speller(encode: Callable[[str], Iterable[int]]) -> Speller:
    """Return a speller in tokens.

    Args:
        encode: encodes a text by itself.

    Returns:
        The speller.
    """
    return lambda text: [f"Token({token})" for token in encode(text)]


def spell_in_characters(text: str) -> Sequence[str]:
    """Spell a text as one quoted string."""
    return [f'"{"".join(map(_escape, text))}"'] if text else []


def leading_literals(form: Form, answers: Iterable[str] = ()) -> list[str]:
    """Return the literals between the last of the answers and the next blank, or the end.

    Args:
        form: the form.
        answers: answers to the first blanks of its walk.

    Returns:
        The literals, in order.
    """
    walk, remaining, literals = form.walk(), deque(answers), list[str]()
    try:
        piece = next(walk)
        while remaining or isinstance(piece, Literal):
            answer = "" if isinstance(piece, Literal) else remaining.popleft()
            if isinstance(piece, Literal) and not remaining:
                literals.append(piece.text)
            piece = walk.send(answer)
    except StopIteration:
        pass
    return literals


def trailing_literal(form: Form) -> str:
    """Return the literal at the end of a form."""
    return form.parts[-1].text if isinstance(form.parts[-1], Literal) else ""


def max_label_count(form: Form) -> int:
    """Return the number of labels of the blank with the most labels."""
    return max(map(_label_count, form.parts))


def _label_count(part: Part) -> int:
    match part:
        case Choice(labels=labels):
            return len(labels)
        case Repeat():
            return max(2, *map(_label_count, part.item_parts))
    return 1


def max_token_count(form: Form) -> int:
    """Return a number of tokens that every filled form fits in, if no character takes more than one token."""
    return sum(map(_token_count, form.parts))


def _token_count(part: Part) -> int:
    match part:
        case Literal(text):
            return len(text.encode())
        case Choice(labels=labels):
            return max(len(label.encode()) for label in labels)
        case Text(max_chars=max_chars):
            return max_chars + 1
        case Repeat():
            return part.max * (2 + sum(map(_token_count, part.item_parts))) + 1


def form_to_ebnf(
    form: Form,
    speller: Speller,
    answers: Iterable[str] = (),
    *,
    limit_text: bool = True,
    remaining_chars: int | None = None,
    include_literals: bool = False,
) -> str:
    """Write the grammar from the first blank after `answers` to the last blank.

    The literals before the first blank and after the last are known and left to the caller
    (`leading_literals`, `trailing_literal`).

    Args:
        form: the form to fill.
        speller: how literals and labels are spelled.
        answers: answers to the first blanks of the form's walk.
        limit_text: limit free text to its length.
        remaining_chars: number of characters that may follow in the next text, part of which is written
            already.
        include_literals: include the literals before the first blank and after the last.

    Returns:
        The grammar; its root rule is `root`.
    """
    parts = form.parts[:-1] if trailing_literal(form) else form.parts
    writer = _GrammarWriter(speller, limit_text, remaining_chars)
    root = writer.write_rest(parts, deque(answers))
    if include_literals:
        first = [terminal for text in leading_literals(form, answers) for terminal in speller(text)]
        root = [*first, *root, *speller(trailing_literal(form))]
    lines = [f"root ::= {' '.join(root)}", *(f"{name} ::= {body}" for name, body in writer.rules.items())]
    return "\n".join(lines) + "\n"


class _GrammarWriter:
    """Writes expressions, and the rules that they refer to."""

    def __init__(self, speller: Speller, limit_text: bool, remaining_chars: int | None) -> None:
        self.speller, self.limit_text, self.remaining_chars = speller, limit_text, remaining_chars
        self.rules: dict[str, str] = {}
        self.names: dict[tuple[str, ...], str] = {}

    def write_rest(self, parts: Sequence[Part], answers: deque[str]) -> list[str]:
        """Write what follows the answered blanks, from a blank on; empty if there is no blank left."""
        values: dict[str, str] = {}
        for index, part in enumerate(parts):
            terminals: list[str] = []
            match part:
                case Repeat():
                    terminals = self._write_rest_of_list(part, answers)
                case Choice() | Text() if answers:
                    values[part.name] = answers.popleft()
                case Text() if self.remaining_chars is not None:
                    terminals = [self._text_rule(f"{{0,{self.remaining_chars}}}")]
                case Choice() | Text():
                    terminals = self._write_parts([part], values)
            if terminals:
                return terminals + self._write_parts(parts[index + 1 :], values)
        return []

    def _write_rest_of_list(self, repeat: Repeat, answers: deque[str]) -> list[str]:
        for index in range(repeat.max):
            if index >= repeat.min:
                if not answers:
                    return self._write_items(repeat, index)
                if answers.popleft() == "]":
                    return []
            if terminals := self.write_rest(repeat.item_parts, answers):
                return terminals + self._write_items(repeat, index + 1)
        return []

    def _write_parts(self, parts: Sequence[Part], values: Mapping[str, str]) -> list[str]:
        """Write every part in order. A corner whose opposite is in `values` has only the labels beyond it."""
        written: list[str] = []
        for part in parts:
            match part:
                case Literal(text):
                    written += self.speller(text)
                case Choice(labels=labels):
                    if part.greater_than in values:
                        least = int(values[part.greater_than])
                        labels = tuple(label for label in labels if int(label) > least)
                    written.append(self._labels_rule(labels))
                case Text(max_chars=max_chars):
                    written.append(self._text_rule(f"{{0,{max_chars}}}" if self.limit_text else "*"))
                case Repeat():
                    written += self._write_items(part, 0)
        return written

    def _write_items(self, repeat: Repeat, index: int) -> list[str]:
        """Write a list from the blank before the item with this index to the closing bracket."""
        close = " ".join(self.speller("]"))
        if index == repeat.max:
            return [close]
        item = self._rule(("item", repeat.name), " ".join(self._write_parts(repeat.item_parts, {})))
        after = " ".join(self._write_items(repeat, index + 1))
        more = " ".join([*self.speller(item_opening(index)), item, after])
        body = more if index < repeat.min else f"{more} | {close}"
        return [self._rule(("items", repeat.name, str(index)), body)]

    def _text_rule(self, repetition: str) -> str:
        return self._rule(("text", repetition), rf'[^"\\\x00-\x1f]{repetition} "\""')

    def _labels_rule(self, labels: tuple[str, ...]) -> str:
        return self._rule(labels, _spell_labels(self.speller, labels))

    def _rule(self, key: tuple[str, ...], body: str) -> str:
        """Return the name of the rule with a key. The rule is written when it is first used."""
        if key not in self.names:
            self.names[key] = f"r{len(self.names)}"
            self.rules[self.names[key]] = body
        return self.names[key]


@lru_cache(maxsize=256)  # most sets of labels are the rubric's, the same for every sample
def _spell_labels(speller: Speller, labels: tuple[str, ...]) -> str:
    return _write_alternatives([tuple(speller(label)) for label in labels])


def _write_alternatives(paths: Sequence[tuple[str, ...]]) -> str:
    """Write a choice between sequences of terminals; sequences with a common beginning share it."""
    groups: dict[str, list[tuple[str, ...]]] = {}
    for path in paths:
        groups.setdefault(path[0], []).append(path[1:])
    written = []
    for first, rests in groups.items():
        longer = [rest for rest in rests if rest]
        inner = _write_alternatives(longer) if longer else ""
        optional = ' | ""' if longer and len(longer) < len(rests) else ""
        written.append(f"{first} ({inner}{optional})" if longer else first)
    return " | ".join(written)


def _escape(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    return character if " " <= character <= "~" else f"\\U{ord(character):08x}"
