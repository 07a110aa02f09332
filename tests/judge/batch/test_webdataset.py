"""WebDataset shards as generators, macOS and unsorted archives write them: every image is one row."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from shards import image, write_shard

from judge.batch.file_source import open_source
from judge.batch.webdataset.member_names import split_member_name
from judge.pipeline.rows import BadRow


def read(path: Path) -> tuple[list[Any], Counter[str]]:
    """Read the rows of a shard, and what is not used; check that they are counted rightly."""
    unused = Counter[str]()
    source = open_source(str(path))
    rows = [row for piece in range(len(source.pieces)) for row in source.read(piece, unused)]
    assert source.count() == len(rows)
    return rows, +unused


def prompts(rows: list[Any]) -> dict[str, str | None]:
    """Prompt of each row by id; None for a bad row."""
    assert len({row.id for row in rows}) == len(rows)
    return {row.id: None if isinstance(row, BadRow) else row.prompt for row in rows}


@pytest.mark.parametrize(
    ("name", "key", "suffixes"),
    [
        ("0001.png", "0001", ".png"),
        ("cfg_7.5_seed1.png", "cfg_7.5_seed1", ".png"),
        ("train/v1.5/cfg_7.5.PNG", "train/v1.5/cfg_7.5", ".png"),
        ("0001.a.png", "0001.a", ".png"),
        ("0001.png.txt", "0001", ".png.txt"),
        ("0001.negative_prompt.txt", "0001", ".negative_prompt.txt"),
        ("0001.reference.jpg", "0001", ".reference.jpg"),
        ("sd_1.5.mask.png", "sd_1.5", ".mask.png"),
        ("v1.0/7", "v1.0/7", ""),
        ("image.png", "image", ".png"),
        ("w0.8.mp4", "w0.8", ".mp4"),
    ],
)
def test_a_key_ends_before_the_longest_chain_of_known_suffixes(name: str, key: str, suffixes: str) -> None:
    assert split_member_name(name) == (key, suffixes)


@pytest.mark.parametrize(
    "key", ["cfg_{}.5_seed1", "lr_1e-{}.final", "v{}.0.1", "a.b.c{}", "00{}", "x/sd.xl-{}"]
)
def test_keys_with_dots_are_rows_of_their_own(tmp_path: Path, key: str) -> None:
    members: dict[str, bytes | str] = {}
    for n in (1, 2, 3):
        members |= {f"{key.format(n)}.png": image(n), f"{key.format(n)}.txt": f"thing {n}"}
    rows, unused = read(write_shard(tmp_path / "a.tar", members))
    assert prompts(rows) == {key.format(n): f"thing {n}" for n in (1, 2, 3)} and not unused
    assert [row.image for row in rows] == [image(n) for n in (1, 2, 3)]


def test_keys_that_differ_behind_a_dot_are_not_mixed(tmp_path: Path) -> None:
    members = {"cfg_7.png": image(1), "cfg_7.txt": "seven", "cfg_7.5.png": image(2), "cfg_7.5.txt": "more",
               "cfg_7.25.png": image(3)}  # fmt: skip
    rows, _ = read(write_shard(tmp_path / "a.tar", members))
    assert prompts(rows) == {"cfg_7": "seven", "cfg_7.5": "more", "cfg_7.25": ""}


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (("0001.a.png", "0001.b.png"), ["0001.a", "0001.b"]),
        (("0001.jpg", "0001.png"), ["0001.jpg", "0001.png"]),
        (("0001.0.png", "0001.1.png", "0001.2.png"), ["0001.0", "0001.1", "0001.2"]),
        (("0001.png", "0001.b.png"), ["0001", "0001.b"]),
        (("0001.png", "0001.webp", "0001.mp4"), ["0001.png", "0001.webp", "0001.mp4"]),
    ],
)
def test_each_image_of_a_key_is_a_row_with_the_prompt_of_the_key(
    tmp_path: Path, names: tuple[str, ...], ids: list[str]
) -> None:
    members = {**{name: image(n) for n, name in enumerate(names)}, "0001.txt": "a cat"}
    rows, _ = read(write_shard(tmp_path / "a.tar", members))
    assert prompts(rows) == dict.fromkeys(ids, "a cat")
    members["0001.json"] = '{"id": "x", "negative_prompt": "a dog", "width": 8}'
    rows, unused = read(write_shard(tmp_path / "b.tar", members))
    assert [row.id for row in rows] == ["x" + row_id.removeprefix("0001") for row_id in ids]
    assert {row.negative_prompt for row in rows} == {"a dog"} and unused == {"values of width": len(ids)}


def test_a_text_named_after_an_image_belongs_to_it_alone(tmp_path: Path) -> None:
    members = {"1.jpg": image(1), "1.png": image(2), "1.jpg.txt": "a cat", "1.png.txt": "a dog",
               "2.png": image(3), "2.png.json": '{"prompt": "a fox"}'}  # fmt: skip
    rows, _ = read(write_shard(tmp_path / "a.tar", members))
    assert prompts(rows) == {"1.jpg": "a cat", "1.png": "a dog", "2": "a fox"}


def test_fields_of_a_key_are_used_by_their_names(tmp_path: Path) -> None:
    members = {"1.image.png": image(1), "1.reference.png": image(2), "1.prompt.txt": "a cat",
               "1.negative_prompt.txt": "a dog", "1.mask.png": image(3), "1.npy": b"x",
               "2.mp4": b"a clip", "2.txt": "it moves"}  # fmt: skip
    (first, second), unused = read(write_shard(tmp_path / "a.tar", members))
    assert (first.image, first.reference) == (image(1), image(2))
    assert (first.prompt, first.negative_prompt) == ("a cat", "a dog")
    assert (second.image, second.video, second.prompt) == (None, b"a clip", "it moves")
    assert unused == {".mask.png files": 1, ".npy files": 1}


def test_a_second_prompt_or_reference_of_a_key_is_counted(tmp_path: Path) -> None:
    members = {"1.png": image(1), "1.txt": "a cat", "1.prompt.txt": "a dog", "1.reference.png": image(2),
               "1.reference.jpg": image(3)}  # fmt: skip
    (row,), unused = read(write_shard(tmp_path / "a.tar", members))
    assert (row.prompt, row.reference) == ("a cat", image(2))
    assert unused == {"further .prompt.txt files of a key": 1, "further .reference.jpg files of a key": 1}


@pytest.mark.parametrize(
    "name",
    ["__MACOSX/._1.png", "._1.png", ".DS_Store", "d/.ipynb_checkpoints/1-checkpoint.png", "Thumbs.db",
     ".git/1.png", "d/__pycache__/1.png", "./._1.txt", "__key__"],
)  # fmt: skip
def test_hidden_members_are_no_rows_and_counted(tmp_path: Path, name: str) -> None:
    members = [(name, image(9)), ("1.png", image(1)), ("1.txt", "a cat")]
    rows, unused = read(write_shard(tmp_path / "a.tar", members))
    assert prompts(rows) == {"1": "a cat"} and unused == {"hidden files": 1}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_members_of_a_key_may_be_apart_in_any_order(tmp_path: Path, mode: str) -> None:
    keys = [f"{folder}/{n}" for folder in ("a", "b/c") for n in (3, 1, 2)]
    members = [(f"./{key}.png", image(n)) for n, key in enumerate(keys)]
    members += [(f"./{key}.txt", f"thing {key}") for key in reversed(keys)]
    rows, unused = read(write_shard(tmp_path / f"a.tar{mode[1:].replace(':', '.')}", members, mode))
    assert prompts(rows) == {key: f"thing {key}" for key in keys} and not unused
    assert [row.image for row in rows] == [image(n) for n in range(6)]


def test_of_members_that_are_there_twice_the_last_one_counts(tmp_path: Path) -> None:
    members = [
        ("1.png", image(1)),
        ("1.txt", "old"),
        ("2.png", image(2)),
        ("1.txt", "new"),
        ("1.png", image(3)),
    ]
    rows, unused = read(write_shard(tmp_path / "a.tar", members))
    assert prompts(rows) == {"1": "new", "2": ""} and rows[0].image == image(3)
    (reason,) = unused
    assert "twice" in reason and unused[reason] == 2


@pytest.mark.parametrize("is_compressed", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_shard_gives_the_rows_before_the_damage(
    tmp_path: Path, share: float, is_compressed: bool
) -> None:
    members = [(f"{n:02}.{kind}", image(n) if kind == "png" else f"thing {n}") for n in range(20)
               for kind in ("png", "txt")]  # fmt: skip
    data = write_shard(tmp_path / "whole.tar", members).read_bytes()[: 40 * 1024]
    data = gzip.compress(data) if is_compressed else data
    path = tmp_path / ("cut.tar.gz" if is_compressed else "cut.tar")
    path.write_bytes(data[: int(len(data) * share)])
    *rows, last = read(path)[0]
    assert isinstance(last, BadRow) and "cannot be read from row" in last.reason
    assert prompts(rows) == {f"{n:02}": f"thing {n}" for n in range(len(rows))}
    assert (0 if is_compressed else 15 * share - 3) < len(rows) + is_compressed < 20


def test_what_cannot_be_a_row_is_a_bad_row_with_a_reason(tmp_path: Path) -> None:
    members = {"1.txt": "no image", "2.png": image(2), "2.txt": b"caf\xe9", "3.png": image(3), "3.json": "{",
               "4.png": image(4), "4.json": "[1]", "5.png": image(5)}  # fmt: skip
    rows, _ = read(write_shard(tmp_path / "a.tar", members))
    assert prompts(rows) == {"1": None, "2": None, "3": None, "4": None, "5": ""}
    for row, part in zip(rows, ("no image or video", "cp1252", "not JSON", "an object"), strict=False):
        assert part in row.reason


def test_shards_that_webdataset_writes_are_read_as_it_reads_them(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    tariterators = pytest.importorskip("webdataset.tariterators")
    path = tmp_path / "a.tar"
    with webdataset.TarWriter(str(path)) as writer:
        for n in range(4):
            writer.write({"__key__": f"sample{n}", "png": image(n), "txt": f"thing {n}", "json": {"seed": n}})
    with path.open("rb") as file:
        members = [{"__url__": "", **member} for member in tariterators.tar_file_iterator(file)]
    theirs = {sample["__key__"]: sample for sample in tariterators.group_by_keys(members)}
    rows, unused = read(path)
    assert prompts(rows) == {key: sample["txt"].decode() for key, sample in theirs.items()}
    assert [row.image for row in rows] == [sample["png"] for sample in theirs.values()]
    assert unused == {"values of seed": 4}
