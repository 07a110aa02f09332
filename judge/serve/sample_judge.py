"""Judge one sample with the engine: fetch, decode, prepare, send the requests, read the replies.

Two limits keep memory flat under any load: only a few more images than the engine works on at once are
decoded or waiting for it, and only a few threads decode.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, TypeVar

from judge.agent.budget import Budget, check_looks
from judge.agent.closer_looks import first_questions, judge_with_looks, send_replies
from judge.elements.element_list import MAX_LISTED_ELEMENTS
from judge.elements.splitters.model_lists import ListKey, ListQuestion
from judge.errors import DeadlineError, InputError
from judge.explain import heatmap as heat_maps
from judge.pipeline.inputs import select_video
from judge.pipeline.pipeline import Pipeline
from judge.pipeline.prepared_sample import PreparedSample
from judge.pipeline.validation import check_sample
from judge.rubrics.rubric import Rubric
from judge.serve.engine.supervisor import Engine
from judge.serve.fetcher import Fetcher, is_url
from judge.types import ComparisonOption, Depth, OutOfDomain, Sample, Verdict

T = TypeVar("T")
SampleInput = Sample | Mapping[str, Any]
MIN_PREFETCH = 16
"""Images that are prepared while the engine is busy, at least."""
DEFAULT_MAX_LOOKS = 16
"""Default limit of zoom-ins (closer looks) per image that a request may ask for. Doubts and parts need no
more, and 200 zoom-ins into one 4K image would keep other requests waiting."""
RESERVED_TIME_SHARE = 0.1
"""Last share of a request's time in which no zoom-in starts, so that it ends on time with what it has."""
MAX_VIDEO_SECONDS = 300.0
"""Longest video: some hundred frames of it are decoded, which takes a thread seconds."""
MAX_VIDEO_FRAME_PIXELS = 4096 * 2304
DECODER_THREADS = 4
"""Images decoded in parallel, at most; the largest allowed image takes some hundred MB while it is
decoded."""


@dataclass(frozen=True)
class JudgeOptions:
    """What a request asks about its images."""

    rubric: str = "default"
    depth: Depth = "verdict"
    heat: bool = False
    """Add heat maps, see `judge.explain.heatmap`; a comparison has none."""
    looks: int = 0
    """Zoom-ins (closer looks) per image, at most; see `judge.agent.closer_looks`."""
    how: ComparisonOption = "pointwise"
    """How two images are compared, see `Judge.compare`; ignored for a single image."""
    max_elements: int = MAX_LISTED_ELEMENTS
    """Elements taken from a prompt, at most."""
    out_of_domain: OutOfDomain | None = None
    """What is done with a sample outside the judge's domain; None: as the service."""


VERDICT_OPTIONS, SCORE_OPTIONS = JudgeOptions(), JudgeOptions(depth="score")
"""Default options for single images and for many."""


class SampleJudge:
    """Judges samples with an engine, as many at once as the engine needs to stay busy.

    Args:
        engine: the engine; ready when the first sample is judged.
        fetcher: fetches images that are given by URL.
        max_looks: limit of zoom-ins per image that a request may ask for.
    """

    def __init__(self, engine: Engine, fetcher: Fetcher, max_looks: int) -> None:
        self.engine, self.fetcher, self.max_looks = engine, fetcher, max_looks
        self.mean_interval = 0.1
        """Running mean of the seconds from one finished sample to the next."""
        self._finished_at = time.monotonic()
        self._listing: dict[ListKey, asyncio.Task[None]] = {}
        """Questions for lists of elements that are with the engine."""
        self._threads = ThreadPoolExecutor(min(DECODER_THREADS, os.cpu_count() or 1), "decode")

    def close(self) -> None:
        """Stop the threads without waiting for their work."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def window_size(self) -> int:
        """Samples decoded, waiting for the engine, or in it: a batch more than it works on at once."""
        return self.engine.concurrency + max(MIN_PREFETCH, self.engine.concurrency // 4)

    @cached_property
    def _window(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(self.window_size)

    async def judge(
        self,
        sample_input: SampleInput,
        pipeline: Pipeline,
        options: JudgeOptions,
        deadline: float,
        field: str = "image",
    ) -> tuple[PreparedSample, Verdict]:
        """Judge one sample.

        Args:
            sample_input: the sample, or its fields.
            pipeline: prepares samples and reads replies for the rubric.
            options: what to judge.
            deadline: time of the event loop's clock, in seconds.
            field: name of the image's field in the request, for errors.

        Returns:
            The prepared sample and its verdict.

        Raises:
            InputError: the sample or an option is not usable.
            EngineDownError: there is no engine.
            DeadlineError: the deadline passed.
        """
        sample = check_sample(sample_input)
        if options.heat:
            heat_maps.check_has_gradients(pipeline.model_info)
        if check_looks(options.looks) > self.max_looks:
            mend = "ask for fewer, or start the gateway with a larger --looks"
            raise InputError("looks", options.looks, f"0 to {self.max_looks} with this gateway", mend)
        async with self._window:
            start = time.perf_counter()
            sample = await self._fetch_urls(sample, field)
            await self._in_thread(partial(_check_video, sample, pipeline.rubric))
            await self._list_elements(pipeline, sample, options, deadline)
            prepare = partial(
                pipeline.prepare,
                sample,
                options.depth,
                keep_for_overlay=False,
                keep_for_looks=options.looks > 0,
                field=field,
                max_elements=options.max_elements,
                out_of_domain=options.out_of_domain,
            )
            prepared = await self._in_thread(prepare)
            verdict = await self._ask_engine(pipeline, prepared, deadline, options.looks)
            if options.heat:
                maps = [
                    await self.engine.trace(request, deadline)
                    for request in heat_maps.build_trace_requests(pipeline, prepared, verdict)
                ]
                verdict = heat_maps.add_heat_maps(pipeline, verdict, maps)
            verdict.provenance.milliseconds = (time.perf_counter() - start) * 1000
        self._update_mean_interval()
        return prepared, verdict

    async def _list_elements(
        self, pipeline: Pipeline, sample: Sample, options: JudgeOptions, deadline: float
    ) -> None:
        """Let the model list the elements of a prompt, if it is to; requests that share a prompt ask once."""
        for question in await self._in_thread(
            partial(pipeline.prompts.questions, sample, options.max_elements)
        ):
            while pipeline.model_lists.find(question.key) is None:
                task = self._listing.get(question.key)
                if task is None:
                    task = asyncio.create_task(self._ask_for_list(pipeline, question, deadline))
                    self._listing[question.key] = task
                    task.add_done_callback(partial(self._forget_listing, question.key))
                try:
                    await asyncio.shield(task)
                except DeadlineError:  # perhaps that of the request which asked first
                    if asyncio.get_running_loop().time() >= deadline:
                        raise

    def _forget_listing(self, key: ListKey, _: asyncio.Task[None]) -> None:
        self._listing.pop(key, None)

    async def _ask_for_list(self, pipeline: Pipeline, question: ListQuestion, deadline: float) -> None:
        reply = await self.engine.infer("complete", question.request, deadline)
        pipeline.model_lists.store(question.key, question.request, reply)

    async def _fetch_urls(self, sample: Sample, image_field: str) -> Sample:
        """Replace URLs in a sample by the bytes they lead to."""
        fields = {"image": image_field, "video": "video", "reference": "reference"}
        for name, field in fields.items():
            if is_url(url := getattr(sample, name)):
                sample = sample.model_copy(update={name: await self.fetcher.fetch(url, field)})
        return sample

    async def _ask_engine(
        self, pipeline: Pipeline, prepared: PreparedSample, deadline: float, looks: int
    ) -> Verdict:
        """Send a sample's requests to the engine, round by round, until its verdict is complete."""
        clock = asyncio.get_running_loop().time
        reserved = RESERVED_TIME_SHARE * max(0.0, deadline - clock())
        rounds = judge_with_looks(pipeline, prepared, Budget(looks, deadline - reserved, clock))
        questions = first_questions(rounds)
        while not isinstance(questions, Verdict):
            start = clock()
            replies = await gather_or_cancel(
                [self.engine.infer(question.verb, question.request, deadline) for question in questions]
            )
            milliseconds = (clock() - start) * 1000 / len(questions)
            advance = partial(send_replies, rounds, [(reply, milliseconds) for reply in replies])
            # Cropping for zoom-ins takes a while; reading one reply takes less time than a switch of threads.
            questions = await self._in_thread(advance) if looks else advance()
        return questions

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Run a function in a decoder thread, so that the event loop stays free."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _update_mean_interval(self) -> None:
        now = time.monotonic()
        self.mean_interval += 0.05 * (min(10.0, now - self._finished_at) - self.mean_interval)
        self._finished_at = now


def _check_video(sample: Sample, rubric: Rubric) -> None:
    """Raise `MediaError` for a video that would keep a thread busy for long."""
    source = select_video(sample, rubric)
    if source is None:
        return
    from judge.media.decoding import open_video  # loads FFmpeg

    with open_video(source, "video", max_seconds=MAX_VIDEO_SECONDS, max_pixels=MAX_VIDEO_FRAME_PIXELS):
        pass


async def gather_or_cancel(coroutines: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results in order. The first error cancels the others, as nobody would use their results."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
