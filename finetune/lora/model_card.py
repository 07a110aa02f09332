"""Writes a model card from the numbers of a run: `judge finetune card RUN` writes RUN/MODEL_CARD.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune.run_folders import RUN_FILE
from judge.errors import InputError

CARD_FILE = "MODEL_CARD.md"


def write_model_card(folder: Path) -> Path:
    """Write the model card of a finished run.

    Returns:
        Path of the card.

    Raises:
        InputError: the folder holds no finished run.
    """
    try:
        run = json.loads((folder / RUN_FILE).read_text("utf-8"))
    except (OSError, ValueError):
        mend = "`judge finetune lora` writes it when it ends"
        raise InputError("run", str(folder), f"a folder with {RUN_FILE}", mend) from None
    partial_file = folder / f".{CARD_FILE}.part"
    partial_file.write_text("\n".join(card_lines(run)) + "\n", "utf-8")
    partial_file.replace(folder / CARD_FILE)
    return folder / CARD_FILE


def card_lines(run: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the card.

    Args:
        run: content of `run.json`; all text and numbers of the card come from it.
    """
    config = run["config"]
    model, lora, schedule = config["model"], config["lora"], config["training"]
    yield f"# {run['name']}"
    yield ""
    yield f"A LoRA adapter for judging: {config['description'] or 'no description was given'}."
    yield ""
    yield f"- **Base**: {model['base']} ({run['base']['family']})" + (
        f", from the adapter {model['adapter']}" if model["adapter"] else f", rank {lora['rank']}"
    )
    for number, source in enumerate(config["data"]):
        split = f", split {source['split']}" if source["split"] else ""
        rows = run["rows"][f"data.{number}"]
        yield f"- **Trained on**: {rows} rows of {source['suite']}{split}, weight {source['weight']:g}"
    yield f"- **Rubrics**: {', '.join(run['rubrics'])} (name and hash)"
    yield (
        f"- **Trained for**: {run['steps']} steps of "
        f"{schedule['batch'] * schedule['accumulate']} rows a device, "
        f"{run['minutes']:.1f} minutes, learning rate {schedule['learning_rate']:g}; "
        f"{run['trained_parameters']:,} parameters"
    )
    weights = [
        f"{name} {value:g}" for name, value in config["losses"].items() if type(value) is float and value
    ]
    yield f"- **Losses**: {', '.join(weights)}"
    yield f"- **Made with**: {', '.join(f'{n} {v}' for n, v in run['versions'].items())}"
    yield ""
    yield from _measurement_lines(run)


def _measurement_lines(run: dict[str, Any]) -> Iterator[str]:
    held_out = run["config"]["held"]
    if not held_out or not run["after"]:
        yield "Nothing was held out, so the quality of this adapter was not measured."
        return
    yield "## Measured"
    yield ""
    yield (
        f"{run['held']} held-out rows of {held_out['suite']} at {held_out['depth'] or 'the usual'} depth. "
        f"`{held_out['metric']}` chose the checkpoint (step {run['best_step']}), so it is a bit optimistic."
    )
    yield ""
    yield "| | before | after |"
    yield "|---|---|---|"
    for name, value in run["after"].items():
        before = run["before"].get(name)
        yield f"| {name} | {'' if before is None else f'{before:.3f}'} | {value:.3f} |"
    yield ""
    yield f"`judge finetune lora --config {run['name']} --out RUN` trains it. `run.json` holds the history."
