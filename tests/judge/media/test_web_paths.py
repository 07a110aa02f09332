"""Web addresses are refused as such, also where a path was made of one and lost a slash."""

from __future__ import annotations

from pathlib import Path

import pytest

from judge.errors import MediaError
from judge.media.image import load_image
from judge.media.video import load_video


@pytest.mark.parametrize("address", ["https://nowhere.example/a.mp4", "s3://bucket/a.mp4", "hf://d/a.mp4"])
@pytest.mark.parametrize("make", [str, Path])
def test_an_address_is_refused_with_the_way_out(address: str, make: type) -> None:
    for load in (load_image, load_video):
        with pytest.raises(MediaError, match="download it first") as error:
            load(make(address))
        assert error.value.value == address


def test_a_path_that_looks_like_an_address_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "run:").mkdir()
    (tmp_path / "run:" / "a.png").write_bytes(b"no image")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(MediaError, match="check the file"):
        load_image(Path("run:/a.png"))
