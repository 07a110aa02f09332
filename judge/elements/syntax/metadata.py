"""Settings that stand behind a prompt: pasted image metadata, and Midjourney's parameters and weights.

Sources: the "infotext" of AUTOMATIC1111's web UI (`modules/infotext_utils.py`), and the parameter list and
"Multi-Prompts & Weights" in Midjourney's documentation.
"""

from __future__ import annotations

import re

from judge.elements.syntax.reading import Reading

_SETTINGS = re.compile(
    r"(?:^|(?<=[\s.,;]))(?:Steps\s*:\s*\d+\s*(?=,|$|\n)|(?:Sampler|CFG scale|Guidance scale|Clip skip"
    r"|Model hash"
    r"|Denoising strength|Seed|Schedule type|Hires upscale)\s*:\s*[^,\n]+,\s*(?=[A-Z][\w ]{1,30}:))",
    re.I,
)
_SETTING = re.compile(r"\s*([A-Za-z][\w +-]{0,40}?)\s*:\s*(\"[^\"]*\"|[^,\n]*)\s*(?:,|\n|$)")
_NEGATIVE_LABEL = re.compile(
    r"(?:^|(?<=[\s.,;]))(?:negative[ _-]?prompts?|neg(?:ative)?[ _]?prompt|negativ(?:er)? prompt"
    r"|(?:^|(?<=\n))\s*negatives?|反向提示词|负面提示词|负向提示词|ネガティブプロンプト"
    r"|부정 프롬프트)\s*[:：=]\s*",
    re.I,
)
_POSITIVE_LABEL = re.compile(
    r"^\s*parameters[ \t]*\n"
    r"|(?:^|(?<=\n))\s*(?:positive[ _-]?prompt|prompt|正向提示词|提示词|プロンプト)\s*[:：=]\s*",
    re.I,
)
_COMMAND = re.compile(r"^\s*/imagine\b\s*(?:prompt\b\s*:?)?\s*", re.I)
_IMAGE_ADDRESS = re.compile(r"^\s*<?https?://[^\s<>]+>?(?:\s+|$)")
_IS_IMAGE = re.compile(r"\.(?:png|jpe?g|webp|gif)\b|s\.mj\.run|cdn\.(?:discordapp|midjourney)", re.I)
_SWITCHES = (
    "tile fast relax turbo video hd test testp creative raw stealth public draft loop upbeta uplight upanime "
    "beta turbo sameseed"
).split()
_VALUES = (
    "ar aspect v version style s stylize c chaos q quality seed stop niji iw weird w repeat r sref cref cw "
    "sw "
    "oref ow p profile personalize exp motion end bs sv h n steps cfg cfg_scale sampler width height scale "
    "strength negative_prompt model"
).split()
_PARAMETER = re.compile(
    r"(?:^|\s)(?:--|[—–](?=(?:ar|aspect|v|no|style|stylize|s|chaos|q|niji|seed|iw|tile)\b))"
    r"([A-Za-z][\w]*)(?=[\s,]|$)"
)
_VALUE = re.compile(r"[ \t]*=?[ \t]*([^\s]+)")
_WEIGHT = re.compile(r"::\s?(-?\d*\.?\d+)(?=[\s,]|$)|::(?=[\s,]|$)")


def read_metadata(reading: Reading) -> None:
    """Read pasted image metadata: `PROMPT Negative prompt: ... Steps: 30, Sampler: ...`."""
    settings = _SETTINGS.search(reading.text)
    if settings:
        tail = reading.text[settings.start() :]
        for match in _SETTING.finditer(tail):
            reading.settings[match.group(1).strip().lower()] = match.group(2).strip()
        reading.note("settings", tail)
        reading.text = reading.text[: settings.start()].rstrip()
    label = _NEGATIVE_LABEL.search(reading.text)
    if label:
        reading.note("negative prompt", reading.text[label.start() :])
        reading.negative.append(reading.text[label.end() :])
        reading.text = reading.text[: label.start()]
    positive = _POSITIVE_LABEL.match(reading.text)
    if positive:
        reading.note("labels", positive.group(0))
        reading.text = reading.text[positive.end() :]


def read_image_addresses(reading: Reading) -> None:
    """Read Midjourney's command and the addresses of image prompts before the text."""
    command = _COMMAND.match(reading.text)
    if command:
        reading.note("Midjourney parameters", command.group(0))
        reading.text = reading.text[command.end() :]
    while (address := _IMAGE_ADDRESS.match(reading.text)) and (
        _IS_IMAGE.search(address.group(0)) or command or _PARAMETER.search(reading.text)
    ):
        reading.note("image prompts", address.group(0))
        reading.text = reading.text[address.end() :]


def read_parameters(reading: Reading) -> None:
    """Read parameters such as `--ar 16:9` and `--no text, people`."""
    kept, at = [], 0
    while parameter := _PARAMETER.search(reading.text, at):
        name, end = parameter.group(1).lower(), parameter.end()
        kept.append(reading.text[at : parameter.start()])
        following = _PARAMETER.search(reading.text, end)
        limit = following.start() if following else len(reading.text)
        if name in ("no", "not", "neg", "negative", "negative_prompt"):
            reading.negative.append(reading.text[end:limit])
            end = limit
        else:
            end = _read_value(reading, name, end, limit)
        reading.note("Midjourney parameters", reading.text[parameter.start() : end])
        at = end
    reading.text = " ".join([*(part.strip() for part in kept), reading.text[at:].strip()]).strip()


def _read_value(reading: Reading, name: str, start: int, limit: int) -> int:
    """Store the value of a parameter and return where it ends; a switch has none."""
    value = None if name in _SWITCHES else _VALUE.match(reading.text, start, limit)
    if value and (name in _VALUES or re.fullmatch(r"-?\d[\w.:x/]*", value.group(1))):
        reading.settings[name] = value.group(1)
        end = value.end()
        # References to images and styles may be several.
        while name in ("sref", "cref", "oref", "p") and (
            more := re.compile(r"[ \t]+(\d+|\ue000\d+\ue001|https?://\S+)").match(reading.text, end, limit)
        ):
            end = more.end()
        return end
    reading.settings[name] = ""
    return start


def read_multi_prompt(reading: Reading) -> None:
    """Read Midjourney's parts with weights: `a cat::2 a dog::1 text::-0.5`."""
    parts, at = [], 0
    for weight in _WEIGHT.finditer(reading.text):
        part = reading.text[at : weight.start()].strip(" ,")
        at = weight.end()
        if part.startswith("::"):
            part = part[2:]
        reading.note("prompt weights", f"{reading.describe(part)[-20:]}{weight.group(0)}")
        if weight.group(1) and float(weight.group(1)) < 0:
            reading.negative.append(part)
        elif part:
            parts.append(part)
    rest = reading.text[at:].strip(" ,")
    reading.text = "\n".join([*parts, rest] if rest else parts)


_COMPOSITION = re.compile(r"\s+AND\s+|\s*\bBREAK\b(?!\s+[A-Z]{2})\s*|\s+ADD(?:COMM|BASE|ROW|COL)\s+")
_PART_WEIGHT = re.compile(r"\s*:\s*(-?\d*\.?\d+)\s*$")


def read_composition(reading: Reading) -> None:
    """Read `AND` and `BREAK` in capitals as the end of a clause, and a weight before them."""
    if not _COMPOSITION.search(reading.text):
        return
    letters = [mark for mark in reading.text if mark.isalpha()]
    if sum(mark.isupper() for mark in letters) > 0.6 * len(letters):
        return  # a prompt in capitals
    pieces = _COMPOSITION.split(reading.text)
    for word in _COMPOSITION.findall(reading.text):
        reading.note("parts of a prompt", word)
    parts = []
    for piece in pieces:
        weight = _PART_WEIGHT.search(piece)
        part = piece[: weight.start()] if weight and re.search(r"[^\d\s]", piece[: weight.start()]) else piece
        if weight and float(weight.group(1)) < 0:
            reading.negative.append(part)
        elif part.strip(" ,"):
            parts.append(part.strip(" ,"))
    reading.text = "\n".join(parts)
