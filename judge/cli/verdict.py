"""`judge verdict`: judge images or videos of one prompt."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from judge.cli import judges
from judge.cli.options import (
    DEFAULT_MAX_ELEMENTS,
    DEFAULT_MODEL,
    DEFAULT_RUBRIC,
    Adapter,
    Anyway,
    AsJson,
    BackendName,
    BaseUrl,
    Deadline,
    Elements,
    Looks,
    MaxElements,
    Model,
    ModelOptions,
    NegativePrompt,
    OptionsFile,
    Prompt,
    Reference,
    RubricName,
    split_elements,
    zoom_in_arguments,
)
from judge.cli.output import one_line_errors, print_error, print_rich
from judge.errors import InputError

if TYPE_CHECKING:
    from judge.types import Verdict

OVERLAY_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def verdict(
    images: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Images or videos, all of the same prompt.")
    ],
    prompt: Prompt = "",
    negative: NegativePrompt = "",
    elements: Elements = None,
    max_elements: MaxElements = DEFAULT_MAX_ELEMENTS,
    reference: Reference = None,
    rubric: RubricName = DEFAULT_RUBRIC,
    model: Model = DEFAULT_MODEL,
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    option: ModelOptions = None,
    options_file: OptionsFile = None,
    looks: Looks = 0,
    deadline: Deadline = None,
    anyway: Anyway = False,
    as_json: AsJson = False,
    overlay: Annotated[
        Path | None,
        typer.Option(help="Draw the verdict into this file; with several images NAME-1.png, NAME-2.png, ..."),
    ] = None,
    heat: Annotated[
        bool,
        typer.Option("--heat", help="Add heat maps of score and defects, to the overlay and to --json."),
    ] = False,
) -> None:
    """Judge images or videos of one prompt. Videos use the rubric video unless --rubric names another."""
    exit_code = 0
    with one_line_errors():
        overlay_files = _overlay_files(overlay, len(images))
        options = judges.parse_judge_options(option, options_file, model, backend, base_url)
        options |= judges.element_options(max_elements) | judges.domain_options(anyway)
        judge_with = cache(lambda name: judges.open_judge(model, adapter, backend, name, base_url, **options))
        for source, overlay_file in zip(images, overlay_files, strict=True):
            try:
                video = judges.is_video(source)
                judge = judge_with(judges.select_rubric(video, rubric))
                result = judge(
                    None if video else source,
                    video=source if video else None,
                    prompt=prompt,
                    negative_prompt=negative,
                    elements=split_elements(elements),
                    id=source,
                    reference=reference,
                    **zoom_in_arguments(looks, deadline),
                    heat=heat,
                )
                if overlay_file is not None:
                    _save_overlay(result, overlay_file)
            except InputError as error:
                if error.field not in ("image", "video") or len(images) == 1:
                    raise
                print_error(error)  # one bad file must not stop the others
                exit_code = 2
                continue
            _print_verdict(result, as_json)
            exit_code = max(exit_code, int(result.status == "unscored"))
    raise typer.Exit(exit_code)


def _print_verdict(result: Verdict, as_json: bool) -> None:
    if as_json:
        typer.echo(result.model_dump_json())
    else:
        from judge.explain.terminal import render_verdict

        print_rich(render_verdict(result))


def _overlay_files(overlay: Path | None, count: int) -> list[Path | None]:
    """Return one overlay file per image: FILE itself for one image, FILE's stem with -1, -2, ... for several.

    Raises:
        InputError: FILE cannot hold an image. It is checked here, before the model runs.
    """
    if overlay is None:
        return [None] * count
    if overlay.suffix.lower() not in OVERLAY_SUFFIXES:
        raise InputError(
            "overlay", str(overlay), f"files that end in {', '.join(OVERLAY_SUFFIXES)}", "rename it"
        )
    if not overlay.parent.is_dir():
        raise InputError("overlay", str(overlay), "a file in an existing folder", "make the folder first")
    if count == 1:
        return [overlay]
    return [overlay.with_stem(f"{overlay.stem}-{number}") for number in range(1, count + 1)]


def _save_overlay(result: Verdict, file: Path) -> None:
    try:
        result.overlay().save(file)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("overlay", str(file), "a file that can be written", reason) from None
