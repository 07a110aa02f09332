"""What of a folder competes in a ranking: images and clips, and nothing that tools leave behind."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from brightness import grey_image, tuned_judge
from command_line import run

from judge.compare.competitors import SINGLE_IMAGE, load_competitors
from judge.errors import InputError


def write(folder: Path, *names: str) -> Path:
    for n, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith((".png", ".jpg")):
            grey_image(20 * n + 20).save(folder / name)
        else:
            (folder / name).write_bytes(b"x")
    return folder


@pytest.mark.parametrize(
    "name",
    [".ipynb_checkpoints/0-checkpoint.png", ".git/0.png", "__pycache__/0.png", "__MACOSX/0.png",
     ".cache/0.png", ".DS_Store", "Thumbs.db", "a/._0.png"],
)  # fmt: skip
def test_hidden_folders_and_files_do_not_compete(tmp_path: Path, name: str) -> None:
    unused = Counter[str]()
    competitors = load_competitors(write(tmp_path, "a/0.png", "b/0.png", name), "a cat", unused)
    assert {one.name: list(one.samples) for one in competitors} == {"a": ["0"], "b": ["0"]}
    assert +unused == {"hidden files and folders": 1}


def test_hidden_images_of_a_flat_folder_do_not_compete(tmp_path: Path) -> None:
    unused = Counter[str]()
    write(tmp_path, "a.png", "b.png", "._a.png", ".ipynb_checkpoints/a.png", "notes.md", "c/x.npy")
    assert [one.name for one in load_competitors(tmp_path, "", unused)] == ["a", "b"]
    assert +unused == {"hidden files and folders": 2, ".md files": 1, "folders in a folder of images": 1}


def test_one_folder_beside_several_images_is_none_of_the_competitors(tmp_path: Path) -> None:
    unused = Counter[str]()
    write(tmp_path, "a.png", "b.png", "thumbs/a.png", "thumbs/b.png", "thumbs/x.npy")
    assert [one.name for one in load_competitors(tmp_path, "", unused)] == ["a", "b"]
    assert +unused == {"folders in a folder of images": 1}


def test_images_that_differ_in_their_suffix_alone_are_two(tmp_path: Path) -> None:
    flat = write(tmp_path / "flat", "a.png", "a.jpg", "b.png")
    assert [one.name for one in load_competitors(flat)] == ["a.jpg", "a.png", "b"]
    sets = load_competitors(write(tmp_path / "sets", "x/0.png", "x/0.jpg", "x/1.png", "y/0.jpg", "y/1.jpg"))
    assert [sorted(one.samples) for one in sets] == [["0.jpg", "0.png", "1"], ["0.jpg", "1"]]


def test_what_stands_beside_the_competitors_is_counted(tmp_path: Path) -> None:
    unused = Counter[str]()
    load_competitors(write(tmp_path, "a/0.png", "a/1.png", "b/0.png", "c/x.npy", "top.png"), "", unused)
    assert +unused == {
        "images beside the folders": 1,
        "folders without images": 1,
        "images without a counterpart in another folder": 1,
    }


def test_clips_compete_and_rows_without_ids_are_named_by_their_files(tmp_path: Path) -> None:
    competitors = load_competitors(write(tmp_path / "clips", "a.mp4", "b.webm", "c.mov"))
    assert [one.samples[SINGLE_IMAGE].video.name for one in competitors] == ["a.mp4", "b.webm", "c.mov"]
    rows = [{"video": "clips/a.mp4"}, {"video": "clips/b.webm"}, {"video": "https://nowhere.example/c.mp4"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    names = [one.name for one in load_competitors(tmp_path / "rows.jsonl")]
    assert [Path(name).name for name in names] == ["a.mp4", "b.webm", "c.mp4"]


def test_a_prompt_in_another_encoding_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "b.png")
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    with pytest.raises(InputError, match="cp1252"):
        load_competitors(tmp_path)


def test_the_command_says_what_does_not_compete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("judge.cli.judges.open_judge", lambda *options: tuned_judge())
    write(tmp_path, "a/0.png", "b/0.png", ".ipynb_checkpoints/0.png")
    result = run("rank", str(tmp_path), "--json")
    assert result.exit_code == 0 and len(json.loads(result.stdout)["places"]) == 2
    assert "not used: hidden files and folders (1)" in result.stderr
