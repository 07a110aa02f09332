"""OpenRLHF's remote reward model: `python -m judge.reward.openrlhf --render my_module:picture_of`.

OpenRLHF posts `{"query": [...], "prompts": [...], "labels": [...]}` to the address that it is given as
`--remote_rm_url` and reads `rewards` (what it learns from), `scores` (what it filters groups by) and
`extra_logs`. It sends no pictures: a query is the prompt and what the model wrote, of which `render` makes
the picture.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from judge.errors import InputError
from judge.reward.neutral import Neutral
from judge.reward.servers import Posted, application, run
from judge.reward.trl import Render, Scoring

PATH = "/get_reward"


def app(reward: Scoring, render: Render) -> Any:
    """The server as an ASGI application.

    Args:
        reward: what scores.
        render: the text that follows the prompt -> its picture, or None where there is none.
    """
    neutral = Neutral()

    def answer(posted: Posted) -> tuple[bytes, str]:
        queries, prompts, metadata = _fields(posted.body)
        written = [_after(query, prompt) for query, prompt in zip(queries, prompts, strict=True)]
        asked = [about.get("prompt", prompt) for about, prompt in zip(metadata, prompts, strict=True)]
        results = reward(prompts=asked, images=map(render, written), metadata=metadata)
        numbers = neutral(asked, results)
        names = dict.fromkeys(name for result in results for name in result.parts)
        logs = {name: [r.parts.get(name, n) for r, n in zip(results, numbers, strict=True)] for name in names}
        logs["unscored"] = [float(result.score is None) for result in results]
        body = {"rewards": numbers, "scores": numbers, "extra_logs": logs}
        return json.dumps(body).encode(), "application/json"

    return application(PATH, answer)


def _fields(body: bytes) -> tuple[list[str], list[str], list[dict[str, Any]]]:
    allowed = 'JSON with "query", "prompts" and, optionally, "labels": lists of one length'
    try:
        told = json.loads(body)
        queries, prompts = told["query"], told["prompts"]
        labels = told.get("labels") or [None] * len(queries)
        texts = all(isinstance(text, str) for text in (*queries, *prompts))
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError) as error:
        raise InputError("body", f"{len(body)} bytes", allowed, f"mend it: {error!r}") from None
    if not texts or not len(queries) == len(prompts) == len(labels):
        raise InputError("body", f"{len(body)} bytes", allowed, "pair texts one to one")
    return queries, prompts, [_about(label) for label in labels]


def _about(label: Any) -> dict[str, Any]:
    """A label may be JSON that names the picture's own `prompt` or its `elements`; any other says nothing."""
    if isinstance(label, str) and label.lstrip().startswith("{"):
        try:
            label = json.loads(label)
        except (ValueError, RecursionError):
            return {}
    if not isinstance(label, Mapping):
        return {}
    return {name: label[name] for name in ("prompt", "elements") if name in label}


def _after(query: str, prompt: str) -> str:
    return query[len(prompt) :] if query.startswith(prompt) else query


def main() -> None:
    """The command line of this module."""
    from judge import Judge
    from judge.reward.core import Reward

    parser = argparse.ArgumentParser(description="Scores what OpenRLHF's model wrote, drawn as a picture.")
    parser.add_argument("--render", required=True, help="module:function from a text to its picture")
    parser.add_argument("--model", default="embedded", help="as in Judge(...)")
    parser.add_argument("--adapter")
    parser.add_argument("--rubric", default="default")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=5000)
    told = parser.parse_args()
    module, _, name = told.render.partition(":")
    render = getattr(import_module(module), name)
    reward = Reward(Judge(told.model, adapter=told.adapter, rubric=told.rubric))
    run(app(reward, render), told.host, told.port)


if __name__ == "__main__":
    main()
