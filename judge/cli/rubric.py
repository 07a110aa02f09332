"""`judge rubric new|check|show`: write a rubric, see what is wrong with it and what a model reads of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from judge.errors import InputError

if TYPE_CHECKING:
    from judge.rubrics.rubric import Rubric

app = typer.Typer(help="Rubrics: what is asked of a picture.", no_args_is_help=True, add_completion=False)

Source = Annotated[str, typer.Argument(metavar="RUBRIC", help="Name of a rubric, or a .toml file.")]


@app.command()
def new(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The .toml file to write.")],
    like: Annotated[
        str | None, typer.Option("--from", help="Start from this rubric; default: a commented example.")
    ] = None,
) -> None:
    """Write a rubric to begin with. It is valid as it stands."""
    from judge.cli.errors import one_line_errors
    from judge.rubrics.files import locate
    from judge.rubrics.templates import prompts

    with one_line_errors():
        if file.suffix != ".toml":
            raise InputError("file", str(file), "a name that ends in .toml", "rename it")
        if file.exists():
            raise InputError("file", str(file), "a file that is not there yet", "choose another name")
        source = locate(like) if like else prompts() / "example.toml"
        text = source.read_text("utf-8")
        if like is None:
            text = text.replace('name = "example"', f'name = "{_name(file.stem)}"')
        try:
            file.write_text(text, "utf-8")
        except OSError as error:
            raise InputError("file", str(file), "a file that can be written", str(error.strerror)) from None
    typer.echo(f"{file}: edit it, then judge rubric check {file}", err=True)


@app.command()
def check(source: Source) -> None:
    """Say whether a rubric is valid; if not, where and why, and exit with 2."""
    from judge.cli.errors import one_line_errors
    from judge.rubrics.rubric import Rubric

    with one_line_errors():
        typer.echo(_line(Rubric.load(source)))


@app.command()
def show(
    source: Annotated[
        str | None, typer.Argument(metavar="[RUBRIC]", help="Name or .toml file; without it all are listed.")
    ] = None,
    prompt: Annotated[str, typer.Option("--prompt", "-p", help="Prompt to put in.")] = "a red cat",
    brief: Annotated[bool, typer.Option("--brief", help="As models read it that were tuned on it.")] = False,
    score: Annotated[bool, typer.Option("--score", help="At score depth.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The JSON schema of the answer.")] = False,
) -> None:
    """Show what a model is told, picture by picture and turn by turn."""
    import json

    from judge.cli.errors import one_line_errors
    from judge.rubrics.files import known
    from judge.rubrics.rubric import Rubric

    with one_line_errors():
        if source is None:
            for name in known():
                typer.echo(_line(Rubric.load(name)))
            return
        rubric = Rubric.load(source)
        elements = _elements(rubric, prompt)
        if as_json:
            form = rubric.form(elements).at_depth("score" if score else "verdict")
            typer.echo(json.dumps(form.json_schema(), indent=2, ensure_ascii=False))
            return
        typer.echo(f"{_line(rubric)}\n")
        shown = rubric.messages(
            prompt,
            elements,
            brief=brief,
            depth="score" if score else "verdict",
            reference=rubric.reference != "none",
        )
        typer.echo("\n\n".join(map(_turn, shown)))


def _line(rubric: Rubric) -> str:
    needs = [
        *(["a prompt"] if rubric.needs_prompt else []),
        *([f"a reference ({rubric.reference})"] if rubric.reference != "none" else []),
    ]
    wants = f" Takes {' and '.join(needs)}." if needs else ""
    return f"{rubric.name} {rubric.version} ({rubric.hash}): {rubric.description}{wants}"


def _elements(rubric: Rubric, prompt: str) -> list[str]:
    from judge.elements.splitting import split

    return split(prompt) if rubric.elements else []


def _turn(message: dict[str, Any]) -> str:
    parts = ("[picture]" if part["type"] == "image" else part["text"] for part in message["content"])
    return "\n".join([f"--- {message['role']}", *parts])


def _name(stem: str) -> str:
    """A file's name as a rubric may be called."""
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in stem.lower()).strip("_")
    return kept or "mine"
