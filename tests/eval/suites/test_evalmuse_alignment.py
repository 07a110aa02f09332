"""EvalMuse-40K alignment: labels, elements and official numbers."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from file_formats import write_image, write_json
from layouts import LAYOUTS
from official_numbers import fitted_plcc, score_values
from scipy.stats import spearmanr

from eval.runs.official_scores import measures_to_json, score_predictions
from eval.suites import load_suite
from judge.errors import InputError

RANDOM = np.random.default_rng(7)


def test_labels_are_means_over_annotators_and_names_of_elements_have_no_kind(tmp_path: Path) -> None:
    LAYOUTS["evalmuse-alignment"](tmp_path)
    first, second = load_suite("evalmuse-alignment").read(tmp_path)
    assert (first.labels.mos, second.labels.mos) == (3.5, 3.0)
    shares = {"pig giants (animal)": pytest.approx(2 / 3), "attack (activity)": 0.0}
    assert first.labels.element_shares == shares
    assert [(e.name, e.kind, e.present) for e in first.labels.elements] == [
        ("pig giants", "animal", True),
        ("attack", "activity", False),
    ]
    assert second.labels.elements[1].present  # .5 counts as present.
    assert first.generator == "SDXL-Turbo"


def test_elements_that_differ_only_in_their_kind_keep_it(tmp_path: Path) -> None:
    row = {"prompt": "p", "img_path": "a.png", "total_score": None}
    row["element_score"] = {"red (color)": None, "red (attribute)": None, "fox (animal)": None}
    write_image(tmp_path / "a.png")
    write_json(tmp_path / "test.json", [row])
    (sample,) = load_suite("evalmuse-alignment").read(tmp_path, "test")
    assert sample.to_sample().elements == ["red (color)", "red (attribute)", "fox"]
    assert (sample.labels.mos, sample.labels.elements) == (None, [])


# ----------------------------------------------------------------------------------------- official numbers


def write_files(tmp_path: Path, count: int = 60) -> tuple[Path, Path, list[dict], list[dict]]:
    """Write predictions and labels; return the paths and the rows of both."""
    truth, pred = [], []
    for number in range(count):
        mos = float(RANDOM.uniform(1, 5))
        shares = {
            f"thing {number} ({kind})": float(RANDOM.choice([0, 1 / 3, 0.5, 2 / 3, 1]))
            for kind in ("animal", "color")
        }
        scores = {key: float(np.clip(s + RANDOM.normal(0, 0.4), 0, 1)) for key, s in shares.items()}
        row = {"prompt": f"p{number}", "img_path": f"SDXL/{(number * 37) % 1000:05d}.png"}
        truth.append({**row, "total_score": mos, "element_score": shares})
        pred.append({**row, "total_score": mos + float(RANDOM.normal(0, 0.7)), "element_score": scores})
    RANDOM.shuffle(pred)
    paths = write_json(tmp_path / "output.json", pred), write_json(tmp_path / "test.json", truth)
    return *paths, pred, truth


def test_numbers_are_those_of_sorting_both_lists_and_pairing_by_index(tmp_path: Path) -> None:
    pred, truth, predicted_rows, true_rows = write_files(tmp_path)
    predicted_rows, true_rows = (
        sorted(rows, key=lambda row: row["img_path"]) for rows in (predicted_rows, true_rows)
    )
    x, y = [r["total_score"] for r in predicted_rows], [r["total_score"] for r in true_rows]
    predicted, present = (
        [v >= 0.5 for r in rows for v in r["element_score"].values()] for rows in (predicted_rows, true_rows)
    )
    # Their script calls metric(labels, predictions), though the metric is defined as (predictions, labels).
    srcc, plcc = spearmanr(x, y).statistic, fitted_plcc(y, x)
    accuracy = float(np.mean(np.array(predicted) == np.array(present)))
    values = score_values("evalmuse-alignment", pred, truth)
    assert values["srcc"] == pytest.approx(srcc, abs=1e-9)
    assert values["plcc"] == pytest.approx(plcc, abs=1e-6)
    assert values["plcc_fitted"] == pytest.approx(fitted_plcc(x, y), abs=1e-6)
    assert abs(values["plcc"] - values["plcc_fitted"]) > 1e-3
    assert values["accuracy"] == pytest.approx(accuracy)
    assert values["final"] == pytest.approx(plcc / 4 + srcc / 4 + accuracy / 2, abs=1e-6)
    both = sum(p and t for p, t in zip(predicted, present, strict=True))
    assert values["precision"] == pytest.approx(both / sum(predicted))
    assert values["recall"] == pytest.approx(both / sum(present))


def test_archives_lists_of_annotators_and_elements_as_text_are_accepted(tmp_path: Path) -> None:
    pred, truth, _, true_rows = write_files(tmp_path)
    archive = tmp_path / "submission.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(pred, "output.json")
        file.writestr("readme.txt", "runtime per image [s] : 1\n")
    annotated = [
        {
            **row,
            "total_score": [row["total_score"] - 1, row["total_score"] + 1],
            "element_score": json.dumps({k: [v, v] for k, v in row["element_score"].items()}),
        }
        for row in true_rows
    ]
    labels = write_json(tmp_path / "train_list.json", annotated)
    expected = score_values("evalmuse-alignment", pred, truth)
    assert score_values("evalmuse-alignment", archive, labels) == pytest.approx(expected)


@pytest.mark.parametrize("fault", ["missing", "duplicate", "extra", "element", "null", "nan"])
def test_missing_duplicate_and_extra_names_are_reported(tmp_path: Path, fault: str) -> None:
    pred, truth, rows, _ = write_files(tmp_path)
    name, key = rows[4]["img_path"], next(iter(rows[4]["element_score"]))
    if fault == "missing":
        del rows[4]
    elif fault == "duplicate":
        rows.append(rows[4])
    elif fault == "extra":
        name = "Other/1.png"
        rows.append({**rows[4], "img_path": name})
    elif fault == "element":
        del rows[4]["element_score"][key]
        name = f"{name}: {key}"
    elif fault == "null":
        rows[4]["total_score"] = None
    else:
        rows[4]["total_score"] = float("nan")
    write_json(pred, rows)
    if fault == "extra":
        extra = score_predictions("evalmuse-alignment", pred, truth)["extra"]
        assert (extra.value, name in extra.note) == (1.0, True)
        return
    with pytest.raises(InputError) as caught:
        score_predictions("evalmuse-alignment", pred, truth)
    assert ("row 5" if fault == "nan" else name) in str(caught.value)


def test_constant_scores_leave_the_final_number_undefined_with_a_note(tmp_path: Path) -> None:
    pred, truth, rows, _ = write_files(tmp_path)
    write_json(pred, [{**row, "total_score": 3} for row in rows])
    report = measures_to_json(score_predictions("evalmuse-alignment", pred, truth))
    assert (report["srcc"], report["final"]) == (None, None)
    assert "predictions are equal" in report["notes"]["final"]
    assert report["accuracy"] is not None
    json.dumps(report, allow_nan=False)


def test_a_kind_with_a_slash_is_one_kind(tmp_path: Path) -> None:
    pred, truth, rows, labels = write_files(tmp_path)
    kinds = ("animal", "animal/human")
    for side in (rows, labels):
        side.sort(key=lambda row: row["img_path"])
        for number, row in enumerate(side):
            scores = row["element_score"].values()
            row["element_score"] = {f"thing {number} ({k})": v for k, v in zip(kinds, scores, strict=True)}
    metrics = score_predictions("evalmuse-alignment", write_json(pred, rows), write_json(truth, labels))
    assert set(measures_to_json(metrics)["accuracy_by_kind"]) == {"animal", "animal/human"}
