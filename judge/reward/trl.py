"""Reward functions for `trl.GRPOTrainer` and `trl.RLOOTrainer` (TRL 1.16).

    trainer = GRPOTrainer(model, reward_funcs=reward_func(Reward(), render=svg_to_picture), ...)

TRL calls `f(prompts, completions, completion_ids, **columns, trainer_state, log_extra, log_metric)` and takes
a number or None for each completion; None leaves that completion out of the update. Parts of the reward go to
the trainer's log under `NAME/PART`, reasons of what was not scored to its table of completions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any, Protocol

from judge.reward.hacking import Canary
from judge.reward.result import RewardResult

Render = Callable[[str], Any]
"""A completion's text -> the picture it stands for, or None where there is none."""


class Scoring(Protocol):
    """What the adapters need of a reward; `Reward` and `Ensemble` are such."""

    def __call__(
        self,
        *,
        prompts: Iterable[str],
        images: Iterable[Any],
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
    ) -> list[RewardResult]: ...

    async def acall(
        self,
        *,
        prompts: Iterable[str],
        images: Iterable[Any],
        metadata: Iterable[Mapping[str, Any] | None] | None = None,
    ) -> list[RewardResult]: ...


def reward_func(
    reward: Scoring,
    *,
    render: Render | None = None,
    image: str = "image",
    prompt: str = "",
    elements: str = "elements",
    name: str = "judge",
    canary: Canary | None = None,
) -> Callable[..., list[float | None]]:
    """A synchronous reward function.

    Args:
        reward: what scores.
        render: makes the picture of a completion. Default: pictures are those of the data set's column
            `image`.
        image: that column; where it holds lists (as `images` does), the last picture of each.
        prompt: column with the texts that pictures are judged by; default: the prompts of the model, of chats
            the last user's turn.
        elements: column with the statements to check, where the data set has it.
        name: what trainer and logs call the reward.
        canary: checked whenever its step has come; the drift is logged.
    """

    def judged(prompts: Sequence[Any], completions: Sequence[Any], **given: Any) -> list[float | None]:
        results = reward(**_asked(prompts, completions, given, render, image, prompt, elements))
        return _told(results, given, name, canary)

    judged.__name__ = name
    return judged


def async_reward_func(
    reward: Scoring,
    *,
    render: Render | None = None,
    image: str = "image",
    prompt: str = "",
    elements: str = "elements",
    name: str = "judge",
    canary: Canary | None = None,
) -> Callable[..., Awaitable[list[float | None]]]:
    """`reward_func`, awaited: TRL runs it beside its other asynchronous rewards."""

    async def judged(prompts: Sequence[Any], completions: Sequence[Any], **given: Any) -> list[float | None]:
        results = await reward.acall(**_asked(prompts, completions, given, render, image, prompt, elements))
        return _told(results, given, name, canary)

    judged.__name__ = name
    return judged


def _asked(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    given: Mapping[str, Any],
    render: Render | None,
    image: str,
    prompt: str,
    elements: str,
) -> dict[str, Any]:
    shown = given.get(image, given.get(image + "s", [None] * len(prompts)))
    drawn = (render(text_of(one)) for one in completions) if render else map(_last, shown)
    asked = given.get(elements)
    return {
        "prompts": given[prompt] if prompt else [text_of(one) for one in prompts],
        "images": drawn,
        "metadata": None if asked is None else [{"elements": names} for names in asked],
    }


def _told(
    results: Sequence[RewardResult], given: Mapping[str, Any], name: str, canary: Canary | None
) -> list[float | None]:
    log_metric, log_extra = given.get("log_metric"), given.get("log_extra")
    if log_metric:
        for metric, value in metrics(results).items():
            log_metric(f"{name}/{metric}", value)
    if log_extra and any(result.reason for result in results):
        log_extra(f"{name}_unscored", [result.reason for result in results])
    drift = canary(given["trainer_state"].global_step) if canary and "trainer_state" in given else None
    if drift and log_metric:
        log_metric(f"{name}/canary_drift", drift.largest)
    return [result.score for result in results]


def metrics(results: Sequence[RewardResult]) -> dict[str, float]:
    """Means of the parts over what was scored, the percentile where there is a calibration, and the number of
    pictures that were not scored. Nothing is NaN: a part that nobody has is left out."""
    means: dict[str, float] = {}
    for name in dict.fromkeys(part for result in results for part in result.parts):
        means[name] = fmean(result.parts[name] for result in results if name in result.parts)
    ranks = [result.percentile for result in results if result.percentile is not None]
    if ranks:
        means["percentile"] = fmean(ranks)
    return {**means, "unscored": float(sum(result.score is None for result in results))}


def text_of(message: Any) -> str:
    """The text of a prompt or completion, plain or a chat (then of its last turn; pictures in it are left
    out)."""
    if isinstance(message, str):
        return message
    turns = [turn for turn in message if turn.get("role") in ("user", "assistant")] or message
    content = turns[-1]["content"] if turns else ""
    if isinstance(content, str):
        return content
    return " ".join(part["text"] for part in content if part.get("type") == "text")


def _last(shown: Any) -> Any:
    return (shown[-1] if shown else None) if isinstance(shown, list) else shown
