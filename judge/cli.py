"""The command line. Heavy imports stand inside the commands, so that `judge --help` is quick.

Exit codes: 0 done; 1 the model could not be run, or gave a verdict without a score; 2 bad input.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from judge.errors import InputError, JudgeError
from judge.rubric_cli import app as rubrics

if TYPE_CHECKING:
    from judge.judge import Judge
    from judge.types import Depth, Verdict

app = typer.Typer(
    help="Judge generated images: a score, what is there, what is broken and where.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(rubrics, name="rubric")
OVERLAYS = (".png", ".jpg", ".jpeg", ".webp")


class DepthName(StrEnum):
    score = "score"
    verdict = "verdict"


Prompt = Annotated[str, typer.Option("--prompt", "-p", help="Text the picture was made from.")]
Elements = Annotated[
    str | None, typer.Option(help="Statements to check, separated by commas. Default: taken from the prompt.")
]
RubricName = Annotated[
    str, typer.Option("--rubric", help="Name of a rubric (see: judge rubric show), or a .toml file.")
]
Reference = Annotated[
    str | None, typer.Option(help="Picture to compare with, for rubrics that use one (edit, restoration).")
]
Model = Annotated[str, typer.Option(help="embedded, or the name or folder of a Qwen-VL checkpoint.")]
Adapter = Annotated[str | None, typer.Option(help="Name or folder of a LoRA adapter.")]
BackendName = Annotated[str, typer.Option("--backend", help="auto, transformers, vllm or openai.")]
BaseUrl = Annotated[str | None, typer.Option(help="Address of an OpenAI-compatible server.")]
Looks = Annotated[
    int, typer.Option(help="Closer looks at a picture at most: 2 for what is in doubt, 200 for 4K.")
]
Deadline = Annotated[
    float | None, typer.Option(help="Seconds after which no further look is begun; for score: of a batch.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, one object a line.")]


def main() -> None:
    """Entry point of the `judge` command."""
    for stream in (sys.stdout, sys.stderr):
        # Prompts may hold what the terminal's encoding lacks; "?" is better than a crash.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="judge")


def _say_version(wanted: bool) -> None:
    if wanted:
        from judge import __version__

        typer.echo(f"judge {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def verdict(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE...", help="Pictures, all of the same prompt.")
    ],
    prompt: Prompt = "",
    elements: Elements = None,
    reference: Reference = None,
    rubric: RubricName = "default",
    model: Model = "embedded",
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    looks: Looks = 0,
    deadline: Deadline = None,
    as_json: AsJson = False,
    overlay: Annotated[
        Path | None,
        typer.Option(help="Draw the verdict into this file; with several images NAME-1.png, NAME-2.png, ..."),
    ] = None,
) -> None:
    """Judge pictures of one prompt."""
    code = 0
    with one_line_errors():
        drawings = _overlay_files(overlay, len(images))
        judge = _judge(model, adapter, backend, rubric, base_url)
        for source, drawing in zip(images, drawings, strict=True):
            try:
                found = judge(
                    source,
                    prompt=prompt,
                    elements=_listed(elements),
                    id=source,
                    reference=reference,
                    **_closer(looks, deadline),
                )
                if drawing is not None:
                    _save(found, drawing)
            except InputError as error:
                if error.field != "image" or len(images) == 1:
                    raise
                _complain(error)  # one bad picture does not cost the others their verdicts
                code = 2
                continue
            _show(found, as_json)
            code = max(code, int(found.status == "unscored"))
    raise typer.Exit(code)


@app.command()
def score(
    rows: Annotated[
        Path, typer.Argument(metavar="ROWS", help="JSONL or CSV with id, image, prompt, elements, reference.")
    ],
    out: Annotated[Path, typer.Option(help="JSONL file to write: one verdict per row, in order.")],
    depth: Annotated[DepthName, typer.Option(help="score: numbers only, faster.")] = DepthName.verdict,
    rubric: RubricName = "default",
    model: Model = "embedded",
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    batch: Annotated[int, typer.Option(help="Rows judged together.")] = 16,
    looks: Looks = 0,
    deadline: Deadline = None,
) -> None:
    """Judge every row of a file. A bad row gives an unscored verdict with the reason."""
    with one_line_errors():
        from judge.rows import read

        given = read(rows)
        if out.is_dir() or out.resolve() == rows.resolve():
            raise InputError("out", str(out), "a file other than ROWS, and no folder", "name another file")
        judge = _judge(model, adapter, backend, rubric, base_url)
        total, unscored = len(given), 0
        with _replaced(out) as file, _progress(total) as advance:
            for found in _verdicts(judge, given, depth, batch, _closer(looks, deadline)):
                file.write(found.model_dump_json() + "\n")
                unscored += found.status == "unscored"
                advance()
    scored = total - unscored
    typer.echo(f"{out}: {total} rows, {scored} scored, {unscored} unscored", err=True)


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="One picture.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another picture of the same prompt.")],
    prompt: Prompt = "",
    elements: Elements = None,
    rubric: RubricName = "default",
    model: Model = "embedded",
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Say which of two pictures is better."""
    with one_line_errors():
        judge = _judge(model, adapter, backend, rubric, base_url)
        found = judge.compare(a, b, prompt=prompt, elements=_listed(elements))
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        from judge.render import terminal_comparison

        _print(terminal_comparison(found, a, b))
    raise typer.Exit(int(found.preferred is None))


@app.command()
def scenes(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    count: Annotated[int, typer.Option(help="How many scenes.")] = 100,
    seed: Annotated[int, typer.Option(help="Same seed, same scenes.")] = 0,
    sheet: Annotated[bool, typer.Option("--sheet", help="Also write sheet.png, a contact sheet.")] = False,
) -> None:
    """Draw labelled scenes: pictures, masks and rows.jsonl."""
    with one_line_errors():
        try:
            from finetune import scenes as drawn
            from finetune.scenes.write import seeds
        except ImportError as error:
            raise JudgeError(f"scenes: the package finetune is not installed ({error})") from None
        chosen = seeds(seed, count)
        if sheet and count < 1:
            raise InputError("count", count, "1 or more with --sheet", "draw some scenes")
        try:
            with _progress(count) as advance:
                for _ in drawn.write(out, count, seed):
                    advance()
            if sheet:
                drawn.sheet(drawn.draw(one) for one in chosen[:SHEET]).save(out / "sheet.png")
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError("out", str(out), "a folder that can be written", reason) from None
    typer.echo(f"{out}: {count} scenes", err=True)


SHEET = 36
"""Scenes on a contact sheet at most."""


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
)
def finetune(context: typer.Context) -> None:
    """Fine-tune a judge, or train the embedded one from scratch; see `judge finetune --help`."""
    with one_line_errors():
        try:
            from finetune.cli import app as steps
        except ImportError as error:
            raise JudgeError(f"finetune: the package finetune is not installed ({error})") from None
        steps(args=context.args, prog_name="judge finetune")


@app.command()
def calibrate(
    suite: Annotated[str, typer.Option(help="Suite of the labels; see `judge eval list`.")],
    data: Annotated[Path, typer.Option(help="Its folder, or label file: rows that were not trained on.")],
    model: Model = "embedded",
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    rubric: Annotated[
        str | None, typer.Option(help="default, quality, or a .toml file; default: the suite's own.")
    ] = None,
    depth: Annotated[
        list[DepthName] | None, typer.Option(help="May be repeated; default: those of the suite.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Part of the suite, where it has parts.")] = None,
    skip: Annotated[int, typer.Option(help="Leave out the first so many rows.")] = 0,
    limit: Annotated[int | None, typer.Option(help="At most so many rows.")] = None,
    score: Annotated[str, typer.Option(help="Human dimension that is meant; default: the main one.")] = "",
    quantile: Annotated[
        float, typer.Option(help="Share of the pictures that shall lie within the domain.")
    ] = 0.99,
    abstain: Annotated[
        bool, typer.Option("--abstain/--no-abstain", help="Give no verdict outside the domain.")
    ] = True,
    out: Annotated[
        Path | None, typer.Option(help="File to write; default: calibration.json beside the adapter.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Rows judged together.")] = 16,
) -> None:
    """Bring scores to the human scale, with percentiles, from held-out labels."""
    with one_line_errors():
        from judge.judge import Judge

        try:
            from finetune.calibrate import calibrate as fitted
            from finetune.calibrate import lines, source
        except ImportError as error:
            raise JudgeError(f"calibrate: the package finetune is not installed ({error})") from None
        if out is None:
            if adapter is None or not Path(adapter).is_dir():
                raise InputError("out", None, "a file", "name one: there is no adapter's folder to put it in")
            out = Path(adapter) / "calibration.json"
        labels = source(suite, data, split=split, rubric=rubric, skip=skip, limit=limit, score=score)
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        judge = Judge(
            model,
            adapter=adapter,
            backend=backend,
            rubric=labels.rubric or "default",
            base_url=base_url,
            calibration=False,
        )
        made = fitted(
            judge,
            labels,
            [name.value for name in depth or ()],
            quantile=quantile if abstain else None,
            batch=batch,
            tick=lambda said: typer.echo(said, err=True),
        )
        with _replaced(out) as file:
            file.write(made.model_dump_json(indent=1) + "\n")
    for line in lines(made):
        typer.echo(line)
    typer.echo(f"{out}: {made.count} pictures", err=True)


@app.command(
    "eval",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def evaluate(context: typer.Context) -> None:
    """Judge benchmarks and report how well the judge agrees with people; see `judge eval --help`."""
    with one_line_errors():
        try:
            from eval.cli import app as steps
        except ImportError as error:
            raise JudgeError(f"eval: the package eval is not installed ({error})") from None
        steps(args=context.args, prog_name="judge eval")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8000,
    rubric: Annotated[
        list[str] | None, typer.Option("--rubric", help="A .toml file to offer too; may be repeated.")
    ] = None,
    model: Model = "embedded",
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    keys: Annotated[
        Path | None, typer.Option(help="File of key hashes; else the variable JUDGE_KEYS. None: open.")
    ] = None,
    new_key: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make a key, add its hash to --keys, print it, end.")
    ] = None,
    queue: Annotated[int, typer.Option(help="Requests inside at most; further ones get 429.")] = 256,
    deadline: Annotated[float, typer.Option(help="Seconds a request may take; then it gets 504.")] = 60.0,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host to fetch pictures from by URL; may be repeated. None: no URL is fetched."),
    ] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve the page at /.")] = True,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Listen beyond this machine without keys.")
    ] = False,
) -> None:
    """Serve the judge over HTTP, with a page to try it on."""
    with one_line_errors():
        try:
            from judge.serve.keys import made
            from judge.serve.run import Options
            from judge.serve.run import serve as run
        except ImportError as error:
            raise JudgeError(f"serve: install judge[serve] ({error})") from None
        if new_key is not None:
            key, line = made(new_key, keys)
            typer.echo(key)
            typer.echo(f"{line}\nthe key is shown this once; servers keep the line above", err=True)
            return
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        run(
            Options(
                host=host,
                port=port,
                model=model,
                adapter=adapter,
                backend=backend,
                base_url=base_url,
                rubrics=rubric or (),
                keys=keys,
                queue=queue,
                deadline=deadline,
                allow_hosts=allow_host or (),
                page=page,
                open=open_to_all,
            )
        )


@app.command()
def doctor() -> None:
    """Say what is installed, which backend would run, and why the others would not."""
    from rich.table import Table
    from rich.text import Text

    from judge.doctor import findings

    table = Table.grid(padding=(0, 2))
    fine = True
    for finding in findings():
        mark, style = {True: ("ok", "green"), False: ("no", "red"), None: ("--", "dim")}[finding.fine]
        table.add_row(Text(mark, style=style), Text(finding.name), Text(finding.said, style="dim"))
        fine = fine and not (finding.fine is False and finding.name == "backend transformers")
    _print(table)
    raise typer.Exit(int(not fine))


def _judge(model: str, adapter: str | None, backend: str, rubric: str, base_url: str | None) -> Judge:
    """The judge that the options ask for. Tests put a scripted one in its place."""
    from judge.judge import Judge

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    return Judge(model, adapter=adapter, backend=backend, rubric=rubric, base_url=base_url)


def _listed(elements: str | None) -> list[str] | None:
    return None if elements is None else [part.strip() for part in elements.split(",")]


def _closer(looks: int, deadline: float | None) -> dict[str, Any]:
    """What was asked for beyond the first look; nothing, where the judge decides."""
    return ({"looks": looks} if looks else {}) | ({"deadline": deadline} if deadline is not None else {})


def _verdicts(
    judge: Judge, given: list[Any], depth: DepthName, batch: int, closer: dict[str, Any]
) -> Iterator[Verdict]:
    from judge.rows import BadRow

    name: Depth = depth.value
    judged = judge.many(
        (row for row in given if not isinstance(row, BadRow)), depth=name, batch=batch, **closer
    )
    for row in given:
        yield judge.unscored(row.reason, id=row.id, depth=name) if isinstance(row, BadRow) else next(judged)


def _show(found: Verdict, as_json: bool) -> None:
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        from judge.render import terminal

        _print(terminal(found))


def _print(renderable: Any) -> None:
    from rich.console import Console

    Console().print(renderable)


# -- Files ---------------------------------------------------------------------------------------------


def _overlay_files(overlay: Path | None, count: int) -> list[Path | None]:
    """FILE for one image; FILE's stem with -1, -2, ... for several. Checked before the model is run."""
    if overlay is None:
        return [None] * count
    if overlay.suffix.lower() not in OVERLAYS:
        raise InputError("overlay", str(overlay), f"files that end in {', '.join(OVERLAYS)}", "rename it")
    if not overlay.parent.is_dir():
        raise InputError("overlay", str(overlay), "a file in an existing folder", "make the folder first")
    if count == 1:
        return [overlay]
    return [overlay.with_stem(f"{overlay.stem}-{number}") for number in range(1, count + 1)]


def _save(found: Verdict, file: Path) -> None:
    try:
        found.overlay().save(file)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("overlay", str(file), "a file that can be written", reason) from None


@contextmanager
def _replaced(out: Path) -> Iterator[Any]:
    """A file that takes `out`'s place when all is written, so that a broken run leaves no half file."""
    draft = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        file = draft.open("w", encoding="utf-8")
    except OSError as error:
        raise _unwritable(out, error) from None
    try:
        with file:
            yield file
        draft.replace(out)
    except OSError as error:
        raise _unwritable(out, error) from None
    finally:
        draft.unlink(missing_ok=True)


def _unwritable(out: Path, error: OSError) -> InputError:
    return InputError("out", str(out), "a file that can be written", error.strerror or str(error))


@contextmanager
def _progress(total: int) -> Iterator[Any]:
    """A bar on the terminal's error stream; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.advance(task)


# -- Errors --------------------------------------------------------------------------------------------


@contextmanager
def one_line_errors() -> Iterator[None]:
    try:
        yield
    except InputError as error:
        _complain(error)
        _exit(2)
    except JudgeError as error:
        _complain(error)
        _exit(1)


def _complain(error: JudgeError) -> None:
    from judge.render import plain

    typer.echo(f"error: {plain(str(error))}", err=True)


def _exit(code: int) -> NoReturn:
    raise typer.Exit(code) from None
