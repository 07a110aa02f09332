"""The adapter of the embedded judge: a new one, and one whose training goes on."""

from __future__ import annotations

import copy
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from finetune.lora.base_model import continue_adapter
from finetune.lora.config import LANGUAGE_LAYERS
from finetune.nano.adapter_training import TOWER_LAYERS, add_lora, train_adapter
from finetune.nano.batched_forward import BatchedForward
from finetune.nano.cli import app
from finetune.nano.data.scene_dataset import write_scene_dataset
from finetune.nano.losses import AnswerLoss, AuxiliaryHeads
from finetune.nano.network import save_processor
from finetune.nano.pretraining import compute_gradients
from finetune.nano.tasks import judge_scene
from finetune.nano.trainer import TrainingSettings
from judge.rubrics.rubric import Rubric


def trainable(model: Any) -> dict[str, torch.Tensor]:
    """The parameters that training changes."""
    return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad}


def test_training_goes_on_from_the_weights_of_an_adapter(model: Any, tmp_path: Path) -> None:
    first = add_lora(copy.deepcopy(model), 4)
    for parameter in trainable(first).values():
        parameter.uniform_(-1, 1)
    first.save_pretrained(tmp_path)
    saved, continued = trainable(first), trainable(continue_adapter(copy.deepcopy(model), tmp_path))
    assert saved.keys() == continued.keys() and all("lora_" in name for name in continued)
    assert all(torch.equal(saved[name], continued[name]) for name in saved)


def test_an_adapter_gets_matrices_for_the_tower_and_gives_its_language_layers_alone(
    model: Any, tmp_path: Path
) -> None:
    add_lora(copy.deepcopy(model), 4).save_pretrained(tmp_path / "language")
    wide = continue_adapter(copy.deepcopy(model), tmp_path / "language", TOWER_LAYERS)
    layers = {name.partition(".lora_")[0] for name in trainable(wide) if ".visual." in name}
    linear = {
        f"base_model.model.{name}"
        for name, module in model.model.visual.named_modules(prefix="model.visual")
        if isinstance(module, torch.nn.Linear)
    }
    assert layers == linear
    wide.save_pretrained(tmp_path / "wide")
    again = continue_adapter(copy.deepcopy(model), tmp_path / "wide", TOWER_LAYERS)
    assert again.peft_config["default"].target_modules == wide.peft_config["default"].target_modules
    narrow = continue_adapter(copy.deepcopy(model), tmp_path / "wide", layers=LANGUAGE_LAYERS)
    language = {name for name in trainable(wide) if ".visual." not in name}
    assert trainable(narrow).keys() == language


def test_heads_that_learn_alone_leave_the_model_to_the_answers(
    model: Any, tokenizer: Any, row_builder: Any, build_batch: Any, drawn_scenes: Any
) -> None:
    scene = drawn_scenes[0]
    batch = build_batch(
        [[judge_scene(Random(0), scene.facts, Rubric.load("default"), score_only=True)]], [scene]
    )
    network = copy.deepcopy(model)
    vision, text = network.config.vision_config.hidden_size, network.config.text_config
    heads = AuxiliaryHeads(vision, text.hidden_size, tokenizer)
    forward, loss = BatchedForward(network, row_builder.prefix), AnswerLoss(tokenizer, text.vocab_size)

    def gradient(scale: float, *, heads_only: bool) -> torch.Tensor:
        network.zero_grad()
        compute_gradients(forward, loss, heads, batch, scale, heads_only=heads_only)
        return network.model.visual.blocks[0].attn.qkv.weight.grad.clone()

    answers, taught = gradient(0.0, heads_only=False), gradient(1.0, heads_only=False)
    assert not torch.allclose(answers, taught)
    heads_weight = heads.patch.weight
    heads.zero_grad()
    alone = gradient(1.0, heads_only=True)
    assert heads_weight.grad is not None and heads_weight.grad.any()
    assert (alone - answers).norm() < (taught - answers).norm()


def test_a_short_training_changes_the_tower_of_the_adapter(
    model: Any, tokenizer: Any, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path / "init")
    save_processor(tokenizer, tmp_path / "init")
    for name, seed in (("pool", 1), ("held", 2)):
        write_scene_dataset(tmp_path / name, count=12, seed=seed, workers=1)
    settings = TrainingSettings(
        [tmp_path / "pool"], tmp_path / "init", tmp_path / "held", tmp_path / "run", 1, 1e-3, 6,
        max_text_tokens=420, steps=2,
    )  # fmt: skip
    settings.out.mkdir()
    train_adapter(0, 1, settings, 4, None, tower=True)
    weights = load_file(tmp_path / "run/adapter/adapter_model.safetensors")
    tower = {name: weight for name, weight in weights.items() if ".visual." in name and "lora_B" in name}
    assert tower and all(weight.any() for weight in tower.values())


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
