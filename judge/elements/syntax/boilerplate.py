"""Phrases about quality, fame and cameras. They name nothing in the image, so they are not elements.

A phrase is a whole clause between commas or full stops, all of whose words are in the lists below: "8k" and
"highly detailed" are kept apart, "a 4k monitor on a desk" is not. At the end of a clause a few unmistakable
phrases are kept apart without a comma as well.
"""

from __future__ import annotations

import re

from judge.elements.syntax.reading import Reading

DIALECT = "phrases about quality, kept apart as style"
_QUALITY = frozenset(
    "masterpiece masterpieces quality highres absurdres hires 2k 4k 8k 12k 16k 32k hd uhd fhd qhd hdr hdr10 "
    "4khd "
    "artstation deviantart pixiv cgsociety behance 500px trending award awards award-winning winning "
    "detailed "
    "details detail intricate hyperdetailed ultradetailed superdetailed hyper-detailed ultra-detailed "
    "highly-detailed high-quality high-resolution high-res highly-rendered resolution definition focus sharp "
    "sharpness crisp unreal octane vray v-ray raytracing ray-tracing raytraced 1080p 1440p 2160p dslr raw "
    "stunning "
    "gorgeous breathtaking beautiful amazing epic smooth elegant professional flawless perfect aesthetic "
    "masterful exquisite magnificent hq uhq intricately awesome popular featured bestquality finely".split()
)
"""Words of which a phrase has at least one."""
_FILLERS = frozenset(
    "ultra super hyper extremely insanely incredibly highly very best high top good great finest fine most "
    "so the a "
    "an of and in on with full rendered rendering render engine 5 4 by art image photo picture photograph "
    "photography cg unity wallpaper level to max extreme absurd absolutely exceptional much more lots "
    "textures? hd+ quality-wise fantastic wonderful superb artwork work visuals station world hot "
    "on-trend official definition-wise megapixel megapixels pixels resolution winner as style "
    "ultra-high ultrahigh ultra-fine ultra-sharp superior worldclass world-class".split()
)
"""Words that a phrase may have besides."""
_CAMERA = re.compile(
    r"(?:shot|taken|captured|photographed|filmed)\s+(?:on|with|by|using)\s+(?:an?\s+|the\s+)?[\w\s./-]*"
    r"(?:canon|nikon|sony|fuji\w*|leica|hasselblad|kodak|iphone|dslr|lens|\d+\s?mm|red camera|arri\w*"
    r"|gopro)[\w\s./-]*"
    r"|(?:canon|nikon|sony|fujifilm|leica|hasselblad|kodak|arri)\b[\w\s./-]*\d[\w\s./-]*"
    r"|\d+\s?mm(?:\s+(?:lens|prime|macro lens))?|f\s?/?\s?\d(?:\.\d)?|iso\s?\d{2,5}|1/\d{2,4}\s?s?(?:ec)?",
    re.I,
)
_ARTIST = re.compile(
    r"(?:(?:art|artwork|painted|drawn|illustrated|directed|photographed|designed|created|photo"
    r"|photography)\s+)?by\s+"
    r"(?!(?:the|a|an|its|his|her|their|night|day|dawn|dusk|land|sea|itself|candlelight|moonlight"
    r"|firelight)\b)"
    r"(?:[^\W\d_][\w.'-]*)(?:\s+(?:and\s+|&\s+|von\s+|van\s+|de\s+|del\s+)*[^\W\d_][\w.'-]*){0,7}",
    re.I,
)
_KNOWN_ARTISTS = re.compile(
    r"\b(?:artgerm|wlop|beeple|rossdraws|sakimichan|moebius|mucha|loish|rutkowski|ghibli)\b", re.I
)
_TRAILING = re.compile(
    r"\s+(?:(?:and\s+)?(?:trending on (?:artstation|pixiv|deviantart|cgsociety)(?: hq)?|(?:a )?masterpiece"
    r"|best quality|(?:highly|ultra|extremely|insanely|hyper) detailed"
    r"|(?:in )?(?:8 ?k|4 ?k|16 ?k|hdr|uhd)(?: (?:uhd|hdr|hd|resolution))?"
    r"|(?:octane|unreal engine 5?|vray) render(?:ing)?|(?:rendered )?in (?:unreal engine(?: 5)?|octane)"
    r"|high resolution|award[ -]winning))$",
    re.I,
)
_NOT_TRAILING = re.compile(
    r"\b(?:a|an|the|of|is|says|saying|reads|reading|on|text|word|number|with|in)$", re.I
)
_CHINESE = re.compile(
    r"(?:杰作|傑作|大师作品|最佳质量|最高质量|最高品质|最高品質|最高画质|高质量|高品质|高品質|高画质|高画質|超高清|高清|超清|高分辨率|高解像度"
    r"|超高分辨率|[2481][0-9]?[kK](?:高清|画质|分辨率)?|超精细|精细|细节丰富|丰富的细节|超细节|极致细节|高细节|精致|超高精细|超高精細|精細|大作|佳作"
    r"|걸작|최고 품질|고품질|고화질|고해상도|최고의 품질)"
)
_SEPARATOR = re.compile(r"(\s*[,，、;；|\n]\s*|[.。]\s+|[.。]$)")

NEGATIVE_QUALITY = re.compile(
    r"\b(?:bad|poor(?:ly)?|worst|worse|low(?:er)?|lowres|low-res|normal) ?(?:quality|resolution|res|anatomy"
    r"|hands?|fingers?"
    r"|feet|face|eyes|proportions?|drawn|composition|perspective|art|structure|lighting|detail(?:s|ed)?"
    r"|render\w*|limbs?|legs?)?\b"
    r"|\b(?:ugly|blur(?:ry|red)?|deformed|deformities|deformation|disfigured|distorted|distortion|mutat(?:ed"
    r"|ion|ions)|malformed"
    r"|mutilated|morbid|disgusting|amputation|out of (?:frame|focus)|cropped|cut off|jpeg|artifacts?"
    r"|grain(?:y)?|noise|noisy"
    r"|pixelated|overexposed|underexposed|oversaturated|over-?exposure|unfocused|duplicate[ds]?"
    r"|clone(?:d)? face|gross|error|username"
    r"|artist name|anatomical|asymmetr\w+|lowres|unrealistic|amateur|boring|undersaturated|washed out"
    r"|long (?:neck|body)|easynegative|bad[-_ ]?hands?[-_ ]?v?\d*|ng_deepnegative\w*|verybadimagenegative\w*"
    r"|negative_?hand\w*"
    r"|badprompt\w*|unaestheticxl\w*|fastnegative\w*|realisticvision-negative\w*)\b"
    r"|\b(?:extra|missing|fused|too many|fewer|floating|disconnected|interlocked|liquid|mangled|broken"
    r"|twisted|weird) "
    r"(?:digits?|fingers?|limbs?|arms?|legs?|hands?|feet|foot|heads?|eyes?|body ?parts?|lines)\b",
    re.I,
)
"""Phrases of negative prompts about quality, which the scores of quality cover; not elements."""


def read_boilerplate(reading: Reading) -> None:
    """Move phrases about quality, cameras and artists from the text to the style."""
    pieces = _SEPARATOR.split(reading.text)
    kept: list[str] = []
    for at in range(0, len(pieces), 2):
        clause, separator = pieces[at], pieces[at + 1] if at + 1 < len(pieces) else ""
        content, phrases = split_clause(clause)
        for phrase in phrases:
            reading.style.append(phrase)
            reading.note(DIALECT, phrase)
        if content:
            kept += [content, separator]
        elif not phrases:
            kept += [clause, separator]
        elif kept and "\n" in separator + kept[-1]:
            kept[-1] = "\n"
        elif kept and separator.strip() in (".", "。") and at + 2 >= len(pieces):
            kept[-1] = separator
    text = "".join(kept)
    if len(kept) and reading.found.get(DIALECT):
        text = text.strip().rstrip(",，、;；|").strip()
    reading.text = text


def split_clause(clause: str) -> tuple[str, list[str]]:
    """Return a clause without phrases about quality, and these phrases."""
    content, phrases = clause.strip(), list[str]()
    if not content:
        return "", []
    if is_boilerplate(content):
        return "", [content]
    while (match := _TRAILING.search(content)) and not _NOT_TRAILING.search(content[: match.start()]):
        phrases.insert(0, match.group(0).strip())
        content = content[: match.start()].strip()
    return (clause if not phrases else content), phrases


def is_boilerplate(clause: str) -> bool:
    """Return whether a whole clause says nothing about what the image shows."""
    if len(clause) > 80:
        return bool(re.match(r"(?:art|artwork)?\s*by\s", clause, re.I)) and bool(
            _KNOWN_ARTISTS.search(clause)
        )
    joined = re.sub(r"(?<=\d) (?=k\b)|(?<=\w) - (?=\w)", lambda m: m.group(0).strip(), clause.lower())
    words = re.findall(r"[^\s,:!()]+", joined)
    if words and all(word in _QUALITY or word in _FILLERS for word in words):
        return any(word in _QUALITY for word in words)
    if _CHINESE.fullmatch(clause) or _CAMERA.fullmatch(clause):
        return True
    artist = _ARTIST.fullmatch(clause)
    if not artist:
        return False
    name = re.sub(r"^.*?\bby\s+", "", clause, flags=re.I)
    return bool(name[:1].isupper() or len(name.split()) > 1 or _KNOWN_ARTISTS.search(name))
