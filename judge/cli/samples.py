"""`judge elements`, `judge read` and `judge scenes`: statements, writing in images, labelled test images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from judge.cli import judges
from judge.cli.options import (
    DEFAULT_MAX_ELEMENTS,
    DEFAULT_MODEL,
    DEFAULT_RUBRIC,
    Adapter,
    AsJson,
    BackendName,
    BaseUrl,
    MaxElements,
    Model,
    ModelOptions,
    NegativePrompt,
    OptionsFile,
)
from judge.cli.output import one_line_errors, progress_bar
from judge.errors import InputError, JudgeError
from judge.explain.plain_text import to_plain_text

MAX_SHEET_SCENES = 36


def elements(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="Text to split.")],
    by: Annotated[
        str | None, typer.Option(help="auto, rules, grammar, words or model; default: as verdicts do.")
    ] = None,
    negative: NegativePrompt = "",
    max_elements: MaxElements = DEFAULT_MAX_ELEMENTS,
    model: Model = DEFAULT_MODEL,
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    option: ModelOptions = None,
    options_file: OptionsFile = None,
    as_json: AsJson = False,
) -> None:
    """Split a prompt into statements to check: kind, statement, and the statements it depends on.

    A statement after "no" must not hold. Notes about what was read as syntax, or left out, go to stderr.
    """
    with one_line_errors():
        options = judges.parse_judge_options(option, options_file, model, backend, base_url)
        options |= judges.element_options(max_elements)
        judge = judges.open_judge(model, adapter, backend, DEFAULT_RUBRIC, base_url, **options)
        listed = judge.element_list(prompt, negative_prompt=negative, by=by)  # type: ignore[arg-type]
    for note in listed.notes:
        typer.echo(f"note: {note}", err=True)
    for statement in listed.statements:
        needs = f"  needs {', '.join(statement.needs)}" if statement.needs else ""
        text = f"{statement.kind:<10} {'' if statement.expected else 'no '}{statement.name}{needs}"
        typer.echo(statement.model_dump_json() if as_json else text)


def read(
    images: Annotated[list[str], typer.Argument(metavar="FILE...", help="Images.")],
    as_json: AsJson = False,
) -> None:
    """Read the writing in images: confidence, x1 y1 x2 y2 in pixels, and text of each line."""
    with one_line_errors():
        from judge.evidence.text import read_text_lines
        from judge.media.image import load_image

        for source in images:
            lines = read_text_lines(load_image(source).image)
            if as_json:
                typer.echo(json.dumps({"image": source, "texts": [line.model_dump() for line in lines]}))
                continue
            for line in lines:
                box = " ".join(f"{value:.0f}" for value in line.box)
                typer.echo(to_plain_text(f"{line.confidence:.2f}  {box}  {line.text}"))
            if not lines:
                typer.echo(f"no writing was read in {to_plain_text(source)}", err=True)


def scenes(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    count: Annotated[int, typer.Option(help="Number of scenes.")] = 100,
    seed: Annotated[int, typer.Option(help="The same seed gives the same scenes.")] = 0,
    sheet: Annotated[bool, typer.Option("--sheet", help="Also write sheet.png, a contact sheet.")] = False,
    video: Annotated[bool, typer.Option("--video", help="Draw clips (MP4) instead of images.")] = False,
) -> None:
    """Draw labelled scenes: images, masks and rows.jsonl; or clips and rows.jsonl."""
    with one_line_errors():
        try:
            from judge import scenes as drawing
            from judge.scenes.dataset import drawing_seeds, write_clips
        except ImportError as error:
            raise JudgeError(f"scenes: a package needed to draw scenes is not installed ({error})") from None
        scene_seeds = drawing_seeds(seed, count)
        if sheet and count < 1:
            raise InputError("count", count, "1 or more with --sheet", "draw some scenes")
        if sheet and video:
            raise InputError("sheet", sheet, "no --sheet with --video", "leave one of the two out")
        try:
            with progress_bar(count) as advance:
                for _ in (write_clips if video else drawing.write_scenes)(out, count, seed):
                    advance()
            if sheet:
                shown = map(drawing.draw_scene, scene_seeds[:MAX_SHEET_SCENES])
                drawing.make_contact_sheet(shown).save(out / "sheet.png")
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError("out", str(out), "a folder that can be written", reason) from None
    typer.echo(f"{out}: {count} scenes", err=True)
