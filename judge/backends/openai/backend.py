"""The backend for OpenAI-compatible servers: `vllm serve`, SGLang, llama.cpp, hosted models.

A vLLM server is recognized by its list of models and gets the requests of `vllm_server`; every other server
gets those of `any_server`. The order of a chat lets servers reuse what they computed, see
`judge.backends.vllm.prompts`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from functools import cached_property, partial
from typing import Any

from judge.backends.base import Reply, Request, Verb
from judge.backends.box_forms import BoxTranslator, check_convention
from judge.backends.checkpoints import Checkpoint
from judge.backends.decoding.natural.filling import resolve_tokens
from judge.backends.models.boxes import BoxConvention
from judge.backends.models.families import boxes_by_name, thinks_by_name
from judge.backends.openai import any_server, natural_form, vllm_server
from judge.backends.openai.chat_client import ChatClient
from judge.backends.openai.messages import fit_images, frame_size
from judge.backends.openai.server_vocabulary import ServerVocabulary
from judge.errors import InputError, ReplyError

STEP_SECONDS = 0.1
"""Greatest number of seconds that `step` waits for a form to be done."""


class OpenAI:
    """A model behind an OpenAI-compatible server; see `judge.backends.base.Backend` and `Stream`.

    Args:
        base_url: address of the server, up to and including `/v1`.
        model: the name that the server has for the model. For `embedded`, the description of the embedded
            judge applies, and a rubric with its own adapter is answered by `embedded-RUBRIC` if the server
            has a model of that name.
        api_key: default: the environment variable OPENAI_API_KEY, if set.
        brief: whether the model was fine-tuned on the rubrics and takes the brief prompt template.
        tokens: as in `judge.backends.transformers.backend.Transformers`; only for a vLLM server.
        layout: as in `Transformers`; only for a vLLM server.
        size: side in pixels of the square image that the model sees; None for any shape.
        boxes: how the model writes boxes, as in `judge.backends.transformers.backend.Transformers`. None: by
            its name (Qwen2.5-VL: `pixels`, Gemini: `relative-yxyx`, others: `relative`).
        thinking: greatest number of tokens that the model thinks before each form; 0: a vLLM server is asked
            for no thought, and a model that thinks all the same gets room for it. Other servers have their
            own switches, see `extra`.
        concurrency: greatest number of requests at the same time.
        timeout: seconds to wait for one response.
        retries: number of further tries after a status of 429 or 5xx, or a broken connection.
        extra: fields to add to every request, for example {"reasoning_effort": "none"}.

    Raises:
        InputError: an argument is not usable.
        BackendError: the server cannot be reached, refuses the key, or does not serve the model.
    """

    name = "openai"
    adapter: str | None = None

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        brief: bool | None = None,
        tokens: str = "auto",
        layout: str = "auto",
        size: int | None = None,
        boxes: str | None = None,
        thinking: int = 0,
        concurrency: int = 16,
        timeout: float = 120.0,
        retries: int = 4,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        _check_options(base_url, concurrency, timeout, retries, thinking)
        checkpoint = Checkpoint.resolve(model) if model == "embedded" else Checkpoint(model, None)
        self.model, self.domain = model, checkpoint.domain
        self.brief = checkpoint.brief if brief is None else brief
        self.size = checkpoint.size if size is None else size
        self.tokens, self.layouts = resolve_tokens(tokens, layout, checkpoint.tokens, self.brief)
        self._client = ChatClient(
            base_url,
            model,
            api_key=os.environ.get("OPENAI_API_KEY", "") if api_key is None else api_key,
            timeout=timeout,
            retries=retries,
            connections=concurrency,
            extra=extra,
            thinking=thinking,
        )
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="openai")
        self._running: dict[str, Future[Reply]] = {}
        server = self._client.inspect_server(checkpoint.adapters)
        self._client.adapters = self.adapters = server.adapters
        if server.is_adapter:
            self.adapter = model
        self.boxes = check_convention(boxes or checkpoint.boxes, boxes_by_name(f"{model} {server.root}"))
        self._client.is_thinker = thinks_by_name(f"{model} {server.root}")
        self.version, self.revision, self._is_vllm = server.version, "", server.is_vllm
        self._vocabulary = ServerVocabulary(self._client)

    def close(self) -> None:
        """Close all connections; everything pending is lost."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    # -- Backend ------------------------------------------------------------------------------------------

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Read the label probabilities of all blanks; see `Backend.choose`."""
        return self._run_all("choose", requests)

    def complete(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Fill whole forms; see `Backend.complete`."""
        return self._run_all("complete", requests)

    def _run_all(self, verb: Verb, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        futures = [self._start(verb, request) for request in requests]
        try:
            return [_result(future) for future in futures]
        except BaseException:
            for future in futures:
                future.cancel()
            raise

    def _start(self, verb: Verb, request: Request) -> Future[Reply]:
        answer: Callable[[ChatClient, Request], Reply]
        if self._is_vllm and self.tokens == "natural" and (verb == "complete" or not self.brief):
            fill = natural_form.complete_form if verb == "complete" else natural_form.choose_labels
            answer = partial(fill, vocabulary=self._vocabulary, layouts=self.layouts)
        else:
            server: Any = vllm_server if self._is_vllm else any_server
            answer = server.complete_form if verb == "complete" else server.choose_labels

        def run() -> Reply:
            shown = fit_images(request) if self.boxes is BoxConvention.RESIZED_PIXELS_XYXY else request
            reply = self._translator.reply(answer(self._client, self._translator.request(shown)), shown)
            if isinstance(reply, ReplyError):
                raise reply
            return reply

        return self._pool.submit(run)

    @cached_property
    def _translator(self) -> BoxTranslator:
        """Translates between the boxes of rubrics and those of the model. Images are sent in their size."""
        return BoxTranslator(self.boxes, frame_size)

    # -- Stream -------------------------------------------------------------------------------------------

    @property
    def pending(self) -> int:
        """Number of keys that were submitted and neither returned nor aborted."""
        return len(self._running)

    def submit(self, key: str, verb: Verb, request: Request) -> None:
        """Add a form to the work in progress; see `Stream.submit`."""
        if key in self._running:
            raise InputError("key", key, "a key that is not in use", "wait for its reply, or abort it")
        self._running[key] = self._start(verb, request)

    def step(self) -> list[tuple[str, Reply | ReplyError]]:
        """Wait a moment and return the forms that are done; see `Stream.step`."""
        wait(self._running.values(), timeout=STEP_SECONDS, return_when=FIRST_COMPLETED)
        done = [key for key, future in self._running.items() if future.done()]
        return [(key, _result(self._running.pop(key))) for key in done]

    def abort(self, key: str) -> None:
        """Drop a key; see `Stream.abort`."""
        if (future := self._running.pop(key, None)) is not None:
            future.cancel()


def _check_options(base_url: str, concurrency: int, timeout: float, retries: int, thinking: int) -> None:
    if not re.match(r"https?://\w", base_url, re.IGNORECASE):
        raise InputError("base_url", base_url, "http:// or https:// addresses", "pass the server's address")
    for field, number in (("concurrency", concurrency), ("timeout", timeout)):
        if not number > 0:
            raise InputError(field, number, "more than 0", "leave it out for the default")
    for field, count in (("retries", retries), ("thinking", thinking)):
        if count < 0:
            raise InputError(field, count, "0 or more", "leave it out for the default")


def _result(future: Future[Reply]) -> Reply | ReplyError:
    try:
        return future.result()
    except ReplyError as error:
        return error
    except CancelledError:
        return ReplyError("openai: the backend was closed")
