"""How far LoRA lifts the embedded judge on a rubric it never saw: before, after, and what that took.

Scenes have a defect that the base never saw (stripes across an object) and scores of a harsher scale
(`judge.scenes.shifted`). The adapter is trained by the configuration `nano-shifted`, or given. Both
judges are asked by the shifted rubric about the same fresh scenes, which no training has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.accuracy.scenes import run
from judge.judge import Judge
from judge.rubrics.rubric import Rubric
from judge.scenes.fresh import LabelledScene, scene_seeds
from judge.types import Verdict

GAINS = ("score_srcc", "score_srcc_score_depth", "score_plcc", "defect_image_accuracy", "box_f1_50",
         "region_f1", "element_accuracy", "new_kind_recall")  # fmt: skip


def draw_scenes(count: int, seed: int) -> list[LabelledScene]:
    """`count` fresh shifted scenes; the same seed gives the same scenes."""
    from judge.scenes.shifted import draw

    scenes = []
    for at, own in enumerate(scene_seeds(count, seed)):
        drawn = draw(own)
        mask = np.zeros(drawn.image.shape[:2], dtype=bool)
        for region in drawn.masks:
            mask |= np.asarray(region, dtype=bool)
        sample = drawn.sample.model_copy(update={"image": drawn.image, "id": f"{seed}-{at}"})
        scenes.append(LabelledScene(sample, mask))
    return scenes


def train(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Draw scenes to learn from and train the adapter; returns what took how long."""
    from finetune.lora.config import Config
    from finetune.lora.run import run as tune
    from judge.scenes.dataset import write
    from judge.scenes.shifted import draw

    begun = time.monotonic()
    for _ in write(folder / "scenes", count, seed, drawing=draw):
        pass
    drawn = time.monotonic()
    places = [f"{part}.path={folder / 'scenes'}" for part in ("data.0", "held")]
    told = tune(Config.load("nano-shifted", places), folder / "run")
    return {
        "minutes_drawing": (drawn - begun) / 60,
        "minutes_training": (time.monotonic() - drawn) / 60,
        "steps": told["steps"],
        "rows": count,
    }


def measure(
    adapters: Sequence[str | None], scenes: Sequence[LabelledScene], batch: int, tick: Callable[[], None]
) -> dict[str, Any]:
    """The embedded judge before and after; `gain` is after less before."""
    from judge.scenes.shifted import RUBRIC

    rubric, found = Rubric.load(RUBRIC), []
    for adapter in adapters:
        judge = Recording(Judge(adapter=adapter, rubric=rubric))
        measured = run(judge, scenes, batch=batch, tick=tick)
        found.append({**measured, "new_kind_recall": _recall(scenes, judge.verdicts)})
    before, after = found
    return {
        "gain": {name: _gain(before[name], after[name]) for name in GAINS},
        "before": {name: before[name] for name in GAINS},
        "after": {name: after[name] for name in GAINS},
        "interval_95": {
            f"{when}.{name}": limits
            for when, part in (("before", before), ("after", after))
            for name, limits in part["interval_95"].items()
            if name in GAINS
        },
        "unscored": after["unscored"],
        "count": len(scenes),
    }


class Recording:
    """A judge that remembers its verdicts at verdict depth."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.verdicts: dict[str, Verdict] = {}

    def many(self, samples: Any, *, depth: Any = "verdict", batch: int = 16) -> Any:
        for verdict in self.judge.many(samples, depth=depth, batch=batch):
            if depth == "verdict":
                self.verdicts[verdict.id] = verdict
            yield verdict


def _recall(scenes: Sequence[LabelledScene], verdicts: dict[str, Verdict]) -> float | None:
    """Share of the pictures with a striped object whose verdict names one."""
    from judge.scenes.shifted import KIND

    shown = [scene for scene in scenes if any(d.kind == KIND for d in scene.defects)]
    named = [any(d.kind == KIND for d in verdicts[scene.sample.id].defects) for scene in shown]
    return sum(named) / len(named) if named else None


def _gain(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
