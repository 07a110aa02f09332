"""The gateway's routes: verdicts over HTTP. What guards them all stands in `judge.serve.http.guard`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from judge.errors import JudgeError
from judge.runtime.version import __version__
from judge.serve.http import request_parsing as bodies
from judge.serve.http.errors import answer as answer_to
from judge.serve.http.guard import Guard
from judge.serve.http.schemas import (
    CompareRequest,
    Error,
    Rubrics,
    Scores,
    ScoresRequest,
    State,
    VerdictRequest,
    body_of,
)
from judge.serve.log import Log
from judge.serve.metrics import Metrics
from judge.serve.service import Service, Wanted
from judge.serve.settings import Settings
from judge.types import Comparison, Model, Sample, Verdict

T = TypeVar("T")
FAULTS: dict[int | str, dict[str, Any]] = {
    400: {"description": "A field is unusable; the error says how to mend it."},
    401: {"description": "No key, or none of this server's."},
    408: {"description": "The body came too slowly."},
    413: {"description": "The body is too large."},
    415: {"description": "Neither JSON nor a form."},
    429: {"description": "No room now: come back after Retry-After seconds."},
    503: {"description": "The engine is loading, restarting, or the server is ending: see Retry-After."},
    504: {"description": "The deadline passed."},
}
ABOUT = (
    "Judges generated images: a score from 1 to 5 with its distribution, what the prompt asked for and is "
    "there, and where the picture is broken. Errors all have one shape, `Error`, and name the field, the "
    "value, what is allowed and the mend. A picture that the model cannot be asked about, or whose reply "
    "cannot be read, gives a verdict with status `unscored` and a reason, never a made-up number."
)


def build(
    service: Service, settings: Settings | None = None, log: Callable[..., None] | None = None
) -> FastAPI:
    """The gateway as an ASGI app. Its lifespan starts and stops the service."""
    settings, log = settings or Settings(), log or Log()
    metrics = Metrics(service)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service:
            yield

    app = FastAPI(title="judge", version=__version__, description=ABOUT, lifespan=lifespan, redoc_url=None)
    app.add_middleware(Guard, settings=settings, log=log, metrics=metrics)
    for kind in (JudgeError, HTTPException):
        app.add_exception_handler(kind, _told)
    _add_judging(app, service, settings)
    _add_watching(app, service, metrics)
    app.openapi = lambda: _described(app)  # type: ignore[method-assign]
    if settings.page and find_spec("gradio") and find_spec("judge.serve.page.app"):
        from judge.serve.page.app import mount

        app = mount(app, service, path="/", max_body=settings.max_body)
    return app


def _add_judging(app: FastAPI, service: Service, settings: Settings) -> None:
    faults = {status: {**fault, "model": Error} for status, fault in FAULTS.items()}

    @app.post(
        "/v1/verdicts",
        response_model=Verdict,
        responses=faults,
        tags=["judging"],
        openapi_extra=body_of(VerdictRequest, files=("image", "video", "reference")),
    )
    async def verdicts(request: Request) -> Response:
        """Judge one picture or video: a file in a form, or a data: URL in JSON."""
        with service.enter() as visit:
            asked = await bodies.read(request, VerdictRequest, ("image", "video", "reference"))
            sample = _sample(asked, asked.image, asked.id, asked.video)
            wanted = Wanted(asked.rubric, asked.depth, asked.heat, asked.looks)
            found = await _unless_gone(request, visit.verdict(sample, wanted))
        return _answered(request, found, rubric=asked.rubric, depth=asked.depth, verdict=found.status)

    @app.post(
        "/v1/scores",
        response_model=Scores,
        responses=faults,
        tags=["judging"],
        openapi_extra=body_of(ScoresRequest),
    )
    async def scores(request: Request) -> Response:
        """Score many pictures in one forward pass each, for rewards and ranking."""
        with service.enter() as visit:
            asked = bodies.checked(ScoresRequest, await bodies.read_json(request))
            rows = bodies.rows(asked, settings.max_rows)
            found = await _unless_gone(request, visit.scores(rows, Wanted(asked.rubric, "score")))
        scored = [verdict.score for verdict in found]
        answer = Scores(scores=scored, verdicts=found)
        return _answered(request, answer, rubric=asked.rubric, rows=len(rows), unscored=scored.count(None))

    @app.post(
        "/v1/compare",
        response_model=Comparison,
        responses=faults,
        tags=["judging"],
        openapi_extra=body_of(CompareRequest, files=("a", "b", "reference")),
    )
    async def compare(request: Request) -> Response:
        """Judge two pictures of one prompt, and say which is better."""
        with service.enter() as visit:
            asked = await bodies.read(request, CompareRequest, ("a", "b", "reference"))
            a, b = (_sample(asked, image) for image in (asked.a, asked.b))
            wanted = Wanted(asked.rubric, asked.depth, looks=asked.looks, how=asked.how)
            found = await _unless_gone(request, visit.compare(a, b, wanted))
        return _answered(request, found, rubric=asked.rubric, depth=asked.depth, preferred=found.preferred)

    @app.get("/v1/rubrics", response_model=Rubrics, tags=["judging"])
    async def rubrics() -> JSONResponse:
        """What may be asked: names, dimensions, questions and kinds of defects of each rubric."""
        return JSONResponse({"rubrics": service.rubrics()})


def _add_watching(app: FastAPI, service: Service, metrics: Metrics) -> None:
    @app.get("/healthz", tags=["watching"])
    async def healthz() -> dict[str, str]:
        """The gateway itself is alive. Needs no key."""
        return {"status": "ok"}

    @app.get("/readyz", response_model=State, responses={503: {"model": State}}, tags=["watching"])
    async def readyz() -> JSONResponse:
        """Whether a verdict would be given now, and if not, why. Needs no key."""
        ready = service.state == "ready"
        reason = "" if ready else service.engine.reason
        return JSONResponse({"state": service.state, "reason": reason}, 200 if ready else 503)

    @app.get("/metrics", tags=["watching"], response_class=Response)
    async def prometheus() -> Response:
        """Numbers for Prometheus."""
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _sample(asked: Any, image: Any, name: str = "", video: Any = None) -> Sample:
    texts = {"prompt": asked.prompt, "elements": asked.elements}
    return Sample(id=name, image=image, video=video, reference=asked.reference, **texts)


def _answered(request: Request, found: Model, **noted: Any) -> Response:
    """The response; `noted` goes into the log."""
    request.state.noted = noted
    return Response(found.model_dump_json(), media_type="application/json")


async def _unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of the work, which is dropped when the client hangs up. The body must have been read."""
    task, gone = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _told(request: Request, error: Exception) -> Response:
    return answer_to(error, request.state.request_id)


def _described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, with the two ways to send a key."""
    if not app.openapi_schema:
        found = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        found.setdefault("components", {})["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        found["security"] = [{"bearer": []}, {"key": []}]
        app.openapi_schema = found
    return app.openapi_schema
