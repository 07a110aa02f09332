"""Flow-GRPO: a reward as one of its scoring functions, or behind its remote protocol.

Function: `fn(images, prompts, metadata) -> (scores, details)`, images being (N, 3, H, W) floats 0..1 or
(N, H, W, 3) uint8.

Server: `python -m judge.reward.flow_grpo --port 18085` answers `POST /` with JSON
`{"images": [base64 of a file, ...], "prompts": [...]}` by `{"outputs": [...]}`. Flow-GRPO's own clients post
the same dict as a pickle (images as bytes). Unpickling what a stranger sends is running his program, so
pickles are taken only with `--pickle`, only from this machine, and read by `judge.runtime.unpickle`, which runs
nothing.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import json
import pickle
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from judge.errors import InputError
from judge.pipeline.validation import printable
from judge.reward.neutral import Neutral
from judge.reward.servers import LOOPBACK, Posted, application, run
from judge.reward.trl import Scoring, metrics
from judge.runtime import unpickle

Score = Callable[[Any, Iterable[str], Any], tuple[list[float], dict[str, Any]]]


def reward_fn(reward: Scoring) -> Score:
    """A scoring function for `flow_grpo.rewards`.

    The protocol knows no missing score: a picture that was not scored gets the mean of its prompt's others
    (see `judge.reward.neutral`), and `details["unscored"]` names it with its reason.

    Returns:
        `fn(images, prompts, metadata) -> (scores, details)`; details hold the means of the parts.
    """
    neutral = Neutral()

    def scores(
        images: Any, prompts: Iterable[str], metadata: Any = None
    ) -> tuple[list[float], dict[str, Any]]:
        told = [str(prompt) for prompt in prompts]
        about = list(metadata) if metadata is not None and len(metadata) == len(told) else None
        results = reward(prompts=told, images=images, metadata=about)
        unscored = {n: result.reason for n, result in enumerate(results) if result.score is None}
        return neutral(told, results), {"parts": metrics(results), "unscored": unscored}

    return scores


def app(reward: Scoring, *, pickled: bool = False) -> Any:
    """The server as an ASGI application; `pickled` takes pickles from this machine, too."""
    score = reward_fn(reward)

    def answer(posted: Posted) -> tuple[bytes, str]:
        as_json = posted.kind == "application/json"
        if not as_json and not pickled:
            raise InputError(
                "body", posted.kind, "application/json", "start the server with --pickle for pickles"
            )
        if not as_json and posted.peer not in LOOPBACK:
            raise InputError("peer", posted.peer, "this machine, for pickles", "send JSON from elsewhere")
        body = (
            _parsed(posted.body)
            if as_json
            else unpickle.loads(posted.body, "<request>", field="body", text=True)
        )
        images, prompts, about = _fields(body)
        outputs, _ = score(images, prompts, about)
        if as_json:
            return json.dumps({"outputs": outputs}).encode(), "application/json"
        return pickle.dumps({"outputs": outputs}), "application/octet-stream"

    return application("/", answer)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError("body", f"{len(body)} bytes", "JSON", f"mend it: {error}") from None


def _fields(body: Any) -> tuple[list[Any], list[str], list[Mapping[str, Any]] | None]:
    if not isinstance(body, Mapping) or "images" not in body or "prompts" not in body:
        raise InputError("body", type(body).__name__, "an object with images and prompts", "send both")
    images = [_picture(image) for image in body["images"]]
    prompts = [printable(prompt) for prompt in body["prompts"]]
    if len(images) != len(prompts):
        raise InputError(
            "prompts", len(prompts), f"{len(images)}, one for each image", "pair them one to one"
        )
    about = body.get("metadata", body.get("meta_datas"))
    return images, prompts, None if about is None else list(about)


def _picture(image: Any) -> Any:
    """Bytes and arrays as they are. Text is base64 of a file, never a path: that would read our own files."""
    if not isinstance(image, str):
        return image
    try:
        return base64.b64decode(image.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        return None


def main() -> None:
    """The command line of this module."""
    from judge import Judge
    from judge.reward.core import Reward

    parser = argparse.ArgumentParser(description="Scores pictures for Flow-GRPO.")
    parser.add_argument("--model", default="embedded", help="as in Judge(...)")
    parser.add_argument("--adapter")
    parser.add_argument("--rubric", default="default")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18085)
    parser.add_argument("--pickle", action="store_true", help="take pickles, from this machine only")
    told = parser.parse_args()
    reward = Reward(Judge(told.model, adapter=told.adapter, rubric=told.rubric))
    run(app(reward, pickled=told.pickle), told.host, told.port, closed=told.pickle)


if __name__ == "__main__":
    main()
