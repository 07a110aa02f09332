"""Flow-GRPO: a reward as one of its scoring functions, or behind its remote protocol.

Function: `fn(images, prompts, metadata) -> (scores, details)`; images are (N, 3, H, W) floats in 0..1 or
(N, H, W, 3) uint8.

Server: `python -m judge.reward.flow_grpo --port 18085` answers `POST /` with JSON
`{"images": [base64 of a file, ...], "prompts": [...]}` by `{"outputs": [...]}`. Flow-GRPO's own clients
post the same dict as a pickle, with images as bytes. Unpickling data from a stranger would run the
stranger's program. Pickles are therefore accepted only with `--pickle` and only from this machine, and are
read by `judge.runtime.safe_pickle`, which runs nothing.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import logging
import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from judge.errors import InputError
from judge.media.tensors import unwrap_image
from judge.pipeline.validation import replace_surrogates
from judge.reward.neutral import NeutralScores
from judge.reward.result import RewardLike, mean_metrics
from judge.reward.rows import read_prompts
from judge.reward.servers import LOOPBACK, PostRequest, build_app, run_server
from judge.runtime.safe_pickle import parse_pickle

log = logging.getLogger("judge.reward")

ScoringFunction = Callable[[Any, Iterable[Any], Any], tuple[list[float], dict[str, Any]]]


def reward_fn(reward: RewardLike, *, unscored: float | None = None) -> ScoringFunction:
    """Return a scoring function for `flow_grpo.rewards`.

    The protocol has no missing scores. An image without a score gets the mean of its prompt's other images
    (see `judge.reward.neutral`), and `details["unscored"]` names it with the reason. A call in which nothing
    was scored raises `UnscoredBatchError`; the server answers it with status 503.

    Args:
        reward: scores the images.
        unscored: number for images without a score instead, also where nothing was scored.

    Returns:
        `fn(images, prompts, metadata) -> (scores, details)`; `details["parts"]` holds the means of the parts.
    """
    neutral = NeutralScores(unscored)

    def scores(
        images: Any, prompts: Iterable[Any], metadata: Any = None
    ) -> tuple[list[float], dict[str, Any]]:
        texts = read_prompts(prompts)
        rows = None if metadata is None or isinstance(metadata, Mapping | str) else list(metadata)
        if metadata is not None and (rows is None or len(rows) != len(texts)):
            if metadata:
                log.warning("metadata: not used, as it is not a list of %d, one for each prompt", len(texts))
            rows = None
        results = reward(prompts=texts, images=images, metadata=rows)
        reasons = {n: result.reason for n, result in enumerate(results) if result.score is None}
        return neutral(texts, results), {"parts": mean_metrics(results), "unscored": reasons}

    return scores


def app(reward: RewardLike, *, pickled: bool = False, unscored: float | None = None) -> Any:
    """Build the server as an ASGI application.

    Args:
        reward: scores the images.
        pickled: also accept pickles, from this machine only.
        unscored: as in `reward_fn`.
    """
    score = reward_fn(reward, unscored=unscored)
    rubric = getattr(reward, "rubric", None)
    needs_prompts = rubric is None or rubric.needs_prompt

    def answer(request: PostRequest) -> tuple[bytes, str]:
        is_json = request.media_type == "application/json"
        if not is_json and not pickled:
            mend = "start the server with --pickle for pickles"
            raise InputError("body", request.media_type, "application/json", mend)
        if not is_json and request.peer not in LOOPBACK:
            raise InputError("peer", request.peer, "this machine, for pickles", "send JSON from elsewhere")
        if is_json:
            body = _parse_json(request.body)
        else:
            body = parse_pickle(request.body, "<request>", field="body", allow_text=True)
        images, prompts, metadata = _parse_fields(body, needs_prompts)
        outputs, _ = score(images, prompts, metadata)
        if is_json:
            return json.dumps({"outputs": outputs}).encode(), "application/json"
        return pickle.dumps({"outputs": outputs}), "application/octet-stream"

    return build_app("/", answer)


def _parse_json(body: bytes) -> Any:
    """Parse a body as JSON. Raises `InputError`."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError("body", f"{len(body)} bytes", "JSON", f"correct it: {error}") from None


def _parse_fields(body: Any, needs_prompts: bool) -> tuple[list[Any], list[Any], list[Any] | None]:
    """Return images, prompts and metadata of a request. Raises `InputError`.

    Some of Flow-GRPO's clients send no prompts: enough for a rubric that needs none.
    """
    if isinstance(body, Mapping) and "images" in body and not needs_prompts:
        body = {"prompts": [""] * len(body["images"]), **body}
    if not isinstance(body, Mapping) or "images" not in body or "prompts" not in body:
        raise InputError("body", type(body).__name__, "an object with images and prompts", "send both")
    images = [_decode_image(image) for image in body["images"]]
    prompts = [replace_surrogates(p) if isinstance(p, str) else p for p in body["prompts"]]
    if len(images) != len(prompts):
        allowed = f"{len(images)}, one for each image"
        raise InputError("prompts", len(prompts), allowed, "pair them one to one")
    metadata = body.get("metadata", body.get("meta_datas"))
    return images, prompts, None if metadata is None else list(metadata)


def _decode_image(image: Any) -> Any:
    """Return bytes and arrays as they are, and text decoded from base64.

    Text is never taken as a path: that would read files of this machine. Text that is not base64 gives None.
    """
    image = unwrap_image({"bytes": image.get("bytes")} if isinstance(image, Mapping) else image)
    if not isinstance(image, str):
        return None if isinstance(image, Mapping) else image
    try:
        return base64.b64decode(image.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        return None


def main() -> None:
    """Run the server from the command line."""
    from judge import Judge
    from judge.reward.core import Reward

    parser = argparse.ArgumentParser(description="Scores images for Flow-GRPO.")
    parser.add_argument("--model", default="embedded", help="as in Judge(...)")
    parser.add_argument("--adapter")
    parser.add_argument("--rubric", default="default")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18085)
    parser.add_argument("--unscored", type=float, help="number for images without a score")
    parser.add_argument("--pickle", action="store_true", help="also accept pickles, from this machine only")
    options = parser.parse_args()
    reward = Reward(Judge(options.model, adapter=options.adapter, rubric=options.rubric))
    server = app(reward, pickled=options.pickle, unscored=options.unscored)
    run_server(server, options.host, options.port, loopback_only=options.pickle)


if __name__ == "__main__":
    main()
