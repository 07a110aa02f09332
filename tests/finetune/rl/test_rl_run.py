"""Whole runs: two steps of the shipped configurations, resuming, errors, and a reward that rises."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from statistics import fmean

import pytest
import torch
from rl_runs import build_backend, rl_config
from torch.multiprocessing.spawn import spawn
from typer.testing import CliRunner

from finetune.cli import app
from finetune.lora.processes import join_processes
from finetune.rl import run
from finetune.rl.config import Config
from finetune.rl.examples import Curriculum, ExampleStream
from finetune.rl.rollouts import Example
from finetune.rl.trainer import RlTrainer
from judge.backends.transformers.backend import Transformers
from judge.errors import InputError


def test_two_steps_of_the_real_architecture_change_the_adapter_only(folder: Path, tmp_path: Path) -> None:
    changes = {"training.images": 1, "policy.group": 2, "held.limit": 1}
    config = rl_config(folder, "qwen3-vl-4b-rl", "qwen3_vl", **changes)
    trainer = run.build_trainer(run.prepare(config), tmp_path)
    before = {name: parameter.detach().clone() for name, parameter in trainer.model.named_parameters()}
    trainer.train()
    changed = {n for n, p in trainer.model.named_parameters() if not torch.equal(p, before[n])}
    assert changed and all("lora_" in name and "language_model" in name for name in changed)
    rows = [row for row in trainer.progress.history if "reward" in row]
    assert [row["step"] for row in rows] == [1, 2]
    assert rows[0]["gap"] < 1e-3 and abs(rows[0]["kl"]) < 1e-6 and rows[1]["kl"] >= 0


def test_a_run_is_resumed_bit_by_bit_and_writes_all_its_files(folder: Path, tmp_path: Path) -> None:
    changes = {"training.steps": 3, "held.every": 1, "scenes.replay": 0.5, "policy.kl": 0.1}
    config, whole, parts = rl_config(folder, **changes), tmp_path / "whole", tmp_path / "parts"
    summary = run.train_policy(config, whole)
    parts.mkdir()
    first = run.build_trainer(run.prepare(config), parts)
    while first.progress.step < 2:
        first.run_step(first.share)
        first._evaluate()
    first.save()
    resumed = run.build_trainer(run.prepare(config), parts)
    assert resumed.resume() and resumed.progress.step == 2
    resumed.train()
    saved = torch.load(whole / "state.pt", weights_only=True)
    assert all(torch.equal(a, b) for a, b in zip(resumed.parameters, saved["parameters"], strict=True))
    names = {"adapter", "run.json", "measures.md", "curves.png", "log.jsonl", "state.pt", "config.json"}
    assert names <= {path.name for path in whole.iterdir()}
    assert summary["steps"] == 3 and summary["samples"] == 3 * 2 * 3
    table = (whole / "measures.md").read_text()
    assert "Not rewarded" in table and "score_depth/srcc" in table and "score_depth/box_f1" not in table
    assert json.loads((whole / "run.json").read_text())["not_rewarded"] == summary["not_rewarded"]
    served = Transformers(folder / "nano/base", adapter=whole / "adapter")
    assert served.training is not None and [one.name for one in served.training.rubrics] == ["default"]
    with pytest.raises(InputError, match="a run has ended there"):
        run.train_policy(config, whole)


def _train_in_a_process(rank: int, port: int, folder: Path, out: Path) -> None:
    """Take two steps as one of two processes, and save what the adapter has become."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}  # as torchrun sets them
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    process = join_processes()
    config = rl_config(folder, **{"training.images": 1}).model_copy(update={"held": None})
    trainer = run.build_trainer(run.prepare(config), out, (process.process_index, process.num_processes))
    trainer.train()
    rewards = [row["reward"] for row in trainer.progress.history if "reward" in row]
    torch.save({"parameters": trainer.parameters, "rewards": rewards}, out / f"process{rank}.pt")


def test_two_processes_learn_one_adapter_from_images_of_their_own(folder: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(_train_in_a_process, (port, folder, tmp_path), nprocs=2)
    first, second = (torch.load(tmp_path / f"process{rank}.pt", weights_only=False) for rank in (0, 1))
    assert all(torch.equal(a, b) for a, b in zip(first["parameters"], second["parameters"], strict=True))
    assert len(first["rewards"]) == 2 and first["rewards"] != second["rewards"]


def test_the_reward_of_a_tiny_model_rises(folder: Path, tmp_path: Path) -> None:
    """Attributes and scores of the same two rows, by sampled labels alone."""
    off = {f"rewards.{name}": 0 for name in ("elements", "boxes", "counts", "kinds", "severities", "ranks")}
    changes = {
        "policy.exact": "false",
        "policy.kl": 0,
        "training.learning_rate": 0.1,
        "training.warmup": 0,
        "policy.group": 8,
        "training.steps": 10,
    }
    data = f"[{{suite = 'scenes', path = '{folder / 'scenes'}', limit = 2}}]"
    config = rl_config(folder, **off, **changes, **{"scenes.share": 0, "data": data})
    config = config.model_copy(update={"held": None})
    model, backend = build_backend(config)
    trainer = RlTrainer(config, model, backend, ExampleStream(config), tmp_path)
    rewards = [trainer.run_step(0.0)["reward"] for _ in range(6)]
    assert fmean(rewards[-2:]) > rewards[0] + 0.2


def test_scenes_that_fail_are_drawn_more_often_and_again(folder: Path) -> None:
    config = rl_config(folder, **{"scenes.replay": 0.9, "scenes.focus": 1})
    stream = ExampleStream(config)
    curriculum = stream.curriculum
    examples = stream.draw(0, 0.0, 4)
    assert len({example.key for example in examples}) == 4
    curriculum.add(examples, [0.5] * 4)
    curriculum.means = {"0": 1.0, "1": 0.5, "2": 1.0, "3": 1.0}
    assert curriculum.shares((0.25,) * 4, 1.0) == (0, 1, 0, 0)
    assert curriculum.shares((0.25,) * 4, 0.5) == pytest.approx((0.125, 0.625, 0.125, 0.125))
    curriculum.failures = {examples[0].key: 0.1}
    again = stream.draw(1, 0.0, 4)
    replayed = [example for example in again if example.key == examples[0].key]
    assert len(replayed) == 1
    assert (replayed[0].target.sample.image == examples[0].target.sample.image).all()
    loaded = Curriculum()
    loaded.load(curriculum.state())
    assert loaded == curriculum


def test_easy_scenes_come_first(folder: Path) -> None:
    config = rl_config(folder, **{"scenes.easy": "[1, 0, 0, 0]", "scenes.defects": "[0, 0, 0, 1]"})
    stream = ExampleStream(config)

    def defects(examples: list[Example]) -> float:
        return fmean(len(example.target.boxes) for example in examples)

    assert defects(stream.draw(0, 0.0, 4)) == 0 < defects(stream.draw(0, 1.0, 4))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards.box": 1}, "did you mean 'boxes'"),
        ({"policy.group": 1}, "policy.group"),
        ({"scenes.share": 0.5}, "no data for the other images"),
        ({"rewards.consistency": 1}, 'policy.texts = "drawn"'),
        ({"scenes.seed": 1}, "scenes.seed"),
        ({"scenes.defects": "[0, 0, 0, 0]"}, "all shares"),
        ({"held.metric": "sharpness"}, "held.metric"),
        ({"model.thinking": 8}, "opens no thought"),
        ({"model.base": "no-such-model"}, "model.base"),
    ],
)  # fmt: skip
def test_an_error_in_the_configuration_is_one_line(
    folder: Path, tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError) as error:
        run.build_trainer(run.prepare(rl_config(folder, **changes)), tmp_path)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_command_checks_without_training(folder: Path, tmp_path: Path) -> None:
    overrides = [f"--set=model.base={folder / 'nano/base'}", f"--set=model.adapter={folder / 'nano/adapter'}"]
    overrides += [f"--set=held.path={folder / 'scenes'}", "--set=held.metric=srcc"]
    runner = CliRunner()
    checked = runner.invoke(app, ["rl", "nano-rl", "--check", *overrides])
    assert checked.exit_code == 0, checked.output
    assert "of memory" in checked.output and "held out: 8 rows" in checked.output
    missing = runner.invoke(app, ["rl", "nano-rl", *overrides])
    assert missing.exit_code == 2 and "error: out" in missing.output


def test_every_measure_is_rewarded_or_not() -> None:
    config = Config.load("nano-rl")
    assert run.is_rewarded("box_f1", config) and run.is_rewarded("srcc", config)
    assert not run.is_rewarded("unscored", config) and not run.is_rewarded("score_depth/srcc", config)
    silent = config.model_copy(
        update={"rewards": config.rewards.model_copy(update={"boxes": 0, "counts": 0})}
    )
    assert not run.is_rewarded("box_f1", silent)
    table = run.measures_table({"box_f1": 0.5}, {"box_f1": 0.75, "unscored": 0.0}, config)
    assert "| box_f1 | 0.5000 | 0.7500 |" in table and "| unscored | nan | 0.0000 |" in table
