"""Suites of preferences: HPDv3, ImageReward, Pick-a-Pic."""

from __future__ import annotations

from pathlib import Path

import pytest
from file_formats import write_json
from layouts import LAYOUTS
from official_numbers import score_values
from verdicts import make_verdict

from eval.suites import load_suite
from eval.suites.shared.samples import JudgedSample


def test_an_image_is_judged_once_regardless_of_the_number_of_its_pairs(tmp_path: Path) -> None:
    LAYOUTS["hpdv3"](tmp_path)
    suite = load_suite("hpdv3")
    samples = list(suite.read(tmp_path))
    assert [len(sample.labels.ranks) for sample in samples] == [2, 1, 1]
    judged = [JudgedSample(s, make_verdict(s, x)) for s, x in zip(samples, (4.0, 3.0, 5.0), strict=True)]
    assert suite.evaluate(judged)["accuracy"].value == 0.5
    incomplete = suite.evaluate(judged[:2])
    assert (incomplete["accuracy"].value, incomplete["cut"].value) == (1.0, 1.0)


def test_pick_a_pic_gives_half_a_point_where_one_side_ties(tmp_path: Path) -> None:
    LAYOUTS["pick-a-pic"](tmp_path)
    suite = load_suite("pick-a-pic")
    samples = list(suite.read(tmp_path))
    judged = [JudgedSample(s, make_verdict(s, x)) for s, x in zip(samples, (4.0, 3.0, 4.0), strict=True)]
    assert suite.evaluate(judged)["accuracy"].value == 1.0  # The judge ties the tied pair too.
    judged[2] = JudgedSample(samples[2], make_verdict(samples[2], 3.0))
    assert suite.evaluate(judged)["accuracy"].value == pytest.approx((1 + 0.5 + 0.5) / 3)


def test_imagereward_skips_human_ties_and_counts_predicted_ties_as_wrong(tmp_path: Path) -> None:
    truth = [{"id": "1", "prompt": "p", "generations": list("abcd"), "ranking": [1, 2, 2, 3]}]
    pred = [{"id": "1", "rewards": [0.9, 0.5, 0.1, 0.5]}]
    labels = write_json(tmp_path / "t.json", truth)
    values = score_values("imagereward", write_json(tmp_path / "p.json", pred), labels)
    # ab, ac and ad are right, bc is skipped, bd is tied (wrong), cd is wrong.
    assert values["accuracy"] == pytest.approx(3 / 5)
    by_name = write_json(tmp_path / "n.json", dict(zip("abcd", pred[0]["rewards"], strict=True)))
    assert score_values("imagereward", by_name, labels) == values
