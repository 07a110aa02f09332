"""API keys. The server keeps only their SHA-256.

A key is 32 random bytes, so nobody can find it by trying: a plain hash is enough, and the slow, salted
hashes that passwords need would only make every request slow. Comparisons take the same time whatever
part of a key is right, and every key is compared with, so that time does not tell which one came close.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from judge.errors import InputError

VARIABLE = "JUDGE_KEYS"
"""Environment variable that holds lines of a keys file, separated by commas."""
_LINE = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-f]{64})")
_FORM = "NAME:SHA256 with 64 hex digits, one a line"


@dataclass(frozen=True)
class Keys:
    """Names of callers and the hashes of their keys. Without any, everybody may ask."""

    hashes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path | None) -> Self:
        """Keys of a file, else of the environment variable `JUDGE_KEYS`, else none.

        Raises:
            InputError: the file cannot be read, a line is none, or there is no key in what was given:
                a server that was meant to be closed must not stand open by a slip.
        """
        if file is not None:
            try:
                return cls._parsed(file.read_text("utf-8").splitlines(), str(file))
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                mend = f"{reason}: make one with --new-key NAME"
                raise InputError("keys", str(file), "a readable file of key hashes", mend) from None
        if VARIABLE in os.environ:
            return cls._parsed(os.environ[VARIABLE].split(","), VARIABLE)
        return cls()

    @classmethod
    def _parsed(cls, lines: list[str], source: str) -> Self:
        hashes: dict[str, str] = {}
        for number, line in enumerate(map(str.strip, lines), 1):
            if not line or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line)
            if match is None or match[1] in hashes:
                mend = f"mend line {number} of {source}: names and hashes only, each name once"
                raise InputError("keys", f"line {number}", _FORM, mend)
            hashes[match[1]] = match[2]
        if not hashes:
            raise InputError("keys", source, f"at least one {_FORM}", "make one with --new-key NAME")
        return cls(hashes)

    def __bool__(self) -> bool:
        return bool(self.hashes)

    def owner(self, key: str) -> str | None:
        """Whose key this is; None when it is nobody's."""
        presented, found = _hash(key), None
        for name, known in self.hashes.items():
            if hmac.compare_digest(presented, known):
                found = name
        return found


def made(name: str, file: Path | None) -> tuple[str, str]:
    """A new key, and the line that lets a server know it; appended to `file` where one is given.

    Raises:
        InputError: the name is unusable or taken, or the file cannot be written.
    """
    key = f"jk_{secrets.token_urlsafe(32)}"
    line = f"{name}:{_hash(key)}"
    if not _LINE.fullmatch(line):
        raise InputError("new-key", name, "1 to 64 letters, digits, '.', '_' or '-'", "choose another name")
    if file is not None:
        _append(line, name, file)
    return key, line


def _append(line: str, name: str, file: Path) -> None:
    old = file.read_text("utf-8") if file.is_file() else ""
    if old.strip() and name in Keys._parsed(old.splitlines(), str(file)).hashes:
        raise InputError("new-key", name, "a name that has no key yet", "choose another, or delete its line")
    draft = file.with_name(f".{file.name}.part")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(f"{old}{'' if not old or old.endswith(chr(10)) else chr(10)}{line}\n")
        draft.replace(file)
    except OSError as error:
        raise InputError("keys", str(file), "a file that can be written", error.strerror or "") from None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
