"""The calls of the client: what each sends, and how it reads the response.

Each call is written once, as a generator that yields requests and is sent responses. `Client` drives it by
a loop that blocks or by one that awaits. The generators' docstrings are those of the client's methods.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import httpx

from judge.elements.element_list import MAX_LISTED_ELEMENTS
from judge.errors import InputError
from judge.pipeline.validation import (
    check_how,
    check_max_elements,
    check_out_of_domain,
    replace_surrogates,
)
from judge.remote.payloads import form_fields, request_body, row_or_verdict, split_media
from judge.remote.responses import parse_json, parse_model, parse_verdicts
from judge.types import Comparison, ComparisonOption, Depth, OutOfDomain, Sample, Verdict

T = TypeVar("T")


@dataclass(frozen=True)
class HttpRequest:
    """One request to the gateway."""

    method: str
    path: str
    body: Mapping[str, Any] = field(default_factory=dict)
    """Keyword arguments of `httpx.Client.build_request`."""


Call = Generator[HttpRequest, httpx.Response, T]
"""Yields requests, is sent their successful responses, and returns the result."""


def verdict_call(
    image: Any = None,
    *,
    video: Any = None,
    prompt: str = "",
    negative_prompt: str = "",
    elements: Sequence[str] | str | None = None,
    id: str = "",
    reference: Any = None,
    rubric: str = "default",
    depth: Depth = "verdict",
    heat: bool = False,
    looks: int = 0,
    max_elements: int = MAX_LISTED_ELEMENTS,
    out_of_domain: OutOfDomain = "abstain",
) -> Call[Verdict]:
    """Judge one image or one video.

    Args:
        image: in any form that `Judge` takes, or an https URL. A server fetches URLs only from hosts that it
            allows.
        video: instead of an image: a path, encoded bytes, a `data:` URL or an https URL.
        prompt: the text that the image was made from.
        negative_prompt: what must not be shown.
        elements: statements to check; default: taken from the prompt. A name ("rules", "grammar", "words",
            "model") says how they are taken from it.
        id: of the sample; kept in the verdict.
        reference: the image to compare with, for rubrics that use one.
        rubric: name of a rubric of the server.
        depth: "verdict" for everything, "score" for numbers only.
        heat: add heat maps of score and defects.
        looks: zoom-ins (closer looks) at most; the server has a limit of its own.
        max_elements: elements taken from the prompt, at most.
        out_of_domain: "score" to be given numbers, marked, for what the server's judge would abstain on.

    Raises:
        InputError: the image or another argument is unusable, or the server rejects it.
        BackendError: the server cannot be reached, is full (`OverloadedError`), down (`EngineDownError`) or
            too slow (`DeadlineError`); the three are in `judge.errors`.
    """
    files, fields = split_media({"image": image, "video": video, "reference": reference})
    fields |= form_fields(prompt, negative_prompt, elements, rubric, depth, max_elements)
    fields |= {"id": replace_surrogates(id)}
    fields |= ({"heat": True} if heat else {}) | ({"looks": looks} if looks else {})
    fields |= _domain_field(out_of_domain)
    response = yield HttpRequest("POST", "/v1/verdicts", request_body(files, fields))
    verdict = parse_model(response, Verdict)
    verdict._image = partial(_still_frame, files["video"]) if "video" in files else files.get("image")
    return verdict


def compare_call(
    a: Any,
    b: Any,
    *,
    prompt: str = "",
    negative_prompt: str = "",
    elements: Sequence[str] | str | None = None,
    reference: Any = None,
    rubric: str = "default",
    depth: Depth = "verdict",
    looks: int = 0,
    how: ComparisonOption = "pointwise",
    max_elements: int = MAX_LISTED_ELEMENTS,
    out_of_domain: OutOfDomain = "abstain",
) -> Call[Comparison]:
    """Judge two images of one prompt, and say which is better.

    Args:
        a: the first image, as in `verdict`.
        b: the second image.
        prompt: the text that both images were made from.
        negative_prompt: what must not be shown.
        elements: statements to check; default: taken from the prompt. A name ("rules", "grammar", "words",
            "model") says how they are taken from it.
        reference: the image to compare with, for rubrics that use one.
        rubric: name of a rubric of the server.
        depth: "verdict" for everything, "score" for numbers only.
        looks: zoom-ins (closer looks) per image at most.
        how: "pointwise", "pairwise" or "auto", as in `Judge.compare`; "auto" depends on the server's model.
        max_elements: elements taken from the prompt, at most.
        out_of_domain: as in `verdict`.

    Raises:
        InputError: an image (field `a` or `b`) or another argument is unusable, or the server rejects it.
        BackendError: the server cannot be reached, is full (`OverloadedError`), down (`EngineDownError`) or
            too slow (`DeadlineError`).
    """
    files, fields = split_media({"a": a, "b": b, "reference": reference})
    fields |= form_fields(prompt, negative_prompt, elements, rubric, depth, max_elements)
    fields |= {"looks": looks} if looks else {}
    fields["how"] = check_how(how)
    fields |= _domain_field(out_of_domain)
    response = yield HttpRequest("POST", "/v1/compare", request_body(files, fields))
    comparison = parse_model(response, Comparison)
    comparison.a._image, comparison.b._image = files.get("a"), files.get("b")
    return comparison


def scores_call(
    samples: Iterable[Sample | Mapping[str, Any]],
    *,
    rubric: str = "default",
    batch: int = 64,
    max_elements: int = MAX_LISTED_ELEMENTS,
    out_of_domain: OutOfDomain = "abstain",
) -> Call[list[Verdict]]:
    """Score many images at depth "score". Returns one verdict per sample, in order.

    A sample that is unusable gets an unscored verdict with the reason.

    Args:
        samples: samples or mappings of their fields.
        rubric: name of a rubric of the server.
        batch: samples per request, 1 or more.
        max_elements: elements taken from a prompt, at most.
        out_of_domain: as in `verdict`.

    Raises:
        InputError: `batch` is unusable, or the server rejects the request.
        BackendError: the server cannot be reached, is full (`OverloadedError`), down (`EngineDownError`) or
            too slow (`DeadlineError`).
    """
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise InputError("batch", batch, "1 or more", "64 is the usual value")
    options: dict[str, Any] = {"rubric": rubric, **_domain_field(out_of_domain)}
    if check_max_elements(max_elements) != MAX_LISTED_ELEMENTS:
        options["max_elements"] = max_elements
    verdicts: list[Verdict] = []
    remaining = iter(samples)
    while group := list(islice(remaining, batch)):
        prepared = [row_or_verdict(sample, rubric) for sample in group]
        rows = [row for row in prepared if isinstance(row, dict)]
        judged: list[Verdict] = []
        if rows:
            response = yield HttpRequest("POST", "/v1/scores", {"json": {"rows": rows, **options}})
            judged = parse_verdicts(response, len(rows))
        verdicts += [row if isinstance(row, Verdict) else judged.pop(0) for row in prepared]
    return verdicts


def rubrics_call() -> Call[list[dict[str, Any]]]:
    """List the server's rubrics: name, hash, dimensions, questions and defect kinds of each.

    Raises:
        InputError: the server rejects the request, for example without a key.
        BackendError: the server cannot be reached, is full (`OverloadedError`), down (`EngineDownError`) or
            too slow (`DeadlineError`).
    """
    response = yield HttpRequest("GET", "/v1/rubrics")
    rubrics: list[dict[str, Any]] = parse_json(response)["rubrics"]
    return rubrics


def _domain_field(out_of_domain: OutOfDomain) -> dict[str, Any]:
    """Return the field of a request; none for the default, which older servers have too."""
    return {} if check_out_of_domain(out_of_domain) == "abstain" else {"out_of_domain": out_of_domain}


def _still_frame(video: bytes) -> Any:
    """Decode the frame that represents a video. Called only when a verdict is drawn on it."""
    from judge.media.video import load_video

    return load_video(video).still
