"""Run a Qwen-VL checkpoint with vLLM in this process: many forms at once, each returned when it is done.

The prompt is built from tokens by the same `ChatTokenizer` as in the transformers backend, and a form is
filled by the same program (`judge.backends.decoding.natural`). A model that was trained on pieces writes the
whole form in one request, under a grammar of the tokens that the transformers backend would feed (see
`judge.backends.decoding.grammar`). So both backends ask the same model the same question, and their numbers
differ by rounding only.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from judge.backends.base import Reply, Request, Verb
from judge.backends.box_forms import BoxTranslator, check_convention
from judge.backends.checkpoints import Checkpoint
from judge.backends.decoding import grammar
from judge.backends.decoding.chat_tokenizer import ChatTokenizer, byte_decoder
from judge.backends.decoding.natural import filling
from judge.backends.decoding.natural.filling import check_choices_only, resolve_tokens
from judge.backends.decoding.natural.vocabulary import Vocabulary
from judge.backends.models.boxes import BoxConvention
from judge.backends.models.families import family_boxes
from judge.backends.options import OptionSet
from judge.backends.video_inputs import shown_size
from judge.backends.vllm import natural_programs, programs
from judge.backends.vllm.engine import (
    build_engine,
    installed_version,
    load_processor,
    short_error,
    startup_environment,
)
from judge.backends.vllm.programs import EngineProgram, EngineRequest
from judge.backends.vllm.prompts import build_prompt
from judge.backends.vllm.thought import think_first
from judge.errors import BackendError, InputError, JudgeError, ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Object

CLOSED = "vllm: the engine was closed"
"""Error text of a backend after `close`."""


@dataclass
class _Job:
    """A form that is being answered."""

    request: Request
    """The request of the rubric, to which the reply is translated back."""
    program: EngineProgram
    inputs: dict[str, Any]
    """Members of the engine's prompt besides the tokens: the images and videos."""
    lora_request: Any = None
    """vLLM's `LoRARequest`; None for the checkpoint without an adapter."""
    running: dict[str, int] = field(default_factory=dict)
    """Id of each running engine request -> its index among the requests of the program."""
    outputs: list[Any] = field(default_factory=list)
    """Outputs of the requests, in the program's order."""


class VLLM:
    """A vision-language model on vLLM; see `judge.backends.base.Backend` and `Stream`.

    Args:
        model: as in `judge.backends.transformers.backend.Transformers`.
        adapter: as in `Transformers`.
        revision: as in `Transformers`.
        dtype: `auto` (float32 on a CPU, else the checkpoint's own), or the name of a torch dtype.
        brief: as in `Transformers`.
        check_training: as in `Transformers`.
        boxes: as in `Transformers`; for a family that does not run there, relative coordinates.
        thinking: as in `Transformers`.
        tokens: as in `Transformers`.
        layout: as in `Transformers`.
        images: greatest number of images in one request.
        max_pixels: greatest number of pixels of an image for which the engine reserves memory. The default is
            that of `Judge`.
        threads: CPU threads of this process; None: as torch chose. On a machine with other work, fewer are
            faster, because every kernel waits for its slowest thread.
        engine: further arguments of `vllm.EngineArgs`, which override the settings chosen here.

    Raises:
        InputError: an argument is not usable.
        BackendError: vLLM is not installed, the checkpoint cannot be loaded, or its adapter changes nothing.
    """

    name = "vllm"
    takes_video = True

    def __init__(
        self,
        model: str | Path = "embedded",
        adapter: str | Path | None = None,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        brief: bool | None = None,
        check_training: bool = True,
        boxes: str | None = None,
        thinking: int = 0,
        tokens: str = "auto",
        layout: str = "auto",
        images: int = 4,
        max_pixels: int = 1_003_520,
        threads: int | None = None,
        **engine: Any,
    ) -> None:
        self.version, self.model = installed_version(), str(model)
        OptionSet.of_backend(self.name).check_names(engine)
        checkpoint = Checkpoint.resolve(model, adapter).locate(revision, check_training=check_training)
        self.domain, self.size, self.adapters = checkpoint.domain, checkpoint.size, checkpoint.adapters
        self.brief, self.training = checkpoint.resolve_brief(brief), checkpoint.training
        is_tuned = self.brief or checkpoint.training is not None
        self.tokens, self.layouts = resolve_tokens(tokens, layout, checkpoint.tokens, is_tuned)
        if self.training is not None:
            self.training.check_conventions(boxes or self.training.boxes, self.tokens)
        self.adapter = checkpoint.adapter.name if checkpoint.adapter else None
        self._jobs: dict[str, _Job] = {}
        self._keys: dict[str, str] = {}
        """Id of a running engine request -> key of its job."""
        self._done: dict[str, Reply | ReplyError] = {}
        self._ids = count()
        self.boxes = BoxConvention.JUDGE_GRID
        self._broken = ""
        """Error text once the engine has stopped; empty while it runs."""
        self._lora_requests: dict[str, Any] = {}
        """Rubric -> its `LoRARequest`; "" for every other rubric."""

        source = checkpoint.source
        adapters = {rubric: Path(adapter.path) for rubric, adapter in checkpoint.rubric_adapters.items()}
        if checkpoint.adapter is not None:
            adapters[""] = Path(checkpoint.adapter.path)
        try:
            with startup_environment(threads):
                checkpoint.check_base(revision)
                processor = load_processor(source, revision)
                folders = list(adapters.values())
                self._engine = build_engine(
                    source, revision, dtype, images, max_pixels, processor, folders, engine
                )
                self._set_up(processor, adapters, thinking)
        except JudgeError:
            raise
        except (OSError, ValueError, KeyError, RuntimeError, ImportError, AssertionError) as error:
            raise BackendError(f"{source}: cannot be loaded ({short_error(error)})") from error
        config = self._engine.model_config.hf_config
        self.boxes = check_convention(boxes or checkpoint.boxes, family_boxes(config))
        commit = getattr(config, "_commit_hash", None)
        self.revision = checkpoint.identify_weights(commit, revision)

    def _set_up(self, processor: Any, adapters: Mapping[str, Path], thinking: int) -> None:
        """Derive what is needed from the engine and the processor, and check that both work as expected."""
        self.tokenizer = ChatTokenizer(processor, thinking)
        self._token_bytes = byte_decoder(self.tokenizer.hf_tokenizer)
        self._max_length: int = self._engine.model_config.max_model_len
        self._max_jobs = 2 * self._engine.vllm_config.scheduler_config.max_num_seqs
        self._vocabulary = Vocabulary(self.tokenizer) if self.tokens == "natural" else None
        self._speller: grammar.Speller = grammar.spell_in_characters
        if self._vocabulary is None and self._supports_token_grammar():
            self._speller = grammar.token_speller(self.tokenizer.encode_text)
        self._add_adapters(adapters)

    def _add_adapters(self, adapters: Mapping[str, Path]) -> None:
        """Register the adapters, and check that each of them changes the model's answer."""
        from vllm.lora.request import LoRARequest

        base = self._first_token_logprobs() if adapters else {}
        for number, (rubric, folder) in enumerate(adapters.items(), 1):
            self._lora_requests[rubric] = LoRARequest(folder.name, number, str(folder))
            adapted = self._first_token_logprobs(self._lora_requests[rubric])
            # With a wrong prefix in the names of an adapter's weights, vLLM serves the base model silently.
            if all(abs(score - base.get(token, score + 1)) < 1e-4 for token, score in adapted.items()):
                self.close()
                reason = "its weights' names do not fit this checkpoint, or it was not trained"
                name = self.adapters[rubric].adapter if rubric else self.adapter
                raise BackendError(f"{name}: changes nothing in the output of {self.model}: {reason}")

    # -- Backend: both methods use the stream, with a limited number of rows at a time --------------------

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Read the label probabilities of all blanks; see `Backend.choose`."""
        return self._run_all("choose", requests)

    def complete(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Fill whole forms; see `Backend.complete`."""
        return self._run_all("complete", requests)

    def _run_all(self, verb: Verb, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Submit the rows and wait for all of them.

        Each submitted row holds its images in memory, so at most `_max_jobs` are submitted at a time.
        """
        keys = [f"row {next(self._ids)}" for _ in requests]
        waiting = list(zip(keys, requests, strict=True))[::-1]
        replies: dict[str, Reply | ReplyError] = {}
        try:
            while len(replies) < len(keys):
                while waiting and len(self._jobs) < self._max_jobs:
                    key, request = waiting.pop()
                    self.submit(key, verb, request)
                self._step_engine()
                replies |= {key: self._done.pop(key) for key in keys if key in self._done}
        except BaseException:
            for key in keys:
                self.abort(key)
            raise
        return [replies[key] for key in keys]

    # -- Stream -------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Number of keys that were submitted and neither returned nor aborted."""
        return len(self._jobs) + len(self._done)

    def submit(self, key: str, verb: Verb, request: Request) -> None:
        """Add a form to the work in progress; see `Stream.submit`."""
        if key in self._jobs or key in self._done:
            raise InputError("key", key, "a key that is not in use", "wait for its reply, or abort it")
        try:
            asked = self.box_translator.request(request)
            prompt, inputs = self._build_prompt(asked)
        except ReplyError as error:
            self._done[key] = error
            return

        def build_program(prompt: list[int]) -> EngineProgram:
            return self._program(verb, asked, prompt)

        if self.tokenizer.thinking:
            program = think_first(prompt, self.tokenizer, build_program)
        else:
            program = build_program(prompt)
        self._jobs[key] = _Job(request, program, inputs, self.lora_request(request))
        self._resume(key, None)

    def _program(self, verb: Verb, request: Request, prompt: list[int]) -> EngineProgram:
        """Return the program of a form whose boxes are those of the model, behind a prompt."""
        if self._vocabulary is not None and (verb == "complete" or not self.brief):
            if verb == "choose":
                check_choices_only(request)
            form_program = filling.fill_form(request.form, self._vocabulary, self.layouts)
            return natural_programs.run_form(form_program, prompt, self._vocabulary, self._max_length)
        if verb == "choose":
            return programs.read_choices(request.form, prompt, self.tokenizer, self._vocabulary)
        return programs.fill_form(
            request.form, prompt, self.tokenizer, self._token_bytes, self._speller, self._max_length
        )

    def step(self) -> list[tuple[str, Reply | ReplyError]]:
        """Run the engine once; see `Stream.step`."""
        self._step_engine()
        done, self._done = self._done, {}
        return list(done.items())

    def abort(self, key: str) -> None:
        """Drop a key; see `Stream.abort`."""
        self._done.pop(key, None)
        job = self._jobs.pop(key, None)
        if job is not None and job.running:
            for request_id in job.running:
                self._keys.pop(request_id, None)
            if not self._broken:
                self._engine.abort_request(list(job.running))

    def close(self) -> None:
        """Stop the engine and free its memory. Everything pending is lost. A second call does nothing."""
        if self._broken == CLOSED:
            return
        self._broken, self._jobs, self._keys, self._done = CLOSED, {}, {}, {}
        from vllm.distributed import cleanup_dist_env_and_memory

        self._engine.engine_core.shutdown()
        del self._engine
        gc.collect()
        cleanup_dist_env_and_memory()

    def __enter__(self) -> VLLM:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- The engine ---------------------------------------------------------------------------------------

    def lora_request(self, request: Request) -> Any:
        """Return vLLM's `LoRARequest` for a request; None for the checkpoint without an adapter."""
        return self._lora_requests.get(request.rubric, self._lora_requests.get(""))

    @property
    def box_translator(self) -> BoxTranslator:
        """Translates between the boxes of rubrics and those of the model."""
        return BoxTranslator(self.boxes, lambda shown: shown_size(shown, self.tokenizer.processor, self.size))

    def _build_prompt(self, request: Request) -> tuple[list[int], dict[str, Any]]:
        return build_prompt(request, self.tokenizer, self.size, self._max_length)

    def _step_engine(self) -> None:
        """Run one step of the engine, and resume the jobs whose requests are all finished."""
        if self._broken:
            raise BackendError(self._broken)
        if not self._keys:
            return
        try:
            finished = [output for output in self._engine.step() if output.finished]
        except Exception as error:
            self._broken = f"{self.model}: the engine stopped ({short_error(error)})"
            raise BackendError(self._broken) from error
        for output in finished:
            key = self._keys.pop(output.request_id, None)
            if key is None:
                continue
            job = self._jobs[key]
            job.outputs[job.running.pop(output.request_id)] = output.outputs[0]
            if not job.running:
                self._resume(key, job.outputs)

    def _resume(self, key: str, outputs: list[Any] | None) -> None:
        """Send a job's program the outputs that it waits for, and the engine the program's next requests."""
        job = self._jobs[key]
        try:
            requests = job.program.send(outputs)  # type: ignore[arg-type]  # None starts it
            job.outputs = [None] * len(requests)
            for index, request in enumerate(requests):
                self._add_request(key, job, index, request)
        except StopIteration as done:
            del self._jobs[key]
            self._done[key] = self.box_translator.reply(done.value, job.request)
        except ReplyError as error:
            self.abort(key)
            self._done[key] = error

    def _add_request(self, key: str, job: _Job, index: int, request: EngineRequest) -> None:
        """Add one request of a job to the engine."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        if self._broken:
            raise BackendError(self._broken)
        request_id = str(next(self._ids))
        sampling = SamplingParams(
            temperature=0.0,
            detokenize=False,
            flat_logprobs=True,
            output_kind=RequestOutputKind.FINAL_ONLY,
            **request.sampling,
        )
        prompt = {"prompt_token_ids": request.tokens, **job.inputs}
        try:
            self._engine.add_request(request_id, prompt, sampling, lora_request=job.lora_request)
        except ValueError as error:
            raise ReplyError(f"request: {short_error(error)}") from error
        job.running[request_id] = index
        self._keys[request_id] = key

    # -- Checks at start-up -------------------------------------------------------------------------------

    def _supports_token_grammar(self) -> bool:
        """Check that the engine obeys a grammar of tokens.

        xgrammar's cache confuses two such grammars if they differ in nothing but the tokens, which is why
        `startup_environment` turns the cache off. Older versions do not know token grammars.
        """
        for text in ("a", "b"):
            token = self.tokenizer.encode_text(text)[0]
            rules = f"root ::= Token({token})\n"
            try:
                output = self._run_request(programs.grammar_sampling(rules, 1, 2))
            except ReplyError:
                return False
            if output.token_ids[0] != token:
                return False
        return True

    def _first_token_logprobs(self, lora_request: Any = None) -> dict[int, float]:
        """Return the most likely first tokens of an answer with their log-probabilities."""
        output = self._run_request({"max_tokens": 1, "logprobs": 20}, lora_request)
        return programs.first_logprobs(output.logprobs)

    def _run_request(self, sampling: dict[str, Any], lora_request: Any = None) -> Any:
        """Run one request without an image and return its output.

        Raises:
            ReplyError: the engine rejects the request.
        """
        outputs: list[Any] = []

        def program() -> EngineProgram:
            tokens = self.tokenizer.encode_chat([{"role": "user", "content": "Judge the picture."}], [])
            outputs.extend((yield [EngineRequest(tokens, sampling)]))
            return Reply("")

        key = "check"
        nothing = Request([], [], Form(Object(())))
        self._jobs[key] = _Job(nothing, program(), {}, lora_request)
        self._resume(key, None)
        while key not in self._done:
            self._step_engine()
        if isinstance(reply := self._done.pop(key), ReplyError):
            raise reply
        return outputs[0]
