"""A scorer for inspect-ai that judges the image in a sample, or the image that the sample's model made.

    from inspect_ai import Task
    from eval.interop.inspect_scorer import judged

    task = Task(dataset=..., solver=..., scorer=judged())                       # score, 1 to 5
    task = Task(dataset=..., solver=..., scorer=judged(rubric="quality"))

The value is the score; the metadata of the score holds the whole verdict. A verdict without a score becomes
an unscored sample with the reason, never a number; inspect-ai leaves it out of its metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any

from inspect_ai.model import ContentImage
from inspect_ai.scorer import Score, Scorer, Target, mean, scorer, stderr
from inspect_ai.solver import TaskState

from judge.errors import InputError

if TYPE_CHECKING:
    from judge.judge import Judge
    from judge.types import Verdict


@scorer(metrics=[mean(), stderr()], name="judged")
def judged(
    *,
    judge: Judge | None = None,
    rubric: str = "default",
    picture: Callable[[TaskState], Any] | None = None,
    prompt: Callable[[TaskState], str] | None = None,
) -> Scorer:
    """Create a scorer that judges the image of each sample.

    Args:
        judge: the judge; default: the embedded judge with `rubric`.
        rubric: name or file of a rubric, for the default judge.
        picture: returns the image of a sample; default: `find_image`.
        prompt: returns the prompt that the image was made from; default: `find_prompt`.
    """
    from judge.judge import Judge

    used_judge = judge if judge is not None else Judge(rubric=rubric)
    lock = Lock()  # inspect scores samples concurrently, a model answers one call at a time

    def judge_sample(state: TaskState) -> Verdict:
        image, text = (picture or find_image)(state), (prompt or find_prompt)(state)
        with lock:
            return used_judge(image, prompt=text, id=str(state.sample_id))

    async def score(state: TaskState, target: Target) -> Score:
        from anyio import to_thread

        try:
            verdict = await to_thread.run_sync(judge_sample, state)
        except InputError as error:
            return Score.unscored(reason="input", explanation=str(error))
        metadata = verdict.model_dump(mode="json")
        if verdict.score is None:
            reason = "abstained" if verdict.abstained else "reply"
            return Score.unscored(reason=reason, explanation=verdict.reason, metadata=metadata)
        return Score(value=verdict.score, explanation=verdict.explanation or None, metadata=metadata)

    return score


def find_image(state: TaskState) -> Any:
    """Return the last image in the model's answer, else in the conversation, else `metadata["image"]`.

    Raises:
        InputError: the sample has no image.
    """
    messages = [*([state.output.message] if state.output.choices else []), *reversed(state.messages)]
    for message in messages:
        if isinstance(message.content, str):
            continue
        images = [part.image for part in message.content if isinstance(part, ContentImage)]
        if images:
            return images[-1]
    if "image" in state.metadata:
        return state.metadata["image"]
    mend = "put one into the conversation, the answer or the metadata, or pass a function as `picture`"
    raise InputError("image", None, "a sample with an image", mend)


def find_prompt(state: TaskState) -> str:
    """Return `metadata["prompt"]`, else the text of the sample's input."""
    return str(state.metadata["prompt"]) if "prompt" in state.metadata else state.input_text
