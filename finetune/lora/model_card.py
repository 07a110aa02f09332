"""A model card written from a run's own numbers: `judge finetune card RUN` writes RUN/MODEL_CARD.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune.run_folders import RUN
from judge.errors import InputError

CARD = "MODEL_CARD.md"


def write(folder: Path) -> Path:
    """Write the card of a finished run; returns its path.

    Raises:
        InputError: no run has ended in the folder.
    """
    try:
        told = json.loads((folder / RUN).read_text("utf-8"))
    except (OSError, ValueError):
        mend = "`judge finetune lora` writes it when it ends"
        raise InputError("run", str(folder), f"a folder with {RUN}", mend) from None
    draft = folder / f".{CARD}.part"
    draft.write_text("\n".join(lines(told)) + "\n", "utf-8")
    draft.replace(folder / CARD)
    return folder / CARD


def lines(told: dict[str, Any]) -> Iterator[str]:
    """The card of what `run.json` holds, line by line. Nothing in it is written by hand."""
    config = told["config"]
    model, lora, schedule = config["model"], config["lora"], config["training"]
    yield f"# {told['name']}"
    yield ""
    yield f"A LoRA adapter for judging: {config['description'] or 'no description was given'}."
    yield ""
    yield f"- **Base**: {model['base']} ({told['base']['family']})" + (
        f", from the adapter {model['adapter']}" if model["adapter"] else f", rank {lora['rank']}"
    )
    for at, source in enumerate(config["data"]):
        split = f", split {source['split']}" if source["split"] else ""
        rows = told["rows"][f"data.{at}"]
        yield f"- **Trained on**: {rows} rows of {source['suite']}{split}, weight {source['weight']:g}"
    yield f"- **Asked by**: {', '.join(told['rubrics'])} (rubric and its hash)"
    yield (
        f"- **Trained for**: {told['steps']} steps of "
        f"{schedule['batch'] * schedule['accumulate']} rows a device, "
        f"{told['minutes']:.1f} minutes, learning rate {schedule['learning_rate']:g}; "
        f"{told['trained_parameters']:,} parameters"
    )
    on = [f"{name} {value:g}" for name, value in config["losses"].items() if type(value) is float and value]
    yield f"- **Losses**: {', '.join(on)}"
    yield f"- **Made with**: {', '.join(f'{n} {v}' for n, v in told['versions'].items())}"
    yield ""
    held = config["held"]
    if not held or not told["after"]:
        yield "Nothing was held out: nothing is known of how good it is."
        return
    yield "## Measured"
    yield ""
    yield (
        f"{told['held']} held-out rows of {held['suite']} at {held['depth'] or 'the usual'} depth; "
        f"`{held['metric']}` chose the checkpoint (step {told['best_step']}), so it is a little flattered."
    )
    yield ""
    yield "| | before | after |"
    yield "|---|---|---|"
    for name, value in told["after"].items():
        before = told["before"].get(name)
        yield f"| {name} | {'' if before is None else f'{before:.3f}'} | {value:.3f} |"
    yield ""
    yield f"`judge finetune lora --config {told['name']} --out RUN` trains it; `run.json` holds the course."
