"""Opening files and `data:` URLs: limits on their size, and one clear error for everything else."""

from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from encoded_images import encode_image, loading_error
from PIL import Image

from judge.media.image import MAX_IMAGE_BYTES, load_image


def test_the_byte_limit_is_checked_before_reading(tmp_path: Path) -> None:
    path = tmp_path / "huge.png"
    with path.open("wb") as file:
        file.truncate(MAX_IMAGE_BYTES + 1)  # sparse: takes no disk
    assert str(MAX_IMAGE_BYTES) in loading_error(path).allowed
    assert "at most 10 bytes" in loading_error(b"x" * 11, max_bytes=10).allowed
    assert "at most 10 bytes" in loading_error("data:image/png;base64," + "A" * 400, max_bytes=10).allowed


def test_a_data_url_of_exactly_the_byte_limit_is_loaded(noise_image: Image.Image) -> None:
    data = encode_image(noise_image, "PNG")
    url = "data:image/png;base64," + base64.b64encode(data).decode()
    assert load_image(url, max_bytes=len(data)).width == 64
    loading_error(url, max_bytes=len(data) - 1)


@pytest.mark.parametrize(
    "url", ["data:", "data:image/png,abc", "data:image/png;base64,@@", "data:;base64,AAA"]
)
def test_damaged_data_urls_are_rejected(url: str) -> None:
    loading_error(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1/a.png", "HTTPS://example.org/a.png"])
def test_web_addresses_are_not_fetched(url: str) -> None:
    """A row of a file must not make the judge send requests to hosts of an internal network."""
    assert "download" in loading_error(url).mend


def test_errors_name_directories_and_missing_files(tmp_path: Path) -> None:
    assert "directory" in loading_error(tmp_path).mend
    missing = loading_error(tmp_path / "nothing.png")
    assert "no such file" in missing.mend and "nothing.png" in str(missing)


@pytest.mark.parametrize("path", ["", "a\0b.png", "x" * 5000, "nowhere/at/all.png"])
def test_impossible_paths_are_rejected(path: str) -> None:
    loading_error(path)


def test_devices_and_pipes_are_not_opened(tmp_path: Path) -> None:
    """Reading a pipe that nobody writes to would block forever."""
    os.mkfifo(tmp_path / "pipe.png")
    assert "regular" in loading_error(tmp_path / "pipe.png").mend
    assert "regular" in loading_error("/dev/zero").mend
