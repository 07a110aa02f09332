"""Suites of generated images: RichHF-18K, SDG-30K, GenAI-Bench, AIGIQA-20K. EvalMuse has files of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from file_formats import write_fake_video, write_image, write_json, write_lines, write_scores
from layouts import LAYOUTS
from official_numbers import make_scores, score_values
from scipy.stats import pearsonr, spearmanr
from verdicts import make_defect, make_verdict

from eval.runs.official_scores import measures_to_json, score_predictions
from eval.suites import load_suite
from eval.suites.shared.samples import JudgedSample
from judge.errors import InputError
from judge.types import Element

RANDOM = np.random.default_rng(7)


def test_richhf_compares_scores_heat_maps_and_words(tmp_path: Path) -> None:
    LAYOUTS["richhf-18k"](tmp_path)
    (sample,) = load_suite("richhf-18k").read(tmp_path)
    names = ("aesthetics", "artifact", "misalignment", "overall")
    assert sample.labels.mos_by_dimension == {name: 0.25 for name in names}
    assert sample.labels.load_mask().sum() == 100 * 100
    elements = [
        Element(name="red", present=False, probability=0.1),
        Element(name="fox", present=True, probability=0.9),
    ]
    defects = [make_defect((100, 100, 200, 200))]
    verdict = make_verdict(sample, 3.0, size=(512, 512), elements=elements, defects=defects)
    metrics = load_suite("richhf-18k").evaluate([JudgedSample(sample, verdict)])
    values = {name: metrics[name].value for name in ("region_f1", "word_f1", "artifact_map_mse")}
    assert values == {"region_f1": 1.0, "word_f1": 1.0, "artifact_map_mse": 0.0}
    assert metrics["artifact_map_cc"].value == pytest.approx(1.0)


def test_sdg_boxes_of_another_label_do_not_match_and_clean_images_count(tmp_path: Path) -> None:
    LAYOUTS["sdg-30k"](tmp_path)
    first, clean = load_suite("sdg-30k").read(tmp_path)
    box = (10.0, 10.0, 60.0, 60.0)
    wrong = [JudgedSample(first, make_verdict(first, defects=[make_defect(box, "misalignment")]))]
    assert load_suite("sdg-30k").evaluate(wrong)["f1"].value == 0
    right = [JudgedSample(first, make_verdict(first, defects=[make_defect(box, severity="critical")]))]
    right.append(JudgedSample(clean, make_verdict(clean, None)))
    metrics = load_suite("sdg-30k").evaluate(right)
    values = [metrics[name].value for name in ("f1", "importance_accuracy", "clean_accuracy")]
    assert values == [1, 1, 0]


def test_sdg_boxes_in_thousandths_become_pixels(tmp_path: Path) -> None:
    LAYOUTS["sdg-30k"](tmp_path)
    sample = next(load_suite("sdg-30k").read(tmp_path, unit="1000"))
    assert sample.labels.defects[0].box == (2.0, 1.0, 12.0, 6.0)
    with pytest.raises(InputError, match="unit"):
        next(load_suite("sdg-30k").read(tmp_path, unit="inches"))


def test_genai_bench_reports_each_column_of_scores(tmp_path: Path) -> None:
    truth = {
        str(i): {"prompt": "p", "models": {m: [int(RANDOM.integers(1, 6))] for m in "ab"}} for i in range(9)
    }
    rows = [f"{m},{i},p,{float(RANDOM.random())},{r['models'][m][0]}" for i, r in truth.items() for m in "ab"]
    header = "model_name,video_id,prompt,CLIP Score,Oracle"
    pred = write_lines(tmp_path / "p.csv", header, *rows)
    metrics = score_predictions("genai-bench", pred, write_json(tmp_path / "t.json", truth))
    report = measures_to_json(metrics)
    assert report["Oracle"]["plcc"] == pytest.approx(1.0)
    assert report["Oracle"]["accuracy"] == 1.0
    assert -1 <= report["CLIP Score"]["krcc"] <= 1
    assert report["interval_95"]["CLIP Score"]["plcc"][0] < report["CLIP Score"]["plcc"]
    json.dumps(report, allow_nan=False)


def test_aigiqa_20k_takes_the_raw_correlation(tmp_path: Path) -> None:
    predicted, truth = make_scores(RANDOM, suffix=".png")
    labels = write_lines(tmp_path / "info.csv", *(f'{n},"a, b",{s!r}' for n, s in truth.items()))
    x, y = list(predicted.values()), list(truth.values())
    values = score_values("aigiqa-20k", write_scores(tmp_path / "output.txt", predicted), labels)
    expected = (spearmanr(x, y).statistic + pearsonr(x, y).statistic) / 2
    assert values["final"] == pytest.approx(expected)


def test_videos_of_genai_bench_are_read_where_only_they_are_there(tmp_path: Path) -> None:
    write_fake_video(tmp_path / "Pika_v1" / "00000.mp4")
    write_json(tmp_path / "genai_video.json", {"00000": {"prompt": "p", "models": {"Pika_v1": [3, 4]}}})
    suite = load_suite("genai-bench")
    (sample,) = suite.read(tmp_path)
    assert (sample.image, sample.video, sample.labels.mos) == (None, tmp_path / "Pika_v1/00000.mp4", 3.5)
    write_image(tmp_path / "SDXL" / "00000.jpeg")
    write_json(tmp_path / "genai_image.json", {"00000": {"prompt": "p", "models": {"SDXL": [3]}}})
    assert [s.id for s in suite.read(tmp_path)] == ["SDXL/00000"]
    assert [s.id for s in suite.read(tmp_path, "video")] == ["Pika_v1/00000"]
