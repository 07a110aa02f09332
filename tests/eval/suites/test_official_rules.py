"""Files in the layouts that organisers write, and their numbers worked out here with numpy and scipy."""

from __future__ import annotations

import io
import json
import pickle
import pickletools
from pathlib import Path

import numpy as np
import pytest
from file_formats import write_image, write_json, write_lines, write_workbook
from layouts import LAYOUTS
from official_numbers import score_values
from scipy.stats import spearmanr
from verdicts import make_verdict

from eval.runs.official_scores import measures_to_json, score_predictions
from eval.suites import load_suite
from eval.suites.shared.samples import JudgedSample
from judge.errors import InputError

RANDOM = np.random.default_rng(11)

# ------------------------------------------------------------------------------------------------ SDG-30K


def write_sdg(folder: Path) -> tuple[Path, Path]:
    """Write labels in both layouts, and replies of a model."""
    near, far = [100, 100, 300, 300], [600, 600, 800, 900]
    truth = [
        {"filepath": "a.png", "caption": "x", "artifact_bboxes": [{"box_2d": near, "importance": 80}],
         "misalignment_bboxes": [far]},
        {"filepath": "b.png", "caption": "x", "ann_translated_bboxes": [
            {"box_2d": near, "label": "both", "description": "d", "importance": 45}]},
        {"filepath": "c.png", "caption": "x", "ann_translated_bboxes": []},
        {"filepath": "d.png", "caption": "x", "artifact_bboxes": [], "misalignment_bboxes": []},
    ]  # fmt: skip
    boxes = {
        "a.png": [{"box_2d": near, "label": "both", "description": "d", "importance": 60},
                  {"box_2d": [0, 0, 10, 10], "label": "artifact", "importance": 5}],
        "b.png": [{"bbox_2d": near, "type": "artifact", "importance": 40}],
        "c.png": [],
        "d.png": [{"box_2d": far, "label": "misalignment", "importance": 101}, {"label": "artifact"}],
    }  # fmt: skip
    replies = [
        {"filepath": n, "response": f"<think>t</think><answer>{json.dumps(b)}</answer>"}
        for n, b in boxes.items()
    ]
    labels = write_lines(folder / "test.jsonl", *map(json.dumps, truth))
    return write_lines(folder / "predictions.jsonl", *map(json.dumps, replies)), labels


def test_sdg_replies_and_lists_by_type_are_read_and_printed_as_json(tmp_path: Path) -> None:
    pred, truth = write_sdg(tmp_path)
    report = measures_to_json(score_predictions("sdg-30k", pred, truth))
    json.dumps(report, allow_nan=False)
    # Hits: both-artifact in a, artifact-both in b. False: a small artifact in a, misalignment in d.
    assert report["box_f1@0.5"]["all"] == pytest.approx(2 * 2 / (4 + 3))
    assert report["script_box_f1@0.5"]["artifact"] == pytest.approx(2 * 1 / (2 + 1))
    # The paper's rule: boxes of both types are in each.
    assert report["box_f1@0.5"]["artifact"] == pytest.approx(2 * 2 / (3 + 2))
    assert report["clean_accuracy"] == pytest.approx({"artifact": 1.0, "misalignment": 0.5, "all": 0.5})
    agreement = np.mean([1 - abs(60 - 80) / 100, 1 - abs(40 - 45) / 100])
    assert report["importance_agreement"]["artifact"] == pytest.approx(agreement)
    assert report["skipped_boxes"] == 1


def test_sdg_labels_in_the_other_order_are_noticed(tmp_path: Path) -> None:
    box = [100, 500, 200, 900]
    truth = {"filepath": "a.png", "artifact_bboxes": [[500, 100, 900, 200]], "misalignment_bboxes": []}
    reply = {"filepath": "a.png", "response": f'[{{"box_2d": {box}, "label": "artifact"}}]'}
    pred = write_lines(tmp_path / "p.jsonl", json.dumps(reply))
    labels = write_lines(tmp_path / "t.jsonl", json.dumps(truth))
    metrics = score_predictions("sdg-30k", pred, labels)
    assert (metrics["f1"].value, "order=yxyx" in metrics["box_order"].note) == (0.0, True)
    assert score_predictions("sdg-30k", pred, labels, {"order": "yxyx"})["f1"].value == 1.0
    with pytest.raises(InputError, match="option"):
        score_predictions("sdg-30k", pred, labels, {"unit": "1000"})


def test_sdg_lines_without_boxes_are_an_error_and_thousandths_are_found(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", (1024, 1024))
    row = {"filepath": "a.png", "caption": "x", "artifact_bboxes": [[0, 0, 500, 1000]]}
    write_lines(tmp_path / "test.jsonl", json.dumps(row))
    (sample,) = load_suite("sdg-30k").read(tmp_path)
    assert sample.labels.defects[0].box == (0, 0, 512, 1024)
    write_lines(tmp_path / "test.jsonl", json.dumps({"filepath": "a.png", "caption": "x"}))
    with pytest.raises(InputError, match="artifact_bboxes"):
        list(load_suite("sdg-30k").read(tmp_path))


def test_sdg_replies_go_before_labels_that_their_file_repeats(tmp_path: Path) -> None:
    """`eval_qwen.py` writes replies with Gemini's boxes, y before x, of the truth beside them."""
    truth = {
        "filename": "a.png",
        "gemini_artifact_bboxes": [[500, 100, 900, 200]],
        "gemini_misalignment_bboxes": [],
    }
    labels = write_lines(tmp_path / "t.jsonl", json.dumps(truth))
    for box, f1 in (([100, 500, 200, 900], 1.0), ([500, 100, 900, 200], 0.0)):
        reply = {**truth, "response": f'<answer>[{{"box_2d": {box}, "label": "artifact"}}]</answer>'}
        pred = write_lines(tmp_path / "p.jsonl", json.dumps(reply))
        assert score_values("sdg-30k", pred, labels)["f1"] == f1


# ------------------------------------------------------------------------------------- EvalMuse-Structure


def test_submitted_arrays_need_no_name_that_only_one_numpy_has(tmp_path: Path) -> None:
    LAYOUTS["evalmuse-structure"](tmp_path)
    suite = load_suite("evalmuse-structure")
    rows = [JudgedSample(s, make_verdict(s, 2.0, size=(200, 100))) for s in suite.read(tmp_path)]
    data = suite.submission.build_files(rows)["output.pkl"]
    names = {arg for _, arg, _ in pickletools.genops(data) if isinstance(arg, str)}
    assert not any("numpy." in name or "_core" in name for name in names)
    area = pickle.load(io.BytesIO(data))["a2dc"]["pred_area"]  # noqa: S301
    area[0, 0] = 1
    assert (area.dtype, area.shape) == (np.uint8, (100, 200))


@pytest.mark.parametrize("kind", ["bool", "int32", "int64", "stack"])
def test_masks_that_stop_the_organisers_scorer_are_named(tmp_path: Path, kind: str) -> None:
    mask = np.zeros((64, 48), np.uint8)
    mask[10:40, 10:40] = 1
    other = mask[None] if kind == "stack" else mask.astype(kind)
    rows = {str(i): {"score": float(i), "pred_area": mask} for i in range(3)}
    truth, pred = tmp_path / "t.pkl", tmp_path / "p.pkl"
    truth.write_bytes(pickle.dumps(rows))
    pred.write_bytes(pickle.dumps({**rows, "1": {"score": 1.0, "pred_area": other}}))
    metrics = score_predictions("evalmuse-structure", pred, truth)
    assert (metrics["f1"].value, metrics["unusual_masks"].value) == (1.0, 1.0)
    assert "unusual_masks" not in score_predictions("evalmuse-structure", truth, truth)


# --------------------------------------------------------------------------------------------- AGIQA-1K


def test_agiqa_1k_reads_both_files_of_the_repository(tmp_path: Path) -> None:
    names = [f"deepai_0_0_0_{i}.jpg" for i in range(5)]
    scores = RANDOM.uniform(0, 5, 5)
    labels = tmp_path / "AIGC_all.csv"
    labels.write_bytes(
        "".join(f"{a},{b}\r\n" for a, b in [("Image", "Score"), *zip(names, scores, strict=True)]).encode()
    )
    cells = [[n, "bird, city", float(s)] for n, s in zip(names, scores, strict=True)]
    header = ["Image", "Prompt", "MOS"]
    book = write_workbook(
        tmp_path / "AIGC_MOS_Zscore.xlsx", {"Sheet1": [header, *cells, [names[4], "p", 9.5]]}
    )
    samples = list(load_suite("agiqa-1k").read(tmp_path, media=False))
    assert [(s.id, s.prompt) for s in samples][:4] == [(n, "bird, city") for n in names[:4]]
    predicted = RANDOM.uniform(0, 5, 5)
    pred = write_lines(
        tmp_path / "p.csv", *(f"{n},{p!r}" for n, p in zip(names, predicted.tolist(), strict=True))
    )
    assert score_values("agiqa-1k", pred, labels)["srcc"] == pytest.approx(
        spearmanr(predicted, scores).statistic
    )
    metrics = score_predictions("agiqa-1k", pred, book)
    assert (metrics["unlabelled"].value, names[4] in metrics["unlabelled"].note) == (1.0, True)
    assert metrics["srcc"].value == pytest.approx(spearmanr(predicted[:4], scores[:4]).statistic)


def test_agiqa_1k_reads_its_published_labels(shared_data: Path) -> None:
    folder = shared_data / "agiqa1k"
    assert len(list(load_suite("agiqa-1k").read(folder, media=False))) == 1080
    book = list(load_suite("agiqa-1k").read(folder / "AIGC_MOS_Zscore.xlsx", media=False))
    assert (len(book), sum(s.labels.mos is None for s in book)) == (1079, 1)


# ------------------------------------------------------------------------------------- face restoration

SUBSETS = {"CelebA": 100, "LFW-Test": 100, "CelebChild-Test": 50, "WebPhoto-Test": 100, "Wider-Test": 100}


def test_face_restoration_takes_the_organisers_files(tmp_path: Path) -> None:
    rows = [(f"{i:04}.png", name, *RANDOM.uniform((0.5, 0.2, 0.4, 60, 3, 3), (0.9, 0.8, 0.7, 80, 6, 5)))
            for i, name in enumerate([*SUBSETS, *SUBSETS, "CelebA"])]  # fmt: skip
    means = {s: np.mean([r[2:] for r in rows if r[1] == s], axis=0) for s in SUBSETS}
    clip, _, maniqa, musiq, niqe, qalign = sum(means[s] * n for s, n in SUBSETS.items()) / 450
    fid = 60.0
    expected = clip + maniqa + musiq / 100 + max(0, (10 - niqe) / 10) + qalign / 5 + (100 - fid) / 100
    each = [f"{n},{c},{s},{i},{m},{u},{q},{a}" for n, s, c, i, m, u, q, a in rows]
    pred = write_lines(tmp_path / "x.csv", "Filename,CLIP_IQA,Dataset,ID_Sim,MANIQA,MUSIQ,NIQE,QALIGN", *each)
    faces = write_lines(
        tmp_path / "test_face.csv", "filename,dataset,x1,y1", *(f"{r[0][:-4]},{r[1]},1,2" for r in rows)
    )
    alone = score_predictions("face-restoration", pred, faces)
    assert (alone["final"].value, "FID" in alone["final"].note) == (None, True)
    given = score_predictions("face-restoration", pred, faces, {"fid": "60"})
    assert given["final"].value == pytest.approx(expected)
    limits = dict(zip(SUBSETS, (0.5, 0.6, 0.6, 0.3, 0.3), strict=True))
    failures = sum(r[3] < limits[r[1]] for r in rows)
    assert given["identity_failures"].value == failures
    lines = [f"{s},{v[4]},{v[0]},{v[2]},{v[3]},{v[5]},0,{v[1]},0,0" for s, v in means.items()]
    lines.append(f"All,{niqe},{clip},{maniqa},{musiq},{qalign},{fid},0.6,{failures},0")
    lines.append(
        f"Weighted Score,{(10 - niqe) / 10},{clip},{maniqa},{musiq / 100},{qalign / 5},0.4,0,0,{expected}"
    )
    header = "Dataset,NIQE,CLIP_IQA,MANIQA,MUSIQ,QALIGN,FID,ID_Sim,low_ID_Sim,Total"
    total = write_lines(tmp_path / "x_total.csv", header, *lines)
    report = score_values("face-restoration", total, faces)
    assert (report["final"], report["identity_failures"]) == (pytest.approx(expected), failures)
    assert score_values("face-restoration", pred, faces)["final"] == pytest.approx(
        expected
    )  # FID from x_total.csv


# ------------------------------------------------------------------------------------------- Pick-a-Pic


def test_pick_a_pic_chooses_its_tie_threshold_on_validation(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    scores: dict[str, float] = {}
    parts = {}
    for split in ("validation_unique", "test_unique"):
        gap, uids = RANDOM.normal(0, 2, 60), [(f"{split}{i}a", f"{split}{i}b") for i in range(60)]
        label = np.where(abs(gap) < 0.9, 0.5, (gap > 0).astype(float))
        for (a, b), g in zip(uids, gap, strict=True):
            scores |= {a: 20 + float(g), b: 20.0}
        columns = {"image_0_uid": [a for a, _ in uids], "image_1_uid": [b for _, b in uids],
                   "caption": ["x"] * 60, "label_0": label, "has_label": [True] * 60}  # fmt: skip
        file = tmp_path / "data" / f"{split}-00000-of-00001.parquet"
        file.parent.mkdir(exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.table(columns), file)
        parts[split] = gap, label

    def points(split: str, threshold: float) -> float:
        gap, label = parts[split]
        logits = np.stack([20 + gap, np.full(60, 20.0)], 1)
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        said = np.where(abs(p[:, 1] - p[:, 0]) <= threshold, 0.5, (p[:, 0] > p[:, 1]).astype(float))
        return float(np.mean(1 - abs(said - label)))

    best = np.arange(11)[np.argmax([points("validation_unique", t / 10) for t in range(11)])] / 10
    values = score_values("pick-a-pic", write_json(tmp_path / "p.json", scores), tmp_path / "data")
    assert values["tie_threshold"] == best > 0
    assert values["accuracy"] == pytest.approx(points("test_unique", best))
    assert values["accuracy_without_threshold"] == pytest.approx(points("test_unique", 0))
    few = {name: value for name, value in scores.items() if name.startswith("test")}
    metrics = score_predictions("pick-a-pic", write_json(tmp_path / "q.json", few), tmp_path / "data")
    assert metrics["accuracy"].value == pytest.approx(points("test_unique", 0))
    assert "120 of 120 images of validation_unique are missing" in metrics["accuracy"].note
