"""Methods that a route does not take: 405 with those that it takes, also beside a page at "/"."""

from __future__ import annotations

import pytest
from serving import Gateway
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import BaseRoute, Mount, Route
from starlette.testclient import TestClient

from judge.serve.http.other_methods import OtherMethods


def answer(_: object) -> PlainTextResponse:
    return PlainTextResponse("answered")


@pytest.fixture(scope="module")
def client() -> TestClient:
    """Two routes of one path, one with a parameter, and a page that takes everything else."""
    routes: list[BaseRoute] = [
        Route("/v1/things", answer, methods=["GET"]),
        Route("/v1/things", answer, methods=["POST"]),
        Route("/v1/things/{name}", answer, methods=["DELETE"]),
    ]
    page = Starlette(routes=[Route("/{path:path}", answer)])
    return TestClient(Starlette(routes=[*routes, OtherMethods(routes), Mount("/", page)]))


@pytest.mark.parametrize("method", ["TRACE", "PUT", "PATCH", "OPTIONS", "PROPFIND", "CONNECT"])
def test_other_methods_of_a_path_are_405_with_all_that_its_routes_take(
    client: TestClient, method: str
) -> None:
    response = client.request(method, "/v1/things")
    assert (response.status_code, response.headers["allow"]) == (405, "GET, HEAD, POST")
    assert client.request(method, "/v1/things/a").headers["allow"] == "DELETE"


def test_routes_and_the_page_answer_as_before(client: TestClient) -> None:
    for method, path in (("GET", "/v1/things"), ("POST", "/v1/things"), ("DELETE", "/v1/things/a")):
        assert client.request(method, path).text == "answered"
    assert client.get("/v1/other").text == client.get("/").text == "answered"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("TRACE", "/v1/verdicts", "POST"), ("GET", "/v1/scores", "POST"), ("DELETE", "/v1/rubrics", "GET"),
     ("POST", "/healthz", "GET, HEAD"), ("PUT", "/openapi.json", "GET, HEAD")],
)  # fmt: skip
def test_the_gateway_names_the_methods_of_its_routes(
    running: Gateway, method: str, path: str, allowed: str
) -> None:
    import httpx

    response = httpx.request(method, running.url + path, trust_env=False)
    error = response.json()["error"]
    assert (response.status_code, response.headers["allow"]) == (405, allowed)
    assert (error["field"], error["allowed"]) == ("method", allowed)
