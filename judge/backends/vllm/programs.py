"""Fill and read forms by requests to vLLM's engine."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from judge.backends.base import Reply
from judge.backends.decoding import grammar
from judge.backends.decoding.chat_tokenizer import ChatTokenizer
from judge.backends.decoding.label_tree import ROOT, LabelTree
from judge.backends.decoding.natural.canonical import CanonicalText
from judge.backends.decoding.natural.vocabulary import TokenTable
from judge.backends.decoding.program import check_not_nan, report_probabilities
from judge.backends.vllm.engine import MAX_LOGPROBS
from judge.backends.vllm.partial_form import PartialForm
from judge.errors import InputError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Choice, Literal


@dataclass(frozen=True)
class EngineRequest:
    """One request to the engine."""

    tokens: list[int]
    """Tokens of the prompt."""
    sampling: dict[str, Any]
    """Arguments of `vllm.SamplingParams`, besides those that all requests share."""


EngineProgram = Generator[list[EngineRequest], list[Any], Reply]
"""A form that is being filled: yields requests and is sent vLLM's `CompletionOutput` of each, in order."""


def fill_form(
    form: Form,
    prompt: list[int],
    tokenizer: ChatTokenizer,
    token_bytes: Callable[[int], bytes],
    speller: grammar.Speller,
    max_length: int,
) -> EngineProgram:
    """Fill a form under its grammar, with the most likely token at each step.

    Some rules are not in the grammar. A text that is too long is cut after the last token that fits, and a
    box whose second corner does not lie beyond its first is cut before that corner. The rest of the form is
    then requested again after the cached prefix, with a limit on the text, or the corner's allowed labels.

    Args:
        form: the form to fill.
        prompt: tokens of the chat.
        tokenizer: the model's.
        token_bytes: returns the bytes that a token stands for.
        speller: how the grammar spells literals and labels.
        max_length: greatest number of tokens that the engine takes.

    Yields:
        One request at a time.

    Returns:
        The filled form.
    """
    partial = PartialForm(form, tokenizer.encode_text, token_bytes)
    num_logprobs = min(MAX_LOGPROBS, grammar.max_label_count(form))
    while not partial.is_done:
        rules = grammar.form_to_ebnf(
            form, speller, partial.answers, limit_text=False, remaining_chars=partial.remaining_chars
        )
        tokens = [*prompt, *partial.tokens]
        max_tokens = min(max_length - len(tokens), grammar.max_token_count(form) + 1)
        sampling = grammar_sampling(rules, num_logprobs, max(1, max_tokens))
        (output,) = yield [EngineRequest(tokens, sampling)]
        partial.add_output(output)
    return partial.reply()


def grammar_sampling(rules: str, num_logprobs: int | None, max_tokens: int) -> dict[str, Any]:
    """Return the sampling arguments for an answer under a grammar.

    Args:
        rules: the grammar in EBNF.
        num_logprobs: number of alternatives to report at each token; None: report nothing.
        max_tokens: greatest number of tokens of the answer.

    Returns:
        Arguments of `vllm.SamplingParams`.
    """
    from vllm.sampling_params import StructuredOutputsParams

    constraint = StructuredOutputsParams(grammar=rules)
    return {"structured_outputs": constraint, "logprobs": num_logprobs, "max_tokens": max_tokens}


def read_choices(
    form: Form, prompt: list[int], tokenizer: ChatTokenizer, vocabulary: TokenTable | None = None
) -> EngineProgram:
    """Read every choice with the first label in each choice before it.

    There is one request for each node of a label tree, all on one prefix. A request reads only the
    log-probabilities of the tokens that may follow the node.

    Args:
        form: a form of choice blanks only.
        prompt: tokens of the chat.
        tokenizer: the model's.
        vocabulary: read it in natural tokens of this vocabulary. Default: in pieces.

    Yields:
        All requests at once.

    Returns:
        The most likely label of each blank, and the probabilities.

    Raises:
        InputError: the form has other blanks.
    """
    blanks, pieces = _lay_out(form, prompt, tokenizer, vocabulary)
    outputs = yield [
        EngineRequest([*before, *path], {"max_tokens": 1, "logprob_token_ids": tokens})
        for _, tree, before in blanks
        for path, tokens in _split_nodes(tree)
    ]
    remaining = iter(outputs)
    mass: dict[str, float] = {}
    reply, best_labels = Reply("", label_mass=mass), dict[str, str]()
    for blank, tree, _ in blanks:
        scores = {
            (*path, token): score
            for path, tokens in _split_nodes(tree)
            for token, score in first_logprobs(next(remaining).logprobs).items()
            if token in tokens
        }
        edges = check_not_nan(_edge_scores(scores, tree), blank.name)
        probabilities = tree.label_probabilities(edges)
        mass[blank.name] = tree.label_mass(edges)
        reply.probabilities[blank.name] = report_probabilities(blank, probabilities)
        best_labels[blank.name] = blank.labels[int(probabilities.argmax())]
    reply.text = "".join(piece if isinstance(piece, str) else best_labels[piece.name] for piece in pieces)
    return reply


def _lay_out(
    form: Form, prompt: list[int], tokenizer: ChatTokenizer, vocabulary: TokenTable | None
) -> tuple[list[tuple[Choice, LabelTree, list[int]]], list[str | Choice]]:
    """Return each blank with its label tree and the tokens before it, and the pieces of the form."""
    walk, blanks, pieces = form.walk(), list[tuple[Choice, LabelTree, list[int]]](), list[str | Choice]()
    text = None if vocabulary is None else CanonicalText(vocabulary)
    tokens, answer, answers = list(prompt), "", list[str]()
    try:
        piece = next(walk)
        while True:
            match piece:
                case Literal(literal):
                    answer = ""
                    pieces.append(literal)
                    if text is None:
                        tokens += tokenizer.encode_text(literal)
                    else:
                        text.append(literal)
                case Choice():
                    answer = piece.labels[0]
                    pieces.append(piece)
                    answers.append(answer)
                    if text is None:
                        tree = tokenizer.label_tree(piece.labels, piece.next_literal)
                        blanks.append((piece, tree, list(tokens)))
                        tokens += tokenizer.encode_text(answer)
                    else:
                        before, tree = text.append_blank(piece, form, answers[:-1], answer)
                        tokens += before
                        blanks.append((piece, tree, list(tokens)))
                case _:
                    raise InputError("form", piece.name, "choice blanks", 'use form.at_depth("score")')
            piece = walk.send(answer)
    except StopIteration:
        return blanks, pieces


def _split_nodes(tree: LabelTree) -> Iterator[tuple[list[int], list[int]]]:
    """Yield the path to each node of a label tree, and the tokens that may follow it.

    A node with more than `MAX_LOGPROBS` such tokens, which one request can read, is yielded several times.
    """
    following: dict[int, list[int]] = {}
    for node, token in tree.edges:
        following.setdefault(node, []).append(token)
    for node, tokens in following.items():
        for start in range(0, len(tokens), MAX_LOGPROBS):
            yield _path_to(tree, node), tokens[start : start + MAX_LOGPROBS]


def _path_to(tree: LabelTree, node: int) -> list[int]:
    path: list[int] = []
    while node != ROOT:
        path.append(tree.tokens[node])
        node = tree.parents[node]
    return path[::-1]


def _edge_scores(scores: Mapping[tuple[int, ...], float], tree: LabelTree) -> Any:
    """Return the log-probabilities (edges,) in the order of the tree, from paths with their last token."""
    return np.array([scores[(*_path_to(tree, node), token)] for node, token in tree.edges])


def first_logprobs(logprobs: Any) -> dict[int, float]:
    """Return the tokens at the first position of vLLM's `FlatLogprobs`, with their log-probabilities."""
    end = logprobs.end_indices[0]
    return dict(zip(logprobs.token_ids[:end], logprobs.logprobs[:end], strict=True))
