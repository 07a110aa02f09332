"""Calibration: numbers on the human scale, percentiles, and no verdict where nothing is known."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest
from filler import Filler
from PIL import Image
from typer.testing import CliRunner

from finetune import calibrate as fitting
from judge.backends.base import Reply, Request
from judge.cli import app as cli
from judge.errors import InputError
from judge.evidence.similarity import measured
from judge.judge import Judge
from judge.pipeline.calibration import OUTSIDE, Calibration, Scale, expectation, tempered, tilted
from judge.rubrics.rubric import Rubric, ScoreRule


class Harsh(Filler):
    """Scores a picture by its brightness, up to a point too low, and too sure of it."""

    def _fill(self, request: Request) -> Reply:
        reply = super()._fill(request)
        bright = float(np.asarray(request.images[0].convert("L")).mean()) / 255
        shares = {str(n): math.exp(-((1 + 3 * bright - n) ** 2) / 0.3) for n in range(1, 6)}
        total = sum(shares.values())
        reply.probabilities["score"] = {label: share / total for label, share in shares.items()}
        value = json.loads(reply.text) | {"score": int(max(shares, key=shares.__getitem__))}
        return Reply(json.dumps(value), reply.probabilities)


def photos(root: Path, count: int) -> Path:
    """Smooth pictures whose human score is their brightness, with noise in the opinions."""
    root.mkdir(parents=True)
    random, rows = Random(4), ["image,mos_0_100,std"]
    for n in range(count):
        bright = random.uniform(0.05, 0.95)
        picture(bright, n).save(root / f"{n}.png")
        rows.append(f"{n}.png,{min(100, max(0, 100 * bright + random.gauss(0, 6))):.2f},15")
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    return root


def picture(bright: float, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    ramp = np.linspace(-20, 20, 48)[:, None, None] + rng.normal(0, 6, (48, 64, 3))
    return Image.fromarray(np.clip(255 * bright + ramp, 0, 255).astype(np.uint8))


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return photos(tmp_path_factory.mktemp("calibration") / "photos", 120)


@pytest.fixture(scope="module")
def made(data) -> Calibration:
    return fitting.calibrate(judge(), fitting.source("live-itw", data))


def judge(**options) -> Judge:
    return Judge(backend=Harsh(), rubric="quality", **({"calibration": False} | options))


def test_tilting_meets_the_mean_and_changes_nothing_it_need_not():
    shares = [0.1, 0.2, 0.4, 0.2, 0.1]
    assert tilted(shares, 3) == pytest.approx(shares, abs=1e-9)
    for mean in (1, 1.01, 2.5, 4.99, 5):
        assert expectation(tilted(shares, mean)) == pytest.approx(mean, abs=1e-6)
    assert expectation(tilted([1, 0, 0, 0, 0], 4)) == pytest.approx(4, abs=1e-6)
    assert tempered([0.2, 0.8], 1) == pytest.approx([0.2, 0.8])
    assert tempered([0.2, 0.8], 2)[1] < 0.8 < tempered([0.2, 0.8], 0.5)[1]


def test_percentiles_run_from_nothing_to_all_and_halve_ties():
    scale = Scale(knots=[(1, 1), (5, 5)], quantiles=[2.0, 3.0, 4.0, 4.0, 5.0])
    assert [scale.percentile(x) for x in (1.0, 2.0, 2.5, 3.0, 4.0, 5.0)] == [0, 0, 12.5, 25, 62.5, 100]


def test_a_calibrated_judge_is_nearer_to_people_and_ranks_as_before(made):
    report = made.report["score"]
    assert report["after"]["rmse"] < 0.35 < 0.5 < report["before"]["rmse"]
    assert report["after"]["ece"] < 0.1 < report["before"]["ece"]
    assert report["after"]["srcc"] > report["before"]["srcc"] - 0.02
    assert abs(report["after"]["bias"]) < 0.1
    pictures = [picture(n / 40, 1000 + n) for n in range(1, 40)]
    bare = [v.score for v in judge().many([{"image": p} for p in pictures], depth="score")]
    told = [v.score for v in judge(calibration=made).many([{"image": p} for p in pictures], depth="score")]
    known = sorted((b, t) for b, t in zip(bare, told, strict=True) if t is not None)
    assert len(known) > 30
    assert all(t1 < t2 for (b1, t1), (b2, t2) in pairwise(known) if b1 < b2)


def test_a_calibrated_verdict_has_a_percentile_and_a_distribution_with_its_mean(made):
    verdict = judge(calibration=made)(picture(0.5, 7), depth="score")
    assert expectation(verdict.distribution) == pytest.approx(verdict.score, abs=1e-6)
    assert 30 < verdict.percentile < 70
    assert judge()(picture(0.5, 7), depth="score").percentile is None


def test_a_depth_that_was_not_calibrated_is_left_as_it_is(made):
    assert judge(calibration=made)(picture(0.5, 7), depth="verdict").percentile is None


def test_a_picture_far_from_the_calibration_gets_no_verdict(made):
    board = np.indices((64, 64)).sum(0) % 2 * 255
    strange = Image.fromarray(np.stack([board, 255 - board, 0 * board], -1).astype(np.uint8))
    verdict = judge(calibration=made)(strange, depth="score")
    assert (verdict.status, verdict.score) == ("unscored", None)
    assert verdict.reason.startswith(OUTSIDE)
    assert "99 % of the live-itw pictures are within" in verdict.reason
    inside = [made.too_far(picture(n / 30, 500 + n)) for n in range(3, 28)]
    assert inside.count("") >= 23


def test_facts_are_finite_for_any_picture():
    for shade in (0, 255):
        assert np.isfinite(measured(Image.new("RGB", (3, 900), (shade,) * 3))).all()


def test_it_is_found_beside_the_adapter_and_only_for_its_rubric(made, tmp_path):
    (tmp_path / "calibration.json").write_text(made.model_dump_json())
    assert Judge(adapter=str(tmp_path), rubric="quality").calibration == made
    assert Judge(adapter=str(tmp_path), rubric="default").calibration is None
    assert Judge(adapter=str(tmp_path), rubric="quality", calibration=False).calibration is None
    with pytest.raises(InputError, match="calibrate again"):
        Judge(rubric="default", calibration=tmp_path)


def test_each_rubrics_adapter_has_its_own(made, tmp_path):
    for name in ("base", "adapter", "photos"):
        (tmp_path / name).mkdir()
    (tmp_path / "judge.json").write_text(json.dumps({"adapters": {"quality": "photos"}}))
    (tmp_path / "adapter/calibration.json").write_text(made.model_dump_json())
    assert Judge(str(tmp_path), rubric="quality").calibration is None
    (tmp_path / "photos/calibration.json").write_text(made.model_dump_json())
    assert Judge(str(tmp_path), rubric="quality").calibration == made


def test_one_of_other_weights_is_left_out_and_the_verdict_says_so(made):
    other = made.model_copy(update={"revision": "of others"})
    backend = Harsh()
    backend.revision = "these"
    verdict = Judge(backend=backend, rubric="quality", calibration=other)(picture(0.5, 1), depth="score")
    assert verdict.percentile is None
    assert any("calibration was left out" in note for note in verdict.provenance.notes)


@pytest.mark.parametrize("text", ["{}", "not json", '{"format": 2}'])
def test_a_damaged_file_is_one_error(tmp_path, text):
    (tmp_path / "calibration.json").write_text(text)
    with pytest.raises(InputError, match="judge calibrate"):
        Judge(calibration=tmp_path)


def test_too_few_labels_and_constant_scores_are_refused(data, tmp_path):
    with pytest.raises(InputError, match="at least 30"):
        fitting.calibrate(judge(), fitting.source("live-itw", data, limit=20))

    class Constant(Harsh):
        def _fill(self, request):
            request.images[:] = [Image.new("RGB", (8, 8))]
            return super()._fill(request)

    blind = Rubric.load("quality").model_copy(update={"score": ScoreRule()})  # nothing measured in its score
    with pytest.raises(InputError, match="the same"):
        constant = Judge(backend=Constant(), rubric=blind, calibration=False)
        fitting.calibrate(constant, fitting.source("live-itw", data))


def test_the_command_writes_the_file_and_prints_before_and_after(data, tmp_path, monkeypatch):
    monkeypatch.setattr("judge.judge.Judge.backend", Harsh())
    out = tmp_path / "made" / "calibration.json"
    asked = ["calibrate", "--suite", "live-itw", "--data", str(data), "--out", str(out)]
    done = CliRunner().invoke(cli.app, asked)
    assert done.exit_code == 0, done.output
    assert "ece" in done.stdout and "abstains beyond distance" in done.stdout
    assert Calibration.load(out).rubric == "quality"
    done = CliRunner().invoke(cli.app, asked[:-2])
    assert done.exit_code == 2 and "name one" in done.stderr
    done = CliRunner().invoke(cli.app, [*asked, "--quantile", "2"])
    assert done.exit_code == 2 and "between 0 and 1" in done.stderr
