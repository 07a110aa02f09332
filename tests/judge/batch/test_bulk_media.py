"""Folders and tables of images and clips in bulk: what is a row, what is not, and what is said about it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import clips
import pyarrow
import pytest
from batch_rows import BATCH, SETTINGS, png
from command_line import assert_error, run
from pyarrow import parquet
from random_backend import RandomBackend
from shards import image, write_shard

from judge.batch.file_source import open_source
from judge.batch.reader import ResultsReader
from judge.batch.scoring import LocalWorker, score_rows
from judge.errors import InputError
from judge.judge import Judge
from judge.pipeline.rows import BadRow

HIDDEN = ("._0.png", ".0.png", ".ipynb_checkpoints/0.png", ".git/0.png", "__pycache__/0.png",
          "__MACOSX/._0.png", ".DS_Store", "Thumbs.db", "a/.thumbs/0.mp4", "@eaDir/0.jpg")  # fmt: skip


@pytest.fixture(scope="module")
def clip() -> bytes:
    return clips.encode_clip(clips.make_frames(6, seed=1))


def write_files(folder: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder


def read(path: Path) -> tuple[list[Any], Counter[str]]:
    unused = Counter[str]()
    source = open_source(str(path))
    rows = [row for piece in range(len(source.pieces)) for row in source.read(piece, unused)]
    assert source.count() == len(rows)
    return rows, +unused


def read_parquet(path: Path, table: dict[str, Any]) -> list[Any]:
    parquet.write_table(pyarrow.table(table), path)
    return read(path)[0]


# -- Folders -------------------------------------------------------------------------------------------


def test_clips_of_a_folder_are_rows_with_their_prompts(tmp_path: Path, clip: bytes) -> None:
    names = ["a.mp4", "b/c.webm", "b/d.v2.MOV", "e.mkv"]
    files = {**dict.fromkeys(names, clip), "a.txt": "a cat", "b/d.v2.txt": "a dog", "e.mkv.txt": "a fox"}
    rows, unused = read(write_files(tmp_path, files))
    assert [(row.id, row.video, row.prompt) for row in rows] == [
        (name, tmp_path / name, prompt)
        for name, prompt in zip(names, ("a cat", "", "a dog", "a fox"), strict=True)
    ]
    assert not unused and open_source(str(tmp_path)).media_kinds() == {"video"}


def test_hidden_files_and_other_kinds_are_no_rows_and_are_counted(tmp_path: Path) -> None:
    files = {**dict.fromkeys(HIDDEN, png()), "0.png": png(), "0.txt": "a cat", "x.npy": "", "y.npy": "",
             "README": "", "notes.txt": ""}  # fmt: skip
    rows, unused = read(write_files(tmp_path, files))
    assert [(row.id, row.prompt) for row in rows] == [("0.png", "a cat")]
    assert unused == {"hidden files": len(HIDDEN), ".npy files": 2, "other files": 1, ".txt files": 1}


def test_a_prompt_that_is_no_utf8_is_a_bad_row_with_its_reason(tmp_path: Path) -> None:
    rows, _ = read(
        write_files(tmp_path, {"0.png": png(), "0.txt": b"caf\xe9", "1.png": png(), "1.txt": "café"})
    )
    assert isinstance(rows[0], BadRow) and "cp1252" in rows[0].reason and rows[1].prompt == "café"


def test_hidden_files_of_rows_are_left_out_and_nested_ones_are_found(tmp_path: Path) -> None:
    row = json.dumps({"id": "1", "image": "1.png", "prompt": "a cat"})
    write_files(tmp_path / "a", {"rows.jsonl": row, "._rows.jsonl": b"\0\5", ".rows.jsonl.part": "{"})
    write_files(tmp_path / "b", {"train/._0.tar": b"\0\5"})
    write_shard(tmp_path / "b/train/0.tar", {"1.png": png()})
    for path in (tmp_path / "a", tmp_path / "a/*.jsonl", tmp_path / "b"):
        assert [row.id for row in read(path)[0]] == ["1"], path


@pytest.mark.parametrize(
    ("files", "parts"),
    [
        ({"x.npy": "", "y.npy": ""}, (".mp4", ".png", ".parquet", ".npy files (2)")),
        ({".DS_Store": "", ".git/0.png": ""}, (".mp4", "hidden files (2)")),
        ({}, (".mp4", "no files")),
    ],
)
def test_a_folder_without_rows_is_an_error_that_says_what_was_looked_for(
    tmp_path: Path, files: dict[str, Any], parts: tuple[str, ...]
) -> None:
    write_files(tmp_path / "data", files)
    (tmp_path / "data").mkdir(exist_ok=True)
    with pytest.raises(InputError) as error:
        open_source(str(tmp_path / "data"))
    assert all(part in str(error.value) for part in parts)


# -- Tables with media as bytes ------------------------------------------------------------------------

FORMS: dict[str, Any] = {
    "bytes": lambda data: data,
    "struct": lambda data: {"bytes": data, "path": "x"},
    "list": lambda data: [data],
    "list of structs": lambda data: [{"bytes": data, "path": None}],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("field", ["image", "reference", "video"])
def test_media_in_a_parquet_file_are_read_in_every_form(tmp_path: Path, field: str, form: str) -> None:
    content = FORMS[form](b"content")
    table = {"id": [1], "prompt": ["p"], field: [content]} | (
        {"image": [png()]} if field == "reference" else {}
    )
    (row,) = read_parquet(tmp_path / "a.parquet", table)
    assert getattr(row, field) == b"content"


def test_paths_in_structs_are_relative_to_the_file_and_frames_are_a_video(tmp_path: Path) -> None:
    struct = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    values = pyarrow.array([{"bytes": None, "path": "a/1.mp4"}], struct)
    (row,) = read_parquet(tmp_path / "a.parquet", {"video": values})
    assert row.video == tmp_path / "a/1.mp4"
    frames = [{"bytes": image(n), "path": None} for n in range(3)]
    (row,) = read_parquet(tmp_path / "b.parquet", {"video": [frames], "prompt": ["p"]})
    assert row.video == [image(n) for n in range(3)]
    verdict = Judge(backend=RandomBackend())(video=row.video, prompt="p", depth="score")
    assert verdict.status == "scored", verdict.reason


def test_what_a_row_cannot_hold_is_a_bad_row(tmp_path: Path) -> None:
    images = [[png(), png()], [], None, [png()]]
    rows = read_parquet(tmp_path / "a.parquet", {"id": [1, 2, 3, 4], "image": images})
    assert [isinstance(row, BadRow) for row in rows] == [True, True, True, False]
    assert "a list of 2" in rows[0].reason and rows[0].id == "1"
    (row,) = read_parquet(tmp_path / "b.parquet", {"image": [png()], "video": [b"x"]})
    assert "an image and a video" in row.reason


# -- Other machines ------------------------------------------------------------------------------------


def test_videos_and_references_are_fetched_from_other_file_systems(clip: bytes) -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    rows = [
        {"id": "1", "video": "c/1.mp4", "prompt": "p"},
        {"id": "2", "video": "memory://clips/c/1.mp4", "prompt": "p"},
        {"id": "3", "video": "none.mp4", "prompt": "p"},
        {"id": "4", "video": "https://nowhere.example/1.mp4", "prompt": "p"},
    ]
    memory.pipe("/clips/rows.jsonl", "\n".join(map(json.dumps, rows)).encode())
    memory.pipe("/clips/c/1.mp4", clip)
    memory.pipe("/clips/c/1.txt", b"it moves")
    for location in ("memory://clips/rows.jsonl", "memory://clips/c"):
        source = open_source(location)
        assert source.media_kinds() == {"video"}
        (first, *_) = list(source.read(0))
        assert source.fetch(first).video == clip
    source = open_source("memory://clips/rows.jsonl")
    score_rows(
        source,
        "memory://clip-verdicts",
        LocalWorker(Judge(backend=RandomBackend()), "score", BATCH),
        SETTINGS,
    )
    verdicts = [json.loads(line) for line in ResultsReader("memory://clip-verdicts").lines()]
    assert [verdict["status"] for verdict in verdicts] == ["scored", "scored", "unscored", "unscored"]
    assert "none.mp4" in verdicts[2]["reason"] and "download it first" in verdicts[3]["reason"]


def test_a_remote_shard_is_read_like_a_local_one(tmp_path: Path, clip: bytes) -> None:
    import fsspec

    members = {"1.mp4": clip, "2.mp4": clip, "2.txt": "b", "1.txt": "a", "x.npy": b""}
    data = write_shard(tmp_path / "a.tar", members).read_bytes()
    fsspec.filesystem("memory").pipe("/shards/a.tar", data)
    unused = Counter[str]()
    rows = list(open_source("memory://shards/a.tar").read(0, unused))
    assert [(row.id, row.prompt) for row in rows] == [("1", "a"), ("2", "b")] and +unused == {".npy files": 1}


# -- The command ---------------------------------------------------------------------------------------


@pytest.fixture
def scripted_rubrics(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command line opens a scripted judge; the rubrics that it was opened with."""
    names: list[str] = []

    def open_judge(model: str, adapter: Any, backend: str, rubric: str, *_: Any) -> Any:
        names.append(rubric)
        return Judge(backend=RandomBackend())

    monkeypatch.setattr("judge.cli.judges.open_judge", open_judge)
    return names


def score(rows: Path, out: Path, *options: str) -> Any:
    return run("score", str(rows), "--out", str(out), "--depth", "score", "--shard", "1/1", *options)


def test_a_folder_of_clips_is_judged_by_the_rubric_for_videos(
    tmp_path: Path, clip: bytes, scripted_rubrics: list[str]
) -> None:
    files = {"a.mp4": clip, "a.txt": "a cat", "b.mp4": clip, "b.txt": "a dog", ".DS_Store": b"", "x.npy": b""}
    result = score(write_files(tmp_path / "in", files), tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "2 rows, 2 scored" in result.stderr and scripted_rubrics == ["video"]
    assert "not used: hidden files (1), .npy files (1)" in result.stderr
    mixed = write_files(tmp_path / "in", {"c.png": png()})
    assert_error(score(mixed, tmp_path / "out2"), "rows", "only images or only videos")


@pytest.mark.parametrize(
    "name", ["a.tar", "empty.parquet", "empty.jsonl", "header.csv", "folder", "other.parquet"]
)
def test_a_source_without_rows_exits_with_2(tmp_path: Path, scripted_rubrics: list[str], name: str) -> None:
    write_shard(tmp_path / "a.tar", {"x.npy": b"", "._1.png": b""})
    parquet.write_table(
        pyarrow.table({"image": pyarrow.array([], pyarrow.binary())}), tmp_path / "empty.parquet"
    )
    parquet.write_table(pyarrow.table({"picture": [b"x"]}), tmp_path / "other.parquet")
    write_files(tmp_path, {"empty.jsonl": "\n", "header.csv": "id,image,prompt\n", "folder/x.npy": ""})
    assert_error(score(tmp_path / name, tmp_path / "out"), "rows")


def test_rows_of_which_none_can_be_scored_exit_with_1(tmp_path: Path, scripted_rubrics: list[str]) -> None:
    write_shard(tmp_path / "a.tar", {"1.png": b"no image", "1.txt": "p", "2.txt": "no image"})
    result = score(tmp_path / "a.tar", tmp_path / "out")
    assert result.exit_code == 1 and "2 rows, 0 scored" in result.stderr


def test_without_shards_a_folder_or_tar_is_refused_with_what_reads_it(tmp_path: Path) -> None:
    write_shard(tmp_path / "a.tar", {"1.png": png()})
    for rows in (tmp_path, tmp_path / "a.tar"):
        assert_error(run("score", str(rows), "--out", str(tmp_path / "o.jsonl")), "rows", "--shard 1/1")
