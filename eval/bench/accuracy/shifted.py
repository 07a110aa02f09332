"""Measure the gain from LoRA training on a rubric that the embedded judge was not trained on.

The scenes have a defect that the base was not trained on (stripes across an object) and scores of a harsher
scale (`judge.scenes.shifted_scenes`). The adapter is trained with the configuration `nano-shifted`, unless
the caller names one. Both judges use the shifted rubric on the same scenes, which no training set contains.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from eval.bench.accuracy.scenes import measure_scenes
from judge.judge import Judge
from judge.rubrics.rubric import Rubric
from judge.scenes.held_out import LabelledScene, held_out_seeds
from judge.types import Verdict

GAINS = ("score_srcc", "score_srcc_score_depth", "score_plcc", "defect_image_accuracy", "box_f1_50",
         "region_f1", "element_accuracy", "new_kind_recall")  # fmt: skip


def draw_shifted_scenes(count: int, seed: int) -> list[LabelledScene]:
    """Draw shifted scenes that no training set contains; the same seed gives the same scenes."""
    from judge.scenes.shifted_scenes import draw_shifted_scene

    scenes = []
    for number, scene_seed in enumerate(held_out_seeds(count, seed)):
        scene = draw_shifted_scene(scene_seed)
        mask = np.zeros(scene.image.shape[:2], dtype=bool)
        for region in scene.masks:
            mask |= np.asarray(region, dtype=bool)
        sample = scene.sample.model_copy(update={"image": scene.image, "id": f"{seed}-{number}"})
        scenes.append(LabelledScene(sample, mask))
    return scenes


def train_adapter(folder: Path, count: int, seed: int) -> dict[str, Any]:
    """Draw training scenes and train the adapter.

    Args:
        folder: folder for the scenes and the training; the adapter is `run/adapter`.
        count: number of scenes.
        seed: seed of the scenes.

    Returns:
        The minutes of drawing and training, and the numbers of steps and rows.
    """
    from finetune.lora.config import Config
    from finetune.lora.run import train_adapter as train_lora_adapter
    from judge.scenes.dataset import write_scenes
    from judge.scenes.shifted_scenes import draw_shifted_scene

    start = time.monotonic()
    for _ in write_scenes(folder / "scenes", count, seed, draw=draw_shifted_scene):
        pass
    training_start = time.monotonic()
    settings = [f"{part}.path={folder / 'scenes'}" for part in ("data.0", "held")]
    summary = train_lora_adapter(Config.load("nano-shifted", settings), folder / "run")
    return {
        "minutes_drawing": (training_start - start) / 60,
        "minutes_training": (time.monotonic() - training_start) / 60,
        "steps": summary["steps"],
        "rows": count,
    }


def measure_shifted(
    adapters: Sequence[str | None], scenes: Sequence[LabelledScene], batch: int, tick: Callable[[], None]
) -> dict[str, Any]:
    """Measure the embedded judge with two adapters.

    Args:
        adapters: adapter before and after the training; None: the embedded one.
        scenes: shifted scenes.
        batch: number of images that are judged together.
        tick: called after each verdict.

    Returns:
        The measures `before` and `after`, and their difference `gain`.
    """
    from judge.scenes.shifted_scenes import SHIFTED_RUBRIC_PATH

    rubric, results = Rubric.load(SHIFTED_RUBRIC_PATH), []
    for adapter in adapters:
        judge = RecordingJudge(Judge(adapter=adapter, rubric=rubric, out_of_domain="score"))
        measures = measure_scenes(judge, scenes, batch=batch, tick=tick)
        results.append({**measures, "new_kind_recall": recall_of_new_kind(scenes, judge.verdicts)})
    before, after = results
    return {
        "gain": {name: _difference(before[name], after[name]) for name in GAINS},
        "before": {name: before[name] for name in GAINS},
        "after": {name: after[name] for name in GAINS},
        "interval_95": {
            f"{period}.{name}": interval
            for period, result in (("before", before), ("after", after))
            for name, interval in result["interval_95"].items()
            if name in GAINS
        },
        "unscored": after["unscored"],
        "count": len(scenes),
    }


class RecordingJudge:
    """A judge that keeps its verdicts at depth `verdict`, by id."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.verdicts: dict[str, Verdict] = {}

    def many(self, samples: Any, *, depth: Any = "verdict", batch: int = 16) -> Any:
        """Judge samples as `Judge.many`."""
        for verdict in self.judge.many(samples, depth=depth, batch=batch):
            if depth == "verdict":
                self.verdicts[verdict.id] = verdict
            yield verdict


def recall_of_new_kind(scenes: Sequence[LabelledScene], verdicts: dict[str, Verdict]) -> float | None:
    """Return the share of the images with a striped object whose verdict reports one."""
    from judge.scenes.shifted_scenes import STRIPED

    striped = [scene for scene in scenes if any(d.kind == STRIPED for d in scene.defects)]
    reported = [any(d.kind == STRIPED for d in verdicts[scene.sample.id].defects) for scene in striped]
    return sum(reported) / len(reported) if reported else None


def _difference(before: float | None, after: float | None) -> float | None:
    return None if before is None or after is None else after - before
