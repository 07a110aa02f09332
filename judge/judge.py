"""`Judge`: an image and its prompt in, a verdict out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property, partial
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from judge.agent.budget import DEFAULT_LOOKS, Budget, check_deadline, check_looks
from judge.agent.closer_looks import TimedReply, judge_with_looks, run_in_rounds
from judge.agent.questions import Question, verb_for_depth
from judge.backends.base import Reply, Request, Tracer, Verb
from judge.elements.element_list import MAX_LISTED_ELEMENTS, ElementList, list_elements
from judge.elements.splitters.choice import ElementSplitter, TunedSplitter
from judge.elements.splitters.model_lists import (
    ListQuestion,
    ModelLists,
    ModelSplitter,
    distinct_questions,
    store_replies,
)
from judge.elements.splitters.registry import check_splitter, find_splitter
from judge.elements.statements import Statement, annotate_elements
from judge.errors import BackendError, InputError, ReplyError
from judge.explain import heatmap
from judge.pipeline.comparison import build_pairwise_requests, compare_pairwise, compare_pointwise
from judge.pipeline.domain import is_trained_wording
from judge.pipeline.model_info import ModelInfo
from judge.pipeline.pipeline import MAX_PIXELS, Pipeline
from judge.pipeline.prepared_sample import PreparedSample
from judge.pipeline.validation import (
    check_backend,
    check_depth,
    check_how,
    check_max_elements,
    check_out_of_domain,
    check_prompt,
    get_sample_id,
    is_address,
)
from judge.rubrics.rubric import Rubric
from judge.runtime.thread_map import thread_map
from judge.types import (
    Comparison,
    ComparisonMethod,
    ComparisonOption,
    Depth,
    OutOfDomain,
    Sample,
    Verdict,
)

if TYPE_CHECKING:
    from pathlib import Path

    from judge.backends.base import Backend, RelevanceMaps
    from judge.backends.cards import ModelCard
    from judge.pipeline.calibration import Calibration
    from judge.remote.remote_judge import RemoteJudge

EMBEDDED = "embedded"
"""Name of the model that comes with the package."""


class Judge:
    """Judges generated images and videos with a multimodal language model.

    The model is loaded at the first verdict and stays loaded.

        judge = Judge()
        verdict = judge("image.png", prompt="a red circle and two blue cats")
        print(verdict.score, verdict.explanation)

    Args:
        model: one of: "embedded" (default); the Hugging Face name or folder of a Qwen-VL checkpoint; the
            folder of a student model, or "embedded-student" (rubric `quality`, depth "score"); the address
            of a `judge serve` ("http://..."). Behind an address the server decides everything except the
            rubric.
        adapter: name or folder of a LoRA adapter; default: none.
        backend: "auto" (default: "transformers", or "openai" if `base_url` is given), "transformers", "vllm",
            "openai", or your own `judge.backends.base.Backend`.
        rubric: name of a rubric (default, quality, portrait, ...; `judge rubric show` lists them), a
            `.toml` file, or a `Rubric`.
        base_url: address of an OpenAI-compatible server up to and including `/v1`. `model` is then the name
            under which that server has the model.
        seed: passed to the backend and recorded in the provenance; default: 0. Backends that decide by argmax
            ignore it.
        max_defects: defects that the model is asked for at most, 0 or more; default: as the rubric says.
        max_elements: elements taken from a prompt at most, 1 to 64; default: 24. If there are more, the most
            specific ones stay, and a note has the number.
        elements: how elements are taken from prompts: "rules", "grammar" (needs spaCy and an English
            pipeline), "words", "model" (the model lists them, one question for each distinct prompt), or
            "auto" (default): the model for general models; for tuned ones grammar if it is installed, else
            rules.
        max_pixels: images with more pixels are scaled down, for models without a fixed input size; default:
            1,003,520 (1280 patches of 28 x 28).
        calibration: output of `judge calibrate` as a file, a folder or a loaded `Calibration`. True
            (default): the one in the adapter's folder, if it was made for this rubric. False: none.
        looks: zoom-ins (closer looks) per image at most, 0 to 1024; default: 0. After its first answer the
            model is asked again about parts of the image at full detail, where it was in doubt or has not
            seen the detail. 2 are enough for doubts, 200 for small defects in 4K images. See
            `judge.agent.closer_looks`.
        card: settings that `judge examine` found for this model and these weights. True (default): those of
            a card that was kept, where `options` gives no value; the provenance names them. A file or a
            `ModelCard`: those. False, or the environment variable JUDGE_CARDS=off: none.
        out_of_domain: what is done with a sample outside what the judge was trained or calibrated for, if
            that is known. "abstain" (default): the verdict is unscored, and its reason says what to do.
            "score": it has numbers that mean little, and is marked (`Verdict.out_of_domain`).
        options: keyword arguments of the backend (`revision`, `dtype`, `device`, `bits`, `brief`, ...); with
            "vllm" also those of its engine (`tensor_parallel_size`, `max_model_len`, ...); behind an address,
            of `judge.Client` (`api_key`, `timeout`, `retries`, `headers`).

    Raises:
        InputError: an argument is unusable. `RubricError` is a subclass.
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
        max_elements: int = MAX_LISTED_ELEMENTS,
        elements: str = "auto",
        max_pixels: int = MAX_PIXELS,
        calibration: str | Path | Calibration | bool = True,
        looks: int | None = None,
        card: bool | str | Path | ModelCard = True,
        out_of_domain: OutOfDomain = "abstain",
        **options: Any,
    ) -> None:
        self._backend_name, self._base_url = check_backend(backend, base_url), base_url
        self.rubric = Rubric.load(rubric)
        self.rubric.form((), max_defects)  # raises here for a bad number, not once per sample
        self.model, self.adapter, self.seed = model, adapter, seed
        self.max_defects, self.max_pixels = max_defects, max_pixels
        self.max_elements = check_max_elements(max_elements)
        self.splitter = check_splitter(elements)
        """How elements are taken from prompts."""
        if self.splitter == "grammar":
            find_splitter(self.splitter)  # raises here if it is not installed
        self._model_lists = ModelLists()
        self.out_of_domain = check_out_of_domain(out_of_domain)
        self.looks = check_looks(DEFAULT_LOOKS if looks is None else looks)
        self._backend_argument, self.options, self._card = backend, options, card
        if max_pixels < 1:
            raise InputError("max_pixels", max_pixels, "1 or more", f"{MAX_PIXELS} is the usual value")
        if options and not is_address(model):
            self._check_options()
        self.calibration: Calibration | None = None
        if calibration is not False:
            from judge.pipeline.calibration import resolve_calibration

            self.calibration = resolve_calibration(calibration, model, adapter, self.rubric)
        self._loading_seconds = 0.0
        self._remote: RemoteJudge | None = None
        if is_address(model):
            from judge.remote.remote_judge import RemoteJudge

            server_options = {
                "adapter": adapter,
                "backend": None if backend == "auto" else backend,
                "base_url": base_url,
                "seed": seed or None,
                "max_defects": max_defects,
                "max_pixels": None if max_pixels == MAX_PIXELS else max_pixels,
                "calibration": None if calibration is True else calibration,
            }
            self._remote = RemoteJudge(
                model, self.rubric, server_options, options, self.max_elements, self.out_of_domain
            )

    def _check_options(self) -> None:
        """Raise `InputError` if the backend has no option of a name that was passed."""
        if not isinstance(self._backend_argument, str):
            name = next(iter(self.options))
            raise InputError("option", name, "none with a backend object", "pass it to the backend itself")
        from judge.backends.options import OptionSet

        OptionSet.of_backend(self._backend_name, self.model).check_names(self.options)

    @cached_property
    def backend(self) -> Backend:
        """The backend with the loaded model. The first access loads the model.

        Raises:
            InputError: the judge is at an address, and so has no backend in this process.
            BackendError: the model cannot be loaded.
        """
        if not isinstance(self._backend_argument, str):
            return self._backend_argument
        if self._remote is not None:
            raise InputError("model", self.model, "a model in this process", "a gateway has no backend here")
        start = time.perf_counter()
        from judge import backends
        from judge.backends.cards import resolve_card

        name, adapter, address = self._backend_name, self.adapter, self._base_url
        applied = resolve_card(self._card, name, self.model, adapter, address, self.options)
        options = {**applied.options, **self.options}
        if name == "vllm":
            options["max_pixels"] = self.max_pixels  # what the engine reserves memory for
        loaded = backends.load(name, self.model, adapter=adapter, base_url=address, **options)
        vars(loaded)["card"] = applied  # an optional attribute of a backend
        self._loading_seconds += time.perf_counter() - start
        return loaded

    def ignore_card(self) -> None:
        """Use the model as it comes, without the settings of its card; before the model is loaded."""
        self._card = False

    @cached_property
    def pipeline(self) -> Pipeline:
        """The pipeline that prepares samples for the model and reads its replies."""
        return Pipeline(
            rubric=self.rubric,
            load_model_info=lambda: ModelInfo.from_backend(self.backend),
            seed=self.seed,
            max_defects=self.max_defects,
            max_pixels=self.max_pixels,
            max_elements=self.max_elements,
            elements=self.splitter,
            model_lists=self._model_lists,
            is_embedded=isinstance(self._backend_argument, str) and self.model == EMBEDDED,
            has_user_adapter=self.adapter is not None,
            out_of_domain=self.out_of_domain,
            calibration=self.calibration,
        )

    def __call__(
        self,
        image: Any = None,
        *,
        video: Any = None,
        prompt: str = "",
        negative_prompt: str = "",
        elements: Sequence[str] | str | None = None,
        id: str = "",
        reference: Any = None,
        depth: Depth = "verdict",
        looks: int | None = None,
        deadline: float | None = None,
        heat: bool = False,
        out_of_domain: OutOfDomain | None = None,
    ) -> Verdict:
        """Judge one image or one video.

            verdict = judge("image.png", prompt="a red circle and two blue cats")
            verdict = judge(video="clip.mp4", prompt="a cat jumps off a table")

        Args:
            image: path, `PIL.Image.Image`, encoded bytes, `data:` URL or uint8 array (H, W, 3).
            video: instead of an image: path, encoded bytes or `data:` URL of a video, uint8 array
                (frames, H, W, 3), or a sequence of images. Use the rubric `video` for videos.
            prompt: the text that the image was made from, at most 20,000 characters. Control characters and
                line ends become spaces. Rubrics such as `quality` need no prompt.
            negative_prompt: what the image must not show, as given to the generator. Each phrase becomes an
                element that must be absent; phrases about quality do not.
            elements: statements to check, at most 64; default: taken from the prompt. A name ("rules",
            "grammar",
                "words", "model") says how they are taken from it, in place of the judge's own `elements`.
            id: name of the sample; kept in the verdict.
            reference: the image to compare with (the source of an edit, the original of a restoration), for
                rubrics that use one. With other rubrics the verdict notes that it was not used.
            depth: "verdict" for everything; "score" for numbers only, from one forward pass.
            looks: zoom-ins (closer looks) at most, 0 to 1024; default: the judge's own `looks`.
            deadline: seconds after the start of the call. A closer look that would not be done by then is not
                started. Default: none.
            heat: add heat maps of the score and the defects. This takes two to three times as long and
                needs a backend with gradients ("transformers"). Videos have no heat maps. See
                `judge.explain.heatmap`.
            out_of_domain: "abstain" or "score"; default: the judge's own `out_of_domain`.

        Returns:
            The verdict. Its status is "unscored", with a reason, if the model's reply cannot be used, or if
            the judge abstains (`Verdict.abstained`).

        Raises:
            InputError: an argument is unusable; `MediaError` (a subclass) if the image cannot be read.
            BackendError: the model cannot be loaded or run.
        """
        sample = {"id": id, "image": image, "video": video, "prompt": prompt, "elements": elements}
        sample |= {"negative_prompt": negative_prompt, "reference": reference}
        if self._remote is not None:
            sample = self._with_default_elements(sample)
            shown_looks = self._remote_looks(looks, deadline)
            return self._remote.verdict(
                sample, depth, heat=heat, looks=shown_looks, out_of_domain=out_of_domain
            )
        budget = self._budget(looks, deadline)
        start = self._clock()
        self.ask_for_elements([sample])
        prepared = self.pipeline.prepare(
            sample, depth, keep_for_looks=budget.looks > 0, out_of_domain=out_of_domain
        )
        return self._judge_prepared([prepared], start, budget, heat=heat)[0]

    def many(
        self,
        samples: Iterable[Sample | Mapping[str, Any]],
        *,
        depth: Depth = "verdict",
        batch: int = 16,
        looks: int | None = None,
        deadline: float | None = None,
        heat: bool = False,
        max_elements: int | None = None,
        out_of_domain: OutOfDomain | None = None,
    ) -> Iterator[Verdict]:
        """Judge samples in batches. Yields one verdict per sample, in order.

            rows = [{"id": name, "image": f"{name}.png", "prompt": "a cat"} for name in ("1", "2")]
            for verdict in judge.many(rows, depth="score"):
                print(verdict.id, verdict.score)

        Samples are taken as they are needed, so `samples` may be an endless stream. A sample that is
        unusable, or on which the model fails, gets an unscored verdict with the reason. The verdicts keep
        no image: pass it to `Verdict.overlay`.

        Args:
            samples: samples, or mappings of their fields (the arguments of a single call).
            depth: "verdict" or "score".
            batch: samples per batch, 1 or more. The closer looks of a batch go to the model together.
            looks: zoom-ins (closer looks) per image at most; default: the judge's own `looks`.
            deadline: seconds after the start of each batch; see `__call__`.
            heat: add heat maps.
            max_elements: elements taken from a prompt at most; default: the judge's own `max_elements`.
            out_of_domain: "abstain" or "score"; default: the judge's own `out_of_domain`.

        Raises:
            InputError: an argument is unusable.
            BackendError: the model cannot be loaded.
        """
        check_depth(depth)
        limit = self.max_elements if max_elements is None else check_max_elements(max_elements)
        policy = self.out_of_domain if out_of_domain is None else check_out_of_domain(out_of_domain)
        if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
            raise InputError("batch", batch, "1 or more", "16 is the usual value")
        if self._remote is not None:
            shown_looks = self._remote_looks(looks, deadline)
            samples = map(self._with_default_elements, samples) if self.splitter != "auto" else samples
            return self._remote.many(iter(samples), depth, batch, heat, shown_looks, limit, policy)
        return self._many(iter(samples), depth, batch, self._budget(looks, deadline), heat, limit, policy)

    def compare(
        self,
        a: Any,
        b: Any,
        *,
        prompt: str = "",
        negative_prompt: str = "",
        elements: Sequence[str] | str | None = None,
        reference: Any = None,
        depth: Depth = "verdict",
        how: ComparisonOption = "auto",
        out_of_domain: OutOfDomain | None = None,
    ) -> Comparison:
        """Judge two images of one prompt, and say which is better.

            comparison = judge.compare("a.png", "b.png", prompt="a red circle")
            print(comparison.preferred, comparison.probability)

        Args:
            a: the first image, in any form that a single call takes.
            b: the second image.
            prompt: the text that both images were made from.
            negative_prompt: what they must not show.
            elements: statements to check; default: taken from the prompt.
            reference: the image to compare with, for rubrics that use one.
            depth: "verdict" or "score".
            how: "pairwise" shows the model both images together, once in each order, and takes the mean.
                "pointwise" compares the scores of the two verdicts. "auto" (default) is pairwise for
                general models and pointwise for models tuned on single images; behind a gateway it is
                pointwise.
            out_of_domain: "abstain" or "score"; default: the judge's own `out_of_domain`.

        Raises:
            InputError: an argument is unusable; the field is `a` or `b` for an image that cannot be read.
            BackendError: the model cannot be loaded or run.
        """
        check_how(how)
        shared: dict[str, Any] = {"prompt": prompt, "elements": elements, "reference": reference}
        shared["negative_prompt"] = negative_prompt
        if self._remote is not None:
            shared = self._with_default_elements(shared)
            shared["out_of_domain"] = out_of_domain
            return self._remote.compare(a, b, depth=depth, looks=self.looks, how=self.way(how), **shared)
        start, budget = self._clock(), self._budget(None, None)
        self.ask_for_elements([shared])
        prepared = [
            self.pipeline.prepare(
                {"id": name, "image": image, **shared},
                depth,
                keep_for_looks=budget.looks > 0,
                field=name,
                out_of_domain=out_of_domain,
            )
            for name, image in (("a", a), ("b", b))
        ]
        is_pairwise = self.way(how) == "pairwise"
        verdict_a, verdict_b = self._judge_prepared(prepared, start, budget)
        if not is_pairwise or verdict_a.abstained or verdict_b.abstained:
            return compare_pointwise(verdict_a, verdict_b)
        requests = build_pairwise_requests(self.pipeline.asked_rubric, *prepared)
        replies = self._request_replies(requests, verb_for_depth(depth), tolerant=False)
        return compare_pairwise(verdict_a, verdict_b, requests[0].form, replies)

    def heated(self, verdict: Verdict, sample: Sample | Mapping[str, Any]) -> Verdict:
        """Add heat maps to an existing verdict, for example one from a backend without gradients.

            verdict = fast_judge("image.png", prompt="a red circle")
            verdict = Judge(model).heated(verdict, {"image": "image.png", "prompt": "a red circle"})

        Args:
            verdict: by this judge's rubric.
            sample: the sample that the verdict is about.

        Returns:
            A copy of the verdict with heat maps, or with a note that says why there are none.

        Raises:
            InputError: the model has no gradients, or the verdict is about another image or by another
                rubric.
            BackendError: the model cannot be loaded or run.
        """
        if self._remote is not None:
            raise InputError("model", self.model, "a model in this process", "ask the gateway with heat=True")
        heatmap.check_has_gradients(self.pipeline.model_info)
        provenance = verdict.provenance
        asked_rubric = self.pipeline.asked_rubric
        if provenance.rubric_hash != asked_rubric.hash:
            value = f"{provenance.rubric} {provenance.rubric_hash[:8]}"
            allowed = f"one by {asked_rubric.name} {asked_rubric.hash[:8]}"
            raise InputError("verdict", value, allowed, "create the judge with the rubric of the verdict")
        self.ask_for_elements([sample])
        prepared = self.pipeline.prepare(sample, provenance.depth, keep_for_overlay=False)
        if verdict.size not in (None, prepared.size):
            allowed = f"the image that was judged, {verdict.size}"
            raise InputError("image", prepared.size, allowed, "pass that image")
        return self._add_heat(prepared, verdict.model_copy(deep=True))

    def way(self, how: ComparisonOption = "auto") -> ComparisonMethod:
        """Return how `compare` compares: "pointwise" or "pairwise".

        Args:
            how: as in `compare`.

        Raises:
            InputError: `how` is "pairwise" and the model was tuned on single images. Behind a gateway, the
                server raises this at the comparison.
        """
        if self._remote is None:
            return self.pipeline.comparison_method(how)
        return "pairwise" if check_how(how) == "pairwise" else "pointwise"

    def elements(
        self,
        prompt: str,
        *,
        negative_prompt: str = "",
        by: Literal["auto", "rules", "grammar", "words", "model"] = "auto",
    ) -> list[Statement]:
        """Take the elements out of a prompt, with their kinds and what each depends on.

            [statement.name for statement in judge.elements("a red circle and two blue cats")]

        Args:
            prompt: the text that an image was made from.
            negative_prompt: what the image must not show.
            by: one of "rules", "grammar", "words", "model" and "auto" (default); see the argument `elements`
                of `Judge`. It replaces that of this judge.

        Raises:
            InputError: an argument is unusable.
            BackendError: the model cannot be loaded or run.
            ReplyError: the model named no element.
        """
        return self.element_list(prompt, negative_prompt=negative_prompt, by=by).statements

    def element_list(
        self,
        prompt: str,
        *,
        negative_prompt: str = "",
        by: Literal["auto", "rules", "grammar", "words", "model"] | None = "auto",
    ) -> ElementList:
        """Return the elements of a prompt as `elements` does, with the plain prompt and notes.

        Args:
            prompt: as in `elements`.
            negative_prompt: as in `elements`.
            by: as in `elements`; None: as verdicts of this judge do.
        """
        if by is not None:
            check_splitter(by, "by")
        check_prompt(prompt, True, [])
        check_prompt(negative_prompt, False, [], "negative_prompt")
        if self._remote is not None and by == "model":
            raise InputError("by", by, "auto, rules, grammar or words behind a gateway", "use one of them")
        splitter = self._splitter(by)
        listed = list_elements(prompt, negative_prompt, split=splitter, limit=self.max_elements)
        if isinstance(splitter, ModelSplitter) and splitter.questions:
            self._ask(splitter.questions, tolerant=False)
            splitter = self._splitter(by)
            listed = list_elements(prompt, negative_prompt, split=splitter, limit=self.max_elements)
        if isinstance(splitter, ModelSplitter) and splitter.notes:
            raise ReplyError(splitter.notes[0])
        return listed

    def listed_elements(self, sample: Sample) -> list[Statement]:
        """Return the elements that a verdict on a sample would have, its own ones or those of its prompts.

        Raises:
            InputError: the sample is not usable.
        """
        if self._remote is not None:
            if isinstance(sample.elements, list):
                return annotate_elements(sample.elements)
            name = sample.elements or ("auto" if self.splitter == "model" else self.splitter)
            options: dict[str, Any] = {
                "split": TunedSplitter(check_splitter(name), is_trained_wording),
                "limit": self.max_elements,
            }
            return list_elements(sample.prompt, sample.negative_prompt, **options).statements
        self.ask_for_elements([sample])
        return self.pipeline.prompts.read(sample, [])[1].statements

    def _splitter(self, name: str | None) -> ElementSplitter:
        """Return the splitter for one prompt; behind a gateway there is no model to ask."""
        if self._remote is not None:
            return TunedSplitter(name or "auto", is_trained_wording)
        if name is None:
            return self.pipeline.prompts.choose_splitter(self.splitter, self.max_elements)
        if name == "auto" and not self.pipeline.is_embedded and not self.pipeline.model_info.brief:
            name = "model"
        return self.pipeline.prompts.choose_splitter(name, self.max_elements)

    def with_splitter(self, elements: str) -> Judge:
        """Return this judge, with the same model, with another way to take elements from prompts.

        Args:
            elements: as in `Judge`.

        Raises:
            InputError: the name is unknown, or the splitter is not installed.
        """
        other = copy(self)
        other.splitter = check_splitter(elements)
        if elements == "grammar":
            find_splitter(elements)
        other.__dict__.pop("pipeline", None)
        return other

    def _with_default_elements(self, sample: Any) -> Any:
        """Return a sample for a gateway, which knows the judge's splitter only if the sample names it."""
        if self.splitter == "auto":
            return sample
        if isinstance(sample, Mapping):
            is_open = sample.get("elements") is None
            return {**sample, "elements": self.splitter} if is_open else sample
        is_open = isinstance(sample, Sample) and sample.elements is None
        return sample.model_copy(update={"elements": self.splitter}) if is_open else sample

    def ask_for_elements(
        self, samples: Iterable[Sample | Mapping[str, Any]], max_elements: int | None = None
    ) -> None:
        """Let the model list the elements of the samples' prompts, if it is to: one question for each text.

        Calls that judge do this themselves; it is for code that builds requests with `pipeline`.

        Args:
            samples: samples or mappings of their fields.
            max_elements: as in `many`.
        """
        questions = distinct_questions(
            question
            for sample in samples
            for question in self.pipeline.prompts.questions(sample, max_elements)
        )
        if questions:
            self._ask(questions, tolerant=True)

    def _ask(self, questions: Sequence[ListQuestion], tolerant: bool) -> None:
        replies = self._request_replies([question.request for question in questions], "complete", tolerant)
        store_replies(self._model_lists, questions, replies)

    def reseeded(self, seed: int) -> Judge:
        """Return this judge, with the same loaded model, with another seed."""
        self.backend  # noqa: B018 - loads the model once, for both
        other = copy(self)
        other.seed = seed
        other.__dict__.pop("pipeline", None)
        return other

    def unscored(self, reason: str, *, id: str = "", depth: Depth = "verdict") -> Verdict:
        """Return a verdict without numbers, for a sample that could not be put to the model.

        Args:
            reason: why; kept in the verdict.
            id: name of the sample.
            depth: at which it was to be judged.
        """
        if self._remote is not None:
            return self._remote.unscored(reason, id=id, depth=depth)
        return self.pipeline.unscored_verdict(reason, id=id, depth=depth)

    def _clock(self) -> float:
        """Seconds, without the time that loading the model took: it does not belong to a verdict's time."""
        return time.perf_counter() - self._loading_seconds

    def _remote_looks(self, looks: int | None, deadline: float | None) -> int:
        """Return the closer looks to ask a gateway for. Raises `InputError` for a deadline."""
        if deadline is not None:
            raise InputError("deadline", deadline, "none with a gateway, which has its own", "leave it out")
        return self.looks if looks is None else check_looks(looks)

    def _budget(self, looks: int | None, deadline: float | None) -> Budget:
        """Return each image's budget of closer looks; its `deadline` counts from the start of the batch."""
        looks = self.looks if looks is None else check_looks(looks)
        return Budget(looks, check_deadline(deadline), self._clock)

    def _many(
        self,
        samples: Iterator[Sample | Mapping[str, Any]],
        depth: Depth,
        batch: int,
        budget: Budget,
        heat: bool,
        max_elements: int,
        out_of_domain: OutOfDomain,
    ) -> Iterator[Verdict]:
        """Yield the verdicts of `many`, batch by batch."""
        # A model that cannot be loaded, or was trained on another rubric, ends the run here, not row by row.
        self.pipeline.check_training()
        prepare = partial(
            self._prepare_or_unscored,
            depth=depth,
            keep_for_overlay=False,
            keep_for_looks=budget.looks > 0,
            max_elements=max_elements,
            out_of_domain=out_of_domain,
        )
        while group := list(islice(samples, batch)):
            start = self._clock()
            self.ask_for_elements(group, max_elements)
            results = list(thread_map(prepare, group, len(group)))
            prepared = [result for result in results if isinstance(result, PreparedSample)]
            judged_in_order = iter(
                self._judge_prepared(prepared, start, budget, tolerant=True, heat=heat) if prepared else []
            )
            for result in results:
                yield result if isinstance(result, Verdict) else next(judged_in_order)

    def _prepare_or_unscored(
        self, sample: Sample | Mapping[str, Any], depth: Depth, **options: Any
    ) -> PreparedSample | Verdict:
        """Prepare a sample, or return an unscored verdict if it is unusable."""
        try:
            return self.pipeline.prepare(sample, depth, **options)
        except InputError as error:
            return self.unscored(str(error), id=get_sample_id(sample), depth=depth)

    def _judge_prepared(
        self,
        prepared: list[PreparedSample],
        start: float,
        budget: Budget,
        *,
        tolerant: bool = False,
        heat: bool = False,
    ) -> list[Verdict]:
        """Judge a batch of prepared samples, with their closer looks and heat maps.

        Args:
            prepared: the samples.
            start: time by `_clock` at which the batch began.
            budget: of each sample.
            tolerant: a backend error makes a sample unscored instead of being raised.
            heat: add heat maps.
        """
        if heat:
            heatmap.check_has_gradients(self.pipeline.model_info)
        budgets = [replace(budget, deadline=start + budget.deadline) for _ in prepared]
        programs = [judge_with_looks(self.pipeline, *pair) for pair in zip(prepared, budgets, strict=True)]
        last = start

        def answer(questions: list[Question]) -> list[TimedReply]:
            """Answer the questions of one round; each takes an equal share of the round's time."""
            nonlocal last
            replies = self._answer(questions, tolerant)
            now = self._clock()
            milliseconds, last = (now - last) * 1000 / len(questions), now
            return [(reply, milliseconds) for reply in replies]

        verdicts = run_in_rounds(programs, answer)
        if heat:
            pairs = zip(prepared, verdicts, strict=True)
            verdicts = [self._add_heat(sample, verdict, tolerant) for sample, verdict in pairs]
        return verdicts

    def _add_heat(self, prepared: PreparedSample, verdict: Verdict, tolerant: bool = False) -> Verdict:
        """Return a verdict with heat maps. If `tolerant`, a backend error becomes a note."""
        if prepared.reading and prepared.reading.decides_alone:
            verdict.provenance.notes.append("no heat maps: the numbers come from the lines that were read")
            return verdict
        requests, start = heatmap.build_trace_requests(self.pipeline, prepared, verdict), self._clock()
        assert isinstance(self.backend, Tracer)
        relevance: Sequence[RelevanceMaps | ReplyError]
        try:
            relevance = self.backend.trace(requests)
        except BackendError as error:
            if not tolerant:
                raise
            relevance = [ReplyError(str(error))]
        heated = heatmap.add_heat_maps(self.pipeline, verdict, relevance)
        heated.provenance.milliseconds += (self._clock() - start) * 1000
        return heated

    def _answer(self, questions: list[Question], tolerant: bool) -> list[Reply | ReplyError]:
        """Return the replies in order. Questions of the same verb go to the backend together."""
        replies: dict[int, Reply | ReplyError] = {}
        for verb in ("choose", "complete"):
            numbers = [n for n, question in enumerate(questions) if question.verb == verb]
            if numbers:
                requests = [questions[n].request for n in numbers]
                replies.update(zip(numbers, self._request_replies(requests, verb, tolerant), strict=True))
        return [replies[n] for n in range(len(questions))]

    def _request_replies(
        self, requests: list[Request], verb: Verb, tolerant: bool
    ) -> Sequence[Reply | ReplyError]:
        """Send requests to the backend. If `tolerant`, a batch that fails is tried again one by one."""
        try:
            replies = self.backend.choose(requests) if verb == "choose" else self.backend.complete(requests)
        except BackendError as error:
            if not tolerant:
                raise
            if len(requests) == 1:
                return [ReplyError(str(error))]
            # One sample that does not fit into memory must not make the others of its batch fail.
            return [
                reply for request in requests for reply in self._request_replies([request], verb, tolerant)
            ]
        if len(replies) != len(requests):
            raise BackendError(
                f"backend {self.backend.name}: {len(replies)} replies to {len(requests)} questions"
            )
        return replies
