"""`judge plan`: estimate the cost of judging many images."""

from __future__ import annotations

from typing import Annotated

import typer

from judge.cli.options import DEFAULT_MODEL, DEFAULT_RUBRIC, AsJson, DepthName, Model, RubricName
from judge.cli.output import one_line_errors


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
