"""The judge: a picture and its prompt in, a verdict out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from judge.agent.closer_looks import LOOKS, Budget, Told, check_deadline, check_looks, in_step, judged
from judge.agent.questions import Question, Verb, verb_at
from judge.backends.base import Reply, Request, Tracer
from judge.elements import by_model as listing
from judge.elements import statements
from judge.elements.splitting import split
from judge.errors import BackendError, InputError, ReplyError
from judge.explain import heatmap as heat_maps
from judge.pipeline import pairwise
from judge.pipeline.pipeline import MAX_PIXELS, Pipeline, compared, comparison_of_pair, name_of
from judge.pipeline.prepared import ModelInfo, PreparedSample
from judge.pipeline.validation import check_backend, check_depth, check_how, check_prompt, is_address
from judge.rubrics.rubric import Rubric
from judge.runtime.thread_map import thread_map
from judge.types import Comparison, Depth, How, Sample, Verdict, Way

if TYPE_CHECKING:
    from pathlib import Path

    from judge.backends.base import Backend, Rasters
    from judge.elements.statements import Statement
    from judge.pipeline.calibration import Calibration
    from judge.remote.remote_judge import Remote

EMBEDDED = "embedded"


class Judge:
    """Judges pictures. The model is loaded at the first verdict and kept.

    Args:
        model: "embedded", the name or folder of a Qwen-VL checkpoint, a student's folder, "embedded-student"
            (rubric `quality`, depth `score`), or the address of a `judge serve`, which then decides
            everything but the rubric.
        adapter: name or folder of a LoRA adapter.
        backend: "auto" (transformers, or openai where `base_url` is given), "transformers", "vllm", "openai",
            or a `judge.backends.base.Backend` of your own.
        rubric: name (default, quality, portrait, ...; `judge rubric show`), `.toml` file, or `Rubric`.
        base_url: address of an OpenAI-compatible server, up to and with `/v1`; `model` is then the name that
            it serves the model under.
        seed: handed to the backend and written into provenance.
        max_defects: regions asked for at most; default: as the rubric says.
        max_pixels: what a model without a fixed input size is shown at most.
        calibration: what `judge calibrate` wrote, as a file, its folder, or read; True: the one beside the
            adapter, if it was made for this rubric; False: none.
        looks: closer looks at a picture at most, where the first leaves doubt or misses detail; 2 are enough
            for doubts, 200 for small defects in pictures of 4K. Default: none. See `judge.agent.closer_looks`.
        options: passed on to the backend; to `judge.Client` with an address.

    Raises:
        InputError: an argument is unusable. `RubricError` is one.
    """

    def __init__(
        self,
        model: str = EMBEDDED,
        *,
        adapter: str | None = None,
        backend: str | Backend = "auto",
        rubric: str | Rubric = "default",
        base_url: str | None = None,
        seed: int = 0,
        max_defects: int | None = None,
        max_pixels: int = MAX_PIXELS,
        calibration: str | Path | Calibration | bool = True,
        looks: int | None = None,
        **options: Any,
    ) -> None:
        self._wanted, self._base_url = check_backend(backend, base_url), base_url
        self.rubric = Rubric.load(rubric)
        self.rubric.form((), max_defects)  # a bad number is told here, not once a row
        self.model, self.adapter, self.seed = model, adapter, seed
        self.max_defects, self.max_pixels = max_defects, max_pixels
        self.looks = check_looks(LOOKS if looks is None else looks)
        self._given, self._options = backend, options
        self.calibration: Calibration | None = None
        if calibration is not False:
            from judge.pipeline.calibration import chosen

            self.calibration = chosen(calibration, model, adapter, self.rubric)
        self._loading = 0.0
        self._remote: Remote | None = None
        if is_address(model):
            from judge.remote.remote_judge import Remote

            decided = {
                "adapter": adapter,
                "backend": None if backend == "auto" else backend,
                "base_url": base_url,
                "seed": seed or None,
                "max_defects": max_defects,
                "max_pixels": None if max_pixels == MAX_PIXELS else max_pixels,
                "calibration": None if calibration is True else calibration,
            }
            self._remote = Remote(model, self.rubric, decided, options)

    @cached_property
    def backend(self) -> Backend:
        """The loaded model. Raises `BackendError` when it cannot be loaded."""
        if not isinstance(self._given, str):
            return self._given
        if self._remote is not None:
            raise InputError("model", self.model, "a model of this process", "a gateway shows no backend")
        start = time.perf_counter()
        from judge import backends

        loaded = backends.load(
            self._wanted, self.model, adapter=self.adapter, base_url=self._base_url, **self._options
        )
        self._loading += time.perf_counter() - start
        return loaded

    @cached_property
    def pipeline(self) -> Pipeline:
        """How samples are put to the model and its replies read."""
        return Pipeline(
            rubric=self.rubric,
            model=lambda: ModelInfo.of(self.backend),
            seed=self.seed,
            max_defects=self.max_defects,
            max_pixels=self.max_pixels,
            embedded=isinstance(self._given, str) and self.model == EMBEDDED,
            calibration=self.calibration,
        )

    def _clock(self) -> float:
        """Seconds, but standing still while the model loads: a verdict's time is not its model's."""
        return time.perf_counter() - self._loading

    def __call__(
        self,
        image: Any = None,
        *,
        video: Any = None,
        prompt: str = "",
        elements: Sequence[str] | None = None,
        id: str = "",
        reference: Any = None,
        depth: Depth = "verdict",
        looks: int | None = None,
        deadline: float | None = None,
        heat: bool = False,
    ) -> Verdict:
        """Judge one picture or one video.

        Args:
            image: path, `PIL.Image.Image`, encoded bytes, `data:` URL or uint8 array (H, W, 3).
            video: in its place: path, encoded bytes or `data:` URL of a video, uint8 array (frames, H, W, 3),
                or a sequence of pictures; best under the rubric `video`.
            prompt: the text it was made from; control characters and line ends become spaces.
            elements: statements to check; default: taken from the prompt.
            id: kept in the verdict.
            reference: the picture to compare with (an edit's source, a restoration's original), for rubrics
                that use one; with others the verdict notes that it was not looked at.
            depth: "verdict" for everything, "score" for numbers only, from one forward pass.
            looks: closer looks at most; default: as the judge was made.
            deadline: seconds after which no closer look is begun that would not be done by then.
            heat: add heat maps of score and defects, which takes two or three times as long; a backend with
                gradients (transformers). Videos have none. See `judge.explain.heatmap`.

        Returns:
            The verdict; `unscored`, with a reason, when the model's reply cannot be used.

        Raises:
            InputError: an argument is unusable; `MediaError` for the picture.
            BackendError: the model cannot be loaded or run.
        """
        given = {"id": id, "image": image, "video": video, "prompt": prompt, "elements": elements}
        given["reference"] = reference
        if self._remote is not None:
            return self._remote.verdict(given, depth, heat=heat, looks=self._looks_there(looks, deadline))
        spare = self._spare(looks, deadline)
        start = self._clock()
        case = self.pipeline.prepare(given, depth, closer=spare.looks > 0)
        return self._judge([case], start, spare, heat=heat)[0]

    def many(
        self,
        samples: Iterable[Sample | Mapping[str, Any]],
        *,
        depth: Depth = "verdict",
        batch: int = 16,
        looks: int | None = None,
        deadline: float | None = None,
        heat: bool = False,
    ) -> Iterator[Verdict]:
        """Judge samples in batches: one verdict per sample, in order. Closer looks at all the pictures of a
        batch go to the model together, and `deadline` is that of each batch.

        A sample that is unusable, or that the model fails on, gives an unscored verdict with the reason. The
        verdicts keep no picture: `overlay` needs it again.

        Raises:
            InputError: `depth` or `batch` is unusable.
            BackendError: the model cannot be loaded.
        """
        check_depth(depth)
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise InputError("batch", batch, "1 or more", "16 is the usual one")
        if self._remote is not None:
            return self._remote.many(iter(samples), depth, batch, heat, self._looks_there(looks, deadline))
        return self._many(iter(samples), depth, batch, self._spare(looks, deadline), heat)

    def compare(
        self,
        a: Any,
        b: Any,
        *,
        prompt: str = "",
        elements: Sequence[str] | None = None,
        reference: Any = None,
        depth: Depth = "verdict",
        how: How = "auto",
    ) -> Comparison:
        """Judge two pictures of one prompt, and say which is better.

        Args:
            how: "pairwise" shows the model both, once in each order, and takes the mean; "pointwise" compares
                the scores of the two verdicts; "auto" is pairwise for general models, and pointwise for those
                tuned on one picture at a time and, unless it is asked for, behind a gateway.

        Raises:
            InputError, BackendError: as for a single verdict; the field is `a` or `b` for a bad picture.
        """
        check_how(how)
        shared: dict[str, Any] = {"prompt": prompt, "elements": elements, "reference": reference}
        if self._remote is not None:
            return self._remote.compare(a, b, depth=depth, looks=self.looks, how=self.way(how), **shared)
        start, spare = self._clock(), self._spare(None, None)
        cases = [
            self.pipeline.prepare(
                {"id": name, "image": image, **shared}, depth, closer=spare.looks > 0, field=name
            )
            for name, image in (("a", a), ("b", b))
        ]
        together = self.way(how) == "pairwise"
        a_found, b_found = self._judge(cases, start, spare)
        if not together:
            return compared(a_found, b_found)
        requests, verb = pairwise.requests(self.rubric, *cases), verb_at(depth)
        return comparison_of_pair(a_found, b_found, requests[0].form, self._replies(requests, verb, False))

    def heated(self, verdict: Verdict, sample: Sample | Mapping[str, Any]) -> Verdict:
        """Add heat maps to a verdict that was given earlier, perhaps by a backend without gradients.

        Args:
            verdict: under this judge's rubric.
            sample: what it is about.

        Raises:
            InputError: the model has no gradients, the verdict is about another picture or by another rubric.
            BackendError: the model cannot be loaded or run.
        """
        if self._remote is not None:
            raise InputError("model", self.model, "a model of this process", "ask the gateway with heat=True")
        heat_maps.check(self.pipeline.card)
        made = verdict.provenance
        if made.rubric_hash != self.rubric.hash:
            shown = f"{made.rubric} {made.rubric_hash[:8]}"
            mend = "make the judge with the rubric of the verdict"
            raise InputError("verdict", shown, f"one by {self.rubric.name} {self.rubric.hash[:8]}", mend)
        case = self.pipeline.prepare(sample, made.depth, keep=False)
        if verdict.size not in (None, case.size):
            raise InputError("image", case.size, f"the picture that was judged, {verdict.size}", "pass that")
        return self._heated(case, verdict.model_copy(deep=True))

    def way(self, how: How = "auto") -> Way:
        """How `compare` does it. Raises `InputError` for pairs that the model was not made for; of its own
        model a gateway says so when it is asked."""
        if self._remote is None:
            return self.pipeline.way(how)
        return "pairwise" if check_how(how) == "pairwise" else "pointwise"

    def elements(
        self, prompt: str, *, by: Literal["auto", "rules", "words", "model"] = "auto"
    ) -> list[Statement]:
        """Take the elements out of a prompt, with their kinds and what each needs.

        Args:
            prompt: the text a picture was made from.
            by: "rules": as a verdict does by itself; "words": finer, word by word (`judge.elements.atomic`); "model":
                the model fills them in; "auto": the model if it is a general one, else the rules.

        Raises:
            InputError: an argument is unusable.
            BackendError: the model cannot be run. `ReplyError`: it named nothing.
        """
        if by not in ("auto", "rules", "words", "model"):
            raise InputError("by", by, "auto, rules, words, model", "use one of them")
        prompt = check_prompt(prompt, True, [])
        if by == "words":
            from judge.elements.atomic import atoms

            return atoms(prompt)
        if by == "model" or (by == "auto" and self._remote is None and not self.pipeline.card.brief):
            if self._remote is not None:
                raise InputError("by", by, "rules or words behind a gateway", "use one of them")
            asked = listing.request_elements(prompt, seed=self.seed)
            return listing.read(asked, self._replies([asked], "complete", False)[0])
        return statements.of(split(prompt))

    def reseeded(self, seed: int) -> Judge:
        """The same judge, on the same loaded model, with another seed."""
        self.backend  # noqa: B018 - loaded once, for both
        other = copy(self)
        other.seed = seed
        other.__dict__.pop("pipeline", None)
        return other

    def unscored(self, reason: str, *, id: str = "", depth: Depth = "verdict") -> Verdict:
        """A verdict without numbers, for a sample that this judge could not be asked about."""
        if self._remote is not None:
            return self._remote.unscored(reason, id=id, depth=depth)
        return self.pipeline.unscored(reason, id=id, depth=depth)

    def _looks_there(self, looks: int | None, deadline: float | None) -> int:
        """Closer looks that a gateway is asked for; time it takes by its own deadline."""
        if deadline is not None:
            raise InputError("deadline", deadline, "none with a gateway, which has its own", "leave it out")
        return self.looks if looks is None else check_looks(looks)

    def _spare(self, looks: int | None, deadline: float | None) -> Budget:
        """What each picture may have beyond its first look; `until` counts from the start of its batch."""
        looks = self.looks if looks is None else check_looks(looks)
        return Budget(looks, check_deadline(deadline), self._clock)

    def _many(
        self,
        samples: Iterator[Sample | Mapping[str, Any]],
        depth: Depth,
        batch: int,
        spare: Budget,
        heat: bool,
    ) -> Iterator[Verdict]:
        self.backend  # noqa: B018 - a model that cannot be loaded ends the run here, not row by row
        closer = spare.looks > 0
        while group := list(islice(samples, batch)):
            start = self._clock()
            prepare = partial(self._case_or_reason, depth=depth, closer=closer)
            drafts = list(thread_map(prepare, group, len(group)))
            cases = [draft for draft in drafts if isinstance(draft, PreparedSample)]
            verdicts = iter(self._judge(cases, start, spare, forgiving=True, heat=heat) if cases else [])
            for draft in drafts:
                yield draft if isinstance(draft, Verdict) else next(verdicts)

    def _case_or_reason(
        self, given: Sample | Mapping[str, Any], depth: Depth, closer: bool
    ) -> PreparedSample | Verdict:
        try:
            return self.pipeline.prepare(given, depth, keep=False, closer=closer)
        except InputError as error:
            return self.unscored(str(error), id=name_of(given), depth=depth)

    def _judge(
        self,
        cases: list[PreparedSample],
        start: float,
        spare: Budget,
        *,
        forgiving: bool = False,
        heat: bool = False,
    ) -> list[Verdict]:
        if heat:
            heat_maps.check(self.pipeline.card)
        budgets = [replace(spare, until=start + spare.until) for _ in cases]
        programs = [judged(self.pipeline, case, own) for case, own in zip(cases, budgets, strict=True)]
        since = start

        def put(questions: list[Question]) -> list[Told]:
            nonlocal since
            replies = self._answers(questions, forgiving)
            now = self._clock()
            spent, since = (now - since) * 1000 / len(questions), now
            return [(reply, spent) for reply in replies]

        verdicts = in_step(programs, put)
        if heat:
            pairs = zip(cases, verdicts, strict=True)
            verdicts = [self._heated(case, verdict, forgiving) for case, verdict in pairs]
        return verdicts

    def _heated(self, case: PreparedSample, verdict: Verdict, forgiving: bool = False) -> Verdict:
        requests, start = heat_maps.questions(self.pipeline, case, verdict), self._clock()
        assert isinstance(self.backend, Tracer)
        told: Sequence[Rasters | ReplyError]
        try:
            told = self.backend.trace(requests)
        except BackendError as error:
            if not forgiving:
                raise
            told = [ReplyError(str(error))]
        found = heat_maps.with_heat(self.pipeline, verdict, told)
        found.provenance.milliseconds += (self._clock() - start) * 1000
        return found

    def _answers(self, questions: list[Question], forgiving: bool) -> list[Reply | ReplyError]:
        """Replies in order; what asks for the same verb goes to the backend together."""
        replies: dict[int, Reply | ReplyError] = {}
        for verb in ("choose", "complete"):
            some = [n for n, question in enumerate(questions) if question.verb == verb]
            requests = [questions[n].request for n in some]
            replies.update(
                zip(some, self._replies(requests, verb, forgiving) if requests else (), strict=True)
            )
        return [replies[n] for n in range(len(questions))]

    def _replies(self, requests: list[Request], verb: Verb, forgiving: bool) -> Sequence[Reply | ReplyError]:
        try:
            replies = self.backend.choose(requests) if verb == "choose" else self.backend.complete(requests)
        except BackendError as error:
            if not forgiving:
                raise
            if len(requests) == 1:
                return [ReplyError(str(error))]
            # One row that does not fit into memory must not take the others of its batch with it.
            return [reply for request in requests for reply in self._replies([request], verb, forgiving)]
        if len(replies) != len(requests):
            raise BackendError(
                f"backend {self.backend.name}: {len(replies)} replies to {len(requests)} questions"
            )
        return replies
