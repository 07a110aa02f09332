"""What the routes take and give, as schemas with examples; `judge.serve.http.request_parsing` reads it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from judge.types import Depth, How, Model, Verdict

_PICTURE = {
    "type": "string",
    "description": "A `data:image/...;base64,...` URL; or an https URL of a host that the server allows.",
}
Picture = Annotated[Any, WithJsonSchema(_PICTURE)]
_VIDEO = {
    "type": "string",
    "description": "In place of a picture: a `data:video/...;base64,...` URL; or an https URL as above.",
}
Video = Annotated[Any, WithJsonSchema(_VIDEO)]
_REFERENCE = {**_PICTURE, "description": "What the picture is compared with, for rubrics that use it."}
Reference = Annotated[Any, WithJsonSchema(_REFERENCE)]
Elements = Annotated[
    list[str] | None, Field(description="Statements to check, in order. Default: taken from the prompt.")
]
Prompt = Annotated[str, Field(description="The text the picture was made from.")]
RubricName = Annotated[str, Field(description="A name that GET /v1/rubrics lists.")]
_DOT = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"  # noqa: E501


Looks = Annotated[
    int,
    Field(ge=0, description="Closer looks at most, where the first leaves doubt; the server has a limit."),
]


class VerdictRequest(Model):
    """One picture to judge, or one video."""

    image: Picture = None
    video: Video = None
    prompt: Prompt = ""
    elements: Elements = None
    reference: Reference = None
    rubric: RubricName = "default"
    depth: Depth = "verdict"
    id: str = ""
    heat: Annotated[
        bool, Field(description="Add heat maps of score and defects; backends with gradients can.")
    ] = False
    looks: Looks = 0


_HOW = (
    "pointwise compares the scores of two verdicts; pairwise also shows a general model both pictures, once "
    "in each order; auto is pairwise for general models."
)


class CompareRequest(Model):
    """Two pictures of one prompt."""

    a: Picture
    b: Picture
    prompt: Prompt = ""
    elements: Elements = None
    reference: Reference = None
    rubric: RubricName = "default"
    depth: Depth = "verdict"
    looks: Looks = 0
    how: Annotated[How, Field(description=_HOW)] = "pointwise"


class Row(Model):
    """One picture of many, or one video."""

    image: Picture = None
    video: Video = None
    prompt: Prompt = ""
    elements: Elements = None
    reference: Reference = None
    id: str = ""


class ScoresRequest(Model):
    """Many pictures to score, as rewards need it. A row that is unusable is unscored with a reason."""

    rows: Annotated[list[Any], WithJsonSchema({"type": "array", "items": Row.model_json_schema()})]
    rubric: RubricName = "default"


class Scores(Model):
    """One entry per row, in order."""

    scores: list[float | None]
    """1 (worst) to 5 (best); null where the row is unscored."""
    verdicts: list[Verdict]


class Rubrics(Model):
    rubrics: list[dict[str, Any]]


class Fault(Model):
    """What was wrong, and how to mend it."""

    field: str
    value: str
    allowed: str
    mend: str
    message: str
    request_id: str


class Error(Model):
    error: Fault


class State(Model):
    """Whether the gateway can answer now."""

    state: str
    reason: str = ""


EXAMPLES: dict[str, dict[str, Any]] = {
    "VerdictRequest": {
        "data URL": {"value": {"image": _DOT, "prompt": "a red circle and two cats"}},
        "statements of your own, numbers only": {
            "value": {
                "image": _DOT,
                "prompt": "a red circle",
                "elements": ["red circle", "white background"],
                "depth": "score",
                "id": "1",
            }
        },
    },
    "CompareRequest": {"data URLs": {"value": {"a": _DOT, "b": _DOT, "prompt": "a red circle"}}},
    "ScoresRequest": {
        "two rows": {
            "value": {
                "rows": [
                    {"id": "1", "image": _DOT, "prompt": "a red circle"},
                    {"id": "2", "image": _DOT, "prompt": "two cats"},
                ]
            }
        }
    },
}


def body_of(model: type[Model], files: tuple[str, ...] = ()) -> dict[str, Any]:
    """The `requestBody` of a route for OpenAPI: JSON, and a form where the route takes files."""
    schema = model.model_json_schema()
    content: dict[str, Any] = {"application/json": {"schema": schema, "examples": EXAMPLES[model.__name__]}}
    if files:
        uploads = {name: {"type": "string", "format": "binary"} for name in files}
        form = {**schema, "properties": {**schema["properties"], **uploads}}
        content["multipart/form-data"] = {"schema": form}
    return {"requestBody": {"required": True, "content": content}}
