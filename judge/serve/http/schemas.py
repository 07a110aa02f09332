"""Requests and responses of the routes as models, with examples for the OpenAPI document.

The class names and field names are part of that document. `judge.serve.http.request_parsing` validates bodies
against these models.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from judge.elements.element_list import MAX_LISTED_ELEMENTS
from judge.pipeline.validation import MAX_ELEMENTS
from judge.types import ComparisonOption, Depth, OutOfDomain, SampleId, StrictModel, Verdict

_IMAGE_SCHEMA = {
    "type": "string",
    "description": "A `data:image/...;base64,...` URL, or an https URL of a host that the server allows.",
}
Image = Annotated[Any, WithJsonSchema(_IMAGE_SCHEMA)]
_VIDEO_SCHEMA = {
    "type": "string",
    "description": "Instead of an image: a `data:video/...;base64,...` URL, or an https URL as above.",
}
Video = Annotated[Any, WithJsonSchema(_VIDEO_SCHEMA)]
_REFERENCE_SCHEMA = {**_IMAGE_SCHEMA, "description": "The image to compare with, for rubrics that use one."}
Reference = Annotated[Any, WithJsonSchema(_REFERENCE_SCHEMA)]
Elements = Annotated[
    list[str] | str | None,
    Field(
        description="Statements to check, in order. Default: taken from the prompt. A name (rules, grammar, "
        "words, "
        "model, auto) says how they are taken from it."
    ),
]
Prompt = Annotated[str, Field(description="The text the image was generated from.")]
NegativePrompt = Annotated[
    str, Field(description="What the image must not show: the negative prompt of the generator.")
]
MaxElements = Annotated[
    int,
    Field(
        ge=1,
        le=MAX_ELEMENTS,
        description="Elements taken from a prompt, at most; the most specific stay, a note counts others.",
    ),
]
RubricName = Annotated[str, Field(description="A name listed by GET /v1/rubrics.")]
Looks = Annotated[
    int,
    Field(
        ge=0,
        description="Zoom-ins (closer looks), at most, where the answer is in doubt; the server has a limit.",
    ),
]
OutOfDomainOption = Annotated[
    OutOfDomain,
    Field(
        description="What is done with a sample outside what the judge was trained or calibrated for: "
        "abstain gives an unscored verdict with the reason, score gives numbers, marked out_of_domain."
    ),
]
_EXAMPLE_IMAGE = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"  # noqa: E501


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

    a: Image
    b: Image
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

    rows: Annotated[list[Any], WithJsonSchema({"type": "array", "items": Row.model_json_schema()})]
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


def request_body(model: type[StrictModel], files: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the `requestBody` of a route for OpenAPI: JSON, and a form if the route takes files.

    Args:
        model: model of the body.
        files: fields that may be uploaded files.
    """
    schema = model.model_json_schema()
    content: dict[str, Any] = {"application/json": {"schema": schema, "examples": EXAMPLES[model.__name__]}}
    if files:
        uploads = {name: {"type": "string", "format": "binary"} for name in files}
        form = {**schema, "properties": {**schema["properties"], **uploads}}
        content["multipart/form-data"] = {"schema": form}
    return {"requestBody": {"required": True, "content": content}}
