"""`compute_score` for verl and verl-omni, both of which ask for one sample at a time.

    custom_reward_function.path=.../judge/reward/verl.py custom_reward_function.name=compute_score_image

verl-omni calls `f(data_source, solution_image, ground_truth, extra_info, **kwargs)` with a (3, H, W) uint8
tensor, verl the same with `solution_str`; both take a number or a dict with `score`, whose other entries they
log. `compute_score_of` makes either from a reward of one's own. Samples that are asked for at the same time
are scored in one batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

from judge.errors import InputError
from judge.reward.core import Reward
from judge.reward.neutral import Neutral
from judge.reward.result import RewardResult
from judge.reward.trl import Render, Scoring, text_of

Compute = Callable[..., Awaitable[dict[str, Any]]]
PAUSE = 0.02
"""Seconds that a batch waits for further samples."""


def compute_score_of(
    reward: Scoring, *, render: Render | None = None, unscored: float | None = None
) -> Compute:
    """An asynchronous `compute_score`.

    Args:
        reward: what scores.
        render: makes the picture of a text, for verl's `solution_str`.
        unscored: the number told where there is no score, since neither trainer takes None; default: the mean
            of the prompt's others or of the latest scores, see `judge.reward.neutral`.

    Returns:
        `f(data_source, solution_image | solution_str, ground_truth, extra_info, **kwargs)`. The prompt is
        `extra_info["prompt"]`, else `ground_truth`; `extra_info["elements"]` are checked where they are
        given. Its dict holds `score`, the parts, and `unscored` 0 or 1.
    """
    batch = _Batch(reward, Neutral(), unscored)

    async def compute_score(
        data_source: Any = None,
        solution_image: Any = None,
        ground_truth: Any = None,
        extra_info: Mapping[str, Any] | None = None,
        *,
        solution_str: str | None = None,
        **_: Any,
    ) -> dict[str, Any]:
        about = dict(extra_info or {})
        prompt = about.get("prompt") or ground_truth
        if not isinstance(prompt, str | list | tuple) or not prompt:
            mend = 'put it into extra_info["prompt"], or let ground_truth be it'
            raise InputError("extra_info", sorted(about), "the prompt of the picture", mend)
        image = solution_image
        if image is None:
            if render is None or solution_str is None:
                raise InputError(
                    "solution_image", None, "a picture, or a text and `render`", "give one of both"
                )
            image = render(solution_str)
        return await batch.score(text_of(prompt), image, {"elements": about.get("elements")})

    return compute_score


async def compute_score_image(*given: Any, **named: Any) -> dict[str, Any]:
    """`compute_score` of the embedded judge, for configuration files that name a function."""
    return await _embedded()(*given, **named)


@cache
def _embedded() -> Compute:
    return compute_score_of(Reward())


class _Batch:
    """Samples that wait for being scored together; each event loop has a batch of its own."""

    def __init__(self, reward: Scoring, neutral: Neutral, unscored: float | None) -> None:
        self.reward, self.neutral, self.unscored = reward, neutral, unscored
        self.waiting: dict[asyncio.AbstractEventLoop, list[tuple[Any, ...]]] = {}

    async def score(self, prompt: str, image: Any, about: dict[str, Any]) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[dict[str, Any]] = loop.create_future()
        waiting = self.waiting.setdefault(loop, [])
        waiting.append((prompt, image, about, done))
        if len(waiting) == 1:
            await asyncio.sleep(PAUSE)
            await self._flush(self.waiting.pop(loop))
        return await done

    async def _flush(self, rows: list[tuple[Any, ...]]) -> None:
        prompts, images, metadata, futures = (list(column) for column in zip(*rows, strict=True))
        try:
            results = await self.reward.acall(prompts=prompts, images=images, metadata=metadata)
        except BaseException as error:
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        numbers = self.neutral(prompts, results)
        for future, result, number in zip(futures, results, numbers, strict=True):
            if not future.done():
                future.set_result(self._told(result, number))

    def _told(self, result: RewardResult, number: float) -> dict[str, Any]:
        if result.score is None and self.unscored is not None:
            number = self.unscored
        parts = {name: value for name, value in result.parts.items() if name != "score"}
        return {"score": number, **parts, "unscored": int(result.score is None), "reason": result.reason}
