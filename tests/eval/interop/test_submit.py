"""Submissions to challenges: they have the expected format, and score exactly as the run."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import LAYOUTS
from verdicts import make_defect, make_verdict

from eval.interop.submit import write_submission
from eval.runs.official_scores import score_predictions
from eval.suites import SUITES, load_suite
from eval.suites.shared.samples import JudgedSample, SuiteSample
from judge.errors import InputError
from judge.runtime.safe_pickle import parse_pickle
from judge.types import Element

SUITES_WITH_FILES = sorted(name for name in SUITES if load_suite(name).submission is not None)


def make_rows(name: str, folder: Path, **fields: Any) -> list[JudgedSample]:
    folder.mkdir(exist_ok=True)
    LAYOUTS[name](folder)
    return [
        JudgedSample(i, make_verdict(i, 2 + at / 7, **fields))
        for at, i in enumerate(load_suite(name).read(folder))
    ]


def unzip(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_which_challenges_take_files() -> None:
    assert SUITES_WITH_FILES == [
        "aigiqa-20k", "evalmuse-alignment", "evalmuse-structure", "finevd", "kvq", "qeval-video", "thqa",
    ]  # fmt: skip


@pytest.mark.parametrize("name", SUITES_WITH_FILES)
def test_a_submission_scores_exactly_as_its_run(tmp_path: Path, name: str) -> None:
    rows = make_rows(name, tmp_path / "data", size=(200, 100), defects=[make_defect((20, 10, 120, 60))])
    archive = write_submission(load_suite(name), rows, tmp_path / "submission.zip")
    assert (archive.rows, archive.missing) == (len(rows), 0)
    labels = {
        "aigiqa-20k": "info_train.csv",
        "evalmuse-alignment": "train_list.json",
        "evalmuse-structure": "",
        "finevd": "val.csv",
        "kvq": "truth.csv",
        "qeval-video": "val.json",
        "thqa": "thqa_ntire_val.csv",
    }
    official = score_predictions(name, tmp_path / "submission.zip", tmp_path / "data" / labels[name])
    measured = load_suite(name).evaluate(rows)
    for key, measure in official.items():
        assert measured[key].value == pytest.approx(measure.value, abs=1e-6), key


def test_the_alignment_archive_is_output_json_and_readme(tmp_path: Path) -> None:
    rows = make_rows("evalmuse-alignment", tmp_path / "data")
    options = {"cpu": "0", "extra-data": "1", "description": "two\nlines"}
    write_submission(load_suite("evalmuse-alignment"), rows, tmp_path / "s.zip", options=options)
    files = unzip(tmp_path / "s.zip")
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
    boxes = [make_defect((20, 10, 120, 60)), make_defect((0, 0, 5, 5), family="misalignment")]
    rows = make_rows("evalmuse-structure", tmp_path / "data", size=(200, 100), defects=boxes)
    write_submission(load_suite("evalmuse-structure"), rows, tmp_path / "s.zip")
    files = unzip(tmp_path / "s.zip")
    assert list(files) == ["output.pkl", "readme.txt"]
    assert b"LLM" not in files["readme.txt"]
    output = parse_pickle(files["output.pkl"], "output.pkl")
    assert list(output) == ["a2dc", "45cf"]
    area = output["a2dc"]["pred_area"]
    assert (area.dtype, area.shape, int(area.sum())) == (np.uint8, (100, 200), 100 * 50)  # artifacts only
    assert isinstance(output["a2dc"]["score"], float)


@pytest.mark.parametrize(
    ("name", "file", "content"),
    [
        ("thqa", "output.txt", "3_wavlip.mp4,2.000000"),
        ("aigiqa-20k", "output.txt", "DALLE2_0000.png,2.000000"),
        ("kvq", "prediction.csv", "filename,score"),
    ],
)
def test_challenges_with_text_files_get_one_text_file(
    tmp_path: Path, name: str, file: str, content: str
) -> None:
    write_submission(load_suite(name), make_rows(name, tmp_path / "data"), tmp_path / "s.zip")
    files = unzip(tmp_path / "s.zip")
    assert list(files) == [file]
    assert files[file].decode().splitlines()[0] == content


def test_the_archive_of_qeval_video_holds_a_list_of_objects(tmp_path: Path) -> None:
    write_submission(
        load_suite("qeval-video"), make_rows("qeval-video", tmp_path / "data"), tmp_path / "s.zip"
    )
    files = unzip(tmp_path / "s.zip")
    assert json.loads(files["output.json"])[0] == {"video": "v0.mp4", "predict_score": 2.0}
    assert b"runtime per video" in files["readme.txt"]


def test_an_incomplete_run_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    rows: list[JudgedSample | SuiteSample] = list(make_rows("thqa", tmp_path / "data"))
    rows[1] = JudgedSample(rows[1].sample, make_verdict(rows[1].sample, None))
    rows[2] = rows[2].sample
    out = tmp_path / "s.zip"
    with pytest.raises(
        InputError, match=r"each of 4 rows; 2 are missing: 4_sadtalker\.mp4, 5_audio2head\.mp4"
    ):
        write_submission(load_suite("thqa"), rows, out)
    assert not out.exists()
    archive = write_submission(load_suite("thqa"), rows, out, incomplete=True)
    assert (archive.rows, archive.missing) == (2, 2)
    assert len(unzip(out)["output.txt"].splitlines()) == 2


def test_a_missing_element_is_an_error(tmp_path: Path) -> None:
    rows = make_rows("evalmuse-alignment", tmp_path / "data")
    short = make_verdict(rows[0].sample, elements=[Element(name="attack", present=True, probability=0.9)])
    with pytest.raises(InputError, match="pig giants"):
        write_submission(
            load_suite("evalmuse-alignment"),
            [JudgedSample(rows[0].sample, short), *rows[1:]],
            tmp_path / "s.zip",
        )


def test_the_same_rows_give_the_same_bytes_and_no_temporary_file_is_left(tmp_path: Path) -> None:
    rows = make_rows("evalmuse-structure", tmp_path / "data")
    for name in ("a.zip", "b.zip"):
        write_submission(load_suite("evalmuse-structure"), rows, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "b.zip", "data"]


def test_what_cannot_be_submitted_is_an_error(tmp_path: Path) -> None:
    rows = make_rows("thqa", tmp_path / "data")
    with pytest.raises(InputError, match="takes files"):
        write_submission(load_suite("scenes"), rows, tmp_path / "s.zip")
    with pytest.raises(InputError, match=".zip file"):
        write_submission(load_suite("thqa"), rows, tmp_path / "output.txt")
    with pytest.raises(InputError, match="no fields"):
        write_submission(load_suite("thqa"), rows, tmp_path / "s.zip", options={"cpu": "1"})
    with pytest.raises(InputError, match="0 or 1"):
        write_submission(
            load_suite("qeval-video"),
            make_rows("qeval-video", tmp_path / "video"),
            tmp_path / "s.zip",
            options={"cpu": "yes"},
        )
    with pytest.raises(InputError, match="each name once"):
        write_submission(load_suite("thqa"), [*rows, rows[0]], tmp_path / "s.zip")
    with pytest.raises(InputError, match="out"):
        write_submission(load_suite("thqa"), rows, tmp_path / "no" / "s.zip")


def test_the_command_writes_the_archive_of_a_recorded_run(tmp_path: Path) -> None:
    from small_suite import DeterministicFiller
    from typer.testing import CliRunner

    from eval.cli.app import app
    from eval.runs.local import run_plan
    from eval.runs.plan import Plan
    from judge.judge import Judge

    LAYOUTS["aigiqa-20k"](tmp_path)
    plan = Plan(load_suite("aigiqa-20k"), tmp_path, depth="score")
    run_plan(plan, tmp_path / "RUN", Judge(backend=DeterministicFiller()))
    arguments = ["submit", "aigiqa-20k", str(tmp_path / "RUN"), "--out", str(tmp_path / "s.zip")]
    done = CliRunner().invoke(app, arguments)
    size = len(unzip(tmp_path / "s.zip")["output.txt"])
    assert (done.exit_code, done.stderr) == (0, f"{tmp_path / 's.zip'}: output.txt ({size} bytes), 2 rows\n")
    results = tmp_path / "RUN" / "results.jsonl"
    results.write_text(results.read_text().splitlines()[0] + "\n")
    short = CliRunner().invoke(app, arguments)
    assert (short.exit_code, "1 are missing: SD15_0001.png" in short.stderr) == (2, True)
    assert CliRunner().invoke(app, [*arguments, "--incomplete"]).exit_code == 0
    other = CliRunner().invoke(app, ["submit", "thqa", *arguments[2:]])
    assert (other.exit_code, "the suite of the run, aigiqa-20k" in other.stderr) == (2, True)
