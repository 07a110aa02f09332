"""What strangers try on a gateway: without keys, around its limits, through it, and by its log."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import json
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from serving import Gateway, data_url, gateway, png
from typer.testing import CliRunner

from judge.cli import app as cli
from judge.errors import InputError, MediaError
from judge.serve import keys as keyring
from judge.serve.fetch import Fetcher, is_public
from judge.serve.keys import Keys
from judge.serve.settings import MIB, Settings, hosts_of

KEY, LINE = keyring.made("alice", None)
OTHER, _ = keyring.made("mallory", None)
LOCKED = Keys(dict([LINE.split(":")]))
VLLM = (
    "/v1/chat/completions /v1/completions /v1/models /v1/embeddings /v1/responses /v1/messages "
    "/v1/score /v1/rerank /v1/audio/transcriptions /v1/load_lora_adapter /v1/unload_lora_adapter "
    "/v2/rerank /v2/embed /inference/v1/generate /cohere/v2/chat /tokenize /detokenize /pooling "
    "/classify /score /rerank /invocations /ping /version /health /load /server_info /sleep /wake_up "
    "/is_sleeping /collective_rpc /pause /resume /reset_prefix_cache /reset_mm_cache /start_profile "
    "/stop_profile /update_weights /abort_requests /scale_elastic_ep /generate /render"
).split()


@pytest.fixture(scope="module")
def locked() -> Iterator[Gateway]:
    settings = Settings(keys=LOCKED, page=False, max_body=MIB, body_s=1.0, max_rows=8)
    with gateway(settings=settings) as one:
        yield one


@pytest.fixture(scope="module")
def opened() -> Iterator[Gateway]:
    settings = Settings(hosts=hosts_of("127.0.0.1", closed=False), page=False, max_body=MIB)
    with gateway(settings=settings) as one:
        yield one


def bearer(key: str = KEY) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def basic(key: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"anybody:{key}".encode()).decode()}


# -- Keys ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/openapi.json", "/metrics", "/v1/rubrics", "/v1", "/config", "//healthz", "/healthz/",
     "/healthz/../v1/rubrics", "/readyz%2f..%2fmetrics", "/HEALTHZ", "/v1/verdicts?/healthz"],
)  # fmt: skip
def test_without_a_key_nothing_but_health_is_open(locked: Gateway, path: str) -> None:
    answer = raw(locked, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 401 "), answer
    assert b"www-authenticate:" in answer.lower()


def test_health_is_open(locked: Gateway) -> None:
    assert locked.get("/healthz").status_code == 200
    assert locked.get("/readyz").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        bearer(OTHER),
        bearer(KEY[:-1]),
        bearer(KEY + "x"),
        bearer(KEY.upper()),
        bearer(LINE.partition(":")[2]),  # who steals the file of hashes has no key
        bearer("alice"),
        {"Authorization": KEY},
        {"Authorization": "Bearer"},
        {"X-API-Key": OTHER},
        {"X-API-Key": ""},
        {"Cookie": f"key={KEY}"},
        basic(OTHER),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
        {"Authorization": b"Bearer \xff\xfe"},
    ],
)
def test_a_wrong_key_opens_nothing(locked: Gateway, headers: Any) -> None:
    for path in ("/v1/rubrics", "/metrics"):
        assert locked.get(path, headers=headers).status_code == 401
    assert locked.get("/v1/rubrics", params={"key": KEY, "api_key": KEY}).status_code == 401


@pytest.mark.parametrize("headers", [bearer(), {"X-API-Key": KEY}, {"Authorization": f"bearer {KEY}"}])
def test_the_key_opens_everything(locked: Gateway, headers: dict[str, str]) -> None:
    for path in ("/v1/rubrics", "/metrics", "/docs", "/openapi.json"):
        assert locked.get(path, headers=headers).status_code == 200
    assert locked.verdict(headers=headers).status_code == 200


def test_a_browser_gets_to_see_pages_by_password_but_may_not_use_the_api_by_it(locked: Gateway) -> None:
    """Browsers send Basic credentials along by themselves, for forms of other sites too."""
    assert locked.get("/docs", headers=basic(KEY)).status_code == 200
    assert "Basic" in locked.get("/docs").headers["www-authenticate"]
    assert locked.verdict(headers=basic(KEY)).status_code == 401
    assert "Basic" not in locked.verdict().headers["www-authenticate"]


def test_a_refused_request_reaches_neither_engine_nor_decoder(locked: Gateway) -> None:
    before = locked.service.judged.total()
    assert locked.post("/v1/verdicts", content=b"{" * 1000).status_code == 401
    assert locked.service.judged.total() == before


def test_the_server_knows_hashes_only_and_a_slip_does_not_leave_it_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys"
    made = CliRunner().invoke(cli.app, ["serve", "--keys", str(file), "--new-key", "alice"])
    key = made.stdout.strip()
    assert made.exit_code == 0 and len(key) > 40
    assert key not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert Keys.read(file).owner(key) == "alice"
    again = CliRunner().invoke(cli.app, ["serve", "--keys", str(file), "--new-key", "alice"])
    assert again.exit_code == 2
    CliRunner().invoke(cli.app, ["serve", "--keys", str(file), "--new-key", "bob"])
    assert set(Keys.read(file).hashes) == {"alice", "bob"}
    for wrong in ("", "# none\n", f"alice {key}\n", key, f"{LINE}\n{LINE}\n"):
        file.write_text(wrong)
        with pytest.raises(InputError, match="keys"):
            Keys.read(file)
    monkeypatch.setenv("JUDGE_KEYS", LINE)
    assert Keys.read(None).owner(KEY) == "alice"
    monkeypatch.setenv("JUDGE_KEYS", "")
    with pytest.raises(InputError, match="JUDGE_KEYS"):
        Keys.read(None)


def test_a_web_page_cannot_reach_an_open_gateway_under_a_name_of_its_own(opened: Gateway) -> None:
    """DNS rebinding: the page's own name, made to resolve to 127.0.0.1."""
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost@evil.example"):
        assert opened.get("/v1/rubrics", headers={"Host": host}).status_code == 421, host
    for host in ("localhost:1", "127.0.0.1", "[::1]:8000", "LOCALHOST"):
        assert opened.get("/v1/rubrics", headers={"Host": host}).status_code == 200, host


# -- Routes of what is behind --------------------------------------------------------------------------


@pytest.mark.parametrize("path", VLLM)
def test_no_route_of_vllm_is_reachable_through_the_gateway(locked: Gateway, path: str) -> None:
    body = {"model": "embedded", "prompt": "x", "messages": [{"role": "user", "content": "x"}]}
    for method in ("GET", "POST"):
        url = locked.url + path
        assert httpx.request(method, url, json=body, trust_env=False).status_code == 401
        found = httpx.request(method, url, json=body, headers=bearer(), trust_env=False)
        assert found.status_code == 404, found.text


@pytest.mark.slow
def test_the_page_is_as_closed_as_the_rest_and_opens_no_way_around_it() -> None:
    """The page stands at "/" and takes every path that the gateway itself does not."""
    pytest.importorskip("gradio")
    with gateway(settings=Settings(keys=LOCKED)) as one:
        for path in ("/", "/config", "/gradio_api/info", "/gradio_api/upload", "/theme.css"):
            assert one.get(path).status_code == one.post(path).status_code == 401, path
        assert one.get("/", headers=basic(KEY)).status_code == 200
        for path in (*VLLM, "/gradio_api/file=/etc/passwd", "/gradio_api/proxy=http://127.0.0.1/"):
            for answer in (one.get(path, headers=bearer()), one.post(path, json={}, headers=bearer())):
                assert answer.status_code in (403, 404, 405), (path, answer.text)
        large = one.post("/gradio_api/queue/join", content=b"x" * (65 * MIB), headers=basic(KEY))
        assert large.status_code == 413
        assert one.verdict(headers=bearer()).status_code == 200


def test_the_gateways_metrics_are_its_own(locked: Gateway) -> None:
    assert "vllm" not in locked.get("/metrics", headers=bearer()).text


def test_web_sockets_are_refused(locked: Gateway) -> None:
    upgrade = (
        "GET /v1/realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Authorization: Bearer {KEY}\r\n\r\n"
    )
    assert b" 101 " not in raw(locked, upgrade.encode()).partition(b"\r\n")[0]


# -- Pictures that are none ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "image",
    ["/etc/passwd", "picture.png", "file:///etc/passwd", "\\\\host\\share\\x.png", "C:\\x.png", "~/x.png",
     "ftp://127.0.0.1/x.png", "gopher://127.0.0.1/", "javascript:1", "", " data:image/png;base64,AA==",
     None, 7, True, ["/etc/passwd"], {"path": "/etc/passwd"}],
)  # fmt: skip
def test_a_path_or_another_scheme_is_no_picture(opened: Gateway, image: Any) -> None:
    answer = opened.post("/v1/verdicts", json={"image": image, "prompt": "a cat"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "image"), answer.text
    assert "root:" not in answer.text


def test_a_path_in_a_form_or_a_row_is_no_picture_either(opened: Gateway, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(png())
    path = str(tmp_path / "secret.png")
    form = opened.post("/v1/verdicts", files={"x": (None, "")}, data={"image": path, "prompt": "a cat"})
    assert form.status_code == 400
    rows = opened.post("/v1/scores", json={"rows": [{"image": path, "prompt": "a cat"}]}).json()
    assert rows["scores"] == [None]
    assert "paths are not read" in rows["verdicts"][0]["reason"]
    named = opened.post("/v1/verdicts", files={"image": (path, b"")}, data={"prompt": "a cat"})
    assert named.status_code == 400  # the file's name in the form is no path to read from


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that says it is enormous."""
    head = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(1000))
    chunks = (head, data, b"IEND")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks
    )


@pytest.mark.parametrize("side", [9000, 20_000, 60_000, 2**31 - 1])
def test_an_image_bomb_is_refused_by_its_header(opened: Gateway, side: int) -> None:
    answer = opened.post("/v1/verdicts", files={"image": bomb(side)}, data={"prompt": "a cat"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "image")
    assert "pixels" in answer.text


@pytest.mark.parametrize(
    "data",
    [b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", b"%!PS\n(x) run",
     b"GIF89a", png()[:60], b"\x00" * 5000, b""],
)  # fmt: skip
def test_what_is_no_still_picture_is_refused(opened: Gateway, data: bytes) -> None:
    answer = opened.post("/v1/verdicts", files={"image": data}, data={"prompt": "a cat"})
    assert answer.status_code == 400, answer.text


# -- Bodies --------------------------------------------------------------------------------------------


def raw(gateway: Gateway, sent: bytes, then: bytes = b"") -> bytes:
    """What a connection answers to bytes that no client library would send."""
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as wire:
        wire.sendall(sent)
        try:
            if then:
                wire.sendall(then)
            answer = b""
            while part := wire.recv(65536):
                answer += part
        except ConnectionError:
            pass
        return answer


def head(path: str, *lines: str) -> bytes:
    own = (f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: Bearer {KEY}", *lines)
    return ("\r\n".join(own) + "\r\n\r\n").encode()


def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent(locked: Gateway) -> None:
    lines = (f"Content-Length: {10**12}", "Content-Type: application/json", "Expect: 100-continue")
    answer = raw(locked, head("/v1/verdicts", *lines))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["field"] == "body"


def test_a_body_that_turns_out_too_large_is_cut_off(locked: Gateway) -> None:
    """Chunked, so that nothing says beforehand how long it will be."""

    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b"x" * (MIB // 16)

    for path in ("/v1/verdicts", "/v1/scores", "/v1/compare"):
        headers = {**bearer(), "Content-Type": "application/json"}
        answer = locked.post(path, content=chunks(), headers=headers)
        assert answer.status_code == 413, path
    files = {"image": png() + b"x" * (2 * MIB)}
    assert locked.post("/v1/verdicts", files=files, headers=bearer()).status_code == 413


def test_a_slow_body_is_cut_off_by_a_deadline(locked: Gateway) -> None:
    lines = ("Content-Length: 1000", "Content-Type: application/json")
    answer = raw(locked, head("/v1/verdicts", *lines), b'{"image"')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()
    assert locked.service.inside == 0


def test_bodies_inside_are_limited_together() -> None:
    with gateway(settings=Settings(page=False, max_held=100_000)) as one:
        answer = one.post("/v1/verdicts", files={"image": png() + b"x" * 200_000}, data={"prompt": "a cat"})
        assert (answer.status_code, "retry-after" in answer.headers) == (429, True)
        assert one.verdict().status_code == 200


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
def test_bodies_that_are_no_request_are_told_so(opened: Gateway, kind: str, body: bytes, status: int) -> None:
    for path in ("/v1/verdicts", "/v1/compare"):
        answer = opened.post(path, content=body, headers={"Content-Type": kind})
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["mend"]


def test_a_form_of_many_parts_and_a_batch_of_many_rows_are_refused(locked: Gateway) -> None:
    data = {f"f{n}": "x" for n in range(500)}
    answer = locked.post("/v1/verdicts", files={"image": png()}, data=data, headers=bearer())
    assert answer.status_code == 400
    many = [("image", png())] * 20
    assert locked.post("/v1/verdicts", files=many, headers=bearer()).status_code == 400
    rows = [{"image": data_url(), "prompt": "a cat"}] * 9
    answer = locked.post("/v1/scores", json={"rows": rows}, headers=bearer())
    assert (answer.status_code, answer.json()["error"]["field"]) == (400, "rows")


@pytest.mark.parametrize("name", ["a\r\nX-Evil: 1", "a\nSet-Cookie: x=1", "x" * 65, "a b", "", "\x00", "é"])
def test_a_request_id_cannot_carry_headers_or_anything_else(opened: Gateway, name: str) -> None:
    sent = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Request-ID: {name}\r\n\r\n"
    answer = raw(opened, sent.encode())
    headers = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"evil" not in headers and b"set-cookie" not in headers
    if answer.startswith(b"HTTP/1.1 200 "):
        assert name.encode() == b"" or f"x-request-id: {name}\r\n".encode() not in headers + b"\r\n"


def test_a_sane_request_id_comes_back(opened: Gateway) -> None:
    answer = opened.get("/healthz", headers={"X-Request-ID": "job-7.a_b"})
    assert answer.headers["x-request-id"] == "job-7.a_b"
    made = [opened.get("/healthz").headers["x-request-id"] for _ in range(2)]
    assert len(set(made)) == 2


def test_line_ends_in_fields_reach_no_header(opened: Gateway) -> None:
    form = {"prompt": "a cat\r\nX-Evil: 1", "id": "1\r\nX-Evil: 1", "rubric": "x\r\nX-Evil: 1"}
    for data in (form, {**form, "rubric": "default"}):
        answer = opened.post("/v1/verdicts", files={"image": png()}, data=data)
        assert not any("evil" in name.lower() for name in answer.headers)


def test_the_log_holds_neither_pictures_nor_prompts_nor_keys(locked: Gateway) -> None:
    prompt, image = "a very secret purple elephant", data_url()
    asked = {"image": image, "prompt": prompt, "elements": ["secret elephant"], "id": "secret-id"}
    locked.post("/v1/verdicts", json=asked, headers=bearer())
    locked.post("/v1/verdicts", json={**asked, "rubric": "secret-rubric"}, headers=bearer())
    locked.post("/v1/scores", json={"rows": [asked, {**asked, "image": "secret.png"}]}, headers=bearer())
    locked.post("/v1/verdicts", json=asked, headers=bearer(OTHER))
    locked.get("/v1/rubrics?prompt=secret", headers=bearer())
    locked.get("/nothing%0Ahere", headers=bearer())
    text = locked.written.getvalue()
    for secret in ("secret", "elephant", image[30:60], KEY, OTHER, LINE.partition(":")[2]):
        assert secret not in text
    seen = [line for line in locked.log if line["event"] == "request"]
    assert {"request_id", "method", "path", "status", "ms"} <= set(seen[-1])
    assert any(line.get("key") == "alice" for line in seen)


# -- Fetching ------------------------------------------------------------------------------------------


def test_without_an_allow_list_no_url_is_fetched(opened: Gateway) -> None:
    with site() as port:
        url = f"http://127.0.0.1:{port}/x.png"
        answer = opened.post("/v1/verdicts", json={"image": url, "prompt": "a cat"})
        assert (answer.status_code, answer.json()["error"]["field"]) == (400, "image")
        assert "fetches nothing" in answer.text
        rows = opened.post("/v1/scores", json={"rows": [{"image": url, "prompt": "a cat"}]})
        assert rows.json()["scores"] == [None]
        assert Site.asked == []


def fetched(url: str, *hosts: str, addresses: dict[str, list[str]] | None = None, **options: Any) -> bytes:
    """Fetch with a resolver of our own, so that tests neither need nor touch a network."""

    async def resolve(host: str, port: int) -> list[str]:
        return (addresses or {})[host]

    async def fetch() -> bytes:
        return await Fetcher(hosts, resolve=resolve, **options).fetch(url)

    return asyncio.run(fetch())


def refused(url: str, *hosts: str, **options: Any) -> str:
    with pytest.raises(MediaError) as caught:
        fetched(url, *hosts, **options)
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
def test_a_host_that_is_not_listed_is_not_asked(url: str) -> None:
    private = {"good.example": ["93.184.216.34"], "localhost": ["127.0.0.1"]}
    assert "image" in refused(url, "good.example", addresses=private)


NOT_PUBLIC = (
    "127.0.0.1 127.255.255.254 10.0.0.1 172.16.0.1 192.168.1.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 "
    "239.1.1.1 255.255.255.255 240.0.0.1 192.0.2.1 198.18.0.1 ::1 :: fe80::1 fc00::1 fd12::1 ff02::1 "
    "::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 64:ff9b::7f00:1 64:ff9b::a9fe:a9fe "
    "2002:7f00:1:: 2002:a00:1:: 2001:db8::1 2001:0:4136:e378:8000:63bf:f5ff:fffe fec0::1"
).split()


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_a_listed_name_that_resolves_to_no_public_address_is_not_asked(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    said = refused("http://good.example/x.png", "good.example", addresses={"good.example": [address]})
    assert "public" in said
    mixed = {"good.example": ["93.184.216.34", address]}
    assert "public" in refused("http://good.example/x.png", "good.example", addresses=mixed)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34"])
def test_public_addresses_are_known_as_such(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1/x.png", "http://2130706433/x.png", "http://0177.0.0.1/x.png", "http://[::1]/x.png"],
)
def test_even_a_listed_private_address_is_not_asked(url: str) -> None:
    """By the system's own resolver, which knows every way to write an address."""

    async def fetch() -> bytes:
        return await Fetcher(["127.0.0.1", "2130706433", "0177.0.0.1", "[::1]"]).fetch(url)

    with pytest.raises(MediaError):
        asyncio.run(fetch())


class Site(BaseHTTPRequestHandler):
    """A host that is allowed, and does what it should not."""

    asked: list[tuple[str, str]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Host"]))
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
    Site.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def lenient(port: int) -> dict[str, Any]:
    """A test's site stands on loopback, which it has to be told to take for public."""
    here = {"good.example": ["127.0.0.1"]}
    return {"addresses": here, "allowed": lambda address: True}


def test_a_listed_host_is_fetched_from_at_the_address_that_was_checked() -> None:
    with site() as port:
        data = fetched(f"http://good.example:{port}/x.png?a=1", f"good.example:{port}", **lenient(port))
        assert data == png()
        assert Site.asked == [("/x.png?a=1", f"good.example:{port}")]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("redirect", "answers 302"),
        ("gone", "answers 404"),
        ("packed", "Content-Encoding"),
        ("endless", "at most 1000000 bytes"),
        ("slow", "within 0.5 s"),
    ],
)
def test_redirects_and_answers_without_end_are_refused(path: str, said: str) -> None:
    with site() as port:
        url = f"http://good.example:{port}/{path}"
        options = {**lenient(port), "max_bytes": 1_000_000, "seconds": 0.5 if path == "slow" else 60.0}
        assert said in refused(url, f"good.example:{port}", **options)
        assert len(Site.asked) == 1  # above all, nobody followed the redirect


def test_a_name_that_changes_its_address_after_the_check_is_still_asked_at_the_checked_one() -> None:
    with site() as port:
        told = [["127.0.0.1"], ["10.0.0.1"]]

        async def resolve(host: str, _: int) -> list[str]:
            return told.pop(0)

        async def fetch() -> bytes:
            fetcher = Fetcher([f"good.example:{port}"], resolve=resolve, allowed=lambda address: True)
            return await fetcher.fetch(f"http://good.example:{port}/x.png")

        assert asyncio.run(fetch()) == png()
        assert told == [["10.0.0.1"]]  # resolved once


def test_a_proxy_of_the_environment_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with site() as port:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        assert fetched(f"http://good.example:{port}/x.png", f"good.example:{port}", **lenient(port)) == png()


def test_the_gateway_fetches_for_those_who_ask_when_its_operator_allows() -> None:
    with site() as port:

        async def resolve(host: str, _: int) -> list[str]:
            return ["127.0.0.1"]

        fetcher = Fetcher([f"good.example:{port}"], resolve=resolve, allowed=lambda address: True)
        with gateway(fetcher=fetcher) as one:
            asked = {"image": f"http://good.example:{port}/x.png", "prompt": "a cat"}
            answer = one.post("/v1/verdicts", json=asked)
            assert (answer.status_code, answer.json()["size"]) == (200, [40, 30])
            rows = [asked, {**asked, "image": f"http://evil.example:{port}/x.png"}]
            assert one.post("/v1/scores", json={"rows": rows}).json()["scores"].count(None) == 1
