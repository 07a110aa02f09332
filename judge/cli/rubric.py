"""`judge rubric new|check|show`: create a rubric, validate it, and show the messages that a model reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from judge.cli.output import one_line_errors
from judge.errors import InputError

if TYPE_CHECKING:
    from judge.rubrics.rubric import Rubric

app = typer.Typer(
    help="Rubrics: the questions asked about an image.", no_args_is_help=True, add_completion=False
)

Source = Annotated[str, typer.Argument(metavar="RUBRIC", help="Name of a rubric, or a .toml file.")]


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The .toml file to write.")],
    source: Annotated[
        str | None, typer.Option("--from", help="Start from this rubric; default: a commented example.")
    ] = None,
) -> None:
    """Create a rubric to edit. It is valid as it is."""
    from judge.rubrics.files import find_rubric_file
    from judge.rubrics.templates import prompts_folder

    with one_line_errors():
        if file.suffix != ".toml":
            raise InputError("file", str(file), "a name that ends in .toml", "rename it")
        if file.exists():
            raise InputError("file", str(file), "a file that does not exist yet", "choose another name")
        template = find_rubric_file(source) if source else prompts_folder() / "example.toml"
        text = template.read_text("utf-8")
        if source is None:
            text = text.replace('name = "example"', f'name = "{_rubric_name(file.stem)}"')
        try:
            file.write_text(text, "utf-8")
        except OSError as error:
            raise InputError("file", str(file), "a file that can be written", str(error.strerror)) from None
    typer.echo(f"{file}: edit it, then judge rubric check {file}", err=True)


@app.command()
def check(source: Source) -> None:
    """Validate a rubric. If it is not valid, say where and why, and exit with code 2."""
    from judge.rubrics.rubric import Rubric

    with one_line_errors():
        typer.echo(_summary(Rubric.load(source)))


@app.command()
def show(
    source: Annotated[
        str | None, typer.Argument(metavar="[RUBRIC]", help="Name or .toml file. Default: list all rubrics.")
    ] = None,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="Prompt to insert.")] = "a red cat",
    brief: Annotated[bool, typer.Option("--brief", help="As shown to models that were tuned on it.")] = False,
    score: Annotated[bool, typer.Option("--score", help="At score depth.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the JSON schema of the answer.")] = False,
) -> None:
    """Show the messages that a model receives, turn by turn."""
    import json

    from judge.rubrics.files import list_rubric_names
    from judge.rubrics.rubric import Rubric

    with one_line_errors():
        if source is None:
            for name in list_rubric_names():
                typer.echo(_summary(Rubric.load(name)))
            return
        rubric = Rubric.load(source)
        rubric = rubric if brief else rubric.for_general_models()
        elements = _elements(rubric, prompt)
        if as_json:
            form = rubric.form(elements).at_depth("score" if score else "verdict")
            typer.echo(json.dumps(form.json_schema(), indent=2, ensure_ascii=False))
            return
        typer.echo(f"{_summary(rubric)}\n")
        messages = rubric.messages(
            prompt,
            elements,
            brief=brief,
            depth="score" if score else "verdict",
            reference=rubric.reference != "none",
        )
        typer.echo("\n\n".join(map(_format_message, messages)))


def _summary(rubric: Rubric) -> str:
    """Describe a rubric on one line: name, version, hash, description and inputs."""
    inputs = [
        *(["a prompt"] if rubric.needs_prompt else []),
        *([f"a reference ({rubric.reference})"] if rubric.reference != "none" else []),
    ]
    takes = f" Takes {' and '.join(inputs)}." if inputs else ""
    return f"{rubric.name} {rubric.version} ({rubric.hash}): {rubric.description}{takes}"


def _elements(rubric: Rubric, prompt: str) -> list[str]:
    from judge.pipeline.domain import list_for_tuned_model

    if not rubric.elements:
        return []
    return [statement.name for statement in list_for_tuned_model(prompt).statements]


def _format_message(message: dict[str, Any]) -> str:
    """Format one chat message as text, its role first."""
    parts = ("[image]" if part["type"] == "image" else part["text"] for part in message["content"])
    return "\n".join([f"--- {message['role']}", *parts])


def _rubric_name(stem: str) -> str:
    """Turn the stem of a file name into a valid rubric name."""
    name = "".join(c if c.isascii() and c.isalnum() else "_" for c in stem.lower()).strip("_")
    return name or "mine"
