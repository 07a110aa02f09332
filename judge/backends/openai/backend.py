"""Asks any server that speaks OpenAI's chat completions: `vllm serve`, SGLang, llama.cpp, hosted models.

What every server has: the form as a JSON schema in `response_format`, pictures as data URLs, and, where it
gives them, the likeliest twenty alternatives at each token. From those `judge.backends.decoding.logprobs` reads label
probabilities; where they do not cover all labels the reply says that its numbers are estimates, and where a
server gives none, a verdict's numbers are those of the written labels and say so.

A vLLM server is known by what it says of its models, and asked for more: the form as a grammar (boxes on
their grid, no stray blank space whatever its settings), the log-probabilities of the labels' own tokens, and
the rest of an answer after a beginning of ours. With these the numbers are the model's own, as in process.

Messages go in the order in which they are most often shared, see `judge.backends.vllm.backend`.
"""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, ThreadPoolExecutor, wait
from functools import partial
from threading import Lock
from typing import Any, Literal

from judge.backends.base import AdapterInfo, Reply, Request
from judge.backends.checkpoints import Folder
from judge.backends.decoding import grammar, logprobs
from judge.backends.openai.transport import Declined, Line, Refused
from judge.errors import BackendError, InputError, ReplyError
from judge.rubrics.form import Branch, Choice, Form, Repeat
from judge.rubrics.form import Literal as Fixed

MOST = 128
"""Tokens that vLLM gives log-probabilities of, at most."""
TOP = 20
"""Alternatives that OpenAI's interface gives, at most."""
PAUSE = 0.1
"""Seconds that `step` waits for something to finish."""
_MARK = re.compile(
    r"<(?=\|)|<(?=/?(?:s|bos|eos|pad|unk|mask|image|video|audio|start_of_turn|end_of_turn)>)|\[(?=/?[A-Z_]{2,}\])"
)
"""Where text begins that a server's tokenizer may take for a control token."""


class OpenAI:
    """A model behind an OpenAI-compatible server; see `judge.backends.base.Backend` and `Stream`.

    Args:
        base_url: the server's address up to and with `/v1`.
        model: the name it serves the model under. For `embedded` the embedded judge's own card is read, and
            a rubric that it has an adapter for is asked under `embedded-RUBRIC` where the server has that.
        api_key: default: the environment's OPENAI_API_KEY, if it is set.
        brief: the model was tuned on the rubric and takes the brief template.
        size: side in pixels of the square that the model sees; None: any shape.
        concurrency: most requests at once.
        timeout: seconds to wait for one answer.
        retries: further tries after an answer of 429 or 5xx, or a broken connection.
        extra: fields added to every request, for example {"reasoning_effort": "none"}.

    Raises:
        InputError: an argument is off its menu.
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
        size: int | None = None,
        concurrency: int = 16,
        timeout: float = 120.0,
        retries: int = 4,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        if not re.match(r"https?://\w", base_url, re.IGNORECASE):
            raise InputError("base_url", base_url, "http:// or https:// addresses", "give the server's own")
        for field, number in (("concurrency", concurrency), ("timeout", timeout)):
            if not number > 0:
                raise InputError(field, number, "more than 0", "leave it out for the usual one")
        if retries < 0:
            raise InputError("retries", retries, "0 or more", "leave it out for the usual number")
        self._folder = Folder.of(model) if model == "embedded" else Folder(model, None)
        self.model, self.extra = model, dict(extra or {})
        self.domain = self._folder.domain
        self.brief = self._folder.brief if brief is None else brief
        self.size = self._folder.size if size is None else size
        self.tunings: dict[str, AdapterInfo] = {}
        key = os.environ.get("OPENAI_API_KEY", "") if api_key is None else api_key
        connect = partial(Line, api_key=key, timeout=timeout, retries=retries, connections=concurrency)
        self._line = connect(base_url)
        self._root = connect(re.sub(r"/v1/?$", "", base_url.rstrip("/")))
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="openai")
        self._running: dict[str, Future[Reply]] = {}
        self._without: set[str] = set()
        """Fields that the server turned down; they are not sent again."""
        self._ids: dict[str, int] = {}
        self._lock = Lock()
        self.version, self.revision, self._is_vllm = self._met()

    def close(self) -> None:
        """Let go of the server; what is pending is lost."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._line.close()
        self._root.close()

    # -- The seam -----------------------------------------------------------------------------------------

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        return self._all("choose", requests)

    def complete(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        return self._all("complete", requests)

    def _all(
        self, verb: Literal["choose", "complete"], requests: Sequence[Request]
    ) -> list[Reply | ReplyError]:
        running = [self._pool.submit(self._work(verb), request) for request in requests]
        try:
            return [_outcome(future) for future in running]
        except BaseException:
            for future in running:
                future.cancel()
            raise

    @property
    def pending(self) -> int:
        return len(self._running)

    def submit(self, key: str, verb: Literal["choose", "complete"], request: Request) -> None:
        if key in self._running:
            raise InputError("key", key, "a key that is not in use", "wait for its reply, or abort it")
        self._running[key] = self._pool.submit(self._work(verb), request)

    def step(self) -> list[tuple[str, Reply | ReplyError]]:
        wait(self._running.values(), timeout=PAUSE, return_when=FIRST_COMPLETED)
        done = [key for key, future in self._running.items() if future.done()]
        return [(key, _outcome(self._running.pop(key))) for key in done]

    def abort(self, key: str) -> None:
        if (future := self._running.pop(key, None)) is not None:
            future.cancel()

    def _work(self, verb: Literal["choose", "complete"]) -> Any:
        if verb == "complete":
            return self._fill_here if self._is_vllm else self._fill
        return self._read_here if self._is_vllm else self._choose

    # -- Any server ---------------------------------------------------------------------------------------

    def _fill(self, request: Request) -> Reply:
        """The whole form in one answer, its probabilities as far as the server gives any."""
        schema = {"name": "verdict", "strict": True, "schema": request.form.json_schema()}
        answer = self._chat(
            request,
            self._messages(request),
            response_format={"type": "json_schema", "json_schema": schema},
            max_tokens=2 * grammar.longest(request.form) + 64,
            logprobs=True,
            top_logprobs=TOP,
        )
        text, tokens, told = _content(answer)
        probabilities, exact = logprobs.read(request.form, tokens, told.__getitem__)
        return Reply(text, probabilities, exact)

    def _choose(self, request: Request) -> Reply:
        """As `_fill`: without a say in how an answer begins, each blank is read behind the labels that the
        model chose, not behind placeholders."""
        _only_choices(request.form)
        return self._fill(request)

    # -- A vLLM server ------------------------------------------------------------------------------------

    def _fill_here(self, request: Request) -> Reply:
        """The form under its grammar; from a box that runs backwards on, the rest is asked again with the
        labels that its corner may have."""
        form, messages = request.form, self._messages(request)
        ids = self._label_ids(_priorities(form))
        tokens: list[bytes] = []
        told: list[Mapping[bytes, float]] = []
        answers: list[str] = []
        while True:
            rules = grammar.ebnf(form, grammar.in_characters, answers, whole=not answers)
            said = b"".join(tokens).decode("utf-8", "replace")
            answer = self._chat(
                request,
                [*messages, *([{"role": "assistant", "content": said}] if said else [])],
                structured_outputs={"grammar": rules},
                max_tokens=grammar.longest(form) + 64,
                logprobs=True,
                logprob_token_ids=ids,
                add_generation_prompt=not said,
                continue_final_message=bool(said),
            )
            _, new, alternatives = _content(answer)
            tokens += new
            told += alternatives
            if answers:
                tokens.append(grammar.behind(form).encode())
                told.append({})
            trail = logprobs.follow(form, b"".join(tokens))
            if trail.stuck is None or trail.answers == answers:
                break
            answers = trail.answers
            _cut(tokens, told, trail.stuck)
        probabilities, exact = logprobs.read(form, tokens, told.__getitem__, estimates=False)
        return Reply(b"".join(tokens).decode("utf-8", "replace"), probabilities, exact)

    def _read_here(self, request: Request) -> Reply:
        """Read every choice with the first label standing in each one before it: one token asked for at each
        blank, after the answer up to there. What they share is computed once."""
        messages, said = self._messages(request), ""
        blanks: list[tuple[Choice, str]] = []
        pieces: list[str | Choice] = []
        for piece in _only_choices(request.form):
            pieces.append(piece.text if isinstance(piece, Fixed) else piece)
            if isinstance(piece, Choice):
                blanks.append((piece, said))
            said += piece.text if isinstance(piece, Fixed) else piece.labels[0]
        reply, likeliest = Reply(""), dict[str, str]()
        for blank, before in blanks:
            answer = self._chat(
                request,
                [*messages, {"role": "assistant", "content": before}],
                max_tokens=1,
                logprobs=True,
                logprob_token_ids=self._label_ids([blank.labels]),
                add_generation_prompt=False,
                continue_final_message=True,
            )
            _, tokens, told = _content(answer, cut=True)
            shares, covered = logprobs.read_one(blank, tokens[0], told[0])
            likeliest[blank.name] = blank.labels[0]
            if shares:
                reply.probabilities[blank.name] = dict(zip(blank.reported, shares, strict=True))
                reply.exact = reply.exact and covered
                likeliest[blank.name] = blank.labels[shares.index(max(shares))]
        if len(reply.probabilities) < len(blanks):
            missing = next(blank.name for blank, _ in blanks if blank.name not in reply.probabilities)
            raise ReplyError(f"{missing}: the server's numbers do not tell its labels apart")
        reply.text = "".join(piece if isinstance(piece, str) else likeliest[piece.name] for piece in pieces)
        return reply

    def _label_ids(self, menus: Sequence[Sequence[str]]) -> list[int]:
        """First tokens of the labels of as many menus as there is room for, the first ones first."""
        ids: dict[int, None] = {}
        for menu in menus:
            more = dict.fromkeys(self._first_token(label) for label in menu)
            if len(ids | more) <= MOST:
                ids |= more
        return list(ids)

    def _first_token(self, label: str) -> int:
        if label not in self._ids:
            payload = {"model": self.model, "prompt": label, "add_special_tokens": False}
            told = self._root.post("/tokenize", payload)
            try:
                self._ids[label] = int(told["tokens"][0])
            except (KeyError, IndexError, TypeError, ValueError):
                raise ReplyError(f"{self._root.address}/tokenize: no tokens in its answer") from None
        return self._ids[label]

    # -- Talking ------------------------------------------------------------------------------------------

    def _met(self) -> tuple[str, str, bool]:
        """Version and revision as far as the server tells them, and whether it is vLLM.

        Raises:
            BackendError: it cannot be reached, or lists its models and this is none of them.
        """
        try:
            listed = self._line.get("/models")["data"]
            cards = {str(card["id"]): card for card in listed}
        except (Declined, KeyError, TypeError):
            return "", "", False
        except Refused as error:
            if error.status != 404:
                raise
            return "", "", False  # it keeps no list
        except ReplyError as error:
            raise BackendError(str(error)) from None
        if cards and self.model not in cards:
            shown = ", ".join(list(cards)[:8])
            raise BackendError(f"{self._line.address}: does not serve {self.model!r}; it serves {shown}")
        card = cards.get(self.model, {})
        if card.get("owned_by") != "vllm":
            return "", "", False
        if card.get("parent"):
            self.adapter = self.model
        self.tunings = {
            rubric: AdapterInfo(f"{self.model}-{rubric}", told.domain)
            for rubric, told in self._folder.tunings.items()
            if cards.get(f"{self.model}-{rubric}", {}).get("parent")
        }
        try:
            return str(self._root.get("/version")["version"]), "", True
        except (BackendError, ReplyError, KeyError, TypeError):
            return "", "", True

    def _messages(self, request: Request) -> list[dict[str, Any]]:
        """The chat with its pictures as data URLs. Raises `ReplyError` when their number is off."""
        urls = iter(map(_data_url, request.images))
        messages = []
        try:
            for message in request.messages:
                content = message["content"]
                if not isinstance(content, str):
                    content = [
                        {"type": "text", "text": _defused(part["text"])}
                        if part["type"] == "text"
                        else {"type": "image_url", "image_url": {"url": next(urls)}}
                        for part in content
                    ]
                else:
                    content = _defused(content)
                messages.append({"role": message["role"], "content": content})
        except (StopIteration, RuntimeError):
            raise ReplyError(f"images: {len(request.images)} given, the messages show more") from None
        if next(urls, None) is not None:
            raise ReplyError(f"images: {len(request.images)} given, the messages show fewer")
        return messages

    def _chat(self, request: Request, messages: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
        """One chat completion. A field that the server turns down by name is left out from then on, if the
        answer can do without it; `max_tokens` goes by its newer name instead."""
        tuned = self.tunings.get(request.rubric)
        name = tuned.adapter if tuned else self.model
        wanted = {"model": name, "messages": messages, "temperature": 0, "seed": request.seed, **fields}
        while True:
            payload = {key: value for key, value in wanted.items() if key not in self._without} | self.extra
            if "max_tokens" in self._without and "max_tokens" in wanted:
                payload["max_completion_tokens"] = wanted["max_tokens"]
            try:
                answer = self._line.post("/chat/completions", payload)
            except Declined as error:
                if not self._does_without(str(error), payload):
                    raise
                continue
            if not isinstance(answer, dict):
                raise ReplyError(f"{self._line.address}: the answer is no chat completion")
            return answer

    def _does_without(self, said: str, payload: Mapping[str, Any]) -> bool:
        for field in ("top_logprobs", "logprobs", "temperature", "seed", "max_tokens"):
            if field in payload and re.search(rf"\b{field}\b", said):
                with self._lock:
                    self._without |= {"logprobs", "top_logprobs"} if "logprobs" in field else {field}
                return True
        return False


def _outcome(future: Future[Reply]) -> Reply | ReplyError:
    try:
        return future.result()
    except ReplyError as error:
        return error
    except CancelledError:
        return ReplyError("openai: the backend was closed")


def _defused(text: str) -> str:
    """Text whose control tokens are none: an invisible character (U+2060) stands inside each mark."""
    return _MARK.sub(lambda mark: f"{mark[0]}\u2060", text)


def _data_url(picture: Any) -> str:
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=1)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _content(
    answer: Mapping[str, Any], *, cut: bool = False
) -> tuple[str, list[bytes], list[Mapping[bytes, float]]]:
    """Text, tokens and their alternatives of a chat completion; no tokens where it reports none.

    Args:
        answer: the server's JSON.
        cut: the answer was meant to be cut short.

    Raises:
        ReplyError: there is no whole answer in it.
    """
    try:
        choice = answer["choices"][0]
        text = choice["message"].get("content")
        refused = choice["message"].get("refusal")
        listed = (choice.get("logprobs") or {}).get("content") or []
        tokens = [_bytes(entry) for entry in listed]
        told: list[Mapping[bytes, float]] = [
            {_bytes(other): float(other["logprob"]) for other in [*(entry.get("top_logprobs") or []), entry]}
            for entry in listed
        ]
    except (KeyError, IndexError, TypeError, AttributeError, ValueError):
        raise ReplyError("reply: the server's answer is no chat completion") from None
    if refused:
        raise ReplyError(f"reply: refused ({' '.join(str(refused).split())[:200]})")
    if not isinstance(text, str) or (not text and not cut):
        raise ReplyError("reply: empty")
    if choice.get("finish_reason") == "length" and not cut:
        raise ReplyError(f"reply: not finished after {len(tokens) or 'as many tokens as it may have'}")
    if cut and not tokens:
        raise ReplyError("reply: the server gave no log-probabilities")
    if not cut and tokens and b"".join(tokens) != text.encode():
        tokens, told = _aligned(text.encode(), tokens, told)
    return text, tokens, told


def _bytes(entry: Mapping[str, Any]) -> bytes:
    raw = entry.get("bytes")
    return bytes(raw) if raw is not None else str(entry["token"]).encode()


def _aligned(
    text: bytes, tokens: list[bytes], told: list[Mapping[bytes, float]]
) -> tuple[list[bytes], list[Mapping[bytes, float]]]:
    """Tokens without those beside the text: an end mark, or blank space that the server stripped."""
    at = b"".join(tokens).find(text)
    if at < 0:
        return [text], [{}]
    kept, begun = [], 0
    for token, others in zip(tokens, told, strict=True):
        if begun >= at and begun + len(token) <= at + len(text):
            kept.append((token, others))
        begun += len(token)
    if b"".join(token for token, _ in kept) != text:
        return [text], [{}]
    return [token for token, _ in kept], [others for _, others in kept]


def _cut(tokens: list[bytes], told: list[Mapping[bytes, float]], offset: int) -> None:
    """Drop what stands behind a place; of a token that reaches beyond it the beginning stays, unread."""
    at = 0
    for number, token in enumerate(tokens):
        if at + len(token) > offset:
            tokens[number:], told[number:] = [token[: offset - at]], [{}]
            return
        at += len(token)


def _only_choices(form: Form) -> list[Fixed | Choice]:
    """The pieces of a form without lists and text. Raises `InputError` for any other."""
    pieces: list[Fixed | Choice] = []
    walk = form.walk()
    try:
        piece = next(walk)
        while True:
            if not isinstance(piece, Fixed | Choice):
                raise InputError("form", piece.name, "choice blanks", 'use form.at_depth("score")')
            pieces.append(piece)
            piece = walk.send(piece.labels[0] if isinstance(piece, Choice) else "")
    except StopIteration:
        return pieces


def _priorities(form: Form) -> list[tuple[str, ...]]:
    """The menus of a form, those first whose numbers a verdict rests on: its own choices, whether a list goes
    on, the corners of boxes; the words inside of lists come last."""
    own = [part.labels for part in form.parts if isinstance(part, Choice)]
    lists = [part for part in form.parts if isinstance(part, Repeat)]
    inner = [part.labels for repeat in lists for part in repeat.parts if isinstance(part, Choice)]
    corners = [labels for labels in inner if all(map(str.isdecimal, labels))]
    words = [labels for labels in inner if labels not in corners]
    branches = [Branch("", opening).labels for opening in ("{", ",{")] if lists else []
    return list(dict.fromkeys([*own, *branches, *corners, *words]))
