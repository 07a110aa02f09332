"""Hostile request bodies: files that are not images, bodies that are too large, too slow or malformed."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serving import (
    KEY,
    Gateway,
    bearer,
    data_url,
    gateway,
    png,
    send_raw,
)

from judge.serve.settings import MIB, Settings


@pytest.mark.parametrize(
    "image",
    ["/etc/passwd", "image.png", "file:///etc/passwd", "\\\\host\\share\\x.png", "C:\\x.png", "~/x.png",
     "ftp://127.0.0.1/x.png", "gopher://127.0.0.1/", "javascript:1", "", " data:image/png;base64,AA==",
     None, 7, True, ["/etc/passwd"], {"path": "/etc/passwd"}],
)  # fmt: skip
def test_a_path_or_another_scheme_is_rejected(unlocked: Gateway, image: Any) -> None:
    response = unlocked.post("/v1/verdicts", json={"image": image, "prompt": "a cat"})
    assert (response.status_code, response.json()["error"]["field"]) == (400, "image"), response.text
    assert "root:" not in response.text


def test_a_path_in_a_form_or_a_row_is_rejected(unlocked: Gateway, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png())
    path = str(tmp_path / "secret.png")
    form = unlocked.post("/v1/verdicts", files={"x": (None, "")}, data={"image": path, "prompt": "a cat"})
    assert form.status_code == 400
    rows = unlocked.post("/v1/scores", json={"rows": [{"image": path, "prompt": "a cat"}]}).json()
    assert rows["scores"] == [None]
    assert "paths are not read" in rows["verdicts"][0]["reason"]
    named = unlocked.post("/v1/verdicts", files={"image": (path, b"")}, data={"prompt": "a cat"})
    assert named.status_code == 400  # a file name in a form is not read as a path


def image_bomb(side: int) -> bytes:
    """Return a PNG of a few bytes whose header claims an enormous size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunks = (header, data, b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks
    )


@pytest.mark.parametrize("side", [9000, 20_000, 60_000, 2**31 - 1])
def test_an_image_bomb_is_rejected_by_its_header(unlocked: Gateway, side: int) -> None:
    response = unlocked.post("/v1/verdicts", files={"image": image_bomb(side)}, data={"prompt": "a cat"})
    assert (response.status_code, response.json()["error"]["field"]) == (400, "image")
    assert "pixels" in response.text


@pytest.mark.parametrize(
    "data",
    [b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", b"%!PS\n(x) run",
     b"GIF89a", png()[:60], b"\x00" * 5000, b""],
)  # fmt: skip
def test_a_file_that_is_not_an_image_is_rejected(unlocked: Gateway, data: bytes) -> None:
    response = unlocked.post("/v1/verdicts", files={"image": data}, data={"prompt": "a cat"})
    assert response.status_code == 400, response.text


def request_head(path: str, *lines: str) -> bytes:
    """Return the head of a POST request with more header lines."""
    head = (f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {KEY}", *lines)
    return ("\r\n".join(head) + "\r\n\r\n").encode()


def test_a_body_with_a_too_large_content_length_is_rejected_before_it_is_sent(locked: Gateway) -> None:
    lines = (f"Content-Length: {10**12}", "Content-Type: application/json", "Expect: 100-continue")
    response = send_raw(locked, request_head("/v1/verdicts", *lines))
    assert response.startswith(b"HTTP/1.1 413 ")
    assert json.loads(response.partition(b"\r\n\r\n")[2])["error"]["field"] == "body"


def test_a_body_without_content_length_is_rejected_when_it_gets_too_large(locked: Gateway) -> None:

    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * (MIB // 16)

    for path in ("/v1/verdicts", "/v1/scores", "/v1/compare"):
        headers = {**bearer(), "Content-Type": "application/json"}
        response = locked.post(path, content=chunks(), headers=headers)
        assert response.status_code == 413, path
    files = {"image": png() + b"x" * (2 * MIB)}
    assert locked.post("/v1/verdicts", files=files, headers=bearer()).status_code == 413


def test_a_slow_body_is_rejected(locked: Gateway) -> None:
    lines = ("Content-Length: 1000", "Content-Type: application/json")
    response = send_raw(locked, request_head("/v1/verdicts", *lines), b'{"image"')
    assert response.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in response.lower()
    assert locked.service.active == 0


def test_the_bodies_of_all_active_requests_are_limited_together() -> None:
    with gateway(settings=Settings(page=False, max_buffered=100_000)) as running:
        response = running.post(
            "/v1/verdicts", files={"image": png() + b"x" * 200_000}, data={"prompt": "a cat"}
        )
        assert (response.status_code, "retry-after" in response.headers) == (429, True)
        assert running.verdict().status_code == 200


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"[" * 100_000, 400),
        ("application/json", b'{"image":' * 50_000, 400),
        ("application/json", b'{"image": ' + b"[" * 30 + b"]" * 30 + b"}", 400),
        ("application/json", b'{"image": NaN}', 400),
        ("application/json", b'{"image": ' + b"9" * 10_000 + b"}", 400),
        ("application/json", b"\xff\xfe", 400),
        ("application/json", b"", 400),
        ("application/json", b'{"image": "data:image/png;base64,AA==", "prompt": "\\ud800"}', 400),
        ("text/plain", b'{"image": "x"}', 415),
        ("application/x-www-form-urlencoded", b"image=x", 415),
        ("application/x-python-pickle", b"\x80\x04.", 415),
        ("multipart/form-data", b"x", 400),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n\r\n--b--", 400),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", 400),
        ("", b"{}", 415),
    ],
)
def test_a_malformed_body_is_rejected_with_what_to_do(
    unlocked: Gateway, kind: str, body: bytes, status: int
) -> None:
    for path in ("/v1/verdicts", "/v1/compare"):
        response = unlocked.post(path, content=body, headers={"Content-Type": kind})
        assert response.status_code == status, response.text
        assert response.json()["error"]["mend"]


def test_too_many_form_fields_files_or_rows_are_rejected(locked: Gateway) -> None:
    data = {f"f{n}": "x" for n in range(500)}
    response = locked.post("/v1/verdicts", files={"image": png()}, data=data, headers=bearer())
    assert response.status_code == 400
    many = [("image", png())] * 20
    assert locked.post("/v1/verdicts", files=many, headers=bearer()).status_code == 400
    rows = [{"image": data_url(), "prompt": "a cat"}] * 9
    response = locked.post("/v1/scores", json={"rows": rows}, headers=bearer())
    assert (response.status_code, response.json()["error"]["field"]) == (400, "rows")


@pytest.mark.parametrize("name", ["a\r\nX-Evil: 1", "a\nSet-Cookie: x=1", "x" * 65, "a b", "", "\x00", "é"])
def test_an_invalid_request_id_is_not_sent_back(unlocked: Gateway, name: str) -> None:
    request = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Request-ID: {name}\r\n\r\n"
    response = send_raw(unlocked, request.encode())
    headers = response.partition(b"\r\n\r\n")[0].lower()
    assert b"evil" not in headers and b"set-cookie" not in headers
    if response.startswith(b"HTTP/1.1 200 "):
        assert name.encode() == b"" or f"x-request-id: {name}\r\n".encode() not in headers + b"\r\n"


def test_a_valid_request_id_is_sent_back(unlocked: Gateway) -> None:
    response = unlocked.get("/healthz", headers={"X-Request-ID": "job-7.a_b"})
    assert response.headers["x-request-id"] == "job-7.a_b"
    generated = [unlocked.get("/healthz").headers["x-request-id"] for _ in range(2)]
    assert len(set(generated)) == 2


def test_line_breaks_in_fields_reach_no_header(unlocked: Gateway) -> None:
    form = {"prompt": "a cat\r\nX-Evil: 1", "id": "1\r\nX-Evil: 1", "rubric": "x\r\nX-Evil: 1"}
    for data in (form, {**form, "rubric": "default"}):
        response = unlocked.post("/v1/verdicts", files={"image": png()}, data=data)
        assert not any("evil" in name.lower() for name in response.headers)
