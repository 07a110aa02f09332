"""Servers that refuse a JSON schema or a part of it get less, once; the verdict says what was left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from model_server import (
    ALTERNATIVES,
    FORM,
    TOKENS,
    ModelServer,
    Response,
    Script,
    build_request,
    completion,
    connect,
    plain_image,
    single_reply,
)

from judge.backends.openai.response_formats import ResponseFormat
from judge.errors import ReplyError
from judge.judge import Judge
from judge.rubrics.rubric import Rubric

Serve = Callable[..., ModelServer]
RUBRIC = Rubric.load("default")
VALUES = {
    "elements": {"red circle": True},
    "degradation": "none",
    "defects": [],
    "alignment": 5,
    "structure": 4,
    "score": 4,
    "explanation": "fine",
}
ANSWER = completion([RUBRIC.form(["red circle"]).render(VALUES)], None)
LIMITS = ("maxLength", "minItems", "maxItems", "minimum", "maximum")


def keywords(schema: Any) -> Iterator[str]:
    """The keywords of a schema, which are not names of its properties."""
    if isinstance(schema, dict):
        for key, value in schema.items():
            yield key
            for inner in value.values() if key == "properties" else [value]:
                yield from keywords(inner)


def sent_schema(body: dict[str, Any]) -> Any:
    return body.get("response_format", {}).get("json_schema", {}).get("schema")


def snake(word: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in word)


WORDINGS: dict[str, Callable[[str], Response]] = {
    "OpenAI": lambda word: (
        400,
        {},
        {
            "error": {
                "message": "Invalid schema for response_format 'verdict': In context=('properties', "
                f"'note'), '{word}' is not permitted.",
                "param": "response_format",
            }
        },
    ),
    "Azure": lambda word: (
        400,
        {},
        {
            "error": {
                "code": "BadRequest",
                "message": f"Invalid schema for response_format: {word} is not supported.",
            }
        },
    ),
    "Groq": lambda word: (
        400,
        {},
        {
            "error": {
                "message": "invalid schema for response format: response_format/json_schema/note: "
                f"{word} is not supported",
                "type": "invalid_request_error",
            }
        },
    ),
    "Gemini": lambda word: (
        400,
        {},
        [
            {
                "error": {
                    "code": 400,
                    "message": "Invalid JSON payload received. " + "x" * 300 + f' Unknown name "{word}" at '
                    "'generation_config.response_schema.properties[0].value': Cannot find field.",
                    "status": "INVALID_ARGUMENT",
                }
            }
        ],
    ),
    "Vertex": lambda word: (
        501,
        {},
        {
            "error": {
                "message": "Unable to submit request because one or more response schemas specified "
                f"unsupported field {snake(word)}."
            }
        },
    ),
    "Together": lambda word: (
        422,
        {},
        {"message": f"JSON schema validation failed: unknown keyword `{word}`"},
    ),
    "FastAPI": lambda word: (
        422,
        {},
        {
            "detail": [
                {
                    "loc": ["body", "response_format", "json_schema", "schema", word],
                    "msg": "Extra inputs are not permitted",
                    "type": "extra_forbidden",
                }
            ]
        },
    ),
    "llama.cpp": lambda word: (
        500,
        {},
        {
            "error": {
                "message": f"failed to parse grammar: unsupported keyword {word}",
                "type": "server_error",
            }
        },
    ),
    "Ollama": lambda word: (400, {}, {"error": {"message": f"invalid JSON schema in format: {word}"}}),
    "inside an answer": lambda word: (
        200,
        {},
        {
            "error": {
                "code": 400,
                "message": f"Provider returned error: schema keyword '{word}' is not supported",
            }
        },
    ),
}


def refusing(words: tuple[str, ...], wording: Callable[[str], Response], answer: Any = ANSWER) -> Script:
    """A server that names the first keyword of a schema that it does not take."""

    def script(_: str, body: dict[str, Any]) -> Response:
        sent = [
            *keywords(sent_schema(body)),
            *(["strict"] if "strict" in str(body.get("response_format")) else []),
        ]
        for word in words:
            if word in sent:
                return wording(word)
        return 200, {}, answer

    return script


OTHERS = [("maxLength",), ("minItems", "additionalProperties"), ("strict",)]
REFUSALS = [
    *((name, LIMITS) for name in WORDINGS),
    *(("OpenAI", words) for words in OTHERS),
    ("FastAPI", ("strict",)),
]


@pytest.mark.parametrize(("server_name", "words"), REFUSALS)
def test_what_a_server_refuses_by_name_is_left_out_from_then_on(
    serve: Serve, server_name: str, words: tuple[str, ...], pauses: list[float]
) -> None:
    server = serve(refusing(words, WORDINGS[server_name]))
    judge = Judge(backend=connect(server, retries=1))
    for _ in range(2):
        verdict = judge(plain_image(), prompt="a red circle", elements=["red circle"])
        assert verdict.score == 4.0, verdict.reason
        (note,) = [note for note in verdict.provenance.notes if "refused" in note]
        assert all(word in note for word in words)
    first, last = server.chats[0], server.chats[-1]
    kept = set(keywords(sent_schema(first))) - set(words)
    assert set(keywords(sent_schema(last))) == kept and {"enum", "required", "properties"} <= kept
    assert ("strict" in last["response_format"]["json_schema"]) is ("strict" not in words)
    failures = len(words) * (2 if server_name == "llama.cpp" else 1)  # status 500 is tried again
    assert len(server.chats) == failures + 2
    assert first["messages"] == last["messages"]


UNNAMED = {
    "llama.cpp": (400, {}, {"error": {"message": "JSON schema conversion failed", "code": 400}}),
    "Gemini": (
        400,
        {},
        [{"error": {"message": "The specified schema produces a constraint that has too many states"}}],
    ),
    "xgrammar": (
        400,
        {},
        {"error": {"message": "The provided JSON schema contains features not supported by xgrammar."}},
    ),
    "outlines": (400, {}, {"object": "error", "message": "Grammar error: invalid schema", "code": 400}),
    "other keyword": (400, {}, {"error": {"message": "schema keyword 'propertyNames' is not permitted"}}),
}


@pytest.mark.parametrize("name", UNNAMED)
def test_where_no_keyword_is_named_all_optional_ones_are_left_out(serve: Serve, name: str) -> None:
    def script(_: str, body: dict[str, Any]) -> Response:
        return UNNAMED[name] if "maxLength" in str(body) else (200, {}, completion(TOKENS, ALTERNATIVES))

    server = serve(script)
    backend = connect(server)
    reply = single_reply(backend.complete([build_request()]))
    single_reply(backend.complete([build_request()]))
    assert len(server.chats) == 3
    left = set(keywords(sent_schema(server.chats[1]))) | set(
        server.chats[1]["response_format"]["json_schema"]
    )
    assert not left & {*LIMITS, "additionalProperties", "strict"}
    assert reply.notes and "maxLength" in reply.notes[0]
    assert reply.probabilities["score"]["4"] == pytest.approx(0.5)


KINDS = {
    "Azure": "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
    "Groq": "This model does not support response format `json_schema`. See the supported models.",
    "DeepSeek": "This response_format type is unavailable now",
    "OpenAI": "Invalid value: 'json_schema'. Supported values are: 'json_object' and 'text'.",
    "proxy": "response_format.type must be one of 'text', 'json_object'",
}


@pytest.mark.parametrize("takes", ["json_object", "text"])
@pytest.mark.parametrize("name", KINDS)
def test_a_server_without_schemas_is_asked_for_an_object_and_then_for_text(
    serve: Serve, name: str, takes: str
) -> None:
    def script(_: str, body: dict[str, Any]) -> Response:
        kind = body.get("response_format", {}).get("type", "text")
        if kind == "json_schema":
            return 400, {}, {"error": {"message": KINDS[name]}}
        if kind != takes and kind != "text":
            return 400, {}, {"error": "'response_format.type' must be 'json_schema' or 'text'"}
        return 200, {}, completion(["```json\n", *TOKENS, "\n```"], None)

    server = serve(script)
    backend = connect(server)
    reply = single_reply(backend.complete([build_request()]))
    assert FORM.parse(reply.text)["score"] == 4
    assert reply.notes[0].startswith("the server refused a JSON schema")
    count = len(server.chats)
    assert count <= (3 if takes == "json_object" else 4)
    single_reply(backend.complete([build_request()]))
    assert len(server.chats) == count + 1
    image, question, schema = server.chats[-1]["messages"][0]["content"]
    assert question == {"type": "text", "text": "Judge the picture."} and image["type"] == "image_url"
    assert json.dumps(FORM.json_schema()) in schema["text"] and "JSON" in schema["text"]


OTHER_ERRORS = [
    "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
    "The maximum number of images is 5. Please reduce the required items.",
    "Invalid image: the minimum size is 28 x 28",
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "json_validate_failed: Generated JSON does not match the expected schema. See 'failed_generation'.",
    "context_length_exceeded: the schema and the messages have 9000 tokens",
    "Invalid 'messages[0].content[1].image_url.url': expected a base64 image",
    "You exceeded your current quota",
]


@pytest.mark.parametrize("message", OTHER_ERRORS)
def test_other_errors_of_status_400_are_not_sent_again(serve: Serve, message: str) -> None:
    server = serve(lambda *_: (400, {}, {"error": {"message": message}}))
    (reply,) = connect(server).complete([build_request()])
    assert isinstance(reply, ReplyError) and message[:40] in str(reply)
    assert len(server.chats) == 1


def test_a_request_that_an_error_repeats_is_not_what_it_is_about(serve: Serve) -> None:
    """FastAPI repeats the value that it refuses, here the whole request with its schema."""

    def script(_: str, body: dict[str, Any]) -> Response:
        return 422, {}, {"detail": [{"loc": ["body"], "msg": "Value error, too many images", "input": body}]}

    server = serve(script)
    (reply,) = connect(server).complete([build_request()])
    assert isinstance(reply, ReplyError) and "too many images" in str(reply)
    assert len(server.chats) == 1


def test_a_server_that_refuses_everything_is_asked_four_times_and_not_for_ever(serve: Serve) -> None:
    server = serve(lambda *_: (400, {}, {"error": {"message": "bad schema in response_format"}}))
    (reply,) = connect(server).complete([build_request()])
    assert isinstance(reply, ReplyError) and "bad schema" in str(reply)
    formats = [chat.get("response_format", {}).get("type") for chat in server.chats]
    assert formats == ["json_schema", "json_schema", "json_object", None]


def test_a_number_may_have_no_enum_where_texts_may(serve: Serve) -> None:
    """Gemini takes `enum` for texts only."""
    message = "response_schema.properties[score].enum: only allowed for STRING type"

    def script(_: str, body: dict[str, Any]) -> Response:
        score = sent_schema(body)["properties"]["score"]
        return (400, {}, [{"error": {"message": message}}]) if "enum" in score else (200, {}, ANSWER)

    server = serve(script)
    verdict = Judge(backend=connect(server))(plain_image(), prompt="a red circle", elements=["red circle"])
    assert verdict.score == 4.0
    assert sent_schema(server.chats[-1])["properties"]["degradation"]["enum"]


def test_requests_at_the_same_time_find_out_together(serve: Serve) -> None:
    server = serve(refusing(LIMITS, WORDINGS["OpenAI"], completion(TOKENS, ALTERNATIVES)))
    backend = connect(server, concurrency=8)
    for reply in backend.complete([build_request(str(n)) for n in range(24)]):
        assert not isinstance(reply, ReplyError)
    assert len(server.chats) <= 24 + 8
    assert single_reply(backend.complete([build_request()])).notes == (
        "the server refused maxLength in the JSON schema: the reply was checked here",
    )


def test_a_server_that_takes_the_schema_gets_it_whole_and_makes_no_note(serve: Serve) -> None:
    server = serve()
    assert single_reply(connect(server).complete([build_request()])).notes == ()
    assert ResponseFormat().fields(FORM)["response_format"] == server.chats[0]["response_format"]
    assert server.chats[0]["response_format"]["json_schema"]["strict"] is True


def test_members_with_the_name_of_a_keyword_stay_in_the_schema() -> None:
    form = RUBRIC.form(["minimum", "strict"])
    refused = ResponseFormat(refused=("minimum", "strict"))
    schema = refused.fields(form)["response_format"]["json_schema"]["schema"]
    assert set(schema["properties"]["elements"]["properties"]) == {"minimum", "strict"}
    assert "minimum" not in schema["properties"]["defects"]["items"]["properties"]["box"]["items"]
