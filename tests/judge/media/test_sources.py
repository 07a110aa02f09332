"""Opening files and `data:` URLs: limits on their size, and one clear error for everything else."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from urllib.parse import quote_from_bytes

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


@pytest.mark.parametrize(
    "head",
    [
        "data:image/png;base64,",
        "data:;base64,",
        "DATA:IMAGE/PNG;BASE64,",
        "data:image/png;charset=utf-8;base64,",
        "data:image/png;name=a.png;base64,",
    ],
)
@pytest.mark.parametrize(
    "form", ["plain", "wrapped", "crlf", "unpadded", "url-safe", "percent", "final newline"]
)
def test_data_urls_are_read_however_base64_is_written(noise_image: Image.Image, head: str, form: str) -> None:
    data = encode_image(noise_image, "PNG") + b"\xfb\xff\xfe"  # such bytes need + and /
    while len(data) % 3 != 1:
        data += b"\0"
    text = base64.b64encode(data).decode()
    lines = [text[at : at + 76] for at in range(0, len(text), 76)]
    body = {
        "plain": text,
        "wrapped": "\n".join(lines),
        "crlf": "\r\n".join(lines) + "\r\n",
        "unpadded": text.rstrip("="),
        "url-safe": text.rstrip("=").translate(str.maketrans("+/", "-_")),
        "percent": text.replace("+", "%2B").replace("/", "%2f").replace("=", "%3D"),
        "final newline": text + "\n",
    }[form]
    assert load_image(head + body, max_bytes=len(data)).image.tobytes() == noise_image.tobytes()
    loading_error(head + body, max_bytes=len(data) - 1)


def test_data_urls_without_base64_are_percent_encoded_bytes(noise_image: Image.Image) -> None:
    data = encode_image(noise_image, "PNG")
    for url in (
        "data:image/png," + quote_from_bytes(data),
        "data:image/png;charset=x," + quote_from_bytes(data),
    ):
        assert load_image(url).image.tobytes() == noise_image.tobytes()


@pytest.mark.parametrize("body", ["é", "A" * 5, "AAAA=AAA", "AA!A", "%E9AAA"])
def test_base64_with_other_characters_is_an_error(body: str) -> None:
    assert "base64 is damaged" in loading_error("data:image/png;base64," + body).mend


def test_file_urls_are_paths_of_this_machine(noise_image: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "röd 100% #1?.png"
    path.write_bytes(encode_image(noise_image, "PNG"))
    for url in (
        path.as_uri(),
        f"file://{tmp_path}/röd 100%25 #1?.png",
        path.as_uri().replace("file:", "FILE:"),
    ):
        assert load_image(url).image.tobytes() == noise_image.tobytes()
    assert "machine elsewhere" in loading_error(f"file://elsewhere{path}").mend
    assert "no such file" in loading_error("file:///none.png").mend


@pytest.mark.parametrize("url", ["s3://set/a.png", "gs://set/a.png", "hf://set/a.png", "ftp://host/a.png"])
def test_addresses_of_other_machines_are_named_as_such(url: str) -> None:
    assert "download" in loading_error(url).mend
