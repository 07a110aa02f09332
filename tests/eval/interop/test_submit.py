"""What is sent to a challenge is what it expects, and scores as the run does."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from layouts import LAYOUTS
from verdicts import defect, verdict

from eval.interop.submit import submit
from eval.runs.score import score
from eval.suites import SUITES, suite
from eval.suites.base import Item, Row
from eval.suites.readers.pickles import load
from judge.errors import InputError
from judge.types import Element

WITH_FILES = sorted(name for name in SUITES if suite(name).submission is not None)


def judged(name: str, folder: Path, **fields) -> list[Row]:
    folder.mkdir(exist_ok=True)
    LAYOUTS[name](folder)
    return [Row(i, verdict(i, 2 + at / 7, **fields)) for at, i in enumerate(suite(name).read(folder))]


def unpacked(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_challenges_that_take_files_are_known() -> None:
    assert WITH_FILES == [
        "aigiqa-20k", "evalmuse-alignment", "evalmuse-structure", "finevd", "kvq", "qeval-video", "thqa",
    ]  # fmt: skip


@pytest.mark.parametrize("name", WITH_FILES)
def test_a_submission_scores_exactly_as_its_run(tmp_path: Path, name: str) -> None:
    rows = judged(name, tmp_path / "data", size=(200, 100), defects=[defect((20, 10, 120, 60))])
    found = submit(suite(name), rows, tmp_path / "submission.zip")
    assert (found.rows, found.absent) == (len(rows), 0)
    labels = {
        "aigiqa-20k": "info_train.csv",
        "evalmuse-alignment": "train_list.json",
        "evalmuse-structure": "",
        "finevd": "val.csv",
        "kvq": "truth.csv",
        "qeval-video": "val.json",
        "thqa": "thqa_ntire_val.csv",
    }
    scored = score(name, tmp_path / "submission.zip", tmp_path / "data" / labels[name])
    measured = suite(name).measure(rows)
    for key, measure in scored.items():
        assert measured[key].value == pytest.approx(measure.value, abs=1e-6), key


def test_the_alignment_archive_is_output_json_and_readme(tmp_path: Path) -> None:
    rows = judged("evalmuse-alignment", tmp_path / "data")
    options = {"cpu": "0", "extra-data": "1", "description": "two\nlines"}
    submit(suite("evalmuse-alignment"), rows, tmp_path / "s.zip", options=options)
    files = unpacked(tmp_path / "s.zip")
    assert list(files) == ["output.json", "readme.txt"]
    first = json.loads(files["output.json"])[0]
    assert first == {
        "prompt": "giant pigs attack",
        "img_path": "SDXL-Turbo/00805.png",
        "total_score": 2.0,
        "element_score": {"pig giants (animal)": 0.75, "attack (activity)": 0.75},
    }
    assert files["readme.txt"].decode().splitlines() == [
        "runtime per image [s] : 0.020",
        "CPU[1] / GPU[0] : 0",
        "Extra Data [1] / No Extra Data [0] : 1",
        "LLM[1] / Non-LLM[0] : 1",
        "Other description : two lines",
    ]


def test_the_structure_archive_holds_masks_of_0_and_1_and_no_llm_line(tmp_path: Path) -> None:
    boxes = [defect((20, 10, 120, 60)), defect((0, 0, 5, 5), family="misalignment")]
    rows = judged("evalmuse-structure", tmp_path / "data", size=(200, 100), defects=boxes)
    submit(suite("evalmuse-structure"), rows, tmp_path / "s.zip")
    files = unpacked(tmp_path / "s.zip")
    assert list(files) == ["output.pkl", "readme.txt"]
    assert b"LLM" not in files["readme.txt"]
    made = load(Path("output.pkl"), files["output.pkl"])
    assert list(made) == ["a2dc", "45cf"]
    area = made["a2dc"]["pred_area"]
    assert (area.dtype, area.shape, int(area.sum())) == (np.uint8, (100, 200), 100 * 50)  # artifacts only
    assert isinstance(made["a2dc"]["score"], float)


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("thqa", "output.txt", "3_wavlip.mp4,2.000000"),
        ("aigiqa-20k", "output.txt", "DALLE2_0000.png,2.000000"),
        ("kvq", "prediction.csv", "filename,score"),
    ],
)
def test_challenges_of_lines_get_one_file_of_lines(
    tmp_path: Path, name: str, file: str, content: str
) -> None:
    submit(suite(name), judged(name, tmp_path / "data"), tmp_path / "s.zip")
    files = unpacked(tmp_path / "s.zip")
    assert list(files) == [file]
    assert files[file].decode().splitlines()[0] == content


def test_generated_video_gets_a_list_of_objects(tmp_path: Path) -> None:
    submit(suite("qeval-video"), judged("qeval-video", tmp_path / "data"), tmp_path / "s.zip")
    files = unpacked(tmp_path / "s.zip")
    assert json.loads(files["output.json"])[0] == {"video": "v0.mp4", "predict_score": 2.0}
    assert b"runtime per video" in files["readme.txt"]


def test_an_incomplete_run_is_refused_unless_told(tmp_path: Path) -> None:
    rows: list[Row | Item] = list(judged("thqa", tmp_path / "data"))
    rows[1] = Row(rows[1].sample, verdict(rows[1].sample, None))
    rows[2] = rows[2].sample
    out = tmp_path / "s.zip"
    with pytest.raises(
        InputError, match=r"each of 4 rows; 2 are missing: 4_sadtalker\.mp4, 5_audio2head\.mp4"
    ):
        submit(suite("thqa"), rows, out)
    assert not out.exists()
    found = submit(suite("thqa"), rows, out, incomplete=True)
    assert (found.rows, found.absent) == (2, 2)
    assert len(unpacked(out)["output.txt"].splitlines()) == 2


def test_an_element_without_an_answer_is_not_made_up(tmp_path: Path) -> None:
    rows = judged("evalmuse-alignment", tmp_path / "data")
    short = verdict(rows[0].sample, elements=[Element(name="attack", present=True, probability=0.9)])
    with pytest.raises(InputError, match="pig giants"):
        submit(suite("evalmuse-alignment"), [Row(rows[0].sample, short), *rows[1:]], tmp_path / "s.zip")


def test_the_same_rows_give_the_same_bytes_and_no_draft_is_left(tmp_path: Path) -> None:
    rows = judged("evalmuse-structure", tmp_path / "data")
    for name in ("a.zip", "b.zip"):
        submit(suite("evalmuse-structure"), rows, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "b.zip", "data"]


def test_what_cannot_be_submitted_is_said(tmp_path: Path) -> None:
    rows = judged("thqa", tmp_path / "data")
    with pytest.raises(InputError, match="takes files"):
        submit(suite("scenes"), rows, tmp_path / "s.zip")
    with pytest.raises(InputError, match=".zip file"):
        submit(suite("thqa"), rows, tmp_path / "output.txt")
    with pytest.raises(InputError, match="no fields"):
        submit(suite("thqa"), rows, tmp_path / "s.zip", options={"cpu": "1"})
    with pytest.raises(InputError, match="0 or 1"):
        submit(
            suite("qeval-video"),
            judged("qeval-video", tmp_path / "video"),
            tmp_path / "s.zip",
            options={"cpu": "yes"},
        )
    with pytest.raises(InputError, match="each name once"):
        submit(suite("thqa"), [*rows, rows[0]], tmp_path / "s.zip")
    with pytest.raises(InputError, match="out"):
        submit(suite("thqa"), rows, tmp_path / "no" / "s.zip")


def test_the_command_writes_the_archive_of_a_recorded_run(tmp_path: Path) -> None:
    from small_suite import Steady
    from typer.testing import CliRunner

    from eval.cli import app
    from eval.runs.run import Plan, run
    from judge.judge import Judge

    LAYOUTS["aigiqa-20k"](tmp_path)
    plan = Plan(suite("aigiqa-20k"), tmp_path, depth="score")
    run(plan, tmp_path / "RUN", Judge(backend=Steady()))
    words = ["submit", "aigiqa-20k", str(tmp_path / "RUN"), "--out", str(tmp_path / "s.zip")]
    done = CliRunner().invoke(app, words)
    size = len(unpacked(tmp_path / "s.zip")["output.txt"])
    assert (done.exit_code, done.stderr) == (0, f"{tmp_path / 's.zip'}: output.txt ({size} bytes), 2 rows\n")
    results = tmp_path / "RUN" / "results.jsonl"
    results.write_text(results.read_text().splitlines()[0] + "\n")
    short = CliRunner().invoke(app, words)
    assert (short.exit_code, "1 are missing: SD15_0001.png" in short.stderr) == (2, True)
    assert CliRunner().invoke(app, [*words, "--incomplete"]).exit_code == 0
    other = CliRunner().invoke(app, ["submit", "thqa", *words[2:]])
    assert (other.exit_code, "the run's own, aigiqa-20k" in other.stderr) == (2, True)
