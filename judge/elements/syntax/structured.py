"""JSON prompts and lines `Key: value`: their values are the prompt, their keys say what a value is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from judge.elements.syntax.reading import Reading

MAX_DEPTH = 12
NEGATIVE_KEYS = frozenset(
    "negative negatives neg negativeprompt avoid exclude excluded exclusions without donot dont no not "
    "mustnot "
    "forbidden mustnotinclude donotinclude shouldnot elementstoavoid negativeelements undesired".split()
)
SETTING_KEYS = frozenset(
    "steps seed sampler scheduler cfg cfgscale guidance guidancescale width height model modelhash "
    "aspectratio ar "
    "ratio denoise denoisingstrength clipskip version quality resolution fps format duration batchsize n id "
    "uuid "
    "url numimages numberofimages imagesize outputformat samplername loras lora vae created date author "
    "strength "
    "chaos stylize camerasettings iso aperture shutterspeed focallength lens camera dimensions size".split()
)
TEXT_KEYS = frozenset("text caption slogan textcontent textoverlay headline wording inscription".split())
NOUN_KEYS = frozenset(
    "object subject shape name type item thing entity kind character animal noun title element class "
    "label".split()
)
COUNT_KEYS = frozenset("count number quantity amount howmany num".split())
ADJECTIVE_KEYS = (
    "size",
    "age",
    "condition",
    "state",
    "color",
    "colour",
    "colors",
    "pattern",
    "texture",
    "material",
)
"""Keys whose values describe the thing of the same object, in the order of English adjectives."""
PLACE_KEYS = ("position", "placement", "location", "side", "place")
_PLACES = {
    "left": "on the left", "right": "on the right", "top": "at the top", "bottom": "at the bottom",
    "center": "in the center", "centre": "in the center", "middle": "in the middle",
    "foreground": "in the foreground", "background": "in the background",
}  # fmt: skip
HEAD_KEYS = frozenset(
    "background lighting mood atmosphere hair eyes sky expression pose weather palette colorpalette "
    "foreground "
    "light tone composition".split()
)
"""Keys that complete a value of one or two words: `background: white` is a white background."""
CONTENT_KEYS = frozenset(
    "prompt positive positiveprompt description desc subjects objects scene scenes setting location place "
    "environment action activity style artstyle medium details detail props clothing outfit attire view "
    "angle "
    "perspective shot framing time timeofday season era elements items include mustinclude features theme "
    "genre main mainsubject secondarysubject characters visual visuals content image picture overview "
    "summary "
    "left right top bottom center middle accessories character1 character2 positiveelements colors".split()
) | NOUN_KEYS | HEAD_KEYS | TEXT_KEYS | frozenset(ADJECTIVE_KEYS)  # fmt: skip
_NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_FENCE = re.compile(r"```(?:json|yaml|yml|text|prompt|markdown|md)?[ \t]*\n?(.*?)```", re.S | re.I)
_SINGLE_QUOTED = re.compile(
    r"(?<=[\[{,:\s])'([^'\n]{0,400}(?:'(?!\s*[\]},:])[^'\n]{0,400}){0,8})'(?=\s*[\]},:])"
)
_KEY_LINE = re.compile(r"^\s*[\"']?([^\W\d_][\w /&-]{0,30}?)[\"']?\s*[:：]\s*(.*)$")
_INLINE_KEY = re.compile(r"(?:^|(?<=[.;!?|]\s)|(?<=[.;|]))\s*([A-Z][\w /&-]{0,30}?)\s*:\s+(?=\S)")


def normalise_key(key: object) -> str:
    """Return a key in lower case without spaces and punctuation."""
    return re.sub(r"[\W_]", "", str(key)).lower()


def read_json(reading: Reading) -> None:
    """Read a prompt that is JSON, or that holds one JSON value among ordinary text."""
    text = _FENCE.sub(lambda match: f"\n{match.group(1)}\n", reading.text)
    start, end = re.search(r"[{\[]", text), max(text.rfind("}"), text.rfind("]"))
    if not start or end < start.start() or not re.search(r"[\"']", text):
        return
    value = _parse(text[start.start() : end + 1])
    if not isinstance(value, dict | list) or not _has_words(value):
        return
    clauses = list(_JsonValues(reading).clauses(value, "", 0))
    reading.note("JSON", text[start.start() : end + 1])
    around = text[: start.start()].strip(), text[end + 1 :].strip()
    reading.text = "\n".join(filter(None, [around[0].rstrip(":"), *clauses, around[1]]))


def _parse(text: str) -> Any:
    """Return the value of JSON or of a similar Python literal; None if the text is neither."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if not re.match(r"[{\[]\s*['\"{\[]", text):
        return None
    text = _SINGLE_QUOTED.sub(_to_json_string, text)
    text = re.sub(r",\s*(?=[}\]])", "", text)
    for name, value in (("True", "true"), ("False", "false"), ("None", "null")):
        text = re.sub(rf"(?<=[:,\[])\s*{name}\b", value, text)
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _to_json_string(match: re.Match[str]) -> str:
    return json.dumps(match.group(1).replace("\\'", "'"), ensure_ascii=False)


def _has_words(value: Any) -> bool:
    if isinstance(value, dict):
        return bool(value) and all(isinstance(key, str) for key in value)
    return bool(value) and all(isinstance(item, str | dict) for item in value)


class _JsonValues:
    """Turns JSON values into clauses."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def clauses(self, value: Any, key: str, depth: int) -> Iterator[str]:
        """Yield the clauses of a value.

        Args:
            value: any JSON value.
            key: its normalised key; empty for the items of the outermost list.
            depth: how deep the value is nested; deeper than `MAX_DEPTH` it is left out.
        """
        if depth > MAX_DEPTH:
            self.reading.note("JSON nested too deeply, left out", key)
        elif key in NEGATIVE_KEYS:
            self.reading.negative.extend(_strings(value, depth))
        elif isinstance(value, dict):
            yield from self._object_clauses(value, depth)
        elif isinstance(value, list):
            for item in value:
                yield from self.clauses(item, key, depth + 1)
        elif key in SETTING_KEYS and not _describes(key, value):
            self.reading.settings[key] = str(value)
        elif isinstance(value, bool):
            if value:
                yield _split_key(key)
            else:
                self.reading.negative.append(_split_key(key))
        elif isinstance(value, str):
            yield name_value(key, value)
        elif value is not None:
            self.reading.settings[key] = str(value)

    def _object_clauses(self, value: dict[str, Any], depth: int) -> Iterator[str]:
        """Yield the clauses of an object; its adjectives and its number stand before its noun."""
        keys = {normalise_key(key): key for key in value}
        noun_key = next((key for key in keys if key in NOUN_KEYS and _is_phrase(value[keys[key]])), None)
        used: set[str] = set()
        if noun_key is not None:
            words = []
            for key in (*COUNT_KEYS, *ADJECTIVE_KEYS):
                if key in keys and key != noun_key and (word := _describe(key, value[keys[key]])):
                    words.append(word)
                    used.add(key)
            used.add(noun_key)
            noun = value[keys[noun_key]].strip()
            is_many = any(key in used for key in COUNT_KEYS)
            place_key = next((key for key in PLACE_KEYS if key in keys and _place(value[keys[key]])), None)
            place = [_place(value[keys[place_key]])] if place_key else []
            used |= {place_key} if place_key else set()
            yield " ".join([*words, pluralise(noun) if is_many else noun, *place])
        for key, original in keys.items():
            if key not in used:
                name = key if key in NEGATIVE_KEYS | SETTING_KEYS | CONTENT_KEYS else original
                yield from self.clauses(value[original], name, depth + 1)


def _is_phrase(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value.split()) <= 6


def _describes(key: str, value: Any) -> bool:
    """Return whether a value describes a thing although its key could name a setting: `size: large`."""
    return key in ADJECTIVE_KEYS and isinstance(value, str) and not re.search(r"\d", value)


def _describe(key: str, value: Any) -> str:
    """Return a value as a word before a noun; empty if it is none."""
    if key in COUNT_KEYS:
        if isinstance(value, int) and not isinstance(value, bool) and value > 1:
            return _NUMBER_WORDS[value] if value < len(_NUMBER_WORDS) else str(value)
        return value.strip() if isinstance(value, str) and value.strip() not in ("1", "one", "") else ""
    if isinstance(value, list) and all(isinstance(item, str) for item in value) and len(value) <= 3:
        return " and ".join(value)
    is_word = isinstance(value, str) and len(value.split()) <= 3 and not re.match(r"#|\d+\s?x", value)
    return value.strip() if is_word else ""


def _place(value: Any) -> str:
    """Return where a thing is as words after its noun; empty if the value does not say."""
    if not isinstance(value, str) or len(value.split()) > 6:
        return ""
    is_place = re.match(
        r"(?:on|in|at|near|above|below|under|behind|beside|next to|left of|right of)\b", value, re.I
    )
    return value.strip() if is_place else _PLACES.get(value.strip().lower(), "")


def _split_key(key: str) -> str:
    return " ".join(re.sub(r"([a-z])([A-Z])", r"\1 \2", key).replace("_", " ").split()).lower()


def _strings(value: Any, depth: int) -> Iterator[str]:
    """Yield the texts in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list) and depth <= MAX_DEPTH:
        for item in value.values() if isinstance(value, dict) else value:
            yield from _strings(item, depth + 1)


def pluralise(noun: str) -> str:
    """Return an English noun with a regular plural ending."""
    if re.search(r"(?:s|\W)$", noun):
        return noun
    if re.search(r"[^aeiou]y$", noun):
        return noun[:-1] + "ies"
    return noun + ("es" if re.search(r"(?:x|z|ch|sh)$", noun) else "s")


def name_value(key: str, value: str) -> str:
    """Return the clause of a value, completed by its key where the value needs it."""
    value = value.strip()
    name = normalise_key(key)
    if name in TEXT_KEYS and value and value[0] not in "\"'“‘":
        return f'text "{value}"'
    head = "lighting" if name == "light" else "color palette" if name in ("palette", "colorpalette") else name
    if name in HEAD_KEYS and 0 < len(value.split()) <= 2 and head.split()[-1] not in value.lower():
        return f"{value} {head}"
    return value


def read_key_lines(reading: Reading) -> None:
    """Read lines `Key: value`. A known key is removed, and says what the value is."""
    kept, is_negative = [], False
    for line in reading.text.split("\n"):
        match = _KEY_LINE.match(line)
        if match and is_known_key(match.group(1)):
            # "Avoid:" alone on its line is about the lines below it.
            is_negative = normalise_key(match.group(1)) in NEGATIVE_KEYS and not match.group(2).strip()
            kept.append(_read_pair(reading, *match.groups()))
        elif is_negative and line.strip():
            reading.negative.append(line)
        else:
            is_negative = False
            kept.append(line)
    reading.text = "\n".join(line for line in kept if line.strip())
    _read_inline_keys(reading)


def _read_inline_keys(reading: Reading) -> None:
    """Read `Subject: a cat. Style: oil painting.` on one line."""
    found = [match for match in _INLINE_KEY.finditer(reading.text) if is_known_key(match.group(1))]
    if len(found) < 2:
        is_first = found and found[0].start() == 0
        found = [match for match in found if is_first or normalise_key(match.group(1)) in NEGATIVE_KEYS]
    if not found:
        return
    pieces = [reading.text[: found[0].start()]]
    ends = [match.start() for match in found[1:]] + [len(reading.text)]
    for match, end in zip(found, ends, strict=True):
        pieces.append(_read_pair(reading, match.group(1), reading.text[match.end() : end].strip()))
    reading.text = "\n".join(filter(None, (piece.strip() for piece in pieces)))


def is_known_key(key: str) -> bool:
    """Return whether a key is one of those that prompts use, so that it can be removed."""
    name = normalise_key(key)
    return name in NEGATIVE_KEYS or name in SETTING_KEYS or name in CONTENT_KEYS


def _read_pair(reading: Reading, key: str, value: str) -> str:
    """Return the clause of a known key's value; a setting and a negative value leave the text."""
    name = normalise_key(key)
    reading.note("keys", f"{key}:")
    if name in NEGATIVE_KEYS:
        reading.negative.append(value)
        return ""
    if name in SETTING_KEYS and not _describes(name, value):
        reading.settings[name] = value
        return ""
    bare = value.rstrip(".;|, ")
    return name_value(name, bare)
