"""What the compared systems have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from judge.types import Depth, Sample


class SystemUnavailableError(Exception):
    """A system that cannot run here, or not at this depth. The message says why."""


@dataclass(frozen=True)
class TimedRun:
    """One run of a system over all samples at one depth."""

    seconds: float
    """Wall time, without what a system may prepare beforehand."""
    count: int
    """Number of samples that were answered."""
    usable: int
    """Number of answers that fit their form."""
    latencies: list[float] = field(default_factory=list)
    """Seconds of each request, for systems that answer requests one by one."""
    errors: int = 0
    """Number of requests that failed."""


class SystemGroup(Protocol):
    """Systems that share a process and its model."""

    def start(self) -> dict[str, dict[str, Any]]:
        """Load the model.

        Returns:
            What the result reports of each system, for example its batch size, by the system's name.

        Raises:
            SystemUnavailableError: none of the systems can run.
        """
        ...

    def run(self, name: str, depth: Depth, run_id: int, count: int) -> TimedRun:
        """Answer the first `count` samples once.

        Args:
            name: name of the system.
            depth: depth of the answers.
            run_id: unique number of the run. It changes a pixel of each image, so that no cache of images
            helps.
            count: number of samples.

        Raises:
            SystemUnavailableError: the system has no answer at this depth.
        """
        ...

    def stop(self) -> None:
        """Release the model."""
        ...


def with_unique_images(samples: Sequence[Sample], run_id: int) -> list[Sample]:
    """Return the samples with a corner pixel that encodes the run, so that no cache has the images."""
    return [sample.model_copy(update={"image": _mark(sample.image, run_id)}) for sample in samples]


def _mark(pixels: Any, run_id: int) -> Any:
    marked = pixels.copy()
    marked[0, 0] = [run_id & 255, run_id >> 8 & 255, run_id >> 16 & 255]
    return marked
