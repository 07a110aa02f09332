"""The images of each step: new drawn scenes, scenes that failed before, and labelled rows of suites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from eval.suites import load_suite
from eval.suites.shared.samples import GroundTruth, SuiteSample
from finetune.lora.config import DataConfig, ScoredSourceConfig
from finetune.lora.targets import TargetBuilder, TargetSet, load_target_set
from finetune.rl.config import Config, ScenesConfig
from finetune.rl.rollouts import Example
from judge.errors import InputError
from judge.rubrics.rubric import Rubric
from judge.scenes.dataset import drawing_seeds
from judge.scenes.scene import draw_scene

MAX_FAILURES = 512
"""Scenes that are remembered to be drawn again."""
MEMORY = 0.95
"""Share of the old mean that a new reward leaves."""


@dataclass
class Curriculum:
    """What the model finds hard: mean rewards by kind of scene, and the scenes that failed most."""

    means: dict[str, float] = field(default_factory=dict)
    """Stratum of scenes -> mean reward of recent answers, 0 to 1."""
    failures: dict[str, float] = field(default_factory=dict)
    """Key of a scene -> mean reward, of the scenes that failed most."""

    def add(self, examples: Sequence[Example], rewards: Sequence[float]) -> None:
        """Note the mean reward of the answers about some images, each 0 to 1."""
        for example, reward in zip(examples, rewards, strict=True):
            if not example.stratum:
                continue
            before = self.means.get(example.stratum, reward)
            self.means[example.stratum] = MEMORY * before + (1 - MEMORY) * reward
            self.failures[example.key] = reward
        if len(self.failures) > MAX_FAILURES:
            kept = sorted(self.failures, key=lambda key: (self.failures[key], key))[:MAX_FAILURES]
            self.failures = {key: self.failures[key] for key in kept}

    def shares(self, shares: Sequence[float], focus: float) -> tuple[float, ...]:
        """Return how often scenes with no, one, two and three defects are drawn.

        Args:
            shares: the plan.
            focus: 0 to follow it, 1 to draw by failures (1 - mean reward) alone.
        """
        lost = [1 - self.means.get(str(count), 0.0) for count in range(len(shares))]
        hard = [share * miss for share, miss in zip(shares, lost, strict=True)]
        total, plan = sum(hard) or 1.0, sum(shares)
        return tuple(
            (1 - focus) * share / plan + focus * miss / total
            for share, miss in zip(shares, hard, strict=True)
        )

    def state(self) -> dict[str, Any]:
        """Return what `load` takes."""
        return {"means": self.means, "failures": self.failures}

    def load(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned."""
        self.means, self.failures = dict(state["means"]), dict(state["failures"])


class SceneSource:
    """Draws scenes as examples.

    Args:
        config: which scenes.
    """

    def __init__(self, config: ScenesConfig) -> None:
        self.config, self.rubric = config, Rubric.load(config.rubric)
        source = DataConfig(suite="scenes", path=Path("scenes"))
        self.builder = TargetBuilder(source, load_suite("scenes"), self.rubric, "scenes", True)
        self.seeds = drawing_seeds(config.seed, 10_000_018)

    def draw(self, key: str) -> Example:
        """Draw a scene.

        Args:
            key: `SEED COUNT`: the drawing seed, and how many defects are tried.
        """
        seed, wanted = map(int, key.split())
        shares = [0.0] * len(self.config.defects)
        shares[wanted] = 1.0
        scene = draw_scene(seed, defect_shares=tuple(shares))
        labels = scene.sample.labels
        truth = GroundTruth(**dict(labels), mos=labels.score)
        fields = dict(scene.sample) | {"id": key, "image": scene.image, "labels": truth}
        count = str(len(labels.defects))
        return Example(key, self.builder.build(SuiteSample(**fields)), self.rubric, count)


class ExampleStream:
    """Chooses the images of each step. The same seed, step and curriculum give the same images.

    Args:
        config: the configuration.
        report: called with a line about each source.

    Raises:
        InputError: a source is unusable.
    """

    def __init__(self, config: Config, report: Callable[[str], None] = lambda line: None) -> None:
        self.config, self.curriculum = config, Curriculum()
        self.scenes = SceneSource(config.scenes) if config.scenes.share else None
        self.target_sets = [_load(source, number, report) for number, source in enumerate(config.data)]
        if self.scenes is not None:
            share = f"{config.scenes.share:.0%} of the images"
            report(f"new scenes, rubric {self.scenes.rubric.name}: {share}")

    @property
    def rubrics(self) -> list[Rubric]:
        """The rubrics of all sources."""
        found = [target_set.rubric for target_set in self.target_sets]
        return found if self.scenes is None else [*found, self.scenes.rubric]

    def draw(self, step: int, progress: float, count: int, process: int = 0) -> list[Example]:
        """Return the images of a step.

        Args:
            step: of the training.
            progress: of the training, 0 to 1.
            count: number of images.
            process: each process gets others.
        """
        random = np.random.default_rng((self.config.seed, step, process, 1))
        own = [random.random() < self.config.scenes.share for _ in range(count)]
        replayed, examples = self.replayed(random, sum(own)), []
        shares = np.array(self._plan(progress))
        for place, is_scene in enumerate(own):
            if is_scene:
                assert self.scenes is not None
                number = (step * 64 + process) * 4096 + place
                seed = self.scenes.seeds[number % len(self.scenes.seeds)]
                wanted = random.choice(len(shares), p=shares / shares.sum())
                examples.append(self.scenes.draw(replayed.pop() if replayed else f"{seed} {wanted}"))
            else:
                examples.append(self._draw_row(random))
        return examples

    def replayed(self, random: np.random.Generator, count: int) -> list[str]:
        """Return the keys of scenes to draw again, of `count` scenes: half of the failures are eligible."""
        failures = self.curriculum.failures
        wanted = min(len(failures), int(random.binomial(count, self.config.scenes.replay)))
        if not wanted:
            return []
        keys = sorted(failures, key=lambda key: (failures[key], key))
        chosen = random.choice(max(wanted, len(keys) // 2), wanted, replace=False)
        return [keys[int(n)] for n in chosen]

    def _plan(self, progress: float) -> tuple[float, ...]:
        """Return the shares of scenes by number of defects at some progress."""
        config = self.config.scenes
        easy = config.easy or config.defects
        plan = [a * (1 - progress) + b * progress for a, b in zip(easy, config.defects, strict=True)]
        return self.curriculum.shares(plan, config.focus)

    def _draw_row(self, random: np.random.Generator) -> Example:
        sizes = np.array([one.weight * len(one.targets) for one in self.target_sets])
        number = int(random.choice(len(sizes), p=sizes / sizes.sum()))
        target_set = self.target_sets[number]
        target = target_set.targets[int(random.integers(len(target_set.targets)))]
        return Example(f"data.{number} {target.sample.id}", target, target_set.rubric)


def _load(source: ScoredSourceConfig, number: int, report: Callable[[str], None]) -> TargetSet:
    """Read a source. All of its rows are compared with each other by the reward `ranks`."""
    config = DataConfig(**dict(source), pairs="all")
    target_set = load_target_set(config, f"data.{number}", report)
    report(f"{source.suite}: {len(target_set.targets)} rows")
    if not target_set.targets:
        raise InputError(f"data.{number}.path", str(source.path), "labelled rows", "check limit and skip")
    return target_set
