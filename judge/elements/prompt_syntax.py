"""Read the syntax of image generators in a prompt: what remains is plain text.

`read_prompt` is the entry. Its result goes to `judge.elements.element_list.list_elements`.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class PlainPrompt:
    """A prompt without the syntax of a generator."""

    text: str
    """Plain clauses on one line. Line ends and items of lists have become sentence ends."""
    negative: list[str] = field(default_factory=list)
    """Phrases that the image must not show, from a negative prompt, `--no` or a negative weight."""
    style: list[str] = field(default_factory=list)
    """Phrases about quality and fashion that name nothing in the image, such as "masterpiece"."""
    settings: dict[str, str] = field(default_factory=dict)
    """Settings of the generator, such as `steps` or `ar`."""
    notes: list[str] = field(default_factory=list)
    """What was read as syntax, for the verdict's notes."""


def read_prompt(text: str) -> PlainPrompt:
    """Read a prompt.

    Args:
        text: the prompt as its author wrote it, with line ends.

    Returns:
        The plain prompt; ordinary text without line ends is returned unchanged.
    """
    return PlainPrompt(" ".join(text.split()))
