"""Whole runs: training changes the adapter, is resumed, and writes its results."""

from __future__ import annotations

import math

import pytest
import torch
from training_data import tiny_config
from transformers import TrainerCallback

from finetune.lora import run
from finetune.lora.model_card import write_model_card
from finetune.run_folders import claim_folder
from judge.backends.transformers.backend import Transformers
from judge.errors import InputError
from judge.judge import Judge


class StopAtStep(TrainerCallback):
    """Stops a training as a crash would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args, state, control, **_):
        control.should_training_stop = state.global_step >= self.step


@pytest.mark.parametrize(
    ("name", "data"),
    [("nano-scenes", "scenes"), ("nano-photos", "photos"), ("qwen3-vl-8b-evalmuse", "evalmuse"),
     ("qwen2.5-vl-7b-structure", "structure"), ("qwen3-vl-4b-video", "videos")],
)  # fmt: skip
def test_two_steps_of_a_shipped_configuration_change_the_adapter_only(folder, tmp_path, name, data):
    trainer = run.build_trainer(run.prepare(tiny_config(folder, name, data)), tmp_path)
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    trainer.train()
    assert trainer.state.global_step == 2
    changed = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed and all("lora_" in n and "language_model" in n for n in changed)
    assert all(math.isfinite(row["loss"]) for row in trainer.state.log_history if "loss" in row)


def test_a_run_is_resumed_learns_and_writes_all_its_files(folder, tmp_path, monkeypatch):
    """The first run stops halfway. The same command resumes it, and a backend loads its adapter."""
    monkeypatch.chdir(tmp_path)
    overrides = {"training.steps": 8, "held.every": 4, "training.log_every": 1,
                 "training.learning_rate": 0.02, "held.before": "true"}  # fmt: skip
    config, out = tiny_config(folder, **overrides), tmp_path / "run"
    prepared = run.prepare(config)
    claim_folder(config, out)
    trainer = run.build_trainer(prepared, out)
    trainer.add_callback(StopAtStep(5))
    run.measure_baseline(trainer, config, out, is_resumed=False)
    trainer.train()
    assert (out / "checkpoint-4").is_dir()
    result = run.train_adapter(config, out)
    losses = [row["loss"] for row in result["history"] if "loss" in row]
    assert result["steps"] == 8 and losses[-1] < losses[0]
    assert {"srcc", "element_accuracy"} & set(result["after"])
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert len(list((out / "runs").glob("events*"))) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    served = Transformers(folder / "qwen3_vl", out / "adapter")
    assert (served.adapter, served.brief) == (str(out / "adapter"), False)
    training = served.training
    assert training is not None and [rubric.name for rubric in training.rubrics] == ["default"]
    assert (training.base.name, training.base.family) == (str(config.model.base), "qwen3_vl")
    with pytest.raises(InputError, match="brief"):
        Transformers(folder / "qwen3_vl", out / "adapter", brief=True)
    with pytest.raises(InputError, match="a run has ended there"):
        run.train_adapter(config, out)
    card = write_model_card(out).read_text()
    assert f"| accuracy | {result['before']['accuracy']:.3f} | {result['after']['accuracy']:.3f} |" in card
    assert "8 steps of 4 rows" in card and str(folder) not in card.replace(str(config.model.base), "")


def test_the_model_in_training_gives_the_scores_of_the_served_adapter(folder, tmp_path):
    prepared = run.prepare(tiny_config(folder))
    trainer = run.build_trainer(prepared, tmp_path)
    trainer.train()
    trainer.model.eval().save_pretrained(tmp_path / "adapter")
    backends = (
        trainer.dataset.encoder.backend,
        Transformers(folder / "qwen3_vl", tmp_path / "adapter", layout="compact"),
        Transformers(folder / "qwen3_vl", layout="compact"),
    )
    samples = [sample.to_sample() for sample in prepared.evaluation.samples]
    in_training, served, base = (
        [verdict.score for verdict in Judge(backend=backend).many(samples)] for backend in backends
    )
    assert in_training == pytest.approx(served, abs=1e-3)
    assert base != pytest.approx(served, abs=1e-3)
