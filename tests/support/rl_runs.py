"""Tiny checkpoints, and the shipped configurations of reinforcement for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from finetune.lora.base_model import check_base, load_trainable_model
from finetune.lora.evaluation import TrainingBackend
from finetune.rl.config import Config
from finetune.rl.examples import SceneSource
from finetune.rl.rollouts import Example, RolloutEngine


def rl_config(folder: Path, name: str = "nano-rl", base: str = "nano/base", **overrides: Any) -> Config:
    """Load a shipped configuration for a tiny base and two steps.

    Args:
        folder: folder with the bases and the data `scenes` and `evalmuse`.
        name: name of the configuration.
        base: folder of the base in `folder`.
        **overrides: further fields to change.
    """
    short = {
        "model.base": folder / base, "held.path": folder / "scenes", "held.limit": 2, "held.every": 2,
        "held.before": "false", "training.steps": 2, "training.minutes": 0, "training.images": 2,
        "training.batch": 2, "training.log_every": 1, "policy.group": 3, "training.autocast": "false",
    }  # fmt: skip
    if name == "nano-rl":
        short |= {"model.adapter": folder / "nano/adapter", "model.brief": "true", "held.metric": "srcc"}
    else:
        short |= {"data.0.path": folder / "evalmuse", "data.0.skip": 3, "held.path": folder / "evalmuse"}
    return Config.load(name, [f"{key}={value}" for key, value in (short | overrides).items()])


def build_backend(config: Config) -> tuple[Any, TrainingBackend]:
    """Load the model of a configuration, and the same model as a backend."""
    base = check_base(config.model)
    model, processor = load_trainable_model(base, config.model, config.lora)
    return model.eval(), TrainingBackend(model, processor, base, thinking=config.model.thinking)


def draw_examples(config: Config, count: int) -> list[Example]:
    """Draw the first scenes with one defect."""
    source = SceneSource(config.scenes)
    return [source.draw(f"{source.seeds[n]} 1") for n in range(count)]


def build_engine(config: Config, backend: TrainingBackend) -> RolloutEngine:
    """Create the engine that samples for a configuration."""
    policy = config.policy
    return RolloutEngine(
        backend,
        config.model.max_pixels,
        policy.group,
        policy.temperature,
        config.seed,
        policy.texts == "drawn",
    )
