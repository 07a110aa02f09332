"""Tags of image boards, and the score tags of models that were trained on them.

Sources: the tag lists in the model cards of Pony Diffusion V6, Animagine XL and NovelAI Diffusion, and the
help pages of Danbooru about tags and their qualifiers.
"""

from __future__ import annotations

import re

from judge.elements.syntax.reading import Reading

_SCORE = (
    r"score_\d(?:_up)?|rating[_:]\s?(?:safe|questionable|explicit|general|sensitive|suggestive|[sqeg])"
    r"|source_(?:anime|pony|furry|cartoon|other)|(?:sfw|nsfw)|year \d{4}|absurdres|highres|solo focus|solo"
    r"|(?:safe|general|sensitive|questionable|explicit)(?=\s*,\s*(?:newest|recent|mid|early|old|oldest"
    r"|best quality))"
    r"|(?:newest|oldest)|(?:very |displeasing )?aesthetic|anime (?:screencap|coloring)?(?<= )"
)
_SCORE_TAG = re.compile(
    rf"(?:(?<=^)|(?<=[,\n|.]))[^\S\n]*(?:{_SCORE})[^\S\n]*(?:,|$|(?=[\n|])|\.(?=\s|$))", re.I
)
_ANY_SCORE_TAG = re.compile(r"\b(?:score_\d(?:_up)?|source_(?:anime|pony|furry|cartoon))\b,?", re.I)
_UNDERSCORED = re.compile(
    r"(?<![\w./\\@#-])[A-Za-z0-9][A-Za-z0-9'!-]*(?:_\(?[A-Za-z0-9'!-]+\)?)+(?![\w./\\@-])"
)
_PEOPLE = re.compile(r"(?<![\w-])([1-6])(\+?)(girl|boy|other|woman|man|women|men)s?(?![\w-])", re.I)
_NUMBER_WORDS = ("", "one", "two", "three", "four", "five", "six")
_PLURALS = {"girl": "girls", "boy": "boys", "woman": "women", "man": "men", "women": "women", "men": "men"}
_SINGULARS = {"women": "woman", "men": "man"}


def read_score_tags(reading: Reading) -> None:
    """Read tags about quality, rating, source and year: `score_9, rating_safe, source_anime`."""

    def read(match: re.Match[str]) -> str:
        tag = match.group(0).strip(" ,.")
        reading.style.append(tag)
        reading.note("tags about quality, kept apart as style", tag)
        return " "

    if re.search(
        r"score_|source_|rating[_:]|s?fw\b|year \d|res\b|solo\b|est\b|aesthetic", reading.text, re.I
    ):
        reading.text = _ANY_SCORE_TAG.sub(read, _SCORE_TAG.sub(read, reading.text))


def read_board_tags(reading: Reading) -> None:
    """Read underscores between words as spaces, and `2girls` as "two girls"."""

    def read_underscores(match: re.Match[str]) -> str:
        reading.note("tags", match.group(0))
        return match.group(0).replace("_", " ")

    def read_people(match: re.Match[str]) -> str:
        count, more, noun = int(match.group(1)), match.group(2), match.group(3).lower()
        if noun == "other":
            noun = "person"
        reading.note("tags", match.group(0))
        if count == 1 and not more:
            return f"one {_SINGULARS.get(noun, noun)}"
        plural = _PLURALS.get(noun, "people")
        return f"{_NUMBER_WORDS[count]} or more {plural}" if more else f"{_NUMBER_WORDS[count]} {plural}"

    if "_" in reading.text:
        reading.text = _UNDERSCORED.sub(read_underscores, reading.text)
    if re.search(r"\d\+?(?:girl|boy|other|wom|m[ae]n)", reading.text, re.I):
        reading.text = _PEOPLE.sub(read_people, reading.text)
