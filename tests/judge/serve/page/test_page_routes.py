"""The page's routes without a browser, as a stranger would use them."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import pytest
from page import FILE_ON_DISK, TIMEOUT, encoded_image

pytest.importorskip("gradio")


def send_event(address: str, name: str, data: list[Any]) -> str:
    """Send an event as the page's script does, and return what the page would show.

    Args:
        address: address of the page.
        name: name of the function behind the event.
        data: its inputs.
    """
    config = httpx.get(f"{address}/config", timeout=TIMEOUT).json()
    number = next(one["id"] for one in config["dependencies"] if one["api_name"] == name)
    body = {"data": data, "fn_index": number, "session_hash": "test", "event_data": None}
    httpx.post(f"{address}/gradio_api/queue/join", json=body, timeout=TIMEOUT).raise_for_status()
    url = f"{address}/gradio_api/queue/data?session_hash=test"
    with httpx.stream("GET", url, timeout=TIMEOUT) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data: ") or "{}") if line else {}
            if message.get("msg") == "process_completed":
                return json.dumps(message["output"])
    raise AssertionError("the event never ended")


@pytest.mark.parametrize(
    "path",
    [
        f"/gradio_api/file={FILE_ON_DISK}",
        f"/gradio_api/file/{FILE_ON_DISK}",
        "/gradio_api/file=pyproject.toml",
        "/gradio_api/file=http://127.0.0.1:1/",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/gradio_api/stream/a/b/1/playlist.m3u8",
        "/gradio_api/dev/reload",
        "/gradio_api/token",
        "/gradio_api/runs",
        "/monitoring/summary",
        "/gradio_api/deep_link",
        "/login",
        f"/svelte/..%2f..%2f..%2f..%2f{FILE_ON_DISK}",
        f"/static/..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f{FILE_ON_DISK}",
        f"/assets/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e{FILE_ON_DISK}",
    ],
)
def test_no_route_reads_files_or_fetches_addresses(scripted_page: str, path: str) -> None:
    response = httpx.get(f"{scripted_page}{path}", timeout=TIMEOUT)
    assert response.status_code in (403, 404)
    assert "root:" not in response.text
    if path.startswith("/gradio_api/"):
        assert response.status_code == 403


@pytest.mark.parametrize("path", ["upload", "component_server", "run/judge", "call/judge", "vibe-edit"])
def test_no_route_takes_uploads_or_offers_a_second_api(scripted_page: str, path: str) -> None:
    files = {"files": ("x.png", encoded_image())}
    assert httpx.post(f"{scripted_page}/gradio_api/{path}", files=files, timeout=TIMEOUT).status_code == 403


def test_the_page_has_no_share_link_and_no_api_description(scripted_page: str) -> None:
    config = httpx.get(f"{scripted_page}/config", timeout=TIMEOUT).json()
    assert not config.get("share") and not config["analytics_enabled"] and not config["run_history"]
    assert httpx.get(f"{scripted_page}/gradio_api/info", timeout=TIMEOUT).json()["named_endpoints"] == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_scripts_of_other_sites_are_rejected(scripted_page: str, headers: dict[str, str]) -> None:
    """Gradio alone would answer every site, with the visitor's credentials."""
    for path in ("/config", "/"):
        response = httpx.get(f"{scripted_page}{path}", headers=headers, timeout=TIMEOUT)
        assert response.status_code == 403
        assert "access-control-allow-origin" not in response.headers


def test_a_link_from_another_site_opens_the_page(scripted_page: str) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    response = httpx.get(scripted_page, headers=headers, timeout=TIMEOUT)
    assert response.status_code == 200
    assert "frame-ancestors 'self'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    "value",
    [
        {"path": FILE_ON_DISK, "meta": {"_type": "gradio.FileData"}},
        {
            "path": "http://127.0.0.1:1/x.png",
            "url": "http://127.0.0.1:1/x",
            "meta": {"_type": "gradio.FileData"},
        },
        FILE_ON_DISK,
        "pyproject.toml",
        "http://127.0.0.1:1/x.png",
        ["data:image/png;base64,", 3],
        {"value": "data:,"},
        "data:image/png;base64,####",
        None,
    ],
)
def test_an_input_that_is_not_an_image_is_neither_opened_nor_fetched(
    scripted_page: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradio opens paths and addresses in inputs that claim to be files, before it calls a function."""
    from gradio.blocks import Block

    async def never(*_: Any) -> None:
        raise AssertionError("a file of the request was open_page")

    monkeypatch.setattr(Block, "async_move_resource_to_block_cache", never)
    html = send_event(scripted_page, "judge", [value, "a red car", "", "default", "verdict", "0", "no", ""])
    assert "The image cannot be used" in html and "root:" not in html


@pytest.mark.parametrize(
    ("field", "index", "value"),
    [
        ("prompt", 1, 7),
        ("prompt", 1, " "),
        ("prompt", 1, "x" * 30_000),
        ("elements", 2, "a car, a car"),
        ("rubric", 3, FILE_ON_DISK),
        ("rubric", 3, None),
        ("depth", 4, "deep"),
        ("depth", 4, ["verdict"]),
        ("number of zoom-ins", 5, "many"),
        ("number of zoom-ins", 5, "-1"),
        ("number of zoom-ins", 5, "9" * 5000),
        ("negative prompt", 7, "x" * 30_000),
    ],
)
def test_an_error_names_the_field_as_the_page_does(
    scripted_page: str, field: str, index: int, value: Any
) -> None:
    image = f"data:image/png;base64,{base64.b64encode(encoded_image()).decode()}"
    data: list[Any] = [image, "a red car", "", "default", "verdict", "0", "no", ""]
    data[index] = value
    html = send_event(scripted_page, "judge", data)
    assert f"The {field} cannot be used" in html and "root:" not in html
