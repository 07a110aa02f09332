"""Routes over real HTTP: verdicts, scores, comparisons, rubrics, the OpenAPI document, metrics, errors."""

from __future__ import annotations

import re
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serving import (
    Gateway,
    data_url,
    png,
)

from judge.rubrics.files import list_rubric_names
from judge.types import Comparison, Verdict

PROMPT = {"prompt": "a red circle and two cats"}


def test_a_negative_prompt_and_a_limit_of_elements_are_taken(running: Gateway) -> None:
    fields = {"image": data_url(), "prompt": "a red cat, a dog", "negative_prompt": "fish"}
    verdict = running.post("/v1/verdicts", json=fields).json()
    assert [(e["name"], e["expected"]) for e in verdict["elements"]] == [
        ("cat", True), ("red cat", True), ("dog", True), ("fish", False),
    ]  # fmt: skip
    form = {"prompt": "a dog", "negative_prompt": "fish", "max_elements": "1"}
    limited = running.post("/v1/verdicts", files={"image": png()}, data=form).json()
    assert [e["name"] for e in limited["elements"]] == ["dog"]
    rows = {"rows": [fields, fields | {"negative_prompt": 3}], "max_elements": 3}
    first, second = running.post("/v1/scores", json=rows).json()["verdicts"]
    assert [e["name"] for e in first["elements"]] == ["cat", "red cat", "dog"]
    assert "the limit is 3" in first["provenance"]["notes"][0] and "negative_prompt" in second["reason"]
    bad = running.post("/v1/verdicts", json=fields | {"max_elements": 65})
    assert (bad.status_code, bad.json()["error"]["field"]) == (400, "max_elements")


def test_a_file_and_a_data_url_give_the_same_kind_of_verdict(running: Gateway) -> None:
    form = running.post("/v1/verdicts", files={"image": png()}, data={**PROMPT, "id": "7"})
    body = running.post("/v1/verdicts", json={"image": data_url(), **PROMPT, "id": "7"})
    for response in (form, body):
        assert response.status_code == 200, response.text
        verdict = Verdict.model_validate_json(response.content)
        assert (verdict.id, verdict.status, verdict.size) == ("7", "scored", (40, 30))
        assert [e.name for e in verdict.elements] == ["red circle", "two cats"]
        assert verdict.provenance.backend == "random"
        assert verdict.provenance.milliseconds > 0


def test_elements_of_a_form_may_be_repeated_or_one_json_list(running: Gateway) -> None:
    for elements in (["a cat, asleep", "a dog"], '["a cat, asleep", "a dog"]'):
        response = running.post("/v1/verdicts", files={"image": png()}, data={**PROMPT, "elements": elements})
        assert [e["name"] for e in response.json()["elements"]] == ["a cat, asleep", "a dog"]


def test_depth_and_rubric_can_be_chosen(running: Gateway) -> None:
    assert running.verdict().json()["provenance"]["depth"] == "verdict"
    response = running.post(
        "/v1/verdicts", files={"image": png()}, data={"rubric": "quality", "depth": "score"}
    )
    provenance = response.json()["provenance"]
    assert (provenance["rubric"], provenance["depth"]) == ("quality", "score")


def test_a_reply_that_cannot_be_read_gives_an_unscored_verdict_not_an_error(running: Gateway) -> None:
    response = running.verdict("something unreadable")
    assert response.status_code == 200
    assert (response.json()["status"], response.json()["score"]) == ("unscored", None)
    assert "JSON" in response.json()["reason"]


def test_rows_are_scored_in_order_and_a_bad_row_fails_alone(running: Gateway) -> None:
    """If the model fails on a batch, its rows are run again one by one."""
    rows: list[Any] = [{"id": str(n), "image": data_url(), "prompt": "a cat"} for n in range(40)]
    rows[3]["image"] = "image.png"
    rows[5]["prompt"] = "a broken cat"
    rows[7]["image"] = data_url(b"not an image")
    rows[9] = 9
    rows[11]["colour"] = "red"
    rows[13]["prompt"] = ""
    response = running.post("/v1/scores", json={"rows": rows})
    assert response.status_code == 200, response.text
    verdicts = [Verdict.model_validate(one) for one in response.json()["verdicts"]]
    bad = [n for n, verdict in enumerate(verdicts) if verdict.status == "unscored"]
    assert bad == [3, 5, 7, 9, 11, 13]
    assert [v.id for v in verdicts] == [str(n) for n in range(40)]
    assert response.json()["scores"] == [v.score for v in verdicts]
    reasons = {n: verdicts[n].reason for n in bad}
    assert "paths are not read" in reasons[3]
    assert "it broke over this row" in reasons[5]
    assert "prompt" in reasons[13]


def test_rows_that_are_no_objects_keep_their_place_and_take_no_id_of_another_row(running: Gateway) -> None:
    good = {"image": data_url(), "prompt": "a cat"}
    rows = [good | {"id": 2}, "a.png", None, [good], good | {"id": "x"}, 5.5]
    answer = running.post("/v1/scores", json={"rows": rows}).json()
    assert [v["id"] for v in answer["verdicts"]] == ["2", "1", "", "3", "x", "5"]
    assert [v["status"] for v in answer["verdicts"]] == ["scored", *["unscored"] * 3, "scored", "unscored"]
    assert [n for n, score in enumerate(answer["scores"]) if score is None] == [1, 2, 3, 5]
    for number in (1, 2, 3, 5):
        assert answer["verdicts"][number]["reason"].startswith(f"rows.{number}: ")


def test_a_form_names_a_splitter_as_json_does(running: Gateway) -> None:
    named = [
        running.post("/v1/verdicts", files={"image": png()}, data={"prompt": "a cat", "elements": "words"}),
        running.post("/v1/verdicts", json={"image": data_url(), "prompt": "a cat", "elements": "words"}),
    ]
    assert [one.json()["provenance"]["elements"] for one in named] == ["words"] * 2
    given = running.post("/v1/verdicts", files={"image": png()}, data={**PROMPT, "elements": '["words"]'})
    assert [e["name"] for e in given.json()["elements"]] == ["words"]


def test_two_images_are_compared(running: Gateway) -> None:
    files = {"a": png(), "b": png(color="red")}
    for options in ({"files": files, "data": PROMPT}, {"json": {"a": data_url(), "b": data_url(), **PROMPT}}):
        response = running.post("/v1/compare", **options)
        assert response.status_code == 200, response.text
        comparison = Comparison.model_validate_json(response.content)
        assert (comparison.a.id, comparison.b.id) == ("a", "b")
        assert comparison.preferred in ("a", "b", "tie")
    response = running.post("/v1/compare", files={"a": png(), "b": b"none"}, data=PROMPT)
    assert (response.status_code, response.json()["error"]["field"]) == (400, "b")


def test_rubrics_are_listed_with_dimensions_and_hash(running: Gateway) -> None:
    rubrics = {one["name"]: one for one in running.get("/v1/rubrics").json()["rubrics"]}
    assert set(rubrics) == set(list_rubric_names())
    assert [d["name"] for d in rubrics["default"]["dimensions"]] == ["alignment", "structure"]
    assert running.verdict().json()["provenance"]["rubric_hash"] == rubrics["default"]["hash"]


@pytest.mark.parametrize(
    ("form", "field", "mend"),
    [
        ({"prompt": ""}, "prompt", "quality"),
        ({"prompt": "a cat", "rubric": "defualt"}, "rubric", "did you mean 'default'"),
        ({"prompt": "a cat", "rubric": "/etc/passwd"}, "rubric", "did you mean"),
        ({"prompt": "a cat", "depth": "deep"}, "depth", "openapi"),
        ({"prompt": "a cat", "colour": "red"}, "colour", "openapi"),
        ({"prompt": "a cat", "elements": ["a", "a"]}, "elements", "once"),
        ({"prompt": ["a cat", "a dog"]}, "prompt", "once"),
        ({"prompt": "x" * 30_000}, "prompt", "shorten"),
    ],
)
def test_an_error_names_the_field_and_what_to_do(running: Gateway, form: Any, field: str, mend: str) -> None:
    response = running.post("/v1/verdicts", files={"image": png()}, data=form)
    error = response.json()["error"]
    assert (response.status_code, error["field"]) == (400, field)
    assert mend in error["mend"]
    assert error["request_id"] == response.headers["x-request-id"]
    assert error["message"] and error["allowed"]


def test_the_openapi_document_describes_every_route_and_its_examples_work(running: Gateway) -> None:
    document = running.get("/openapi.json").json()
    assert set(document["paths"]) >= {"/v1/verdicts", "/v1/scores", "/v1/compare", "/v1/rubrics", "/readyz"}
    for path in ("/v1/verdicts", "/v1/scores", "/v1/compare"):
        route = document["paths"][path]["post"]
        for status in ("400", "401", "413", "429", "503", "504"):
            schema = route["responses"][status]["content"]["application/json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Error"}
        for example in route["requestBody"]["content"]["application/json"]["examples"].values():
            response = running.post(path, json=example["value"])
            assert response.status_code == 200, response.text
    assert set(document["components"]["schemas"]["Fault"]["required"]) >= {"field", "mend", "request_id"}


def test_metrics_show_requests_verdicts_and_state(running: Gateway) -> None:
    running.verdict()
    text = running.get("/metrics").text
    assert re.search(r'judge_requests_total\{route="/v1/verdicts",status="200"\} [1-9]', text)
    assert re.search(r'judge_verdicts_total\{depth="verdict",rubric="default",status="scored"\} [1-9]', text)
    assert 'judge_state{state="ready"} 1.0' in text
    assert "judge_inside 0.0" in text
    assert "judge_engine_restarts_total 0.0" in text


def test_unknown_routes_and_methods_give_the_same_shape_of_error(running: Gateway) -> None:
    for response, status in ((running.get("/nothing"), 404), (running.get("/v1/verdicts"), 405)):
        assert response.status_code == status
        assert response.json()["error"]["request_id"]


def test_metrics_are_read_by_the_parsers_of_prometheus_and_openmetrics_names(running: Gateway) -> None:
    running.verdict()
    response = running.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    types = {name: family.type for name, family in families.items()}
    assert types["judge_requests"] == types["judge_verdicts"] == types["judge_engine_restarts"] == "counter"
    assert types["judge_request_seconds"] == "histogram" and types["judge_state"] == "gauge"
    assert all(family.documentation for family in families.values())
    assert sum(sample.value for sample in families["judge_state"].samples) == 1
    buckets = [
        sample.value
        for sample in families["judge_request_seconds"].samples
        if sample.name.endswith("_bucket") and sample.labels["route"] == "/v1/verdicts"
    ]
    assert buckets == sorted(buckets) and buckets[-1] >= 1
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
