"""Accelerators, described by the numbers of their data sheets."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from judge.errors import InputError

ACCELERATORS_FILE = Path(str(files("judge"))) / "assets" / "cards.toml"
"""Data sheets by short name (h100, l4, ...)."""


@dataclass(frozen=True)
class Accelerator:
    """One accelerator as its data sheet describes it."""

    name: str
    flops: float
    """Dense bfloat16 operations per second."""
    bandwidth: float
    """Memory bandwidth in bytes per second."""
    memory: float
    """Memory size in bytes."""

    @classmethod
    def parse(cls, text: str) -> Accelerator:
        """Return the accelerator that a command-line option names.

        Args:
            text: a short name from `assets/cards.toml`, or "FLOPS,BANDWIDTH,MEMORY" in operations per second,
                bytes per second and bytes.

        Raises:
            InputError: the text is neither.
        """
        known = tomllib.loads(ACCELERATORS_FILE.read_text("utf-8"))
        if text in known:
            return cls(**known[text])
        try:
            numbers = [float(part) for part in text.split(",")]
            if len(numbers) == 3 and all(0 < number < math.inf for number in numbers):
                return cls(text, *numbers)
        except ValueError:
            pass
        suggestion = get_close_matches(text, known, n=1, cutoff=0.0)[0]
        allowed = f"{', '.join(known)}, or FLOPS,BANDWIDTH,MEMORY in units of one"
        raise InputError("card", text, allowed, f"did you mean {suggestion!r}?")
