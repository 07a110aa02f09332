"""A configuration, its data and its base: what is refused before any weights are loaded."""

from __future__ import annotations

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from training_data import FAMILIES, tiny_config, write_rated_photos, write_scenes

from finetune.config import CONFIG_DIR
from finetune.lora import run
from finetune.lora.base_model import (
    BaseInfo,
    check_base,
    layer_pattern,
    load_trainable_model,
    trainable_parameters,
)
from finetune.lora.config import Config
from finetune.lora.memory import MemoryEstimate, PassShape, estimate_memory
from finetune.rl.config import Config as RlConfig
from finetune.run_folders import claim_folder
from judge.errors import InputError

# -- The configuration ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.bacth=3", "did you mean 'batch'"),
        ("training.batch=0", "greater than or equal to 1"),
        ("lora.rank=-1", "greater than or equal to 1"),
        ("losses.pairs=1", "no data says which rows are compared"),
        ("held.metric", "key=value"),
        ("data.7.path=x", "a field of the configuration"),
        ("model.bits=3", "4 or 8"),
    ],
)
def test_an_error_in_the_configuration_names_the_field(override, message):
    with pytest.raises(InputError, match=message):
        Config.load("nano-scenes", [override])


def test_an_unknown_configuration_suggests_the_nearest_name():
    with pytest.raises(InputError, match="did you mean 'nano-scenes'"):
        Config.load("nano-scene")


def test_every_shipped_configuration_can_be_read():
    assert {path.stem for path in CONFIG_DIR.glob("*.toml")} >= set(FAMILIES)
    for path in CONFIG_DIR.glob("*.toml"):
        config = RlConfig if path.stem.endswith("-rl") else Config
        assert config.load(path.stem).name == path.stem


def test_the_folder_of_another_run_is_refused(folder, tmp_path):
    claim_folder(tiny_config(folder), tmp_path)
    with pytest.raises(InputError, match="training changed"):
        claim_folder(tiny_config(folder, **{"training.batch": 2}), tmp_path)


# -- Data and labels -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data.0.suite": "scnes"}, "did you mean scenes"),
        ({"data.0.skip": 8}, "at least one row"),
        ({"data.0.limit": 0}, "greater than or equal to 1"),
        ({"data.0.rubric": "qualty"}, "did you mean 'quality'"),
        ({"held.metric": "srrc"}, "held.metric"),
        ({"held.limit": 4}, "not trained on"),
        ({"model.base": "nowhere/to/be/found"}, "a checkpoint of Qwen2-VL"),
    ],
)
def test_unusable_data_or_base_is_refused_before_training(folder, overrides, message):
    with pytest.raises(InputError, match=message):
        run.prepare(tiny_config(folder, **overrides))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"score": 6}, "less than or equal to 5"),
        ({"dimensions": {"structure": 0.5}}, "greater than or equal to 1"),
        ({"attributes": {"degradation": "rain"}}, "'rain' is not usable; allowed: none, blur"),
        ({"defects": [{"kind": "melted", "box": [1, 1, 9, 9]}]}, "'melted' is not usable; allowed: missing"),
        ({"defects": [{"kind": "cut", "box": [1, 1, 99, 9]}]}, "within 64 x 48 pixels"),
    ],
)
def test_a_label_out_of_range_is_refused(folder, tmp_path, labels, message):
    bad = write_scenes(tmp_path / "bad", 4, **labels)
    with pytest.raises(InputError, match=message):
        run.prepare(tiny_config(folder, **{"data.0.path": bad, "data.0.skip": 0}))


def test_a_score_outside_its_scale_is_refused_with_its_row(folder, tmp_path):
    bad = write_rated_photos(tmp_path / "bad", 4, mos=101)
    with pytest.raises(InputError, match=r"data.0: 0.png: score: 101.0 is not usable; allowed: 0 to 100"):
        run.prepare(tiny_config(folder, "nano-photos", "photos", **{"data.0.path": bad, "data.0.skip": 0}))


def test_rows_without_any_label_are_refused(folder, tmp_path):
    bare = write_scenes(
        tmp_path / "bare", 4, score=None, dimensions={}, elements=[], attributes={}, defects=[]
    )
    with pytest.raises(InputError, match="neither scores nor elements"):
        run.prepare(tiny_config(folder, **{"data.0.path": bare, "data.0.skip": 0}))


# -- The base and its adapter --------------------------------------------------------------------------


def test_a_base_that_takes_no_images_is_refused(folder, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3", "hidden_size": 64}))
    with pytest.raises(InputError, match="its model_type is qwen3, which cannot be trained here"):
        run.prepare(tiny_config(folder, **{"model.base": tmp_path}))


def test_an_adapter_of_another_base_is_refused_by_its_shapes(folder, tmp_path):
    run.prepare(tiny_config(folder, **{"model.adapter": folder / "adapter"}))
    other = tmp_path / "other"
    other.mkdir()
    weights = load_file(folder / "adapter/adapter_model.safetensors")
    wider = {name: torch.zeros(4, 96) if "lora_A" in name else w for name, w in weights.items()}
    save_file(wider, other / "adapter_model.safetensors")
    (other / "adapter_config.json").write_text((folder / "adapter/adapter_config.json").read_text())
    with pytest.raises(InputError, match="made for another base"):
        run.prepare(tiny_config(folder, **{"model.adapter": other}))
    with pytest.raises(InputError, match="a folder with a LoRA adapter"):
        run.prepare(tiny_config(folder, **{"model.adapter": tmp_path}))


def test_a_pattern_that_matches_no_layer_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="lora.targets"):
        run.build_trainer(run.prepare(tiny_config(folder, **{"lora.targets": "no_such_layer"})), tmp_path)
    overrides = {"model.adapter": folder / "adapter", "lora.also": "no_such_layer"}
    with pytest.raises(InputError, match="lora.also.*matches no layer"):
        run.build_trainer(run.prepare(tiny_config(folder, **overrides)), tmp_path)


def test_a_continued_adapter_can_get_new_layers_in_the_vision_tower(folder, tmp_path):
    also = r".*visual\.blocks\..*\.(qkv|proj)"
    config = tiny_config(folder, **{"model.adapter": folder / "adapter", "lora.also": also})
    old = load_file(folder / "adapter/adapter_model.safetensors")
    trainer = run.build_trainer(run.prepare(config), tmp_path / "out")
    initial = dict(trainer.model.named_parameters())
    for name, weight in old.items():
        stem, _, side = name.rpartition(".lora_")
        parameter = initial[f"{stem}.lora_{side[0]}.default.weight"]
        assert parameter.requires_grad
        assert torch.equal(parameter, weight)
    trainer.train()
    trainer.model.save_pretrained(tmp_path / "wider")
    wider = load_file(tmp_path / "wider/adapter_model.safetensors")
    new = {name: weight for name, weight in wider.items() if name not in old}
    assert old.keys() < wider.keys()
    assert all(".visual." in name for name in new)
    assert all(weight.abs().sum() > 0 for weight in new.values())  # both matrices changed: they were trained

    base = check_base(config.model)
    narrow = tiny_config(folder, **{"model.adapter": folder / "adapter"})
    wide_estimate = _estimate(config, base)
    narrow_estimate = _estimate(narrow, base)
    assert wide_estimate.trained == sum(weight.numel() for weight in wider.values())
    assert narrow_estimate.trained == sum(weight.numel() for weight in old.values())
    assert wide_estimate.activations > narrow_estimate.activations


@pytest.mark.parametrize("targets", [r".*\.layers\..*\.q_proj", ["q_proj"], {"q_proj"}])
def test_the_layers_of_an_adapter_are_one_pattern_for_any_kind_of_list(targets):
    names = ("model.language_model.layers.0.self_attn.q_proj", "q_projected", "visual.blocks.0.attn.qkv")
    matching = [name for name in names if re.fullmatch(layer_pattern(targets), name)]
    assert matching == ["model.language_model.layers.0.self_attn.q_proj"]


def _estimate(config: Config, base: BaseInfo, *, gpu: bool = False) -> MemoryEstimate:
    shape = PassShape(config.training.batch, config.training.checkpointing)
    return estimate_memory(config.model, config.lora, shape, base, gpu=gpu)


def test_the_memory_estimate_counts_the_base_and_the_adapter(folder):
    config = tiny_config(folder)
    base = check_base(config.model)
    estimate = _estimate(config, base)
    model, _ = load_trainable_model(base, config.model, config.lora)
    assert estimate.trained == sum(p.numel() for p in trainable_parameters(model))
    frozen = sum(p.numel() for p in model.parameters()) - estimate.trained
    assert estimate.parameters == frozen and estimate.weights == 4 * frozen
    quantized = config.model_copy(update={"model": config.model.model_copy(update={"bits": 4})})
    assert _estimate(quantized, base, gpu=True).weights < 0.6 * estimate.weights
