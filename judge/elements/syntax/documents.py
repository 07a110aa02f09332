"""HTML, Markdown, lists and line ends."""

from __future__ import annotations

import html
import re
from functools import partial

from judge.elements.syntax.reading import PROTECTED, Reading
from judge.elements.syntax.structured import is_known_key

_BLOCK_TAGS = (
    "p|br|div|li|ul|ol|h[1-6]|tr|table|section|article|header|footer|hr|blockquote|title|dd|dt|dl|pre"
)
_INLINE_TAGS = (
    "b|i|em|strong|span|a|u|s|small|sub|sup|font|center|code|td|th|tbody|thead|html|body|head|main|nav|figure"
    "|figcaption|mark|label|meta|link|svg|button|form|input|big|tt|strike|del"
)
_HTML = re.compile(
    rf"(?P<kept>{PROTECTED.pattern})"
    r"|(?P<hidden><!--.*?-->|<(?P<name>script|style)\b[^<>]*>.*?</(?P=name)\s*>)"
    r"|(?P<image><img\b[^<>]*?\balt\s*=\s*[\"'](?P<alt>[^\"'<>]*)[\"'][^<>]*>|<img\b[^<>]*>)"
    rf"|(?P<block></?(?:{_BLOCK_TAGS})(?:\s[^<>]*)?/?>)"
    rf"|(?P<inline></?(?:{_INLINE_TAGS})(?:\s[^<>]*)?/?>)"
    r"|(?P<entity>&(?:[A-Za-z]{2,8}|#\d{1,7}|#[xX][0-9a-fA-F]{1,6});)",
    re.S | re.I,
)

_FENCE = re.compile(r"^\s*(?:```|~~~)[\w-]*\s*$", re.M)
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(?=\S)")
_RULE = re.compile(r"^\s*(?:[-*_=]\s?){3,}$")
_BULLET = re.compile(r"^\s*(?:[-*+•‣◦▪●○·–—]|\[[ xX]\])\s+(?:\[[ xX]\]\s+)?(?=\S)|^\s*[•‣◦▪●](?=\S)")
_NUMBER = re.compile(
    r"^\s*(?:\(?(?:\d{1,2}|[a-hA-H]|[ivxIVX]{1,4})[.)]|\d{1,2}\s?[:、．]|[①-⑳])\s+(?=\S)|^\s*[①-⑳](?=\S)"
)
_QUOTE = re.compile(r"^\s*>\s+(?=\S)")
_LINK = re.compile(r"!?\[([^\[\]\n]{0,200})\]\((?:https?://|\.{0,2}/|#|\ue000)[^()\s]*(?:\s[^()]*)?\)")
_STRIKE = re.compile(r"~~(?=\S)([^~\n]{1,200}?)(?<=\S)~~")
_STRONG = re.compile(
    r"(\*\*\*|\*\*)(?=[^\s*])([^*\n]{1,300}?)(?<=[^\s*])\1"
    r"|(?<!\w)__(?=\S)([^_\n]{1,300} [^_\n]{1,300}?)(?<=\S)__(?!\w)"
)
_EMPHASIS = re.compile(r"(?<![\w*])\*(?=[^\s*])([^*\n]{1,300}?)(?<=[^\s*])\*(?![\w*])")
_CODE = re.compile(r"`([^`\n]{1,200})`")
_CELLS = re.compile(r"^\s*\|(.+)\|\s*$")
_CELL_RULE = re.compile(r"^[\s|:-]+$")

WRAP_WIDTH = 60
"""A line of at least this many characters continues on the next one if that starts in lower case."""
_OPEN_END = re.compile(
    r"(?:[,，、&(/-]|\b(?:a|an|the|of|and|or|with|in|on|at|to|by|for|from|is|are|under|over|near"
    r"|behind|next to|"
    r"left of|right of|one|two|three|four|five|its|his|her|their))$",
    re.I,
)
_CLOSED_END = re.compile(r"[.,;:!?|。，、；：！？…]$")


def read_html(reading: Reading) -> None:
    """Read tags and entities of HTML, outside of quoted texts."""
    if "<" not in reading.text and "&" not in reading.text:
        return

    def read(match: re.Match[str]) -> str:
        found = match.group(0)
        character = html.unescape(found) if match.lastgroup == "entity" else found
        if match.lastgroup == "kept" or (match.lastgroup == "entity" and character == found):
            return found
        reading.note("HTML", found)
        replacements = {"image": f" {match['alt'] or ''} ", "block": "\n", "inline": "", "entity": character}
        return replacements.get(match.lastgroup or "", " ")

    reading.text = _HTML.sub(read, reading.text)


def read_markdown(reading: Reading) -> None:
    """Read headings, emphasis, links, tables, bullets and numbers of lists."""
    if not re.search(r"[#*+•‣◦▪●○·–—>|~`_\[\n①-⑳-]|\b[1a][.)] ", reading.text):
        return
    reading.replace(_FENCE, "Markdown", "")
    if len(re.findall(r"(?:^|\s)[•‣◦▪●]\s", reading.text)) > 1:
        reading.text = re.sub(r"\s+(?=[•‣◦▪●]\s)", "\n", reading.text)
    reading.text = _split_numbers(reading.text)
    lines = reading.text.split("\n")
    reading.text = "\n".join(filter(None, (_read_line(reading, line, len(lines) > 1) for line in lines)))
    for pattern in (_LINK, _STRIKE, _STRONG, _EMPHASIS, _CODE):
        reading.text = pattern.sub(partial(_read_inline, reading, pattern), reading.text)


def _read_inline(reading: Reading, pattern: re.Pattern[str], match: re.Match[str]) -> str:
    """Return the text of a link, of emphasis or of code; a text that is struck out leaves the prompt."""
    reading.note("Markdown", match.group(0))
    if pattern is _STRIKE:
        return " "
    return next((group for group in match.groups()[::-1] if group), "")


def _read_line(reading: Reading, line: str, is_list: bool) -> str:
    """Return a line without what marks it as a heading, item or row of a table."""
    if _RULE.match(line):
        return ""
    cells = _CELLS.match(line)
    if cells and "|" in cells.group(1):
        reading.note("Markdown", line)
        return (
            ""
            if _CELL_RULE.match(cells.group(1))
            else "\n".join(filter(None, map(str.strip, cells.group(1).split("|"))))
        )
    for name, pattern in (
        ("Markdown", _HEADING),
        ("Markdown", _QUOTE),
        ("a list", _BULLET),
        ("a list", _NUMBER),
    ):
        match = pattern.match(line)
        is_item = name == "Markdown" or is_list or pattern is _BULLET
        if match and is_item and line[match.end() :].strip():
            reading.note(name, match.group(0))
            line = line[match.end() :]
            if pattern is _HEADING and is_known_key(line):
                line = f"{line.strip().rstrip(':')}:"
    return line


def _split_numbers(text: str) -> str:
    """Put the items of a numbered list on one line, `1. a cat 2. a dog`, on lines of their own."""
    first = re.match(r"\s*(?:\(?1[.)]|①)\s*(?=\D)", text)
    if not first or "\n" in text.strip():
        return text
    starts, at = [], 0
    for number in range(1, 40):
        sign = chr(ord("①") + number - 1) if "①" in first.group(0) and number <= 20 else ""
        pattern = sign or rf"(?:(?<=\s)|^)\(?{number}[.)]\s+(?=\D)"
        match = re.compile(pattern).search(text, at)
        if not match:
            break
        starts.append(match.start())
        at = match.end()
    if len(starts) < 2:
        return text
    ends = [*starts[1:], len(text)]
    return "\n".join([text[: starts[0]], *(text[a:b].strip() for a, b in zip(starts, ends, strict=True))])


def join_lines(text: str) -> str:
    """Join lines to one: a line end becomes a sentence end, unless the sentence goes on in the next line."""
    joined = ""
    previous = ""
    for line in (" ".join(line.split()) for line in text.split("\n")):
        if not line or not re.search(r"\w|[^\x00-\x7f]", line):
            continue
        goes_on = (
            _CLOSED_END.search(previous)
            or _OPEN_END.search(previous)
            or line[0] in ",;.)"
            or (len(previous) >= WRAP_WIDTH and line[0].islower())
        )
        joined += line if not joined else f" {line}" if goes_on else f". {line}"
        previous = line
    return joined
