"""Requests and responses of the routes as models, with examples for the OpenAPI document.

The class names and field names are part of that document. `judge.serve.http.request_parsing` validates bodies
against these models.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic.json_schema import models_json_schema

from judge.elements.element_list import MAX_LISTED_ELEMENTS
from judge.elements.splitters.registry import SPLITTER_NAMES
from judge.elements.text import MAX_ELEMENT_CHARS
from judge.pipeline.validation import MAX_ELEMENTS, MAX_PROMPT_CHARS
from judge.types import ComparisonOption, Depth, OutOfDomain, SampleId, StrictModel, Verdict


def _media(description: str, is_optional: bool = True) -> WithJsonSchema:
    """Return the schema of a field that holds an image or a video."""
    pattern = r"^([dD][aA][tT][aA]:|[hH][tT][tT][pP][sS]?://)"
    return WithJsonSchema(
        {
            "type": ["string", "null"] if is_optional else "string",
            "format": "uri",
            "pattern": pattern,
            "description": description,
        }
    )


def _whole(value: Any) -> Any:
    """Return 2.0 as 2: JSON does not tell them apart."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_IMAGE = "A `data:image/...;base64,...` URL, or an https URL of a host that the server allows."
Image = Annotated[Any, _media(_IMAGE)]
NeededImage = Annotated[Any, _media(_IMAGE, is_optional=False)]
Video = Annotated[
    Any, _media("Instead of an image: a `data:video/...;base64,...` URL, or an https URL as above.")
]
Reference = Annotated[Any, _media("The image to compare with, for rubrics that use one.")]
_STATEMENT = {
    "type": "string",
    "minLength": 1,
    "maxLength": 2 * MAX_ELEMENT_CHARS,
    # Not blank, and no control characters.
    "pattern": r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$",
}
_STATEMENTS = {"type": "array", "items": _STATEMENT, "maxItems": MAX_ELEMENTS, "uniqueItems": True}
_ELEMENTS = (
    "Statements to check, in order. Default: taken from the prompt. A name (rules, grammar, words, model, "
    "auto) says how they are taken from it."
)
Elements = Annotated[
    list[str] | str | None,
    WithJsonSchema(
        {
            "anyOf": [_STATEMENTS, {"type": "string", "enum": list(SPLITTER_NAMES)}, {"type": "null"}],
            "description": _ELEMENTS,
        }
    ),
]
Prompt = Annotated[str, Field(description="The text the image was generated from.")]
NegativePrompt = Annotated[
    str, Field(description="What the image must not show: the negative prompt of the generator.")
]
_TEXT_LIMITS = {"prompt": {"maxLength": MAX_PROMPT_CHARS}, "negative_prompt": {"maxLength": MAX_PROMPT_CHARS}}
"""Limits that `judge.pipeline.validation` checks, with a clearer error."""
MaxElements = Annotated[
    int,
    Field(
        ge=1,
        le=MAX_ELEMENTS,
        description="Elements taken from a prompt, at most; the most specific stay, a note counts others.",
    ),
    BeforeValidator(_whole),
]
RubricName = Annotated[str, Field(description="A name listed by GET /v1/rubrics.")]
Looks = Annotated[
    int,
    Field(
        ge=0,
        description="Zoom-ins (closer looks), at most, where the answer is in doubt; the server has a limit.",
    ),
    BeforeValidator(_whole),
]
OutOfDomainOption = Annotated[
    OutOfDomain,
    Field(
        description="What is done with a sample outside what the judge was trained or calibrated for: "
        "abstain gives an unscored verdict with the reason, score gives numbers, marked out_of_domain."
    ),
]
_EXAMPLE_IMAGE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"  # noqa: E501


COMPONENTS = "#/components/schemas/"


class VerdictRequest(StrictModel):
    """One image or one video to judge."""

    image: Image = None
    video: Video = None
    prompt: Prompt = ""
    negative_prompt: NegativePrompt = ""
    elements: Elements = None
    reference: Reference = None
    rubric: RubricName = "default"
    depth: Depth = "verdict"
    id: SampleId = ""
    max_elements: MaxElements = MAX_LISTED_ELEMENTS
    heat: Annotated[
        bool, Field(description="Add heat maps of score and defects, if the backend has gradients.")
    ] = False
    looks: Looks = 0
    out_of_domain: OutOfDomainOption = "abstain"


_HOW_DESCRIPTION = (
    "pointwise compares the scores of two verdicts; pairwise also shows a general model both images, once in "
    "each order; auto is pairwise for general models."
)


class CompareRequest(StrictModel):
    """Two images of one prompt."""

    a: NeededImage
    b: NeededImage
    prompt: Prompt = ""
    negative_prompt: NegativePrompt = ""
    elements: Elements = None
    reference: Reference = None
    rubric: RubricName = "default"
    depth: Depth = "verdict"
    looks: Looks = 0
    max_elements: MaxElements = MAX_LISTED_ELEMENTS
    how: Annotated[ComparisonOption, Field(description=_HOW_DESCRIPTION)] = "pointwise"
    out_of_domain: OutOfDomainOption = "abstain"


class Row(StrictModel):
    """One image or one video of a batch."""

    image: Image = None
    video: Video = None
    prompt: Prompt = ""
    negative_prompt: NegativePrompt = ""
    elements: Elements = None
    reference: Reference = None
    id: SampleId = ""


class ScoresRequest(StrictModel):
    """Many images to score, for example as rewards. A row that is not usable is unscored, with a reason."""

    rows: Annotated[list[Any], WithJsonSchema({"type": "array", "items": {"$ref": f"{COMPONENTS}Row"}})]
    rubric: RubricName = "default"
    max_elements: MaxElements = MAX_LISTED_ELEMENTS
    out_of_domain: OutOfDomainOption = "abstain"


class Scores(StrictModel):
    """One entry per row, in order."""

    scores: list[float | None]
    """1 (worst) to 5 (best); null where the row is unscored."""
    verdicts: list[Verdict]


class Rubrics(StrictModel):
    """The rubrics that requests may name."""

    rubrics: list[dict[str, Any]]


class Fault(StrictModel):
    """What was wrong, and what to do."""

    field: str
    value: str
    allowed: str
    mend: str
    message: str
    request_id: str


class Error(StrictModel):
    """The body of every error response."""

    error: Fault


class State(StrictModel):
    """Whether the gateway is ready to judge."""

    state: str
    reason: str = ""


EXAMPLES: dict[str, dict[str, Any]] = {
    "VerdictRequest": {
        "data URL": {"value": {"image": _EXAMPLE_IMAGE, "prompt": "a red circle and two cats"}},
        "statements of your own, numbers only": {
            "value": {
                "image": _EXAMPLE_IMAGE,
                "prompt": "a red circle",
                "elements": ["red circle", "white background"],
                "depth": "score",
                "id": "1",
            }
        },
    },
    "CompareRequest": {
        "data URLs": {"value": {"a": _EXAMPLE_IMAGE, "b": _EXAMPLE_IMAGE, "prompt": "a red circle"}}
    },
    "ScoresRequest": {
        "two rows": {
            "value": {
                "rows": [
                    {"id": "1", "image": _EXAMPLE_IMAGE, "prompt": "a red circle"},
                    {"id": "2", "image": _EXAMPLE_IMAGE, "prompt": "two cats"},
                ]
            }
        }
    },
}


REQUESTS: dict[type[StrictModel], tuple[str, ...]] = {
    VerdictRequest: ("image", "video", "reference"),
    ScoresRequest: (),
    CompareRequest: ("a", "b", "reference"),
}
"""Model of the body of each route -> its fields that may be uploaded files."""


_REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "A name for this request, which the answer and the log repeat: 1 to 64 letters, digits, "
    "'.', '_' or '-'. Another one is replaced.",
    "schema": {"type": "string"},
}


def request_body(model: type[StrictModel]) -> dict[str, Any]:
    """Return what a route takes, for OpenAPI: JSON, a form if the route takes files, and an id.

    Args:
        model: model of the body, one of `REQUESTS`.
    """
    schema = {"$ref": COMPONENTS + model.__name__}
    content: dict[str, Any] = {"application/json": {"schema": schema, "examples": EXAMPLES[model.__name__]}}
    if REQUESTS[model]:
        content["multipart/form-data"] = {"schema": {"$ref": COMPONENTS + form_name(model)}}
    return {"requestBody": {"required": True, "content": content}, "parameters": [_REQUEST_ID]}


def request_schemas(rubrics: Sequence[str], max_looks: int, max_rows: int) -> dict[str, Any]:
    """Return the schemas of all requests for OpenAPI, with what one server takes, by name.

    Args:
        rubrics: names of its rubrics.
        max_looks: limit of zoom-ins that a request may ask for.
        max_rows: largest number of rows of a request.
    """
    models = [(model, "validation") for model in (*REQUESTS, Row)]
    _, generated = models_json_schema(models, ref_template=COMPONENTS + "{model}")  # type: ignore[arg-type]
    schemas: dict[str, Any] = generated["$defs"]
    own = {
        **_TEXT_LIMITS,
        "rubric": {"enum": list(rubrics)},
        "looks": {"maximum": max_looks},
        "rows": {"maxItems": max_rows},
    }
    for schema in schemas.values():
        for name, limits in own.items():
            if name in schema.get("properties", ()):
                schema["properties"][name] |= limits
    forms = {
        form_name(model): _form(schemas[model.__name__], files) for model, files in REQUESTS.items() if files
    }
    return schemas | forms


def form_name(model: type[StrictModel]) -> str:
    """Return the name of the schema of a body as a form."""
    return model.__name__.replace("Request", "Form")


def _form(schema: dict[str, Any], files: tuple[str, ...]) -> dict[str, Any]:
    """Return the schema of a form with the fields of a body: files instead of URLs, and nothing is null."""
    fields = {name: _without_null(field) for name, field in schema["properties"].items()}
    for name in files:
        fields[name] = {"type": "string", "format": "binary", "description": fields[name]["description"]}
        fields[name]["description"] = fields[name]["description"].replace("A `data:", "A file, a `data:", 1)
    return {**schema, "title": schema["title"].replace("Request", "Form"), "properties": fields}


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    field = {key: value for key, value in field.items() if key != "default" or value is not None}
    if "anyOf" in field:
        field["anyOf"] = [one for one in field["anyOf"] if one.get("type") != "null"]
    return field
