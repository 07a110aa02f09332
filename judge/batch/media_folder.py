"""Rows of a folder: each image and video in it and below it.

The id of a row is its path below the folder. `NAME.txt`, or else `NAME.png.txt`, holds the prompt of
`NAME.png`. Hidden files and folders are not read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import Any

from judge.errors import InputError
from judge.media.file_names import TEXT_SUFFIX, MediaKind, is_hidden, media_kind, name_suffix
from judge.pipeline.rows import BadRow
from judge.pipeline.validation import replace_surrogates
from judge.tables.text import decode_text
from judge.types import Sample


class MediaFolder:
    """The files in and below a folder.

    Args:
        system: the fsspec file system.
        path: of the folder.
        to_path: makes a path of this file system of a text.
    """

    def __init__(self, system: Any, path: str, to_path: Callable[[str], PurePath]) -> None:
        self.system, self.to_path = system, to_path
        root = to_path(path)
        self.files: dict[str, str] = {}
        """Path below the folder -> path, in order. Hidden files are left out."""
        self.hidden = 0
        for file in sorted(map(str, system.find(path))):
            relative = to_path(file).relative_to(root).as_posix()
            if is_hidden(relative):
                self.hidden += 1
            else:
                self.files[relative] = file

    def media(self) -> dict[str, MediaKind]:
        """Return the images and videos by their path below the folder, in order."""
        return {name: kind for name in self.files if (kind := media_kind(name))}

    def rows(self, unused: Counter[str]) -> Iterator[Sample | BadRow]:
        """Yield a row for each image and video, and count what is not used."""
        media, prompts = self.media(), set[str]()
        for name, kind in media.items():
            names = (name.removesuffix(PurePath(name).suffix), name)
            prompt_name = next((n + TEXT_SUFFIX for n in names if n + TEXT_SUFFIX in self.files), "")
            prompts.add(prompt_name)
            row_id = replace_surrogates(name)
            try:
                prompt = self._read_text(prompt_name) if prompt_name else ""
                yield Sample(id=row_id, prompt=prompt, **{kind: self.to_path(self.files[name])})
            except InputError as error:
                yield BadRow(row_id, str(error))
        unused["hidden files"] += self.hidden
        for name in self.files:
            if name not in media and name not in prompts:
                unused[f"{name_suffix(name) or 'other'} files"] += 1

    def _read_text(self, name: str) -> str:
        return decode_text(self.system.cat_file(self.files[name]), name, "prompt").strip()
