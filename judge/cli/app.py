"""The command line. Heavy imports stand inside the commands, so that `judge --help` is quick.

Exit codes: 0 done; 1 the model could not be run, or gave a verdict without a score; 2 bad input.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from judge.batch.ray_options import Cpus, Gpus, RayAddress, RayCommand, Workers
from judge.cli.errors import _complain, one_line_errors
from judge.cli.rubric import app as rubrics
from judge.errors import InputError, JudgeError
from judge.runtime.threads import own_process

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


class HowName(StrEnum):
    auto = "auto"
    pointwise = "pointwise"
    pairwise = "pairwise"


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
Model = Annotated[str, typer.Option(help="embedded, embedded-student, or a Qwen-VL checkpoint or student.")]
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
    own_process()
    for stream in (sys.stdout, sys.stderr):
        # Prompts may hold what the terminal's encoding lacks; "?" is better than a crash.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    app(prog_name="judge")


def _say_version(wanted: bool) -> None:
    if wanted:
        from judge.runtime.version import __version__

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
        list[str], typer.Argument(metavar="FILE...", help="Pictures or videos, all of the same prompt.")
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
    heat: Annotated[
        bool,
        typer.Option("--heat", help="Add heat maps of score and defects, to the overlay and to --json."),
    ] = False,
) -> None:
    """Judge pictures or videos of one prompt; videos under the rubric video unless told otherwise."""
    code = 0
    with one_line_errors():
        drawings = _overlay_files(overlay, len(images))
        judge_by = cache(lambda name: _judge(model, adapter, backend, name, base_url))
        for source, drawing in zip(images, drawings, strict=True):
            try:
                moving = _is_video(source)
                judge = judge_by(_rubric_for(moving, rubric))
                found = judge(
                    None if moving else source,
                    video=source if moving else None,
                    prompt=prompt,
                    elements=_listed(elements),
                    id=source,
                    reference=reference,
                    **_closer(looks, deadline),
                    heat=heat,
                )
                if drawing is not None:
                    _save(found, drawing)
            except InputError as error:
                if error.field not in ("image", "video") or len(images) == 1:
                    raise
                _complain(error)  # one bad picture does not cost the others their verdicts
                code = 2
                continue
            _show(found, as_json)
            code = max(code, int(found.status == "unscored"))
    raise typer.Exit(code)


BatchPixels = Annotated[
    int | None, typer.Option(min=1, help="Pixels judged together at most, as the model sees them.")
]


class FormatName(StrEnum):
    jsonl = "jsonl"
    parquet = "parquet"


@app.command(cls=RayCommand)
def score(
    rows: Annotated[
        str,
        typer.Argument(
            metavar="ROWS",
            help="JSONL or CSV with id, image or video, prompt, elements, reference. With --ray or --shard "
            "also parquet, WebDataset tars, a folder of them or of pictures, a pattern, any fsspec address.",
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            help="JSONL file to write: one verdict per row, in order. With --ray or --shard a folder."
        ),
    ],
    depth: Annotated[DepthName, typer.Option(help="score: numbers only, faster.")] = DepthName.verdict,
    rubric: RubricName = "default",
    model: Model = "embedded",
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    batch: Annotated[int, typer.Option(help="Rows judged together.")] = 16,
    batch_pixels: BatchPixels = None,
    shard: Annotated[
        str | None, typer.Option(help="i/n: every n-th batch from the i-th; `judge eval merge` joins them.")
    ] = None,
    ray: RayAddress = None,
    workers: Workers = None,
    cpus: Cpus = 1.0,
    gpus: Gpus = 0.0,
    layout: Annotated[FormatName, typer.Option("--format", help="Of the folder's parts.")] = FormatName.jsonl,
    looks: Looks = 0,
    deadline: Deadline = None,
) -> None:
    """Judge every row of a file. A bad row gives an unscored verdict with the reason."""
    with one_line_errors():
        chosen = (model, adapter, backend, rubric, base_url)
        if ray is not None or shard is not None:
            from judge.batch import command

            if looks or deadline is not None:
                mend = "judge such pictures without --shard and --ray"
                raise InputError("looks", looks, "no closer looks with rows in bulk", mend)
            tally = command.run(
                rows,
                out,
                partial(_judge, *chosen),
                depth=depth.value,
                batch=batch,
                pixels=batch_pixels,
                shard=shard,
                ray=ray,
                workers=workers,
                cpus=cpus,
                gpus=gpus,
                layout=layout.value,
            )
            total, unscored = tally.done, tally.unscored
        else:
            total, unscored = _score_here(
                Path(rows),
                Path(out),
                lambda name: _judge(model, adapter, backend, name, base_url),
                rubric,
                depth,
                batch,
                _closer(looks, deadline),
            )
    typer.echo(f"{out}: {total} rows, {total - unscored} scored, {unscored} unscored", err=True)


def _score_here(
    rows: Path,
    out: Path,
    judge_by: Callable[[str], Judge],
    rubric: str,
    depth: DepthName,
    batch: int,
    closer: dict[str, Any],
) -> tuple[int, int]:
    """Judge a file of rows into a file. Returns the number of rows, and of those unscored."""
    from judge.pipeline.rows import BadRow, read

    given = read(rows)
    videos = [row.video is not None for row in given if not isinstance(row, BadRow)]
    if any(videos) and not all(videos) and rubric == DEFAULT:
        mend = "name a --rubric, or keep them apart"
        raise InputError("rows", str(rows), "pictures only or videos only", mend)
    judge = judge_by(_rubric_for(any(videos), rubric))
    if out.is_dir() or out.resolve() == rows.resolve():
        raise InputError("out", str(out), "a file other than ROWS, and no folder", "name another file")
    unscored = 0
    with _replaced(out) as file, _progress(len(given)) as advance:
        for found in _verdicts(judge, given, depth, batch, closer):
            file.write(found.model_dump_json() + "\n")
            unscored += found.status == "unscored"
            advance()
    return len(given), unscored


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
    how: Annotated[HowName, typer.Option(help="pairwise shows both at once, in both orders.")] = HowName.auto,
    reference: Reference = None,
    as_json: AsJson = False,
) -> None:
    """Say which of two pictures is better."""
    with one_line_errors():
        judge = _judge(model, adapter, backend, rubric, base_url)
        found = judge.compare(
            a, b, prompt=prompt, elements=_listed(elements), reference=reference, how=how.value
        )
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        from judge.explain.terminal import terminal_comparison

        _print(terminal_comparison(found, a, b))
    raise typer.Exit(int(found.preferred is None))


@app.command()
def rank(
    data: Annotated[
        Path, typer.Argument(metavar="DIR", help="Pictures, folders of pictures (one a generator), or rows.")
    ],
    prompt: Prompt = "",
    rubric: RubricName = "default",
    model: Model = "embedded",
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    how: Annotated[HowName, typer.Option(help="pairwise shows both at once, in both orders.")] = HowName.auto,
    depth: Annotated[DepthName, typer.Option(help="Depth of the verdicts.")] = DepthName.score,
    budget: Annotated[
        int | None, typer.Option(help="Matches at most. Default: a fifth of all, at least 3 a competitor.")
    ] = None,
    confidence: Annotated[float, typer.Option(help="How sure the order of neighbours must be.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the order in which pictures are taken.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Rank pictures or generators by the most telling comparisons, until the order is settled."""
    with one_line_errors():
        from judge.compare.ranking import entrants
        from judge.compare.ranking import rank as ranked

        competitors = entrants(data, prompt)
        judge = _judge(model, adapter, backend, rubric, base_url)
        found = ranked(
            judge,
            competitors,
            how=how.value,
            depth=depth.value,
            budget=budget,
            confidence=confidence,
            seed=seed,
        )
    if as_json:
        typer.echo(found.model_dump_json())
    else:
        from judge.compare.terminal import terminal_ranking

        _print(terminal_ranking(found))
    raise typer.Exit(int(not found.matches))


@app.command()
def elements(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="Text to take apart.")],
    by: Annotated[str, typer.Option(help="rules, words (finer), model, or auto.")] = "rules",
    model: Model = "embedded",
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """Take a prompt apart into statements to check: kind, statement, what it needs."""
    with one_line_errors():
        found = _judge(model, adapter, backend, "default", base_url).elements(prompt, by=by)  # type: ignore[arg-type]
    for one in found:
        needs = f"  needs {', '.join(one.needs)}" if one.needs else ""
        typer.echo(one.model_dump_json() if as_json else f"{one.kind:<10} {one.name}{needs}")


@app.command()
def scenes(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write.")],
    count: Annotated[int, typer.Option(help="How many scenes.")] = 100,
    seed: Annotated[int, typer.Option(help="Same seed, same scenes.")] = 0,
    sheet: Annotated[bool, typer.Option("--sheet", help="Also write sheet.png, a contact sheet.")] = False,
    video: Annotated[bool, typer.Option("--video", help="Draw clips (MP4) instead of pictures.")] = False,
) -> None:
    """Draw labelled scenes: pictures, masks and rows.jsonl; or clips and rows.jsonl."""
    with one_line_errors():
        try:
            from judge import scenes as drawn
            from judge.scenes.dataset import seeds, write_clips
        except ImportError as error:
            raise JudgeError(f"scenes: the package finetune is not installed ({error})") from None
        chosen = seeds(seed, count)
        if sheet and count < 1:
            raise InputError("count", count, "1 or more with --sheet", "draw some scenes")
        if sheet and video:
            raise InputError("sheet", sheet, "no sheet of clips", "leave one of the two out")
        try:
            with _progress(count) as advance:
                for _ in (write_clips if video else drawn.write)(out, count, seed):
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


@app.command(cls=RayCommand)
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
    looks: Annotated[int, typer.Option(help="Closer looks at a picture that a request may ask for.")] = 16,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="Host to fetch pictures from by URL; may be repeated. None: no URL is fetched."),
    ] = None,
    page: Annotated[bool, typer.Option("--page/--no-page", help="Serve the page at /.")] = True,
    open_to_all: Annotated[
        bool, typer.Option("--open", help="Listen beyond this machine without keys.")
    ] = False,
    ray: RayAddress = None,
    replicas: Annotated[str, typer.Option(metavar="MIN:MAX", help="With --ray: how many gateways.")] = "1:4",
    cpus: Cpus = 1.0,
    gpus: Gpus = 0.0,
) -> None:
    """Serve the judge over HTTP, with a page to try it on; with --ray from replicas that come and go."""
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
        asked: dict[str, Any] = {
            "host": host,
            "model": model,
            "adapter": adapter,
            "backend": backend,
            "base_url": base_url,
            "rubrics": rubric or [],
            "keys": keys,
            "queue": queue,
            "deadline": deadline,
            "looks": looks,
            "allow_hosts": allow_host or [],
            "open": open_to_all,
        }
        if ray is None:
            run(Options(**asked, port=port, page=page))
            return
        try:
            from judge.serve import ray_serve as fleet
        except ImportError as error:
            raise JudgeError(f"serve: install judge[ray] ({error})") from None
        wanted = fleet.wanted_of(replicas, cpus=cpus, gpus=gpus, **asked)
        fleet.run(wanted, ray, port, lambda said: typer.echo(f"judge serve: {said}", err=True))


@app.command()
def plan(
    images: Annotated[str, typer.Option(help="How many pictures, for example 1e6.")] = "1e6",
    pixels: Annotated[str, typer.Option(metavar="WxH", help="Their size.")] = "1024x1024",
    model: Model = "embedded",
    depth: Annotated[DepthName, typer.Option(help="score or verdict.")] = DepthName.verdict,
    card: Annotated[str, typer.Option(help="h100, l4, ..., or FLOPS,BANDWIDTH,MEMORY.")] = "h100",
    rubric: RubricName = "default",
    elements: Annotated[int, typer.Option(min=0, max=64, help="Elements a picture.")] = 6,
    defects: Annotated[int, typer.Option(min=0, max=64, help="Defects a picture.")] = 1,
    efficiency: Annotated[float, typer.Option(help="Share of the card's data sheet that is reached.")] = 0.4,
    as_json: AsJson = False,
) -> None:
    """Say what judging many pictures costs: tokens, operations, bytes, hours, memory. Needs no weights."""
    with one_line_errors():
        from judge import cost as paper

        chosen, count, size = paper.Accelerator.named(card), paper.counted(images), paper.sized(pixels)
        sizes = paper.Sizes.of(paper.config_of(model))
        tokens = paper.tokens_of(
            model, sizes, size, depth.value, rubric=rubric, elements=elements, defects=defects
        )
        found = paper.cost(sizes, tokens, chosen, images=count, depth=depth.value, efficiency=efficiency)
    if as_json:
        import json

        typer.echo(json.dumps({"model": model, "card": chosen.name, "depth": depth, **found.to_dict()}))
        return
    for name, value in paper.told(found, chosen, efficiency):
        typer.echo(f"{name:<22}{value}")


@app.command()
def doctor() -> None:
    """Say what is installed, which backend would run, and why the others would not."""
    from rich.table import Table
    from rich.text import Text

    from judge.cli.doctor import findings

    table = Table.grid(padding=(0, 2))
    fine = True
    for finding in findings():
        mark, style = {True: ("ok", "green"), False: ("no", "red"), None: ("--", "dim")}[finding.fine]
        table.add_row(Text(mark, style=style), Text(finding.name), Text(finding.said, style="dim"))
        fine = fine and not (finding.fine is False and finding.name == "backend transformers")
    _print(table)
    raise typer.Exit(int(not fine))


DEFAULT = "default"


def _is_video(source: str) -> bool:
    from judge.media.decoding import SUFFIXES

    return source[:11].lower() == "data:video/" or Path(source).suffix.lower() in SUFFIXES


def _rubric_for(video: bool, rubric: str) -> str:
    """Videos have a rubric of their own, which they get unless another one is named."""
    return "video" if video and rubric == DEFAULT else rubric


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
    from judge.pipeline.rows import BadRow

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
        from judge.explain.terminal import terminal

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
