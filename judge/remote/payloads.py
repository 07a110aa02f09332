"""Request bodies of the client: files, form fields and rows."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from judge.elements.element_list import MAX_LISTED_ELEMENTS
from judge.errors import InputError
from judge.media.image import read_image_bytes
from judge.pipeline.validation import (
    check_elements,
    check_max_elements,
    check_prompt,
    check_sample,
    get_sample_id,
    is_address,
    replace_surrogates,
    select_media_fields,
)
from judge.runtime.version import __version__
from judge.types import Depth, Provenance, Sample, Verdict


def split_media(media: Mapping[str, Any]) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Read images and videos for a request.

    Args:
        media: field name -> image or video, in any form that `Sample` takes, or its URL.

    Returns:
        The files to upload, and the form fields of the media that are given by URL.

    Raises:
        InputError: an image or video cannot be read.
    """
    media = select_media_fields(media)
    links = {name: source for name, source in media.items() if is_address(source)}
    files = {name: _read_bytes(source, name) for name, source in media.items() if name not in links}
    return files, links


def form_fields(
    prompt: str,
    negative_prompt: str,
    elements: Sequence[str] | str | None,
    rubric: str,
    depth: Depth,
    max_elements: int,
) -> dict[str, Any]:
    """Check prompts and elements and return the fields that all requests about one sample share.

    Raises:
        InputError: a prompt, an element or the limit is unusable.
    """
    sample = check_sample({"prompt": prompt, "negative_prompt": negative_prompt, "elements": elements})
    _check_texts(sample)
    optional: dict[str, Any] = {} if elements is None else {"elements": sample.elements}
    if negative_prompt:
        optional["negative_prompt"] = sample.negative_prompt
    if check_max_elements(max_elements) != MAX_LISTED_ELEMENTS:
        optional["max_elements"] = max_elements
    return {"prompt": sample.prompt, "rubric": rubric, "depth": depth, **optional}


def _check_texts(sample: Sample) -> None:
    check_prompt(sample.prompt, False, [])
    check_prompt(sample.negative_prompt, False, [], "negative_prompt")
    check_elements(sample.elements)


def request_body(files: Mapping[str, bytes], fields: dict[str, Any]) -> dict[str, Any]:
    """Return the body as keyword arguments of httpx: a multipart form if there are files, else JSON."""
    if not files:
        return {"json": fields}
    elements = {"elements": json.dumps(fields["elements"])} if "elements" in fields else {}
    return {"files": files, "data": {**fields, **elements}}


def row_or_verdict(sample: Sample | Mapping[str, Any], rubric: str) -> dict[str, Any] | Verdict:
    """Return a sample as a row of `POST /v1/scores`, or an unscored verdict if it is unusable."""
    try:
        checked = check_sample(sample)
        _check_texts(checked)
        row: dict[str, Any] = {"id": replace_surrogates(checked.id), "prompt": checked.prompt}
        row["elements"] = checked.elements
        row |= {"negative_prompt": checked.negative_prompt} if checked.negative_prompt else {}
        media = {"image": checked.image, "video": checked.video, "reference": checked.reference}
        row |= {name: _to_url(source, name) for name, source in select_media_fields(media).items()}
    except InputError as error:
        return unscored(str(error), id=get_sample_id(sample), rubric=rubric, depth="score")
    return row


def unscored(reason: str, *, id: str = "", rubric: str, rubric_hash: str = "", depth: Depth) -> Verdict:
    """Return a verdict without numbers, for a sample that could not be sent.

    Args:
        reason: why.
        id: of the sample.
        rubric: name of the rubric.
        rubric_hash: hash of the rubric, where it is known.
        depth: at which the sample was to be judged.
    """
    provenance = Provenance(
        model="",
        backend="gateway",
        rubric=rubric,
        rubric_hash=rubric_hash,
        depth=depth,
        version=__version__,
        milliseconds=0.0,
    )
    return Verdict(
        id=replace_surrogates(id), status="unscored", reason=replace_surrogates(reason), provenance=provenance
    )


def _read_bytes(source: Any, field: str) -> bytes:
    """Read an image or a video as an encoded file."""
    if field == "video":
        from judge.media.decoding import read_video_bytes  # loads OpenCV

        return read_video_bytes(source, field)
    return read_image_bytes(source, field=field)


def _to_url(source: Any, field: str) -> str:
    """Return an image or video as a URL: its own, or a `data:` URL of its bytes."""
    if is_address(source):
        return str(source)
    kind = "video" if field == "video" else "image"
    return f"data:{kind}/*;base64,{base64.b64encode(_read_bytes(source, field)).decode()}"
