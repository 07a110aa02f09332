"""Measures on scenes: a judge that knows the truth gets perfect numbers, an unscored one gets none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bench_scenes import RESULT_KEYS, SCENES, LookupJudge, true_verdict, unscored_verdict, write_rows
from PIL import Image

from eval.bench.accuracy.labelled_rows import read_scenes
from eval.bench.accuracy.scenes import measure_scenes
from judge.errors import InputError
from judge.scenes.held_out import held_out_seeds
from judge.types import Defect, Labels, Sample, Verdict


def test_a_judge_that_knows_the_truth_is_perfect_in_every_measure() -> None:
    result = measure_scenes(LookupJudge(SCENES), SCENES)
    assert RESULT_KEYS <= set(result)
    perfect = (
        "element_accuracy", "score_srcc", "score_srcc_score_depth", "score_plcc", "defect_image_accuracy",
        "box_f1_50", "region_f1", "pixel_f1", "kind_accuracy_on_matched", "degradation_accuracy",
    )  # fmt: skip
    for name in perfect:
        assert result[name] == pytest.approx(1.0), name
    assert result["element_constant"] == 0.5
    assert result["element_accuracy_by_kind"] == {
        "object": 1.0, "count": 1.0, "relation": None, "background": None,
    }  # fmt: skip
    assert result["notes"]["element_accuracy_by_kind.relation"] == "no element of the kind relation"
    assert result["score_srcc_sampled"] < 1  # likeliest digits tie where expectations do not
    assert (result["unscored"], result["count"]) == (0, 10)
    json.dumps(result, allow_nan=False)


def test_the_judge_gets_no_labels() -> None:
    judge = LookupJudge(SCENES)
    measure_scenes(judge, SCENES)
    assert judge.samples
    assert all(type(sample) is Sample for sample in judge.samples)
    assert judge.samples[0].elements == ["red circle 0", "two cats"]


def test_unscored_verdicts_do_not_improve_any_number() -> None:
    result = measure_scenes(LookupJudge(SCENES, unscored_verdict), SCENES)
    assert result["element_accuracy"] == 0.0
    assert result["defect_image_accuracy"] == 0.0
    assert result["degradation_accuracy"] == 0.0
    assert result["box_f1_50"] == result["region_f1"] == 0.0
    assert "no region was predicted at all" in result["notes"]["region_f1"]
    assert result["score_srcc"] is None
    assert "at least 2 pairs" in result["notes"]["score_srcc"]
    assert (result["unscored"], result["unscored_reasons"]) == (10, ["reply: not JSON"])
    json.dumps(result, allow_nan=False)


def test_the_correlation_of_a_constant_judge_is_undefined_with_a_note() -> None:
    def constant_verdict(labels: Labels, sample: Sample, depth: str) -> Verdict:
        constant = {"score": 3.0, "distribution": [0, 0, 1, 0, 0]}
        return true_verdict(labels, sample, depth).model_copy(update=constant)

    result = measure_scenes(LookupJudge(SCENES, constant_verdict), SCENES)
    assert result["score_srcc"] is None
    assert "all predictions are equal" in result["notes"]["score_srcc"]


def test_misalignment_does_not_count_as_a_defect() -> None:
    """Disagreement with the prompt is measured by the elements: it is neither a hit nor a false alarm."""

    def verdict_with_misalignment(labels: Labels, sample: Sample, depth: str) -> Verdict:
        verdict = true_verdict(labels, sample, depth)
        misalignment = Defect(
            family="misalignment", kind="wrong color", box=(0, 0, 60, 60), severity="moderate",
            confidence=1, explanation="",
        )  # fmt: skip
        return verdict.model_copy(update={"defects": [*verdict.defects, misalignment]})

    result = measure_scenes(LookupJudge(SCENES, verdict_with_misalignment), SCENES)
    assert result["box_f1_50"] == result["defect_image_accuracy"] == 1.0


def test_wrong_kinds_are_measured_separately_from_boxes() -> None:
    def verdict_with_wrong_kind(labels: Labels, sample: Sample, depth: str) -> Verdict:
        verdict = true_verdict(labels, sample, depth)
        defects = [defect.model_copy(update={"kind": "tint"}) for defect in verdict.defects]
        return verdict.model_copy(update={"defects": defects})

    result = measure_scenes(LookupJudge(SCENES, verdict_with_wrong_kind), SCENES)
    assert (result["box_f1_50"], result["kind_accuracy_on_matched"]) == (1.0, 0.0)


def test_verdicts_in_another_order_are_an_error() -> None:
    class ReversingJudge(LookupJudge):
        def many(
            self, samples: Iterable[Sample], *, depth: str = "verdict", batch: int = 1
        ) -> Iterator[Verdict]:
            yield from list(super().many(samples, depth=depth, batch=batch))[::-1]

    with pytest.raises(InputError, match="order"):
        measure_scenes(ReversingJudge(SCENES), SCENES)


def test_held_out_seeds_are_reproducible_and_differ_between_seeds() -> None:
    seeds = held_out_seeds(500, 1)
    assert seeds == held_out_seeds(500, 1)
    assert seeds[:20] == held_out_seeds(20, 1)
    assert not set(seeds) & set(held_out_seeds(500, 2))
    assert min(seeds) > 10**12  # larger than every seed of a training set


def true_reply(labels: Labels, depth: str) -> dict[str, Any]:
    """Return the values of the form with the true answers."""

    def to_grid(pixels: tuple[float, float, float, float]) -> list[int]:
        x1, y1, x2, y2 = (10 * round(v / 224 * 100) for v in pixels)
        return [x1, y1, max(x2, x1 + 10), max(y2, y1 + 10)]

    values: dict[str, Any] = {"elements": {e.name: e.present for e in labels.elements}}
    values["degradation"] = labels.attributes["degradation"]
    if depth == "verdict":
        values["defects"] = [
            {"kind": d.kind, "box": to_grid(d.box), "severity": d.severity, "explanation": d.explanation}
            for d in labels.defects
        ]
        values["explanation"] = ""
    values |= {name: round(score) for name, score in labels.dimensions.items()}
    return values | {"score": round(labels.score or 3)}


def test_true_replies_give_almost_perfect_numbers() -> None:
    """Boxes go from the form's grid of 0..1000 to the pixels of the image without a loss."""
    from judge import Judge
    from judge.backends.scripted import Scripted
    from judge.scenes.held_out import draw_held_out_scenes

    scenes = draw_held_out_scenes(40, 5)
    replies = [
        true_reply(scene.sample.labels, depth)
        for depth in ("verdict", "score")
        for scene in [scenes[0], *scenes]  # the first scene is judged once more before the time starts
    ]
    result = measure_scenes(Judge(backend=Scripted(replies, size=224)), scenes)
    assert (result["unscored"], result["unscored_score_depth"], result["unscored_reasons"]) == (0, 0, [])
    for name in (
        "element_accuracy",
        "defect_image_accuracy",
        "kind_accuracy_on_matched",
        "degradation_accuracy",
    ):
        assert result[name] == 1.0, name
    assert result["box_f1_50"] > 0.95
    assert result["region_f1"] == pytest.approx(result["region_f1_of_true_boxes"], abs=0.03)
    assert result["score_srcc"] > 0.9
    assert result["score_srcc_score_depth"] > 0.9


def test_drawn_scenes_have_masks_and_their_samples_have_no_labels() -> None:
    from judge.scenes.held_out import draw_held_out_scenes

    scenes = draw_held_out_scenes(6, 3)
    assert [s.sample.prompt for s in scenes] == [s.sample.prompt for s in draw_held_out_scenes(6, 3)]
    for scene in scenes:
        assert scene.mask.any() == bool(scene.defects)
        assert scene.unlabelled_sample().elements == [e.name for e in scene.sample.labels.elements]
        assert scene.sample.image.shape == (*scene.mask.shape, 3)


# -- Files of labelled rows ----------------------------------------------------------------------------


def test_labelled_rows_are_measured_like_drawn_scenes(tmp_path: Path) -> None:
    scenes = read_scenes(write_rows(tmp_path, SCENES))
    assert [scene.sample.id for scene in scenes] == [scene.sample.id for scene in SCENES]
    assert all((a.mask == b.mask).all() for a, b in zip(scenes, SCENES, strict=True))
    result = measure_scenes(LookupJudge(scenes), scenes)
    assert result["region_f1"] == 1.0
    assert "truth" not in result["notes"]
    assert len(read_scenes(tmp_path / "rows.jsonl", 3)) == 3


def test_boxes_that_replace_masks_are_noted(tmp_path: Path) -> None:
    scenes = read_scenes(write_rows(tmp_path, SCENES, masks=False))
    assert "no mask" in measure_scenes(LookupJudge(scenes), scenes)["notes"]["truth"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "1"', "line 1: row"),
        ('{"id": "1", "image": "1.png", "labls": {}}', "line 1: labls"),
        ('{"id": "1", "image": "1.png", "labels": {"score": 9}}', "labels.score"),
        ('{"id": "1", "image": "gone.png"}', "line 1: image"),
        ('{"id": "1"}', "line 1: image"),
        ('{"id": "1", "image": "rows.jsonl"}', "line 1: image"),
        (
            '{"image": "1.png", "labels": {"defects": [{"kind": "cut", "box": [0,0,9,9], "mask": "m"}]}}',
            "defects.0.mask",
        ),
        ("", "at least one row"),
    ],
)
def test_a_bad_rows_file_is_one_clear_error(tmp_path: Path, line: str, message: str) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "1.png")
    (tmp_path / "rows.jsonl").write_text(line)
    with pytest.raises(InputError, match=message):
        read_scenes(tmp_path / "rows.jsonl")
