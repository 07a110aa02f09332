"""Lists of elements made by the judge's model: one question for each distinct text."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from judge.elements.model_extraction import build_extraction_request, parse_elements
from judge.elements.splitters.registry import RULES
from judge.elements.statements import Statement
from judge.errors import ReplyError

if TYPE_CHECKING:
    from judge.backends.base import Reply, Request

MAX_LISTS = 100_000
"""Largest number of lists that are kept, the most recently used."""
ListKey = tuple[str, int, int]
"""Text, largest number of elements, seed."""


class ModelLists:
    """The lists that a model has made, by content; shared by all its pipelines and threads.

    Args:
        size: largest number of lists, the most recently used.
    """

    def __init__(self, size: int = MAX_LISTS) -> None:
        self._size = size
        self._lists: OrderedDict[ListKey, list[Statement] | str] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, key: ListKey) -> list[Statement] | str | None:
        """Return a list, the reason why there is none, or None if the model was not asked yet."""
        with self._lock:
            if key in self._lists:
                self._lists.move_to_end(key)
            return self._lists.get(key)

    def store(self, key: ListKey, request: Request, reply: Reply | ReplyError) -> None:
        """Store the list in a reply, or the reason why it holds none."""
        result: list[Statement] | str
        try:
            result = parse_elements(request, reply)
        except ReplyError as error:
            result = str(error)
        with self._lock:
            self._lists[key] = result
            while len(self._lists) > self._size:
                self._lists.popitem(last=False)


@dataclass(frozen=True)
class ListQuestion:
    """A question to the model that lists the elements of one text."""

    key: ListKey
    request: Request


@dataclass
class ModelSplitter:
    """A splitter for one prompt that returns what the model has listed, or what the rules find if it failed.

    Args:
        lists: the lists made so far.
        count: largest number of elements that the model is asked for.
        seed: for backends that sample.
    """

    lists: ModelLists
    count: int
    seed: int = 0
    questions: list[ListQuestion] = field(default_factory=list)
    """What the model has to be asked first; the rules stand in until then."""
    notes: list[str] = field(default_factory=list)
    """Why the rules were used."""
    label: str = "model"
    """The way the elements were listed, for the provenance."""

    def __call__(self, text: str, limit: int) -> list[Statement]:
        """Return the statements of a text; see `judge.elements.splitters.registry.Splitter.split`."""
        count = min(limit, self.count)
        key = (text, count, self.seed)
        found = self.lists.find(key)
        if isinstance(found, list):
            return found
        if found is None:
            self.questions.append(ListQuestion(key, build_extraction_request(text, count, seed=self.seed)))
            found = "it was not asked"
        self.label = RULES.label
        self.notes.append(f"the model did not list the elements ({found}): the rules did")
        return RULES.split(text, limit)


def distinct_questions(questions: Iterable[ListQuestion]) -> list[ListQuestion]:
    """Return one question for each distinct text, in order."""
    return list({question.key: question for question in questions}.values())


def store_replies(
    lists: ModelLists, questions: Sequence[ListQuestion], replies: Sequence[Reply | ReplyError]
) -> None:
    """Store the replies to questions."""
    for question, reply in zip(questions, replies, strict=True):
        lists.store(question.key, question.request, reply)
