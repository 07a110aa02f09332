"""Open the judge that a command's options select."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from judge.cli.options import DEFAULT_MAX_ELEMENTS, DEFAULT_RUBRIC

if TYPE_CHECKING:
    from judge.judge import Judge

VIDEO_RUBRIC = "video"


def open_judge(
    model: str,
    adapter: str | None,
    backend: str,
    rubric: str,
    base_url: str | None,
    max_elements: int = DEFAULT_MAX_ELEMENTS,
    elements: str = "auto",
) -> Judge:
    """Return the judge for the given options. Its model is loaded at the first verdict.

    Commands call this as `judges.open_judge`, so that tests can replace it with a scripted judge.

    Raises:
        InputError: an option is not usable.
    """
    from judge.judge import Judge

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return Judge(
        model,
        adapter=adapter,
        backend=backend,
        rubric=rubric,
        base_url=base_url,
        max_elements=max_elements,
        elements=elements,
    )


def element_options(max_elements: int, elements: str = "auto") -> dict[str, Any]:
    """Return the arguments of `open_judge` for `--max-elements` and `--elements`, without their defaults."""
    options: dict[str, Any] = {} if max_elements == DEFAULT_MAX_ELEMENTS else {"max_elements": max_elements}
    return options if elements == "auto" else {**options, "elements": elements}


def is_video(source: str) -> bool:
    """Return whether a file name or `data:` URL is a video, by its suffix or media type."""
    from judge.media.decoding import VIDEO_SUFFIXES

    return source[:11].lower() == "data:video/" or Path(source).suffix.lower() in VIDEO_SUFFIXES


def select_rubric(takes_video: bool, rubric: str) -> str:
    """Return the rubric to use: `video` for videos unless `--rubric` names another one."""
    return VIDEO_RUBRIC if takes_video and rubric == DEFAULT_RUBRIC else rubric
