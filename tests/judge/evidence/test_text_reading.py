"""The text reader: what is written where, without a network."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from command_line import run
from PIL import Image
from writing import draw_writing

from judge.evidence import text
from judge.evidence.text import read_text_lines


def test_lines_have_their_text_place_and_confidence_in_reading_order() -> None:
    lines = read_text_lines(draw_writing("FRESH FISH", "open 24 hours"))
    assert [line.text for line in lines] == ["FRESH FISH", "open 24 hours"]
    first, second = lines
    assert first.confidence > 0.9 and first.box[3] < second.box[3]
    assert first.box[0] < 100 and first.box[2] > 300 and 40 < first.box[1] < 120


def test_turned_writing_has_a_turned_polygon() -> None:
    [line] = read_text_lines(draw_writing("BAKERY", angle=14))
    assert line.text == "BAKERY"
    assert line.polygon[0][1] > line.polygon[1][1] + 15, "turned to the left: its beginning is lower"


def test_an_image_without_writing_has_no_lines() -> None:
    assert read_text_lines(Image.new("RGB", (64, 48), "navy")) == []


def test_small_writing_in_a_large_image_is_read_in_pixels_of_the_original() -> None:
    image = Image.new("RGB", (1700, 400), "#e8ecd8")
    image.paste(draw_writing("STATION", font_size=24), (1300, 160))
    [line] = read_text_lines(image)
    assert line.text == "STATION"
    assert 1400 < line.box[0] < line.box[2] < 1600 and 260 < line.box[1] < line.box[3] < 310


def test_the_reader_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    text._load_reader.cache_clear()
    image = draw_writing("HOTEL")
    assert read_text_lines(image) == read_text_lines(image), "and it reads the same again"


def test_the_command_prints_lines_and_json(tmp_path: Path) -> None:
    file = tmp_path / "sign.png"
    draw_writing("HOTEL").save(file)
    assert run("read", str(file)).stdout.endswith("HOTEL\n")
    [found] = json.loads(run("read", str(file), "--json").stdout)["texts"]
    assert found["text"] == "HOTEL" and len(found["polygon"]) == 4
