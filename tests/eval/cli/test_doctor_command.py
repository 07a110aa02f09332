"""The command `judge eval doctor`: complete folders, missing labels, missing images, splits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from click.testing import Result
from file_formats import write_fake_video, write_image, write_lines, write_workbook
from scipy.io import savemat
from typer.testing import CliRunner

from eval.cli.app import app
from eval.suites import load_suite

PIQ_HEADER = "IMAGE PATH,JOD,JOD STD,SCENE"


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_complete_folder_is_ready_and_shows_at_most_ten_rows(tmp_path: Path) -> None:
    names = [f"{number}.mp4" for number in range(12)]
    for name in names:
        write_fake_video(tmp_path / "videos" / name)
    write_lines(
        tmp_path / "info.txt", *(f"{name}|a fox|{number}|5{number}" for number, name in enumerate(names))
    )
    result = run("doctor", "t2vqa-db", "--data", tmp_path, "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["ok"], found["labels"], len(found["rows"])) == (0, True, 12, 10)
    assert {row["prompt"] for row in found["rows"]} == {"a fox"}


def test_the_split_that_is_read_is_named(tmp_path: Path) -> None:
    write_fake_video(tmp_path / "a.mp4")
    write_lines(tmp_path / "thqa_ntire_val.csv", "Video,Score", "a.mp4,3")
    found = json.loads(run("doctor", "thqa", "--data", tmp_path, "--json").stdout)
    assert (found["split"], found["is_default_split"]) == ("val", True)
    assert "split: val (the default) of train, val, test" in run("doctor", "thqa", "--data", tmp_path).stdout
    given = run("doctor", "thqa", "--data", tmp_path, "--split", "test")
    assert given.exit_code == 1 and "give --split val, whose labels are there" in given.stdout


def test_options_of_the_suite_are_passed_and_unknown_ones_refused(tmp_path: Path) -> None:
    write_fake_video(tmp_path / "a.mp4")
    write_lines(tmp_path / "info.txt", "a.mp4|a fox|7|50")
    for given, prompt in (((), "a fox"), (("--option", "fields=3"), "a fox|7")):
        found = json.loads(run("doctor", "t2vqa-db", "--data", tmp_path, "--json", *given).stdout)
        assert found["rows"][0]["prompt"] == prompt
    assert run("doctor", "t2vqa-db", "--data", tmp_path, "--option", "field=3").exit_code == 2


def test_missing_images_and_labels_are_named(tmp_path: Path) -> None:
    write_image(tmp_path / "Overall" / "a.png")
    write_lines(
        tmp_path / "Test split" / "Device Split" / "DeviceSplit_Test_Scores_Overall.csv",
        PIQ_HEADER,
        "Overall\\a.png,1,0.1,s",
        "Overall\\b.png,2,0.1,s",
    )
    result = run("doctor", "piq23", "--data", tmp_path, "--split", "device-test-overall")
    assert result.exit_code == 1 and "1 of 2 are missing: Overall/b.png" in result.stdout
    result = run("doctor", "piq23", "--data", tmp_path, "--json")
    assert result.exit_code == 1 and "Scores_Overall.csv" in json.loads(result.stdout)["missing"][0]


def test_a_git_lfs_pointer_is_called_one(tmp_path: Path) -> None:
    write_lines(tmp_path / "train.tfrecord", "version https://git-lfs.github.com/spec/v1", "size 5")
    result = run("doctor", "richhf-18k", "--data", tmp_path, "--split", "train")
    assert result.exit_code == 1 and "git lfs pull" in result.stdout


def test_prompts_of_aigciqa2023_come_from_the_workbooks(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        savemat(tmp_path / f"mosz{number}.mat", {"MOSz": np.array([[40.0], [50.0]])})
    write_workbook(tmp_path / "AIGCIQA2023_Prompts.xlsx", {"Sheet1": [["Basic", "Animals", "a corgi"]]})
    write_workbook(tmp_path / "pic-index.xlsx", {"Sheet1": [["Glide", "000-1.png"], ["Glide", "000-2.png"]]})
    samples = list(load_suite("aigciqa2023").read(tmp_path, media=False))
    assert [(s.prompt, s.generator) for s in samples] == [("a corgi", "Glide")] * 2
