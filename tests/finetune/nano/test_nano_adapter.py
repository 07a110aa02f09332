"""The adapter of the embedded judge: a new one, and one whose training goes on."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from finetune.nano.adapter_training import add_lora, continue_lora
from finetune.nano.cli import app


def trainable(model: Any) -> dict[str, torch.Tensor]:
    """The parameters that training changes."""
    return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}


def test_training_goes_on_from_the_weights_of_an_adapter(model: Any, tmp_path: Path) -> None:
    first = add_lora(copy.deepcopy(model), 4)
    for parameter in trainable(first).values():
        parameter.uniform_(-1, 1)
    first.save_pretrained(tmp_path)
    saved, continued = trainable(first), trainable(continue_lora(copy.deepcopy(model), tmp_path))
    assert saved.keys() == continued.keys() and all("lora_" in name for name in continued)
    assert all(torch.equal(saved[name], continued[name]) for name in saved)


@pytest.mark.parametrize("name", ["missing", "."])
def test_a_folder_without_an_adapter_is_named(tmp_path: Path, name: str) -> None:
    for part in ("pool", "held"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "facts.pkl").touch()
    (tmp_path / "config.json").touch()
    arguments = ["adapt", str(tmp_path / "pool"), "--init", str(tmp_path), "--held", str(tmp_path / "held")]
    result = CliRunner().invoke(
        app, [*arguments, "--out", str(tmp_path / "out"), "--adapter", str(tmp_path / name)]
    )
    assert result.exit_code == 2 and "no adapter" in result.output
