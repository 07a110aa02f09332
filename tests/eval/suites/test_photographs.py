"""Suites of photographs: LIVE In the Wild, PIQ23, UHD-IQA, face restoration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from file_formats import write_lines, write_scores
from layouts import LAYOUTS
from official_numbers import make_scores, score_values
from scipy.stats import spearmanr
from verdicts import make_verdict

from eval.runs.official_scores import measures_to_json, score_predictions
from eval.suites import load_suite
from eval.suites.photographs.face_restoration import compute_ranking_score, parse_subset
from eval.suites.shared.samples import JudgedSample

RANDOM = np.random.default_rng(7)


def test_live_itw_leaves_out_the_images_that_trained_the_raters(tmp_path: Path) -> None:
    LAYOUTS["live-itw"](tmp_path)
    samples = load_suite("live-itw").read(tmp_path)
    assert [(sample.id, sample.labels.mos) for sample in samples] == [("3.bmp", 7.0), ("4.bmp", 8.0)]


def test_uhd_iqa_reads_one_table_of_several_splits(tmp_path: Path) -> None:
    LAYOUTS["uhd-iqa"](tmp_path)
    (sample,) = load_suite("uhd-iqa").read(tmp_path, "test", media=False)
    assert sample.id == "3.jpg"


def test_piq23_has_scenes_and_paths_with_forward_slashes(tmp_path: Path) -> None:
    LAYOUTS["piq23"](tmp_path)
    samples = list(load_suite("piq23").read(tmp_path))
    assert (samples[1].id, samples[1].group) == ("Overall/1_Indoor_Scene_1.jpg", "Indoor_Scene_1")
    judged = [JudgedSample(s, make_verdict(s, 3 + s.labels.mos / 5)) for s in samples]
    metrics = load_suite("piq23").evaluate(judged)
    assert (metrics["srcc"].value, metrics["srcc"].count) == (pytest.approx(1.0), 2)


def test_piq23_reports_medians_over_scenes(tmp_path: Path) -> None:
    predicted, truth = make_scores(RANDOM, 30, "Overall\\", ".jpg")
    rows = [f"{n},{t!r},0.1,S{i % 3}" for i, (n, t) in enumerate(truth.items())]
    labels = write_lines(tmp_path / "Scores_Overall.csv", "IMAGE PATH,JOD,JOD STD,SCENE", *rows)
    x, y = np.array(list(predicted.values())), np.array(list(truth.values()))
    expected = np.median([spearmanr(x[s::3], y[s::3]).statistic for s in range(3)])
    pred = write_scores(tmp_path / "pred.csv", predicted)
    assert score_values("piq23", pred, labels)["srcc"] == pytest.approx(expected)


METRICS = {"clipiqa": 0.9, "maniqa": 0.7, "musiq": 77.0, "niqe": 4.0, "qalign": 4.5, "fid": 60.0}


def test_the_ranking_of_restored_faces_is_a_weighted_sum_with_an_identity_check(tmp_path: Path) -> None:
    assert compute_ranking_score(METRICS) == pytest.approx(0.9 + 0.7 + 0.77 + 0.6 + 0.9 + 0.4)
    assert compute_ranking_score({**METRICS, "niqe": 12, "fid": 130}) == pytest.approx(0.9 + 0.7 + 0.77 + 0.9)
    names = [f"{i}.png" for i in range(24)]
    subsets = (f"{n},LFW-Test,{0.59 if i < 11 else 0.6}" for i, n in enumerate(names))
    truth = write_lines(tmp_path / "t.csv", "image,subset,cosine", *subsets)
    header = "Method,image,CLIP-IQA,MANIQA,MUSIQ,NIQE,Q-Align,FID,cosine"
    rows = [f"A,{n},0.9,0.7,77,4,4.5,60," for n in names] + [f"B,{n},1,1,100,0,5,0,0.7" for n in names]
    pred = write_lines(tmp_path / "p.csv", header, *rows)
    report = measures_to_json(score_predictions("face-restoration", pred, truth))
    assert (report["A"]["final"], report["B"]["final"]) == pytest.approx(
        (compute_ranking_score(METRICS), 6.0)
    )
    assert (report["A"]["identity_failures"], report["A"]["valid"]) == (11, 0)  # A cosine of .6 passes.
    assert (report["B"]["identity_failures"], report["B"]["valid"]) == (0, 1)
    assert "more than 10" in report["notes"]["A/valid"]


@pytest.mark.parametrize(
    ("name", "subset"),
    [("CelebA", "celeba"), ("CelebChild-Test", "celebchild"), ("WIDER-Test", "wider"), ("x", None)],
)
def test_subsets_of_faces_are_recognised_in_any_spelling(name: str, subset: str | None) -> None:
    assert parse_subset(name) == subset
