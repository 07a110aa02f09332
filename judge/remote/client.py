"""A client of `judge serve`: the same verdicts, from another process or machine.

    client = Client("http://127.0.0.1:8000", api_key="jk_...")
    verdict = client.verdict("picture.png", prompt="a red circle")
    verdict = await client.averdict("picture.png", prompt="a red circle")

Each call is written once, as a generator that yields requests and is sent responses; retrying is another
such generator around it. Two small loops drive them, one that blocks and one that awaits.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import time
import weakref
from collections.abc import Awaitable, Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, wraps
from itertools import islice
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

import httpx
from pydantic import ValidationError

from judge.errors import BackendError, Busy, Down, InputError, Late
from judge.media import image as media
from judge.pipeline.pipeline import name_of
from judge.pipeline.validation import (
    check_elements,
    check_how,
    check_prompt,
    check_sample,
    is_address,
    printable,
    there,
)
from judge.runtime.version import __version__
from judge.types import Comparison, Depth, How, Model, Provenance, Sample, Verdict

P = ParamSpec("P")
T = TypeVar("T")
M = TypeVar("M", bound=Model)
VARIABLE = "JUDGE_API_KEY"
"""Environment variable with the key of clients that are given none."""
AGAIN = (429, 503)
"""Statuses after which a request is sent again."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Seconds. A server that asks for a longer pause than the longest is not waited for."""


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    content: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of `httpx.Client.build_request`."""


_Flow = Generator[_Request, httpx.Response, T]
_Steps = Generator[_Request | float, httpx.Response | None, T]
"""As a flow, but with pauses in seconds between requests."""


@dataclass(frozen=True)
class _Done(Generic[T]):
    value: T


def _blocking(flow: Callable[P, _Flow[T]]) -> Callable[Concatenate[Client, P], T]:
    @wraps(flow)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._run(flow(*args, **kwargs))

    return call


def _awaiting(flow: Callable[P, _Flow[T]]) -> Callable[Concatenate[Client, P], Awaitable[T]]:
    @wraps(flow)
    async def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._arun(flow(*args, **kwargs))

    return call


# -- Calls ---------------------------------------------------------------------------------------------


def _verdict(
    image: Any = None,
    *,
    video: Any = None,
    prompt: str = "",
    elements: Sequence[str] | None = None,
    id: str = "",
    reference: Any = None,
    rubric: str = "default",
    depth: Depth = "verdict",
    heat: bool = False,
    looks: int = 0,
) -> _Flow[Verdict]:
    """Judge one picture or one video.

    Args:
        image: as `Judge` takes it; or an https URL, which a server fetches only from hosts it allows.
        video: in its place: a path, encoded bytes, a `data:` URL or such an https URL.
        prompt, elements, id, reference, depth, heat: as in `Judge`.
        looks: closer looks at most; the server has a limit of its own.
        rubric: a name that the server knows.

    Raises:
        InputError: the picture or another argument is unusable, here or in the server's eyes.
        BackendError: the server cannot be reached, is full (`Busy`), down (`Down`) or too slow (`Late`); the
            three stand in `judge.errors`.
    """
    files, fields = _files({"image": image, "video": video, "reference": reference})
    fields |= _fields(prompt, elements, rubric, depth) | {"id": printable(id)}
    fields |= ({"heat": True} if heat else {}) | ({"looks": looks} if looks else {})
    answer = yield _Request("POST", "/v1/verdicts", _content(files, fields))
    verdict = _read(answer, Verdict)
    verdict._image = partial(_still, files["video"]) if "video" in files else files.get("image")
    return verdict


def _compare(
    a: Any,
    b: Any,
    *,
    prompt: str = "",
    elements: Sequence[str] | None = None,
    reference: Any = None,
    rubric: str = "default",
    depth: Depth = "verdict",
    looks: int = 0,
    how: How = "pointwise",
) -> _Flow[Comparison]:
    """Judge two pictures of one prompt, and say which is better; `how` as in `Judge.compare`, decided by the
    server's model for "auto". Raises as `verdict`."""
    files, fields = _files({"a": a, "b": b, "reference": reference})
    fields |= _fields(prompt, elements, rubric, depth) | ({"looks": looks} if looks else {})
    fields["how"] = check_how(how)
    answer = yield _Request("POST", "/v1/compare", _content(files, fields))
    found = _read(answer, Comparison)
    found.a._image, found.b._image = files.get("a"), files.get("b")
    return found


def _scores(
    samples: Iterable[Sample | Mapping[str, Any]], *, rubric: str = "default", batch: int = 64
) -> _Flow[list[Verdict]]:
    """Score many pictures at score depth, `batch` of them in a request: one verdict per sample, in order.

    A sample that is unusable gives an unscored verdict with the reason. Raises as `verdict`.
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError("batch", batch, "1 or more", "64 is the usual one")
    found: list[Verdict] = []
    rest = iter(samples)
    while group := list(islice(rest, batch)):
        drafts = [_row(sample, rubric) for sample in group]
        rows = [draft for draft in drafts if isinstance(draft, dict)]
        told: list[Verdict] = []
        if rows:
            answer = yield _Request("POST", "/v1/scores", {"json": {"rows": rows, "rubric": rubric}})
            told = _verdicts(answer, len(rows))
        found += [draft if isinstance(draft, Verdict) else told.pop(0) for draft in drafts]
    return found


def _rubrics() -> _Flow[list[dict[str, Any]]]:
    """What the server can be asked: name, hash, dimensions, questions and kinds of each rubric."""
    answer = yield _Request("GET", "/v1/rubrics")
    listed: list[dict[str, Any]] = _json(answer)["rubrics"]
    return listed


class Client:
    """Asks a gateway. Safe to share between threads, and between the tasks of one event loop.

    Args:
        base_url: address of `judge serve`, for example http://127.0.0.1:8000.
        api_key: a key of the server; default: the environment variable JUDGE_API_KEY, if it is set.
        timeout: seconds for one answer, and for the pauses before it.
        retries: how often a request is sent again after 429 (full) or 503 (restarting).
        headers: sent along with every request.

    Raises:
        InputError: an argument is unusable.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        timeout: float = 120.0,
        retries: int = 5,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        if not is_address(base_url):
            raise InputError("base_url", base_url, "http:// or https:// addresses", "give the server's own")
        if not timeout > 0 or retries < 0:
            raise InputError("timeout", timeout, "seconds above 0, and no retries below 0", "120 is usual")
        key = os.environ.get(VARIABLE) if api_key is None else api_key
        if key and not (key.isascii() and key.isprintable()):
            raise InputError("api_key", "(not shown)", "printable ASCII", "copy the key again, alone")
        self.base_url, self.timeout, self.retries = base_url.rstrip("/"), timeout, retries
        given = {"Authorization": f"Bearer {key}"} if key else {}
        self._options: dict[str, Any] = {
            "base_url": self.base_url,
            "headers": {"User-Agent": f"judge/{__version__}", **given, **(headers or {})},
            "timeout": timeout,
            "limits": httpx.Limits(max_connections=None, max_keepalive_connections=64, keepalive_expiry=3.0),
        }
        self._client: httpx.Client | None = None
        self._awaited: tuple[asyncio.AbstractEventLoop, httpx.AsyncClient] | None = None

    verdict = _blocking(_verdict)
    averdict = _awaiting(_verdict)
    scores = _blocking(_scores)
    ascores = _awaiting(_scores)
    compare = _blocking(_compare)
    acompare = _awaiting(_compare)
    rubrics = _blocking(_rubrics)
    arubrics = _awaiting(_rubrics)

    def close(self) -> None:
        """Close the connections of blocking calls."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def aclose(self) -> None:
        """Close all connections."""
        self.close()
        if self._awaited is not None:
            await self._awaited[1].aclose()
            self._awaited = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.aclose()

    # -- Driving flows ---------------------------------------------------------------------------------

    def _run(self, flow: _Flow[T]) -> T:
        steps, answer = self._patient(flow), None
        while not isinstance(step := _advanced(steps, answer), _Done):
            answer = None
            if isinstance(step, float):
                time.sleep(step)
                continue
            try:
                client = self._blocking_client()
                answer = client.send(client.build_request(step.method, step.path, **step.content))
            except httpx.HTTPError as error:
                raise self._unreachable(error) from error
        return step.value

    async def _arun(self, flow: _Flow[T]) -> T:
        steps, answer = self._patient(flow), None
        # Pictures are read and encoded in a thread, so that the loop runs on.
        while not isinstance(step := await asyncio.to_thread(_advanced, steps, answer), _Done):
            answer = None
            if isinstance(step, float):
                await asyncio.sleep(step)
                continue
            try:
                client = await self._awaiting_client()
                answer = await client.send(client.build_request(step.method, step.path, **step.content))
            except httpx.HTTPError as error:
                raise self._unreachable(error) from error
        return step.value

    def _patient(self, flow: _Flow[T]) -> _Steps[T]:
        """The flow, with requests sent again after a pause while the server is full or restarting."""
        try:
            request = next(flow)
            while True:
                answer = yield from self._insisting(request)
                request = flow.send(_checked(answer))
        except StopIteration as done:
            value: T = done.value
            return value

    def _insisting(self, request: _Request) -> _Steps[httpx.Response]:
        until = time.monotonic() + self.timeout
        attempt = 0
        while True:
            answer = yield request
            assert answer is not None  # what a request is answered with; a pause gets nothing
            pause = _pause(answer, attempt)
            if pause is None or attempt == self.retries or time.monotonic() + pause > until:
                return answer
            yield pause
            attempt += 1

    def _blocking_client(self) -> httpx.Client:
        if self._client is None:
            self._client = httpx.Client(**self._options)
            weakref.finalize(self, self._client.close)  # whoever keeps a judge at an address closes nothing
        return self._client

    async def _awaiting_client(self) -> httpx.AsyncClient:
        """Connections belong to the event loop they were made in."""
        loop = asyncio.get_running_loop()
        if self._awaited is None or self._awaited[0] is not loop:
            self._awaited = (loop, httpx.AsyncClient(**self._options))
        return self._awaited[1]

    def _unreachable(self, error: httpx.HTTPError) -> BackendError:
        told = " ".join(str(error).split()) or type(error).__name__
        return BackendError(f"{self.base_url}: {told}")


def unscored(reason: str, *, id: str = "", rubric: str, rubric_hash: str = "", depth: Depth) -> Verdict:
    """A verdict without numbers for a sample that could not even be sent."""
    made = Provenance(
        model="",
        backend="gateway",
        rubric=rubric,
        rubric_hash=rubric_hash,
        depth=depth,
        version=__version__,
        milliseconds=0.0,
    )
    return Verdict(id=printable(id), status="unscored", reason=printable(reason), provenance=made)


# -- Requests ------------------------------------------------------------------------------------------


def _files(given: Mapping[str, Any]) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Pictures and videos as files, and those given by URL as fields."""
    given = there(given)
    links = {name: one for name, one in given.items() if is_address(one)}
    return {name: _encoded(one, name) for name, one in given.items() if name not in links}, links


def _encoded(one: Any, field: str) -> bytes:
    if field == "video":
        from judge.media import decoding  # loads OpenCV

        return decoding.encoded(one, field)
    return media.encoded(one, field=field)


def _still(video: bytes) -> Any:
    """The frame that stands for a video; decoded only where a verdict is drawn on it."""
    from judge.media.video import load

    return load(video).still


def _fields(prompt: str, elements: Sequence[str] | None, rubric: str, depth: Depth) -> dict[str, Any]:
    sample = check_sample({"prompt": prompt, "elements": elements})
    check_prompt(sample.prompt, False, [])
    check_elements(sample.elements)
    listed = {} if elements is None else {"elements": sample.elements}
    return {"prompt": sample.prompt, "rubric": rubric, "depth": depth, **listed}


def _content(files: Mapping[str, bytes], fields: dict[str, Any]) -> dict[str, Any]:
    """A form where there are files, else JSON."""
    if not files:
        return {"json": fields}
    listed = {"elements": json.dumps(fields["elements"])} if "elements" in fields else {}
    return {"files": files, "data": {**fields, **listed}}


def _row(given: Sample | Mapping[str, Any], rubric: str) -> dict[str, Any] | Verdict:
    try:
        sample = check_sample(given)
        check_prompt(sample.prompt, False, [])
        check_elements(sample.elements)
        row: dict[str, Any] = {"id": printable(sample.id), "prompt": sample.prompt}
        row["elements"] = sample.elements
        seen = {"image": sample.image, "video": sample.video, "reference": sample.reference}
        row |= {name: _address(one, name) for name, one in there(seen).items()}
    except InputError as error:
        return unscored(str(error), id=name_of(given), rubric=rubric, depth="score")
    return row


def _address(one: Any, field: str) -> str:
    """A picture or video as a URL, its own or one that holds it."""
    if is_address(one):
        return str(one)
    kind = "video" if field == "video" else "image"
    return f"data:{kind}/*;base64,{base64.b64encode(_encoded(one, field)).decode()}"


# -- Answers -------------------------------------------------------------------------------------------


def _advanced(steps: _Steps[T], answer: httpx.Response | None) -> _Request | float | _Done[T]:
    try:
        return steps.send(answer)
    except StopIteration as done:
        return _Done(done.value)


def _pause(answer: httpx.Response, attempt: int) -> float | None:
    """Seconds to wait before the request is sent again; None for an answer that stands."""
    if answer.status_code not in AGAIN:
        return None
    asked = answer.headers.get("retry-after", "")
    if not asked and answer.status_code == 503:  # the server is ending, or its engine is given up
        return None
    least = int(asked) if asked.isdecimal() else 0
    if least > LONGEST_PAUSE:
        return None
    # Spread out, so that those who were refused together do not come back together.
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**attempt)
    return least + random.uniform(0.5, 1.0) * longest


def _checked(answer: httpx.Response) -> httpx.Response:
    """The answer if it is one. Raises `InputError` for what the server refused, else `BackendError`."""
    if answer.is_success:
        return answer
    try:
        told = _json(answer)["error"]
        parts = [str(told[name]) for name in ("field", "value", "allowed", "mend", "message")]
    except (BackendError, KeyError, TypeError):
        raise BackendError(f"{answer.url}: answered {answer.status_code}, not as a gateway does") from None
    if 400 <= answer.status_code < 500 and answer.status_code not in AGAIN:
        raise InputError(*parts[:4])
    kind = {kind.status: kind for kind in (Busy, Down, Late)}.get(answer.status_code, BackendError)
    raise kind(f"{answer.url.host}: {parts[-1]} ({answer.status_code})")


def _json(answer: httpx.Response) -> Any:
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        raise BackendError(f"{answer.url}: the answer is not JSON") from None


def _read(answer: httpx.Response, shape: type[M]) -> M:
    try:
        return shape.model_validate_json(answer.content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise BackendError(f"{answer.url}: no {shape.__name__}: {where}: {first['msg']}") from None


def _verdicts(answer: httpx.Response, count: int) -> list[Verdict]:
    try:
        found = [Verdict.model_validate(one) for one in _json(answer)["verdicts"]]
    except (ValidationError, KeyError, TypeError) as error:
        raise BackendError(f"{answer.url}: no scores: {type(error).__name__}") from None
    if len(found) != count:
        raise BackendError(f"{answer.url}: {len(found)} verdicts for {count} rows")
    return found
