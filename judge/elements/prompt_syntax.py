"""Read the syntax of image generators in a prompt: what remains is plain text.

`read_prompt` is the entry; `READERS` is the table of the dialects, in the order in which they are read. Texts
in quotes, addresses and file names are never changed. Its result goes to
`judge.elements.element_list.list_elements`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from judge.elements.lexicon import ARTICLES
from judge.elements.syntax.boilerplate import NEGATIVE_QUALITY, is_boilerplate, read_boilerplate
from judge.elements.syntax.documents import join_lines, read_html, read_markdown
from judge.elements.syntax.metadata import (
    read_composition,
    read_image_addresses,
    read_metadata,
    read_multi_prompt,
    read_parameters,
)
from judge.elements.syntax.reading import Reader, Reading, remove_marks
from judge.elements.syntax.structured import read_json, read_key_lines
from judge.elements.syntax.tags import read_board_tags, read_score_tags
from judge.elements.syntax.weights import read_bare_weights, read_brackets, read_networks, read_wildcards
from judge.elements.text import CONTROL_CHARACTERS, clean_text

DOCUMENT_READERS: tuple[Reader, ...] = (read_json, read_image_addresses, read_html)
"""Readers of the whole text; quotation marks are part of their syntax."""
READERS: tuple[Reader, ...] = (
    read_networks,
    read_markdown,
    read_metadata,
    read_parameters,
    read_key_lines,
    read_wildcards,
    read_brackets,
    read_multi_prompt,
    read_composition,
    read_bare_weights,
    read_score_tags,
    read_board_tags,
    read_boilerplate,
)
"""Readers that leave quoted texts alone."""
NEGATIVE_READERS: tuple[Reader, ...] = (
    read_networks, read_markdown, read_wildcards, read_brackets, read_multi_prompt, read_composition,
    read_bare_weights,    read_score_tags, read_board_tags,
)  # fmt: skip
"""Readers of a negative prompt."""
_PHRASE_END = re.compile(r"\s*[,，、;；|\n。]\s*|[.!?]\s+|[.!?]$")
_NEGATING_PREFIX = re.compile(
    r"^(?:(?:please\s+)?(?:no|not|without|avoid|exclude|never|any|(?:do not|don't|dont|must not|should not)"
    r"(?:\s+(?:include|show|add|draw|use|contain|have|want|be))?)\s+)+(?:any\s+)?",
    re.I,
)
MAX_PLACED_CHOICES = 16
"""Of this many choices an alternative is looked for whose words stand nowhere else in the prompt."""
MAX_CHOICES = 6
"""Number of alternatives that an element names; the others are counted in a note."""


@dataclass(frozen=True)
class PlainPrompt:
    """A prompt without the syntax of a generator."""

    text: str
    """Plain clauses on one line. Line ends and items of lists have become sentence ends. Of alternatives the
    text has one."""
    negative: list[str] = field(default_factory=list)
    """Phrases that the image must not show, from a negative prompt, `--no` or a negative weight."""
    style: list[str] = field(default_factory=list)
    """Phrases about quality and fashion that name nothing in the image, such as "masterpiece"."""
    settings: dict[str, str] = field(default_factory=dict)
    """Settings of the generator, such as `steps` or `ar`."""
    notes: list[str] = field(default_factory=list)
    """What was read as syntax, for the verdict's notes."""
    choices: list[tuple[str, ...]] = field(default_factory=list)
    """Alternatives of which the image shows one; the first is the one in `text`."""

    def name_choices(self, text: str) -> str:
        """Return a text with "a or b" in place of the alternative that stands in `PlainPrompt.text`."""
        for first, *others in self.choices:
            named = " or ".join([first, *others[: MAX_CHOICES - 1]])
            pattern = re.compile(rf"(?<!\w){re.escape(first)}(?!\w)", re.I)
            text = pattern.sub(named.replace("\\", "\\\\"), text)
        return text


def read_prompt(text: str) -> PlainPrompt:
    """Read a prompt.

    Args:
        text: the prompt as its author wrote it, with line ends.

    Returns:
        The plain prompt; ordinary text without line ends is returned unchanged.
    """
    source = _clean_lines(text)
    reading = Reading(source)
    for read in DOCUMENT_READERS:
        read(reading)
    # Escapes in JSON and HTML may stand for the characters of the marks.
    reading.text = remove_marks(reading.text)
    reading.negative = list(map(remove_marks, reading.negative))
    reading.protect()
    for read in READERS:
        read(reading)
    if not reading.found and "\n" not in source:
        return PlainPrompt(clean_text(source))
    plain, choices = _choose(reading, join_lines(reading.text))
    negative, aside = _read_negatives(reading, reading.negative)
    notes = reading.notes() + _quality_notes(aside)
    notes += [
        f"{len(c)} alternatives: any of them counts; {MAX_CHOICES} are named"
        for c in choices
        if len(c) > MAX_CHOICES
    ]
    style = [reading.describe(phrase) for phrase in reading.style]
    settings = {name: reading.describe(value) for name, value in reading.settings.items()}
    return PlainPrompt(_tidy(reading.restore(plain)), negative, style, settings, notes, choices)


def read_negative_prompt(text: str) -> PlainPrompt:
    """Read a text all of which says what the image must not show.

    Args:
        text: the negative prompt, as for `read_prompt`.

    Returns:
        A prompt without text, with the phrases in `negative`.
    """
    reading = Reading(_clean_lines(text))
    negative, aside = _read_negatives(reading, [reading.text])
    return PlainPrompt("", negative, notes=reading.notes() + _quality_notes(aside))


def _clean_lines(text: str) -> str:
    """Return a text whose only control characters are line ends."""
    text = remove_marks(re.sub(r"\r\n?|[\u2028\u2029]|\\n(?=\s*(?:[A-Z\d*•-]|$))", "\n", text))
    text = CONTROL_CHARACTERS.sub(lambda match: match.group(0) if match.group(0) == "\n" else " ", text)
    return text.encode("utf-8", "ignore").decode("utf-8").strip()


def _choose(reading: Reading, text: str) -> tuple[str, list[tuple[str, ...]]]:
    """Put one alternative into the text for each mark, one whose words stand nowhere else if there is one.

    Returns:
        The text, and the alternatives of each choice, the one in the text first and all without articles.
    """
    choices: list[tuple[str, ...]] = []
    chosen: dict[int, str] = {}
    rest, marks = f" {text.casefold()} ", set(map(int, re.findall("\ue002(\\d+)\ue003", text)))
    for number, options in enumerate(reading.choices):
        flat: list[str] = []
        for option in options:  # alternatives inside alternatives come first in the list
            inner = re.fullmatch("\ue002(\\d+)\ue003", option.strip())
            flat += reading.choices[int(inner.group(1))] if inner else [_fill(option, chosen)]
        reading.choices[number] = flat
        free = (option for option in flat if not _occurs(option, rest)) if number < MAX_PLACED_CHOICES else ()
        pick = next(iter(free), flat[0])
        chosen[number] = pick
        if number in marks:
            named = [_bare(option) for option in [pick, *(option for option in flat if option != pick)]]
            choices.append(tuple(filter(None, dict.fromkeys(named))))
    filled = _fill(text, chosen)
    choices = [
        tuple(clean_text(reading.restore(option)) for option in choice)
        for choice in dict.fromkeys(choices)
        if len(choice) > 1
    ]
    return filled, choices


def _occurs(option: str, text: str) -> bool:
    return bool(re.search(rf"(?<!\w){re.escape(_bare(option).casefold())}(?!\w)", text))


def _fill(text: str, chosen: dict[int, str]) -> str:
    return re.sub("\ue002(\\d+)\ue003", lambda match: chosen.get(int(match.group(1)), ""), text)


def _bare(phrase: str) -> str:
    """Return a phrase without punctuation around it and articles before it."""
    words = phrase.strip(" ,.;:|\n").split()
    while words and words[0].lower() in ARTICLES:
        words.pop(0)
    return " ".join(words)


def _read_negatives(reading: Reading, texts: list[str]) -> tuple[list[str], list[str]]:
    """Return the phrases of negative texts, and those about quality."""
    phrases: dict[str, str] = {}
    aside: list[str] = []
    for text in texts:
        inner = Reading(reading.restore(_open_choices(reading, text)))
        inner.protect()
        for read in NEGATIVE_READERS:
            read(inner)
        for dialect, places in inner.found.items():
            reading.found.setdefault(dialect, []).extend(places)
        aside += map(inner.describe, inner.style)
        opened = "\n".join(_open_choices(inner, part) for part in (inner.text, *inner.negative))
        for part in _PHRASE_END.split(opened):
            phrase = clean_text(inner.restore(_bare(_NEGATING_PREFIX.sub("", part.strip()))))
            if not re.search(r"\w", phrase):
                continue
            if NEGATIVE_QUALITY.search(phrase) or is_boilerplate(phrase):
                aside.append(phrase)
            else:
                phrases.setdefault(phrase.casefold(), phrase)
    return list(phrases.values()), aside


def _open_choices(reading: Reading, text: str) -> str:
    """Return a text with all alternatives of each choice, since none of them must be there."""
    while mark := re.search("\ue002(\\d+)\ue003", text):
        text = f"{text[: mark.start()]}{', '.join(reading.choices[int(mark.group(1))])}{text[mark.end() :]}"
    return text


def _quality_notes(aside: list[str]) -> list[str]:
    if not aside:
        return []
    listed = "; ".join(dict.fromkeys(aside[:3])) + (f"; and {len(aside) - 3} more" if len(aside) > 3 else "")
    return [f"negative phrases about quality, which the scores of quality cover, are not elements: {listed}"]


def _tidy(text: str) -> str:
    """Remove what the readers left over: empty clauses, spaces before punctuation."""
    text = " ".join(text.split())
    text = re.sub(r"\s+([,.;:!?，。；：！？)])", r"\1", text)
    text = re.sub(r"(?:,\s*)+(?=[,.;]|$)|^[\s,.;:]+(?=\s|\w)", "", text)
    text = re.sub(r"([.;])(?:\s*[.,;])+(?=\s|$)", r"\1", text)
    return text.strip()
