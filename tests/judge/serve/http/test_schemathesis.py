"""Requests that Schemathesis makes of the OpenAPI document, and what the gateway answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS, load_all_checks
from serving import KEYS, Gateway, bearer, data_url, gateway, png

from judge.serve.settings import Settings

JUDGING = ("POST /v1/verdicts", "POST /v1/scores", "POST /v1/compare")
OTHERS = ("GET /v1/rubrics", "GET /healthz", "GET /readyz", "GET /metrics")
CONTENT_FIELDS = {"image", "video", "reference", "a", "b"}
"""Fields whose content may be refused although the schema allows it: it says nothing of bytes."""
MODEL_FIELDS = {"how", "heat"}
"""Fields that depend on the model, which is loaded after the schema can be read."""


@pytest.fixture(scope="module")
def locked_gateway() -> Iterator[Gateway]:
    with gateway(settings=Settings(page=False, keys=KEYS, max_rows=3), looks=2) as running:
        yield running


@pytest.fixture(scope="module")
def schema(locked_gateway: Gateway) -> Any:
    load_all_checks()
    # Whatever the schema calls an address is an image; the rest of the requests is arbitrary.
    schemathesis.openapi.format("uri", st.sampled_from([data_url(), data_url(png(20, 20, "red"))]))
    return schemathesis.openapi.from_url(f"{locked_gateway.url}/openapi.json", headers=bearer())


def send_examples(operation: Any, mode: schemathesis.GenerationMode, count: int) -> list[tuple[Any, Any]]:
    """Send requests and hold the answers against the schema; return the requests with the answers.

    Schemathesis checks the status, headers and body of each answer, that no answer is 5xx, that other methods
    are 405, and that a request without a key, or with one that is not valid, is 401.
    """
    # What valid requests are refused for is checked below; rows that break the schema are unscored, not 400.
    left_out = {
        "positive_data_acceptance",
        *({"negative_data_rejection"} if "scores" in operation.label else ()),
    }
    excluded = [check for check in CHECKS.get_all() if check.__name__ in left_out]
    sent = []

    @seed(1)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Any) -> None:
        response = case.call(headers=bearer(), timeout=60)
        case.validate_response(response, headers=bearer(), excluded_checks=excluded)
        sent.append((case, response))

    send()
    return sent


@pytest.mark.parametrize("label", JUDGING)
def test_requests_that_follow_the_schema_are_refused_for_their_content_only(schema: Any, label: str) -> None:
    operation = schema.find_operation_by_label(label)
    sent = send_examples(operation, schemathesis.GenerationMode.POSITIVE, 20)
    for case, response in sent:
        if response.status_code != 200:
            field, body = response.json()["error"]["field"], case.body
            is_blank = field == "prompt" and not str(body.get("prompt", "")).strip()
            assert field in CONTENT_FIELDS | MODEL_FIELDS or is_blank or is_control(body, field), (
                response.text
            )
    assert any(response.status_code == 200 for _, response in sent)


def is_control(body: Any, field: str) -> bool:
    """Whether a prompt is blank once its control characters are spaces."""
    return field == "prompt" and not any(mark.isprintable() and not mark.isspace() for mark in body["prompt"])


@pytest.mark.parametrize("label", JUDGING)
def test_requests_that_break_the_schema_are_refused(schema: Any, label: str) -> None:
    send_examples(schema.find_operation_by_label(label), schemathesis.GenerationMode.NEGATIVE, 20)


@pytest.mark.parametrize("label", OTHERS)
def test_other_routes_answer_as_the_schema_says(schema: Any, label: str) -> None:
    send_examples(schema.find_operation_by_label(label), schemathesis.GenerationMode.POSITIVE, 2)


@pytest.mark.parametrize(
    ("field", "value"),
    [("rubric", "defualt"), ("depth", "deep"), ("how", "both"), ("elements", "sentences"), ("looks", 17),
     ("max_elements", 0), ("max_elements", "3"), ("looks", True), ("prompt", "x" * 20_001), ("id", 1.5)],
)  # fmt: skip
def test_what_the_routes_refuse_is_not_in_the_schema(locked_gateway: Gateway, field: str, value: Any) -> None:
    document = httpx.get(f"{locked_gateway.url}/openapi.json", headers=bearer()).json()
    path, name = ("/v1/compare", "CompareRequest") if field == "how" else ("/v1/verdicts", "VerdictRequest")
    body = {"image": data_url(), "prompt": "a cat"}
    if field == "how":
        body = {"a": data_url(), "b": data_url(), "prompt": "a cat"}
    assert is_valid(document, name, body)
    assert locked_gateway.post(path, json=body, headers=bearer()).status_code == 200
    assert not is_valid(document, name, body | {field: value})
    response = locked_gateway.post(path, json=body | {field: value}, headers=bearer())
    assert (response.status_code, response.json()["error"]["field"]) == (400, field)


def is_valid(document: Any, name: str, value: Any) -> bool:
    import jsonschema

    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


def test_every_listed_rubric_is_in_the_schema_and_a_keyless_server_says_so(running: Gateway) -> None:
    document = running.get("/openapi.json").json()
    names = [rubric["name"] for rubric in running.get("/v1/rubrics").json()["rubrics"]]
    for request in ("VerdictRequest", "VerdictForm", "CompareRequest", "CompareForm", "ScoresRequest"):
        assert document["components"]["schemas"][request]["properties"]["rubric"]["enum"] == names
    assert {} in document["security"] and document["paths"]["/healthz"]["get"]["security"] == []
