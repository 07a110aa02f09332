"""What happens on the page's events: call the service, and return its answer or its error as HTML."""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, cast

import gradio as gr

from judge.errors import JudgeError, MediaError
from judge.media.image import load_image
from judge.serve.page import markup
from judge.serve.sample_judge import JudgeOptions
from judge.types import Depth, Sample

if TYPE_CHECKING:
    from judge.serve.service import Service

EventInput = str | None
"""An input of an event: text, or None for anything else."""
log = logging.getLogger(__name__)


class PageEvents:
    """Passes a visitor's input to the service, and returns its answer as HTML.

    Inputs may be sent by the page or by anybody else, so each is checked here or by the service.

    Args:
        service: judges; only its public async interface is used.
    """

    def __init__(self, service: Service) -> None:
        self.service = service

    async def state(self) -> tuple[str, gr.Timer]:
        """Return a line about a service that is not ready, and a timer that is active until it is."""
        state = self.service.state
        return markup.service_state(state), gr.Timer(active=state != "ready")

    async def judge(
        self,
        image: EventInput,
        prompt: EventInput,
        elements: EventInput,
        rubric: EventInput,
        depth: EventInput,
        looks: EventInput,
        heat: EventInput,
        negative: EventInput = "",
        anyway: EventInput = "no",
    ) -> str:
        """Judge one image, and return the verdict as HTML."""

        async def answer() -> str:
            start = time.perf_counter()
            data = await _decode(image, "image")
            sample = _build_sample(data, prompt, elements, negative)
            verdict = await self.service.verdict(sample, _build_options(rubric, depth, looks, anyway, heat))
            seconds = time.perf_counter() - start
            show = partial(markup.verdict, verdict, prompt=sample.prompt, seconds=seconds)
            return await asyncio.to_thread(lambda: show(load_image(data).image))

        return await _answer_or_alert(answer)

    async def compare(
        self,
        a: EventInput,
        b: EventInput,
        prompt: EventInput,
        elements: EventInput,
        rubric: EventInput,
        depth: EventInput,
        looks: EventInput,
        negative: EventInput = "",
        anyway: EventInput = "no",
    ) -> str:
        """Compare two images, and return the comparison as HTML."""

        async def answer() -> str:
            start = time.perf_counter()
            both = [await _decode(url, field) for url, field in ((a, "a"), (b, "b"))]
            first, second = (_build_sample(data, prompt, elements, negative) for data in both)
            options = _build_options(rubric, depth, looks, anyway)
            comparison = await self.service.compare(first, second, options)
            seconds = time.perf_counter() - start
            show = partial(markup.comparison, comparison, prompt=first.prompt, seconds=seconds)
            return await asyncio.to_thread(lambda: show([load_image(data).image for data in both]))

        return await _answer_or_alert(answer)


async def _answer_or_alert(answer: Callable[[], Awaitable[str]]) -> str:
    """Return the answer, or an alert that says what went wrong."""
    try:
        return await answer()
    except JudgeError as error:
        return markup.error_alert(error)
    except TimeoutError:
        return markup.error_alert(
            JudgeError("It took longer than this server allows. Try again in a moment.")
        )
    except Exception:
        log.exception("the page could not give a verdict")
        return markup.error_alert(JudgeError("Something went wrong on the server. Its log has the details."))


async def _decode(url: EventInput, field: str) -> bytes:
    """Return the file that the browser sent as a `data:` URL, without reading its content.

    Raises:
        MediaError: there is no file, or it is not a `data:` URL in base64.
    """
    if not url:
        raise MediaError(field, "", "one image", "it is missing: choose, drop or paste one")
    if not url.startswith("data:"):
        raise MediaError(field, url, "an image file", "choose, drop or paste one")
    try:
        return await asyncio.to_thread(partial(base64.b64decode, validate=True), url.partition(",")[2])
    except (binascii.Error, ValueError):
        raise MediaError(field, "<data: URL>", "data: URLs in base64", "send the image again") from None


def _build_sample(data: bytes, prompt: EventInput, elements: EventInput, negative: EventInput) -> Sample:
    names = [part.strip() for part in re.split(r"[,\n]", elements or "") if part.strip()]
    return Sample(image=data, prompt=prompt or "", negative_prompt=negative or "", elements=names or None)


def _build_options(
    rubric: EventInput, depth: EventInput, looks: EventInput, anyway: EventInput, heat: EventInput = "no"
) -> JudgeOptions:
    """Return the options of a request. Values that make no sense stay text, and the service rejects them."""
    looks = looks or "0"
    number = int(looks) if re.fullmatch(r"[0-9]{1,6}", looks) else looks
    return JudgeOptions(
        rubric or "",
        cast(Depth, depth),
        heat == "yes",
        cast(int, number),
        out_of_domain="score" if anyway == "yes" else "abstain",
    )
