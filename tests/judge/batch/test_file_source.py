"""Rows are read from every kind of file, and damage is reported as bad rows."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from batch_rows import SETTINGS, local_worker, png, verdicts_by_id, write_rows
from pyarrow import parquet
from random_backend import RandomBackend

from judge.batch.file_source import FileSource, open_source
from judge.batch.reader import ResultsReader
from judge.batch.scoring import score_rows
from judge.errors import InputError
from judge.judge import Judge
from judge.pipeline.rows import BadRow, read_rows
from judge.types import Sample


def write_tar(path: Path, count: int = 5) -> Path:
    with tarfile.open(path, "w") as tar:
        for n in range(count):
            for name, data in ((f"a/{n:03}.png", png()), (f"a/{n:03}.json", b'{"prompt": "thing %d"}' % n)):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
    return path


def read_all(source: FileSource) -> list[Any]:
    return [row for piece in range(len(source.pieces)) for row in source.read(piece)]


def test_rows_are_read_from_every_kind_of_file(tmp_path: Path) -> None:
    jsonl = write_rows(tmp_path / "jsonl", 5)
    (tmp_path / "rows.csv").write_text("id,image,prompt\n1,jsonl/0.png,thing 0\n2,jsonl/1.png,thing 1\n")
    table = {"id": ["1", "2"], "image": [{"bytes": png(), "path": "x"}] * 2, "prompt": ["thing 0", "thing 1"]}
    parquet.write_table(pyarrow.table({**table, "label": [1, 2]}), tmp_path / "rows.parquet")
    images = tmp_path / "images"
    (images / "b").mkdir(parents=True)
    for name in ("1.png", "b/0.png"):
        (images / name).write_bytes(png())
    (images / "1.txt").write_text("thing 0\n")
    expected = {jsonl: 5, tmp_path / "rows.csv": 2, tmp_path / "rows.parquet": 2,
                write_tar(tmp_path / "rows.tar"): 5, images: 2}  # fmt: skip
    for path, count in expected.items():
        source = open_source(str(path))
        rows = read_all(source)
        assert len(rows) == count == source.count(), path
        assert all(isinstance(row, Sample) for row in rows) and rows[0].prompt == "thing 0"
        verdicts = list(Judge(backend=RandomBackend(), rubric="quality").many(rows))
        assert all(verdict.status == "scored" for verdict in verdicts), path
    assert [row.id for row in read_all(open_source(str(images)))] == ["1.png", "b/0.png"]
    tar_ids = [row.id for row in read_all(open_source(str(tmp_path / "rows.tar")))]
    assert tar_ids[:2] == ["a/000", "a/001"]


def test_columns_of_parquet_are_found_in_any_case_and_whole_numbers_are_ids(tmp_path: Path) -> None:
    table = {
        "ID": [1, 2],
        " Image ": [{"bytes": png(), "path": "x"}] * 2,
        "PROMPT": ["a", "b"],
        "id_2": [0, 0],
    }
    parquet.write_table(pyarrow.table(table), tmp_path / "rows.parquet")
    rows = read_all(open_source(str(tmp_path / "rows.parquet")))
    assert [(row.id, row.prompt, row.image) for row in rows] == [("1", "a", png()), ("2", "b", png())]


def test_several_files_are_read_by_folder_or_pattern(tmp_path: Path) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        write_rows(tmp_path, 3, name)
    assert len(read_all(open_source(str(tmp_path)))) == 6
    assert len(read_all(open_source(str(tmp_path / "b*.jsonl")))) == 3


def test_rows_and_images_are_fetched_from_other_file_systems() -> None:
    import fsspec

    memory = fsspec.filesystem("memory")
    memory.pipe("/set/rows.jsonl", b'{"id": "1", "image": "i.png", "prompt": "p"}\n'
                b'{"id": "2", "image": "none.png", "prompt": "p"}\n')  # fmt: skip
    memory.pipe("/set/i.png", png())
    progress = score_rows(open_source("memory://set/rows.jsonl"), "memory://out", local_worker(), SETTINGS)
    assert (progress.done, progress.unscored) == (2, 1)
    verdicts = verdicts_by_id(ResultsReader("memory://out").lines())
    assert verdicts["1"]["status"] == "scored" and "none.png" in verdicts["2"]["reason"]


def test_damaged_files_and_bad_rows_become_unscored_verdicts(tmp_path: Path) -> None:
    data = tmp_path / "set"
    write_rows(data, 6, "a.jsonl")
    (data / "a.jsonl").write_text((data / "a.jsonl").read_text() + "{broken\n\n[1]\n")
    content = write_tar(data / "b.tar", 40).read_bytes()
    (data / "b.tar").write_bytes(content[: len(content) // 2 + 100])
    (data / "c.parquet").write_bytes(b"PAR1 no")
    (data / "1.png").write_bytes(b"no image")
    progress = score_rows(open_source(str(data)), str(tmp_path / "out"), local_worker(), SETTINGS)
    verdicts = [json.loads(line) for line in ResultsReader(str(tmp_path / "out")).lines()]
    unscored = [verdict for verdict in verdicts if verdict["status"] == "unscored"]
    assert len(verdicts) == progress.done and progress.unscored == len(unscored) == 2 + 2 + 1 + 1
    reasons = " ".join(verdict["reason"] for verdict in unscored)
    for part in ("line 7", "row 8", "b.tar cannot be read from row", "c.parquet cannot be read from row 1"):
        assert part in reasons
    from_tar = sum("a/" in verdict["id"] for verdict in verdicts)
    assert from_tar >= 15, "rows before the damage are judged"


@pytest.mark.parametrize(
    ("location", "message"),
    [("no/such.jsonl", "nothing"), ("rows.xml", "jsonl"), ("nowhere://x/rows.jsonl", "nowhere")],
)
def test_a_location_without_rows_is_an_error(tmp_path: Path, location: str, message: str) -> None:
    (tmp_path / "rows.xml").write_text("<rows/>")
    with pytest.raises(InputError, match=message):
        open_source(location if "://" in location else str(tmp_path / location))


def test_streamed_rows_are_those_that_are_read_at_once(tmp_path: Path) -> None:
    path = write_rows(tmp_path, 3)
    path.write_text(path.read_text() + '\n{"id": 7}\nnot json\n')
    at_once, streamed = read_rows(path), read_all(open_source(str(path)))
    assert at_once == streamed and sum(isinstance(row, BadRow) for row in at_once) == 2
