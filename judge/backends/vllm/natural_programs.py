"""Run the operations of a form (`judge.backends.decoding.natural`) by requests to vLLM's engine."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np

from judge.backends.decoding.natural.alternatives import Read
from judge.backends.decoding.natural.filling import FormProgram, Write, run_operations
from judge.backends.decoding.natural.texts import TextBuilder
from judge.backends.decoding.natural.vocabulary import Vocabulary
from judge.backends.vllm.engine import MAX_LOGPROBS
from judge.backends.vllm.programs import EngineProgram, EngineRequest, first_logprobs, grammar_sampling


def run_form(
    program: FormProgram, prompt: list[int], vocabulary: Vocabulary, max_length: int
) -> EngineProgram:
    """Run a form.

    Each operation is a request, or one for each node that is read, after a prefix that the engine has cached.
    Log-probabilities are the model's own, without a grammar.

    Args:
        program: the form.
        prompt: tokens of the chat.
        vocabulary: the model's.
        max_length: greatest number of tokens that the engine takes.

    Yields:
        Requests.

    Returns:
        The filled form.
    """
    return run_operations(program, _Runner(vocabulary, list(prompt), max_length))


EngineStep = Generator[list[EngineRequest], list[Any], Any]


@dataclass
class _Runner:
    vocabulary: Vocabulary
    tokens: list[int]
    """The prompt, and what was fed after it."""
    max_length: int

    def read(self, operation: Read) -> EngineStep:
        """Run a `Read`; returns a `ReadResult`."""
        self.tokens += operation.commit
        parts = [
            (list(path), list(tokens[start : start + MAX_LOGPROBS]))
            for path, tokens in operation.nodes
            for start in range(0, len(tokens), MAX_LOGPROBS)
        ]
        outputs = yield [
            EngineRequest([*self.tokens, *path], {"max_tokens": 1, "logprob_token_ids": tokens})
            for path, tokens in parts
        ]
        scores: dict[tuple[tuple[int, ...], int], float] = {}
        for (path, tokens), output in zip(parts, outputs, strict=True):
            found = first_logprobs(output.logprobs)
            scores |= {(tuple(path), token): found[token] for token in tokens}
        return [np.array([scores[path, token] for token in tokens]) for path, tokens in operation.nodes]

    def write(self, operation: Write) -> EngineStep:
        """Run a `Write`; returns the tokens.

        The grammar ends soon after the closing quote; it cannot end at the closing token, since vLLM takes a
        stop token for the end of the grammar. A bound on the length of the text would make the grammar slow
        to compile, so a text that is too long is cut, and only what may still follow is bounded.
        """
        self.tokens += operation.commit
        builder = TextBuilder(operation, self.vocabulary)
        while not builder.is_closed:
            tokens = [*self.tokens, *builder.tokens]
            max_tokens = min(self.max_length - len(tokens), operation.max_chars + 8)
            sampling = grammar_sampling(builder.rules(), None, max(1, max_tokens))
            (output,) = yield [EngineRequest(tokens, sampling)]
            builder.append(output.token_ids)
        self.tokens += builder.tokens[:-1]
        return builder.tokens
