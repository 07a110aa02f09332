"""OpenRLHF's remote reward model: `python -m judge.reward.openrlhf --render my_module:image_of`.

OpenRLHF posts `{"query": [...], "prompts": [...], "labels": [...]}` to its `--remote_rm_url` and reads
`rewards` (what it learns from), `scores` (what it filters groups by) and `extra_logs`. It sends no images:
a query is the prompt and what the model wrote, from which `render` makes the image. A query without a score
gets a neutral number (`judge.reward.neutral`) and `unscored` 1 in the logs; a batch without any score is
answered by status 503 with the reason, after which OpenRLHF stops.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from judge.errors import InputError
from judge.reward.neutral import NeutralScores
from judge.reward.result import PartColumns, RewardLike
from judge.reward.rows import read_prompts, render_image
from judge.reward.servers import PostRequest, build_app, run_server
from judge.reward.trl import Render

PATH = "/get_reward"
"""Route of the server."""


def app(reward: RewardLike, render: Render, *, unscored: float | None = None) -> Any:
    """Build the server as an ASGI application.

    Args:
        reward: scores the images.
        render: makes an image of the text that follows the prompt; returns None where there is none. If it
            fails for a text, that text has no score.
        unscored: number for texts without a score in place of a neutral one, also where nothing was scored.
    """
    neutral, parts = NeutralScores(unscored), PartColumns(reward)

    def answer(request: PostRequest) -> tuple[bytes, str]:
        queries, prompts, metadata = _parse_fields(request.body)
        completions = [_strip_prompt(query, prompt) for query, prompt in zip(queries, prompts, strict=True)]
        texts = read_prompts(
            fields.get("prompt") or prompt for fields, prompt in zip(metadata, prompts, strict=True)
        )
        images = [render_image(render, completion) for completion in completions]
        results = reward(prompts=texts, images=images, metadata=metadata)
        numbers = neutral(texts, results)
        rows = parts.fill(results, numbers)
        logs = {name: [row[name] for row in rows] for name in (rows[0] if rows else {})}
        logs["unscored"] = [float(result.score is None) for result in results]
        body = {"rewards": numbers, "scores": numbers, "extra_logs": logs}
        return json.dumps(body).encode(), "application/json"

    return build_app(PATH, answer)


def _parse_fields(body: bytes) -> tuple[list[Any], list[Any], list[dict[str, Any]]]:
    """Return queries, prompts (each text, chat turns or None) and metadata of a request.

    Raises:
        InputError: the body is no JSON, or its lists do not pair.
    """
    allowed = 'JSON with "query", "prompts" and, optionally, "labels": lists of one length'
    try:
        data = json.loads(body)
        queries, prompts = data["query"], data["prompts"]
        labels = data.get("labels") or [None] * len(queries)
        are_texts = all(isinstance(text, str | list | dict | None) for text in (*queries, *prompts))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise InputError("body", f"{len(body)} bytes", allowed, f"correct it: {error!r}") from None
    if not are_texts or not len(queries) == len(prompts) == len(labels):
        raise InputError("body", f"{len(body)} bytes", allowed, "pair texts one to one")
    return queries, prompts, [_parse_label(label) for label in labels]


def _parse_label(label: Any) -> dict[str, Any]:
    """Return the metadata in a label.

    A label may be JSON with the image's own `prompt`, `negative_prompt` or `elements`. Any other label has no
    metadata.
    """
    if isinstance(label, str) and label.lstrip().startswith("{"):
        try:
            label = json.loads(label)
        except (ValueError, RecursionError):
            return {}
    if not isinstance(label, Mapping):
        return {}
    return {name: label[name] for name in ("prompt", "negative_prompt", "elements") if name in label}


def _strip_prompt(query: Any, prompt: Any) -> Any:
    """Return the part of a query after the prompt, where both are text."""
    are_texts = isinstance(query, str) and isinstance(prompt, str)
    return query[len(prompt) :] if are_texts and query.startswith(prompt) else query


def main() -> None:
    """Run the server from the command line."""
    from judge import Judge
    from judge.reward.core import Reward

    parser = argparse.ArgumentParser(description="Scores what OpenRLHF's model wrote, rendered as an image.")
    parser.add_argument("--render", required=True, help="module:function from a text to its image")
    parser.add_argument("--model", default="embedded", help="as in Judge(...)")
    parser.add_argument("--adapter")
    parser.add_argument("--rubric", default="default")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5000)
    parser.add_argument("--unscored", type=float, help="number for texts without a score")
    options = parser.parse_args()
    module, _, name = options.render.partition(":")
    render = getattr(import_module(module), name)
    reward = Reward(Judge(options.model, adapter=options.adapter, rubric=options.rubric))
    run_server(app(reward, render, unscored=options.unscored), options.host, options.port)


if __name__ == "__main__":
    main()
