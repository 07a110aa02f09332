"""Names of files: which are images or videos, which are hidden, and how a name divides into parts.

Folders and archives hold files that no one means to be judged: those that tools leave behind, such as
`.DS_Store`, `._0001.png` and `__MACOSX` of macOS, `Thumbs.db` of Windows, `.ipynb_checkpoints`, `.git` and
`__pycache__`. They are hidden here, as is everything whose name begins with a dot.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from judge.media.decoding import VIDEO_SUFFIXES
from judge.media.image_formats import IMAGE_SUFFIXES

MediaKind = Literal["image", "video", ""]
TEXT_SUFFIX = ".txt"
"""`NAME.txt` beside `NAME.png` holds the prompt of the image."""
_HIDDEN_NAMES = frozenset(
    ("__macosx", "__pycache__", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "lost+found")
)
_MEDIA_SUFFIXES = frozenset(IMAGE_SUFFIXES) | VIDEO_SUFFIXES


def media_kind(name: str) -> MediaKind:
    """Return whether a file is an image or a video, by the suffix of its name; "" if it is neither."""
    suffix = name_suffix(name)
    if suffix not in _MEDIA_SUFFIXES:
        return ""
    return "image" if suffix in IMAGE_SUFFIXES else "video"


def name_suffix(name: str) -> str:
    """Return the last suffix of a path in lower case, for example ".png"; "" if it has none."""
    base = name.rpartition("/")[2]
    stem, dot, suffix = base.rpartition(".")
    return f".{suffix.lower()}" if dot and stem else ""


def is_hidden(path: str) -> bool:
    """Return whether a file or folder, or a folder above it in the path, is hidden.

    Args:
        path: relative to what is searched, with `/` between its parts, so that folders above that do not
            count.
    """
    return any(
        (part.startswith(".") and part.strip(".")) or part.lower() in _HIDDEN_NAMES
        for part in path.split("/")
    )


def repeated_names(names: Iterable[str]) -> set[str]:
    """Return the names that are there more than once."""
    seen, repeated = set[str](), set[str]()
    for name in names:
        (repeated if name in seen else seen).add(name)
    return repeated
