"""Open the judge that a command's options select."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from judge.cli.options import DEFAULT_MAX_ELEMENTS, DEFAULT_RUBRIC
from judge.errors import InputError

if TYPE_CHECKING:
    from judge.judge import Judge

VIDEO_RUBRIC = "video"


def open_judge(
    model: str, adapter: str | None, backend: str, rubric: str, base_url: str | None, **options: Any
) -> Judge:
    """Return the judge for the given options. Its model is loaded at the first verdict.

    Commands call this as `judges.open_judge`, so that tests can replace it with a scripted judge.

    Args:
        model: value of `--model`.
        adapter: value of `--adapter`.
        backend: value of `--backend`.
        rubric: value of `--rubric`.
        base_url: value of `--base-url`.
        options: what `parse_judge_options` returned.

    Raises:
        InputError: an option is not usable.
    """
    from judge.judge import Judge

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return Judge(model, adapter=adapter, backend=backend, rubric=rubric, base_url=base_url, **options)


def element_options(max_elements: int, elements: str = "auto") -> dict[str, Any]:
    """Return the arguments of `open_judge` for `--max-elements` and `--elements`, without their defaults."""
    options: dict[str, Any] = {} if max_elements == DEFAULT_MAX_ELEMENTS else {"max_elements": max_elements}
    return options if elements == "auto" else {**options, "elements": elements}


def domain_options(anyway: bool) -> dict[str, Any]:
    """Return the arguments of `open_judge` for `--anyway`, without the default."""
    return {"out_of_domain": "score"} if anyway else {}


def parse_judge_options(
    texts: Sequence[str] | None, file: Path | None, model: str, backend: str, base_url: str | None
) -> dict[str, Any]:
    """Parse `--option` and `--options` by the arguments of what runs the model.

    Args:
        texts: values of `--option`.
        file: value of `--options`.
        model: value of `--model`.
        backend: value of `--backend`.
        base_url: value of `--base-url`.

    Returns:
        Name -> value, as `Judge` takes them.

    Raises:
        InputError: there is no such option, or its value has another type.
    """
    if not texts and file is None:
        return {}
    from judge.backends.options import OptionSet, signature_options
    from judge.pipeline.validation import check_backend, is_address

    if is_address(model):
        from judge.remote.client import Client

        known = OptionSet("a judge at an address", signature_options(Client))
    else:
        known = OptionSet.of_backend(check_backend(backend, base_url), model, common=True)
    return known.parse(texts or (), file)


def is_video(source: str) -> bool:
    """Return whether a file name or `data:` URL is a video, by its suffix or media type."""
    from judge.media.decoding import VIDEO_SUFFIXES

    return source[:11].lower() == "data:video/" or Path(source).suffix.lower() in VIDEO_SUFFIXES


def select_rubric(takes_video: bool, rubric: str) -> str:
    """Return the rubric to use: `video` for videos unless `--rubric` names another one."""
    return VIDEO_RUBRIC if takes_video and rubric == DEFAULT_RUBRIC else rubric


def select_rubric_of_rows(kinds: Collection[str], field: str, source: str, rubric: str) -> str:
    """Return the rubric to use for rows.

    Args:
        kinds: what the rows are: "image", "video".
        field: what the caller calls the rows; errors name it.
        source: where they are.
        rubric: value of `--rubric`.

    Raises:
        InputError: there are both, and the rubric is the default.
    """
    if len(kinds) > 1 and rubric == DEFAULT_RUBRIC:
        mend = "choose a --rubric, or put them into separate places"
        raise InputError(field, source, "only images or only videos", mend)
    return select_rubric("video" in kinds, rubric)
