"""The suite `folder` on clips, media inside tables, web addresses, and files that tools leave behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from eval.suites import load_suite
from eval.suites.shared.media_files import MediaIndex
from judge.errors import InputError


def write(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"content")
    return folder


def read(data: Path) -> list[Any]:
    return list(load_suite("folder").read(data))


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".MOV", ".mkv"])
def test_a_folder_of_clips_is_read(tmp_path: Path, suffix: str) -> None:
    write(tmp_path, f"a{suffix}", f"b/c{suffix}")
    (tmp_path / "a.txt").write_text("a cat")
    samples = read(tmp_path)
    assert [(sample.video, sample.image, sample.prompt) for sample in samples] == [
        (tmp_path / f"a{suffix}", None, "a cat"), (tmp_path / f"b/c{suffix}", None, "")]  # fmt: skip


def test_images_and_clips_together_are_an_error_and_nothing_is_one_too(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="1 images and 1 videos"):
        read(write(tmp_path / "both", "a.png", "b.mp4"))
    with pytest.raises(InputError, match="at least one row, image or video"):
        read(write(tmp_path / "none", "a.npy", ".b.png"))


@pytest.mark.parametrize(
    "name",
    [".ipynb_checkpoints/a.png", "__MACOSX/._a.png", "x/.thumbs/a.png", "._a.png", "__pycache__/a.png"],
)
def test_hidden_images_are_no_samples_and_make_no_name_ambiguous(tmp_path: Path, name: str) -> None:
    write(tmp_path, "deep/a.png", name)
    assert [sample.id for sample in read(tmp_path)] == ["deep/a.png"]
    assert MediaIndex(tmp_path).find("a.png") == tmp_path / "deep/a.png"


@pytest.mark.parametrize("address", ["https://nowhere.example/a.mp4", "s3://bucket/a.mp4", "gs://b/a.webm"])
@pytest.mark.parametrize("kind", ["video", "image"])
def test_a_web_address_is_refused_with_the_way_out(tmp_path: Path, address: str, kind: str) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({kind: address, "prompt": "a cat"}))
    with pytest.raises(InputError) as error:
        read(tmp_path)
    assert address in str(error.value) and "download them" in str(error.value)


@pytest.mark.parametrize(
    "value", [b"clip", {"bytes": b"clip", "path": "a.mp4"}, [b"clip"], [{"bytes": b"clip", "path": None}]]
)
@pytest.mark.parametrize("kind", ["video", "image"])
def test_media_inside_a_table_are_read_in_every_form(tmp_path: Path, kind: str, value: Any) -> None:
    parquet.write_table(pyarrow.table({kind: [value], "prompt": ["a cat"]}), tmp_path / "a.parquet")
    (sample,) = read(tmp_path / "a.parquet")
    assert getattr(sample, kind) == b"clip" and getattr(sample.to_sample(), kind) == b"clip"


def test_a_struct_with_a_path_alone_is_a_file_beside_the_table(tmp_path: Path) -> None:
    write(tmp_path, "clips/a.mp4")
    struct = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    values = pyarrow.array([{"bytes": None, "path": "clips/a.mp4"}, {"bytes": b"x", "path": "b.mp4"}], struct)
    parquet.write_table(pyarrow.table({"video": values}), tmp_path / "a.parquet")
    assert [sample.video for sample in read(tmp_path / "a.parquet")] == [tmp_path / "clips/a.mp4", b"x"]
