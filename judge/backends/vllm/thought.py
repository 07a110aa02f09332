"""Let a model think before it fills a form: one more request to the engine, before those of the form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from judge.backends.decoding.chat_tokenizer import ChatTokenizer
from judge.backends.vllm.programs import EngineProgram, EngineRequest


def think_first(
    prompt: list[int], tokenizer: ChatTokenizer, build_program: Callable[[list[int]], EngineProgram]
) -> EngineProgram:
    """Write a thought of at most `tokenizer.thinking` tokens, close it, and run a program behind it.

    Args:
        prompt: tokens of the chat; its template has opened the thought.
        tokenizer: the model's.
        build_program: returns the program that fills the form, for a prompt.

    Yields:
        The request of the thought, and then those of the program.

    Returns:
        The reply of the program, with the thought.
    """
    ends = [tokenizer.thought_end, *sorted(tokenizer.end_of_turn)]
    others = sorted(tokenizer.control_tokens.difference(ends))
    sampling = {
        "max_tokens": tokenizer.thinking,
        "stop_token_ids": ends,
        "logit_bias": dict.fromkeys(others, -100.0),
    }
    (output,) = yield [EngineRequest(prompt, sampling)]
    written = [token for token in output.token_ids if token not in ends]
    thought, closed = tokenizer.close_thought(written)
    reply = yield from build_program([*prompt, *closed])
    return replace(reply, thought=thought)
