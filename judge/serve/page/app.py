"""The web page: its layout, and which function each event calls. `mount` puts it on the gateway."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from judge.media.image import MAX_IMAGE_BYTES
from judge.pipeline.domain import rubrics_for_any_image
from judge.serve.page import examples, fields, markup
from judge.serve.page.access import RouteFilter, TextOnlyBlocks
from judge.serve.page.events import PageEvents
from judge.serve.page.formatting import image_url

if TYPE_CHECKING:
    from fastapi import FastAPI

    from judge.serve.service import Service

MAX_BODY = 64 << 20
"""Default limit of a request body in bytes."""
MAX_CONCURRENT_EVENTS = 8
"""Verdicts that the page requests at once; each holds the file of its image."""
MAX_WAITING_EVENTS = 64
"""Clicks that wait for their turn; for further ones the page says that it is busy."""
MAX_SESSIONS = 16
"""Visitors whose last verdict Gradio keeps in memory. The page does not use it."""
STATE_SECONDS = 2.0
"""Seconds between two checks of a service that is not ready."""

_PRIVATE: dict[str, Any] = {"api_visibility": "private"}
"""Options of every event: it is not part of an API."""
_CLICK: dict[str, Any] = {**_PRIVATE, "trigger_mode": "always_last"}
"""Options of clicks: a click during another one is answered after it, so the last one is shown."""


def mount(app: FastAPI, service: Service, path: str = "/", *, max_body: int = MAX_BODY) -> FastAPI:
    """Mount the page on an app. Call it after the app's own routes, because at "/" the page takes all others.

    Args:
        app: the gateway. Its lifespan starts the page's queue.
        service: judges; only its public async interface is used.
        path: path of the page, with a leading "/".
        max_body: largest request body of the gateway in bytes. Images that would not fit are rejected in the
            browser, before they are sent.

    Returns:
        The same app.
    """
    _run_in_loop(partial(_mount, app, service, path, max_body))
    return app


def _mount(app: FastAPI, service: Service, path: str, max_body: int) -> None:
    gr.mount_gradio_app(
        app,
        build_page(service, max_body),
        path,
        footer_links=[],
        run_history=False,
        allowed_paths=[],
        show_error=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        enable_monitoring=False,
        theme=fields.theme(),
        css=fields.read_page_file("page.css"),
        head=fields.HEAD,
    )
    app.routes[-1].app.add_middleware(RouteFilter)  # type: ignore[attr-defined]


def _run_in_loop(function: Callable[[], None]) -> None:
    """Call a function inside an event loop.

    Outside of a loop, Gradio opens one for every lock it creates, and never closes it.
    """

    async def inside() -> None:
        function()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(inside())
    else:
        function()


def build_page(service: Service, max_body: int = MAX_BODY) -> Any:
    """Build the page.

    Args:
        service: judges.
        max_body: largest request body of the gateway in bytes.

    Returns:
        A `gradio.Blocks`.
    """
    events, max_bytes = PageEvents(service), max_image_bytes(max_body)
    with TextOnlyBlocks(title="judge", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(fields.HEADER, elem_id="j-header", apply_default_css=False)
        banner = gr.HTML("", elem_id="j-banner", apply_default_css=False)
        # Gradio's own tabs and accordion are not used. They create hidden fields when these are first shown,
        # and set them to their first value one frame later, which overwrites what a visitor has entered by
        # then.
        gr.HTML(fields.TABS, js_on_load=fields.script("tabs"), apply_default_css=False)
        with gr.Column(elem_id="j-panel-judge"):
            _build_judge_tab(events, blocks, max_bytes)
        with gr.Column(elem_id="j-panel-compare"):
            _build_compare_tab(events, blocks, max_bytes)
        timer = gr.Timer(STATE_SECONDS, active=True)
        triggers = [blocks.load, timer.tick]
        gr.on(triggers, events.state, outputs=[banner, timer], show_progress="hidden", **_PRIVATE)
    blocks.share = False
    blocks.state_session_capacity = MAX_SESSIONS
    blocks.queue(max_size=MAX_WAITING_EVENTS, default_concurrency_limit=MAX_CONCURRENT_EVENTS)
    return blocks


def max_image_bytes(max_body: int) -> int:
    """Return the largest image in bytes: two fit into a body in base64, with some room for the texts."""
    return max(1, min(MAX_IMAGE_BYTES, (max_body - (256 << 10)) * 3 // 8))


def _build_judge_tab(events: PageEvents, blocks: gr.Blocks, max_bytes: int) -> None:
    with gr.Row(elem_classes="j-columns"):
        with gr.Column(scale=2, min_width=300):
            image = fields.image_field("image", "Image", max_bytes)
            options = fields.option_fields(events.service, heat=True)
            button = gr.Button("Judge", variant="primary", elem_id="j-judge")
            gallery = _build_gallery("j-offered")
        with gr.Column(scale=3, min_width=300):
            result = fields.result_panel("verdict", markup.empty_result())
    inputs = [image, *options]
    triggers = [button.click, *fields.submit_events(options)]
    gr.on(triggers, events.judge, inputs, result, concurrency_id="judge", **_CLICK)
    _connect_suggestions(result, options, events.judge, inputs)
    filled = [image, *options[:2], options[-2]]
    _connect_gallery(blocks, examples.single_examples, gallery, filled, events.judge, inputs, result)


def _build_compare_tab(events: PageEvents, blocks: gr.Blocks, max_bytes: int) -> None:
    with gr.Row(elem_classes="j-columns"):
        with gr.Column(scale=2, min_width=300):
            with gr.Row(elem_classes="j-two"):
                a, b = (fields.image_field(key, f"Image {key.upper()}", max_bytes) for key in ("a", "b"))
            options = fields.option_fields(events.service, key="compare-")
            button = gr.Button("Compare", variant="primary", elem_id="j-compare")
            gallery = _build_gallery("j-pairs")
        with gr.Column(scale=3, min_width=300):
            result = fields.result_panel("comparison", markup.empty_result())
    inputs = [a, b, *options]
    triggers = [button.click, *fields.submit_events(options)]
    gr.on(triggers, events.compare, inputs, result, concurrency_id="judge", **_CLICK)
    _connect_suggestions(result, options, events.compare, inputs)
    filled = [a, b, *options[:2], options[-2]]
    _connect_gallery(blocks, examples.pair_examples, gallery, filled, events.compare, inputs, result)


def _connect_suggestions(
    result: gr.HTML, options: list[Any], judge: Callable[..., Awaitable[str]], inputs: list[Any]
) -> None:
    """Let the buttons of a verdict that abstains choose a rubric, or numbers anyway, and judge again.

    Args:
        result: shows the verdict; sends the button's name as "run".
        options: the fields, as from `fields.option_fields`.
        judge: called after that.
        inputs: inputs of `judge`.
    """
    rubric, anyway = options[2], options[-1]

    async def choose(event: gr.EventData) -> list[Any]:
        run = event._data.get("run")
        if run == "anyway":
            return [gr.skip(), "yes"]
        return [run, "no"] if run in rubrics_for_any_image() else [gr.skip(), gr.skip()]

    result.select(choose, outputs=[rubric, anyway], show_progress="hidden", **_CLICK).then(
        judge, inputs, result, concurrency_id="judge", **_CLICK
    )


def _build_gallery(element_id: str) -> gr.HTML:
    return gr.HTML("", elem_id=element_id, js_on_load=fields.script("gallery"), apply_default_css=False)


def _connect_gallery(
    blocks: gr.Blocks,
    draw_examples: Callable[[], Sequence[examples.Example]],
    gallery: gr.HTML,
    filled: list[Any],
    judge: Callable[..., Awaitable[str]],
    inputs: list[Any],
    result: gr.HTML,
) -> None:
    """Show examples to try. A click on one fills the fields and judges it.

    Args:
        blocks: the page; the examples are drawn when it is first opened.
        draw_examples: returns the examples.
        gallery: shows them.
        filled: fields that a click fills: images, prompt, elements, negative prompt.
        judge: called after that.
        inputs: inputs of `judge`.
        result: shows what `judge` returns.
    """

    async def draw() -> str:
        drawn = await asyncio.to_thread(draw_examples)
        return markup.example_gallery([(one.title, one.prompt, one.images[-1]) for one in drawn])

    async def pick(event: gr.EventData) -> list[Any]:
        drawn, index = await asyncio.to_thread(draw_examples), event._data.get("index")
        if not isinstance(index, int) or not 0 <= index < len(drawn):
            return [gr.skip() for _ in filled]
        example = drawn[index]
        # The other texts are cleared: none are left from the previous image.
        return [*map(image_url, example.images), example.prompt, "", ""]

    blocks.load(draw, outputs=gallery, show_progress="hidden", **_PRIVATE)
    gallery.select(pick, outputs=filled, show_progress="hidden", **_CLICK).then(
        judge, inputs, result, concurrency_id="judge", **_CLICK
    )
