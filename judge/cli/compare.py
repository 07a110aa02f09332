"""`judge compare` and `judge rank`: which of two images is better, and the order of many."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

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
    DepthName,
    Elements,
    How,
    HowName,
    MaxElements,
    Model,
    ModelOptions,
    NegativePrompt,
    OptionsFile,
    Prompt,
    Reference,
    RubricName,
    split_elements,
)
from judge.cli.output import one_line_errors, print_rich


def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="One image.")],
    b: Annotated[str, typer.Argument(metavar="B", help="Another image of the same prompt.")],
    prompt: Prompt = "",
    negative: NegativePrompt = "",
    elements: Elements = None,
    max_elements: MaxElements = DEFAULT_MAX_ELEMENTS,
    rubric: RubricName = DEFAULT_RUBRIC,
    model: Model = DEFAULT_MODEL,
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    option: ModelOptions = None,
    options_file: OptionsFile = None,
    how: How = HowName.auto,
    reference: Reference = None,
    anyway: Anyway = False,
    as_json: AsJson = False,
) -> None:
    """Say which of two images is better."""
    with one_line_errors():
        options = judges.parse_judge_options(option, options_file, model, backend, base_url)
        options |= judges.element_options(max_elements) | judges.domain_options(anyway)
        judge = judges.open_judge(model, adapter, backend, rubric, base_url, **options)
        result = judge.compare(
            a,
            b,
            prompt=prompt,
            negative_prompt=negative,
            elements=split_elements(elements),
            reference=reference,
            how=how.value,
        )
    if as_json:
        typer.echo(result.model_dump_json())
    else:
        from judge.explain.terminal import render_comparison

        print_rich(render_comparison(result, a, b))
    raise typer.Exit(int(result.preferred is None))


def rank(
    data: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            help="A folder of images or videos, a folder with one folder per generator, or a rows file.",
        ),
    ],
    prompt: Prompt = "",
    rubric: RubricName = DEFAULT_RUBRIC,
    model: Model = DEFAULT_MODEL,
    adapter: Adapter = None,
    backend: BackendName = "auto",
    base_url: BaseUrl = None,
    option: ModelOptions = None,
    options_file: OptionsFile = None,
    how: How = HowName.auto,
    depth: Annotated[DepthName, typer.Option(help="Depth of the verdicts.")] = DepthName.score,
    budget: Annotated[
        int | None,
        typer.Option(help="Largest number of matches. Default: a fifth of all, at least 3 per competitor."),
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="Stop when the order of neighbours is this certain.")
    ] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the order in which images are drawn.")] = 0,
    anyway: Anyway = False,
    as_json: AsJson = False,
) -> None:
    """Rank images or generators by the most informative comparisons, until the order is settled."""
    with one_line_errors():
        from judge.compare.competitors import load_competitors
        from judge.compare.ranking import rank as rank_competitors
        from judge.explain.plain_text import describe_counts, to_plain_text

        options = judges.parse_judge_options(option, options_file, model, backend, base_url)
        options |= judges.domain_options(anyway)
        unused = Counter[str]()
        competitors = load_competitors(data, prompt, unused)
        if others := describe_counts(unused):
            typer.echo(to_plain_text(f"{data}: not used: {others}"), err=True)
        samples = (sample for competitor in competitors for sample in competitor.samples.values())
        kinds = {"image" if sample.video is None else "video" for sample in samples}
        rubric = judges.select_rubric_of_rows(kinds, "data", str(data), rubric)
        judge = judges.open_judge(model, adapter, backend, rubric, base_url, **options)
        result = rank_competitors(
            judge,
            competitors,
            how=how.value,
            depth=depth.value,
            budget=budget,
            confidence=confidence,
            seed=seed,
        )
    if as_json:
        typer.echo(result.model_dump_json())
    else:
        from judge.compare.terminal import terminal_ranking

        print_rich(terminal_ranking(result))
    raise typer.Exit(int(not result.matches))
