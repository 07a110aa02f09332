"""Which members of a WebDataset shard form a row.

A name is a key and suffixes: `0001.png`, `0001.txt` (the prompt) and `0001.json` (other fields) have the
key `0001`. WebDataset ends the key at the first dot of the base name, but generators also write dots into
keys, as in `cfg_7.5_seed1.png`. One rule reads both:

1. The suffixes are the longest chain of known ones at the end of the name (`.png`, `.txt`, `.reference.png`,
   `.negative_prompt.txt`, ...). The key is what stands before them.
2. Every image and video is a row, also where a key has several.
3. One without a prompt of its own takes that of the next shorter key, as WebDataset does: `0001.a.png` and
   `0001.b.png` are rows with the prompt of `0001.txt`. It does not if the shorter key has an image of its own
   and a number follows: `cfg_7.5.png` does not take the prompt of `cfg_7.png`. The same holds for references.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from judge.media.file_names import media_kind, name_suffix

TEXT_SUFFIXES = (".txt", ".json")
TEXT_FIELDS = ("negative_prompt", "prompt")
"""Fields of a row that a `.txt` may be named after, as in `0001.negative_prompt.txt`."""
FIELD_NAMES = frozenset((*TEXT_FIELDS, "image", "video", "reference"))
"""Fields of a row that a member may be named after."""
UNUSED_FIELDS = frozenset(
    "mask seg segmentation depth normal normals edge edges canny pose alpha thumb thumbnail preview".split()
)
"""Names of images that belong to another one and are not judged, as in `0001.mask.png`."""


@dataclass(frozen=True)
class RowNames:
    """The members of a row, by name."""

    id: str
    """Id of a row whose `.json` has none."""
    media: str = ""
    """The image or video; empty if there is none."""
    texts: Mapping[str, str] = field(default_factory=dict)
    """`prompt`, `negative_prompt` and `json` -> member."""
    reference: str = ""
    id_suffix: str = ""
    """What is added to the id in a `.json` that several rows share."""


def split_member_name(name: str) -> tuple[str, str]:
    """Return the key of a member, with its folder, and its suffixes in lower case."""
    folder, slash, base = name.rpartition("/")
    parts = base.split(".")
    end = len(parts)
    while end > 1 and any(parts[: end - 1]) and _is_suffix(parts[end - 1].lower()):
        end -= 1
    return f"{folder}{slash}{'.'.join(parts[:end])}", "".join(f".{part.lower()}" for part in parts[end:])


def _is_suffix(part: str) -> bool:
    is_field = part in FIELD_NAMES or part in UNUSED_FIELDS
    return is_field or f".{part}" in TEXT_SUFFIXES or bool(media_kind(f"_.{part}"))


def group_members(names: Iterable[str], unused: Counter[str]) -> list[RowNames]:
    """Return the rows that some members form, in the order in which their keys begin.

    Args:
        names: names of all members, each once.
        unused: counts the members that belong to no row, by their suffixes.
    """
    groups = _Groups()
    for name in (known := dict.fromkeys(names)):
        key, suffixes = split_member_name(name)
        suffix, fields = name_suffix(name), set(suffixes.split("."))
        if media_kind(name) and not fields & UNUSED_FIELDS:
            if "reference" in fields:
                unused[f"further {suffixes} files of a key"] += key in groups.references
                groups.references.setdefault(key, name)
            else:
                groups.media.setdefault(key, []).append(name)
        elif suffix in TEXT_SUFFIXES:
            owner, text_field = _split_text_name(name)
            # 0001.png.txt belongs to 0001.png alone, also where there is 0001.jpg.
            is_owned = owner in known and media_kind(owner)
            table = groups.own_texts if is_owned else groups.texts
            texts = table.setdefault(owner if is_owned else key, {})
            unused[f"further {suffixes} files of a key"] += text_field in texts
            texts.setdefault(text_field, name)
        else:
            unused[f"{suffixes or suffix or 'other'} files"] += 1
            continue
        groups.keys.setdefault(key)
    return groups.rows()


def _split_text_name(name: str) -> tuple[str, str]:
    """Return a text's name without its suffixes, and the field that it holds."""
    suffix = name_suffix(name)
    owner = name[: -len(suffix)]
    if suffix == ".json":
        return owner, "json"
    for text_field in TEXT_FIELDS:
        if owner.lower().endswith(f".{text_field}"):
            return owner[: -len(text_field) - 1], text_field
    return owner, "prompt"


@dataclass
class _Groups:
    """Members by key."""

    keys: dict[str, None] = field(default_factory=dict)
    """All keys, in the order in which they begin."""
    media: dict[str, list[str]] = field(default_factory=dict)
    texts: dict[str, dict[str, str]] = field(default_factory=dict)
    references: dict[str, str] = field(default_factory=dict)
    own_texts: dict[str, dict[str, str]] = field(default_factory=dict)
    """Texts of one image, by its name."""

    def rows(self) -> list[RowNames]:
        """Return the rows; a key whose texts or reference no image uses is a row without an image."""
        rows, used = list[RowNames](), set[str]()
        for key in self.keys:
            if key not in self.media:
                rows.append(RowNames(key))
            for name in self.media.get(key, ()):
                text_key, reference_key = self._find(key, self.texts), self._find(key, self.references)
                used |= {text_key, reference_key}
                own, row_id = self.own_texts.get(name, {}), key if len(self.media[key]) == 1 else name
                shares_id = text_key and "json" not in own
                rows.append(
                    RowNames(
                        row_id,
                        name,
                        self.texts.get(text_key, {}) | own,
                        self.references.get(reference_key, ""),
                        row_id[len(text_key) :] if shares_id else "",
                    )
                )
        return [row for row in rows if row.media or row.id not in used]

    def _find(self, key: str, table: Mapping[str, Any]) -> str:
        """Return the key itself or the next shorter one that a table has; "" if it may use none."""
        if key in table:
            return key
        folder, slash, base = key.rpartition("/")
        parts = base.split(".")
        for end in range(len(parts) - 1, 0, -1):
            shorter = f"{folder}{slash}{'.'.join(parts[:end])}"
            if shorter in table:
                return "" if shorter in self.media and parts[end][:1].isdigit() else shorter
        return ""
