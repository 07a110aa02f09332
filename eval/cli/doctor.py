"""The command `doctor`: look at the data of a benchmark before anything is judged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from eval.cli.errors import one_line_errors
from eval.cli.options import Split, SuiteName, SuiteOptions, parse_options

SAMPLE_ROWS = 10
"""Number of rows that are shown."""


def doctor(
    suite: SuiteName,
    data: Annotated[Path, typer.Option("--data", help="The benchmark's folder or label file.")],
    split: Split = None,
    option: SuiteOptions = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what a benchmark's folder holds: labels, media, what is missing, and ten rows.

    The exit status is 1 when something is missing.
    """
    with one_line_errors():
        found = examine(suite, data, split, parse_options(option))
    typer.echo(json.dumps(found, ensure_ascii=False, indent=1) if as_json else "\n".join(_lines(found)))
    raise typer.Exit(0 if found["ok"] else 1)


def examine(
    suite_name: str, data: Path, split: str | None = None, options: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Read the labels of a benchmark, then look for its media.

    Args:
        suite_name: name of the benchmark.
        data: its folder or label file.
        split: the split to read; None: the default one.
        options: values of `Suite.options`.

    Returns:
        The keys `ok`, `suite`, `data`, `split` (the one that was read), `is_default_split`, `splits`,
        `source`, `labels` (the number of samples), `with_mos`, `with_prompt`, `missing` (what is not there,
        as one text each), `notes` (what a reader must know) and `rows` (the first ten).
    """
    from eval.suites import load_suite
    from judge.errors import InputError

    suite, own = load_suite(suite_name), dict(options or {})
    for name in own:
        if name not in suite.options:
            known = ", ".join(suite.options) or f"no option: {suite.name} has none"
            raise InputError("option", f"{name}={own[name]}", known, "leave it out")
    found: dict[str, Any] = {"ok": False, "suite": suite.name, "data": str(data)}
    found |= {"split": split or suite.default_split or None, "is_default_split": split is None}
    found |= {"splits": list(suite.splits), "source": suite.source, "labels": 0, "with_mos": 0}
    found |= {"with_prompt": 0, "missing": [], "notes": [], "rows": []}
    try:
        for sample in suite.read(data, split, media=False, **own):
            found["labels"] += 1
            found["with_mos"] += sample.labels.mos is not None
            found["with_prompt"] += bool(sample.prompt)
            if found["labels"] <= SAMPLE_ROWS:
                row = {"id": sample.id, "file": sample.media_file, "mos": sample.labels.mos}
                found["rows"].append(row | {"prompt": sample.prompt or ""})
        if not found["labels"]:
            found["missing"].append("labels: the label file holds no sample of this split")
        # Media are looked for before the first sample is returned.
        next(iter(suite.read(data, split, **own)), None)
        found["notes"] = _describe_workbooks(data)
    except InputError as error:
        found["missing"].append(str(error))
    found["ok"] = not found["missing"]
    return found


def _describe_workbooks(data: Path) -> list[str]:
    """Return what is hidden in the workbooks of a folder, which readers of labels take as it is."""
    from eval.suites.readers.xlsx import read_workbook

    folder = data if data.is_dir() else data.parent
    books = sorted(path for pattern in ("*.xlsx", "*/*.xlsx", "*/*/*.xlsx") for path in folder.glob(pattern))
    return [f"{path.name}: {note}" for path in books for note in read_workbook(path, "data").notes]


def _lines(found: dict[str, Any]) -> Iterator[str]:
    yield f"suite: {found['suite']} ({found['source']})"
    yield f"data: {found['data']}"
    default = " (the default)" if found["is_default_split"] and found["split"] else ""
    yield f"split: {found['split'] or 'all'}{default} of {', '.join(found['splits']) or 'one'}"
    yield f"labels: {found['labels']} samples, {found['with_mos']} with a human score, " + (
        f"{found['with_prompt']} with a prompt"
    )
    for text in found["missing"]:
        yield f"missing: {text}"
    for text in found["notes"]:
        yield f"note: {text}"
    for row in found["rows"]:
        yield f"  {row['id']} | {row['file']} | {row['mos']} | {row['prompt']}"
    yield "ready" if found["ok"] else "not ready"
