"""Access: without a key, with a wrong key, under another host name, and to routes of the engine behind."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import pytest
from command_line import assert_error, run
from serving import (
    KEY,
    KEY_LINE,
    KEYS,
    OTHER_KEY,
    Gateway,
    basic,
    bearer,
    data_url,
    gateway,
    send_raw,
)

from judge.errors import InputError
from judge.serve.keys import Keys
from judge.serve.settings import MIB, Settings

VLLM_ROUTES = (
    "/v1/chat/completions /v1/completions /v1/models /v1/embeddings /v1/responses /v1/messages "
    "/v1/score /v1/rerank /v1/audio/transcriptions /v1/load_lora_adapter /v1/unload_lora_adapter "
    "/v2/rerank /v2/embed /inference/v1/generate /cohere/v2/chat /tokenize /detokenize /pooling "
    "/classify /score /rerank /invocations /ping /version /health /load /server_info /sleep /wake_up "
    "/is_sleeping /collective_rpc /pause /resume /reset_prefix_cache /reset_mm_cache /start_profile "
    "/stop_profile /update_weights /abort_requests /scale_elastic_ep /generate /render"
).split()


@pytest.mark.parametrize(
    "path",
    ["/", "/docs", "/openapi.json", "/metrics", "/v1/rubrics", "/v1", "/config", "//healthz", "/healthz/",
     "/healthz/../v1/rubrics", "/readyz%2f..%2fmetrics", "/HEALTHZ", "/v1/verdicts?/healthz"],
)  # fmt: skip
def test_without_a_key_only_the_health_routes_answer(locked: Gateway, path: str) -> None:
    response = send_raw(locked, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert response.startswith(b"HTTP/1.1 401 "), response
    assert b"www-authenticate:" in response.lower()


def test_the_health_routes_need_no_key(locked: Gateway) -> None:
    assert locked.get("/healthz").status_code == 200
    assert locked.get("/readyz").status_code == 200
    for path in ("/healthz", "/readyz"):
        response = send_raw(locked, f"HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert response.startswith(b"HTTP/1.1 200 "), "load balancers ask by HEAD"


@pytest.mark.parametrize(
    "headers",
    [
        bearer(OTHER_KEY),
        bearer(KEY[:-1]),
        bearer(KEY + "x"),
        bearer(KEY.upper()),
        bearer(KEY_LINE.partition(":")[2]),  # the stored hash of a key is not a key
        bearer("alice"),
        {"Authorization": KEY},
        {"Authorization": "Bearer"},
        {"X-API-Key": OTHER_KEY},
        {"X-API-Key": ""},
        {"Cookie": f"key={KEY}"},
        basic(OTHER_KEY),
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
        {"Authorization": b"Bearer \xff\xfe"},
    ],
)
def test_a_wrong_key_is_rejected(locked: Gateway, headers: Any) -> None:
    for path in ("/v1/rubrics", "/metrics"):
        assert locked.get(path, headers=headers).status_code == 401
    assert locked.get("/v1/rubrics", params={"key": KEY, "api_key": KEY}).status_code == 401


@pytest.mark.parametrize("headers", [bearer(), {"X-API-Key": KEY}, {"Authorization": f"bearer {KEY}"}])
def test_a_valid_key_is_accepted_on_every_route(locked: Gateway, headers: dict[str, str]) -> None:
    for path in ("/v1/rubrics", "/metrics", "/docs", "/openapi.json"):
        assert locked.get(path, headers=headers).status_code == 200
    assert locked.verdict(headers=headers).status_code == 200


def test_basic_credentials_open_pages_but_not_the_api(locked: Gateway) -> None:
    """Browsers send Basic credentials by themselves, also with forms of other sites."""
    assert locked.get("/docs", headers=basic(KEY)).status_code == 200
    assert "Basic" in locked.get("/docs").headers["www-authenticate"]
    assert locked.verdict(headers=basic(KEY)).status_code == 401
    assert "Basic" not in locked.verdict().headers["www-authenticate"]


def test_a_request_without_a_key_is_not_parsed_or_judged(locked: Gateway) -> None:
    before = locked.service.verdict_counts.total()
    assert locked.post("/v1/verdicts", content=b"{" * 1000).status_code == 401
    assert locked.service.verdict_counts.total() == before


def test_only_hashes_are_stored_and_a_keys_file_without_keys_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "keys"
    created = run("serve", "--keys", str(file), "--new-key", "alice")
    key = created.stdout.strip()
    assert created.exit_code == 0 and len(key) > 40
    assert key not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert Keys.read(file).owner(key) == "alice"
    assert_error(run("serve", "--keys", str(file), "--new-key", "alice"), "new-key")
    run("serve", "--keys", str(file), "--new-key", "bob")
    assert set(Keys.read(file).hashes) == {"alice", "bob"}
    for wrong in ("", "# none\n", f"alice {key}\n", key, f"{KEY_LINE}\n{KEY_LINE}\n"):
        file.write_text(wrong)
        with pytest.raises(InputError, match="keys"):
            Keys.read(file)
    monkeypatch.setenv("JUDGE_KEYS", KEY_LINE)
    assert Keys.read(None).owner(KEY) == "alice"
    monkeypatch.setenv("JUDGE_KEYS", "")
    with pytest.raises(InputError, match="JUDGE_KEYS"):
        Keys.read(None)


def test_an_open_gateway_rejects_other_host_names(unlocked: Gateway) -> None:
    """In DNS rebinding, a web page makes its own host name resolve to 127.0.0.1."""
    for host in ("evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "localhost@evil.example"):
        assert unlocked.get("/v1/rubrics", headers={"Host": host}).status_code == 421, host
    for host in ("localhost:1", "127.0.0.1", "[::1]:8000", "LOCALHOST"):
        assert unlocked.get("/v1/rubrics", headers={"Host": host}).status_code == 200, host


# -- Routes that must not exist ------------------------------------------------------------------------


@pytest.mark.parametrize("path", VLLM_ROUTES)
def test_no_route_of_vllm_is_reachable_through_the_gateway(locked: Gateway, path: str) -> None:
    body = {"model": "embedded", "prompt": "x", "messages": [{"role": "user", "content": "x"}]}
    for method in ("GET", "POST"):
        url = locked.url + path
        assert httpx.request(method, url, json=body, trust_env=False).status_code == 401
        response = httpx.request(method, url, json=body, headers=bearer(), trust_env=False)
        assert response.status_code == 404, response.text


@pytest.mark.slow
def test_the_web_page_needs_a_key_too_and_adds_no_other_routes() -> None:
    """The page is mounted at "/" and gets every path that is not a route of the gateway."""
    pytest.importorskip("gradio")
    with gateway(settings=Settings(keys=KEYS)) as running:
        for path in ("/", "/config", "/gradio_api/info", "/gradio_api/upload", "/theme.css"):
            assert running.get(path).status_code == running.post(path).status_code == 401, path
        assert running.get("/", headers=basic(KEY)).status_code == 200
        for path in (*VLLM_ROUTES, "/gradio_api/file=/etc/passwd", "/gradio_api/proxy=http://127.0.0.1/"):
            for response in (
                running.get(path, headers=bearer()),
                running.post(path, json={}, headers=bearer()),
            ):
                assert response.status_code in (403, 404, 405), (path, response.text)
        large = running.post("/gradio_api/queue/join", content=b"x" * (65 * MIB), headers=basic(KEY))
        assert large.status_code == 413
        assert running.verdict(headers=bearer()).status_code == 200


def test_metrics_contain_none_of_vllm(locked: Gateway) -> None:
    assert "vllm" not in locked.get("/metrics", headers=bearer()).text


def test_websockets_are_rejected(locked: Gateway) -> None:
    upgrade = (
        "GET /v1/realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
        f"Authorization: Bearer {KEY}\r\n\r\n"
    )
    assert b" 101 " not in send_raw(locked, upgrade.encode()).partition(b"\r\n")[0]


def test_the_log_contains_no_images_prompts_or_keys(locked: Gateway) -> None:
    prompt, image = "a very secret purple elephant", data_url()
    body = {"image": image, "prompt": prompt, "elements": ["secret elephant"], "id": "secret-id"}
    locked.post("/v1/verdicts", json=body, headers=bearer())
    locked.post("/v1/verdicts", json={**body, "rubric": "secret-rubric"}, headers=bearer())
    locked.post("/v1/scores", json={"rows": [body, {**body, "image": "secret.png"}]}, headers=bearer())
    locked.post("/v1/verdicts", json=body, headers=bearer(OTHER_KEY))
    locked.get("/v1/rubrics?prompt=secret", headers=bearer())
    locked.get("/nothing%0Ahere", headers=bearer())
    text = locked.log_stream.getvalue()
    for secret in ("secret", "elephant", image[30:60], KEY, OTHER_KEY, KEY_LINE.partition(":")[2]):
        assert secret not in text
    lines = [line for line in locked.log if line["event"] == "request"]
    assert {"request_id", "method", "path", "status", "ms"} <= set(lines[-1])
    assert any(line.get("key") == "alice" for line in lines)
