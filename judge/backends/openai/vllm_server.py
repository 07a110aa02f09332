"""Answer a form on a vLLM server, which can do more than others.

It takes the form as a grammar (boxes on their grid, no whitespace), reports the log-probabilities of the
labels' own tokens, and continues an answer from a given beginning. So the probabilities are the model's own,
as in the in-process backends.
"""

from __future__ import annotations

from typing import Any

from judge.backends.base import Reply, Request
from judge.backends.decoding import grammar, logprobs
from judge.backends.decoding.chat_tokenizer import THINKING_SWITCH
from judge.backends.decoding.reply_alignment import align_reply
from judge.backends.openai.any_server import check_choices_only
from judge.backends.openai.chat_client import ChatClient
from judge.backends.openai.completions import Completion, parse_completion
from judge.backends.openai.messages import build_messages
from judge.backends.openai.thought import think_first
from judge.errors import ReplyError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Branch, Choice, Literal, Repeat


def complete_form(client: ChatClient, request: Request) -> Reply:
    """Request the form under its grammar.

    If a box has its second corner before its first, the answer is cut before that corner and the rest is
    requested again with the labels that the corner may have.

    Args:
        client: the model.
        request: the form.

    Returns:
        The reply.

    Raises:
        BackendError: the server cannot be reached or refuses every request.
        ReplyError: there is no usable answer.
    """
    form, messages = request.form, build_messages(request)
    token_ids = client.first_token_ids(_label_sets_by_priority(form))
    thought, written = think_first(client, request, messages)
    completion = Completion("")
    if written:  # the answer is continued behind the thought, from its known beginning on
        completion = Completion("", [text.encode() for text in grammar.leading_literals(form)])
        completion.alternatives = [{} for _ in completion.tokens]
    answers: list[str] = []
    while True:
        beginning = b"".join(completion.tokens).decode("utf-8", "replace")
        rules = grammar.form_to_ebnf(
            form, grammar.spell_in_characters, answers, include_literals=not beginning
        )
        answer = client.request_completion(
            request,
            [*messages, *([{"role": "assistant", "content": written + beginning}] if beginning else [])],
            structured_outputs={"grammar": rules},
            max_tokens=grammar.max_token_count(form) + 64,
            logprobs=True,
            logprob_token_ids=token_ids,
            add_generation_prompt=not beginning,
            continue_final_message=bool(beginning),
            chat_template_kwargs={THINKING_SWITCH: False},
        )
        completion.extend(parse_completion(answer, is_continued=bool(beginning)))
        if beginning:
            completion.tokens.append(grammar.trailing_literal(form).encode())
            completion.alternatives.append({})
        alignment = align_reply(form, b"".join(completion.tokens))
        if alignment.mismatch is None or alignment.answers == answers:
            break
        answers = alignment.answers
        completion.truncate(alignment.mismatch)
    mass: dict[str, float] = {}
    probabilities, is_exact = logprobs.read_probabilities(
        form, completion.tokens, completion.alternatives.__getitem__, estimates=False, label_mass=mass
    )
    text = b"".join(completion.tokens).decode("utf-8", "replace")
    return Reply(text, probabilities, is_exact, thought=thought, label_mass=mass or None)


def choose_labels(client: ChatClient, request: Request) -> Reply:
    """Read every choice with the first label in each choice before it.

    At each blank one token is requested, after the answer up to there. The server computes the common
    beginning once.

    Args:
        client: the model.
        request: the form.

    Returns:
        The most likely label of each blank, and the probabilities.

    Raises:
        InputError: the form has other blanks than choices.
        BackendError: the server cannot be reached or refuses every request.
        ReplyError: there is no usable answer.
    """
    messages, text = build_messages(request), ""
    thought, written = think_first(client, request, messages)
    blanks: list[tuple[Choice, str]] = []
    pieces: list[str | Choice] = []
    for piece in check_choices_only(request.form):
        if isinstance(piece, Literal):
            pieces.append(piece.text)
            text += piece.text
        else:
            pieces.append(piece)
            blanks.append((piece, text))
            text += piece.labels[0]
    mass: dict[str, float] = {}
    reply, best_labels = Reply("", thought=thought, label_mass=mass), dict[str, str]()
    for blank, beginning in blanks:
        completion = _request_token(client, request, messages, blank, written + beginning)
        shares, is_covered, mass[blank.name] = logprobs.read_single_token(
            blank, completion.tokens[0], completion.alternatives[0]
        )
        if not shares:
            raise ReplyError(f"{blank.name}: the server's numbers do not tell its labels apart")
        reply.probabilities[blank.name] = dict(zip(blank.reported_labels, shares, strict=True))
        reply.exact = reply.exact and is_covered
        best_labels[blank.name] = blank.labels[shares.index(max(shares))]
    reply.text = "".join(piece if isinstance(piece, str) else best_labels[piece.name] for piece in pieces)
    return reply


def _request_token(
    client: ChatClient, request: Request, messages: list[dict[str, Any]], blank: Choice, beginning: str
) -> Completion:
    """Request the token that begins the answer to one blank."""
    answer = client.request_completion(
        request,
        [*messages, {"role": "assistant", "content": beginning}],
        max_tokens=1,
        logprobs=True,
        logprob_token_ids=client.first_token_ids([blank.labels]),
        add_generation_prompt=False,
        continue_final_message=True,
        chat_template_kwargs={THINKING_SWITCH: False},
    )
    return parse_completion(answer, is_partial=True)


def _label_sets_by_priority(form: Form) -> list[tuple[str, ...]]:
    """Return the label sets of a form, those that a verdict's numbers depend on first.

    The order is: the form's own choices, whether a list goes on, the corners of boxes, words inside lists.
    """
    own = [part.labels for part in form.parts if isinstance(part, Choice)]
    lists = [part for part in form.parts if isinstance(part, Repeat)]
    inner = [part.labels for repeat in lists for part in repeat.item_parts if isinstance(part, Choice)]
    corners = [labels for labels in inner if all(map(str.isdecimal, labels))]
    words = [labels for labels in inner if labels not in corners]
    branches = [Branch("", opening).labels for opening in ("{", ",{")] if lists else []
    return list(dict.fromkeys([*own, *branches, *corners, *words]))
