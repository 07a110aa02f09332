"""The gateway's routes: verdicts over HTTP. `judge.serve.http.middleware` wraps them all."""

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
from judge.judge import EMBEDDED
from judge.runtime.version import __version__
from judge.serve.engine.ipc import judge_backend_spec
from judge.serve.engine.supervisor import Engine
from judge.serve.http.errors import error_response
from judge.serve.http.middleware import GatewayMiddleware
from judge.serve.http.other_methods import OtherMethods
from judge.serve.http.request_parsing import parse_json_body, parse_request, parse_rows, validate
from judge.serve.http.schemas import (
    CompareRequest,
    Error,
    Rubrics,
    Scores,
    ScoresRequest,
    State,
    VerdictRequest,
    request_body,
    request_schemas,
)
from judge.serve.log import Log
from judge.serve.metrics import Metrics
from judge.serve.sample_judge import JudgeOptions
from judge.serve.service import Service
from judge.serve.settings import Settings
from judge.types import Comparison, Sample, StrictModel, Verdict

T = TypeVar("T")
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "A field is not usable; the error says what to do."},
    401: {"description": "The key is missing, or unknown to this server."},
    408: {"description": "The body arrived too slowly."},
    413: {"description": "The body is too large."},
    415: {"description": "The body is neither JSON nor a form."},
    429: {"description": "Too many requests: try again after Retry-After seconds."},
    503: {"description": "The engine is loading or restarting, or the server is stopping: see Retry-After."},
    504: {"description": "The deadline passed."},
}
API_DESCRIPTION = (
    "Judges generated images: a score from 1 to 5 with its distribution, which elements of the prompt are "
    "present, and where the image is broken. All errors have one shape, `Error`: they name the field, the "
    "value, what is allowed and what to do. If the model cannot be asked about an image, or its reply cannot "
    "be read, the verdict has status `unscored` and a reason, never an invented number."
)


def build_app(
    service: Service, settings: Settings | None = None, log: Callable[..., None] | None = None
) -> FastAPI:
    """Build the gateway as an ASGI app. Its lifespan starts and stops the service.

    Args:
        service: the service that judges.
        settings: keys and limits.
        log: called with the name of an event and its fields; default: `Log()`, to standard output.
    """
    settings, log = settings or Settings(), log or Log()
    metrics = Metrics(service)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with service:
            yield

    app = FastAPI(
        title="judge",
        version=__version__,
        description=API_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        # Generated clients name their functions by these: `scores`, not `scores_v1_scores_post`.
        generate_unique_id_function=lambda route: route.name,
    )
    app.add_middleware(GatewayMiddleware, settings=settings, log=log, metrics=metrics)
    for kind in (JudgeError, HTTPException):
        app.add_exception_handler(kind, _to_response)
    _add_judging_routes(app, service, settings)
    _add_monitoring_routes(app, service, metrics)
    app.openapi = lambda: _openapi_document(app, service, settings)  # type: ignore[method-assign]
    app.router.routes.append(OtherMethods(app.routes))
    if settings.page and find_spec("gradio") and find_spec("judge.serve.page.app"):
        from judge.serve.page.app import mount

        app = mount(app, service, path="/", max_body=settings.max_body)
    return app


def build_description() -> dict[str, Any]:
    """Return the OpenAPI description of the gateway without starting one, for documentation."""
    service = Service(Engine(judge_backend_spec(EMBEDDED)))
    return build_app(service, Settings(page=False)).openapi()


def _add_judging_routes(app: FastAPI, service: Service, settings: Settings) -> None:
    errors = {status: {**error, "model": Error} for status, error in ERRORS.items()}

    @app.post(
        "/v1/verdicts",
        response_model=Verdict,
        responses=errors,
        tags=["judging"],
        openapi_extra=request_body(VerdictRequest),
    )
    async def verdicts(request: Request) -> Response:
        """Judge one image or video, sent as a file in a form or as a data: URL in JSON."""
        with service.accept() as accepted:
            body = await parse_request(request, VerdictRequest)
            sample = _build_sample(body, body.image, body.id, body.video)
            options = JudgeOptions(body.rubric, body.depth, body.heat, body.looks, **_shared_options(body))
            verdict = await _cancel_on_disconnect(request, accepted.verdict(sample, options))
        return _respond(request, verdict, rubric=body.rubric, depth=body.depth, verdict=verdict.status)

    @app.post(
        "/v1/scores",
        response_model=Scores,
        responses=errors,
        tags=["judging"],
        openapi_extra=request_body(ScoresRequest),
    )
    async def scores(request: Request) -> Response:
        """Score many images, with one forward pass each, for rewards and ranking."""
        with service.accept() as accepted:
            body = validate(ScoresRequest, await parse_json_body(request))
            rows = parse_rows(body, settings.max_rows)
            options = JudgeOptions(body.rubric, "score", **_shared_options(body))
            verdicts = await _cancel_on_disconnect(request, accepted.scores(rows, options))
        numbers = [verdict.score for verdict in verdicts]
        result = Scores(scores=numbers, verdicts=verdicts)
        return _respond(request, result, rubric=body.rubric, rows=len(rows), unscored=numbers.count(None))

    @app.post(
        "/v1/compare",
        response_model=Comparison,
        responses=errors,
        tags=["judging"],
        openapi_extra=request_body(CompareRequest),
    )
    async def compare(request: Request) -> Response:
        """Judge two images of one prompt, and say which is better."""
        with service.accept() as accepted:
            body = await parse_request(request, CompareRequest)
            a, b = (_build_sample(body, image) for image in (body.a, body.b))
            options = JudgeOptions(
                body.rubric, body.depth, looks=body.looks, how=body.how, **_shared_options(body)
            )
            comparison = await _cancel_on_disconnect(request, accepted.compare(a, b, options))
        preferred = comparison.preferred
        return _respond(request, comparison, rubric=body.rubric, depth=body.depth, preferred=preferred)

    @app.get("/v1/rubrics", response_model=Rubrics, tags=["judging"])
    async def rubrics() -> JSONResponse:
        """List the rubrics: names, dimensions, questions and kinds of defects of each."""
        return JSONResponse({"rubrics": service.rubrics()})


def _add_monitoring_routes(app: FastAPI, service: Service, metrics: Metrics) -> None:
    no_key: dict[str, Any] = {"openapi_extra": {"security": []}, "tags": ["monitoring"]}

    @app.get("/healthz", **no_key)
    async def healthz() -> dict[str, str]:
        """Whether the gateway process is alive. Needs no key."""
        return {"status": "ok"}

    @app.get("/readyz", response_model=State, responses={503: {"model": State}}, **no_key)
    async def readyz() -> JSONResponse:
        """Whether the gateway is ready to judge, and if not, why. Needs no key."""
        is_ready = service.state == "ready"
        reason = "" if is_ready else service.engine.reason
        return JSONResponse({"state": service.state, "reason": reason}, 200 if is_ready else 503)

    for path, answer in (("/healthz", healthz), ("/readyz", readyz)):  # some load balancers ask by HEAD
        app.head(path, include_in_schema=False)(answer)

    @app.get("/metrics", tags=["monitoring"], response_class=Response)
    async def metrics_text() -> Response:
        """Metrics for Prometheus."""
        return Response(metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _build_sample(body: Any, image: Any, id: str = "", video: Any = None) -> Sample:
    texts = {"prompt": body.prompt, "negative_prompt": body.negative_prompt, "elements": body.elements}
    return Sample(id=id, image=image, video=video, reference=body.reference, **texts)


def _shared_options(body: Any) -> dict[str, Any]:
    """Return the options that all three requests have."""
    return {"max_elements": body.max_elements, "out_of_domain": body.out_of_domain}


def _respond(request: Request, result: StrictModel, **log_fields: Any) -> Response:
    """Return the JSON response; the middleware adds `log_fields` to the request's line in the log."""
    request.state.log_fields = log_fields
    return Response(result.model_dump_json(), media_type="application/json")


async def _cancel_on_disconnect(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Await the work, and cancel it if the client disconnects. The body must have been read before."""
    task = asyncio.create_task(work)
    disconnect = asyncio.create_task(_wait_for_disconnect(request))
    try:
        await asyncio.wait({task, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        disconnect.cancel()
        await asyncio.gather(task, disconnect, return_exceptions=True)


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _to_response(request: Request, error: Exception) -> Response:
    return error_response(error, request.state.request_id)


def _openapi_document(app: FastAPI, service: Service, settings: Settings) -> dict[str, Any]:
    """Return the OpenAPI document, with what this server takes and the two ways to send a key."""
    if not app.openapi_schema:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes
        )
        rubrics = [rubric["name"] for rubric in service.rubrics()]
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(
            request_schemas(rubrics, service.looks, settings.max_rows)
        )
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
        }
        document["security"] = [*([] if settings.keys else [{}]), {"bearer": []}, {"key": []}]
        app.openapi_schema = document
    return app.openapi_schema
