"""Split a prompt into elements: short statements that a judge can check one by one.

Rule-based on purpose: the same prompt always gives the same elements, it costs microseconds, and every
rule can be read here. Each noun phrase becomes an element ("two blue cats", "striped background"), and
each stated relation one more ("two blue cats left of pink house", "man holding umbrella").
`agreement` measures the result against elements written by people.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

LIMIT = 12
"""Elements taken from one prompt at most."""
MAX_CHARS = 80
"""Characters of one element at most; longer phrases are cut at a word."""
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
"""Control characters, line ends among them."""

ARTICLES = frozenset("a an the this that these those its it's his her their my your our".split())
_DANGLING = ARTICLES | {"of", "very"}
_PRONOUNS = frozenset("he she it they him them who which that there here we i you something".split())
COPULAS = frozenset("is are was were be being been has have".split())
COLOURS = frozenset(
    "red green blue yellow purple orange pink black white gray grey brown cyan magenta teal gold golden "
    "silver violet turquoise beige navy maroon olive lime pale dark light".split()
)
_SIDES = {
    f"{a} {b} {c}": f"{b} of"
    for a in ("to the", "on the", "at the")
    for b in ("left", "right")
    for c in ("of", "side of")
}
# Longest phrase first when matched; the value is how the element words it.
RELATIONS = _SIDES | {
    "to left of": "left of", "to right of": "right of", "left of": "left of", "right of": "right of",
    "on top of": "on top of", "in front of": "in front of", "next to": "next to", "close to": "near",
    "at the edge of": "on the edge of", "on the edge of": "on the edge of",
    "above": "above", "below": "below", "under": "under", "underneath": "under", "beneath": "under",
    "behind": "behind", "beside": "beside", "near": "near", "inside": "inside", "between": "between",
    "on": "on", "over": "over", "around": "around",
    "made out of": "made out of", "made of": "made of", "filled with": "filled with", "full of": "full of",
    "covered in": "covered in", "covered with": "covered with", "surrounded by": "surrounded by",
    "surrounding": "surrounding", "in the shape of": "in the shape of",
}  # fmt: skip
BREAKS = frozenset(
    "in at with without by from into through during for to against amongst among across as and or while "
    "where featuring containing including showing depicting then amid within along but plus & upon onto "
    "beyond towards toward outside down up also not".split()
)
ING_NOUNS = frozenset(
    "ring king wing string spring thing building painting drawing ceiling clothing evening morning wedding "
    "lightning lighting earring viking swing writing lettering rendering engraving etching crosshatching "
    "coloring shading railing flooring dwelling living boxing pudding winning".split()
)
_TRANSITIVE = frozenset(
    "wearing holding eating riding carrying reading playing facing watching driving drinking making using "
    "chasing pulling pushing throwing kicking catching cooking cutting guarding spelling hugging".split()
)
MEDIA = (
    "picture image photo photograph painting drawing illustration sketch render rendering portrait shot "
    "scene view depiction art artwork print poster blueprint blueprints scan footage cartoon diagram "
    "close-up closeup photography composition snapshot"
).split()
_PLAIN_MEDIA = frozenset("picture image photo photograph drawing illustration shot scene view render".split())
_FIXED = ("trending on artstation", "trending on art station", "black and white", "depth of field")
_PARTICLES = frozenset("off out up down away over".split())
_DRAW = "(?:draw|generate|create|make|paint|render|show|depict|design|imagine)"
_LEAD = re.compile(
    rf"^(?:(?:of|here\s+comes?|please(?:\s+{_DRAW}(?:\s+me)?)?)\s+)?"
    rf"(?:{_DRAW}(?:\s+me)?\s+(?=(?:an?|the|some|\d+|one|two|three|four)\b)"
    r"|there\s+(?:is|are)\s+|(?:this|it)\s+(?:is|shows)\s+)?",
    re.I,
)
_MEDIUM = re.compile(
    rf"^((?:[\w-]+\s+){{0,6}}?(?:{'|'.join(MEDIA)}))\s+(?:of|showing|depicting|with)\s+(?=\S)", re.I
)
QUOTED = re.compile(
    r"“([^”]{1,80})”|\"([^\"]{1,80})\"|(?<!\w)'([^']{1,80})'(?!\w)|(?<!\w)‘([^’]{1,80})’(?!\w)"
)
_SPACED_HYPHEN = re.compile(r"(?<=[a-z]) - (?=[a-z])")  # "award - winning", as tokenised captions have it
_CLAUSES = re.compile(r"[,;:|\n!?()\[\]{}<>]+|\.(?!\d)|\s[-–—]{1,3}\s|\s/\s")
_LONGEST = max(len(phrase.split()) for phrase in RELATIONS)


def split(prompt: str, limit: int = LIMIT) -> list[str]:
    """Take the elements out of a prompt, in the order in which they are mentioned.

    Args:
        prompt: the text a picture was made from, any length.
        limit: how many elements at most.

    Returns:
        0 to `limit` distinct statements of 1 to 80 characters without control characters; empty only
        when the prompt has no word. A prompt without a recognised noun phrase is one element itself.
    """
    text = clean(prompt)
    found: dict[str, str] = {}
    for statement in _statements(text):
        statement = shorten(statement)
        if statement and re.search(r"\w", statement):
            found.setdefault(statement.casefold(), statement)
        if len(found) >= limit:
            break
    if not found and re.search(r"\w", text):
        return [shorten(text)][:limit]
    return list(found.values())


def clean(text: str) -> str:
    """Control characters, line ends and runs of white space become one space; lone surrogates go."""
    text = CONTROL.sub(" ", text)
    return " ".join(text.encode("utf-8", "ignore").decode("utf-8").split())


def shorten(text: str, limit: int = MAX_CHARS) -> str:
    """Cut after the last whole word within `limit` characters, or in the word when it is longer."""
    if len(text) <= limit:
        return text
    head = text[: limit + 1].rsplit(" ", 1)[0] if " " in text[: limit + 1] else text
    return head[:limit].strip()


def agreement(predicted: list[str], truth: list[str], *, soft: bool = False) -> tuple[float, float]:
    """Precision and recall of predicted elements against true ones.

    Both sides are compared normalised: lower case, without punctuation, leading article or a
    trailing type in brackets ("cat (animal)" is "cat").

    Args:
        predicted: elements of `split`, or of anything else.
        truth: elements written by people.
        soft: False: an element counts 1 when an equal one stands on the other side, else 0.
            True: it counts the F1 of its words with its best partner's words.

    Returns:
        (precision, recall), each 0..1. An empty side agrees with an empty side only.
    """
    mine = list(dict.fromkeys(filter(None, map(normalise, predicted))))
    theirs = list(dict.fromkeys(filter(None, map(normalise, truth))))
    if not mine or not theirs:
        same = float(not mine and not theirs)
        return same, same
    match = _word_f1 if soft else _equal
    precision = sum(max(match(m, t) for t in theirs) for m in mine) / len(mine)
    recall = sum(max(match(m, t) for m in mine) for t in theirs) / len(theirs)
    return precision, recall


def normalise(element: str) -> str:
    """The form in which `agreement` compares an element; may be empty."""
    bare = re.sub(r"\s*\([^()]*\)\s*$", "", element.casefold())
    words = re.sub(r"[^\w\s]", " ", bare).split()
    while words and words[0] in ARTICLES:
        words.pop(0)
    return " ".join(words)


def _equal(one: str, other: str) -> float:
    return float(one == other)


def _word_f1(one: str, other: str) -> float:
    a, b = set(one.split()), set(other.split())
    return 2 * len(a & b) / (len(a) + len(b))


def _statements(text: str) -> Iterator[str]:
    """Noun phrases and relations of the whole prompt; doubles are still in."""
    held: list[str] = []

    def hold(match: re.Match[str]) -> str:
        held.append(match.group(0).strip())
        return f" \ue000{len(held) - 1}\ue001 "  # private-use marks: one word that no rule touches

    text = _SPACED_HYPHEN.sub("-", re.sub("[\ue000\ue001]", "", text))
    text = QUOTED.sub(hold, text)
    text = re.sub("|".join(map(re.escape, _FIXED)), hold, text, flags=re.I)
    subject = ""
    for clause in _CLAUSES.split(text):
        clause = _LEAD.sub("", clause.strip())
        medium = _MEDIUM.match(clause)
        if medium:
            style = _strip(medium.group(1).split())
            if style and (len(style) > 1 or style[0].lower() not in _PLAIN_MEDIA):
                yield _unhold(" ".join(style), held)
            clause = clause[medium.end() :]
        for about, statement in _read(_parts(clause.split()), subject):
            subject = about
            yield _unhold(statement, held)


def _unhold(text: str, held: list[str]) -> str:
    text = re.sub("\ue000(\\d+)\ue001", lambda m: held[int(m.group(1))], text)
    bare = QUOTED.fullmatch(text)
    return next(filter(None, bare.groups()), text).strip() if bare else text


def _strip(words: list[str]) -> list[str]:
    """Without articles in front and loose words behind."""
    start, end = 0, len(words)
    while start < end and words[start].lower() in ARTICLES:
        start += 1
    while end > start and words[end - 1].lower() in _DANGLING:
        if end - start > 1 and words[end - 2] == "letter":  # "the letter a"
            break
        end -= 1
    return words[start:end]


def _parts(words: list[str]) -> Iterator[tuple[str, str]]:
    """(kind, text) with kind "phrase", "relation", "verb", "is" or "break"."""
    phrase: list[str] = []
    at = 0
    while at < len(words):
        word = words[at].lower().rstrip(".")
        size, relation = _relation(words, at)
        kind = ""
        if size:
            kind = "relation"
        elif word in COPULAS:
            kind, size, relation = "is", 1, "is"
        elif word == "and" and _two_colours(phrase, words[at + 1 : at + 2]):
            pass
        elif word in BREAKS:
            kind, size, relation = "break", 1, word
        elif _is_verb(word, phrase, words[at + 1 : at + 1 + _LONGEST]):
            kind, size, relation = "verb", 1, word
            if at + 1 < len(words) and words[at + 1].lower() in _PARTICLES:
                size, relation = 2, f"{word} {words[at + 1].lower()}"
        if not kind:
            if not (phrase == ["no"] and word in ARTICLES):
                phrase.append(words[at])
            at += 1
            continue
        yield "phrase", " ".join(_strip(phrase))
        yield kind, relation
        phrase = ["no"] if word == "without" else []
        at += size
    yield "phrase", " ".join(_strip(phrase))


def _relation(words: list[str], at: int) -> tuple[int, str]:
    """How many words from `at` state a relation (0: none), and its wording."""
    for size in range(min(_LONGEST, len(words) - at), 0, -1):
        wording = RELATIONS.get(" ".join(words[at : at + size]).lower())
        if wording:
            return size, wording
    if at + 1 < len(words) and words[at + 1].lower() == "than" and words[at].lower().endswith("er"):
        return 2, f"{words[at].lower()} than"
    return 0, ""


def _two_colours(phrase: list[str], rest: list[str]) -> bool:
    """True in "red and blue ball": the "and" joins colours of one thing."""
    if not rest or rest[0].lower() not in COLOURS:
        return False
    before = {word.lower() for word in _strip(phrase)}
    return bool(before) and before <= COLOURS


def _is_verb(word: str, phrase: list[str], rest: list[str]) -> bool:
    """True for "riding" in "a cat riding a bike", not in "a riding hood" or "a painting"."""
    if not word.endswith("ing") or len(word) < 5 or word in ING_NOUNS or not _strip(phrase):
        return False
    if word in _TRANSITIVE or not rest:
        return True
    after = rest[0].lower()
    return after in ARTICLES | BREAKS | _PARTICLES or after.isdigit() or _relation(rest, 0)[0] > 0


def _read(parts: Iterator[tuple[str, str]], subject: str) -> Iterator[tuple[str, str]]:
    """(subject so far, statement) for each statement of one clause.

    A relation is about the phrase just before it ("... and above a cat": about what the relation before
    it was about); a verb is about the last phrase that no preposition brought in: in "a boy at a table
    eating bread" the boy eats.
    """
    actor, about, joint, wording = subject, "", "", ""
    for kind, text in parts:
        if kind == "phrase":
            if not text or text.lower() in _PRONOUNS:
                continue
            if wording == "is" and subject:
                yield subject, f"{subject} is {text}"
                joint = wording = ""
                continue
            yield subject, text
            if wording and about and not text.lower().endswith("background"):
                yield subject, f"{about} {wording} {text}"
            if not text.lower().endswith("background"):
                actor = text if joint in ("", "and") else actor
                subject = text
            joint = wording = ""
            continue
        if joint == "verb":  # the verb before had no object
            yield subject, f"{about} {wording}"
        if kind == "verb":
            about = actor
        elif kind == "relation" and joint != "and":
            about = subject
        joint, wording = (text if kind == "break" else kind), ("" if kind == "break" else text)
        joint = "" if not subject else joint
    if joint == "verb" and about:
        yield subject, f"{about} {wording}"
