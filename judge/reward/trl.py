"""Reward functions for `trl.GRPOTrainer` and `trl.RLOOTrainer` (TRL 1.16).

    trainer = GRPOTrainer(model, reward_funcs=reward_func(Reward(), render=svg_to_image), ...)

TRL calls `f(prompts, completions, completion_ids, **columns, trainer_state, log_extra, log_metric)` and
expects a number or None for each completion; it leaves completions with None out of the update. Parts of
the reward go to the trainer's log as `NAME/PART`, reasons of missing scores to its table of completions. A
batch without any score is all None and is logged as an error (`judge.reward`); TRL then updates nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from judge.errors import InputError
from judge.media.tensors import split_batch, unwrap_image
from judge.reward.hacking import Canary
from judge.reward.result import RewardLike, RewardResult, mean_metrics
from judge.reward.rows import render_image

Render = Callable[[str], Any]
"""Makes the image of a completion's text; returns None where there is none."""
_TRAINER_ARGUMENTS = ("completion_ids", "trainer_state", "log_extra", "log_metric")
"""What TRL passes besides the columns of the data set."""


def reward_func(
    reward: RewardLike,
    *,
    render: Render | None = None,
    image: str = "image",
    prompt: str = "",
    elements: str = "elements",
    negative_prompt: str = "negative_prompt",
    name: str = "judge",
    canary: Canary | None = None,
) -> Callable[..., list[float | None]]:
    """Return a synchronous reward function.

    Args:
        reward: scores the images.
        render: makes the image of a completion. If it fails for one, that completion has no score. Default:
            images are taken from a column of the data set.
        image: name of that column; where it holds lists (as `images` does), the last image of each is taken.
        prompt: column with the texts by which images are judged; default: the model's prompts, of chats the
            last user turn.
        elements: column with the statements to check, if the data set has it.
        negative_prompt: column with what the image must not show, if the data set has it.
        name: under which trainer and logs know the reward.
        canary: checked when it is due; its drift is logged.
    """

    def score_completions(
        prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
    ) -> list[float | None]:
        arguments = _reward_arguments(
            prompts, completions, columns, render, image, prompt, (elements, negative_prompt)
        )
        return _log_and_return(reward(**arguments), columns, name, canary)

    score_completions.__name__ = name
    return score_completions


def async_reward_func(
    reward: RewardLike,
    *,
    render: Render | None = None,
    image: str = "image",
    prompt: str = "",
    elements: str = "elements",
    negative_prompt: str = "negative_prompt",
    name: str = "judge",
    canary: Canary | None = None,
) -> Callable[..., Awaitable[list[float | None]]]:
    """Return an asynchronous reward function, which TRL runs at the same time as its other asynchronous ones.

    Args:
        reward: as in `reward_func`.
        render: as in `reward_func`.
        image: as in `reward_func`.
        prompt: as in `reward_func`.
        elements: as in `reward_func`.
        negative_prompt: as in `reward_func`.
        name: as in `reward_func`.
        canary: as in `reward_func`.
    """

    async def score_completions(
        prompts: Sequence[Any], completions: Sequence[Any], **columns: Any
    ) -> list[float | None]:
        arguments = _reward_arguments(
            prompts, completions, columns, render, image, prompt, (elements, negative_prompt)
        )
        return _log_and_return(await reward.acall(**arguments), columns, name, canary)

    score_completions.__name__ = name
    return score_completions


def _reward_arguments(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    columns: Mapping[str, Any],
    render: Render | None,
    image: str,
    prompt: str,
    text_columns: tuple[str, str],
) -> dict[str, Any]:
    """Return the arguments of the reward for what TRL passes.

    Raises:
        InputError: there is neither `render` nor a column of images, or no column with the name of `prompt`.
    """
    images: Any
    if render:
        images = (render_image(render, completion) for completion in completions)
    else:
        images = map(_last_image, split_batch(_column(columns, "image", image, image + "s")))
    names = ("elements", "negative_prompt")
    texts = {
        name: columns[column] for name, column in zip(names, text_columns, strict=True) if column in columns
    }
    return {
        "prompts": _column(columns, "prompt", prompt) if prompt else prompts,
        "images": images,
        "metadata": [dict(zip(texts, row, strict=True)) for row in zip(*texts.values(), strict=True)]
        if texts
        else None,
    }


def _column(columns: Mapping[str, Any], field: str, *names: str) -> Any:
    """Return the first of some columns that there is; raise `InputError` if there is none."""
    for name in names:
        if columns.get(name) is not None:
            return columns[name]
    allowed = ", ".join(sorted(name for name in columns if name not in _TRAINER_ARGUMENTS)) or "no columns"
    mend = "name a column of the data set" + (", or pass render=..." if field == "image" else "")
    raise InputError(field, names[0], allowed, mend)


def _log_and_return(
    results: Sequence[RewardResult], columns: Mapping[str, Any], name: str, canary: Canary | None
) -> list[float | None]:
    """Log parts, reasons and drift where TRL offers its log, and return the scores."""
    log_metric, log_extra = columns.get("log_metric"), columns.get("log_extra")
    if log_metric:
        for metric, value in mean_metrics(results).items():
            log_metric(f"{name}/{metric}", value)
    if log_extra and any(result.reason for result in results):
        log_extra(f"{name}_unscored", [result.reason for result in results])
    state = columns.get("trainer_state")
    drift = canary(state.global_step) if canary and state is not None else None
    if drift and log_metric:
        log_metric(f"{name}/canary_drift", drift.largest)
    return [result.score for result in results]


def _last_image(cell: Any) -> Any:
    """Return the image of a column's cell; the last one of a list or of an array of objects."""
    cell = unwrap_image(cell)
    is_array = getattr(getattr(cell, "dtype", None), "kind", "") == "O"
    if is_array or isinstance(cell, list | tuple):
        return _last_image(cell[-1]) if len(cell) else None
    return cell
