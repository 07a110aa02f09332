"""Chat completions of one model, and what is known of its server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any

from judge.backends.base import AdapterInfo, Request
from judge.backends.openai.completions import Completion, UnfinishedThoughtError, parse_completion
from judge.backends.openai.response_formats import ResponseFormat
from judge.backends.openai.transport import (
    HttpTransport,
    RequestRejectedError,
    ServerFailedError,
    ServerRefusedError,
)
from judge.errors import BackendError, ReplyError

MAX_LOGPROBS = 128
"""Greatest number of tokens that vLLM reports log-probabilities of."""
THOUGHT_ROOM = 8192
"""Tokens for the thought of a model that thinks although it was not asked to."""
OPTIONAL_FIELDS = ("top_logprobs", "logprobs", "temperature", "seed", "max_tokens", "chat_template_kwargs")
"""Fields of a request that an answer can do without."""


@dataclass(frozen=True)
class ServerInfo:
    """What a server says about itself and the model."""

    version: str = ""
    """Version of vLLM; empty for another server or when unknown."""
    is_vllm: bool = False
    is_adapter: bool = False
    """Whether the model is a LoRA adapter."""
    adapters: Mapping[str, AdapterInfo] = field(default_factory=dict)
    """Rubric -> the adapter that the server has for it."""
    root: str = ""
    """Name or path of the checkpoint behind the model's name; empty when unknown."""


class ChatClient:
    """A model on one server. Several threads may use it.

    Args:
        base_url: address of the server, up to and including `/v1`.
        model: the name that the server has for the model.
        api_key: sent as a bearer token; empty for none.
        timeout: seconds to wait for one response.
        retries: number of further tries after a temporary failure.
        connections: greatest number of requests at the same time.
        extra: fields to add to every request.
        thinking: tokens of a thought before each answer; 0: the server is asked for none, and a model that
            thinks all the same gets `THOUGHT_ROOM`.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str,
        timeout: float,
        retries: int,
        connections: int,
        extra: Mapping[str, Any] | None,
        thinking: int = 0,
    ) -> None:
        self.model, self.extra, self.thinking = model, dict(extra or {}), thinking
        self.is_thinker = False
        """Whether the model's chat template writes a thought into the prompt, open or closed."""
        self._thought_room = thinking
        """Tokens that are added to the limit of every answer for a thought before it."""
        connect = partial(
            HttpTransport, api_key=api_key, timeout=timeout, retries=retries, connections=connections
        )
        self._api = connect(base_url)
        self._root = connect(re.sub(r"/v1/?$", "", base_url.rstrip("/")))
        self.adapters: Mapping[str, AdapterInfo] = {}
        """Rubric -> adapter whose name replaces the model's in its requests."""
        self._unsupported: set[str] = set()
        """Fields that the server rejected; they are not sent again."""
        self._formats: dict[str, ResponseFormat] = {}
        """Name of a model or adapter -> what the server takes as its `response_format`."""
        self._token_ids: dict[str, int] = {}
        self._lock = Lock()

    def close(self) -> None:
        """Close all connections."""
        self._api.close()
        self._root.close()

    def inspect_server(self, rubric_adapters: Mapping[str, AdapterInfo]) -> ServerInfo:
        """Find out what the server is and which adapters it has.

        Args:
            rubric_adapters: adapters to look for. The one for RUBRIC must be served as `MODEL-RUBRIC`.

        Returns:
            Information about the server. It is empty unless the server is vLLM.

        Raises:
            BackendError: the server cannot be reached, or lists its models without this one.
        """
        try:
            models = {str(entry["id"]): entry for entry in self._api.get("/models")["data"]}
        except (RequestRejectedError, KeyError, TypeError):
            return ServerInfo()
        except ServerRefusedError as error:
            if error.status != 404:
                raise
            return ServerInfo()  # the server has no list of models
        except ReplyError as error:
            raise BackendError(str(error)) from None
        if models and self.model not in models:
            names = ", ".join(list(models)[:8])
            raise BackendError(f"{self._api.address}: does not serve {self.model!r}; it serves {names}")
        entry = models.get(self.model, {})
        if entry.get("owned_by") != "vllm":
            return ServerInfo()
        adapters = {
            rubric: AdapterInfo(f"{self.model}-{rubric}", info.domain)
            for rubric, info in rubric_adapters.items()
            if models.get(f"{self.model}-{rubric}", {}).get("parent")
        }
        root = str(entry.get("root") or entry.get("parent") or "")
        return ServerInfo(self._vllm_version(), True, bool(entry.get("parent")), adapters, root)

    def _vllm_version(self) -> str:
        try:
            return str(self._root.get("/version")["version"])
        except (BackendError, ReplyError, KeyError, TypeError):
            return ""

    def request_completion(
        self, request: Request, messages: list[dict[str, Any]], **fields: Any
    ) -> dict[str, Any]:
        """Request one chat completion.

        If the server rejects a field by name and the answer can do without it, the field is no longer sent.
        `max_tokens` is sent under its newer name instead.

        Args:
            request: the form that the messages ask for; its rubric selects an adapter.
            messages: the messages as JSON.
            fields: further fields of the request.

        Returns:
            The JSON of the server.

        Raises:
            BackendError: the server cannot be reached or refuses every request.
            ReplyError: there is no usable answer.
        """
        name = self._model_name(request)
        wanted = {"model": name, "messages": messages, "temperature": 0, "seed": request.seed, **fields}
        while True:
            payload = {
                key: value for key, value in wanted.items() if key not in self._unsupported
            } | self.extra
            if "max_tokens" in self._unsupported and "max_tokens" in wanted:
                payload["max_completion_tokens"] = wanted["max_tokens"]
            try:
                answer = self._api.post("/chat/completions", payload)
                if not isinstance(answer, dict):
                    raise ReplyError(f"{self._api.address}: the answer is no chat completion")
                if answer.get("error") and not answer.get("choices"):
                    raise _error_in_answer(self._api.address, answer["error"])
                return answer
            except RequestRejectedError as error:
                if not self._drop_field(str(error), payload):
                    raise

    def _model_name(self, request: Request) -> str:
        """Return the name by which the server knows the model, or its adapter, of a request."""
        adapter = self.adapters.get(request.rubric)
        return adapter.adapter if adapter else self.model

    def request_form(
        self, request: Request, messages: list[dict[str, Any]], **fields: Any
    ) -> tuple[Completion, ResponseFormat]:
        """Request one answer to a form, under its JSON schema as far as the server takes it.

        If the server refuses the schema, the request is sent again with less of it, see `response_formats`.
        What it took is remembered, so that this happens once.

        Args:
            request: as for `request_completion`.
            messages: the messages as JSON.
            fields: as for `request_answer`.

        Returns:
            The answer, and the format in which it was requested.

        Raises:
            BackendError: the server cannot be reached or refuses every request.
            ReplyError: there is no usable answer.
        """
        name, form = self._model_name(request), request.form
        while True:
            sent = self._formats.get(name, ResponseFormat())
            try:
                answer = self.request_answer(
                    request, sent.messages(form, messages), **fields, **sent.fields(form)
                )
                return answer, sent
            except (RequestRejectedError, ServerFailedError) as error:
                with self._lock:
                    if self._formats.get(name, ResponseFormat()) != sent:
                        continue  # another thread has found out more
                    less = sent.after_refusal(error.detail, form)
                    if less is None:
                        raise
                    self._formats[name] = less

    def request_answer(self, request: Request, messages: list[dict[str, Any]], **fields: Any) -> Completion:
        """Request one answer, with room for a thought before it.

        A model that thinks although it was not asked to is found by its first answer, which ends before the
        thought does. It is asked again with more room, and gets it from then on.

        Args:
            request: as for `request_completion`.
            messages: the messages as JSON.
            fields: further fields of the request, among them `max_tokens` for the answer alone.

        Raises:
            BackendError: the server cannot be reached or refuses every request.
            ReplyError: there is no usable answer.
        """
        limit = fields.pop("max_tokens")
        while True:
            room = self._thought_room
            answer = self.request_completion(request, messages, max_tokens=limit + room, **fields)
            try:
                return parse_completion(answer)
            except UnfinishedThoughtError:
                if room >= max(self.thinking, THOUGHT_ROOM):
                    raise
                self._thought_room = max(self.thinking, THOUGHT_ROOM)

    def _drop_field(self, message: str, payload: Mapping[str, Any]) -> bool:
        """Drop the optional field that an error message names; returns whether there is one."""
        for name in OPTIONAL_FIELDS:
            if name in payload and re.search(rf"\b{name}\b", message):
                with self._lock:
                    self._unsupported |= {"logprobs", "top_logprobs"} if "logprobs" in name else {name}
                return True
        return False

    def first_token_ids(self, label_sets: Sequence[Sequence[str]]) -> list[int]:
        """Return the first tokens of the labels, for a vLLM server.

        Args:
            label_sets: sets of labels, the most important first. A set that does not fit into `MAX_LOGPROBS`
                tokens is skipped.

        Returns:
            Token ids, each once.

        Raises:
            ReplyError: the server does not tokenize a label.
        """
        ids: dict[int, None] = {}
        for labels in label_sets:
            more = dict.fromkeys(self._first_token_id(label) for label in self._first_texts(labels))
            if len(ids | more) <= MAX_LOGPROBS:
                ids |= more
        return list(ids)

    def _first_texts(self, labels: Sequence[str]) -> Sequence[str]:
        """Return texts with the first tokens of some labels.

        A box in pixels has thousands of numbers as labels. If the server writes numbers digit by digit, their
        first digits do.
        """
        if len(labels) <= MAX_LOGPROBS or not all(map(str.isdecimal, labels)):
            return labels
        longest = max(labels, key=len)
        if self._first_token_id(longest) != self._first_token_id(longest[0]):
            return labels
        return sorted({label[0] for label in labels})

    def _first_token_id(self, label: str) -> int:
        if label not in self._token_ids:
            payload = {"model": self.model, "prompt": label, "add_special_tokens": False}
            answer = self._root.post("/tokenize", payload)
            try:
                self._token_ids[label] = int(answer["tokens"][0])
            except (KeyError, IndexError, TypeError, ValueError):
                raise ReplyError(f"{self._root.address}/tokenize: no tokens in its answer") from None
        return self._token_ids[label]

    def tokenize(self, text: str) -> tuple[list[int], list[str]]:
        """Return the tokens of a text and their names, from a vLLM server.

        Raises:
            BackendError: the server cannot be reached.
            ReplyError: the server does not tokenize the text.
        """
        payload = {
            "model": self.model,
            "prompt": text,
            "add_special_tokens": False,
            "return_token_strs": True,
        }
        answer = self._root.post("/tokenize", payload)
        try:
            return [int(token) for token in answer["tokens"]], [str(name) for name in answer["token_strs"]]
        except (KeyError, TypeError, ValueError):
            raise ReplyError(f"{self._root.address}/tokenize: no tokens in its answer") from None


def _error_in_answer(address: str, error: Any) -> RequestRejectedError:
    """Return the error that a server reports in an answer of status 200, as OpenRouter does."""
    text = str(error.get("message") or error) if isinstance(error, Mapping) else str(error)
    short = " ".join(text.split())[:200]
    return RequestRejectedError(f"{address}: an error in an answer of HTTP 200 ({short})", str(error))
