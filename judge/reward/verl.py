"""`compute_score` for verl and verl-omni, both of which ask for one sample at a time.

    custom_reward_function.path=.../judge/reward/verl.py custom_reward_function.name=compute_score_image

verl-omni calls `f(data_source, solution_image, ground_truth, extra_info, **kwargs)` with a (3, H, W) uint8
tensor; verl does the same with `solution_str`. Both expect a number, or a dict with `score` whose other
entries they log. `compute_score_of` makes such a function from your own reward. Samples that are requested
at the same time are scored in one batch. Neither trainer takes None, and a NaN would spoil the gradient of
the whole batch: a sample without a score gets a neutral number, and a batch without any score raises
`UnscoredBatchError` (`judge.reward.neutral`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

from judge.errors import InputError
from judge.reward.core import Reward
from judge.reward.neutral import NeutralScores
from judge.reward.result import PartColumns, RewardLike
from judge.reward.rows import Missing, read_prompts, render_image
from judge.reward.trl import Render
from judge.tables.cells import is_missing, read_mapping

ComputeScore = Callable[..., Awaitable[dict[str, Any]]]
BATCH_PAUSE = 0.02
"""Seconds that a batch waits for further samples."""


def compute_score_of(
    reward: RewardLike, *, render: Render | None = None, unscored: float | None = None
) -> ComputeScore:
    """Return an asynchronous `compute_score`.

    Args:
        reward: scores the images.
        render: makes the image of a text, for verl's `solution_str`.
        unscored: number for images without a score, since neither trainer takes None; default: the mean of
            the prompt's other images or of the latest scores, see `judge.reward.neutral`. With a number, a
            batch without any score gets it too, and is logged as an error.

    Returns:
        `f(data_source, solution_image | solution_str, ground_truth, extra_info, **kwargs)`. The prompt is
        `extra_info["prompt"]`, else `ground_truth`; the elements are `extra_info["elements"]`, if given, and
        what the image must not show is `extra_info["negative_prompt"]`. The returned dict holds `score`, the
        parts, `unscored` (0 or 1) and `reason`.
    """
    batch = _Batch(reward, NeutralScores(unscored))

    async def compute_score(
        data_source: Any = None,
        solution_image: Any = None,
        ground_truth: Any = None,
        extra_info: Mapping[str, Any] | None = None,
        *,
        solution_str: Any = None,
        **_: Any,
    ) -> dict[str, Any]:
        try:
            info: dict[str, Any] | Missing = read_mapping(extra_info, "extra_info")
        except InputError as error:
            info = Missing(str(error))
        if isinstance(info, Missing):
            return await batch.score(info, None, info)
        prompt = info.get("prompt")
        if _is_empty(prompt) and not _is_empty(ground_truth):
            prompt = ground_truth
        if _is_empty(prompt) and "prompt" not in info:
            mend = 'put it into extra_info["prompt"], or use ground_truth'
            raise InputError("extra_info", sorted(info), "the prompt of the image", mend)
        image = solution_image
        if image is None and solution_str is not None:
            if render is None:
                allowed = "an image, or a text and `render`"
                raise InputError("solution_image", None, allowed, "give one of the two")
            image = render_image(render, solution_str)
        metadata = {name: info.get(name) for name in ("elements", "negative_prompt")}
        return await batch.score(read_prompts([prompt])[0], image, metadata)

    return compute_score


def _is_empty(value: Any) -> bool:
    """Return whether there is no value; an array is one."""
    return is_missing(value) or (isinstance(value, str | list | tuple) and not value)


async def compute_score_image(*args: Any, **kwargs: Any) -> dict[str, Any]:
    """`compute_score` of the embedded judge, for configuration files that name a function.

    Args:
        args: as verl-omni or verl passes them.
        kwargs: as verl-omni or verl passes them.
    """
    return await _embedded_compute_score()(*args, **kwargs)


@cache
def _embedded_compute_score() -> ComputeScore:
    """`compute_score` of the embedded judge, made once."""
    return compute_score_of(Reward())


class _Batch:
    """Collects samples and scores them together. Each event loop has a batch of its own."""

    def __init__(self, reward: RewardLike, neutral: NeutralScores) -> None:
        self.reward, self.neutral = reward, neutral
        self.parts = PartColumns(reward)
        self.waiting: dict[asyncio.AbstractEventLoop, list[tuple[Any, ...]]] = {}
        """For each event loop, samples as (prompt, image, metadata, future)."""

    async def score(self, prompt: str | Missing, image: Any, metadata: Any) -> dict[str, Any]:
        """Score a sample with the others that arrive within `BATCH_PAUSE`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[dict[str, Any]] = loop.create_future()
        waiting = self.waiting.setdefault(loop, [])
        waiting.append((prompt, image, metadata, future))
        if len(waiting) == 1:
            await asyncio.sleep(BATCH_PAUSE)
            await self._score_batch(self.waiting.pop(loop))
        return await future

    async def _score_batch(self, samples: list[tuple[Any, ...]]) -> None:
        """Score samples and set their futures."""
        prompts, images, metadata, futures = (list(column) for column in zip(*samples, strict=True))
        try:
            results = await self.reward.acall(prompts=prompts, images=images, metadata=metadata)
            numbers = self.neutral(prompts, results)
        except BaseException as error:
            for future in futures:
                if not future.done():
                    future.set_exception(error)
            return
        rows = self.parts.fill(results, numbers)
        for future, result, number, parts in zip(futures, results, numbers, rows, strict=True):
            if not future.done():
                flag = int(result.score is None)
                future.set_result({**parts, "score": number, "unscored": flag, "reason": result.reason})
