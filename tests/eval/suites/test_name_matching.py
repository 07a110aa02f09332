"""Names that do not match: the error shows those given, those wanted, and the change that would match."""

from __future__ import annotations

from pathlib import Path

import pytest
from file_formats import write_fake_video, write_image, write_json, write_lines, write_scores
from official_numbers import make_scores, score_values

from eval.runs.official_scores import score_predictions
from eval.suites import load_suite
from eval.suites.shared.name_matching import suggest_change
from judge.errors import InputError

WANTED = [f"v{number}.mp4" for number in range(6)]


@pytest.mark.parametrize(
    ("change", "mend"),
    [
        (lambda name: name.removesuffix(".mp4"), "add .mp4"),
        (lambda name: name.replace(".mp4", ".avi"), "write .mp4 for .avi"),
        (lambda name: f"val/{name}", "drop the folder val/"),
        (lambda name: f"val/a/{name.removesuffix('.mp4')}", "drop the folder val/a/ and add .mp4"),
        (lambda name: name.upper().replace(".MP4", ".mp4"), "mind upper and lower case"),
        (lambda name: f"set\\{name}", "write / for \\"),
        (lambda name: f"{name[1:-4]},{name}", "drop the first column"),
    ],
)
def test_one_change_of_all_names_is_named(tmp_path: Path, change, mend: str) -> None:
    labels = write_scores(
        tmp_path / "val.csv", {n: float(i % 4) for i, n in enumerate(WANTED)}, "Video,Score"
    )
    pred = write_scores(tmp_path / "p.txt", {change(name): 1.0 * i for i, name in enumerate(WANTED)})
    with pytest.raises(InputError) as caught:
        score_predictions("thqa", pred, labels)
    text = str(caught.value)
    assert "6 are missing: v0.mp4, v1.mp4" in text and f"the file has {change('v0.mp4')}, " in text
    assert caught.value.mend.startswith(mend)


def test_wanted_folders_are_prefixes_unless_two_files_have_one_name() -> None:
    assert suggest_change(["1.png", "2.png"], ["train/1.png", "train/2.png"]).startswith("prefix train/")
    assert suggest_change(["a/1.png"], ["x/a/1.png"]).startswith("prefix x/")
    doubled = ["train/1.png", "test/1.png"]
    assert suggest_change(["1.png"], doubled).startswith("2 names end like 1.png, train/1.png, test/1.png")
    mixed = [f"{folder}/{number}.png" for folder in "ab" for number in range(5)]
    names = [f"{number}" for number in range(5)]
    assert suggest_change(names, mixed, mixed).startswith("2 names end like 0")
    assert suggest_change(["m1/1.png", "m2/2.png"], ["1.png", "2.png"]).startswith("give each name")
    assert suggest_change(["0001.png"], ["1.png"]).startswith("mind zeros before numbers")
    assert suggest_change(["other.png"], ["1.png"]) == ""


def test_predictions_of_every_layout_show_both_sides(tmp_path: Path) -> None:
    """A preference set, a pickle-free list of objects, ids of lists and ids of models."""
    row = {"prompt": "p", "choice_dist": [1], "path1": "images/a.jpg", "path2": "images/b.jpg"}
    hpdv3 = write_json(tmp_path / "hpdv3.json", [row])
    scores = write_json(tmp_path / "a.json", {"a.jpg": 1.0, "b.jpg": 2.0})
    with pytest.raises(InputError, match=r"the file has a\.jpg, b\.jpg.*prefix images/"):
        score_predictions("hpdv3", scores, hpdv3)
    objects = write_json(tmp_path / "o.json", [{"video": "v", "predict_score": 1}])
    truth = write_json(tmp_path / "t.json", [{"video": "v.mp4", "prompt": "p", "gt_score": 1}])
    with pytest.raises(InputError, match=r"add \.mp4"):
        score_predictions("qeval-video", objects, truth)
    lists = write_json(
        tmp_path / "l.json", [{"id": "1-1", "prompt": "p", "generations": ["a", "b"], "ranking": [1, 2]}]
    )
    with pytest.raises(InputError, match=r"1-1; the file has 1"):
        score_predictions(
            "imagereward", write_json(tmp_path / "r.json", [{"id": 1, "rewards": [1, 2]}]), lists
        )
    bench = write_json(tmp_path / "g.json", {"0": {"prompt": "p", "models": {"SDXL": [3]}}})
    with pytest.raises(InputError, match="SDXL/0; the file has 0"):
        score_predictions("genai-bench", write_json(tmp_path / "n.json", {"0": 1.0}), bench)
    labels = [{"prompt": "p", "img_path": "M/1.png", "total_score": 3, "element_score": {"fox (animal)": 1}}]
    given = [{**labels[0], "element_score": {"fox": 1}}]
    with pytest.raises(InputError, match=r"fox \(animal\); M/1\.png has fox"):
        score_predictions(
            "evalmuse-alignment",
            write_json(tmp_path / "e.json", given),
            write_json(tmp_path / "f.json", labels),
        )


def test_columns_of_predictions_are_found_by_their_names(tmp_path: Path) -> None:
    """As pandas writes them: with an index, in another order, among others."""
    import numpy as np

    predicted, truth = make_scores(np.random.default_rng(2), 20)
    labels = write_scores(tmp_path / "truth.csv", truth, "filename,score")
    plain = score_values("kvq", write_scores(tmp_path / "a.csv", predicted, "filename,score"), labels)
    rows = [f"{i},{score!r},x,{name}" for i, (name, score) in enumerate(predicted.items())]
    pred = write_lines(tmp_path / "b.csv", ",score,note,filename", *rows)
    assert score_values("kvq", pred, labels) == plain
    with pytest.raises(InputError, match="filename and score"):
        score_values("kvq", write_lines(tmp_path / "c.csv", "a,b,c", "v0.mp4,1,2"), labels)


# ------------------------------------------------------------------------------------------- label files


def test_missing_media_show_what_the_folder_has(tmp_path: Path) -> None:
    for name in ("a.JPG", "b.JPG"):
        write_image(tmp_path / "photos" / name.lower())
    write_lines(tmp_path / "val.csv", "a.bmp,0.5", "b.bmp,0.25")
    with pytest.raises(InputError, match=r"the folder has photos/a\.jpg.*write \.jpg for \.bmp"):
        next(load_suite("vquala-face").read(tmp_path))
    write_lines(tmp_path / "val.csv", "0,a.jpg,0.5", "1,b.jpg,0.25")
    with pytest.raises(InputError, match="drop the first column"):
        next(load_suite("vquala-face").read(tmp_path))
    write_lines(tmp_path / "info_train.csv", "0,a.jpg,a fox,0.5")
    with pytest.raises(InputError, match="drop the first column"):
        next(load_suite("aigiqa-20k").read(tmp_path))


def test_one_name_in_two_folders_is_called_so(tmp_path: Path) -> None:
    for folder in ("train", "test"):
        write_fake_video(tmp_path / folder / "1.mp4")
    write_lines(tmp_path / "thqa_ntire_val.csv", "Video,Score", "1.mp4,3")
    with pytest.raises(InputError, match=r"2 names end like 1\.mp4, test/1\.mp4, train/1\.mp4"):
        next(load_suite("thqa").read(tmp_path))
    write_lines(tmp_path / "thqa_ntire_val.csv", "Video,Score", "test/1.mp4,3")
    assert next(load_suite("thqa").read(tmp_path)).video == tmp_path / "test" / "1.mp4"


def test_prompts_of_other_names_are_an_error(tmp_path: Path) -> None:
    from layouts import LAYOUTS

    LAYOUTS["richhf-18k"](tmp_path)
    write_lines(tmp_path / "prompts.csv", "filename,prompt", 'a.png,"a red, fox!"')
    with pytest.raises(InputError, match=r"prompts\.csv.*prefix test/"):
        next(load_suite("richhf-18k").read(tmp_path))


@pytest.mark.parametrize("folder", ["Test split/Device Split", "Scores", "labels"])
def test_a_label_file_given_by_its_path_finds_the_images_of_the_set(tmp_path: Path, folder: str) -> None:
    write_image(tmp_path / "Overall" / "1_Indoor_Scene_0.jpg")
    file = tmp_path / folder / "DeviceSplit_Test_Scores_Overall.csv"
    write_lines(file, "IMAGE PATH,JOD,JOD STD,SCENE", "Overall\\1_Indoor_Scene_0.jpg,1,0.1,Indoor_Scene_0")
    (sample,) = load_suite("piq23").read(file)
    assert Path(sample.image).samefile(tmp_path / "Overall" / "1_Indoor_Scene_0.jpg")


def test_images_beside_the_folder_of_labels_are_found_and_no_others(tmp_path: Path) -> None:
    labels = write_lines(tmp_path / "set" / "Data" / "labels.csv", "image,mos_0_100,std", "1.bmp,50,10")
    write_image(tmp_path / "set" / "Images" / "1.bmp")
    (sample,) = load_suite("live-itw").read(labels)
    assert Path(sample.image).samefile(tmp_path / "set" / "Images" / "1.bmp")
    other = write_lines(tmp_path / "other" / "Data" / "labels.csv", "image,mos_0_100,std", "1.bmp,50,10")
    with pytest.raises(InputError, match=r"1 of 1 are missing: 1\.bmp"):
        next(load_suite("live-itw").read(other))
