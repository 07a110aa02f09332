"""The page in a real browser: what visitors see, click, type and drop, and what hostile input must not do."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import browser
import pytest
from page import ANSWER, TIMEOUT_MS, ScriptedService, encoded_image, running_app
from patch_finder import PatchFinder, draw_wall
from PIL import Image
from random_backend import RandomBackend

from judge.types import Comparison, Verdict

pytest.importorskip("gradio")
sync_api = pytest.importorskip("playwright.sync_api")

HOSTILE = (
    '<img src=x onerror="window.hacked=1"> <script>window.hacked=2</script> ${window.hacked=3} '
    "{{constructor.constructor('window.hacked=4')()}} \" onfocus=window.hacked=5 autofocus x=\""
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    path = browser.find_browser()
    if path is None:
        pytest.skip("no chromium here: `make test` as root, or apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # Playwright gives every launch an empty profile of its own.
        launched = playwright.chromium.launch(executable_path=path, args=list(browser.FLAGS), headless=True)
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def visitor(chromium: Any) -> Any:
    """Return one browser context for most tests, so that the page's many small files come from its cache."""
    return chromium.new_context()


@pytest.fixture
def open_page(chromium: Any, visitor: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens the page at an address.

    A request to another host, or an error in the console, fails the test.
    """
    pages, requests, errors = [], list[str](), list[str]()

    def listen(message: Any) -> None:
        if message.type == "error":
            errors.append(message.text)

    def open_address(address: str, **options: Any) -> Any:
        page = (chromium.new_context(**options) if options else visitor).new_page()
        page.set_default_timeout(TIMEOUT_MS)
        pages.append(page)
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", listen)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("dialog", lambda dialog: errors.append(dialog.message))
        page.goto(address)
        page.get_by_role("button", name="Judge").wait_for()
        page.locator("#j-offered [data-scene]").first.wait_for()
        return page

    yield open_address
    for page in pages:
        page.close()
    assert not errors
    foreign = [url for url in requests if not re.match(r"http://127\.0\.0\.1:\d+/|data:|blob:", url)]
    assert not foreign


def choose_image(page: Any, data: bytes, name: str = "image.png", field: str = "Image") -> None:
    """Choose an image, and wait until it is shown and the layout below it is final."""
    file = {"name": name, "mimeType": "application/octet-stream", "buffer": data}
    page.get_by_label(re.compile(f"^{field}: ")).set_input_files(file)
    page.get_by_text(re.compile(re.escape(name) + r", \d")).first.wait_for()
    page.wait_for_function("[...document.images].every(one => one.complete)")


def judge_prompt(page: Any, prompt: str = "a red car and a blue house") -> Any:
    """Enter a prompt, press Enter, and return the element of the verdict or error."""
    field = page.get_by_label("Prompt", exact=True).first
    field.fill(prompt)
    field.press("Enter")
    found = page.locator("#j-verdict .j-verdict, #j-verdict .j-alert")
    found.wait_for()
    return found


def wait_for_comparison(page: Any) -> Any:
    """Wait for the comparison and return its element; an error fails the test with its text."""
    found = page.locator("#j-comparison .j-comparison, #j-comparison .j-alert")
    found.wait_for()
    assert "j-comparison" in found.get_attribute("class"), found.inner_text()
    return found


def overflow(page: Any) -> int:
    """Return by how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))


@pytest.mark.slow
def test_an_image_and_a_prompt_give_score_elements_regions_and_json(
    scripted_page: str, open_page: Callable[..., Any], replies: list[Any]
) -> None:
    replies.append(ANSWER)
    page = open_page(scripted_page)
    choose_image(page, encoded_image())
    verdict = judge_prompt(page)
    assert verdict.locator(".j-score").inner_text().split() == ["3.00", "of", "5"]
    assert verdict.locator(".j-dist tr").all_inner_texts()[2].split() == ["3", "100", "%"]
    chips = [text.split() for text in verdict.locator(".j-chips li").all_inner_texts()]
    assert chips == [["✓", "present:", "red", "car", "100", "%"], ["✗", "absent:", "blue", "house", "0", "%"]]
    lines = [
        chip.evaluate("e => getComputedStyle(e).borderStyle") for chip in verdict.locator("li").all()[-2:]
    ]
    assert lines == ["solid", "dashed"]

    image = verdict.locator(".j-image").bounding_box()
    boxes = [box.bounding_box() for box in verdict.locator(".j-box").all()]
    assert len(boxes) == 2
    assert boxes[0]["x"] - image["x"] == pytest.approx(0.1 * image["width"], abs=2)
    assert boxes[0]["y"] - image["y"] == pytest.approx(0.2 * image["height"], abs=2)
    assert boxes[0]["width"] == pytest.approx(0.3 * image["width"], abs=2)
    assert boxes[0]["height"] == pytest.approx(0.4 * image["height"], abs=2)
    regions = verdict.locator(".j-region").all_inner_texts()
    assert "a wheel is gone" in regions[0] and "the roof is green" in regions[1]
    assert verdict.locator(".j-facts").inner_text().lower().split()[:5] == [
        "alignment",
        "3.00",
        "of",
        "5",
        "structure",
    ]
    assert "rubric default" in verdict.locator(".j-origin").inner_text()

    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    verdict.get_by_text("JSON").click()
    verdict.get_by_role("button", name="Copy").click()
    verdict.get_by_text("Copied.").wait_for()
    copied = Verdict.model_validate_json(page.evaluate("navigator.clipboard.readText()"))
    assert copied.size == (200, 100) and [defect.kind for defect in copied.defects] == ["erased", "tint"]


@pytest.mark.slow
def test_pointing_at_a_region_shows_its_explanation_and_highlights_its_list_item(
    scripted_page: str, open_page: Callable[..., Any], replies: list[Any]
) -> None:
    replies.append(ANSWER)
    page = open_page(scripted_page)
    choose_image(page, encoded_image())
    verdict = judge_prompt(page)
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
def test_the_keyboard_alone_judges_and_reaches_every_region(
    scripted_page: str, open_page: Callable[..., Any], replies: list[Any]
) -> None:
    replies.append(ANSWER)
    page = open_page(scripted_page)
    # The browser hands over its file dialogs only once there is a listener.
    page.on("filechooser", lambda _: None)

    def tab_to(selector: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            focused = page.evaluate_handle("document.activeElement").as_element()
            is_visible = focused.evaluate(
                "e => [e, e.nextElementSibling].some(o => o && getComputedStyle(o).outlineStyle !== 'none')"
            )
            assert is_visible or focused.evaluate("e => e === document.body"), "the focus must be visible"
            if focused.evaluate("(e, selector) => e.matches(selector)", selector):
                return
        raise AssertionError(f"Tab never reaches {selector}")

    tab_to("input[type=file]")
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files({"name": "keys.png", "mimeType": "image/png", "buffer": encoded_image()})
    page.get_by_text("keys.png, ").wait_for()
    tab_to("textarea")
    page.keyboard.type("a red car and a blue house")
    page.keyboard.press("Enter")
    page.locator(".j-verdict").wait_for()
    for explanation in ("a wheel is gone", "the roof is green"):
        tab_to(".j-box")
        assert explanation in page.locator(".j-box:focus .j-tip").inner_text()
    tab_to("summary")
    page.keyboard.press("Enter")
    tab_to(".j-copy")


@pytest.mark.slow
def test_an_image_can_be_dropped_anywhere_pasted_and_removed(
    scripted_page: str, open_page: Callable[..., Any], replies: list[Any]
) -> None:
    page = open_page(scripted_page)
    send = """([kind, name, bytes]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
        const options = { bubbles: true, cancelable: true };
        const event = kind === "drop" ? new DragEvent("drop", { ...options, dataTransfer: transfer })
            : new ClipboardEvent("paste", { ...options, clipboardData: transfer });
        document.querySelector("#j-header").dispatchEvent(event);
    }"""
    for kind in ("drop", "paste"):
        page.evaluate(send, [kind, f"{kind}.png", list(encoded_image((8, 8)))])
        page.get_by_text(f"{kind}.png, 1 kB").wait_for()
    page.get_by_role("button", name="Remove Image").click()
    assert "cannot be used" in judge_prompt(page).inner_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("broken.png", encoded_image()[:150], "truncated or damaged"),
        ("text.png", b"this is not an image", "Its content is not one of these"),
        (
            "drawing.svg",
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>window.hacked=1</script></svg>",
            "Its content is not one of these",
        ),
        ("page.html", b"<script>window.hacked=1</script>", "Its content is not one of these"),
    ],
)
def test_a_file_that_is_not_an_image_gives_a_clear_error(
    scripted_page: str,
    open_page: Callable[..., Any],
    replies: list[Any],
    name: str,
    data: bytes,
    message: str,
) -> None:
    page = open_page(scripted_page)
    choose_image(page, data, name)
    alert = judge_prompt(page)
    assert alert.get_attribute("role") == "alert"
    assert "The image cannot be used" in alert.inner_text() and message in alert.inner_text()
    assert page.evaluate("window.hacked") is None


@pytest.mark.slow
def test_a_too_large_file_is_rejected_before_it_is_sent(
    scripted_page: str, open_page: Callable[..., Any], tmp_path: Path
) -> None:
    from judge.serve.page.app import MAX_BODY, max_image_bytes

    page = open_page(scripted_page)
    large = tmp_path / "large.png"
    with large.open("wb") as file:
        file.truncate(max_image_bytes(MAX_BODY) + 1)
    page.get_by_label(re.compile("^Image: ")).set_input_files(large)
    page.get_by_text("the limit is 25.1 MB").wait_for()


def cmyk() -> bytes:
    file = io.BytesIO()
    Image.new("CMYK", (60, 40), (10, 200, 30, 0)).save(file, "JPEG")
    return file.getvalue()


def animated() -> bytes:
    frames = [Image.new("RGB", (60, 40), color) for color in ("red", "blue")]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def rotated_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return encoded_image((60, 40), "JPEG", exif=exif)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "data", "size", "note"),
    [
        ("cmyk.jpg", cmyk(), (60, 40), "CMYK converted to RGB"),
        ("two.gif", animated(), (60, 40), "judged by its first frame"),
        ("rotated.jpg", rotated_by_exif(), (40, 60), ""),
        ("pages.tif", encoded_image((60, 40), "TIFF"), (60, 40), ""),
    ],
)
def test_unusual_images_are_judged_as_the_judge_reads_them(
    scripted_page: str,
    open_page: Callable[..., Any],
    replies: list[Any],
    name: str,
    data: bytes,
    size: tuple[int, int],
    note: str,
) -> None:
    replies.append(ANSWER)
    page = open_page(scripted_page)
    choose_image(page, data, name)
    verdict = judge_prompt(page)
    natural_size = verdict.locator(".j-image img").evaluate("e => [e.naturalWidth, e.naturalHeight]")
    assert tuple(natural_size) == size
    assert note in (verdict.locator(".j-notes").inner_text() if note else "")


@pytest.mark.slow
def test_hostile_text_is_shown_as_text_everywhere(
    scripted_page: str, open_page: Callable[..., Any], replies: list[Any]
) -> None:
    element = "<b onclick=window.hacked=6>${window.hacked=7}"
    defects = [{**ANSWER["defects"][0], "explanation": HOSTILE[:110]}]
    replies.append({**ANSWER, "elements": {element: True}, "defects": defects, "explanation": HOSTILE[:150]})
    page = open_page(scripted_page)
    choose_image(page, encoded_image(), "<img src=x onerror=window.hacked=8>.png")
    page.get_by_text("More: elements").first.click()
    page.locator("#j-elements textarea").fill(element)
    verdict = judge_prompt(page, HOSTILE)
    assert verdict.locator("figcaption").inner_text() == f"{HOSTILE}"
    assert element in verdict.locator(".j-chips").inner_text()
    assert verdict.locator("img").count() == 1
    verdict.locator(".j-box").hover()
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None


@pytest.mark.slow
def test_zoom_ins_are_made_and_shown_if_they_are_requested(
    scripted_page: str, open_page: Callable[..., Any], scripted_service: ScriptedService, replies: list[Any]
) -> None:
    scripted_service.backend = PatchFinder()
    file = io.BytesIO()
    draw_wall().save(file, "PNG")
    page = open_page(scripted_page)
    choose_image(page, file.getvalue())
    verdict = judge_prompt(page, "a plain wall")
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
    last = trace.locator("li").last
    assert found.trace[-1].answer in last.inner_text()
    whole, part = (last.locator(one).bounding_box() for one in (".j-where", ".j-where span"))
    x1, _, x2, _ = found.trace[-1].region
    assert part["width"] / whole["width"] == pytest.approx((x2 - x1) / 1024, abs=0.1)


@pytest.mark.slow
def test_a_reply_that_cannot_be_read_is_shown_as_unscored_with_the_reason(
    scripted_page: str, open_page: Callable[..., Any], replies: list[Any]
) -> None:
    replies.append("this is no JSON")
    page = open_page(scripted_page)
    choose_image(page, encoded_image())
    verdict = judge_prompt(page)
    assert verdict.get_attribute("data-status") == "unscored"
    assert verdict.locator(".j-score").inner_text() == "Unscored"
    assert len(verdict.locator(".j-head p").nth(1).inner_text()) > 10
    assert verdict.locator(".j-dist, .j-chips, .j-region").count() == 0


@pytest.mark.slow
def test_a_line_tells_that_the_model_is_loading_until_it_is_ready(
    scripted_page: str, open_page: Callable[..., Any], scripted_service: ScriptedService, replies: list[Any]
) -> None:
    scripted_service.state = "loading"
    page = open_page(scripted_page)
    page.get_by_text("The model is loading").wait_for()
    scripted_service.state = "ready"
    page.get_by_text("The model is loading").wait_for(state="detached")


@pytest.mark.slow
def test_of_two_clicks_in_a_row_the_last_one_is_shown(
    scripted_page: str, open_page: Callable[..., Any], scripted_service: ScriptedService, replies: list[Any]
) -> None:
    scripted_service.backend, scripted_service.pause = RandomBackend(), 1.0
    page = open_page(scripted_page)
    scenes, prompt = page.locator("#j-offered [data-scene]"), page.get_by_label("Prompt", exact=True).first
    for number in (0, 2):
        scenes.nth(number).click()
        sync_api.expect(prompt).to_have_value(scenes.nth(number).get_attribute("title"), timeout=TIMEOUT_MS)
    caption = page.locator("#j-verdict figcaption")
    sync_api.expect(caption).to_have_text(scenes.nth(2).get_attribute("title"), timeout=TIMEOUT_MS)


@pytest.mark.slow
def test_an_unexpected_error_is_shown_without_its_message(
    scripted_page: str, open_page: Callable[..., Any], replies: list[Any]
) -> None:
    replies.append(RuntimeError("secret details"))
    page = open_page(scripted_page)
    choose_image(page, encoded_image())
    alert = judge_prompt(page).inner_text()
    assert "Something went wrong on the server" in alert and "secret" not in page.content()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_needs_no_horizontal_scrolling(
    scripted_page: str, open_page: Callable[..., Any], replies: list[Any], scheme: str
) -> None:
    long = "w" * 90
    element = f"a {long[:60]}"
    defects = [{**one, "explanation": long} for one in ANSWER["defects"]]
    answer = {**ANSWER, "elements": {element: True}, "defects": defects, "explanation": long}
    replies += [answer] * 3
    page = open_page(
        scripted_page,
        viewport={"width": 360, "height": 740},
        color_scheme=scheme,
        has_touch=True,
        is_mobile=True,
    )
    assert overflow(page) == 0
    choose_image(page, encoded_image())
    page.get_by_text("More: elements").first.click()
    page.locator("#j-elements textarea").fill(element)
    verdict = judge_prompt(page, long)
    for box in verdict.locator(".j-box").all():
        box.tap()
        assert overflow(page) == 0
    page.get_by_text("JSON").click()
    assert overflow(page) == 0
    page.get_by_role("tab", name="Compare").click()
    for field in ("Image A", "Image B"):
        choose_image(page, encoded_image(), f"{field[-1]}.png", field)
    page.get_by_text("More: elements").nth(1).click()
    page.locator("#j-compare-elements textarea").fill(element)
    page.get_by_label("Prompt", exact=True).nth(1).fill(long)
    page.get_by_role("button", name="Compare").click()
    wait_for_comparison(page)
    assert overflow(page) == 0
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    is_dark = max(map(int, re.findall(r"\d+", background)[:3])) < 60
    assert is_dark == (scheme == "dark")


@pytest.mark.slow
def test_tabs_and_folded_fields_are_reached_with_the_keyboard(
    scripted_page: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(scripted_page)
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
def test_input_entered_before_the_first_frame_is_drawn_is_kept(
    scripted_page: str, open_page: Callable[..., Any]
) -> None:
    """Gradio's own tabs create hidden fields when first shown, and reset them a frame later."""
    page = open_page(scripted_page)
    page.evaluate(
        "window.draw = requestAnimationFrame; window.due = [];"
        "window.requestAnimationFrame = (step) => due.push(step)"
    )
    page.get_by_role("tab", name="Compare").click()
    choose_image(page, encoded_image(), "A.png", "Image A")
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
def test_two_images_are_compared_on_the_page(
    scripted_page: str, open_page: Callable[..., Any], replies: list[Any]
) -> None:
    replies += [ANSWER, {**ANSWER, "score": 5, "defects": []}]
    page = open_page(scripted_page)
    page.get_by_role("tab", name="Compare").click()
    for field in ("Image A", "Image B"):
        choose_image(page, encoded_image(), f"{field[-1]}.png", field)
    field = page.get_by_label("Prompt", exact=True).nth(1)
    field.fill("a red car and a blue house")
    field.press("Enter")
    comparison = wait_for_comparison(page)
    assert (
        "Image B is better" in comparison.inner_text()
        and "By 2.00, with probability 100 %" in comparison.inner_text()
    )
    assert comparison.locator(".j-score b").all_inner_texts() == ["3.00", "5.00"]
    assert comparison.locator(".j-box").count() == 2
    comparison.get_by_text("JSON").click()
    assert Comparison.model_validate_json(comparison.locator("pre").inner_text()).preferred == "b"


# -- With the embedded judge behind the whole gateway --------------------------------------------------


@pytest.fixture(scope="module")
def embedded() -> Iterator[str]:
    """Address of a whole gateway with the embedded judge."""
    from judge.serve.engine.ipc import judge_backend_spec
    from judge.serve.engine.supervisor import Engine
    from judge.serve.http.app import build_app
    from judge.serve.service import Service

    service = Service(Engine(judge_backend_spec("embedded")), embedded=True, deadline=300)
    with running_app(build_app(service, log=lambda event, **fields: None)) as address:
        deadline = time.monotonic() + 300
        while service.state != "ready" and time.monotonic() < deadline:
            time.sleep(0.1)
        assert service.state == "ready"
        yield address


@pytest.mark.slow
def test_a_click_on_an_example_fills_the_fields_and_judges_it(
    embedded: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(embedded)
    scenes = page.locator("#j-offered [data-scene]")
    assert scenes.count() == 4
    prompt = scenes.nth(2).get_attribute("title")
    scenes.nth(2).click()
    verdict = page.locator("#j-verdict .j-verdict")
    verdict.wait_for()
    assert page.get_by_label("Prompt", exact=True).first.input_value() == prompt
    assert 1 <= float(verdict.locator(".j-score b").inner_text()) <= 5
    found = Verdict.model_validate_json(verdict.locator("pre").text_content())
    assert found.status == "scored" and found.provenance.model == "embedded"
    assert verdict.locator(".j-chips li").count() == len(found.elements) >= 3
    assert verdict.locator(".j-box").count() == verdict.locator(".j-region").count() == len(found.defects)
    assert verdict.locator(".j-notes").count() == 0


@pytest.mark.slow
def test_heat_maps_come_with_the_verdict_if_they_are_requested(
    embedded: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(embedded)
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
def test_an_abstention_offers_what_the_judge_can_do_with_the_image(
    embedded: str, open_page: Callable[..., Any]
) -> None:
    page = open_page(embedded)
    choose_image(page, encoded_image((224, 224)))
    verdict = judge_prompt(page, "a giraffe on a skateboard")
    assert verdict.get_attribute("data-status") == "abstained"
    text = verdict.inner_text()
    assert "giraffe, skateboard" in text and "Unscored" not in text
    assert "--prompt 'a giraffe on a skateboard' --model " in text
    verdict.get_by_role("button", name="Judge its technical quality").click()
    page.locator("#j-verdict [data-status=scored]").wait_for()
    found = Verdict.model_validate_json(page.locator("#j-verdict pre").last.text_content())
    assert (found.status, found.provenance.rubric) == ("scored", "quality")
    page.get_by_text("More: elements").first.click()
    page.locator("#j-rubric label").filter(has_text="default:").click()
    judge_prompt(page, "a giraffe on skates")
    verdict = page.locator("#j-verdict [data-status=abstained]")
    verdict.wait_for()
    verdict.get_by_role("button", name="Show numbers anyway").click()
    marked = page.locator("#j-verdict [data-status=scored] .j-mark")
    marked.wait_for()
    assert "mean little" in marked.inner_text()


@pytest.mark.slow
def test_a_click_on_a_pair_compares_it(embedded: str, open_page: Callable[..., Any]) -> None:
    page = open_page(embedded)
    page.get_by_role("tab", name="Compare").click()
    page.locator("#j-pairs [data-scene]").first.click()
    found = Comparison.model_validate_json(wait_for_comparison(page).locator("pre").text_content())
    assert found.preferred == "a"
