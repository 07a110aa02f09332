"""Answer a form on any OpenAI-compatible server, with the form as a JSON schema.

A server that takes only a part of the schema, or none, is asked with what it takes (`response_formats`), and
its replies are mended where that is safe (`reply_reading`).

Where the server reports the most likely alternatives at each token, label probabilities are computed from
them. If the alternatives do not cover all labels, the reply says that its numbers are estimates. If a server
reports none, the reply has no probabilities.
"""

from __future__ import annotations

from judge.backends.base import Reply, Request
from judge.backends.decoding import grammar, logprobs
from judge.backends.openai.chat_client import ChatClient
from judge.backends.openai.messages import build_messages
from judge.backends.openai.reply_reading import read_reply
from judge.errors import InputError
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Choice, Literal

TOP_LOGPROBS = 20
"""Greatest number of alternatives that OpenAI's interface reports."""


def complete_form(client: ChatClient, request: Request) -> Reply:
    """Request the whole form in one answer.

    Args:
        client: the model.
        request: the form.

    Returns:
        The reply, with probabilities as far as the server reports any.

    Raises:
        BackendError: the server cannot be reached or refuses every request.
        ReplyError: there is no usable answer.
    """
    completion, response_format = client.request_form(
        request,
        build_messages(request),
        max_tokens=2 * grammar.max_token_count(request.form) + 64,
        logprobs=True,
        top_logprobs=TOP_LOGPROBS,
    )
    mass: dict[str, float] = {}
    found = read_reply(request.form, completion.text)
    completion.crop(found.start, found.end)
    probabilities, is_exact = logprobs.read_probabilities(
        request.form, completion.tokens, completion.alternatives.__getitem__, label_mass=mass
    )
    return Reply(
        found.text,
        found.rename(probabilities),
        is_exact,
        thought=completion.thought,
        notes=(*filter(None, [response_format.note]), *found.notes),
        missing=found.missing,
        label_mass=mass or None,
    )


def choose_labels(client: ChatClient, request: Request) -> Reply:
    """Answer a form of choice blanks, as `complete_form`.

    The beginning of an answer cannot be set on every server, so each blank is read after the labels that the
    model chose, not after the first label of each blank.

    Raises:
        InputError: the form has other blanks.
    """
    check_choices_only(request.form)
    return complete_form(client, request)


def check_choices_only(form: Form) -> list[Literal | Choice]:
    """Check that a form has no lists and no text.

    Args:
        form: the form.

    Returns:
        The pieces of the form.

    Raises:
        InputError: the form has other blanks than choices.
    """
    pieces: list[Literal | Choice] = []
    walk = form.walk()
    try:
        piece = next(walk)
        while True:
            if not isinstance(piece, Literal | Choice):
                raise InputError("form", piece.name, "choice blanks", 'use form.at_depth("score")')
            pieces.append(piece)
            piece = walk.send(piece.labels[0] if isinstance(piece, Choice) else "")
    except StopIteration:
        return pieces
