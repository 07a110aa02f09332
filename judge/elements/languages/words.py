"""Function words of languages that are written with spaces, as far as splitting needs them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FunctionWords:
    """Words of one language that separate phrases or carry no content of their own."""

    articles: frozenset[str]
    """Removed from the beginning of a phrase."""
    joins: frozenset[str]
    """Conjunctions and relative pronouns: they end a phrase and state no relation."""
    places: frozenset[str]
    """Prepositions of place and company: they end a phrase and state a relation."""
    links: frozenset[str] = frozenset()
    """Words inside a phrase, such as "of"; they only help to recognise the language."""


def _words(articles: str, joins: str, places: str, links: str = "") -> FunctionWords:
    return FunctionWords(*(frozenset(text.split()) for text in (articles, joins, places, links)))


LATIN = {
    "es": _words("un una unos unas el la los las", "y e o que mientras pero",
                 "sobre bajo junto detrás debajo encima entre con en ante dentro", "de del al a por para es "
                 "está"),
    "fr": _words("un une des le la les l'", "et ou qui que pendant mais",
                 "sur sous dans devant derrière entre avec près contre chez", "de du d' au aux à en est en"),
    "de": _words("ein eine einen einem einer eines der die das den dem des", "und oder während aber",
                 "auf unter neben hinter vor zwischen mit in im am an über bei", "von vom zu zum zur ist "
                 "aus"),
    "it": _words("un uno una il lo la i gli le l'", "e ed o che mentre ma",
                 "su sul sulla sotto accanto dietro davanti tra con in nel nella dentro", "di del della dei "
                 "a al da è"),
    "pt": _words("um uma uns umas o a os as", "e ou que enquanto mas",
                 "sobre sob ao atrás entre com em no na nos nas dentro", "de do da dos das por para é está"),
    "nl": _words("een de het", "en of die dat terwijl maar",
                 "op onder naast achter voor tussen met in bij boven", "van uit te is"),
}  # fmt: skip
"""Languages in Latin script."""
OTHERS = {
    "cyrillic": _words("", "и или а но который которая которое", "на под в во с со за перед над около возле "
    "между рядом у"),
    "devanagari": _words("एक", "और या जो", "पर में के साथ नीचे ऊपर पास", "का की है"),
    "arabic": _words("", "و أو ثم الذي التي", "على تحت في مع أمام خلف بجانب بين فوق داخل", "من هو هي"),
    "hebrew": _words("", "או אשר", "על תחת עם ליד מאחורי בתוך", "של הוא היא"),
    "greek": _words("ένας μία μια ένα ο η το οι τα", "και ή που", "πάνω κάτω σε με δίπλα πίσω μέσα στο στη "
    "στην στον", "του της"),
}  # fmt: skip
"""Scripts that one set of words serves."""
ENGLISH = frozenset(
    "a an the of with in on and is are at to by from for his her its their under near behind next front "
    "holding "
    "wearing standing sitting photo painting style".split()
)
"""Words that tell English from the languages in `LATIN`."""
