"""Suites of video: THQA, Q-Eval-Video, KVQ, T2VQA-DB, video super-resolution."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from file_formats import write_json, write_lines, write_scores, write_workbook
from layouts import LAYOUTS
from official_numbers import fitted_plcc, make_scores, score_values
from scipy.stats import pearsonr, spearmanr
from verdicts import make_verdict

from eval.suites import load_suite
from eval.suites.shared.samples import JudgedSample
from judge.errors import InputError

RANDOM = np.random.default_rng(7)


def test_thqa_takes_the_fitted_correlation(tmp_path: Path) -> None:
    predicted, truth = make_scores(RANDOM)
    pred = write_scores(tmp_path / "output.txt", predicted)
    labels = write_scores(tmp_path / "val.csv", truth, "Video,Score")
    x, y = list(predicted.values()), list(truth.values())
    expected = (fitted_plcc(x, y) + spearmanr(x, y).statistic) / 2
    assert score_values("thqa", pred, labels)["final"] == pytest.approx(expected, abs=1e-6)
    archive = tmp_path / "submission.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(pred, "result/output.txt")
    assert score_values("thqa", archive, labels)["final"] == pytest.approx(expected, abs=1e-6)


def test_qeval_video_reads_lists_of_objects(tmp_path: Path) -> None:
    predicted, truth = make_scores(RANDOM)
    predicted_rows = [{"video": n, "predict_score": s} for n, s in predicted.items()]
    true_rows = [{"video": n, "prompt": "p", "gt_score": s} for n, s in truth.items()]
    pred = write_json(tmp_path / "output.json", predicted_rows)
    values = score_values("qeval-video", pred, write_json(tmp_path / "t.json", true_rows))
    assert values["final"] == pytest.approx((values["plcc"] + values["srcc"]) / 2)
    raw = pearsonr(list(predicted.values()), list(truth.values())).statistic
    assert values["plcc_raw"] == pytest.approx(raw)


def test_t2vqa_db_prompts_may_contain_the_separator(tmp_path: Path) -> None:
    LAYOUTS["t2vqa-db"](tmp_path)
    assert next(load_suite("t2vqa-db").read(tmp_path)).prompt == "a fox | and a hen"


def test_kvq_adds_two_kinds_of_pairs_and_a_tie_means_the_first(tmp_path: Path) -> None:
    predicted, truth = make_scores(RANDOM, 20)
    predicted["v0.mp4"] = predicted["v1.mp4"]
    pred = write_scores(tmp_path / "prediction.csv", predicted, "filename,score")
    labels = write_scores(tmp_path / "truth.csv", truth, "filename,score")
    nonsource = ("v0.mp4,v1.mp4,1", "v1.mp4,v0.mp4,2")
    write_lines(tmp_path / "rank-pair-nonsource.csv", "a,b,rank", *nonsource)
    write_lines(tmp_path / "rank-pair-source.csv", "a,b,rank", "v0.mp4,v1.mp4,1")
    x, y = list(predicted.values()), list(truth.values())
    values = score_values("kvq", pred, labels)
    assert (values["accuracy_nonsource"], values["accuracy_source"]) == (0.5, 1.0)
    correlations = spearmanr(x, y).statistic + pearsonr(x, y).statistic
    assert values["final"] == pytest.approx(0.45 * correlations + 0.05 * 0.5 + 0.05)


def test_kvq_reads_ranked_pairs_from_a_workbook(tmp_path: Path) -> None:
    LAYOUTS["kvq"](tmp_path)
    suite = load_suite("kvq")
    samples = list(suite.read(tmp_path))
    assert samples[0].labels.ranks == {"nonsource#0": 2.0}
    metrics = suite.evaluate([JudgedSample(s, make_verdict(s, 1 + s.labels.mos)) for s in samples])
    values = [metrics[name].value for name in ("accuracy_nonsource", "accuracy_source", "final")]
    assert values == pytest.approx([1.0, 1.0, 1.0])
    workbook = tmp_path / "rank-pair-val.xlsx"
    write_workbook(workbook, {"source": [["a", "b", "r"], ["0.mp4", "1.mp4", 3]]})
    with pytest.raises(InputError, match="1 or 2"):
        list(suite.read(tmp_path))
    workbook.write_bytes(b"PK no workbook")
    with pytest.raises(InputError, match="workbook"):
        list(suite.read(tmp_path))


def test_video_sr_votes_become_strengths_within_their_source(tmp_path: Path) -> None:
    LAYOUTS["video-sr"](tmp_path)
    strengths = {sample.id: sample.labels.mos for sample in load_suite("video-sr").read(tmp_path)}
    assert strengths["a.mp4"] > strengths["b.mp4"] > strengths["c.mp4"]
    assert sum(strengths.values()) == pytest.approx(0, abs=1e-9)


def test_video_sr_accuracy_counts_decided_votes_only(tmp_path: Path) -> None:
    votes = ["a,b,a", "a,b,a", "b,a,b", "a,b,tie", "b,c,b", "c,a,c", "b,c,c"]
    truth = write_lines(tmp_path / "pairs.csv", "first,second,winner", *votes)
    pred = write_scores(tmp_path / "p.txt", {"a": 3.0, "b": 2.0, "c": 1.0})
    assert score_values("video-sr", pred, truth)["accuracy"] == pytest.approx(3 / 6)


def test_a_number_at_the_end_of_some_prompts_is_kept(tmp_path: Path) -> None:
    """Only where all lines have a number before the score is it the third field of `test.py`."""
    lines = ["a.mp4|a fox|63", "b.mp4|numbers, 3 |7|12.5", "c.mp4|rain | snow|6.5"]
    write_lines(tmp_path / "info.txt", *lines)
    suite = load_suite("t2vqa-db")
    prompts = [sample.prompt for sample in suite.read(tmp_path, media=False)]
    assert prompts == ["a fox", "numbers, 3 |7", "rain | snow"]
    write_lines(tmp_path / "info.txt", lines[1])
    assert [s.prompt for s in suite.read(tmp_path, media=False, fields="3")] == ["numbers, 3 |7"]
    assert [s.prompt for s in suite.read(tmp_path, media=False)] == ["numbers, 3"]
