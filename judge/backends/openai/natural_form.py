"""Fill a form on a vLLM server in the model's own tokens (`judge.backends.decoding.natural`).

The server continues an answer from a given text. Its tokenizer is known only by its answers to `/tokenize`,
so at each boundary the tokens that are read are those that the tokenizer would write for one of the
alternatives, instead of all tokens of the vocabulary that agree with one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from judge.backends.base import Reply, Request
from judge.backends.decoding.chat_tokenizer import THINKING_SWITCH
from judge.backends.decoding.grammar import spell_in_characters
from judge.backends.decoding.natural.alternatives import Read, ReadResult
from judge.backends.decoding.natural.filling import Write, check_choices_only, fill_form
from judge.backends.decoding.natural.texts import TextBuilder
from judge.backends.decoding.natural.vocabulary import CONTEXT_TOKENS
from judge.backends.openai.chat_client import MAX_LOGPROBS, ChatClient
from judge.backends.openai.completions import Completion, parse_completion
from judge.backends.openai.messages import build_messages
from judge.backends.openai.server_vocabulary import FIRST_UNKNOWN_TOKEN, ServerVocabulary
from judge.backends.openai.thought import think_first
from judge.errors import ReplyError
from judge.rubrics.layouts import Layout


def complete_form(
    client: ChatClient, request: Request, vocabulary: ServerVocabulary, layouts: Sequence[Layout]
) -> Reply:
    """Fill a form from left to right, with one request for each blank, or for each token that is read.

    Args:
        client: the model.
        request: the form.
        vocabulary: the model's.
        layouts: layouts that the model may write.

    Returns:
        The reply.

    Raises:
        BackendError: the server cannot be reached or refuses every request.
        ReplyError: there is no usable answer.
    """
    messages = build_messages(request)
    thought, before = think_first(client, request, messages)
    runner = _Runner(client, request, vocabulary, messages, before)
    program = fill_form(request.form, vocabulary, layouts)
    try:
        operation = next(program)
        while True:
            runner.tokens += operation.commit
            if isinstance(operation, Read):
                operation = program.send(runner.read(operation))
            else:
                operation = program.send(runner.write(operation))
    except StopIteration as done:
        reply: Reply = done.value
        return replace(reply, thought=thought)


def choose_labels(
    client: ChatClient, request: Request, vocabulary: ServerVocabulary, layouts: Sequence[Layout]
) -> Reply:
    """Read every choice behind the labels that the model chose before it; see `complete_form`.

    Raises:
        InputError: the form has other blanks than choices.
    """
    return complete_form(client, check_choices_only(request), vocabulary, layouts)


@dataclass
class _Runner:
    client: ChatClient
    request: Request
    vocabulary: ServerVocabulary
    messages: list[dict[str, Any]]
    before: str = ""
    """Text before the answer: a thought, or nothing."""
    tokens: list[int] = field(default_factory=list)
    """The tokens of the answer so far."""

    def read(self, operation: Read) -> ReadResult:
        """Run a `Read`: a request of one token for each node."""
        return [self._read_node(path, tokens) for path, tokens in operation.nodes]

    def _read_node(self, path: Sequence[int], tokens: Sequence[int]) -> Any:
        found: dict[bytes, float] = {}
        known = [token for token in tokens if token < FIRST_UNKNOWN_TOKEN]
        for start in range(0, len(known), MAX_LOGPROBS):
            found |= self._read_alternatives([*self.tokens, *path], known[start : start + MAX_LOGPROBS])
        return np.array([found.get(self.vocabulary.token_bytes(token), -math.inf) for token in tokens])

    def _read_alternatives(self, before: Sequence[int], tokens: list[int]) -> Mapping[bytes, float]:
        """Return the log-probabilities of some tokens after others.

        The server encodes the text before anew. At its end a tokenizer joins white space that it splits
        before a word or a number: such white space is not sent, but asked for by a grammar.
        """
        space = self._unstable_space(before)
        fields: dict[str, Any] = {"max_tokens": 1, "logprobs": True, "logprob_token_ids": tokens}
        if not space:
            return self._request(self.vocabulary.text(before), **fields).alternatives[0]
        rules = f"root ::= {spell_in_characters(space.decode())[0]} [^\\x00]+\n"
        fields |= {"structured_outputs": {"grammar": rules}, "max_tokens": len(space) + 1}
        completion = self._request(self.vocabulary.text(before)[: -len(space)], **fields)
        written = b""
        for token, alternatives in zip(completion.tokens, completion.alternatives, strict=True):
            if written == space:
                return alternatives
            written += token
        raise ReplyError("reply: the model does not write the white space of its form as its tokenizer does")

    def _unstable_space(self, tokens: Sequence[int]) -> bytes:
        """Return the white space at the end of tokens that the tokenizer joins; empty if there is none."""
        count = 0
        while count < len(tokens) and self.vocabulary.token_bytes(tokens[-1 - count]).isspace():
            count += 1
        tail = tuple(tokens[-count - CONTEXT_TOKENS :]) if count else ()
        if self.vocabulary.encode_bytes(self.vocabulary.text(tail))[-count:] == tail[-count:]:
            return b""
        return self.vocabulary.text(tail[-count:])

    def write(self, operation: Write) -> list[int]:
        """Run a `Write`: a request under the grammar of the text."""
        builder = TextBuilder(operation, self.vocabulary)
        while not builder.is_closed:
            completion = self._request(
                self.vocabulary.text([*self.tokens, *builder.tokens]),
                structured_outputs={"grammar": builder.rules()},
                max_tokens=operation.max_chars + 8,
                logprobs=True,
            )
            builder.append([self.vocabulary.register(token) for token in completion.tokens])
        self.tokens += builder.tokens[:-1]
        return builder.tokens

    def _request(self, beginning: bytes, **fields: Any) -> Completion:
        try:
            text = self.before + beginning.decode()
        except UnicodeDecodeError:
            raise ReplyError("reply: a token of the server's model ends within a character") from None
        answer = self.client.request_completion(
            self.request,
            [*self.messages, *([{"role": "assistant", "content": text}] if text else [])],
            add_generation_prompt=not text,
            continue_final_message=bool(text),
            chat_template_kwargs={THINKING_SWITCH: False},
            **fields,
        )
        return parse_completion(answer, is_partial=True)
