"""The writing that a prompt asks for: texts in quotation marks, and texts after words such as "that says".

Quotation marks of English, French, German, Chinese and Japanese are known; apostrophes are none. Quoted
names of a style ('in the style of "..."') and the keys and values of JSON are not writing. Without quotation
marks, a text is what follows a word of writing ("a sign that says OPEN LATE", or its like in Chinese): words
in capitals or numbers as far as they go, else up to the end of the phrase.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from judge.elements.text import HAS_CONTENT

MAX_WANTED_TEXTS = 16
MAX_TEXT_CHARS = 200

_QUOTES = re.compile(
    r"“([^“”]{1,200})”|„([^„“”]{1,200})[“”]|«\s?([^«»]{1,200}?)\s?»|「([^「」]{1,200})」|『([^『』]{1,200})』"
    r"|《([^《》]{1,200})》|＂([^＂]{1,200})＂"
    r"|\"(?=\S)([^\"\n]{1,200}?)(?<=\S)\"|”([^“”]{1,200})”"
    r"|(?<!\w)'(?=[^\s'])((?:[^'\n]|(?<=\w)'(?=\w)){1,200}?)(?<=[^\s])'(?!\w)"
    r"|(?<!\w)‘(?=[^\s‘’])((?:[^‘’\n]|(?<=\w)’(?=\w)){1,200}?)(?<=\S)’(?!\w)"
    r"|(?<!\w)`(?=\S)([^`\n]{1,200}?)(?<=\S)`"
)
_NOT_WRITING = re.compile(
    r"(?:\bstyle\s+of|\binspired\s+by|\bso[- ]called|\bknown\s+as|\bscene\s+(?:from|of)|\bbased\s+on"
    r"|\bsimilar\s+to"
    r"|\bcharacters?\s+(?:from|of|in)|\bthe\s+(?:movie|film|series|song|novel|game|anime)|风格的?|电影|灵感来自)\s*$",
    re.I,
)
"""Matches the words before a quotation that names something else than writing."""
_JSON_KEY = re.compile(r"\"[^\"\n]{1,80}\"\s*:")
_SHOWN_JSON = re.compile(
    r"\b(?:display|show|read|say|contain|writ)\w*\b[^{\n]{0,60}\{|(?:显示|写着|代码如下)[^{\n]{0,30}\{", re.I
)
"""Matches what says that the JSON itself is written in the image."""

_NOUN = (
    r"(?:neon\s+)?(?:sign(?:board|post)?|billboard|banner|poster|label|text|caption|title|words?|letters?|lettering|"
    r"writing|slogan|message|note|t-?\s?shirt|tee|shirt|sweater|sweatshirt|hoodie|jersey|mug|cup|cap|hat|logo|"
    r"headline|plaque|card|cover|screen|placard|sticker|graffiti|(?:speech\s+|thought\s+)?bubble|storefront|"
    r"(?:chalk|black|white)?board|paper|plate|tattoo|inscription|book|cake|display|badge|tag|balloon|flag|scroll|"
    r"menu|newspaper|magazine|envelope|window|door|wall|shop|store|cafe|café|restaurant|marquee|ticket|stamp|button|"
    r"box|bottle|can|bag|jar|package|cookie|road|street|subtitle|watermark|phrase|quote)s?"
)
_CUES = re.compile(
    rf"(?P<loose>\b{_NOUN}\b(?:\s+[^\s,.;:!?]+){{0,5}}?\s+(?:that\s+|which\s+|,\s*)?(?:says?|reads?|saying|reading|"
    r"spells?(?:\s+out)?|spelling(?:\s+out)?|labell?ed|captioned|entitled|inscribed(?:\s+with)?|engraved\s+with|"
    r"emblazoned\s+with|printed\s+with|painted\s+with)\s*:?\s+)"
    r"|(?P<strict>\b(?:says|saying|reads|spells(?:\s+out)?|spelling(?:\s+out)?|labell?ed|captioned|entitled)\s*:?\s+)"
    r"|(?P<named>\b(?:text|words?|letters?|lettering|caption|title|slogan|message|phrase|inscription|headline|writing"
    r"|subtitle)\s*(?:(?:is|are|of|says?|reads?|saying|reading)\s+|:\s*)?(?=\S))"
    r"|(?P<number>\bnumbers?\s+(?=\d))",
    re.I,
)
"""Matches what stands before a text without quotation marks. After `loose`, small letters may be a text;
after `named`, words with a capital, after `strict`, words in capitals and numbers alone."""
_CAPS_BEFORE = re.compile(
    r"(?<![\w-])([A-Z0-9][A-Z0-9&'!?%$.-]*(?:\s+[A-Z0-9&][A-Z0-9&'!?%$.-]*)*)\s+(?:is\s+|are\s+)?"
    r"(?:written|painted|printed|engraved|carved|spelled|embroidered|stencill?ed|on\s+(?:it|them|top|the\s+front))\b"
    r"|(?<![\w-])(?!LED\b|NEON\b|USA?\b|UK\b)([A-Z]{2,}(?:\s+[A-Z]{2,})*)\s+signs?\b"
)
_CHINESE_CUE = re.compile(
    r"(?:写着|写有|写上|写了|印着|印有|刻着|刻有|标着|标有|绣着|绣有|贴着|挂着写有|上书|题字|题为|字样[是为：:]|标语[是为：:]|"
    r"文字[是为：:]|内容[是为：:]|标题[是为：:])\s*[：:]?\s*"
)
_CHINESE_END = re.compile(
    r"[，。；、！？,.;!?\n]|(?:这?[一二三四五六七八九十两几]个(?:大|小)?字)|的?(?:字样|标语|文字)|"
    r"的(?=(?:大|小|红|蓝|木|霓虹)?(?:招牌|牌子|牌|海报|横幅|标志|木板|旗|店|墙|门|灯|杯|衣|T恤|书|纸|蛋糕|黑板|广告))"
)
_BREAK = re.compile(
    r"^(?:on|in|at|with|above|below|beneath|under|over|next|beside|near|behind|written|painted|printed|hanging|"
    r"standing|while|as|held|by|against|across|inside|outside|surrounded|that|which|who|is|are|has|have|"
    r"displayed|made|using|from|through|around|along)$",
    re.I,
)
"""Matches words that begin another phrase."""
_SMALL_WORDS = frozenset("of the and to for a an & in on at by or is my your our".split())
_DETERMINERS = frozenset("a an the his her its their".split())
_CAPITALS = re.compile(
    r"\b(?:all[- ])?(?:in\s+)?(?:all\s+)?(?:caps|capitals|capital\s+letters|upper\s?-?case)\b|大写", re.I
)
_LOWERCASE = re.compile(r"\b(?:all\s+)?(?:lower\s?-?case|small\s+letters)\b|小写", re.I)
_SENTENCE = re.compile(r"(?<=[.!?。！？])\s+|(?<=[。！？])|\n+")
_NEGATION = re.compile(
    r"(?:\b(?:no|without|not|never|omit|remove|exclude|avoid)\b|不要|没有|不含|无)[^,.;，。；]{0,30}$", re.I
)


@dataclass(frozen=True)
class WantedText:
    """One text that an image must show."""

    text: str
    """As the prompt writes it; in capitals or small letters if it asks for them."""
    case_counts: bool = False
    """Whether the prompt asks for capitals or small letters."""
    expected: bool = True
    """False: the prompt says that this text must not be there."""

    @property
    def statement(self) -> str:
        """The element that stands for the text."""
        return f'text "{self.text}"'


def find_wanted_texts(prompt: str) -> list[WantedText]:
    """Return the texts that a prompt, or an element, asks for, in order and each once.

    Args:
        prompt: any text.

    Returns:
        At most `MAX_WANTED_TEXTS`; empty if it asks for no particular writing.
    """
    spans = list(_find_quoted(prompt))
    masked = _mask(prompt, spans)
    spans += _find_unquoted(masked)
    wanted = [_build(prompt, start, end) for start, end in sorted(spans)]
    unique = {(w.text.casefold(), w.expected): w for w in reversed(wanted) if HAS_CONTENT.search(w.text)}
    return list(reversed(unique.values()))[:MAX_WANTED_TEXTS]


def find_wanted_texts_of(elements: Iterable[str]) -> list[WantedText]:
    """Return the texts that a list of elements asks for, in order and each once."""
    found = {wanted.text.casefold(): wanted for name in elements for wanted in find_wanted_texts(name)}
    return list(found.values())[:MAX_WANTED_TEXTS]


def _build(prompt: str, start: int, end: int) -> WantedText:
    """Return the text of a span with what its sentence says about case."""
    text = " ".join(prompt[start:end].split())
    before, after = prompt[:start], prompt[end:]
    sentence = _SENTENCE.split(before)[-1] + " " + _SENTENCE.split(after.lstrip("\"'”’」』》»"))[0]
    is_negated = bool(_NEGATION.search(before))
    if _CAPITALS.search(sentence):
        return WantedText(text.upper(), True, not is_negated)
    if _LOWERCASE.search(sentence):
        return WantedText(text.lower(), True, not is_negated)
    return WantedText(text, False, not is_negated)


def _find_quoted(prompt: str) -> Iterator[tuple[int, int]]:
    is_json = len(_JSON_KEY.findall(prompt)) >= 2 and not _SHOWN_JSON.search(prompt)
    for match in _QUOTES.finditer(prompt):
        group = next(n for n, content in enumerate(match.groups(), 1) if content is not None)
        start, end = match.span(group)
        if is_json and match.group().startswith('"'):
            continue
        if not _NOT_WRITING.search(prompt[: match.start()]):
            yield start, _trim_end(prompt, start, end)


def _trim_end(prompt: str, start: int, end: int) -> int:
    """Leave out the comma or full stop that English sets inside the quotation marks."""
    return end - 1 if end - start > 1 and prompt[end - 1] in ",." and prompt[end - 2] not in ",." else end


def _mask(prompt: str, spans: list[tuple[int, int]]) -> str:
    """Replace quotations by a character that no text without quotation marks goes beyond."""
    masked = prompt
    for start, end in spans:
        masked = masked[: max(0, start - 1)] + "\x00" * (end - start + 2) + masked[end + 1 :]
    return masked[: len(prompt)]


def _find_unquoted(text: str) -> Iterator[tuple[int, int]]:
    taken = 0
    for match in _CUES.finditer(text):
        if match.end() < taken:
            continue
        end = _text_end(text, match.end(), match.lastgroup or "")
        if end > match.end():
            yield match.end(), end
            taken = end
    for match in _CAPS_BEFORE.finditer(text):
        group = 1 if match[1] else 2
        if match.start() >= taken and len(match[group]) > 1 and any(c.isalpha() for c in match[group]):
            yield match.span(group)
    for match in _CHINESE_CUE.finditer(text):
        found = _CHINESE_END.search(text, match.end())
        end = found.start() if found else len(text)
        end = min(end, text.find("\x00", match.end()) if "\x00" in text[match.end() :] else end)
        if 0 < end - match.end() <= 40:
            yield match.end(), end


def _text_end(text: str, start: int, cue: str) -> int:
    """Return where a text without quotation marks ends; its start if there is none.

    Args:
        text: the prompt, with quotations masked.
        start: where the text begins.
        cue: name of the group of `_CUES` before it.
    """
    tokens = list(re.finditer(r"[^\s\x00]+|\x00", text[start : start + MAX_TEXT_CHARS]))
    if not tokens or tokens[0].group() == "\x00":
        return start
    first = tokens[0].group()
    if _is_capital(first):
        return start + _run_end(tokens, _is_capital)
    if (
        cue in ("strict", "number")
        or not first[0].isalnum()
        or _BREAK.match(first)
        or first.lower() in _DETERMINERS
    ):
        return start
    follower = tokens[1].group() if len(tokens) > 1 and not _ends_phrase(first) else ""
    third = tokens[2].group() if len(tokens) > 2 and follower in _SMALL_WORDS else follower
    if first[0].isupper() and (cue == "named" or third[:1].isupper()):
        return start + _run_end(tokens, _is_capitalised)
    if cue == "named":
        return start
    end = 0
    for number, token in enumerate(tokens):
        word = token.group()
        follows = tokens[number + 1].group().lower() if number + 1 < len(tokens) else ""
        is_next_thing = word.lower() == "and" and follows in _DETERMINERS
        if word == "\x00" or (number and (_BREAK.match(word) or is_next_thing)):
            break
        end = token.start() + len(word.rstrip(",.;:"))
        if _ends_phrase(word):
            break
    return start + end


def _run_end(tokens: list[re.Match[str]], belongs: Callable[[str], bool]) -> int:
    """Return the end of the tokens that belong together; small words count if such a token follows."""
    end, waiting = 0, False
    for token in tokens:
        word = token.group()
        if word != "\x00" and belongs(word):
            end, waiting = token.start() + len(word.rstrip(",.;:")), False
            if word[-1] in ".;:" or (word[-1] == "," and belongs is not _is_capital):
                break
        elif word in _SMALL_WORDS and not waiting and end:
            waiting = True
        else:
            break
    return end


def _is_capital(word: str) -> bool:
    """Return whether a word is a number or in capitals: OPEN, 50%, I."""
    letters = [c for c in word if c.isalnum()]
    is_number = bool(letters) and all(c.isdigit() for c in letters)
    return is_number or (len(letters) > 1 and word == word.upper() and word != word.lower())


def _is_capitalised(word: str) -> bool:
    return word[0].isupper() or word[0].isdigit() or word == "&"


def _ends_phrase(word: str) -> bool:
    return word[-1] in ",.;:!?"
