"""Drawing scenes: repeatable, varied, and with exact masks and boxes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from judge.scenes import Finish, Scene, draw_scene, draw_undamaged_scene, vocabulary
from judge.scenes.drawing.defects import mask_bounds
from judge.scenes.drawing.degradations import degrade
from judge.scenes.drawing.figures import FIGURE_BUILDERS
from judge.scenes.vocabulary import COLORS, EXACT_COLORS


def test_the_same_seed_draws_the_same_scene_to_the_last_bit() -> None:
    a, b = draw_scene(5), draw_scene(5)
    assert np.array_equal(a.image, b.image)
    assert a.sample == b.sample
    assert not np.array_equal(a.image, draw_scene(6).image)


def test_every_object_kind_has_a_figure() -> None:
    assert set(FIGURE_BUILDERS) == set(vocabulary.OBJECT_KINDS)
    assert len(vocabulary.OBJECT_KINDS) >= 24


def test_scenes_show_every_background_style_defect_and_degradation(scenes: list[Scene]) -> None:
    facts = [s.facts for s in scenes] + [draw_scene(seed).facts for seed in range(2_000_000, 2_000_240)]
    assert {f.background for f in facts} == set(vocabulary.BACKGROUNDS)
    assert {f.style for f in facts} == set(vocabulary.STYLES)
    assert {f.degradation for f in facts} == set(vocabulary.DEGRADATIONS)
    assert {defect.kind for f in facts for defect in f.defects} == set(vocabulary.DEFECT_KINDS)
    assert {len(f.defects) for f in facts} == {0, 1, 2, 3}


def test_masks_have_the_bounds_of_their_boxes_and_boxes_do_not_overlap(scenes: list[Scene]) -> None:
    for scene in scenes:
        boxes = [d.box for d in scene.sample.labels.defects]
        assert [mask_bounds(m) for m in scene.masks] == boxes
        for i, a in enumerate(boxes):
            for b in boxes[i + 1 :]:
                assert min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1])


@pytest.mark.slow
def test_a_missing_part_does_not_change_the_hatching_of_the_other_parts() -> None:
    """Otherwise the whole figure would count as changed, and the box would cover it."""
    covered_shares = []
    for seed in range(4_000_000, 4_000_400):
        facts = draw_scene(seed, defect_shares=(0, 0, 0, 1)).facts
        for defect in facts.defects:
            if defect.kind == "missing part" and facts.style in ("sketchy", "textured"):
                x0, y0, x1, y1 = facts.objects[defect.object_indices[0]].box
                a, b, c, d = defect.box
                covered_shares.append((c - a) * (d - b) / ((x1 - x0) * (y1 - y0)))
    assert len(covered_shares) >= 5
    assert float(np.median(covered_shares)) < 0.35


def test_scenes_can_be_drawn_with_other_shares_of_defects() -> None:
    counts = [len(draw_scene(seed, defect_shares=(0, 0, 0, 1)).facts.defects) for seed in range(20)]
    assert sum(counts) > 40
    assert not any(draw_scene(seed, defect_shares=(1, 0, 0, 0)).facts.defects for seed in range(20))


def test_a_part_of_every_object_is_outside_of_each_defect(scenes: list[Scene]) -> None:
    for scene in scenes:
        for n in range(len(scene.facts.objects)):
            pixels = scene.object_map == n + 1
            for mask in scene.masks:
                assert (mask & pixels).sum() < pixels.sum()


@pytest.mark.parametrize("kind", vocabulary.DEGRADATIONS[1:])
def test_each_level_of_a_degradation_changes_the_image_more(kind: str, scenes: list[Scene]) -> None:
    image = next(s.image for s in scenes if s.facts.level == 0)
    change = [np.abs(degrade(image, kind, n, 1).astype(float) - image).mean() for n in range(4)]
    assert change[0] == 0
    assert change[1] < change[2] < change[3]


def test_a_larger_scene_has_its_size_and_boxes_inside() -> None:
    scene = draw_scene(3, 448)
    assert scene.image.shape == (448, 448, 3)
    assert all(d.box[2] <= 448 and d.box[3] <= 448 for d in scene.sample.labels.defects)


def test_the_undamaged_image_differs_only_at_the_defects(scene_seeds: range, scenes: list[Scene]) -> None:
    compared = 0
    for seed, scene in zip(scene_seeds, scenes, strict=True):
        if scene.facts.level:  # a degradation of the whole image spreads a difference
            continue
        undamaged = draw_undamaged_scene(seed)
        differs = (np.abs(undamaged.astype(int) - scene.image).max(axis=2) > 60).astype(np.uint8)
        # Single pixels are not damage.
        differs = cv2.morphologyEx(differs, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)) > 0
        near_defect = np.zeros(differs.shape, dtype=bool)
        for x1, y1, x2, y2 in (map(int, defect.box) for defect in scene.sample.labels.defects):
            near_defect[max(0, y1 - 3) : y2 + 3, max(0, x1 - 3) : x2 + 3] = True
        assert not (differs & ~near_defect).any()
        assert (undamaged != scene.image).any() == bool(scene.masks)
        compared += bool(scene.masks)
    assert compared > 10


def test_a_plain_finish_has_flat_areas_and_exact_colours():
    finish = Finish(grain=0.0, smooth=False, exact=True)
    scenes = [draw_scene(seed, 128, (1, 0, 0, 0), finish) for seed in range(40)]
    flat = [
        scene
        for scene in scenes
        if (scene.facts.background, scene.facts.style, scene.facts.level) == ("plain", "flat", 0)
    ]
    assert flat
    for scene in flat:
        ground = scene.image[scene.object_map == 0]
        assert len(np.unique(ground, axis=0)) == 1
    shades = {tuple(color) for shades in EXACT_COLORS.values() for color in shades} | set(COLORS.values())
    objects = [s.image[s.object_map == n + 1] for s in flat for n in range(len(s.facts.objects))]
    assert any(tuple(pixels[0].tolist()) in shades for pixels in objects)


def test_every_colour_has_exact_shades():
    assert EXACT_COLORS.keys() == COLORS.keys()
