"""Fetching images by URL: only from listed hosts, at public addresses, without redirects or proxies."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from serving import (
    Gateway,
    gateway,
    png,
)

from judge.errors import MediaError
from judge.serve.fetcher import Fetcher, is_public


def test_without_allowed_hosts_no_url_is_fetched(unlocked: Gateway) -> None:
    with site() as port:
        url = f"http://127.0.0.1:{port}/x.png"
        response = unlocked.post("/v1/verdicts", json={"image": url, "prompt": "a cat"})
        assert (response.status_code, response.json()["error"]["field"]) == (400, "image")
        assert "fetches nothing" in response.text
        rows = unlocked.post("/v1/scores", json={"rows": [{"image": url, "prompt": "a cat"}]})
        assert rows.json()["scores"] == [None]
        assert Site.requests == []


def fetch(url: str, *hosts: str, addresses: dict[str, list[str]] | None = None, **options: Any) -> bytes:
    """Fetch a URL with a scripted resolver, so that tests neither need nor touch a network."""

    async def resolve(host: str, port: int) -> list[str]:
        return (addresses or {})[host]

    async def run() -> bytes:
        return await Fetcher(hosts, resolve=resolve, **options).fetch(url)

    return asyncio.run(run())


def fetch_error(url: str, *hosts: str, **options: Any) -> str:
    """Return the error that fetching a URL gives."""
    with pytest.raises(MediaError) as caught:
        fetch(url, *hosts, **options)
    return str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x.png",
        "http://2130706433/x.png",
        "http://0x7f000001/x.png",
        "http://0x7f.1/x.png",
        "http://0177.0.0.1/x.png",
        "http://127.1/x.png",
        "http://0/x.png",
        "http://[::1]/x.png",
        "http://[::ffff:127.0.0.1]/x.png",
        "http://[::ffff:7f00:1]/x.png",
        "http://169.254.169.254/latest/meta-data",
        "http://localhost/x.png",
        "http://evil.example/x.png",
        "http://good.example.evil.example/x.png",
        "http://sub.good.example/x.png",
        "http://good.example@evil.example/x.png",
        "http://evil.example#good.example/x.png",
        "http://evil.example\\@good.example/x.png",
        "http://good.example:22/x.png",
        "http://good.example:99999/x.png",
        "http://user:word@good.example/x.png",
        "http://good.example\r\nX-Evil: 1/x.png",
        "http://good.example/x.png HTTP/1.1",
        "http://göod.example/x.png",
        "http:///x.png",
        "http://",
    ],
)
def test_an_unlisted_host_is_not_contacted(url: str) -> None:
    addresses = {"good.example": ["93.184.216.34"], "localhost": ["127.0.0.1"]}
    assert "image" in fetch_error(url, "good.example", addresses=addresses)


PRIVATE_ADDRESSES = (
    "127.0.0.1 127.255.255.254 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 "
    "239.1.1.1 255.255.255.255 240.0.0.1 192.0.2.1 198.18.0.1 ::1 :: fe80::1 fc00::1 fd12::1 ff02::1 "
    "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe "
    "2002:7f00:1:: 2002:a00:1:: 2001:db8::1 2001:0:4136:e378:8000:63bf:f5ff:fffe fec0::1"
).split()


@pytest.mark.parametrize("address", PRIVATE_ADDRESSES)
def test_a_listed_host_with_a_private_address_is_not_contacted(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    for addresses in ([address], ["93.184.216.34", address]):
        error = fetch_error(
            "http://good.example/x.png", "good.example", addresses={"good.example": addresses}
        )
        assert "public" in error


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_public_addresses_are_recognised(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/x.png", "http://2130706433/x.png", "http://0177.0.0.1/x.png", "http://[::1]/x.png"],
)
def test_a_listed_private_address_is_not_contacted(url: str) -> None:
    """This uses the system's own resolver, which knows every way to write an address."""

    async def run() -> bytes:
        return await Fetcher(["127.0.0.1", "2130706433", "0177.0.0.1", "[::1]"]).fetch(url)

    with pytest.raises(MediaError):
        asyncio.run(run())


class Site(BaseHTTPRequestHandler):
    """An allowed host that misbehaves, depending on the path."""

    requests: list[tuple[str, str]] = []

    def do_GET(self) -> None:
        self.requests.append((self.path, self.headers["Host"]))
        if self.path == "/redirect":
            self.send_response(302)
            self.send_header("Location", f"http://127.0.0.1:{self.server.server_address[1]}/x.png")
            self.end_headers()
            return
        self.send_response(404 if self.path == "/gone" else 200)
        if self.path == "/packed":
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        if self.path == "/endless":
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                return
        if self.path == "/slow":
            time.sleep(2)
        self.wfile.write(png())

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def site() -> Iterator[int]:
    """Run the host on loopback, and yield its port."""
    Site.requests = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def allow_loopback() -> dict[str, Any]:
    """Return options of `fetch` that resolve the host to loopback and treat that address as public."""
    return {"addresses": {"good.example": ["127.0.0.1"]}, "is_allowed": lambda address: True}


def test_a_listed_host_is_contacted_at_the_address_that_was_checked() -> None:
    with site() as port:
        data = fetch(f"http://good.example:{port}/x.png?a=1", f"good.example:{port}", **allow_loopback())
        assert data == png()
        assert Site.requests == [("/x.png?a=1", f"good.example:{port}")]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("redirect", "answers 302"),
        ("gone", "answers 404"),
        ("packed", "Content-Encoding"),
        ("endless", "at most 1000000 bytes"),
        ("slow", "within 0.5 s"),
    ],
)
def test_redirects_and_endless_or_slow_answers_are_rejected(path: str, reason: str) -> None:
    with site() as port:
        url = f"http://good.example:{port}/{path}"
        options = {**allow_loopback(), "max_bytes": 1_000_000, "timeout": 0.5 if path == "slow" else 60.0}
        assert reason in fetch_error(url, f"good.example:{port}", **options)
        assert len(Site.requests) == 1  # no redirect was followed


def test_a_name_is_resolved_once_so_it_cannot_change_its_address_after_the_check() -> None:
    with site() as port:
        addresses = [["127.0.0.1"], ["10.0.0.1"]]

        async def resolve(host: str, _: int) -> list[str]:
            return addresses.pop(0)

        async def run() -> bytes:
            fetcher = Fetcher([f"good.example:{port}"], resolve=resolve, is_allowed=lambda address: True)
            return await fetcher.fetch(f"http://good.example:{port}/x.png")

        assert asyncio.run(run()) == png()
        assert addresses == [["10.0.0.1"]]


def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with site() as port:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert fetch(f"http://good.example:{port}/x.png", f"good.example:{port}", **allow_loopback()) == png()


def test_the_gateway_fetches_images_from_hosts_that_its_operator_allows() -> None:
    with site() as port:

        async def resolve(host: str, _: int) -> list[str]:
            return ["127.0.0.1"]

        fetcher = Fetcher([f"good.example:{port}"], resolve=resolve, is_allowed=lambda address: True)
        with gateway(fetcher=fetcher) as running:
            body = {"image": f"http://good.example:{port}/x.png", "prompt": "a cat"}
            response = running.post("/v1/verdicts", json=body)
            assert (response.status_code, response.json()["size"]) == (200, [40, 30])
            rows = [body, {**body, "image": f"http://evil.example:{port}/x.png"}]
            assert running.post("/v1/scores", json={"rows": rows}).json()["scores"].count(None) == 1
