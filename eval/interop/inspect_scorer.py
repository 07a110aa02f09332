"""A scorer for inspect-ai: the picture in a sample, or the one its model made, judged.

    from inspect_ai import Task
    from eval.interop.inspect_scorer import judged

    task = Task(dataset=..., solver=..., scorer=judged())                       # score, 1 to 5
    task = Task(dataset=..., solver=..., scorer=judged(rubric="quality"))

The value is the score; the whole verdict stands in the score's metadata. A verdict without a score becomes
an unscored sample with the reason, which inspect-ai leaves out of its metrics, never a number.
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
    """The score of the sample's picture.

    Args:
        judge: a judge of your own; default: the embedded one with `rubric`.
        rubric: name or file of a rubric, for the default judge.
        picture: where the picture is; default: `picture_of`.
        prompt: the text it was made from; default: `prompt_of`.
    """
    from judge.judge import Judge

    asked = judge if judge is not None else Judge(rubric=rubric)
    one_at_a_time = Lock()  # inspect scores samples concurrently, a model answers one call at a time

    def verdict(state: TaskState) -> Verdict:
        image, text = (picture or picture_of)(state), (prompt or prompt_of)(state)
        with one_at_a_time:
            return asked(image, prompt=text, id=str(state.sample_id))

    async def score(state: TaskState, target: Target) -> Score:
        from anyio import to_thread

        try:
            found = await to_thread.run_sync(verdict, state)
        except InputError as error:
            return Score.unscored(reason="input", explanation=str(error))
        told = found.model_dump(mode="json")
        if found.score is None:
            return Score.unscored(reason="reply", explanation=found.reason, metadata=told)
        return Score(value=found.score, explanation=found.explanation or None, metadata=told)

    return score


def picture_of(state: TaskState) -> Any:
    """The last picture in the model's answer, else in the conversation, else `metadata["image"]`.

    Raises:
        InputError: there is none.
    """
    messages = [*([state.output.message] if state.output.choices else []), *reversed(state.messages)]
    for message in messages:
        if isinstance(message.content, str):
            continue
        pictures = [part.image for part in message.content if isinstance(part, ContentImage)]
        if pictures:
            return pictures[-1]
    if "image" in state.metadata:
        return state.metadata["image"]
    mend = "put one into the conversation, the answer or metadata, or say where it is with `picture`"
    raise InputError("image", None, "a sample with a picture", mend)


def prompt_of(state: TaskState) -> str:
    """`metadata["prompt"]`, else the text of the sample's input."""
    return str(state.metadata["prompt"]) if "prompt" in state.metadata else state.input_text
