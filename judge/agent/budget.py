"""How many closer looks, and how much time, one sample may take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from judge.errors import InputError

DEFAULT_LOOKS = 0
"""Closer looks at one image in addition to the first, unless more are asked for."""
RECOMMENDED_LOOKS = 2
"""Enough for elements and defects in doubt; most images need none of them."""
MAX_LOOKS = 1024
"""Maximum number of looks that may be asked for."""


def check_looks(looks: int) -> int:
    """Return the number of looks; raise `InputError` unless it is an integer from 0 to 1024."""
    if isinstance(looks, bool) or not isinstance(looks, int) or not 0 <= looks <= MAX_LOOKS:
        mend = f"{RECOMMENDED_LOOKS} is enough for doubts, 200 for an image of 4K"
        raise InputError("looks", looks, f"0 to {MAX_LOOKS}", mend)
    return looks


def check_deadline(seconds: float | None) -> float:
    """Return the deadline in seconds, infinity for None; raise `InputError` unless it is a number above 0."""
    if seconds is None:
        return math.inf
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds > 0:
        raise InputError("deadline", seconds, "seconds above 0", "leave it out for no deadline")
    return float(seconds)


@dataclass
class Budget:
    """What one sample may spend in addition to its first look."""

    looks: int = DEFAULT_LOOKS
    """Number of looks that are left."""
    deadline: float = math.inf
    """Time of `clock` at which the last look must be done."""
    clock: Callable[[], float] = time.perf_counter
    """Returns the time in seconds."""
    seconds_per_question: float = 0.0
    """Highest mean time of a question in a round so far; 0 if no round was measured."""

    def count_affordable(self, wanted: int) -> int:
        """Return for how many of the wanted questions there are looks and time."""
        time_left = self.deadline - self.clock()
        is_unlimited = math.isinf(time_left) or not self.seconds_per_question
        in_time = wanted if is_unlimited else int(time_left / self.seconds_per_question)
        return max(0, min(wanted, self.looks, in_time)) if time_left > 0 else 0

    def record_time(self, milliseconds: float) -> None:
        """Record the mean time of a question in a round."""
        self.seconds_per_question = max(self.seconds_per_question, milliseconds / 1000)
