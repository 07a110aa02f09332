"""The page: a picture and its prompt in, the verdict to look at. Gradio, mounted on the gateway.

Gradio opens or fetches whatever a request calls a file, and serves what it keeps in its folders. This page
needs none of that: pictures travel as text inside the event (`data:` URLs, byte for byte, so that
`judge.media.image` reads them as it reads every other), `Plain` takes nothing but text, and `Door` lets through
only the routes that the page itself uses. So nothing that is uploaded touches the disk, and no route reads
files from it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.resources import files
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

import gradio as gr
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from judge.agent.closer_looks import USUAL
from judge.errors import JudgeError, MediaError
from judge.media import image as media
from judge.serve.page import examples as scenes
from judge.serve.page import markup
from judge.serve.service import Wanted
from judge.types import Depth, Sample

if TYPE_CHECKING:
    from fastapi import FastAPI

    from judge.serve.service import Service

Given = str | None
"""An input of an event: text, or None for anything else."""
log = logging.getLogger(__name__)

MAX_BODY = 64 << 20
"""Bytes of a request body that the gateway takes unless it is told otherwise."""
AT_ONCE = 8
"""Verdicts that the page asks for at once; each holds the file of its picture."""
WAITING = 64
"""Presses that wait for their turn; further ones are told that the page is busy."""
SESSIONS = 16
"""Visitors whose last verdict Gradio keeps in memory, which nothing here has a use for."""
_TICK = 2.0
"""Seconds between two looks at a service that is not ready."""

_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; "
    # Gradio builds its templates with Function(), and starts from inline scripts.
    "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "connect-src 'self'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
_ROUTES = re.compile(
    r"/|/config/?|/theme\.css|/manifest\.json|/robots\.txt|/favicon\.ico|/pwa_icon(/\d+)?|/(assets|static)/.+"
    r"|/gradio_api/(startup-events|heartbeat/\w+|queue/join|queue/data|cancel|reset/?|info|app_id|theme\.css)"
)
_ACCEPTED = "image/*,.tif,.tiff,.ppm,.avif"
"""What the browser's chooser offers first; what is dropped or pasted is not bound to it."""
_PRIVATE: dict[str, Any] = {"api_visibility": "private"}
"""How every event is declared: it is no part of an API."""
_PRESS: dict[str, Any] = {**_PRIVATE, "trigger_mode": "always_last"}
"""How presses are declared: one during another is answered after it, so that the last one is shown."""


def mount(app: FastAPI, service: Service, path: str = "/", *, max_body: int = MAX_BODY) -> FastAPI:
    """Put the page on an app; call it after the app's own routes, for at "/" the page takes all others.

    Args:
        app: the gateway. Its lifespan starts the page's queue.
        service: what gives the verdicts; only its public async interface is used.
        path: where the page stands, with a leading "/".
        max_body: bytes of a request body that the gateway takes. Pictures that would not fit are refused in
            the browser, before they are sent.

    Returns:
        The same app.
    """
    _in_a_loop(partial(_mount, app, service, path, max_body))
    return app


def _mount(app: FastAPI, service: Service, path: str, max_body: int) -> None:
    gr.mount_gradio_app(
        app,
        build(service, max_body),
        path,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=_theme(),
        css=_file("page.css"),
        head=_HEAD,
    )
    app.routes[-1].app.add_middleware(Door)  # type: ignore[attr-defined]


def _in_a_loop(call: Callable[[], None]) -> None:
    """Gradio opens an event loop for every lock that it makes outside of one, and never closes it."""

    async def inside() -> None:
        call()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(inside())
    else:
        call()


def build(service: Service, max_body: int = MAX_BODY) -> Any:
    """The page's parts and what happens on each event: a `gradio.Blocks`."""
    desk = _Desk(service, largest_of(max_body))
    with Plain(title="judge", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(_HEADER, elem_id="j-header", apply_default_css=False)
        banner = gr.HTML("", elem_id="j-banner", apply_default_css=False)
        # Neither Gradio's tabs nor, below, its accordion: what they hide is made when it is first shown, and
        # set to its first value a frame later, over what a visitor has given by then.
        gr.HTML(_TABS, js_on_load=_script("tabs"), apply_default_css=False)
        with gr.Column(elem_id="j-panel-judge"):
            _judge_tab(desk, blocks)
        with gr.Column(elem_id="j-panel-compare"):
            _compare_tab(desk, blocks)
        timer = gr.Timer(_TICK, active=True)
        gr.on(
            [blocks.load, timer.tick], desk.state, outputs=[banner, timer], show_progress="hidden", **_PRIVATE
        )
    blocks.share = False
    blocks.state_session_capacity = SESSIONS
    blocks.queue(max_size=WAITING, default_concurrency_limit=AT_ONCE)
    return blocks


def largest_of(max_body: int) -> int:
    """Bytes of a picture, two of which fit into a body in base64, with some room for the texts beside."""
    return max(1, min(media.MAX_BYTES, (max_body - (256 << 10)) * 3 // 8))


class Plain(gr.Blocks):
    """Blocks whose events take text and nothing else: each input as it was sent, None for what is no text.

    Gradio's own way opens or fetches whatever an input calls a file before any function is called, be the
    field for files or not, and be the event declared with `preprocess=False` or not.
    """

    async def preprocess_data(
        self, block_fn: Any, inputs: list[Any], state: Any, explicit_call: bool = False
    ) -> list[str | None]:
        return [given if isinstance(given, str) else None for given in inputs]


def _judge_tab(desk: _Desk, blocks: gr.Blocks) -> None:
    with gr.Row(elem_classes="j-columns"):
        with gr.Column(scale=2, min_width=300):
            picture = _picture(desk, "picture", "Picture")
            asked = _asked(desk, heat=True)
            press = gr.Button("Judge", variant="primary", elem_id="j-judge")
            offered = gr.HTML("", elem_id="j-offered", js_on_load=_script("scenes"), apply_default_css=False)
        with gr.Column(scale=3, min_width=300):
            result = _result("verdict", markup.empty())
    wanted = [picture, *asked]
    gr.on([press.click, *_enter(asked)], desk.judged, wanted, result, concurrency_id="judge", **_PRESS)
    _offer(blocks, scenes.singles, offered, [picture, *asked[:2]], desk.judged, wanted, result)


def _compare_tab(desk: _Desk, blocks: gr.Blocks) -> None:
    with gr.Row(elem_classes="j-columns"):
        with gr.Column(scale=2, min_width=300):
            with gr.Row(elem_classes="j-two"):
                a, b = _picture(desk, "a", "Picture A"), _picture(desk, "b", "Picture B")
            asked = _asked(desk, key="compare-")
            press = gr.Button("Compare", variant="primary", elem_id="j-compare")
            offered = gr.HTML("", elem_id="j-pairs", js_on_load=_script("scenes"), apply_default_css=False)
        with gr.Column(scale=3, min_width=300):
            result = _result("comparison", markup.empty())
    wanted = [a, b, *asked]
    gr.on([press.click, *_enter(asked)], desk.compared, wanted, result, concurrency_id="judge", **_PRESS)
    _offer(blocks, scenes.pairs, offered, [a, b, *asked[:2]], desk.compared, wanted, result)


def _offer(
    blocks: gr.Blocks,
    drawn: Callable[[], Sequence[scenes.Example]],
    offered: gr.HTML,
    filled: list[Any],
    then: Callable[..., Awaitable[str]],
    wanted: list[Any],
    result: gr.HTML,
) -> None:
    """Scenes to press: drawn when the page is first opened; a press fills the fields and judges them."""

    async def draw() -> str:
        found = await asyncio.to_thread(drawn)
        return markup.scenes([(one.title, one.prompt, one.pictures[-1]) for one in found])

    async def pick(event: gr.EventData) -> list[Any]:
        found, index = await asyncio.to_thread(drawn), event._data.get("index")
        if not isinstance(index, int) or not 0 <= index < len(found):
            return [gr.skip() for _ in filled]
        one = found[index]
        # No elements: those of the prompt are judged, and none stay behind for the next picture.
        return [*map(markup.shown, one.pictures), one.prompt, ""]

    blocks.load(draw, outputs=offered, show_progress="hidden", **_PRIVATE)
    offered.select(pick, outputs=filled, show_progress="hidden", **_PRESS).then(
        then, wanted, result, concurrency_id="judge", **_PRESS
    )


# -- What happens on events ----------------------------------------------------------------------------


class _Desk:
    """Takes what a visitor gives to the service, and what comes back to the page, as HTML.

    Inputs come as they were sent, by the page or by anybody: each is checked here or by the service.
    """

    def __init__(self, service: Service, largest: int) -> None:
        self.service, self.largest = service, largest
        self.looks = [("none", "0"), *_offers(service.looks)]
        self.rubrics = [(str(one["name"]), str(one.get("description", ""))) for one in service.rubrics()]

    async def state(self) -> tuple[str, gr.Timer]:
        """A line while the service is not ready, and whether to ask again."""
        found = self.service.state
        return markup.state(found), gr.Timer(active=found != "ready")

    async def judged(
        self,
        image: Given,
        prompt: Given,
        elements: Given,
        rubric: Given,
        depth: Given,
        looks: Given,
        heat: Given,
    ) -> str:
        async def ask() -> str:
            start = time.perf_counter()
            data = await _sent(image, "image")
            given = _sample(data, prompt, elements)
            found = await self.service.verdict(given, _wanted(rubric, depth, looks, heat))
            waited = time.perf_counter() - start
            show = partial(markup.verdict, found, prompt=given.prompt, seconds=waited)
            return await asyncio.to_thread(lambda: show(media.load(data).image))

        return await _told(ask)

    async def compared(
        self,
        a: Given,
        b: Given,
        prompt: Given,
        elements: Given,
        rubric: Given,
        depth: Given,
        looks: Given,
    ) -> str:
        async def ask() -> str:
            start = time.perf_counter()
            both = [await _sent(one, name) for one, name in ((a, "a"), (b, "b"))]
            first, second = (_sample(data, prompt, elements) for data in both)
            found = await self.service.compare(first, second, _wanted(rubric, depth, looks))
            waited = time.perf_counter() - start
            show = partial(markup.comparison, found, prompt=first.prompt, seconds=waited)
            return await asyncio.to_thread(lambda: show([media.load(data).image for data in both]))

        return await _told(ask)


def _offers(most: int) -> list[tuple[str, str]]:
    """Numbers of closer looks to choose from, with what they are for."""
    few = min(USUAL, most)
    offers = {most: "small parts of the picture as well", few: "where elements or regions are in doubt"}
    return [(f"up to {number}: {about}", str(number)) for number, about in sorted(offers.items()) if number]


async def _told(ask: Callable[[], Awaitable[str]]) -> str:
    """What `ask` gives, or what went wrong in words for the visitor."""
    try:
        return await ask()
    except JudgeError as error:
        return markup.complaint(error)
    except TimeoutError:
        return markup.complaint(JudgeError("It took longer than this server allows: try again in a moment."))
    except Exception:
        log.exception("the page could not give a verdict")
        return markup.complaint(JudgeError("Something broke on the server. Its log says what."))


async def _sent(url: Given, field: str) -> bytes:
    """The file that the browser sent, not yet looked at. Raises `MediaError`."""
    if not url:
        raise MediaError(field, "", "one picture", "none is given: choose, drop or paste one")
    if not url.startswith("data:"):
        raise MediaError(field, url, "a picture that is sent along", "choose, drop or paste one")
    try:
        return await asyncio.to_thread(partial(base64.b64decode, validate=True), url.partition(",")[2])
    except (binascii.Error, ValueError):
        raise MediaError(field, "<data: URL>", "data: URLs in base64", "send the picture again") from None


def _sample(data: bytes, prompt: Given, elements: Given) -> Sample:
    listed = [part.strip() for part in re.split(r"[,\n]", elements or "") if part.strip()]
    return Sample(image=data, prompt=prompt or "", elements=listed or None)


def _wanted(rubric: Given, depth: Given, looks: Given, heat: Given = "no") -> Wanted:
    """What is asked for; the service refuses what makes no sense, as the text that it is."""
    looks = looks or "0"
    number = int(looks) if re.fullmatch(r"[0-9]{1,6}", looks) else looks
    return Wanted(rubric or "", cast(Depth, depth), heat == "yes", cast(int, number))


# -- Parts of the page ---------------------------------------------------------------------------------


def _picture(desk: _Desk, key: str, label: str) -> gr.HTML:
    """A field for one picture; its value is the file as a `data:` URL, or "" (see page.js)."""
    template = f"""<div class="j-drop" data-limit="{desk.largest}">
      <span class="j-label">{label}</span>
      <input type="file" id="j-file-{key}" accept="{_ACCEPTED}" aria-describedby="j-told-{key}">
      <label for="j-file-{key}"><span class="j-hidden">{label}: </span><img alt="" src="data:," hidden>
        <span class="j-hint"><b>Drop a picture here</b><br>or paste it, or press to choose one</span></label>
      <div class="j-under"><span class="j-told" id="j-told-{key}" role="status"></span>
        <button type="button" class="j-remove" hidden>Remove<span class="j-hidden"> {label}</span></button>
      </div>
    </div>"""
    return gr.HTML(
        "", html_template=template, js_on_load=_script("drop"), elem_id=f"j-{key}", apply_default_css=False
    )


def _asked(desk: _Desk, key: str = "", heat: bool = False) -> list[Any]:
    """Fields for prompt, elements, rubric, depth, looks and, where wanted, heat maps, in this order."""
    prompt = gr.Textbox(
        label="Prompt",
        placeholder="The text it was made from. Enter judges, Shift+Enter starts a new line.",
        lines=1,
        max_lines=8,
        elem_id=f"j-{key}prompt",
    )
    more = f"More: elements, rubric, depth, closer looks{', heat maps' if heat else ''}"
    gr.HTML(_MORE.format(key=key, more=more), js_on_load=_script("fold"), apply_default_css=False)
    with gr.Column(elem_id=f"j-{key}more", elem_classes="j-folded"):
        elements = gr.Textbox(
            label="Elements",
            info="Statements to check, separated by commas. Left empty, they are taken from the prompt.",
            lines=1,
            max_lines=6,
            elem_id=f"j-{key}elements",
        )
        names = [(f"{name}: {about}" if about else name, name) for name, about in desk.rubrics]
        rubric = gr.Radio(names, value=names[0][1], label="Rubric", elem_id=f"j-{key}rubric")
        depths = [("verdict: everything", "verdict"), ("score: numbers only, sooner", "score")]
        depth = gr.Radio(depths, value="verdict", label="Depth", elem_id=f"j-{key}depth")
        looks = gr.Radio(desk.looks, value="0", label="Closer looks", elem_id=f"j-{key}looks")
        maps = [("no", "no"), ("yes: where score and regions come from, which takes longer", "yes")]
        heats = [gr.Radio(maps, value="no", label="Heat maps", elem_id=f"j-{key}heat")] if heat else []
    return [prompt, elements, rubric, depth, looks, *heats]


def _enter(asked: Sequence[Any]) -> list[Any]:
    """Enter in a text field is a press of the button."""
    return [asked[0].submit, asked[1].submit]


def _result(key: str, value: str) -> gr.HTML:
    return gr.HTML(
        value, elem_id=f"j-{key}", js_on_load=_script("result"), apply_default_css=False, min_height=160
    )


_TABS = """<div role="tablist" class="j-tabs">
<button type="button" role="tab" id="j-tab-judge" aria-controls="j-panel-judge"
aria-selected="true">Judge</button>
<button type="button" role="tab" id="j-tab-compare" aria-controls="j-panel-compare"
aria-selected="false" tabindex="-1">Compare</button></div>"""
_MORE = """<button type="button" class="j-more" aria-controls="j-{key}more"
aria-expanded="false">{more}</button>"""
_HEAD = '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
_HEADER = """<header class="j-top-line"><h1>judge</h1>
<p>How good is a generated picture, what of its prompt is there, and where is it broken?</p></header>"""


def _theme() -> gr.themes.Base:
    """System fonts only: nothing is loaded from anywhere else."""
    return gr.themes.Base(
        primary_hue="teal",
        neutral_hue="slate",
        radius_size="lg",
        font=["system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "DejaVu Sans", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Menlo", "DejaVu Sans Mono", "monospace"],
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
    )


def _file(name: str) -> str:
    return (files("judge.serve.page") / name).read_text("utf-8")


def _script(part: str) -> str:
    return f"{_file('page.js')}\n{part}();"


class Door:
    """ASGI: lets through the routes of Gradio that the page uses, for the page itself, and shuts all others.

    Gradio has more than a hundred routes, some of which read files, take uploads, fetch addresses or change
    the app; a list of what is needed does not grow with the next version. It also answers the scripts of any
    site, with the visitor's credentials: here they are refused.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1000})
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        path = str(scope["path"]).removeprefix(str(scope.get("root_path", "")).rstrip("/")) or "/"
        if _is_foreign(Headers(scope=scope)):
            await PlainTextResponse("not for other sites", 403)(scope, receive, send)
        elif _ROUTES.fullmatch(path):
            await self.app(scope, receive, _guarded(send))
        elif path.startswith("/gradio_api/"):
            await PlainTextResponse("not open here", 403)(scope, receive, send)
        else:
            await PlainTextResponse("not found", 404)(scope, receive, send)


def _is_foreign(headers: Headers) -> bool:
    """Whether a script or form of another site asks. A link to the page from anywhere is none of these."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        navigates = (
            headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
        )
        return site not in ("same-origin", "none") and not navigates
    # Browsers leave Sec-Fetch-Site out where the page has no https; Origin they send with every POST.
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host")


def _guarded(send: Send) -> Send:
    """`send` with headers that keep the page to itself: no foreign script, font, picture or frame."""

    async def guarded(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [
                (b"content-security-policy", _POLICY.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
            message = {**message, "headers": [*message.get("headers", []), *headers]}
        await send(message)

    return guarded
