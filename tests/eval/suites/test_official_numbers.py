"""Official numbers come out as the organisers' arithmetic gives them, and files of strangers do no harm."""

from __future__ import annotations

import json
import os
import pickle
import warnings
import zipfile
from collections import OrderedDict
from pathlib import Path

import cv2
import numpy as np
import pytest
from layouts import as_json, picture, text
from scipy.optimize import curve_fit
from scipy.stats import pearsonr, spearmanr

from eval.bench.speed import suites as bench
from eval.runs.score import as_json as plain
from eval.runs.score import score
from eval.suites.face_restoration import final, subset_of
from eval.suites.readers.pickles import load
from judge.errors import InputError

CHANCE = np.random.default_rng(7)


def values(name: str, pred: Path, truth: Path) -> dict[str, float | None]:
    return {key: measure.value for key, measure in score(name, pred, truth).items()}


def lines(path: Path, scores: dict[str, float], header: str = "") -> Path:
    return text(path, *([header] if header else []), *(f"{n},{s!r}" for n, s in scores.items()))


def fitted_plcc(x, y) -> float:
    """The 4-parameter logistic as the organisers write it down, apart from ours."""
    x, y = np.asarray(x, float), np.asarray(y, float)

    def curve(z, b1, b2, b3, b4):
        return b2 + (b1 - b2) / (1 + np.exp(-(z - b3) / np.abs(b4)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best, _ = curve_fit(curve, x, y, p0=[y.max(), y.min(), x.mean(), x.std()], maxfev=10**8)
    return float(pearsonr(curve(x, *best), y).statistic)


# -------------------------------------------------------------------------------- EvalMuse, alignment


def alignment(tmp_path: Path, count: int = 60) -> tuple[Path, Path, list[dict], list[dict]]:
    truth, pred = [], []
    for at in range(count):
        mos = float(CHANCE.uniform(1, 5))
        shares = {
            f"thing {at} ({k})": float(CHANCE.choice([0, 1 / 3, 0.5, 2 / 3, 1])) for k in ("animal", "color")
        }
        said = {key: float(np.clip(s + CHANCE.normal(0, 0.4), 0, 1)) for key, s in shares.items()}
        row = {"prompt": f"p{at}", "img_path": f"SDXL/{(at * 37) % 1000:05d}.png"}
        truth.append({**row, "total_score": mos, "element_score": shares})
        pred.append({**row, "total_score": mos + float(CHANCE.normal(0, 0.7)), "element_score": said})
    CHANCE.shuffle(pred)
    return as_json(tmp_path / "output.json", pred), as_json(tmp_path / "test.json", truth), pred, truth


def test_alignment_is_scored_as_by_sorting_both_lists_and_pairing_by_index(tmp_path: Path) -> None:
    pred, truth, ours, theirs = alignment(tmp_path)
    ours, theirs = (sorted(rows, key=lambda row: row["img_path"]) for rows in (ours, theirs))
    x, y = [r["total_score"] for r in ours], [r["total_score"] for r in theirs]
    a, b = ([v >= 0.5 for r in rows for v in r["element_score"].values()] for rows in (ours, theirs))
    srcc, plcc = spearmanr(x, y).statistic, fitted_plcc(x, y)
    acc = float(np.mean(np.array(a) == np.array(b)))
    found = values("evalmuse-alignment", pred, truth)
    assert found["srcc"] == pytest.approx(srcc, abs=1e-9)
    assert found["plcc"] == pytest.approx(plcc, abs=1e-6)
    assert found["accuracy"] == pytest.approx(acc)
    assert found["final"] == pytest.approx(plcc / 4 + srcc / 4 + acc / 2, abs=1e-6)
    both = sum(p and t for p, t in zip(a, b, strict=True))
    assert (found["precision"], found["recall"]) == (
        pytest.approx(both / sum(a)),
        pytest.approx(both / sum(b)),
    )


def test_alignment_takes_archives_annotators_and_elements_as_text(tmp_path: Path) -> None:
    pred, truth, _, theirs = alignment(tmp_path)
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
        for row in theirs
    ]
    other = as_json(tmp_path / "train_list.json", annotated)
    assert values("evalmuse-alignment", archive, other) == pytest.approx(
        values("evalmuse-alignment", pred, truth)
    )


@pytest.mark.parametrize("fault", ["missing", "doubled", "extra", "element", "null", "nan"])
def test_alignment_says_which_keys_are_missing_doubled_or_extra(tmp_path: Path, fault: str) -> None:
    pred, truth, rows, _ = alignment(tmp_path)
    name, key = rows[4]["img_path"], next(iter(rows[4]["element_score"]))
    if fault == "missing":
        del rows[4]
    elif fault == "doubled":
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
    as_json(pred, rows)
    if fault == "extra":
        found = score("evalmuse-alignment", pred, truth)
        assert (found["extra"].value, name in found["extra"].note) == (1.0, True)
        return
    with pytest.raises(InputError) as caught:
        score("evalmuse-alignment", pred, truth)
    assert ("row 5" if fault == "nan" else name) in str(caught.value)


def test_constant_scores_leave_the_final_number_undefined_in_words(tmp_path: Path) -> None:
    pred, truth, rows, _ = alignment(tmp_path)
    as_json(pred, [{**row, "total_score": 3} for row in rows])
    shown = plain(score("evalmuse-alignment", pred, truth))
    assert (shown["srcc"], shown["final"]) == (None, None)
    assert "predictions are equal" in shown["notes"]["final"]
    assert shown["accuracy"] is not None
    json.dumps(shown, allow_nan=False)


# -------------------------------------------------------------------------------- EvalMuse, structure


def structure_f1(pred: list[np.ndarray], truth: list[np.ndarray]) -> tuple[float, float, float]:
    """The rule of the track, written down apart from ours."""

    def regions(mask, least):
        mask = (cv2.resize(mask, (512, 512)) > 0).astype(np.uint8)
        found = []
        for contour in cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
            if cv2.contourArea(contour) > least:
                found.append(cv2.drawContours(np.zeros((512, 512), np.uint8), [contour], -1, 1, -1))
        return found

    def iou(a, b):
        return (a & b).sum() / (a | b).sum()

    hits = ours = missed = theirs = 0
    for p, t in zip(pred, truth, strict=True):
        p, t = regions(p, 0.0006 * 512 * 512), regions(t, 150)
        ours, theirs = ours + len(p), theirs + len(t)
        hits += sum(any(iou(a, b) > 0.1 for b in t) for a in p)
        missed += sum(not any(iou(a, b) > 0.1 for a in p) for b in t)
    precision, recall = hits / ours, 1 - missed / theirs
    return precision, recall, 2 * precision * recall / (precision + recall)


def blobs(count: int, shape: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(shape, np.uint8)
    for _ in range(count):
        x, y = CHANCE.integers(0, shape[1] - 60), CHANCE.integers(0, shape[0] - 60)
        mask[y : y + CHANCE.integers(5, 60), x : x + CHANCE.integers(5, 60)] = 1
    return mask


def structure(tmp_path: Path, protocol: int = 4) -> tuple[Path, Path, dict, dict]:
    truth, pred = {}, {}
    for at in range(12):
        shape = (int(CHANCE.integers(100, 300)), int(CHANCE.integers(100, 300)))
        area, mos = blobs(2, shape), float(CHANCE.uniform(1, 5))
        guess = area | blobs(1, shape) if at % 2 else blobs(1, shape)
        truth[f"img{at}"] = {"mos": mos, "area": area}
        pred[f"img{at}"] = {"score": np.float32(mos + CHANCE.normal(0, 0.5)), "pred_area": guess}
    paths = tmp_path / "output.pkl", tmp_path / "truth.pkl"
    for path, rows in zip(paths, (pred, truth), strict=True):
        path.write_bytes(pickle.dumps(rows, protocol))
    return *paths, pred, truth


@pytest.mark.parametrize("protocol", range(6))
def test_structure_is_scored_as_the_track_says_from_any_pickle_protocol(
    tmp_path: Path, protocol: int
) -> None:
    pred, truth, ours, theirs = structure(tmp_path, protocol)
    masks = [r["pred_area"] for r in ours.values()], [r["area"] for r in theirs.values()]
    precision, recall, f1 = structure_f1(*masks)
    x, y = [float(r["score"]) for r in ours.values()], [r["mos"] for r in theirs.values()]
    found = values("evalmuse-structure", pred, truth)
    assert (found["precision"], found["recall"], found["f1"]) == pytest.approx((precision, recall, f1))
    plcc, srcc = fitted_plcc(x, y), spearmanr(x, y).statistic
    assert (found["plcc"], found["srcc"]) == pytest.approx((plcc, srcc), abs=1e-6)
    assert found["final"] == pytest.approx(0.7 * f1 + 0.15 * (plcc + srcc), abs=1e-6)


def labels_of(truth: dict, tmp_path: Path) -> Path:
    """The same truth as rectangles of three annotators, with pictures of their sizes."""
    rows = {}
    for name, row in truth.items():
        boxes = []
        for contour in cv2.findContours(row["area"], cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]:
            boxes.append({"bbox_type": 2, "bbox": contour[:, 0].tolist()})
        rows[name] = {"prompt_en": "p", "mos": row["mos"], "bbox_info": [boxes[:1], boxes[1:], []]}
        picture(tmp_path / "set" / "images" / f"{name}.png", row["area"].shape[::-1])
    return as_json(tmp_path / "set" / "train_info.json", rows)


def test_structure_labels_of_three_annotators_give_the_numbers_of_their_union(tmp_path: Path) -> None:
    pred, truth, _, theirs = structure(tmp_path)
    path = labels_of({k: v for k, v in theirs.items() if (v["area"] > 0).any()}, tmp_path)
    found = values("evalmuse-structure", pred, path.parent)
    assert found["f1"] == pytest.approx(values("evalmuse-structure", pred, truth)["f1"], abs=0.02)
    assert found == pytest.approx(values("evalmuse-structure", pred, path))  # sizes from the masks


def test_masks_of_another_size_need_the_pictures(tmp_path: Path) -> None:
    pred, _, ours, theirs = structure(tmp_path)
    path = labels_of(theirs, tmp_path)
    small = {k: {**v, "pred_area": cv2.resize(v["pred_area"], (40, 40))} for k, v in ours.items()}
    pred.write_bytes(pickle.dumps(small))
    with pytest.raises(InputError, match="the folder with the label file and the pictures"):
        score("evalmuse-structure", pred, path)
    assert values("evalmuse-structure", pred, path.parent)["f1"] is not None


def test_no_predicted_region_is_zero_and_said_where_the_script_prints_nan(tmp_path: Path) -> None:
    pred, truth, ours, _ = structure(tmp_path)
    pred.write_bytes(pickle.dumps({k: {**v, "pred_area": v["pred_area"] * 0} for k, v in ours.items()}))
    shown = plain(score("evalmuse-structure", pred, truth))
    assert (shown["f1"], shown["precision"], shown["recall"]) == (0.0, None, 0.0)
    assert shown["notes"]["f1"] == "no region was predicted at all, so F1 is 0"
    assert shown["final"] is not None


# -------------------------------------------------------------------------------- strangers' pickles


class Evil:
    def __init__(self, call, *given) -> None:
        self.made = call, given

    def __reduce__(self):
        return self.made


def test_no_pickle_runs_anything(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    evils = [
        Evil(os.system, f"touch {mark}"),
        Evil(eval, f"open({str(mark)!r}, 'w')"),
        Evil(exec, f"open({str(mark)!r}, 'w')"),
        Evil(getattr, "a", "upper"),
        np.array([Evil(os.system, f"touch {mark}")], dtype=object),
        {"img": {"score": 1.0, "pred_area": Evil(os.mkdir, str(mark))}},
    ]
    raw = [
        f"cposix\nsystem\n(S'touch {mark}'\ntR.".encode(),
        f"cnumpy\nload\n(S'{mark}'\ntR.".encode(),
        f"cbuiltins\nopen\n(S'{mark}'\nS'w'\ntR.".encode(),
        b"\x80\x04\x8c\x05numpy\x8c\x1ccore.multiarray._reconstruct\x93.",
        b"Pperson\n.",
    ]
    for at, data in enumerate([pickle.dumps(evil) for evil in evils] + raw):
        path = tmp_path / f"{at}.pkl"
        path.write_bytes(data)
        with pytest.raises(InputError, match="never run"):
            load(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "bad",
    [
        Evil(bytearray, 10**12),
        Evil(np.ndarray, (10**12,)),
        Evil(np.dtype, [("a", "i4")]),
        np.zeros(2, dtype=[("a", "i4")]),
        np.array(["text"]),
        np.array([None]),
        np.datetime64("2025-01-01"),
        {"type": np.ndarray},
        Path("x"),
    ],
    ids=str,
)
def test_a_pickle_of_more_than_numbers_is_refused_in_one_line(tmp_path: Path, bad) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(bad))
    with pytest.raises(InputError, match="plain containers and numpy arrays of numbers"):
        load(path)


def test_damaged_and_endless_pickles_are_errors_not_crashes(tmp_path: Path) -> None:
    whole = pickle.dumps({"a": {"score": 1.0, "pred_area": np.ones((40, 50), np.uint8)}}, 4)
    deep = b"(" * 100_000
    lie = whole.replace(b"K\x28K\x32\x86", b"K\x29K\x32\x86")  # 41 x 50 out of 2,000 bytes
    assert lie != whole
    bomb = b"\x80\x04\x8c\x01a" + b"q\x01" + b"".join(b"h\x01h\x01\x86q\x01" for _ in range(60)) + b"."
    for data in (b"", whole[:-30], whole[:50], deep, lie, b"\x80\x09.", bytes(range(256))):
        path = tmp_path / "x.pkl"
        path.write_bytes(data)
        with pytest.raises(InputError):
            load(path)
    (tmp_path / "bomb.pkl").write_bytes(bomb)  # 2 to the 60 leaves, 60 of them different
    assert isinstance(load(tmp_path / "bomb.pkl"), tuple)


def test_what_an_honest_pickle_holds_comes_out_whole(tmp_path: Path) -> None:
    value = {
        "img": OrderedDict(score=np.float64(2.5), pred_area=np.asfortranarray([[1, 0, 1], [0, 1, 1]])),
        "more": [
            np.arange(3, dtype=">i4"),
            np.zeros((0, 4), bool),
            np.float16(1),
            (1, {2}),
            None,
            b"",
            "é",
            10**30,
        ],
    }
    value["self"] = value["more"]
    for protocol in range(6):
        path = tmp_path / "x.pkl"
        path.write_bytes(pickle.dumps(value, protocol))
        found = load(path)
        np.testing.assert_equal(found["img"]["pred_area"], value["img"]["pred_area"])
        np.testing.assert_equal(found["more"], value["more"])
        assert found["self"] is found["more"]


# ------------------------------------------------------------------------------------- the other rules


def made_up(count: int = 50, prefix: str = "v", ending: str = ".mp4") -> tuple[dict, dict]:
    truth = {f"{prefix}{i}{ending}": float(CHANCE.uniform(0, 5)) for i in range(count)}
    return {n: t + float(CHANCE.normal(0, 0.8)) for n, t in truth.items()}, truth


def test_talking_heads_take_the_fitted_correlation(tmp_path: Path) -> None:
    given, truth = made_up()
    pred, labels = lines(tmp_path / "output.txt", given), lines(tmp_path / "val.csv", truth, "Video,Score")
    x, y = list(given.values()), list(truth.values())
    expected = (fitted_plcc(x, y) + spearmanr(x, y).statistic) / 2
    assert values("thqa", pred, labels)["final"] == pytest.approx(expected, abs=1e-6)
    archive = tmp_path / "submission.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.write(pred, "result/output.txt")
    assert values("thqa", archive, labels)["final"] == pytest.approx(expected, abs=1e-6)


def test_generated_video_is_scored_from_lists_of_objects(tmp_path: Path) -> None:
    given, truth = made_up()
    pred = as_json(tmp_path / "output.json", [{"video": n, "predict_score": s} for n, s in given.items()])
    labels = as_json(
        tmp_path / "t.json", [{"video": n, "prompt": "p", "gt_score": s} for n, s in truth.items()]
    )
    found = values("qeval-video", pred, labels)
    assert found["final"] == pytest.approx((found["plcc"] + found["srcc"]) / 2)
    assert found["plcc_raw"] == pytest.approx(pearsonr(list(given.values()), list(truth.values())).statistic)


def test_generated_images_take_the_raw_correlation(tmp_path: Path) -> None:
    given, truth = made_up(ending=".png")
    labels = text(tmp_path / "info.csv", *(f'{n},"a, b",{s!r}' for n, s in truth.items()))
    x, y = list(given.values()), list(truth.values())
    found = values("aigiqa-20k", lines(tmp_path / "output.txt", given), labels)
    assert found["final"] == pytest.approx((spearmanr(x, y).statistic + pearsonr(x, y).statistic) / 2)


def test_short_video_adds_two_kinds_of_pairs_and_a_tie_means_the_first(tmp_path: Path) -> None:
    given, truth = made_up(20)
    given["v0.mp4"] = given["v1.mp4"]
    pred = lines(tmp_path / "prediction.csv", given, "filename,score")
    labels = lines(tmp_path / "truth.csv", truth, "filename,score")
    text(tmp_path / "rank-pair-nonsource.csv", "a,b,rank", "v0.mp4,v1.mp4,1", "v1.mp4,v0.mp4,2")
    text(tmp_path / "rank-pair-source.csv", "a,b,rank", "v0.mp4,v1.mp4,1")
    x, y = list(given.values()), list(truth.values())
    found = values("kvq", pred, labels)
    assert (found["accuracy_nonsource"], found["accuracy_source"]) == (0.5, 1.0)
    corr = spearmanr(x, y).statistic + pearsonr(x, y).statistic
    assert found["final"] == pytest.approx(0.45 * corr + 0.05 * 0.5 + 0.05)


def test_portraits_report_medians_over_scenes(tmp_path: Path) -> None:
    given, truth = made_up(30, "Overall\\", ".jpg")
    rows = [f"{n},{t!r},0.1,S{i % 3}" for i, (n, t) in enumerate(truth.items())]
    labels = text(tmp_path / "Scores_Overall.csv", "IMAGE PATH,JOD,JOD STD,SCENE", *rows)
    x, y = np.array(list(given.values())), np.array(list(truth.values()))
    expected = np.median([spearmanr(x[s::3], y[s::3]).statistic for s in range(3)])
    assert values("piq23", lines(tmp_path / "pred.csv", given), labels)["srcc"] == pytest.approx(expected)


def test_rewards_of_ranked_lists_skip_human_ties_and_fail_predicted_ones(tmp_path: Path) -> None:
    truth = [{"id": "1", "prompt": "p", "generations": list("abcd"), "ranking": [1, 2, 2, 3]}]
    pred = [{"id": "1", "rewards": [0.9, 0.5, 0.1, 0.5]}]
    found = values("imagereward", as_json(tmp_path / "p.json", pred), as_json(tmp_path / "t.json", truth))
    # ab ac ad right, bc skipped, bd tied (wrong), cd wrong
    assert found["accuracy"] == pytest.approx(3 / 5)
    by_name = as_json(tmp_path / "n.json", dict(zip("abcd", pred[0]["rewards"], strict=True)))
    assert values("imagereward", by_name, tmp_path / "t.json") == found


def test_several_metrics_in_one_file_are_told_apart(tmp_path: Path) -> None:
    truth = {
        str(i): {"prompt": "p", "models": {m: [int(CHANCE.integers(1, 6))] for m in "ab"}} for i in range(9)
    }
    rows = [f"{m},{i},p,{float(CHANCE.random())},{r['models'][m][0]}" for i, r in truth.items() for m in "ab"]
    pred = text(tmp_path / "p.csv", "model_name,video_id,prompt,CLIP Score,Oracle", *rows)
    shown = plain(score("genai-bench", pred, as_json(tmp_path / "t.json", truth)))
    assert shown["Oracle"]["plcc"] == pytest.approx(1.0)
    assert shown["Oracle"]["accuracy"] == 1.0
    assert -1 <= shown["CLIP Score"]["krcc"] <= 1
    assert shown["interval_95"]["CLIP Score"]["plcc"][0] < shown["CLIP Score"]["plcc"]
    json.dumps(shown, allow_nan=False)


METRICS = {"clipiqa": 0.9, "maniqa": 0.7, "musiq": 77.0, "niqe": 4.0, "qalign": 4.5, "fid": 60.0}


def test_the_ranking_of_restored_faces_is_the_weighted_sum(tmp_path: Path) -> None:
    assert final(METRICS) == pytest.approx(0.9 + 0.7 + 0.77 + 0.6 + 0.9 + 0.4)
    assert final({**METRICS, "niqe": 12, "fid": 130}) == pytest.approx(0.9 + 0.7 + 0.77 + 0.9)
    names = [f"{i}.png" for i in range(24)]
    truth = text(
        tmp_path / "t.csv",
        "image,subset,cosine",
        *(f"{n},LFW-Test,{0.59 if i < 11 else 0.6}" for i, n in enumerate(names)),
    )  # noqa: E501
    header = "Method,image,CLIP-IQA,MANIQA,MUSIQ,NIQE,Q-Align,FID,cosine"
    rows = [f"A,{n},0.9,0.7,77,4,4.5,60," for n in names] + [f"B,{n},1,1,100,0,5,0,0.7" for n in names]
    shown = plain(score("face-restoration", text(tmp_path / "p.csv", header, *rows), truth))
    assert (shown["A"]["final"], shown["B"]["final"]) == pytest.approx((final(METRICS), 6.0))
    assert (shown["A"]["identity_failures"], shown["A"]["valid"]) == (11, 0)  # .6 itself passes
    assert (shown["B"]["identity_failures"], shown["B"]["valid"]) == (0, 1)
    assert "more than 10" in shown["notes"]["A/valid"]


@pytest.mark.parametrize(
    ("name", "subset"),
    [("CelebA", "celeba"), ("CelebChild-Test", "celebchild"), ("WIDER-Test", "wider"), ("x", None)],
)
def test_subsets_of_faces_are_known_by_any_spelling(name: str, subset: str | None) -> None:
    assert subset_of(name) == subset


def test_a_vote_counts_as_foretold_only_when_decided(tmp_path: Path) -> None:
    votes = ["a,b,a", "a,b,a", "b,a,b", "a,b,tie", "b,c,b", "c,a,c", "b,c,c"]
    truth = text(tmp_path / "pairs.csv", "first,second,winner", *votes)
    found = values("video-sr", lines(tmp_path / "p.txt", {"a": 3.0, "b": 2.0, "c": 1.0}), truth)
    assert found["accuracy"] == pytest.approx(3 / 6)


# ----------------------------------------------------------------------------------------- bad files


def test_missing_predictions_are_named_and_extra_ones_reported(tmp_path: Path) -> None:
    given, truth = made_up(10)
    labels = lines(tmp_path / "val.csv", truth, "Video,Score")
    found = score("thqa", lines(tmp_path / "a.txt", {**given, "other.mp4": 1.0}), labels)
    assert (found["extra"].value, "other.mp4" in found["extra"].note) == (1.0, True)
    short = {n: s for n, s in given.items() if n not in ("v3.mp4", "v7.mp4")}
    with pytest.raises(InputError, match=r"2 are missing: v3\.mp4, v7\.mp4"):
        score("thqa", lines(tmp_path / "b.txt", short), labels)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("v0.mp4,1\nv0.mp4,2\n", "each name once"),
        ("v0.mp4,good\nv1.mp4,bad\n", "a finite number"),
        ("v0.mp4,1\nv1.mp4,inf\n", "a finite number"),
        ("v0.mp4\n", "name,score"),
        ("", "at least one line"),
        ("\xff\xfe", "UTF-8"),
    ],
)
def test_a_broken_prediction_file_is_one_clear_error(tmp_path: Path, content: str, said: str) -> None:
    labels = lines(tmp_path / "val.csv", {"v0.mp4": 1.0, "v1.mp4": 2.0}, "Video,Score")
    pred = tmp_path / "output.txt"
    pred.write_bytes(content.encode("latin1"))
    with pytest.raises(InputError, match=said):
        score("thqa", pred, labels)


def test_archives_without_the_file_and_files_that_are_not_there_are_said(tmp_path: Path) -> None:
    labels = lines(tmp_path / "val.csv", {"v0.mp4": 1.0}, "Video,Score")
    archive = tmp_path / "x.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", b"")
    with pytest.raises(InputError, match="it holds a.png"):
        score("thqa", archive, labels)
    with pytest.raises(InputError, match="a file that exists"):
        score("thqa", tmp_path / "none.txt", labels)
    with pytest.raises(InputError, match="files of predictions"):
        score("scenes", archive, labels)


def test_labels_for_participants_cannot_be_scored_against(tmp_path: Path) -> None:
    names = text(tmp_path / "thqa_ntire_vallist.csv", "Video", "v0.mp4")
    with pytest.raises(InputError, match="labels with scores"):
        score("thqa", lines(tmp_path / "p.txt", {"v0.mp4": 1.0}), names)


def test_the_bench_part_times_reading_and_scoring(tmp_path: Path) -> None:
    found = bench.run(seed=1, rows=50, predictions=300)
    assert found["read_rows"] == 50
    assert found["score_seconds"] > 0


# ------------------------------------------------------------------------------------ the command itself


def run(*words: object):
    from typer.testing import CliRunner

    from eval.cli import app

    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_command_prints_one_json_object_or_a_table(tmp_path: Path) -> None:
    given, truth = made_up()
    pred, labels = lines(tmp_path / "output.txt", given), lines(tmp_path / "val.csv", truth, "Video,Score")
    done = run("score", "thqa", "--pred", pred, "--truth", labels, "--json")
    shown = json.loads(done.stdout)
    assert (done.exit_code, list(shown)[:4]) == (0, ["srcc", "plcc", "krcc", "final"])
    table = run("score", "thqa", "--pred", pred, "--truth", labels)
    assert f"{shown['final']:.4f}" in table.stdout


def test_bad_input_is_one_line_and_exit_code_2(tmp_path: Path) -> None:
    labels = lines(tmp_path / "val.csv", {"v0.mp4": 1.0}, "Video,Score")
    for words in (("thqa", "--pred", tmp_path / "none"), ("tqha", "--pred", labels)):
        done = run("score", *words, "--truth", labels)
        assert done.exit_code == 2
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
        assert done.exception is None or isinstance(done.exception, SystemExit)


def test_kinds_with_a_slash_stay_kinds(tmp_path: Path) -> None:
    pred, truth, rows, labels = alignment(tmp_path)
    for side in (rows, labels):
        for at, row in enumerate(side):
            kinds = ("animal", "animal/human")
            values_ = list(row["element_score"].values())
            row["element_score"] = {f"thing {at} ({k})": v for k, v in zip(kinds, values_, strict=True)}
    for side in (rows, labels):
        side.sort(key=lambda row: row["img_path"])
        for at, row in enumerate(side):
            row["element_score"] = {
                f"thing {at} {k[k.index('(') :]}": v for k, v in row["element_score"].items()
            }
    shown = plain(score("evalmuse-alignment", as_json(pred, rows), as_json(truth, labels)))
    assert set(shown["accuracy_by_kind"]) == {"animal", "animal/human"}
