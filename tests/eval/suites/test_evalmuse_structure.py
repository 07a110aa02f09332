"""EvalMuse-Structure: true masks from annotations, and official numbers."""

from __future__ import annotations

import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest
from file_formats import write_image, write_json
from layouts import LAYOUTS
from official_numbers import fitted_plcc, score_values
from scipy.stats import spearmanr
from verdicts import make_defect, make_verdict

from eval.runs.official_scores import measures_to_json, score_predictions
from eval.suites import load_suite
from eval.suites.shared.samples import JudgedSample
from judge.errors import InputError

RANDOM = np.random.default_rng(7)


def test_true_masks_are_the_union_of_annotators_in_pixels_of_the_image(tmp_path: Path) -> None:
    LAYOUTS["evalmuse-structure"](tmp_path)
    first, clean = load_suite("evalmuse-structure").read(tmp_path)
    mask = first.labels.load_mask()
    assert mask.shape == (100, 200)
    assert mask[10, 20] and not mask[60, 20] and not mask[10, 120]  # noqa: PT018
    assert mask[30, 150] and not mask[85, 110]  # noqa: PT018
    assert not clean.labels.load_mask().any()
    defects = [make_defect((20, 10, 120, 60))]
    judged = [JudgedSample(first, make_verdict(first, 2.0, size=(200, 100), defects=defects))]
    judged.append(JudgedSample(clean, make_verdict(clean, 4.0, size=(200, 100))))
    metrics = load_suite("evalmuse-structure").evaluate(judged)
    assert metrics["precision"].value == 1.0
    assert metrics["recall"].value == 1.0  # The square and the polygon touch: one region.


# ----------------------------------------------------------------------------------------- official numbers


def region_metrics(pred: list[np.ndarray], truth: list[np.ndarray]) -> tuple[float, float, float]:
    """Compute precision, recall and F1 by the rule of the track, independently of `eval.metrics`."""

    def find_regions(mask, min_area):
        mask = (cv2.resize(mask, (512, 512)) > 0).astype(np.uint8)
        regions = []
        for contour in cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
            if cv2.contourArea(contour) > min_area:
                regions.append(cv2.drawContours(np.zeros((512, 512), np.uint8), [contour], -1, 1, -1))
        return regions

    def iou(a, b):
        return (a & b).sum() / (a | b).sum()

    hits = predicted = missed = true = 0
    for p, t in zip(pred, truth, strict=True):
        p, t = find_regions(p, 0.0006 * 512 * 512), find_regions(t, 150)
        predicted, true = predicted + len(p), true + len(t)
        hits += sum(any(iou(a, b) > 0.1 for b in t) for a in p)
        missed += sum(not any(iou(a, b) > 0.1 for a in p) for b in t)
    precision, recall = hits / predicted, 1 - missed / true
    return precision, recall, 2 * precision * recall / (precision + recall)


def draw_blocks(count: int, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    for _ in range(count):
        x, y = RANDOM.integers(0, shape[1] - 60), RANDOM.integers(0, shape[0] - 60)
        mask[y : y + RANDOM.integers(5, 60), x : x + RANDOM.integers(5, 60)] = 1
    return mask


def write_pickles(tmp_path: Path, protocol: int = 4) -> tuple[Path, Path, dict, dict]:
    """Write predictions and truth as pickles; return the paths and the rows of both."""
    truth, pred = {}, {}
    for number in range(12):
        shape = (int(RANDOM.integers(100, 300)), int(RANDOM.integers(100, 300)))
        mask, mos = draw_blocks(2, shape), float(RANDOM.uniform(1, 5))
        predicted = mask | draw_blocks(1, shape) if number % 2 else draw_blocks(1, shape)
        truth[f"img{number}"] = {"mos": mos, "area": mask}
        score = np.float32(mos + RANDOM.normal(0, 0.5))
        pred[f"img{number}"] = {"score": score, "pred_area": predicted}
    paths = tmp_path / "output.pkl", tmp_path / "truth.pkl"
    for path, rows in zip(paths, (pred, truth), strict=True):
        path.write_bytes(pickle.dumps(rows, protocol))
    return *paths, pred, truth


def write_annotations(truth: dict, tmp_path: Path) -> Path:
    """Write the same truth as polygons of three annotators, with images of their sizes."""
    rows = {}
    for name, row in truth.items():
        polygons = []
        for contour in cv2.findContours(row["area"], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
            polygons.append({"bbox_type": 2, "bbox": contour[:, 0].tolist()})
        rows[name] = {"prompt_en": "p", "mos": row["mos"], "bbox_info": [polygons[:1], polygons[1:], []]}
        write_image(tmp_path / "set" / "images" / f"{name}.png", row["area"].shape[::-1])
    return write_json(tmp_path / "set" / "train_info.json", rows)


@pytest.mark.parametrize("protocol", range(6))
def test_numbers_follow_the_rule_of_the_track_for_every_pickle_protocol(
    tmp_path: Path, protocol: int
) -> None:
    pred, truth, predicted_rows, true_rows = write_pickles(tmp_path, protocol)
    precision, recall, f1 = region_metrics(
        [r["pred_area"] for r in predicted_rows.values()], [r["area"] for r in true_rows.values()]
    )
    x, y = [float(r["score"]) for r in predicted_rows.values()], [r["mos"] for r in true_rows.values()]
    values = score_values("evalmuse-structure", pred, truth)
    assert (values["precision"], values["recall"], values["f1"]) == pytest.approx((precision, recall, f1))
    plcc, srcc = fitted_plcc(x, y), spearmanr(x, y).statistic
    assert (values["plcc"], values["srcc"]) == pytest.approx((plcc, srcc), abs=1e-6)
    assert values["final"] == pytest.approx(0.7 * f1 + 0.15 * (plcc + srcc), abs=1e-6)


def test_labels_of_three_annotators_give_the_numbers_of_their_union(tmp_path: Path) -> None:
    pred, truth, _, true_rows = write_pickles(tmp_path)
    path = write_annotations({k: v for k, v in true_rows.items() if (v["area"] > 0).any()}, tmp_path)
    values = score_values("evalmuse-structure", pred, path.parent)
    assert values["f1"] == pytest.approx(score_values("evalmuse-structure", pred, truth)["f1"], abs=0.02)
    without_images = score_values("evalmuse-structure", pred, path)  # Sizes are taken from the masks.
    assert values == pytest.approx(without_images)


def test_masks_of_another_size_need_the_images(tmp_path: Path) -> None:
    pred, _, predicted_rows, true_rows = write_pickles(tmp_path)
    path = write_annotations(true_rows, tmp_path)
    small = {k: {**v, "pred_area": cv2.resize(v["pred_area"], (40, 40))} for k, v in predicted_rows.items()}
    pred.write_bytes(pickle.dumps(small))
    with pytest.raises(InputError, match="the folder with the label file and the images"):
        score_predictions("evalmuse-structure", pred, path)
    assert score_values("evalmuse-structure", pred, path.parent)["f1"] is not None


def test_no_predicted_region_is_f1_0_where_the_organisers_print_nan(tmp_path: Path) -> None:
    pred, truth, rows, _ = write_pickles(tmp_path)
    empty = {k: {**v, "pred_area": v["pred_area"] * 0} for k, v in rows.items()}
    pred.write_bytes(pickle.dumps(empty))
    report = measures_to_json(score_predictions("evalmuse-structure", pred, truth))
    assert (report["f1"], report["precision"], report["recall"]) == (0.0, None, 0.0)
    assert report["notes"]["f1"] == "no region was predicted at all, so F1 is 0"
    assert report["final"] is not None
