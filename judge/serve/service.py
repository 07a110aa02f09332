"""The judge as a service: requests are let in up to a limit, prepared in threads, and put to the engine.

    async with Service(Engine(judges("embedded"))) as service:
        await service.engine.settled()
        verdict = await service.verdict(Sample(image="picture.png", prompt="a red circle"))

Three limits keep memory flat whatever comes: `queue` requests are inside at once, each holding what it was
sent; a few more pictures than the engine works on at once are decoded or waiting for it; a few threads
decode. Whoever finds no room is told so at once, and whoever waits longer than the deadline is told then.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, partial
from typing import Any, Self, TypeVar

from judge.agent.closer_looks import Budget, check_looks, judged, sent
from judge.agent.questions import verb_at
from judge.errors import Busy, Down, InputError, Late
from judge.explain import heatmap as heat_maps
from judge.pipeline import pairwise
from judge.pipeline.calibration import Calibration
from judge.pipeline.pipeline import MAX_PIXELS, Pipeline, compared, comparison_of_pair, name_of
from judge.pipeline.prepared import ModelInfo, PreparedSample
from judge.pipeline.rows import BadRow
from judge.pipeline.validation import check_depth, check_sample
from judge.rubrics.files import known
from judge.rubrics.rubric import Rubric
from judge.serve.engine.engine import Engine, State
from judge.serve.fetch import Fetcher, is_url
from judge.types import Comparison, Depth, How, Sample, Verdict

T = TypeVar("T")
Given = Sample | Mapping[str, Any]
AHEAD = 16
"""Pictures that are made ready while the engine is busy, at least."""
LOOKS = 16
"""Closer looks that a request may ask for, unless the operator says otherwise: doubts and parts need no more,
and 200 at a picture of 4K would keep others waiting."""
HASTE = 0.1
"""Share of a request's time, its last, in which no closer look is begun: it ends on time with what it has."""
FILM_SECONDS, FILM_PIXELS = 300.0, 4096 * 2304
"""Longest video, and its largest frame: some hundred frames are decoded, which takes a thread seconds."""
THREADS = 4
"""Pictures decoded side by side at most; the largest allowed one takes some hundred MB meanwhile."""


@dataclass(frozen=True)
class Wanted:
    """What a request wants to know about its pictures."""

    rubric: str = "default"
    depth: Depth = "verdict"
    heat: bool = False
    """Heat maps beside the numbers, see `judge.explain.heatmap`; a comparison has none."""
    looks: int = 0
    """Closer looks at each picture at most, see `judge.agent.closer_looks`."""
    how: How = "pointwise"
    """How two pictures are compared, see `Judge.compare`; one alone is not."""


WHOLE, NUMBERS = Wanted(), Wanted(depth="score")
"""What is wanted unless something else is said, of a few pictures and of many."""


class Service:
    """Judges over one engine, for many callers at once. An async context manager: starts and stops it.

    Args:
        engine: not yet started.
        rubrics: those that may be asked for, by name, `.toml` file or as `Rubric`; default: all that come
            with the package.
        queue: requests inside at most.
        deadline: seconds a request may take, unless it brings its own.
        embedded: the engine runs the embedded judge, whose domain is known.
        seed, max_pixels: as in `Judge`.
        looks: closer looks at a picture that a request may ask for.
        fetcher: fetches pictures given by URL; the default one refuses them all.

    Raises:
        InputError: a limit or a rubric is unusable.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        rubrics: Sequence[str | Rubric] = (),
        queue: int = 256,
        deadline: float = 60.0,
        embedded: bool = False,
        seed: int = 0,
        max_pixels: int = MAX_PIXELS,
        fetcher: Fetcher | None = None,
        calibrated: Callable[[Rubric], Calibration | None] = lambda rubric: None,
        looks: int = LOOKS,
    ) -> None:
        if queue < 1:
            raise InputError("queue", queue, "1 or more", "256 is the usual one")
        if not deadline > 0:
            raise InputError("deadline", deadline, "seconds above 0", "60 is the usual one")
        self.engine, self.queue, self.deadline = engine, queue, deadline
        self.looks = check_looks(looks)
        self.fetcher = fetcher or Fetcher()
        self.inside = 0
        """Requests let in and not yet answered."""
        self.judged: Counter[tuple[str, Depth, str]] = Counter()
        """Verdicts so far by rubric, depth and status."""
        loaded = [Rubric.load(rubric) for rubric in rubrics or known()]
        self._askings = {
            rubric.name: Pipeline(
                rubric,
                self._card,
                seed,
                max_pixels=max_pixels,
                embedded=embedded,
                calibration=calibrated(rubric),
            )
            for rubric in loaded
        }
        self._threads = ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1), "decode")
        self._draining = False
        self._pace, self._last = 0.1, time.monotonic()

    async def __aenter__(self) -> Self:
        await self.engine.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drain()
        await self.engine.stop()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def state(self) -> State:
        return "draining" if self._draining else self.engine.state

    def drain(self) -> None:
        """Let nobody in any more; who is inside is still answered."""
        self._draining = True

    def rubrics(self) -> list[dict[str, Any]]:
        """What may be asked: each rubric without its templates and worked examples."""
        hidden = {"templates", "examples", "score"}
        rubrics = (pipeline.rubric for pipeline in self._askings.values())
        return [{**one.model_dump(mode="json", exclude=hidden), "hash": one.hash} for one in rubrics]

    async def verdict(
        self,
        sample: Given,
        wanted: Wanted = WHOLE,
        deadline_s: float | None = None,
    ) -> Verdict:
        """Judge one picture.

        Raises:
            InputError: something in the sample is unusable, the model cannot be traced, or the service takes
                fewer looks.
            Busy, Down, Late: there is no room, no engine, or no time.
        """
        with self.enter(deadline_s) as visit:
            return await visit.verdict(sample, wanted)

    async def scores(
        self,
        samples: Sequence[Given | BadRow],
        wanted: Wanted = NUMBERS,
        deadline_s: float | None = None,
    ) -> list[Verdict]:
        """Judge many pictures: one verdict per sample, in order; unusable ones are unscored with a reason."""
        with self.enter(deadline_s) as visit:
            return await visit.scores(samples, wanted)

    async def compare(
        self,
        a: Sample,
        b: Sample,
        wanted: Wanted = WHOLE,
        deadline_s: float | None = None,
    ) -> Comparison:
        """Judge two pictures, and say which is better. Raises as `verdict` does."""
        with self.enter(deadline_s) as visit:
            return await visit.compare(a, b, wanted)

    @contextmanager
    def enter(self, deadline_s: float | None = None) -> Iterator[Visit]:
        """Take one place inside for as long as the block runs. Raises `Busy` or `Down` at the door."""
        if self.state != "ready":
            ending = self.state in ("draining", "failed")
            raise Down(f"the engine is {self.state}", None if ending else self.engine.retry_after())
        if self.inside >= self.queue:
            half = max(1.0, min(30.0, self.inside * self._pace / 2))
            raise Busy(f"{self.queue} requests are inside, which is all there is room for", half)
        self.inside += 1
        try:
            seconds = self.deadline if deadline_s is None else min(deadline_s, self.deadline)
            yield Visit(self, asyncio.get_running_loop().time() + seconds)
        finally:
            self.inside -= 1

    def pipeline(self, rubric: str) -> Pipeline:
        """What a rubric asks. Raises `InputError` for one that this service does not have."""
        if rubric not in self._askings:
            known = list(self._askings)
            near = get_close_matches(str(rubric), known, n=1, cutoff=0.0)[0]
            raise InputError("rubric", rubric, ", ".join(known), f"did you mean {near!r}?")
        return self._askings[rubric]

    @property
    def room(self) -> int:
        """Pictures that are decoded, waiting for the engine, or in it: a batch more than it works on."""
        return self.engine.width + max(AHEAD, self.engine.width // 4)

    @cached_property
    def window(self) -> asyncio.Semaphore:
        return asyncio.Semaphore(self.room)

    def _card(self) -> ModelInfo:
        assert self.engine.card is not None
        return self.engine.card

    async def judge(
        self, given: Given, pipeline: Pipeline, wanted: Wanted, deadline: float, field: str = "image"
    ) -> tuple[PreparedSample, Verdict]:
        """Prepare one sample, ask, and read the replies."""
        sample = check_sample(given)
        if wanted.heat:
            heat_maps.check(pipeline.card)
        if check_looks(wanted.looks) > self.looks:
            mend = "ask for fewer, or start the gateway with more --looks"
            raise InputError("looks", wanted.looks, f"0 to {self.looks} with this gateway", mend)
        async with self.window:
            start = time.perf_counter()
            for name, called in (("image", field), ("video", "video"), ("reference", "reference")):
                if is_url(url := getattr(sample, name)):
                    sample = sample.model_copy(update={name: await self.fetcher.fetch(url, called)})
            if sample.video is not None:
                await self._aside(partial(_check_film, sample.video))
            closer = wanted.looks > 0
            case = await self._aside(
                partial(pipeline.prepare, sample, wanted.depth, keep=False, closer=closer, field=field)
            )
            found = await self._looked(pipeline, case, deadline, wanted.looks)
            if wanted.heat:
                traced = [
                    await self.engine.trace(one, deadline)
                    for one in heat_maps.questions(pipeline, case, found)
                ]
                found = heat_maps.with_heat(pipeline, found, traced)
            found.provenance.milliseconds = (time.perf_counter() - start) * 1000
        self._count_pace()
        return case, found

    async def _looked(self, pipeline: Pipeline, case: PreparedSample, deadline: float, looks: int) -> Verdict:
        """Put a case's questions to the engine, round after round."""
        clock = asyncio.get_running_loop().time
        budget = Budget(looks, deadline - HASTE * max(0.0, deadline - clock()), clock)
        program = judged(pipeline, case, budget)
        questions = next(program)
        while True:
            start = clock()
            replies = await _together(
                [self.engine.request(question.verb, question.request, deadline) for question in questions]
            )
            spent = (clock() - start) * 1000 / len(questions)
            advance = partial(sent, program, [(reply, spent) for reply in replies])
            # Cutting out parts takes a while; reading one reply takes less than another thread.
            told = await self._aside(advance) if looks else advance()
            if isinstance(told, Verdict):
                return told
            questions = told

    async def _aside(self, work: Callable[[], T]) -> T:
        """Done by a thread, so that others are served meanwhile."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _count_pace(self) -> None:
        """Keep a running mean of the seconds from one reply to the next, for `Busy.retry_after`."""
        now = time.monotonic()
        self._pace += 0.05 * (min(10.0, now - self._last) - self._pace)
        self._last = now


class Visit:
    """One request inside the service, with its deadline (by the event loop's clock, in seconds)."""

    def __init__(self, service: Service, deadline: float) -> None:
        self.service, self.deadline = service, deadline
        # A request of many rows stands in line with as many as the window holds, not with all at once.
        self._rows = asyncio.Semaphore(service.room)

    async def verdict(self, sample: Given, wanted: Wanted = WHOLE) -> Verdict:
        pipeline = self._asking(wanted)
        return self._count(await self._on_time(self._one(sample, pipeline, wanted)))

    async def scores(self, samples: Sequence[Given | BadRow], wanted: Wanted = NUMBERS) -> list[Verdict]:
        pipeline = self._asking(wanted)
        rows = [self._one_or_reason(sample, pipeline, wanted) for sample in samples]
        return [self._count(verdict) for verdict in await self._on_time(_together(rows))]

    async def compare(self, a: Sample, b: Sample, wanted: Wanted = WHOLE) -> Comparison:
        pipeline = self._asking(wanted)
        way = pipeline.way(wanted.how)
        named = [(name, one.model_copy(update={"id": name})) for name, one in (("a", a), ("b", b))]
        both = [self._judged(sample, pipeline, wanted, name) for name, sample in named]
        cases, verdicts = zip(*await self._on_time(_together(both)), strict=True)
        first, second = map(self._count, verdicts)
        if way == "pointwise":
            return compared(first, second)
        requests, verb = pairwise.requests(pipeline.rubric, *cases), verb_at(wanted.depth)
        put = [self.service.engine.request(verb, request, self.deadline) for request in requests]
        return comparison_of_pair(first, second, requests[0].form, await self._on_time(_together(put)))

    def _asking(self, wanted: Wanted) -> Pipeline:
        check_depth(wanted.depth)
        return self.service.pipeline(wanted.rubric)

    async def _judged(
        self, given: Given, pipeline: Pipeline, wanted: Wanted, field: str = "image"
    ) -> tuple[PreparedSample, Verdict]:
        async with self._rows:
            return await self.service.judge(given, pipeline, wanted, self.deadline, field)

    async def _one(self, given: Given, pipeline: Pipeline, wanted: Wanted) -> Verdict:
        return (await self._judged(given, pipeline, wanted))[1]

    async def _one_or_reason(self, given: Given | BadRow, pipeline: Pipeline, wanted: Wanted) -> Verdict:
        if isinstance(given, BadRow):
            return pipeline.unscored(given.reason, id=given.id, depth=wanted.depth)
        try:
            return await self._one(given, pipeline, wanted)
        except InputError as error:
            return pipeline.unscored(str(error), id=name_of(given), depth=wanted.depth)

    async def _on_time(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout_at(self.deadline):
                return await work
        except TimeoutError:
            raise Late("the deadline passed before the model had answered") from None

    def _count(self, verdict: Verdict) -> Verdict:
        made = verdict.provenance
        self.service.judged[made.rubric, made.depth, verdict.status] += 1
        return verdict


def _check_film(source: Any) -> None:
    """Raises `MediaError` for a video that would keep a thread for long."""
    from judge.media.decoding import opened  # loads FFmpeg

    with opened(source, "video", max_seconds=FILM_SECONDS, max_pixels=FILM_PIXELS):
        pass


async def _together(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Results in order. The first error ends the others, so that nobody works for an answer that is lost."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
