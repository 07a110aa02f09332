"""Let a model think before it fills a form: the generator of a row, around that of the form."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np

from judge.backends.base import Reply
from judge.backends.decoding.chat_tokenizer import ChatTokenizer
from judge.backends.decoding.forward_input import prepend_tokens
from judge.backends.decoding.label_tree import ROOT
from judge.backends.decoding.program import RowProgram, StepInput, check_not_nan


def think_first(tokenizer: ChatTokenizer, program: RowProgram) -> RowProgram:
    """Write a thought of at most `tokenizer.thinking` tokens, close it, and run a program behind it.

    The thought is decoded by argmax. A control token other than the one that closes it, or the end of the
    turn, is never written.

    Args:
        tokenizer: the model's; its template has opened the thought.
        program: the program that fills the form, not started yet.

    Yields:
        The steps of the thought, and then those of the program.

    Returns:
        The reply of the program, with the thought.
    """
    written = yield from _write_thought(tokenizer)
    thought, closed = tokenizer.close_thought(written)
    # All tokens of the thought but the last were fed; what closes it is fed with the program's first step.
    reply = yield from _run_behind(program, closed[max(0, len(written) - 1) :])
    return replace(reply, thought=thought)


def _write_thought(tokenizer: ChatTokenizer) -> Generator[StepInput, Any, list[int]]:
    """Return the tokens of a thought, without what ended it. The last of them is not fed yet."""
    ends = {tokenizer.thought_end, *tokenizer.end_of_turn}
    masked = np.array(sorted(tokenizer.control_tokens - ends))
    written: list[int] = []
    while len(written) < tokenizer.thinking:
        step = StepInput(num_logits=1)
        step.append_chain(written[-1:], ROOT)
        logits = check_not_nan((yield step), "thought")[0]
        logits[masked] = -np.inf
        token = int(logits.argmax())
        if token in ends:
            break
        written.append(token)
    return written


def _run_behind(program: RowProgram, pending: list[int]) -> Generator[StepInput, Any, Reply]:
    """Run a program whose first step follows some tokens that are fed with it."""
    shift, result = len(pending), None
    try:
        while True:
            step = program.send(result)
            if result is None:
                step = prepend_tokens(pending, step)
            elif shift:  # the tokens before it are part of the previous step
                step.discarded, shift = [index + shift for index in step.discarded], 0
            result = yield step
    except StopIteration as done:
        reply: Reply = done.value
        return reply
