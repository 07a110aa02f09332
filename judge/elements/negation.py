"""Take the negated parts out of a text: "a beach without people" becomes "a beach" and "people".

Rules for English, and the words of other languages where they are unmistakable. Texts in quotes, and names
such as "no entry sign", are left alone. A negated phrase ends at a punctuation mark, a conjunction, or a
preposition that begins something about the whole image ("without people at sunset").
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from judge.elements.lexicon import ARTICLES, COLOURS, ING_NOUNS, MEDIUM_NOUNS
from judge.elements.negation_languages import split_other_languages
from judge.elements.splitting import QUOTED_TEXT

_MAY_NEGATE = re.compile(
    r"\b(?:no|not|never|neither|nor|without|nobody|none|instead|rather|lieu|devoid|free|lacks?|lacking|absent"
    r"|absence|w/o|sans|minus|zero|avoid|exclude|excluding|omit|cannot|nothing)\b|n['’]t\b|\bdont\b|-free\b",
    re.I,
)
_ANY = re.compile(
    r"^\s*(?:(?:any|a\s+single|even\s+(?:a|one)|visible|apparent|signs?\s+of|traces?\s+of|hints?\s+of)\s+)*",
    re.I,
)
_LIST_SEPARATOR = re.compile(
    r"\s*,\s*(?:(?:or|nor|and)\s+)?|\s+(?:or|nor|and)\s+(?:no\s+|any\s+|without\s+)?|\s*/\s*", re.I
)
_NOT_NEGATION = re.compile(
    r"\b(?:an?|the)\s+(?:no|do\s+not|don['’]t)\s+[\w-]+(?:\s+[\w-]+)?\s+(?:signs?|symbols?|tapes?|stickers?"
    r"|zones?)\b"
    r"|\bno[\s-]+(?:entry|smoking|parking|trespassing|exit|swimming|fishing|turn|u-turn"
    r"|littering)\s+(?:signs?|symbols?|zones?)"
    r"|\bno\.\s?\d+|\bno\s+\d+\b|\bno-\w+|\bno\s+(?:more|fewer|less|later|sooner|\w+er)\s+than\b"
    r"|\bno\s+(?:doubt|matter|wonder|man['’]?s|problem|background)\b|\bdoctor\s+no\b|\bnothing\s+but\b"
    r"|\bnot\s+(?:just|merely|to\s+scale|least|far|long|unlike|yet|necessarily|more\s+than|less\s+than)\b"
    r"|\b(?:why|or)\s+not\b|\bbut\s+not\s+limited\s+to\b|\bnever(?:-|\s+)(?:ending|before|mind)\b"
    r"|\b(?:comic|open|noto|gill)\s+sans\b|\bsans[\s-]serif\b|\bcan(?:not|['’]?t)\s+(?:wait|help)\b"
    r"|\b(?:duty|hands|royalty|gluten|sugar|fat|dairy|care|toll|scot|stress|tax|barrier|lactose|cruelty"
    r"|caffeine)-free\b"
    r"|\b(?:alcohol|nut|wrinkle|rent|interest|guilt|worry|pain|meat|lead|acid)-free\b|\bfree\s+of\s+charge\b",
    re.I,
)
"""Phrases with a word of negation that negate nothing in the image."""
_SAYS = re.compile(
    r"\b(?:says?|saying|reads?|reading|written|labell?ed|titled|words?|text|caption(?:ed)?|sign|letters"
    r"|inscription)\s+$",
    re.I,
)
_TRIGGER = re.compile(
    r"""
    (?P<neither>\b(?:with\s+)?neither\b\s+)
    |(?P<instead>,?\s*\b(?:instead\s+of|rather\s+than|in\s+lieu\s+of|in\s+place\s+of)\s+)
    |(?P<be>\b(?:is|are|was|were|am)(?:\s+not\b|n['’]t\b)\s*)
    |(?P<lack>\b(?:does|do|did|has|have|had|should|must|shall|can|could|will|would|may)
        (?:\s+not\b|n['’]t\b|not\b)\s*
        |\b(?:don['’]?t|dont|doesnt|cannot|can['’]?t|mustn['’]?t|shouldn['’]?t)\b\s*)
    |(?P<have>\b(?:has|have|having|had|shows?|contains?|features?|holds?|wears?|wearing|holding
        |there\s+(?:is|are|was|were))
        \s+(?:absolutely\s+)?no\s+)
    |(?P<never>\b(?:who\s+|that\s+|which\s+)?never\s+)
    |(?P<with>\b(?:but\s+|and\s+|or\s+)?(?:with\s+)?(?:absolutely\s+|little\s+(?:to|or)\s+)?
        (?:nobody|no[\s-]one|no(?!\s*[,.;]))\b(?:\s+(?=\S)|$|(?=[,.;])))
    |(?P<without>\b(?:but\s+|and\s+|or\s+)?(?:without|w/o|devoid\s+of|empty\s+of|bare\s+of
        |free\s+(?:of|from)|lacks|lacking(?:\s+in)?|absent\s+of|in\s+the\s+absence\s+of
        |with\s+(?:zero|(?:a|an|the)\s+(?:lack|absence)\s+of)|sans|excluding)(?:\s+|$))
    |(?P<command>\b(?:please\s+)?(?:avoid|exclude|omit)(?:ing)?\s+)
    |(?P<not>\b(?:but\s+|and\s+|or\s+)?not\s+)
    """,
    re.I | re.X,
)
_FREE = re.compile(r"\b([a-z]+)-free\b", re.I)
_STOP = re.compile(
    r"\s+(?:at|during|while|whereas|with|but|against|beneath|under|below|above|behind|beside|beyond|near"
    r"|next\s+to"
    r"|in\s+front\s+of|over|across|along|through|inside|outside|by|from|surrounded|set|placed|seen|shot"
    r"|photographed"
    r"|rendered|is|are|has|have|was|were|that\s+is|just|only|instead|anywhere|visible|in\s+sight|around|there"
    r"|here|where"
    r"|because|since|so|please|allowed|at\s+all|on\s+(?:an?|white|black|gr[ae]y|plain)\b"
    r"|in\s+(?!(?:his|her|its|their|it|them)\b|the\s+(?:image|picture|scene|photo|frame|background|foreground"
    r"|sky|water"
    r"|corner|window|field|room|air|middle|center|distance|shot|view)\b))(?=\s|$)",
    re.I,
)
"""Words that end a negated phrase, since what follows them is about the whole image."""
_WHERE = re.compile(
    r"\s+(?:visible|in\s+sight|around|anywhere|allowed|at\s+all|please|to\s+be\s+seen|whatsoever|present"
    r"|in\s+(?:the\s+)?(?:image|picture|scene|photo|frame|shot|view))\b\s*",
    re.I,
)
_PLACE = re.compile(
    r"\s+(?:in|on|around|behind|inside|to)\s+"
    r"(?:it|them|(?:the|this)\s+(?:image|picture|scene|photo|frame|shot|view))\s*$",
    re.I,
)
"""The end of a phrase that says only that it is in the image."""
_PUNCTUATION = re.compile(r"[,;:.!?()\[\]|\n，。；！？、—–](?!\d)|\s-\s")
_EMPTY_SUBJECT = re.compile(
    r"^(?:please|do|(?:the|an?|this)?\s*(?:image|picture|scene|photo|there|it|this|that|he|she|they|you|we|i"
    r"|who|which))$",
    re.I,
)
_POSSESSION = re.compile(
    r"^(?:ever\s+)?(?:include|show|add|draw|use|contain|have|want|put|depict|render|generate|make|paint"
    r"|display"
    r"|feature|need|be|get|see|there\s+be|has)\s+",
    re.I,
)
"""Verbs whose object is what must not be there."""
_SUBJECT_EDGE = re.compile(
    r"^(?:(?:and|but|while|where|because|since|so|please)\s+)+(?=\S)|\s+(?:that|who|which)$", re.I
)
_KEEPS = re.compile(r"^(?:change|alter|touch|modify|move|edit|affect)\b", re.I)
MAX_ACTIVITY_CHARS = 40
"""What follows the verb of a negated activity belongs to it up to this length."""
MAX_PHRASE_CHARS = 240
"""A negated phrase without punctuation ends here."""
_NOTHING_ELSE = re.compile(
    r"\b(?:and\s+|but\s+|with\s+)?nothing\s+else\b(?:\s+(?:in|at|on)\b[^,.;!?]{0,30})?", re.I
)
_NOT_ONLY = re.compile(r"\bnot\s+only\s+([^.;!?]{1,120}?),?\s+but(?:\s+also)?\s+", re.I)
_MEDIUM_SUBJECT = re.compile(rf"^(?:[\w-]+\s+){{0,3}}?(?:{'|'.join(MEDIUM_NOUNS)})\s+of\s+", re.I)
_PERSON = {"nobody": "people", "no one": "people", "no-one": "people"}
_NEW_PART = ARTICLES | frozenset(
    "with no not without two three four one some is are does do has have did can will should".split()
)
"""Words after "and" with which something else begins."""
_ACTIVITY = re.compile(r"(?P<noun>[\w'-]+)\s+(?P<verb>\w{2,}ing)\b", re.I)
_MOVING = re.compile(
    r"(?:people|persons?|humans?|m[ae]n|wom[ae]n|child(?:ren)?|kids?|boys?|girls?|crowds?|pedestrians?"
    r"|tourists?"
    r"|dogs?|cats?|birds?|animals?|cows?|horses?|sheep|fish|insects?|cars?|vehicles?|trucks?|boats?|ships?"
    r"|planes?"
    r"|bikes?|bicycles?)$",
    re.I,
)
"""Things that act themselves: "without dogs running around" is about running dogs, "with no hat riding a
horse" about the man who has none."""


def split_negation(text: str) -> tuple[str, list[str]]:
    """Split a text into what must be there and what must not.

    Args:
        text: plain text, `judge.elements.prompt_syntax.PlainPrompt.text`.

    Returns:
        The text without its negated parts, and the negated phrases without the words that negate them. A
        text without negation is returned unchanged.
    """
    remaining, phrases = split_other_languages(_NOT_ONLY.sub(r"\1 and ", text))
    remaining, count = _NOTHING_ELSE.subn(" ", remaining)
    phrases += ["other objects"] if count else []
    if _MAY_NEGATE.search(remaining):
        splitter = _Splitter(remaining)
        remaining = splitter.split()
        phrases = splitter.phrases + phrases
    if remaining == text:
        return text, []
    bare = (strip_articles(phrase) for phrase in phrases)
    return tidy_clauses(remaining), list(dict.fromkeys(phrase for phrase in bare if re.search(r"\w", phrase)))


def strip_articles(phrase: str) -> str:
    """Return a phrase without articles before it and punctuation around it."""
    words = phrase.strip(" ,.;:!?-\n").split()
    while words and words[0].lower() in ARTICLES | {"any", "some"} and len(words) > 1:
        words.pop(0)
    return " ".join(words)


def tidy_clauses(text: str) -> str:
    """Remove empty clauses, and conjunctions and prepositions that stand alone."""
    text = " ".join(text.split())
    text = re.sub(r"\s+([,.;:!?，。；！？])", r"\1", text)
    edge = r"(?:and|but|or|with|nor|while|that|who|which|please)"
    text = re.sub(rf"(?:\s+{edge}\b)+(?=\s*(?:[,.;:!?]|$))", "", text, flags=re.I)
    text = re.sub(rf"(^|[.;:!?])\s*(?:{edge}\s+)*{edge}\s*(?=[,.;:!?]|$)", r"\1", text, flags=re.I)
    text = re.sub(r"([,;:，、；])(?:\s*[,;:，、；])+", r"\1", text)
    text = re.sub(r"[,;:，、；\s]+(?=[.!?](?:\s|$)|。|$)", "", text)
    text = re.sub(r"([.!?])(?:\s*[.,;!?])+(?=\s|$)", r"\1", text)
    text = re.sub(r"^[\s,.;:!?，。、；]+(?=\s|\w|$)|^(?:and|but|or)\s+", "", text)
    return text.rstrip(" ,;，、；").strip()


@dataclass
class _Splitter:
    """Reads the negations of one English text from left to right."""

    text: str
    phrases: list[str] = field(default_factory=list)
    has_subject: bool = False
    """Whether the clause says something else before the negation."""

    def split(self) -> str:
        """Return the text without its negated parts, which go to `phrases`."""
        hidden: list[str] = []

        def hide(match: re.Match[str]) -> str:
            hidden.append(match.group(0))
            return f"\ue000{len(hidden) - 1}\ue001"

        def restore(text: str) -> str:
            while "\ue000" in text:
                text = re.sub("\ue000(\\d+)\ue001", lambda match: hidden[int(match.group(1))], text)
            return text

        text = QUOTED_TEXT.sub(hide, re.sub("[\ue000\ue001]", "", self.text))
        text = _NOT_NEGATION.sub(hide, text)
        kept, at, tail = [], 0, ""
        while match := _TRIGGER.search(text, at):
            if self._is_quoted_capitals(text, match):
                kept.append(text[at : match.end()])
                at = match.end()
                continue
            clause = tail + text[at : match.start()]
            self.has_subject = bool(_PUNCTUATION.split(clause[-MAX_PHRASE_CHARS:])[-1].strip())
            before, end = self._read(match, text, text[at : match.start()])
            kept.append(before)
            tail = (tail + before)[-MAX_PHRASE_CHARS:]
            at = max(end, match.end())
        kept.append(text[at:])
        rest = _FREE.sub(self._take_free, "".join(kept))
        self.phrases = [restore(phrase) for phrase in self.phrases]
        return restore(rest)

    def _take_free(self, match: re.Match[str]) -> str:
        self.phrases.append(match.group(1))
        return " "

    def _is_quoted_capitals(self, text: str, match: re.Match[str]) -> bool:
        """Return whether a trigger is part of a written text without quotes: "a sign saying NO DOGS"."""
        return match.group(0).strip().isupper() and bool(_SAYS.search(text[: match.start()][-40:]))

    def _read(self, match: re.Match[str], text: str, before: str) -> tuple[str, int]:
        """Read one negation.

        Returns:
            What stays of the text before it, and where the text after it goes on.
        """
        kind, start = match.lastgroup, match.end()
        word = match.group(0).strip().lower()
        person = next((noun for name, noun in _PERSON.items() if word.endswith(name)), "")
        if person:
            self.phrases.append(person)
            where = _WHERE.match(text, start - 1)
            does = re.compile(r"(?:is|are|was|were)\s+|(?=\w+ing\b)").match(text, start)
            if does and not where:  # "no one is on the street"
                end = self._phrase_end(text, does.end())
                self.phrases[-1] += f" {text[does.end() : end].strip()}"
                return before, end
            return before, where.end() if where else start
        is_activity = kind == "not" and re.compile(r"\w+ing\b").match(text, start)
        if kind in ("be", "lack", "never") or is_activity:
            return self._read_predicate(match, text, before)
        if kind == "have":
            before = self._drop_empty_subject(before)
        end = self._read_phrases(text, start)
        return before, end

    def _read_phrases(self, text: str, start: int) -> int:
        """Read the negated phrases from `start` on: one, or a list that ends with "or" or "nor"."""
        end = self._list_end(text, self._phrase_end(text, start))
        self._add(text[start:end])
        where = _WHERE.match(text, end)
        return where.end() if where else end

    def _phrase_end(self, text: str, start: int) -> int:
        """Return where a negated phrase ends."""
        limit = min(len(text), start + MAX_PHRASE_CHARS)
        mark = _PUNCTUATION.search(text, start, limit)
        end = mark.start() if mark else limit
        first = start
        activities = _ACTIVITY.finditer(text, start, end)
        activity = next((found for found in activities if found["verb"].lower() not in ING_NOUNS), None)
        if activity and self.has_subject and not _MOVING.match(activity["noun"]):
            end = activity.start("verb") - 1
        elif activity:
            first = activity.end()
            if end - first < MAX_ACTIVITY_CHARS:
                first = end
        stop = _STOP.search(text, max(0, first - 1), end)
        while stop and stop.start() <= start:
            stop = _STOP.search(text, stop.end(), end)
        if stop:
            end = stop.start()
        for conjunction in re.finditer(r"\s+(?:and|but)\s+(\w+)?", text[start:end], re.I):
            is_and = conjunction.group(0).split()[0].lower() == "and"
            word = (conjunction.group(1) or "").lower()
            # "without cars and people" negates both, "without windows and a tree" only the windows.
            if not is_and or word in _NEW_PART:
                return start + conjunction.start()
        return end

    def _list_end(self, text: str, end: int) -> int:
        """Return where a list `A, B, or C` ends that began before `end`; `end` if there is none."""
        mark = re.compile(
            r"(?:\s*,\s*(?!or\b|nor\b|and\b|but\b|no\b|not\b|with)[\w' -]{1,30}?){0,8}\s*,?\s*"
            r"\b(?:or|nor)\s+",
            re.I,
        ).match(text, end)
        if not mark:
            return end
        return self._phrase_end(text, mark.end())

    def _add(self, phrase: str) -> None:
        """Add the phrases of a text with "or", "nor" and "and" between them."""
        phrase = _PLACE.sub("", _ANY.sub("", phrase))
        parts = [" ".join(part.split()) for part in _LIST_SEPARATOR.split(phrase)]
        if any(strip_articles(part).lower() in COLOURS for part in parts[:-1]):  # "black and white cat"
            parts = [" ".join(phrase.split())]
        self.phrases += [_ANY.sub("", part) for part in parts if part]

    def _drop_empty_subject(self, before: str) -> str:
        """Return the text before a negation without a last clause that only says "the image" or "it"."""
        cut = max((mark.end() for mark in _PUNCTUATION.finditer(before)), default=0)
        return before[:cut] if _EMPTY_SUBJECT.match(before[cut:].strip()) else before

    def _read_predicate(self, match: re.Match[str], text: str, before: str) -> tuple[str, int]:
        """Read "is not X", "does not have X", "never does X": the subject stays, the statement is negated."""
        kind, trigger, start = match.lastgroup, match.group(0), match.end()
        end = self._list_end(text, self._phrase_end(text, start))
        predicate = " ".join(text[start:end].split())
        if _KEEPS.match(predicate):  # "do not change the house" is an instruction of an edit
            return before + trigger, start
        cut = max((mark.end() for mark in _PUNCTUATION.finditer(before)), default=0)
        subject = _SUBJECT_EDGE.sub("", before[cut:].strip())
        verb = _POSSESSION.match(f"{predicate} ")
        if verb:
            predicate = predicate[verb.end() :]
        if not subject or _EMPTY_SUBJECT.match(subject):
            self._add(predicate)
            return before[:cut], end
        if verb:
            self._add(predicate)
        else:
            is_state = kind == "be" and not re.match(r"\w+ing\b", predicate)
            statement = strip_articles(predicate) if is_state else predicate
            thing = _MEDIUM_SUBJECT.sub("", subject)
            self.phrases.append(f"{strip_articles(thing)} {'is ' if is_state else ''}{statement}")
        return f"{before[:cut]} {subject} ", end
