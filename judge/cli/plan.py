"""`judge plan` and `judge models`: what judging costs, and the checkpoints that fit this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from judge.cli.options import DEFAULT_MODEL, DEFAULT_RUBRIC, AsJson, DepthName, Model, RubricName
from judge.cli.output import one_line_errors

if TYPE_CHECKING:
    from judge.cost.catalogue import CatalogueEntry
    from judge.cost.machine import Machine


def plan(
    images: Annotated[str, typer.Option(help="Number of images, for example 1e6.")] = "1e6",
    pixels: Annotated[str, typer.Option(metavar="WxH", help="Size of the images.")] = "1024x1024",
    model: Model = DEFAULT_MODEL,
    depth: Annotated[DepthName, typer.Option(help="score or verdict.")] = DepthName.verdict,
    card: Annotated[
        str, typer.Option(help="Accelerator: h100, l4, ..., or FLOPS,BANDWIDTH,MEMORY.")
    ] = "h100",
    rubric: RubricName = DEFAULT_RUBRIC,
    elements: Annotated[int, typer.Option(min=0, max=64, help="Elements per image.")] = 6,
    defects: Annotated[int, typer.Option(min=0, max=64, help="Defects per image.")] = 1,
    efficiency: Annotated[
        float, typer.Option(help="Share of the accelerator's data sheet performance that is reached.")
    ] = 0.4,
    as_json: AsJson = False,
) -> None:
    """Estimate the cost of judging many images: tokens, operations, memory, hours. Needs no weights."""
    with one_line_errors():
        from judge.cost import plan as plan_texts
        from judge.cost.accelerators import Accelerator
        from judge.cost.architecture import Architecture, load_config
        from judge.cost.estimate import estimate_cost
        from judge.cost.tokens import count_tokens

        accelerator = Accelerator.parse(card)
        count, size = plan_texts.parse_count(images), plan_texts.parse_size(pixels)
        architecture = Architecture.from_config(load_config(model))
        tokens = count_tokens(
            model, architecture, size, depth.value, rubric=rubric, elements=elements, defects=defects
        )
        estimate = estimate_cost(
            architecture, tokens, accelerator, images=count, depth=depth.value, efficiency=efficiency
        )
    if as_json:
        import json

        fields = {"model": model, "card": accelerator.name, "depth": depth, **estimate.to_dict()}
        typer.echo(json.dumps(fields))
        return
    for name, value in plan_texts.table_rows(estimate, accelerator, efficiency):
        typer.echo(f"{name:<22}{value}")


def models(
    card: Annotated[
        str | None,
        typer.Option(help="Another accelerator than this machine's: h100, l4, or FLOPS,BANDWIDTH,MEMORY."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the recommended checkpoints: memory, speed, whether they fit this machine, how to run them."""
    with one_line_errors():
        from judge.cost.accelerators import Accelerator
        from judge.cost.catalogue import list_models, recommend
        from judge.cost.machine import Machine, describe_machine

        machine = (
            describe_machine()
            if card is None
            else Machine(Accelerator.parse(card), has_gpu=True, bytes_per_number=2, is_measured=False)
        )
        entries = list_models(machine)
        suitable = recommend(entries)
    if as_json:
        import json

        for entry in entries:
            fields = {"machine": machine.text, "recommended": entry is suitable, **entry.to_dict()}
            typer.echo(json.dumps(fields))
        return
    _print_lines(entries, machine)
    speed = "measured now" if machine.is_measured else "as its data sheet says"
    typer.echo(f"\nfor {machine.text}; speed {speed}, images of 1024x1024, estimated as by judge plan")
    typer.echo(describe_choice(suitable))


def describe_choice(suitable: CatalogueEntry | None) -> str:
    """Return the sentence that names the model for this machine and what to do first."""
    if suitable is None:
        return (
            "no general model is fast enough here: use a server with --backend openai --base-url URL, or a "
            "machine with a GPU; embedded is for drawn scenes"
        )
    return f"recommended here: {suitable.name}; before you rely on it: judge examine {suitable.name}"


def _print_lines(entries: list[CatalogueEntry], machine: Machine) -> None:
    """Print one line for each model, however narrow the terminal is: the command is there to be copied."""
    header = ("", "weights", "memory", "scores/s", "verdicts/s", "fits", "command")
    rows = [header] + [
        (
            entry.name,
            "–" if entry.parameters is None else _count(entry.parameters),
            f"{entry.memory / 1e9:.3g} GB",
            _rate(entry.images_per_second),
            _rate(entry.verdicts_per_second),
            _fit(entry, machine),
            entry.command or "–",
        )
        for entry in entries
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(header) - 1)]
    for row in rows:
        cells = [
            text.rjust(width) if column in range(1, 5) else text.ljust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=False))
        ]
        typer.echo("  ".join([*cells, row[-1]]))


def _count(parameters: int) -> str:
    return f"{parameters / 1e9:.3g}B" if parameters >= 1e9 else f"{parameters / 1e6:.3g}M"


def _rate(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _fit(entry: CatalogueEntry, machine: Machine) -> str:
    if not entry.fits:
        return f"no, needs {entry.cards}" if machine.has_gpu else "no"
    return f"with bits={entry.bits}" if entry.bits else "yes"
