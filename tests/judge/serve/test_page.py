"""The page in a real browser: what people see, press, type and drop, and what hostile input must not do.

The first tests need no browser: they ask the page's routes as a stranger would.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import browser
import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from filler import Filler
from PIL import Image
from seer import Seer, large

from judge.backends.scripted import Scripted
from judge.judge import Judge
from judge.types import Comparison, Sample, Verdict

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")

from judge.serve.page.app import MAX_BODY, largest_of, mount  # noqa: E402 - only where gradio is installed
from judge.serve.service import WHOLE, Wanted  # noqa: E402

PATIENCE = 240_000
"""Milliseconds that a browser waits for anything: a guard against hanging, not a promise of speed."""
WAIT = PATIENCE / 1000
"""The same for a request, in seconds."""
ANSWER = {
    "elements": {"red car": True, "blue house": False},
    "degradation": "blur",
    "defects": [
        {
            "kind": "erased",
            "box": [100, 200, 400, 600],
            "severity": "moderate",
            "explanation": "a wheel is gone",
        },
        {
            "kind": "tint",
            "box": [500, 500, 980, 990],
            "severity": "critical",
            "explanation": "the roof is green",
        },
    ],
    "alignment": 3,
    "structure": 2,
    "score": 3,
    "explanation": "half of it is there",
}
HOSTILE = (
    '<img src=x onerror="window.hacked=1"> <script>window.hacked=2</script> ${window.hacked=3} '
    "{{constructor.constructor('window.hacked=4')()}} \" onfocus=window.hacked=5 autofocus x=\""
)
DISK = "/etc/passwd"


class StandIn:
    """The service's interface over a scripted backend in this process, for answers that a test chooses."""

    def __init__(self) -> None:
        self.state, self.pause = "ready", 0.0
        self.backend: Any = Scripted()
        self.looks = 60

    def rubrics(self) -> list[dict[str, Any]]:
        return [{"name": name, "description": f"the {name} one"} for name in ("default", "quality")]

    async def verdict(self, sample: Sample, wanted: Wanted = WHOLE) -> Verdict:
        judge = Judge(backend=self.backend, rubric=wanted.rubric, looks=wanted.looks)
        fields = {"prompt": sample.prompt, "elements": sample.elements}
        await asyncio.sleep(self.pause)
        request = partial(judge, sample.image, depth=wanted.depth, heat=wanted.heat, **fields)
        return await asyncio.to_thread(request)

    async def compare(self, a: Sample, b: Sample, wanted: Wanted = WHOLE) -> Comparison:
        judge = Judge(backend=self.backend, rubric=wanted.rubric, looks=wanted.looks)
        fields = {"prompt": a.prompt, "elements": a.elements, "how": "pointwise"}
        return await asyncio.to_thread(judge.compare, a.image, b.image, **fields)


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """The address of an app that runs in a thread of its own."""
    config = uvicorn.Config(app, port=0, log_level="warning", ws="none", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def stand_in() -> StandIn:
    return StandIn()


@pytest.fixture(scope="module")
def scripted(stand_in: StandIn) -> Iterator[str]:
    """Address of a page over the stand-in."""
    with served(mount(FastAPI(), stand_in)) as address:  # type: ignore[arg-type]
        yield address


@pytest.fixture
def answers(stand_in: StandIn) -> Iterator[list[Any]]:
    """The replies that the next verdicts of `scripted` are made of."""
    stand_in.backend = Scripted()
    yield stand_in.backend.replies
    stand_in.state, stand_in.pause = "ready", 0.0


def png(size: tuple[int, int] = (200, 100), kind: str = "PNG", **how: Any) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, kind, **how)
    return file.getvalue()


# -- The routes, without a browser ---------------------------------------------------------------------


def press(address: str, name: str, data: list[Any]) -> str:
    """What the page shows when an event is sent as its script sends it; `name` of the function behind it."""
    config = httpx.get(f"{address}/config", timeout=WAIT).json()
    number = next(one["id"] for one in config["dependencies"] if one["api_name"] == name)
    body = {"data": data, "fn_index": number, "session_hash": "stranger", "event_data": None}
    httpx.post(f"{address}/gradio_api/queue/join", json=body, timeout=WAIT).raise_for_status()
    url = f"{address}/gradio_api/queue/data?session_hash=stranger"
    with httpx.stream("GET", url, timeout=WAIT) as stream:
        for line in stream.iter_lines():
            message = json.loads(line.removeprefix("data: ") or "{}") if line else {}
            if message.get("msg") == "process_completed":
                return json.dumps(message["output"])
    raise AssertionError("the event never ended")


@pytest.mark.parametrize(
    "path",
    [
        f"/gradio_api/file={DISK}",
        f"/gradio_api/file/{DISK}",
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
        f"/svelte/..%2f..%2f..%2f..%2f{DISK}",
        f"/static/..%2f..%2f..%2f..%2f..%2f..%2f..%2f..%2f{DISK}",
        f"/assets/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e{DISK}",
    ],
)
def test_no_route_reads_the_disk_or_fetches_anything(scripted: str, path: str) -> None:
    response = httpx.get(f"{scripted}{path}", timeout=WAIT)
    assert response.status_code in (403, 404)
    assert "root:" not in response.text
    if path.startswith("/gradio_api/"):
        assert response.status_code == 403


@pytest.mark.parametrize("path", ["upload", "component_server", "run/judged", "call/judged", "vibe-edit"])
def test_no_route_takes_uploads_or_is_a_second_api(scripted: str, path: str) -> None:
    files = {"files": ("x.png", png())}
    assert httpx.post(f"{scripted}/gradio_api/{path}", files=files, timeout=WAIT).status_code == 403


def test_the_page_has_no_share_link_and_describes_no_api(scripted: str) -> None:
    config = httpx.get(f"{scripted}/config", timeout=WAIT).json()
    assert not config.get("share") and not config["analytics_enabled"] and not config["run_history"]
    assert httpx.get(f"{scripted}/gradio_api/info", timeout=WAIT).json()["named_endpoints"] == {}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
    ],
)
def test_scripts_of_other_sites_are_refused(scripted: str, headers: dict[str, str]) -> None:
    """Gradio itself answers every site, with the visitor's credentials."""
    for path in ("/config", "/"):
        response = httpx.get(f"{scripted}{path}", headers=headers, timeout=WAIT)
        assert response.status_code == 403
        assert "access-control-allow-origin" not in response.headers


def test_a_link_from_another_site_opens_the_page(scripted: str) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    response = httpx.get(scripted, headers=headers, timeout=WAIT)
    assert response.status_code == 200
    assert "frame-ancestors 'self'" in response.headers["content-security-policy"]


@pytest.mark.parametrize(
    "given",
    [
        {"path": DISK, "meta": {"_type": "gradio.FileData"}},
        {
            "path": "http://127.0.0.1:1/x.png",
            "url": "http://127.0.0.1:1/x",
            "meta": {"_type": "gradio.FileData"},
        },
        DISK,
        "pyproject.toml",
        "http://127.0.0.1:1/x.png",
        ["data:image/png;base64,", 3],
        {"value": "data:,"},
        "data:image/png;base64,####",
        None,
    ],
)
def test_what_is_no_picture_is_neither_opened_nor_fetched(
    scripted: str, given: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradio opens paths and fetches addresses in what it takes for files, before it calls any function."""
    from gradio.blocks import Block

    async def never(*_: Any) -> None:
        raise AssertionError("a file of the request was opened")

    monkeypatch.setattr(Block, "async_move_resource_to_block_cache", never)
    shown = press(scripted, "judged", [given, "a red car", "", "default", "verdict", "0", "no"])
    assert "The picture cannot be used" in shown and "root:" not in shown


@pytest.mark.parametrize(
    ("field", "at", "given"),
    [
        ("prompt", 1, 7),
        ("prompt", 1, " "),
        ("prompt", 1, "x" * 30_000),
        ("elements", 2, "a car, a car"),
        ("rubric", 3, DISK),
        ("rubric", 3, None),
        ("depth", 4, "deep"),
        ("depth", 4, ["verdict"]),
        ("number of closer looks", 5, "many"),
        ("number of closer looks", 5, "-1"),
        ("number of closer looks", 5, "9" * 5000),
    ],
)
def test_bad_fields_are_told_by_name(scripted: str, field: str, at: int, given: Any) -> None:
    picture = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    data: list[Any] = [picture, "a red car", "", "default", "verdict", "0", "no"]
    data[at] = given
    shown = press(scripted, "judged", data)
    assert f"The {field} cannot be used" in shown and "root:" not in shown


# -- In a browser --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = browser.found()
    if path is None:
        pytest.skip("no chromium here: `make test` as root, or apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # Playwright gives every launch an empty profile of its own.
        started = playwright.chromium.launch(executable_path=path, args=list(browser.FLAGS), headless=True)
        yield started
        started.close()


@pytest.fixture(scope="module")
def visitor(chromium: Any) -> Any:
    """One visitor for most tests, so that the page's many small files come from the browser's cache."""
    return chromium.new_context()


@pytest.fixture
def opened(chromium: Any, visitor: Any) -> Iterator[Callable[..., Any]]:
    """Opens the page of an address. Asking another host and errors in the console fail the test."""
    pages, asked, complaints = [], list[str](), list[str]()

    def listen(message: Any) -> None:
        if message.type == "error":
            complaints.append(message.text)

    def open_page(address: str, **how: Any) -> Any:
        page = (chromium.new_context(**how) if how else visitor).new_page()
        page.set_default_timeout(PATIENCE)
        pages.append(page)
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", listen)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(dialog.message))
        page.goto(address)
        page.get_by_role("button", name="Judge").wait_for()
        page.locator("#j-offered [data-scene]").first.wait_for()
        return page

    yield open_page
    for page in pages:
        page.close()
    assert not complaints
    foreign = [url for url in asked if not re.match(r"http://127\.0\.0\.1:\d+/|data:|blob:", url)]
    assert not foreign


def choose(page: Any, data: bytes, name: str = "picture.png", field: str = "Picture") -> None:
    """Give the page a picture, and wait until it is shown: what is below it has its place then."""
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    page.get_by_label(re.compile(f"^{field}: ")).set_input_files(file)
    page.get_by_text(re.compile(re.escape(name) + r", \d")).first.wait_for()
    page.wait_for_function("[...document.images].every(one => one.complete)")


def judged(page: Any, prompt: str = "a red car and a blue house") -> Any:
    """The verdict's element after prompt and Enter."""
    field = page.get_by_label("Prompt", exact=True).first
    field.fill(prompt)
    field.press("Enter")
    found = page.locator("#j-verdict .j-verdict, #j-verdict .j-alert")
    found.wait_for()
    return found


def compared(page: Any) -> Any:
    """The comparison's element; what went wrong instead fails the test with its words."""
    found = page.locator("#j-comparison .j-comparison, #j-comparison .j-alert")
    found.wait_for()
    assert "j-comparison" in found.get_attribute("class"), found.inner_text()
    return found


def overflow(page: Any) -> int:
    """Pixels by which the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@pytest.mark.slow
def test_a_picture_and_a_prompt_give_score_chips_regions_and_json(
    scripted: str, opened: Callable[..., Any], answers: list[Any]
) -> None:
    answers.append(ANSWER)
    page = opened(scripted)
    choose(page, png())
    verdict = judged(page)
    assert verdict.locator(".j-score").inner_text().split() == ["3.00", "of", "5"]
    assert verdict.locator(".j-dist tr").all_inner_texts()[2].split() == ["3", "100", "%"]
    chips = [text.split() for text in verdict.locator(".j-chips li").all_inner_texts()]
    assert chips == [["✓", "there:", "red", "car", "100", "%"], ["✗", "absent:", "blue", "house", "0", "%"]]
    lines = [
        chip.evaluate("e => getComputedStyle(e).borderStyle") for chip in verdict.locator("li").all()[-2:]
    ]
    assert lines == ["solid", "dashed"]

    picture = verdict.locator(".j-picture").bounding_box()
    found = [box.bounding_box() for box in verdict.locator(".j-box").all()]
    assert len(found) == 2
    assert found[0]["x"] - picture["x"] == pytest.approx(0.1 * picture["width"], abs=2)
    assert found[0]["y"] - picture["y"] == pytest.approx(0.2 * picture["height"], abs=2)
    assert found[0]["width"] == pytest.approx(0.3 * picture["width"], abs=2)
    assert found[0]["height"] == pytest.approx(0.4 * picture["height"], abs=2)
    regions = verdict.locator(".j-region").all_inner_texts()
    assert "a wheel is gone" in regions[0] and "the roof is green" in regions[1]
    assert verdict.locator(".j-facts").inner_text().lower().split()[:5] == [
        "alignment",
        "3.00",
        "of",
        "5",
        "structure",
    ]
    assert "rubric default" in verdict.locator(".j-made").inner_text()

    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    verdict.get_by_text("JSON").click()
    verdict.get_by_role("button", name="Copy").click()
    verdict.get_by_text("Copied.").wait_for()
    copied = Verdict.model_validate_json(page.evaluate("navigator.clipboard.readText()"))
    assert copied.size == (200, 100) and [defect.kind for defect in copied.defects] == ["erased", "tint"]


@pytest.mark.slow
def test_pointing_at_a_region_explains_it_and_lights_its_line(
    scripted: str, opened: Callable[..., Any], answers: list[Any]
) -> None:
    answers.append(ANSWER)
    page = opened(scripted)
    choose(page, png())
    verdict = judged(page)
    tips, lines = verdict.get_by_role("tooltip", include_hidden=True), verdict.locator(".j-region")
    assert [tip.is_visible() for tip in tips.all()] == [False, False]
    verdict.locator(".j-box").nth(1).hover()
    assert [tip.is_visible() for tip in tips.all()] == [False, True]
    assert "the roof is green" in tips.nth(1).inner_text()
    assert ["j-lit" in line.get_attribute("class") for line in lines.all()] == [False, True]
    lines.nth(0).hover()
    boxes = verdict.locator(".j-box")
    assert ["j-lit" in box.get_attribute("class") for box in boxes.all()] == [True, False]


@pytest.mark.slow
def test_keys_alone_judge_and_reach_every_region(
    scripted: str, opened: Callable[..., Any], answers: list[Any]
) -> None:
    answers.append(ANSWER)
    page = opened(scripted)
    # From the first listener on, the browser hands its file dialogs over; nothing waits until it does.
    page.on("filechooser", lambda _: None)

    def tab_to(wanted: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            focus = page.evaluate_handle("document.activeElement").as_element()
            visible = focus.evaluate(
                "e => [e, e.nextElementSibling].some(o => o && getComputedStyle(o).outlineStyle !== 'none')"
            )
            assert visible or focus.evaluate("e => e === document.body"), "the focus must be seen"
            if focus.evaluate("(e, wanted) => e.matches(wanted)", wanted):
                return
        raise AssertionError(f"Tab never reaches {wanted}")

    tab_to("input[type=file]")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files({"name": "keys.png", "mimeType": "image/png", "buffer": png()})
    page.get_by_text("keys.png, ").wait_for()
    tab_to("textarea")
    page.keyboard.type("a red car and a blue house")
    page.keyboard.press("Enter")
    page.locator(".j-verdict").wait_for()
    for said in ("a wheel is gone", "the roof is green"):
        tab_to(".j-box")
        assert said in page.locator(".j-box:focus .j-tip").inner_text()
    tab_to("summary")
    page.keyboard.press("Enter")
    tab_to(".j-copy")


@pytest.mark.slow
def test_a_picture_may_be_dropped_anywhere_or_pasted_and_taken_away_again(
    scripted: str, opened: Callable[..., Any], answers: list[Any]
) -> None:
    page = opened(scripted)
    give = """([kind, name, bytes]) => {
        const carried = new DataTransfer();
        carried.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
        const how = { bubbles: true, cancelable: true };
        const event = kind === "drop" ? new DragEvent("drop", { ...how, dataTransfer: carried })
            : new ClipboardEvent("paste", { ...how, clipboardData: carried });
        document.querySelector("#j-header").dispatchEvent(event);
    }"""
    for kind in ("drop", "paste"):
        page.evaluate(give, [kind, f"{kind}.png", list(png((8, 8)))])
        page.get_by_text(f"{kind}.png, 1 kB").wait_for()
    page.get_by_role("button", name="Remove Picture").click()
    assert "cannot be used" in judged(page).inner_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("broken.png", png()[:150], "truncated or damaged"),
        ("text.png", b"this is no picture", "It is none"),
        (
            "drawing.svg",
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>window.hacked=1</script></svg>",
            "It is none",
        ),
        ("page.html", b"<script>window.hacked=1</script>", "It is none"),
    ],
)
def test_what_is_no_picture_gets_a_clear_error(
    scripted: str, opened: Callable[..., Any], answers: list[Any], name: str, data: bytes, said: str
) -> None:
    page = opened(scripted)
    choose(page, data, name)
    told = judged(page)
    assert told.get_attribute("role") == "alert"
    assert "The picture cannot be used" in told.inner_text() and said in told.inner_text()
    assert page.evaluate("window.hacked") is None


@pytest.mark.slow
def test_too_large_a_file_is_refused_before_it_is_sent(
    scripted: str, opened: Callable[..., Any], tmp_path: Path
) -> None:
    page = opened(scripted)
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(largest_of(MAX_BODY) + 1)
    page.get_by_label(re.compile("^Picture: ")).set_input_files(large)
    page.get_by_text("at most 25.1 MB are taken").wait_for()


def cmyk() -> bytes:
    file = io.BytesIO()
    Image.new("CMYK", (60, 40), (10, 200, 30, 0)).save(file, "JPEG")
    return file.getvalue()


def animated() -> bytes:
    frames = [Image.new("RGB", (60, 40), color) for color in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return png((60, 40), "JPEG", exif=exif)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "size", "note"),
    [
        ("cmyk.jpg", cmyk(), (60, 40), "CMYK converted to RGB"),
        ("two.gif", animated(), (60, 40), "judged by its first frame"),
        ("turned.jpg", turned(), (40, 60), ""),
        ("pages.tif", png((60, 40), "TIFF"), (60, 40), ""),
    ],
)
def test_odd_pictures_are_judged_as_the_judge_reads_them(
    scripted: str,
    opened: Callable[..., Any],
    answers: list[Any],
    name: str,
    data: bytes,
    size: tuple[int, int],
    note: str,
) -> None:
    answers.append(ANSWER)
    page = opened(scripted)
    choose(page, data, name)
    verdict = judged(page)
    shown = verdict.locator(".j-picture img").evaluate("e => [e.naturalWidth, e.naturalHeight]")
    assert tuple(shown) == size
    assert note in (verdict.locator(".j-notes").inner_text() if note else "")


@pytest.mark.slow
def test_hostile_text_is_shown_as_text_wherever_it_comes_from(
    scripted: str, opened: Callable[..., Any], answers: list[Any]
) -> None:
    element = "<b onclick=window.hacked=6>${window.hacked=7}"
    told = [{**ANSWER["defects"][0], "explanation": HOSTILE[:110]}]  # type: ignore[index]
    answers.append({**ANSWER, "elements": {element: True}, "defects": told, "explanation": HOSTILE[:150]})
    page = opened(scripted)
    choose(page, png(), "<img src=x onerror=window.hacked=8>.png")
    page.get_by_text("More: elements").first.click()
    page.locator("#j-elements textarea").fill(element)
    verdict = judged(page, HOSTILE)
    assert verdict.locator("figcaption").inner_text() == f"{HOSTILE}"
    assert element in verdict.locator(".j-chips").inner_text()
    assert verdict.locator("img").count() == 1
    verdict.locator(".j-box").hover()
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None


@pytest.mark.slow
def test_closer_looks_are_taken_and_shown_where_they_are_asked_for(
    scripted: str, opened: Callable[..., Any], stand_in: StandIn, answers: list[Any]
) -> None:
    stand_in.backend = Seer()
    file = io.BytesIO()
    large().save(file, "PNG")
    page = opened(scripted)
    choose(page, file.getvalue())
    verdict = judged(page, "a plain wall")
    assert verdict.locator(".j-trace").count() == 0
    page.get_by_text("More: elements").first.click()
    choices = page.locator("#j-looks label").all_inner_texts()
    assert [text.partition(":")[0].strip() for text in choices] == ["none", "up to 2", "up to 60"]
    page.get_by_label("up to 60").first.check()
    page.get_by_role("button", name="Judge", exact=True).click()
    trace = page.locator("#j-verdict .j-trace")
    trace.wait_for()
    found = Verdict.model_validate_json(page.locator("#j-verdict pre").text_content())
    assert trace.locator("li").count() == len(found.trace) > 10
    trace.locator("summary").click()
    shown = trace.locator("li").last
    assert found.trace[-1].answer in shown.inner_text()
    whole, part = (shown.locator(one).bounding_box() for one in (".j-where", ".j-where span"))
    x1, _, x2, _ = found.trace[-1].region
    assert part["width"] / whole["width"] == pytest.approx((x2 - x1) / 1024, abs=0.1)


@pytest.mark.slow
def test_a_reply_that_cannot_be_read_is_shown_as_unscored_with_its_reason(
    scripted: str, opened: Callable[..., Any], answers: list[Any]
) -> None:
    answers.append("this is no JSON")
    page = opened(scripted)
    choose(page, png())
    verdict = judged(page)
    assert verdict.get_attribute("data-status") == "unscored"
    assert verdict.locator(".j-score").inner_text() == "Unscored"
    assert len(verdict.locator(".j-head p").nth(1).inner_text()) > 10
    assert verdict.locator(".j-dist, .j-chips, .j-region").count() == 0


@pytest.mark.slow
def test_a_service_that_is_not_ready_says_so_until_it_is(
    scripted: str, opened: Callable[..., Any], stand_in: StandIn, answers: list[Any]
) -> None:
    stand_in.state = "loading"
    page = opened(scripted)
    page.get_by_text("The model is being loaded").wait_for()
    stand_in.state = "ready"
    page.get_by_text("The model is being loaded").wait_for(state="detached")


@pytest.mark.slow
def test_of_two_presses_in_a_row_the_last_one_is_shown(
    scripted: str, opened: Callable[..., Any], stand_in: StandIn, answers: list[Any]
) -> None:
    stand_in.backend, stand_in.pause = Filler(), 1.0
    page = opened(scripted)
    scenes, prompt = page.locator("#j-offered [data-scene]"), page.get_by_label("Prompt", exact=True).first
    for number in (0, 2):
        scenes.nth(number).click()
        sync_api.expect(prompt).to_have_value(scenes.nth(number).get_attribute("title"), timeout=PATIENCE)
    shown = page.locator("#j-verdict figcaption")
    sync_api.expect(shown).to_have_text(scenes.nth(2).get_attribute("title"), timeout=PATIENCE)


@pytest.mark.slow
def test_an_accident_on_the_server_is_told_without_its_insides(
    scripted: str, opened: Callable[..., Any], answers: list[Any]
) -> None:
    answers.append(RuntimeError("secret insides"))
    page = opened(scripted)
    choose(page, png())
    told = judged(page).inner_text()
    assert "Something broke on the server" in told and "secret" not in page.content()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_sideways_scrolling(
    scripted: str, opened: Callable[..., Any], answers: list[Any], scheme: str
) -> None:
    long = "w" * 90
    element = f"a {long[:60]}"
    defects = [{**one, "explanation": long} for one in ANSWER["defects"]]  # type: ignore[attr-defined]
    answer = {**ANSWER, "elements": {element: True}, "defects": defects, "explanation": long}
    answers += [answer] * 3
    page = opened(
        scripted, viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True, is_mobile=True
    )
    assert overflow(page) == 0
    choose(page, png())
    page.get_by_text("More: elements").first.click()
    page.locator("#j-elements textarea").fill(element)
    verdict = judged(page, long)
    for box in verdict.locator(".j-box").all():
        box.tap()
        assert overflow(page) == 0
    page.get_by_text("JSON").click()
    assert overflow(page) == 0
    page.get_by_role("tab", name="Compare").click()
    for field in ("Picture A", "Picture B"):
        choose(page, png(), f"{field[-1]}.png", field)
    page.get_by_text("More: elements").nth(1).click()
    page.locator("#j-compare-elements textarea").fill(element)
    page.get_by_label("Prompt", exact=True).nth(1).fill(long)
    page.get_by_role("button", name="Compare").click()
    compared(page)
    assert overflow(page) == 0
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    dark = max(map(int, re.findall(r"\d+", paper)[:3])) < 60
    assert dark == (scheme == "dark")


@pytest.mark.slow
def test_tabs_and_further_fields_are_reached_with_the_keyboard(
    scripted: str, opened: Callable[..., Any]
) -> None:
    page = opened(scripted)
    tab, panel = partial(page.get_by_role, "tab"), partial(page.get_by_role, "tabpanel")
    more = page.get_by_role("button", name=re.compile("^More: "))
    assert panel(name="Judge").is_visible() and not page.locator("#j-panel-compare").is_visible()
    assert not page.locator("#j-depth").is_visible()
    more.focus()
    page.keyboard.press("Enter")
    assert page.locator("#j-depth").is_visible() and more.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Enter")
    assert not page.locator("#j-depth").is_visible()
    tab(name="Judge").focus()
    page.keyboard.press("ArrowRight")
    assert panel(name="Compare").is_visible() and not page.locator("#j-panel-judge").is_visible()
    assert tab(name="Compare").evaluate("one => one === document.activeElement")
    page.keyboard.press("Home")
    assert panel(name="Judge").is_visible() and tab(name="Compare").get_attribute("tabindex") == "-1"


@pytest.mark.slow
def test_what_is_given_before_the_first_frame_is_drawn_stays(
    scripted: str, opened: Callable[..., Any]
) -> None:
    """Gradio makes what it hides when it is first shown, and sets it a frame later, over what was given."""
    page = opened(scripted)
    page.evaluate(
        "window.draw = requestAnimationFrame; window.due = [];"
        "window.requestAnimationFrame = (step) => due.push(step)"
    )
    page.get_by_role("tab", name="Compare").click()
    choose(page, png(), "A.png", "Picture A")
    page.get_by_label("Prompt", exact=True).nth(1).fill("a red car")
    page.get_by_text("More: elements").nth(1).click()
    page.locator("#j-compare-elements textarea").fill("a wheel")
    page.evaluate(
        "window.requestAnimationFrame = draw; due.forEach((step) => step instanceof Function && draw(step))"
    )
    page.evaluate("new Promise((done) => draw(() => setTimeout(done, 500)))")
    assert page.get_by_text("A.png, 1 kB").count() == 1
    assert page.get_by_label("Prompt", exact=True).nth(1).input_value() == "a red car"
    assert page.locator("#j-compare-elements textarea").input_value() == "a wheel"


@pytest.mark.slow
def test_two_pictures_are_compared(scripted: str, opened: Callable[..., Any], answers: list[Any]) -> None:
    answers += [ANSWER, {**ANSWER, "score": 5, "defects": []}]
    page = opened(scripted)
    page.get_by_role("tab", name="Compare").click()
    for field in ("Picture A", "Picture B"):
        choose(page, png(), f"{field[-1]}.png", field)
    field = page.get_by_label("Prompt", exact=True).nth(1)
    field.fill("a red car and a blue house")
    field.press("Enter")
    found = compared(page)
    assert (
        "Picture B is better" in found.inner_text()
        and "By 2.00, with probability 100 %" in found.inner_text()
    )
    assert found.locator(".j-score b").all_inner_texts() == ["3.00", "5.00"]
    assert found.locator(".j-box").count() == 2
    found.get_by_text("JSON").click()
    assert Comparison.model_validate_json(found.locator("pre").inner_text()).preferred == "b"


# -- With the embedded judge behind the whole gateway --------------------------------------------------


@pytest.fixture(scope="module")
def embedded() -> Iterator[str]:
    from judge.serve.engine.engine import Engine
    from judge.serve.engine.ipc import judges
    from judge.serve.http.app import build
    from judge.serve.service import Service

    service = Service(Engine(judges("embedded")), embedded=True, deadline=300)
    with served(build(service, log=lambda event, **fields: None)) as address:
        deadline = time.monotonic() + 300
        while service.state != "ready" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert service.state == "ready"
        yield address


@pytest.mark.slow
def test_a_press_on_a_scene_fills_the_fields_and_judges_it(embedded: str, opened: Callable[..., Any]) -> None:
    page = opened(embedded)
    scenes = page.locator("#j-offered [data-scene]")
    assert scenes.count() == 4
    wanted = scenes.nth(2).get_attribute("title")
    scenes.nth(2).click()
    verdict = page.locator("#j-verdict .j-verdict")
    verdict.wait_for()
    assert page.get_by_label("Prompt", exact=True).first.input_value() == wanted
    assert 1 <= float(verdict.locator(".j-score b").inner_text()) <= 5
    found = Verdict.model_validate_json(verdict.locator("pre").text_content())
    assert found.status == "scored" and found.provenance.model == "embedded"
    assert verdict.locator(".j-chips li").count() == len(found.elements) >= 3
    assert verdict.locator(".j-box").count() == verdict.locator(".j-region").count() == len(found.defects)
    assert verdict.locator(".j-notes").count() == 0


@pytest.mark.slow
def test_heat_maps_come_with_the_verdict_where_they_are_asked_for(
    embedded: str, opened: Callable[..., Any]
) -> None:
    page = opened(embedded)
    page.get_by_text("More: elements").first.click()
    page.locator("#j-heat").get_by_label("yes").check()
    page.locator("#j-offered [data-scene]").nth(2).click()
    page.locator("#j-verdict .j-heat").wait_for()
    found = Verdict.model_validate_json(page.locator("#j-verdict pre").text_content())
    assert found.heat is not None
    maps = page.locator("#j-verdict .j-heat li")
    assert maps.count() == 1 + len(found.defects)
    assert page.locator("#j-verdict .j-heat .j-frame").count() == len(found.defects)
    if found.defects:
        maps.nth(1).hover()
        assert "j-lit" in page.locator("#j-verdict .j-box").first.get_attribute("class")


@pytest.mark.slow
def test_what_lies_outside_the_domain_is_warned_of_in_sight(
    embedded: str, opened: Callable[..., Any]
) -> None:
    page = opened(embedded)
    choose(page, png((224, 224)))
    notes = judged(page, "a giraffe on a skateboard").locator(".j-notes")
    assert "Outside the embedded judge's domain" in notes.inner_text()
    assert notes.is_visible()


@pytest.mark.slow
def test_a_press_on_a_pair_compares_it(embedded: str, opened: Callable[..., Any]) -> None:
    page = opened(embedded)
    page.get_by_role("tab", name="Compare").click()
    page.locator("#j-pairs [data-scene]").first.click()
    found = Comparison.model_validate_json(compared(page).locator("pre").text_content())
    assert found.preferred == "a"
