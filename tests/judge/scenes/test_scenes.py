"""Scenes: the truth must be exact, or everything measured on them is wrong."""

from __future__ import annotations

import json
from random import Random

import cv2
import numpy as np
import pytest
from PIL import Image

from judge.elements.splitting import split
from judge.errors import InputError
from judge.scenes import ask, draw, phrase, sample_of, sheet, undamaged, write
from judge.scenes import vocabulary as words
from judge.scenes.dataset import seeds, write_tiles
from judge.scenes.drawing.defects import bounds
from judge.scenes.drawing.degrade import degrade
from judge.scenes.drawing.figures import BUILDERS
from judge.scenes.facts import score_of, severity_of
from judge.scenes.large import draw_large
from judge.scenes.tiles import draw_tiles
from judge.types import LabelledSample

SCENES = [draw(seed) for seed in range(1_000_000, 1_000_060)]


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_same_seed_draws_the_same_scene_to_the_last_bit():
    a, b = draw(5), draw(5)
    assert np.array_equal(a.image, b.image)
    assert a.sample == b.sample
    assert not np.array_equal(a.image, draw(6).image)


def test_every_kind_has_a_figure_and_there_are_enough_of_them():
    assert set(BUILDERS) == set(words.KINDS)
    assert len(words.KINDS) >= 24


def test_scenes_show_every_background_style_defect_and_degradation():
    facts = [s.facts for s in SCENES] + [draw(seed).facts for seed in range(2_000_000, 2_000_240)]
    assert {f.background for f in facts} == set(words.BACKGROUNDS)
    assert {f.style for f in facts} == set(words.STYLES)
    assert {f.degradation for f in facts} == set(words.DEGRADATIONS)
    assert {w.kind for f in facts for w in f.flaws} == set(words.DEFECTS)
    assert {len(f.flaws) for f in facts} == {0, 1, 2, 3}


def test_a_defects_mask_is_as_large_as_its_box_and_the_boxes_do_not_overlap():
    for scene in SCENES:
        boxes = [d.box for d in scene.sample.labels.defects]
        assert [bounds(m) for m in scene.masks] == boxes
        for i, a in enumerate(boxes):
            for b in boxes[i + 1 :]:
                assert min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1])


def test_a_broken_part_leaves_the_hatching_of_the_others_as_it_was():
    """Else the whole figure would count as changed, and the true box would cover it."""
    covered = []
    for seed in range(4_000_000, 4_000_400):
        facts = draw(seed, flaws=(0, 0, 0, 1)).facts
        for flaw in facts.flaws:
            if flaw.kind == "missing part" and facts.style in ("sketchy", "textured"):
                x0, y0, x1, y1 = facts.things[flaw.things[0]].box
                a, b, c, d = flaw.box
                covered.append((c - a) * (d - b) / ((x1 - x0) * (y1 - y0)))
    assert len(covered) >= 5
    assert float(np.median(covered)) < 0.35


def test_scenes_can_be_drawn_with_other_shares_of_defects():
    counts = [len(draw(seed, flaws=(0, 0, 0, 1)).facts.flaws) for seed in range(20)]
    assert sum(counts) > 40
    assert not any(draw(seed, flaws=(1, 0, 0, 0)).facts.flaws for seed in range(20))


def test_no_defect_hides_so_much_of_an_object_that_it_could_not_be_asked_for():
    for scene in SCENES:
        for n in range(len(scene.facts.things)):
            own = scene.things == n + 1
            for mask in scene.masks:
                assert (mask & own).sum() < own.sum()


def test_elements_are_true_of_the_objects_that_were_drawn():
    checked = 0
    for scene in SCENES:
        things = [(t.color, t.kind) for t in scene.facts.things]
        for e in scene.sample.labels.elements:
            if e.kind == "object" and " " in e.name:
                assert e.present == (tuple(e.name.split()) in things)
            elif e.kind == "background":
                assert e.present == (e.name == f"{scene.facts.background} background")
            elif e.kind == "count":
                number, color, plural = e.name.split()
                there = sum(c == color and words.plural(k) == plural for c, k in things)
                assert e.present == (there == [*words.COUNTS.values()].index(number) + 1)
            else:
                continue
            checked += 1
    assert checked > 100


def test_relations_follow_the_centres_and_are_asked_only_where_they_are_clear():
    seen = set()
    for scene in SCENES:
        where = {t.name: t for t in scene.facts.things}
        for e in ask(Random(1), scene.facts, 40):
            if e.kind != "relation":
                continue
            for relation in words.RELATIONS:
                a, found, b = e.name.partition(f" {relation} ")
                if found:
                    dx, dy = where[b].x - where[a].x, where[b].y - where[a].y
                    gap = {"left of": dx, "right of": -dx, "above": dy, "below": -dy}[relation]
                    assert e.present == (gap > 0)
                    assert abs(gap) >= 22
                    seen.add((relation, e.present))
    assert len(seen) == 2 * len(words.RELATIONS)


def test_the_score_follows_the_stated_rule():
    assert score_of(1, 1) == 5
    assert score_of(0, 1) == 1
    for scene in SCENES:
        labels, facts = scene.sample.labels, scene.facts
        area = facts.size**2
        loss = sum(0.22 + 1.5 * (b[2] - b[0]) * (b[3] - b[1]) / area for b in (f.box for f in facts.flaws))
        q = max(0.0, 1 - loss - 0.17 * facts.level)
        a = sum(e.present for e in labels.elements) / len(labels.elements)
        assert labels.score == pytest.approx(1 + 4 * a * (0.45 + 0.55 * q))
        assert labels.dimensions == pytest.approx({"alignment": 1 + 4 * a, "structure": 1 + 4 * q})


def test_severity_grows_with_the_share_of_the_picture():
    assert [severity_of((0, 0, s, s), 224) for s in (20, 40, 80)] == ["negligible", "moderate", "critical"]


@pytest.mark.parametrize("kind", words.DEGRADATIONS[1:])
def test_each_level_of_a_degradation_changes_the_picture_more(kind):
    image = next(s.image for s in SCENES if s.facts.level == 0)
    change = [np.abs(degrade(image, kind, n, 1).astype(float) - image).mean() for n in range(4)]
    assert change[0] == 0
    assert change[1] < change[2] < change[3]


def test_prompts_name_their_elements_and_the_splitter_finds_them_again():
    found = wanted = 0
    for n, scene in enumerate(SCENES):
        elements = scene.sample.labels.elements
        prompt = phrase(Random(n), elements)
        parts = split(prompt)
        wanted += len(elements)
        found += sum(e.name in parts for e in elements)
    assert found / wanted > 0.9


def test_a_scene_without_elements_is_all_there():
    labels = sample_of(Random(0), SCENES[0].facts, []).labels
    assert labels.dimensions["alignment"] == 5


def test_a_larger_scene_is_the_same_kind_of_thing():
    scene = draw(3, 448)
    assert scene.image.shape == (448, 448, 3)
    assert all(d.box[2] <= 448 and d.box[3] <= 448 for d in scene.sample.labels.defects)


def test_written_scenes_read_back_as_labelled_samples_with_their_masks(tmp_path):
    assert list(write(tmp_path / "s", 8, seed=4, workers=1)) == list(range(1, 9))
    rows = [
        LabelledSample.model_validate_json(r) for r in (tmp_path / "s/rows.jsonl").read_text().splitlines()
    ]
    assert [r.id for r in rows] == [f"{n:06d}" for n in range(8)]
    masks = 0
    for row in rows:
        assert pixels(tmp_path / "s" / row.image).shape == (224, 224, 3)
        for defect in row.labels.defects:
            mask = pixels(tmp_path / "s" / str(defect.mask)) > 127
            assert bounds(mask) == defect.box
            masks += 1
    assert masks
    assert not list(tmp_path.glob("s/*.part"))


def test_writing_twice_gives_the_same_files(tmp_path):
    for name in "ab":
        list(write(tmp_path / name, 3, seed=9, workers=1))
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.relative_to(tmp_path / "a")).read_bytes()


@pytest.mark.parametrize(("count", "seed", "field"), [(-1, 0, "count"), (1, -1, "seed"), (10**8, 0, "count")])
def test_a_count_or_seed_out_of_range_is_one_clear_error(tmp_path, count, seed, field):
    with pytest.raises(InputError) as error:
        list(write(tmp_path, count, seed))
    assert error.value.field == field


def test_a_contact_sheet_shows_every_scene_and_none_is_an_error():
    page = sheet(SCENES[:7], columns=3)
    assert page.width == 3 * 232
    assert page.height == 3 * (224 + 92)
    with pytest.raises(InputError):
        sheet([])


def test_rows_hold_plain_json():
    row = json.loads(SCENES[0].sample.model_dump_json())
    assert set(row) == {"id", "image", "video", "prompt", "elements", "reference", "labels"}


def test_the_undamaged_picture_differs_where_something_is_broken_and_nowhere_else():
    compared = 0
    for seed, scene in zip(range(1_000_000, 1_000_060), SCENES, strict=True):
        if scene.facts.level:  # a degradation of the whole spreads a difference
            continue
        apart = (np.abs(undamaged(seed).astype(int) - scene.image).max(axis=2) > 60).astype(np.uint8)
        apart = cv2.morphologyEx(apart, cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)) > 0  # specks are no damage
        near = np.zeros(apart.shape, dtype=bool)
        for x1, y1, x2, y2 in (map(int, defect.box) for defect in scene.sample.labels.defects):
            near[max(0, y1 - 3) : y2 + 3, max(0, x1 - 3) : x2 + 3] = True
        assert not (apart & ~near).any()
        assert (undamaged(seed) != scene.image).any() == bool(scene.masks)
        compared += bool(scene.masks)
    assert compared > 10


def test_a_large_scene_is_broken_in_one_small_window():
    broken, whole = draw_large(4, (960, 540), 48), draw_large(4, (960, 540), 0)
    assert broken.image.shape == whole.image.shape == (540, 960, 3)
    assert whole.flaw is None and broken.flaw is not None
    x1, y1, x2, y2 = map(int, broken.flaw.box)
    assert 30 <= x2 - x1 <= 48 and 30 <= y2 - y1 <= 48
    ys, xs = np.nonzero((broken.image != whole.image).any(axis=2))
    assert xs.max() - xs.min() < 48 and ys.max() - ys.min() < 48
    assert xs.min() <= x1 and x2 <= xs.max() + 1 and ys.min() <= y1 and y2 <= ys.max() + 1


def test_parts_of_a_large_scene_hold_its_defect_whole_or_not_at_all(tmp_path):
    assert list(write_tiles(tmp_path, 3, seed=5)) == [1, 2, 3]
    lines = (tmp_path / "rows.jsonl").read_text("utf-8").splitlines()
    rows = [LabelledSample.model_validate_json(line) for line in lines]
    assert len({row.id for row in rows}) == len(rows) >= 9
    for row in rows:
        assert row.elements == [] and row.labels.attributes == {"degradation": "none"}
        with Image.open(tmp_path / row.image) as picture:
            assert picture.size == (224, 224)
        for defect in row.labels.defects:
            x1, y1, x2, y2 = defect.box
            assert 0 <= x1 < x2 <= 224 and 0 <= y1 < y2 <= 224
        assert (row.labels.dimensions["structure"] < 4.2) == bool(row.labels.defects)
    assert sum(bool(row.labels.defects) for row in rows) == 6


def test_a_defect_at_the_edge_of_its_part_ends_there_to_the_last_digit():
    first, *_ = draw_tiles(seeds(21, 7016)[-1])  # by floating point it would end at 224.00000000000003
    assert first.sample.labels.defects[0].box[2] == 224.0


def test_the_parts_of_one_scene_show_the_same_defect():
    for seed in range(3):
        broken = [tile for tile in draw_tiles(seed) if tile.sample.labels.defects]
        kinds = {tile.sample.labels.defects[0].kind for tile in broken}
        assert len(broken) == 2 and len(kinds) == 1
