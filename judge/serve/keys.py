"""API keys. The server stores only their SHA-256.

A key is 32 random bytes, so it cannot be found by guessing. A plain hash is therefore enough; the slow,
salted hashes that passwords need would only make every request slow. The presented key is compared with every
stored hash, and each comparison takes the same time, so timing reveals nothing about the stored keys.
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

ENVIRONMENT_VARIABLE = "JUDGE_KEYS"
"""Environment variable with the lines of a keys file, separated by commas."""
_LINE = re.compile(r"([A-Za-z0-9._-]{1,64}):([0-9a-f]{64})")
_LINE_FORMAT = "NAME:SHA256 with 64 hex digits, one per line"


@dataclass(frozen=True)
class Keys:
    """Names of callers and the hashes of their keys. Without any keys, access is open."""

    hashes: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path | None) -> Self:
        """Read keys from a file, or from the environment variable `JUDGE_KEYS`, or return none.

        Raises:
            InputError: the file cannot be read, a line is not valid, or the source holds no key: a server
                that was meant to be protected must not be open by mistake.
        """
        if file is not None:
            try:
                return cls._parse(file.read_text("utf-8").splitlines(), str(file))
            except (OSError, UnicodeDecodeError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                mend = f"{reason}: make one with --new-key NAME"
                raise InputError("keys", str(file), "a readable file of key hashes", mend) from None
        if ENVIRONMENT_VARIABLE in os.environ:
            return cls._parse(os.environ[ENVIRONMENT_VARIABLE].split(","), ENVIRONMENT_VARIABLE)
        return cls()

    @classmethod
    def _parse(cls, lines: list[str], source: str) -> Self:
        hashes: dict[str, str] = {}
        for number, line in enumerate(map(str.strip, lines), 1):
            if not line or line.startswith("#"):
                continue
            match = _LINE.fullmatch(line)
            if match is None or match[1] in hashes:
                mend = f"correct line {number} of {source}: only names and hashes, each name once"
                raise InputError("keys", f"line {number}", _LINE_FORMAT, mend)
            hashes[match[1]] = match[2]
        if not hashes:
            raise InputError("keys", source, f"at least one {_LINE_FORMAT}", "make one with --new-key NAME")
        return cls(hashes)

    def __bool__(self) -> bool:
        return bool(self.hashes)

    def owner(self, key: str) -> str | None:
        """Return the name of a key's owner, None if the key is unknown."""
        presented, owner = _hash(key), None
        for name, stored in self.hashes.items():
            if hmac.compare_digest(presented, stored):
                owner = name
        return owner


def create_key(name: str, file: Path | None) -> tuple[str, str]:
    """Create a key.

    Args:
        name: name of its owner.
        file: keys file to which its line is added; None for none.

    Returns:
        The key, and the line that lets a server recognise it.

    Raises:
        InputError: the name is not valid or already used, or the file cannot be written.
    """
    key = f"jk_{secrets.token_urlsafe(32)}"
    line = f"{name}:{_hash(key)}"
    if not _LINE.fullmatch(line):
        raise InputError("new-key", name, "1 to 64 letters, digits, '.', '_' or '-'", "choose another name")
    if file is not None:
        _append(line, name, file)
    return key, line


def _append(line: str, name: str, file: Path) -> None:
    """Add a line to a keys file, which only its owner can read and which is replaced as a whole."""
    text = file.read_text("utf-8") if file.is_file() else ""
    if text.strip() and name in Keys._parse(text.splitlines(), str(file)).hashes:
        raise InputError("new-key", name, "a name that has no key yet", "choose another, or delete its line")
    part = file.with_name(f".{file.name}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
            out.write(f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{line}\n")
        part.replace(file)
    except OSError as error:
        raise InputError("keys", str(file), "a file that can be written", error.strerror or "") from None


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()
