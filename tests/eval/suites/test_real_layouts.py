"""Each suite's files as they are downloaded, and the official numbers worked out with numpy and scipy.

A case writes labels and predictions and returns the numbers that the organisers' formula gives. Suites with
rules of their own have their cases in `test_official_rules.py` and in the files of their rooms.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from file_formats import (
    encode_tfrecord,
    write_json,
    write_lines,
    write_scores,
    write_workbook,
)
from official_numbers import correlations, fit_curve, fitted_plcc, make_scores, sdg_numbers
from scipy.io import savemat
from scipy.optimize import minimize
from scipy.stats import kendalltau, pearsonr, spearmanr

from eval.runs.official_scores import score_predictions
from eval.suites import load_suite

RANDOM = np.random.default_rng(5)
Case = tuple[Path, Path, dict[str, float]]
"""Predictions, labels and expected numbers."""


def write_csv(path: Path, *lines: str) -> Path:
    """Write lines as Windows programs end them, as most published tables have them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode())
    return path


def pairs(count: int = 40, prefix: str = "v", suffix: str = ".mp4"):
    """Return predictions and truth by name, and both as arrays."""
    predicted, truth = make_scores(RANDOM, count, prefix, suffix)
    return predicted, truth, np.array(list(predicted.values())), np.array(list(truth.values()))


# ----------------------------------------------------------------------------------------------- videos


def thqa(folder: Path) -> Case:
    predicted, truth, x, y = pairs(prefix="14_dalle3_common_voice_en_", suffix="_wavlip.mp4")
    labels = write_csv(folder / "thqa_ntire_val.csv", "Video,Score", *(f"{n},{s}" for n, s in truth.items()))
    final = (fitted_plcc(x, y) + spearmanr(x, y).statistic) / 2
    return write_scores(folder / "output.txt", predicted), labels, {"final": final, **correlations(x, y)}


def adth(folder: Path) -> Case:
    predicted, truth, x, y = pairs()
    labels = write_csv(folder / "adth.csv", "Video,Score", *(f"{n},{s}" for n, s in truth.items()))
    errors = fit_curve(x, y) - y
    expected = {"plcc": fitted_plcc(x, y), "rmse": np.sqrt(np.mean(errors**2)), "mae": np.mean(abs(errors))}
    return write_scores(folder / "p.txt", predicted), labels, {**expected, **correlations(x, y)}


def finevd(folder: Path) -> Case:
    predicted, truth, x, y = pairs()
    rows = (f"{n},{s},50.5,40,60,55,45" for n, s in truth.items())
    labels = write_csv(folder / "val.csv", "video_name,mos,color,noise,artifact,blur,temporal", *rows)
    final = (fitted_plcc(x, y) + spearmanr(x, y).statistic) / 2
    return write_scores(folder / "output.txt", predicted), labels, {"final": final, **correlations(x, y)}


def qeval_video(folder: Path) -> Case:
    predicted, truth, x, y = pairs()
    labels = [{"video": n, "prompt": 'a "fox", running', "gt_score": 20 * s} for n, s in truth.items()]
    rows = [{"video": n, "predict_score": s} for n, s in predicted.items()]
    final = (fitted_plcc(x, 20 * y) + spearmanr(x, y).statistic) / 2
    pred, truth_file = write_json(folder / "output.json", rows), write_json(folder / "val.json", labels)
    return pred, truth_file, {"final": final, **correlations(x, y)}


def t2vqa_db(folder: Path) -> Case:
    """`test.py`: four fields a line, predictions rescaled to mean and deviation of the labels before RMSE."""
    predicted, truth, x, y = pairs()
    lines = (f"{n}|a fox, red|{i}|{15 * s}" for i, (n, s) in enumerate(truth.items()))
    labels = write_lines(folder / "info.txt", *lines)
    assert {s.prompt for s in load_suite("t2vqa-db").read(folder, media=False)} == {"a fox, red"}
    rescaled = (x - x.mean()) / x.std() * (15 * y).std() + (15 * y).mean()
    expected = {
        "rmse": np.sqrt(((15 * y - rescaled) ** 2).mean()),
        "rmse_raw": np.sqrt(((15 * y - x) ** 2).mean()),
        "rmse_fitted": np.sqrt(((15 * y - fit_curve(x, 15 * y)) ** 2).mean()),
    }
    return write_scores(folder / "p.txt", predicted), labels, {**expected, **correlations(x, y)}


def kvq(folder: Path) -> Case:
    """`metric_score.py`: equal scores mean that the first video is better."""
    predicted, truth, x, y = pairs(20)
    x[1], predicted["v1.mp4"] = x[0], predicted["v0.mp4"]
    labels = write_csv(folder / "truth.csv", "filename,score", *(f"{n},{s}" for n, s in truth.items()))
    sheets, accuracy = {}, {}
    for kind in ("nonsource", "source"):
        ranks = [(i, j, int(RANDOM.integers(1, 3))) for i, j in RANDOM.integers(0, 20, (9, 2)).tolist()]
        ranks.append((0, 1, 1))
        sheets[kind] = [["video1", "video2", "rank"], *([f"v{i}.mp4", f"v{j}.mp4", r] for i, j, r in ranks)]
        accuracy[kind] = np.mean([(1 if x[i] >= x[j] else 2) == r for i, j, r in ranks])
    write_workbook(folder / "rank-pair-val.xlsx", sheets)
    final = 0.45 * spearmanr(x, y).statistic + 0.45 * pearsonr(x, y).statistic
    final += 0.05 * accuracy["nonsource"] + 0.05 * accuracy["source"]
    expected = {"final": final, **{f"accuracy_{kind}": value for kind, value in accuracy.items()}}
    return write_scores(folder / "prediction.csv", predicted, "filename,score"), labels, expected


def video_sr(folder: Path) -> Case:
    """Votes within two sources; strengths from the likelihood of Bradley and Terry itself."""
    strengths = {f"{clip}_{method}": RANDOM.normal() for clip in "ab" for method in range(4)}
    lines, votes = [], []
    for clip in "ab":
        for i, j in combinations(range(4), 2):
            for _ in range(12):
                first, second = f"{clip}_{i}", f"{clip}_{j}"
                chance = 1 / (1 + np.exp(strengths[second] - strengths[first]))
                winner = first if RANDOM.random() < chance else second
                votes.append((clip, first, second, winner))
                lines.append(f"{first},{second},{winner},{clip}")
    labels = write_csv(folder / "pairs.csv", "first,second,winner,group", *lines)
    predicted = {name: value + RANDOM.normal(0, 0.8) for name, value in strengths.items()}
    own: dict[str, list[float]] = {"srcc": [], "plcc": [], "krcc": []}
    for clip in "ab":
        won = [(int(w[2]), int((s if w == f else f)[2])) for c, f, s, w in votes if c == clip]

        def loss(theta: np.ndarray, won=won) -> float:
            return sum(np.log1p(np.exp(theta[b] - theta[a])) for a, b in won) + theta.mean() ** 2

        truth = minimize(loss, np.zeros(4), tol=1e-10).x
        x = [predicted[f"{clip}_{i}"] for i in range(4)]
        for name, metric in (("srcc", spearmanr), ("plcc", pearsonr), ("krcc", kendalltau)):
            own[name].append(metric(x, truth).statistic)
    expected = {name: float(np.mean(values)) for name, values in own.items()}
    right = [(predicted[f] > predicted[s]) == (w == f) for _, f, s, w in votes]
    return write_scores(folder / "p.txt", predicted), labels, {**expected, "accuracy": float(np.mean(right))}


# ------------------------------------------------------------------------------------- generated images


def qeval_image(folder: Path) -> Case:
    predicted, truth, x, y = pairs(suffix=".png")
    rows = [{"image_path": n, "prompt": "a fox", "gt_score": s} for n, s in truth.items()]
    pred = write_json(folder / "p.json", [{"image": n, "predict_score": s} for n, s in predicted.items()])
    return pred, write_json(folder / "test.json", rows), correlations(x, y)


def aigiqa_20k(folder: Path) -> Case:
    predicted, truth, x, y = pairs(prefix="DALLE2_", suffix=".png")
    rows = (f'{n},"a cat, red, and a ""dog""",{s}' for n, s in truth.items())
    final = (spearmanr(x, y).statistic + pearsonr(x, y).statistic) / 2
    labels = write_lines(folder / "info_train.csv", *rows)
    return write_scores(folder / "output.txt", predicted), labels, {"final": final, **correlations(x, y)}


def agiqa_1k(folder: Path) -> Case:
    predicted, truth, x, y = pairs(prefix="deepai_9_6_0_", suffix=".jpg")
    labels = write_csv(folder / "AIGC_all.csv", "Image,Score", *(f"{n},{s}" for n, s in truth.items()))
    return write_scores(folder / "p.txt", predicted), labels, correlations(x, y)


def agiqa_3k(folder: Path) -> Case:
    predicted, truth, x, y = pairs(prefix="AttnGAN_normal_", suffix=".jpg")
    header = "name,prompt,adj1,adj2,style,mos_quality,std_quality,mos_align,std_align"
    rows = (f'{n},"tray of sushi, 8k",,extremely detailed,,{s},0.2,0.4,0.6' for n, s in truth.items())
    return (
        write_scores(folder / "p.txt", predicted),
        write_csv(folder / "data.csv", header, *rows),
        correlations(x, y),
    )


def aigciqa2023(folder: Path) -> Case:
    """The repository's tree: `DATA/MOS/mosz1..3.mat`, `Image/allimg`, two workbooks without headers."""
    predicted, truth, x, y = pairs(prefix="", suffix=".png")
    for part in (1, 2, 3):
        target = folder / "DATA" / "MOS" / f"mosz{part}.mat"
        target.parent.mkdir(parents=True, exist_ok=True)
        savemat(target, {"MOSz": np.array([[20 * s / part] for s in truth.values()])})
    write_workbook(folder / "AIGCIQA2023_Prompts.xlsx", {"Sheet1": [["Basic", "Animals", "a corgi"]]})
    index = [["Controlnet", f"000-{number}.png"] for number in range(len(truth))]
    write_workbook(folder / "pic-index.xlsx", {"Sheet1": index})
    samples = list(load_suite("aigciqa2023").read(folder, media=False))
    assert {(s.prompt, s.generator) for s in samples} == {("a corgi", "Controlnet")}
    assert samples[1].labels.mos_by_dimension["correspondence"] == pytest.approx(20 * y[1] / 3)
    header = ",name,prompt,style,class,quality_mos,authenticity_mos,correspondence_mos,quality_std"
    rows = (
        f'{i},{n},"a, corgi",Basic,Animals,{20 * s},{10 * s},{s},1.1'
        for i, (n, s) in enumerate(truth.items())
    )
    table = write_csv(folder / "AIGCIQA2023.csv", header, *rows)
    pred = write_scores(folder / "p.txt", predicted)
    assert score_predictions("aigciqa2023", pred, table)["srcc"].value == pytest.approx(
        spearmanr(x, y).statistic
    )
    return (
        write_scores(folder / "p.txt", predicted),
        folder / "DATA" / "MOS" / "mosz1.mat",
        correlations(x, y),
    )


def richhf_18k(folder: Path) -> Case:
    predicted, truth, x, y = pairs(prefix="test/", suffix=".png")
    # The file holds 32-bit floats.
    y = np.array([np.float32(value / 5) for value in y], dtype=np.float64)
    records = [
        {"filename": name.encode(), "artifact_score": 0.5, "misalignment_score": 0.5, "aesthetics_score": 0.5,
         "overall_score": value, "prompt_misalignment_label": b"1 1 0"}
        for name, value in zip(truth, y, strict=True)
    ]  # fmt: skip
    file = folder / "test.tfrecord"
    file.write_bytes(encode_tfrecord(*records))
    return write_scores(folder / "p.txt", predicted), file, correlations(x, y)


def sdg_30k(folder: Path) -> Case:
    """The metrics of `evaluate.py` (greedy, "both" its own label), and BoxF1 and ClnAcc of the paper."""
    labels = ("artifact", "misalignment", "both")

    def draw(count: int) -> list[dict]:
        corners = RANDOM.integers(0, 600, (count, 2))
        sizes = RANDOM.integers(100, 400, (count, 2))
        return [
            {"box_2d": [int(v) for v in (*c, *(c + s))], "label": labels[RANDOM.integers(3)],
             "description": "d", "importance": int(RANDOM.integers(1, 101))}
            for c, s in zip(corners, sizes, strict=True)
        ]  # fmt: skip

    truth = {f"images/{i}.png": draw(int(RANDOM.integers(0, 4))) for i in range(60)}
    given = {n: [*b[: RANDOM.integers(0, 4)], *draw(int(RANDOM.integers(0, 3)))] for n, b in truth.items()}
    rows = (json.dumps({"filepath": n, "caption": "x", "ann_translated_bboxes": b}) for n, b in truth.items())
    replies = (
        json.dumps(
            {"filepath": n, "caption": "x", "response": f"<think>t</think><answer>{json.dumps(b)}</answer>"}
        )
        for n, b in given.items()
    )
    test = write_lines(folder / "annotations" / "test.jsonl", *rows)
    return write_lines(folder / "p.jsonl", *replies), test, sdg_numbers(truth, given)


def genai_bench(folder: Path) -> Case:
    """Pairwise accuracy at the best tie threshold, by trying each distance of scores on all pairs."""
    truth = {
        f"{i:05d}": {
            "prompt": "p",
            "models": {m: RANDOM.integers(1, 6, 3).tolist() for m in ("DALLE_3", "SDXL_Base")},
        }
        for i in range(20)
    }
    names = [(m, i) for i, row in truth.items() for m in row["models"]]
    y = np.array([np.mean(truth[i]["models"][m]) for m, i in names])
    x = np.round(y / 5 + RANDOM.normal(0, 0.3, len(y)), 2)
    i, j = np.triu_indices(len(x), 1)
    dx, dy = x[i] - x[j], y[i] - y[j]
    best = max(
        float(np.mean(np.where(abs(dx) <= t, dy == 0, np.sign(dx) == np.sign(dy)))) for t in {0.0, *abs(dx)}
    )
    rows = (f'{m},{i},"a dog, a cat",{score}' for (m, i), score in zip(names, x, strict=True))
    pred = write_lines(folder / "p.csv", "model_name,video_id,prompt,VQAScore", *rows)
    raw = correlations(x, y)
    expected = {"accuracy": best, "plcc": raw["plcc_raw"], "krcc": raw["krcc"], "srcc": raw["srcc"]}
    return pred, write_json(folder / "genai_image.json", truth), expected


# -------------------------------------------------------------------------------------------- photographs


def piq23(folder: Path) -> Case:
    predicted, truth, x, y = pairs(45, "Overall\\", "_Indoor_Scene_0.jpg")
    header = (
        "IMAGE PATH,JOD,JOD STD,CI LOW,CI HIGH,CI RANGE,QUALITY LEVEL,CLUSTER,TOTAL COMPARISONS,IMAGE,SCENE,"
        "ATTRIBUTE,SCENE IDX,CONDITION,SPLIT"
    )
    rows = (
        f"{n},{s},0.4,-1,1,2,0,-1.0,143.0,{n[8:]},Indoor_Scene_{i % 3},Overall,{i % 3},Indoor,Test"
        for i, (n, s) in enumerate(truth.items())
    )
    file = folder / "Test split" / "Device Split" / "DeviceSplit_Test_Scores_Overall.csv"
    scenes = [(x[s::3], y[s::3]) for s in range(3)]
    expected = {
        name: float(np.median([metric(a, b).statistic for a, b in scenes]))
        for name, metric in (("srcc", spearmanr), ("plcc", pearsonr), ("krcc", kendalltau))
    }
    expected["mae"] = float(np.median([np.mean(abs(fit_curve(a, b) - b)) for a, b in scenes]))
    return write_scores(folder / "p.csv", predicted), write_csv(file, header, *rows), expected


def vquala_face(folder: Path) -> Case:
    predicted, truth, x, y = pairs(prefix="z0", suffix=".png")
    final = (spearmanr(x, y).statistic + pearsonr(x, y).statistic) / 2
    labels = write_lines(folder / "val.csv", *(f"{n},{s / 5!r}" for n, s in truth.items()))
    return write_scores(folder / "output.txt", predicted), labels, {"final": final, **correlations(x, y)}


def uhd_iqa(folder: Path) -> Case:
    predicted, truth, x, y = pairs(prefix="", suffix=".jpg")
    header = '"image_name","quality_mos","set","orig_width","orig_height","views","user_name","page_url"'
    rows = (f'"{n}",{s / 5!r},"training",5515,3375,1,"a, b","https://p/{n}"' for n, s in truth.items())
    labels = write_lines(folder / "uhd-iqa-training-metadata.csv", header, *rows)
    x, y = x / 5, y / 5
    fitted = fit_curve(x, y) - y
    expected = {
        "rmse_raw": np.sqrt(np.mean((x - y) ** 2)), "mae_raw": np.mean(abs(x - y)),
        "rmse": np.sqrt(np.mean(fitted**2)), "mae": np.mean(abs(fitted)),
    }  # fmt: skip
    pred = write_scores(folder / "p.csv", {n: s / 5 for n, s in predicted.items()})
    return pred, labels, {**expected, **correlations(x, y)}


def live_itw(folder: Path) -> Case:
    """MATLAB cells of names and rows of scores; the first 7 images trained the raters and do not count."""
    predicted, truth, x, y = pairs(prefix="", suffix=".bmp")
    cells = np.empty((len(truth), 1), dtype=object)
    cells[:, 0] = list(truth)
    values = 20 * y[None]
    (folder / "Data").mkdir()
    for name, value in (("AllImages", cells), ("AllMOS", values), ("AllStdDev", values)):
        savemat(folder / "Data" / f"{name}_release.mat", {f"{name}_release": value})
    file = folder / "Data" / "AllImages_release.mat"
    return write_scores(folder / "p.csv", predicted), file, correlations(x[7:], y[7:])


# -------------------------------------------------------------------------------------------- preferences


def hpdv2(folder: Path) -> Case:
    """`inversion_score` of `hpsv2/src/training/train.py`, on ranks by argsort; no ties among the scores."""
    rows, scores, points, right = [], {}, [], []
    for number in range(12):
        names = [f"{number:05d}_{i}.jpg" for i in range(5)]
        ranks = (RANDOM.permutation(5) + 1).tolist() if number else [1, 2, 2, 3, 4]
        own = RANDOM.normal(size=5) - 0.5 * np.array(ranks)
        scores |= dict(zip(names, own.tolist(), strict=True))
        rows.append({"prompt": "p", "image_path": names, "rank": ranks, "raw_annotations": [[1, 2]]})
        place = np.argsort(np.argsort(-own))
        inverted = [(place[i] - place[j]) * (ranks[i] - ranks[j]) < 0 for i, j in combinations(range(5), 2)]
        points.append(1 - np.mean(inverted))
        right += [own[i] > own[j] for i, j in combinations(range(5), 2) if ranks[i] < ranks[j]]
        right += [own[i] < own[j] for i, j in combinations(range(5), 2) if ranks[i] > ranks[j]]
    expected = {"accuracy": float(np.mean(points)), "pair_accuracy": float(np.mean(right))}
    return write_json(folder / "p.json", scores), write_json(folder / "test.json", rows), expected


def hpdv3(folder: Path) -> Case:
    names = [f"images/{i}.jpg" for i in range(12)]
    scores = dict(zip(names, RANDOM.integers(0, 5, 12).astype(float).tolist(), strict=True))
    rows = [
        {"prompt": f"p{a}", "choice_dist": [9, 1], "confidence": 0.9, "path1": a, "path2": b,
         "model1": "flux", "model2": "real_images"} for a, b in combinations(names, 2)
    ]  # fmt: skip
    # Every image stands under several prompts; one score serves them all.
    accuracy = np.mean([scores[row["path1"]] > scores[row["path2"]] for row in rows])
    return (
        write_json(folder / "p.json", scores),
        write_json(folder / "test.json", rows),
        {"accuracy": accuracy},
    )


def imagereward(folder: Path) -> Case:
    """`test.py`: pairs of equal human rank are skipped, and an equal reward is wrong."""
    truth, rewards, right = [], [], []
    for number in range(15):
        ranks, own = RANDOM.integers(1, 6, 6).tolist(), RANDOM.integers(0, 6, 6).astype(float).tolist()
        names = [f"part-0/images/{number:04d}/{i}.webp" for i in range(6)]
        truth.append({"id": f"005658-{number:04d}", "prompt": "p", "generations": names, "ranking": ranks})
        rewards.append({"id": f"005658-{number:04d}", "rewards": own})
        for i, j in combinations(range(6), 2):
            if ranks[i] != ranks[j]:
                right.append((own[i] - own[j]) * (ranks[j] - ranks[i]) > 0)
    return (
        write_json(folder / "p.json", rewards),
        write_json(folder / "test.json", truth),
        {"accuracy": np.mean(right)},
    )


def folder(folder: Path) -> Case:
    predicted, truth, x, y = pairs(suffix=".png")
    labels = write_csv(
        folder / "labels.csv", "image,prompt,score", *(f"{n},a fox,{s}" for n, s in truth.items())
    )
    return write_scores(folder / "p.csv", predicted), labels, correlations(x, y)


CASES: dict[str, Callable[[Path], Case]] = {
    case.__name__.replace("_", "-"): case
    for case in (
        thqa, adth, finevd, qeval_video, t2vqa_db, kvq, video_sr, qeval_image, aigiqa_20k, agiqa_1k, agiqa_3k,
        aigciqa2023, richhf_18k, sdg_30k, genai_bench, piq23, vquala_face, uhd_iqa, live_itw, hpdv2, hpdv3,
        imagereward, folder,
    )
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_files_as_downloaded_give_the_organisers_numbers(tmp_path: Path, name: str) -> None:
    pred, truth, expected = CASES[name](tmp_path)
    metrics = score_predictions(name, pred, truth)
    found = {key: metrics[key].value for key in expected}
    # A curve that is fitted twice agrees to what its optimiser stops at.
    assert found == pytest.approx(expected, abs=2e-6, rel=1e-9)


def test_every_suite_has_its_numbers_worked_out_somewhere() -> None:
    from eval.suites import SUITES

    elsewhere = {
        "evalmuse-alignment": "test_evalmuse_alignment.py",
        "evalmuse-structure": "test_evalmuse_structure.py",
        "pick-a-pic": "test_official_rules.py",
        "face-restoration": "test_official_rules.py",
        "scenes": "test_own_data.py",
    }
    assert set(CASES) | set(elsewhere) == set(SUITES)
    assert all((Path(__file__).with_name(file)).is_file() for file in elsewhere.values())
