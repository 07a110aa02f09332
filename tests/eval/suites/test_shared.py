"""`eval.suites.shared`: finding media, lazy reading, predicted scores, the JSON of samples."""

from __future__ import annotations

import json
import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from file_formats import write_fake_video, write_image, write_json
from layouts import LAYOUTS
from verdicts import make_verdict

from eval.suites import load_suite
from eval.suites.shared.media_files import MediaIndex
from eval.suites.shared.samples import GroundTruth, JudgedSample, SuiteSample, get_predicted_score
from judge.errors import InputError
from judge.types import Dimension


def test_media_are_found_by_the_end_of_their_path_and_never_outside_the_folder(tmp_path: Path) -> None:
    root = tmp_path / "set"
    write_image(root / "deep" / "DALLE" / "1.png")
    write_image(root / "deep" / "SDXL" / "1.png")
    write_image(tmp_path / "secret.png")
    write_fake_video(root / "1.mp4")
    index = MediaIndex(root)
    assert index.find("SDXL/1.png") == root / "deep/SDXL/1.png"
    assert index.find("SDXL/1") == root / "deep/SDXL/1.png"  # Without its suffix.
    assert index.find("1.png") is None  # Two files agree equally well.
    assert index.find("../secret.png") is None
    assert index.find("SDXL\\1.png") == root / "deep/SDXL/1.png"


def test_samples_are_read_one_after_the_other(tmp_path: Path) -> None:
    """The first samples are read although the last row is broken."""
    rows = [{"video": f"{i}.mp4", "prompt": "p", "gt_score": 1} for i in range(50)] + [{"video": 1}]
    write_json(tmp_path / "val.json", rows)
    samples = load_suite("qeval-video").read(tmp_path, media=False)
    assert [sample.id for sample in islice(samples, 3)] == ["0.mp4", "1.mp4", "2.mp4"]
    with pytest.raises(InputError, match="row 51"):
        list(samples)


def test_a_dimension_replaces_the_overall_score_where_the_verdict_has_it(tmp_path: Path) -> None:
    LAYOUTS["thqa"](tmp_path)
    sample = next(load_suite("thqa").read(tmp_path))
    dimensions = {"alignment": Dimension(score=4.0, distribution=[0.2] * 5)}
    verdict = make_verdict(sample, 2.0, dimensions=dimensions)
    for form in (verdict, verdict.model_dump(mode="json")):
        judged = JudgedSample(sample, form)
        scores = [get_predicted_score(judged, dimension) for dimension in ("", "alignment", "structure")]
        assert scores == [2.0, 4.0, 2.0]
    assert math.isfinite(float(np.float64(get_predicted_score(JudgedSample(sample, verdict)))))


@pytest.mark.parametrize("as_json", [False, True])
def test_a_human_dimension_is_compared_only_with_the_dimension_that_answers_it(as_json: bool) -> None:
    """Correlating the overall score with correspondence would give a number that no dimension stands for."""
    judged = []
    for number in range(6):
        by_dimension = {"authenticity": 6.0 - number, "correspondence": float(number)}
        labels = GroundTruth(mos=float(number), mos_by_dimension=by_dimension)
        sample = SuiteSample(id=f"{number}.png", image=f"{number}.png", labels=labels)
        structure = Dimension(score=5 - number / 2, distribution=[0.2] * 5)
        verdict = make_verdict(sample, 1 + number / 2, dimensions={"structure": structure})
        judged.append(JudgedSample(sample, verdict.model_dump() if as_json else verdict))
    metrics = load_suite("aigciqa2023").evaluate(judged)
    assert metrics["srcc"].value == pytest.approx(1) and metrics["srcc_authenticity"].value == pytest.approx(
        1
    )
    assert metrics["srcc_correspondence"].value is None
    assert "alignment" in metrics["srcc_correspondence"].note


def test_the_json_of_a_sample_keeps_the_keys_that_run_fingerprints_are_made_of() -> None:
    """A run folder stores a hash of this JSON; with other keys, runs begun before could not be resumed."""
    labels = GroundTruth(mos=2.5, mos_std=0.5, ranks={"0": 1.0}, load_mask=lambda: None)
    text = SuiteSample(id="a", labels=labels).model_dump_json(exclude={"image", "video", "reference"})
    assert list(json.loads(text)["labels"]) == [
        "score", "dimensions", "elements", "defects", "attributes",
        "mos", "spread", "mos_by", "shares", "places", "annotations",
    ]  # fmt: skip
    assert json.loads(text)["labels"]["places"] == {"0": 1.0}


def test_the_error_for_missing_labels_names_the_splits_that_are_there(tmp_path: Path) -> None:
    write_json(tmp_path / "eval.json", [{"video": "a.mp4", "prompt": "p", "gt_score": 1}])
    assert [s.id for s in load_suite("qeval-video").read(tmp_path, media=False)] == ["a.mp4"]
    with pytest.raises(InputError, match=r"give --split val, whose labels are there \(val\)"):
        next(load_suite("qeval-video").read(tmp_path, "test", media=False))
