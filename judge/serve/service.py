"""The judge as a service: accept requests up to a limit, and answer each before its deadline.

    async with Service(Engine(judge_backend_spec("embedded"))) as service:
        await service.engine.wait_until_settled()
        verdict = await service.verdict(Sample(image="image.png", prompt="a red circle"))

At most `queue` requests are accepted at once, each holding the bytes it was sent; further requests get
`OverloadedError` immediately. A request that takes longer than its deadline gets `DeadlineError`.
`judge.serve.sample_judge` limits how many images are decoded at once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any, Self, TypeVar

from judge.agent.budget import check_looks
from judge.agent.questions import verb_for_depth
from judge.elements.splitters.model_lists import ModelLists
from judge.elements.splitters.registry import check_splitter
from judge.errors import DeadlineError, EngineDownError, InputError, OverloadedError
from judge.pipeline.calibration import Calibration
from judge.pipeline.comparison import build_pairwise_requests, compare_pairwise, compare_pointwise
from judge.pipeline.model_info import ModelInfo
from judge.pipeline.pipeline import MAX_PIXELS, Pipeline
from judge.pipeline.prepared_sample import PreparedSample
from judge.pipeline.rows import BadRow
from judge.pipeline.validation import check_depth, get_sample_id
from judge.rubrics.files import list_rubric_names
from judge.rubrics.rubric import Rubric
from judge.serve.engine.supervisor import Engine, State
from judge.serve.fetcher import Fetcher
from judge.serve.sample_judge import (
    DEFAULT_MAX_LOOKS,
    SCORE_OPTIONS,
    VERDICT_OPTIONS,
    JudgeOptions,
    SampleInput,
    SampleJudge,
    gather_or_cancel,
)
from judge.types import Comparison, Depth, Sample, Verdict

T = TypeVar("T")


class Service:
    """Judges with one engine for many callers at once. An async context manager: starts and stops the engine.

    Args:
        engine: not yet started.
        rubrics: rubrics that requests may name: names, `.toml` files or `Rubric`s; default: all that come
            with the package.
        queue: largest number of requests accepted at once.
        deadline: seconds a request may take, unless it brings a shorter time of its own.
        embedded: the engine runs the embedded judge, whose domain is known.
        user_adapter: the engine runs an adapter of the user, which was trained on other data.
        seed: as in `Judge`.
        max_pixels: as in `Judge`.
        fetcher: fetches images given by URL; the default one rejects all of them.
        calibration_for: returns the calibration for a rubric, None for none.
        looks: limit of zoom-ins (closer looks) per image that a request may ask for.
        elements: how elements are taken from prompts, as in `Judge`; a request may name another way.

    Raises:
        InputError: a limit or a rubric is not usable.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        rubrics: Sequence[str | Rubric] = (),
        queue: int = 256,
        deadline: float = 60.0,
        embedded: bool = False,
        user_adapter: bool = False,
        seed: int = 0,
        max_pixels: int = MAX_PIXELS,
        fetcher: Fetcher | None = None,
        calibration_for: Callable[[Rubric], Calibration | None] = lambda rubric: None,
        looks: int = DEFAULT_MAX_LOOKS,
        elements: str = "auto",
    ) -> None:
        if queue < 1:
            raise InputError("queue", queue, "1 or more", "256 is the usual value")
        if not deadline > 0:
            raise InputError("deadline", deadline, "seconds above 0", "60 is the usual value")
        self.engine, self.queue, self.deadline = engine, queue, deadline
        self.looks = check_looks(looks)
        self.active = 0
        """Requests accepted and not yet answered."""
        self.verdict_counts: Counter[tuple[str, Depth, str]] = Counter()
        """Verdicts so far by rubric, depth and status: scored, unscored, or abstained."""
        self.sample_judge = SampleJudge(engine, fetcher or Fetcher(), self.looks)
        lists = ModelLists()
        loaded = [Rubric.load(rubric) for rubric in rubrics or list_rubric_names()]
        self._pipelines = {
            rubric.name: Pipeline(
                rubric,
                self._model_info,
                seed,
                max_pixels=max_pixels,
                is_embedded=embedded,
                has_user_adapter=user_adapter,
                elements=check_splitter(elements),
                model_lists=lists,
                calibration=calibration_for(rubric),
            )
            for rubric in loaded
        }
        self._is_draining = False

    async def __aenter__(self) -> Self:
        await self.engine.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.drain()
        await self.engine.stop()
        self.sample_judge.close()

    @property
    def state(self) -> State:
        """State of the service: "draining" after `drain`, else the engine's state."""
        return "draining" if self._is_draining else self.engine.state

    def drain(self) -> None:
        """Accept no more requests; accepted ones are still answered."""
        self._is_draining = True

    def rubrics(self) -> list[dict[str, Any]]:
        """Describe the rubrics that requests may name, without their templates and worked examples."""
        hidden = {"templates", "examples", "score"}
        rubrics = (pipeline.rubric for pipeline in self._pipelines.values())
        return [{**rubric.model_dump(mode="json", exclude=hidden), "hash": rubric.hash} for rubric in rubrics]

    async def verdict(
        self,
        sample: SampleInput,
        options: JudgeOptions = VERDICT_OPTIONS,
        deadline_s: float | None = None,
    ) -> Verdict:
        """Judge one image or video.

        Args:
            sample: the sample, or its fields.
            options: what to judge.
            deadline_s: seconds for this request; default and limit: the service's deadline.

        Raises:
            InputError: a field of the sample is not usable, the model has no heat maps, or the service allows
                fewer zoom-ins.
            OverloadedError: too many requests are active.
            EngineDownError: there is no engine.
            DeadlineError: the deadline passed.
        """
        with self.accept(deadline_s) as accepted:
            return await accepted.verdict(sample, options)

    async def scores(
        self,
        samples: Sequence[SampleInput | BadRow],
        options: JudgeOptions = SCORE_OPTIONS,
        deadline_s: float | None = None,
    ) -> list[Verdict]:
        """Judge many images: one verdict per sample, in order.

        A sample that is not usable gives an unscored verdict with the reason. Otherwise arguments and errors
        are those of `verdict`.
        """
        with self.accept(deadline_s) as accepted:
            return await accepted.scores(samples, options)

    async def compare(
        self,
        a: Sample,
        b: Sample,
        options: JudgeOptions = VERDICT_OPTIONS,
        deadline_s: float | None = None,
    ) -> Comparison:
        """Judge two images, and say which is better. Arguments and errors are those of `verdict`."""
        with self.accept(deadline_s) as accepted:
            return await accepted.compare(a, b, options)

    @contextmanager
    def accept(self, deadline_s: float | None = None) -> Iterator[AcceptedRequest]:
        """Count one request as active for as long as the block runs.

        Args:
            deadline_s: seconds for this request; default and limit: the service's deadline.

        Raises:
            OverloadedError: too many requests are active.
            EngineDownError: there is no engine.
        """
        if self.state != "ready":
            is_final = self.state in ("draining", "failed")
            raise EngineDownError(
                f"the engine is {self.state}", None if is_final else self.engine.retry_after()
            )
        if self.active >= self.queue:
            half_of_queue = self.active * self.sample_judge.mean_interval / 2
            retry_after = max(1.0, min(30.0, half_of_queue))
            raise OverloadedError(f"{self.queue} requests are active, which is the limit", retry_after)
        self.active += 1
        try:
            seconds = self.deadline if deadline_s is None else min(deadline_s, self.deadline)
            yield AcceptedRequest(self, asyncio.get_running_loop().time() + seconds)
        finally:
            self.active -= 1

    def pipeline(self, rubric: str) -> Pipeline:
        """Return the pipeline of a rubric. Raises `InputError` for a rubric that is not offered."""
        if rubric not in self._pipelines:
            names = list(self._pipelines)
            near = get_close_matches(str(rubric), names, n=1, cutoff=0.0)[0]
            raise InputError("rubric", rubric, ", ".join(names), f"did you mean {near!r}?")
        return self._pipelines[rubric]

    def _model_info(self) -> ModelInfo:
        assert self.engine.model_info is not None
        return self.engine.model_info


class AcceptedRequest:
    """One request that the service has accepted.

    Args:
        service: the service.
        deadline: time of the event loop's clock, in seconds.
    """

    def __init__(self, service: Service, deadline: float) -> None:
        self.service, self.deadline = service, deadline
        # A request with many rows queues only as many at a time as the window holds, so that others get a
        # turn.
        self._window = asyncio.Semaphore(service.sample_judge.window_size)

    async def verdict(self, sample: SampleInput, options: JudgeOptions = VERDICT_OPTIONS) -> Verdict:
        """Judge one sample, see `Service.verdict`."""
        pipeline = self._pipeline(options)
        return self._count(await self._before_deadline(self._verdict(sample, pipeline, options)))

    async def scores(
        self, samples: Sequence[SampleInput | BadRow], options: JudgeOptions = SCORE_OPTIONS
    ) -> list[Verdict]:
        """Judge many samples, see `Service.scores`."""
        pipeline = self._pipeline(options)
        rows = [self._verdict_or_unscored(sample, pipeline, options) for sample in samples]
        return [self._count(verdict) for verdict in await self._before_deadline(gather_or_cancel(rows))]

    async def compare(self, a: Sample, b: Sample, options: JudgeOptions = VERDICT_OPTIONS) -> Comparison:
        """Compare two samples, see `Service.compare`."""
        pipeline = self._pipeline(options)
        way = pipeline.comparison_method(options.how)
        samples = {name: sample.model_copy(update={"id": name}) for name, sample in (("a", a), ("b", b))}
        both = [self._judge(sample, pipeline, options, name) for name, sample in samples.items()]
        prepared, verdicts = zip(*await self._before_deadline(gather_or_cancel(both)), strict=True)
        first, second = map(self._count, verdicts)
        if way == "pointwise" or first.abstained or second.abstained:
            return compare_pointwise(first, second)
        requests, verb = (
            build_pairwise_requests(pipeline.asked_rubric, *prepared),
            verb_for_depth(options.depth),
        )
        replies = [self.service.engine.infer(verb, request, self.deadline) for request in requests]
        form = requests[0].form
        return compare_pairwise(first, second, form, await self._before_deadline(gather_or_cancel(replies)))

    def _pipeline(self, options: JudgeOptions) -> Pipeline:
        check_depth(options.depth)
        return self.service.pipeline(options.rubric)

    async def _judge(
        self, sample: SampleInput, pipeline: Pipeline, options: JudgeOptions, field: str = "image"
    ) -> tuple[PreparedSample, Verdict]:
        async with self._window:
            return await self.service.sample_judge.judge(sample, pipeline, options, self.deadline, field)

    async def _verdict(self, sample: SampleInput, pipeline: Pipeline, options: JudgeOptions) -> Verdict:
        return (await self._judge(sample, pipeline, options))[1]

    async def _verdict_or_unscored(
        self, sample: SampleInput | BadRow, pipeline: Pipeline, options: JudgeOptions
    ) -> Verdict:
        if isinstance(sample, BadRow):
            return pipeline.unscored_verdict(sample.reason, id=sample.id, depth=options.depth)
        try:
            return await self._verdict(sample, pipeline, options)
        except InputError as error:
            return pipeline.unscored_verdict(str(error), id=get_sample_id(sample), depth=options.depth)

    async def _before_deadline(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout_at(self.deadline):
                return await work
        except TimeoutError:
            raise DeadlineError("the deadline passed before the model had answered") from None

    def _count(self, verdict: Verdict) -> Verdict:
        provenance = verdict.provenance
        status = "abstained" if verdict.abstained else verdict.status
        self.service.verdict_counts[provenance.rubric, provenance.depth, status] += 1
        return verdict
