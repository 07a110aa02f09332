"""The detector of drawings: what it lets through, and what it does not."""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
from flat_drawings import flat_drawings
from PIL import Image

from finetune.nano.domain.other_images import draw_chart, draw_page
from judge.evidence.drawings import is_drawing
from judge.scenes import draw_scene
from judge.scenes.clips import draw_clip
from judge.scenes.held_out import held_out_seeds


def test_fresh_scenes_clips_and_flat_drawings_of_other_programs_are_drawings() -> None:
    seeds = held_out_seeds(60, 5)
    assert sum(is_drawing([Image.fromarray(draw_scene(seed).image)]) for seed in seeds) >= 59
    clips = [draw_clip(seed, frames=8) for seed in seeds[:6]]
    assert all(is_drawing([Image.fromarray(frame) for frame in clip.frames]) for clip in clips)
    assert sum(is_drawing([image]) for image in flat_drawings(60, seed=4)) >= 58
    assert is_drawing([Image.new("RGB", (640, 480), "navy")]), "nothing is there, which is an answer"


def test_charts_pages_and_noise_are_not() -> None:
    others = [draw_page(Random(900 + n), 480) for n in range(20)]
    others += [draw_chart(Random(900 + n), 300) for n in range(6)]
    others.append(np.random.default_rng(9).integers(0, 256, (200, 300, 3), np.uint8))
    assert sum(is_drawing([Image.fromarray(pixels)]) for pixels in others) <= 1


def test_photographs_of_a_source_it_was_not_fitted_on_are_not(shared_data: Path) -> None:
    paths = sorted((shared_data / "clive_train" / "images").iterdir())[::4]
    assert sum(is_drawing([Image.open(path).convert("RGB")]) for path in paths) <= 0.03 * len(paths)


def test_the_answer_does_not_depend_on_the_size() -> None:
    for seed in held_out_seeds(5, 6):
        image = Image.fromarray(draw_scene(seed).image)
        assert {is_drawing([image.resize((side, side))]) for side in (160, 224, 900)} == {True}
