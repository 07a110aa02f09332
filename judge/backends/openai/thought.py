"""Let a model on a vLLM server think before it fills a form."""

from __future__ import annotations

from typing import Any

from judge.backends.base import Request
from judge.backends.decoding.chat_tokenizer import (
    THINKING_SWITCH,
    THOUGHT_CLOSE,
    THOUGHT_END,
    THOUGHT_START,
)
from judge.backends.openai.chat_client import ChatClient
from judge.backends.openai.completions import parse_thought
from judge.backends.openai.messages import break_control_tokens


def think_first(client: ChatClient, request: Request, messages: list[dict[str, Any]]) -> tuple[str, str]:
    """Request a thought, if the model is to think.

    Args:
        client: the model.
        request: the form that is filled behind the thought.
        messages: its messages as JSON.

    Returns:
        The thought, and the text that the answer follows: the closed thought, or an empty one for a model
        whose chat template opens a thought in any case. Both are empty for a model that does not think.
    """
    if not client.thinking:
        return "", f"{THOUGHT_START}\n\n{THOUGHT_CLOSE}" if client.is_thinker else ""
    answer = client.request_completion(
        request,
        messages,
        max_tokens=client.thinking,
        stop=[THOUGHT_END],
        add_generation_prompt=True,
        chat_template_kwargs={THINKING_SWITCH: True},
    )
    thought = parse_thought(answer)
    return thought, f"{THOUGHT_START}\n{break_control_tokens(thought)}\n{THOUGHT_CLOSE}"
