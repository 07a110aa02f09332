"""`judge score`: judge every row of a file, here, as one shard of several, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from judge.batch.ray_options import Cpus, Gpus, RayAddress, Workers
from judge.cli import judges
from judge.cli.options import (
    DEFAULT_MAX_ELEMENTS,
    DEFAULT_MODEL,
    DEFAULT_RUBRIC,
    Adapter,
    Anyway,
    BackendName,
    BaseUrl,
    Deadline,
    DepthName,
    ElementsFrom,
    Looks,
    MaxElements,
    Model,
    ModelOptions,
    OptionsFile,
    RubricName,
    zoom_in_arguments,
)
from judge.cli.output import one_line_errors, progress_bar, replacing
from judge.errors import InputError

if TYPE_CHECKING:
    from judge.judge import Judge
    from judge.types import Depth, Verdict


MAX_LISTED_KEYS = 8


class FormatName(StrEnum):
    """Values of `--format`."""

    jsonl = "jsonl"
    parquet = "parquet"


def score(
    rows: Annotated[
        str,
        typer.Argument(
            metavar="ROWS",
            help="JSONL, a JSON list, CSV or TSV with id, image or video, prompt, negative_prompt, "
            "elements, reference. With --ray or --shard also parquet, WebDataset tars, a folder of them, of "
            "images or of videos, a glob pattern, any fsspec URL.",
        ),
    ],
    out: Annotated[
        str,
        typer.Option(
            help="JSONL file to write: one verdict per row, in order. With --ray or --shard: a folder."
        ),
    ],
    depth: Annotated[DepthName, typer.Option(help="score: numbers only, faster.")] = DepthName.verdict,
    rubric: RubricName = DEFAULT_RUBRIC,
    model: Model = DEFAULT_MODEL,
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    option: ModelOptions = None,
    options_file: OptionsFile = None,
    batch: Annotated[int, typer.Option(help="Rows judged together.")] = 16,
    batch_pixels: Annotated[
        int | None, typer.Option(min=1, help="Largest number of pixels in a batch, as the model sees them.")
    ] = None,
    shard: Annotated[
        str | None,
        typer.Option(help="i/n: every n-th batch, starting with the i-th; `judge eval merge` joins them."),
    ] = None,
    ray: RayAddress = None,
    workers: Workers = None,
    cpus: Cpus = 1.0,
    gpus: Gpus = 0.0,
    layout: Annotated[
        FormatName, typer.Option("--format", help="File format of the parts in the folder.")
    ] = FormatName.jsonl,
    looks: Looks = 0,
    deadline: Deadline = None,
    max_elements: MaxElements = DEFAULT_MAX_ELEMENTS,
    elements: ElementsFrom = "auto",
    anyway: Anyway = False,
) -> None:
    """Judge every row of a file. A bad row gives an unscored verdict with the reason.

    The exit code is 1 if no row at all could be scored, also if the judge abstained on all of them.
    """
    from judge.batch.command import describe_unscored

    with one_line_errors():
        options = judges.parse_judge_options(option, options_file, model, backend, base_url)
        options |= judges.element_options(max_elements, elements) | judges.domain_options(anyway)
        if ray is not None or shard is not None:
            from judge.batch import command

            if looks or deadline is not None:
                mend = "judge these images without --shard and --ray"
                raise InputError("looks", looks, "no zoom-ins with --shard and --ray", mend)
            files = command.open_rows(rows)
            rubric = judges.select_rubric_of_rows(files.media_kinds(), "rows", rows, rubric)
            tally = command.run(
                files,
                out,
                partial(judges.open_judge, model, adapter, backend, rubric, base_url, **options),
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
            total, unscored, abstained = tally.done, tally.unscored, tally.abstained
        else:
            total, unscored, abstained = _score_file(
                Path(rows),
                Path(out),
                lambda name: judges.open_judge(model, adapter, backend, name, base_url, **options),
                rubric,
                depth,
                batch,
                zoom_in_arguments(looks, deadline),
            )
    without_score = describe_unscored(unscored, abstained)
    typer.echo(f"{out}: {total} rows, {total - unscored} scored, {without_score}", err=True)
    if total and unscored == total:
        raise typer.Exit(1)


def _score_file(
    rows: Path,
    out: Path,
    judge_with: Callable[[str], Judge],
    rubric: str,
    depth: DepthName,
    batch: int,
    zoom_ins: dict[str, Any],
) -> tuple[int, int, int]:
    """Judge the rows of one file into another.

    Args:
        rows: file to read.
        out: file to write, one verdict per line.
        judge_with: returns a judge for the name of a rubric.
        rubric: value of `--rubric`.
        depth: depth of the verdicts.
        batch: rows judged together.
        zoom_ins: arguments of `Judge.many` for zoom-ins.

    Returns:
        The number of rows, how many of them are unscored, and how many of those abstain.
    """
    from judge.pipeline.rows import TEXT_ROW_SUFFIXES, BadRow, read_row_file

    if rows.exists() and not rows.name.lower().endswith(TEXT_ROW_SUFFIXES):
        mend = "add --shard 1/1, which also reads parquet, tars and folders of images or videos into a folder"
        raise InputError("rows", str(rows), f"{', '.join(TEXT_ROW_SUFFIXES)} files", mend)
    row_file = read_row_file(rows)
    entries = row_file.rows
    _print_unused(rows, row_file.unused)
    samples = [entry for entry in entries if not isinstance(entry, BadRow)]
    kinds = {"image" if sample.video is None else "video" for sample in samples}
    judge = judge_with(judges.select_rubric_of_rows(kinds, "rows", str(rows), rubric))
    if out.is_dir() or out.resolve() == rows.resolve():
        raise InputError("out", str(out), "a file other than ROWS, and not a folder", "choose another file")
    unscored = abstained = 0
    with replacing(out) as file, progress_bar(len(entries)) as advance:
        for result in _judge_rows(judge, entries, depth, batch, zoom_ins):
            file.write(result.model_dump_json() + "\n")
            unscored += result.status == "unscored"
            abstained += result.abstained
            advance()
    return len(entries), unscored, abstained


def _print_unused(rows: Path, unused: Mapping[str, int]) -> None:
    """Say on standard error which columns or keys of the rows are not used."""
    from judge.explain.plain_text import to_plain_text

    if unused:
        names = [f"{name} ({count} rows)" for name, count in islice(unused.items(), MAX_LISTED_KEYS)]
        names += [f"{len(unused) - MAX_LISTED_KEYS} more"] * (len(unused) > MAX_LISTED_KEYS)
        typer.echo(to_plain_text(f"{rows}: not used: {', '.join(names)}"), err=True)


def _judge_rows(
    judge: Judge, entries: list[Any], depth: DepthName, batch: int, zoom_ins: dict[str, Any]
) -> Iterator[Verdict]:
    """Yield one verdict per entry, in order; a `BadRow` gives an unscored one."""
    from judge.pipeline.rows import BadRow

    name: Depth = depth.value
    samples = (entry for entry in entries if not isinstance(entry, BadRow))
    results = judge.many(samples, depth=name, batch=batch, **zoom_ins)
    for entry in entries:
        if isinstance(entry, BadRow):
            yield judge.unscored(entry.reason, id=entry.id, depth=name)
        else:
            yield next(results)
