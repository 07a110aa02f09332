"""Negation in other languages than English: words that take a noun phrase after or before them.

Only words that cannot mean anything else in a prompt are read; Romance and German words need another word of
their language in the text.
"""

from __future__ import annotations

import re

_CJK = r"\u3400-\u9fff\u3040-\u30ff々ー"
_ZH_WORDS = (
    "没有任何", "沒有任何", "没有", "沒有", "不要有", "不要出现", "不要", "不需要", "不包含", "不含有",
    "不含", "不带", "不帶", "不出现", "不显示", "不能有", "别画", "没戴", "没穿", "避免", "而不是", "不是",
)  # fmt: skip
_ZH = re.compile(rf"({'|'.join(_ZH_WORDS)})([^，,。.；;、！!？?\s]+)")
_ZH_NONE = re.compile(
    r"(?:(?<=[，,。；;、\s的])|^)(?:无|無)(?!人机|限|敌|论|聊|花果|线|数|尽|垠|边|穷|框|人機|線|数)([^，,。；;、！？\s的]{1,8})"
)
_ZH_LIST = re.compile(r"(?:和|与|及|以及|或者|或|跟)")
_JA = re.compile(
    rf"([{_CJK}A-Za-z0-9]{{1,20}}?)(?:が(?:い|居)?(?:写ってい)?ない|のない|のいない|は?なし|は?無し|抜き|を含まない|を持たない|がいない"
    r"|を入れない(?:でください)?|は(?:い)?らない|ではなく|じゃなくて)"
)
_KO = re.compile(r"([\uac00-\ud7a3A-Za-z0-9]+)\s*(?:없는|없이|없음|없고|없다|빼고|제외|말고|금지)")
_KO_WORD = re.compile(r"([\uac00-\ud7a3]+)\s+$")
_JA_PARTICLE = re.compile(r"^.*[、。,.\sはがをにでとへもや]")

_EUROPEAN: tuple[tuple[str, str, str], ...] = (
    # words of negation, words that end the phrase, words that show the language ("" if none is needed)
    (r"sin(?:\s+(?:ningún|ninguna|ningun))?|ningún|ninguna|no\s+hay|nada\s+de",
     "y|con|en|sobre|bajo|pero|junto|al|que|de noche",
     r"un|una|el|la|los|las|con|de|en|del|sobre|y|al"),
    (r"sans(?:\s+aucune?)?|pas\s+d['’]|pas\s+de|aucune?", "et|avec|dans|sur|sous|mais|devant|à|au|aux|près",
     r"un|une|le|la|les|avec|de|dans|du|des|sur|et|plage|rue"),
    (r"ohne(?:\s+(?:jede|jegliche)[nrs]?)?|keine?[nmrs]?",
     "und|mit|auf|unter|aber|vor|am|im|an|bei|neben|in", ""),
    (r"senza(?:\s+alcuna?)?|nessuna?|nessun", "e|con|in|su|sotto|ma|al|alla|sullo|sulla|sul|nel|nella", ""),
    (r"sem(?:\s+nenhuma?)?|nenhuma?", "e|com|em|sobre|sob|mas|no|na|ao|à", r"um|uma|o|a|os|as|com|de|em|do|da"
        r"|no|na"),
    (r"zonder|geen", "en|met|op|onder|maar|in|aan|bij", ""),
    (r"без|нет", "и|с|на|под|но|в|у|возле", ""),
    (r"bez", "i|z|na|pod|ale|w|przy|a|s", ""),
    (r"utan|uden|uten|ingen|inga", "och|og|med|på|under|men|i|ved|vid", r"en|ett|et|den|det|med|och|og|på"),
    (r"tanpa|tidak\s+ada", "dan|dengan|di|pada|tetapi|dalam", ""),
    (r"không\s+có|không", "và|với|trên|dưới|nhưng|ở|trong", ""),
    (r"χωρίς", "και|με|σε|στο|στη|αλλά", ""),
    (r"بدون|بلا|من\s+دون|دون", "و|مع|في|على|تحت|لكن|أمام", ""),
    (r"ללא|בלי", "ו|עם|על|תחת|אבל|ליד", ""),
    (r"ilman|ingenting", "ja|kanssa", r"ja|on"),
)  # fmt: skip
_ANY_EUROPEAN = re.compile(rf"(?<![\w'’-])(?:{'|'.join(words for words, _, _ in _EUROPEAN)})(?!\w)", re.I)
_TR = re.compile(r"(?<!\w)((?:[^\W\d_]+\s){0,1}[^\W\d_]+)\s+(?:olmadan|olmayan|içermeyen|yok)(?!\w)", re.I)
_HI = re.compile(r"(?:बिना\s+([^\s,।]+)(?:\s+के)?)|([^\s,।]+)\s+के\s+(?:बिना|बगैर)")
_END = re.compile(r"[,;:.!?()\n،؛。]")
_OR = re.compile(
    r"\s+(?:ni|o|ou|oder|noch|oppure|né|nem|of|или|ни|ani|lub|eller|atau|hoặc|ή|أو|או)\s+|\s*/\s*", re.I
)


def split_other_languages(text: str) -> tuple[str, list[str]]:
    """Split a text as `judge.elements.negation.split_negation` does, by the words of other languages."""
    phrases: list[str] = []
    if re.search(rf"[{_CJK}]", text):
        text = _split_chinese(_split_japanese(text, phrases), phrases)
    if re.search(r"[\uac00-\ud7a3]", text):
        text = _split_korean(text, phrases)
    if re.search(r"(?:olmadan|olmayan|içermeyen|yok)\b", text):
        text = _take(_TR, text, phrases)
    if re.search(r"बिना|बगैर", text):
        text = _take(_HI, text, phrases)
    for words, stops, evidence in _EUROPEAN if _ANY_EUROPEAN.search(text) else ():
        text = _split_european(text, words, stops, evidence, phrases)
    return text, phrases


def _take(pattern: re.Pattern[str], text: str, phrases: list[str]) -> str:
    """Remove what a pattern matches; its first group with a text is the negated phrase."""
    phrases.extend(next(filter(None, match.groups())) for match in pattern.finditer(text))
    return pattern.sub(" ", text)


def _split_korean(text: str, phrases: list[str]) -> str:
    """Take the word before "there is no", with adjectives, which end in the consonant n."""
    kept, at = [], 0
    for match in _KO.finditer(text):
        start = match.start()
        while (word := _KO_WORD.search(text, max(at, start - 40), start)) and _ends_in_n(word.group(1)):
            start = word.start()
        phrases.append(text[start : match.end(1)])
        kept.append(text[at:start])
        at = match.end()
    return " ".join([*kept, text[at:]])


def _ends_in_n(word: str) -> bool:
    return (ord(word[-1]) - 0xAC00) % 28 == 4  # the fourth final consonant of a Hangul syllable


def _split_japanese(text: str, phrases: list[str]) -> str:
    if not re.search(r"[\u3040-\u30ff]|(?:なし|無し)", text):
        return text

    def take(match: re.Match[str]) -> str:
        noun = match.group(1)
        particle = _JA_PARTICLE.match(noun)
        kept = particle.group(0) if particle else ""
        noun = noun[len(kept) :]
        phrases.extend(part for part in re.split(r"[やと・]|または", noun) if part)
        return kept

    return _JA.sub(take, text)


def _split_chinese(text: str, phrases: list[str]) -> str:
    def take(match: re.Match[str]) -> str:
        noun = match.group(2)
        head, _, rest = noun.partition("的")
        if not rest:  # "没有人的" and "不要红色的" have nothing after the particle
            head = noun.rstrip("的")
        elif match.group(1) in ("不要", "不是", "而不是", "避免"):
            head, rest = noun, ""  # "不要红色的车": the car is what must not be there
        phrases.extend(part for part in _ZH_LIST.split(head) if part)
        return rest

    def take_none(match: re.Match[str]) -> str:
        phrases.extend(part for part in _ZH_LIST.split(match.group(1)) if part)
        return ""

    return _ZH_NONE.sub(take_none, _ZH.sub(take, text))


def _split_european(text: str, words: str, stops: str, evidence: str, phrases: list[str]) -> str:
    pattern = re.compile(rf"(?<![\w'’-])(?:{words})(?:\s+|(?<=['’]))(?=[^\W\d_])", re.I)
    if not pattern.search(text) or (
        evidence and not re.search(rf"(?<!\w)(?:{evidence})(?!\w)", pattern.sub(" ", text), re.I)
    ):
        return text
    stop = re.compile(rf"\s+(?:{stops})(?=\s)", re.I)
    kept, at = [], 0
    while match := pattern.search(text, at):
        mark = _END.search(text, match.end())
        end = mark.start() if mark else len(text)
        halt = stop.search(text, match.end(), end)
        end = halt.start() if halt else end
        kept.append(text[at : match.start()])
        phrases.extend(part.strip() for part in _OR.split(text[match.end() : end]) if part.strip())
        joint = re.compile(rf"\s+(?:{stops.split('|')[0]})(?=\s+(?:{stops})\s)").match(text, end)
        at = joint.end() if joint else end  # "sin gente y con palmeras" goes on with "con"
    return "".join([*kept, text[at:]])
