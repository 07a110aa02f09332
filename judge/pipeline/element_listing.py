"""Choose how the elements of a prompt are listed: by the model, by grammar, by rules.

`auto` is the model itself for general models. Models that were tuned on a rubric get phrases for prompts
that are
written in the words of the embedded judge's training, as in that training; for other prompts they get the
default
of this installation (`judge.elements.splitters.registry.default_splitter`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from judge.elements.element_list import ElementList, list_elements
from judge.elements.splitters.model_lists import ModelLists, ModelSplitter
from judge.elements.splitters.registry import PHRASES, Splitter, check_splitter, find_splitter
from judge.elements.statements import Statement
from judge.pipeline.domain import find_unknown_words, training_words

ElementSplitter = Callable[[str, int], list[Statement]]


class TunedSplitter:
    """A splitter for one prompt and a model that was tuned on a rubric.

    Args:
        name: auto, rules, grammar or words.

    Raises:
        InputError: `grammar` is not installed.
    """

    def __init__(self, name: str = "auto") -> None:
        self._name, self._splitter = name, find_splitter(name)

    def __call__(self, text: str, limit: int) -> list[Statement]:
        """Return the statements of a text; see `judge.elements.splitters.registry.Splitter.split`."""
        if self._name in ("auto", "rules") and is_trained_wording(text):
            self._splitter = PHRASES
        return self._splitter.split(text, limit)

    @property
    def label(self) -> str:
        """The way the elements were listed, for the provenance."""
        return self._splitter.label


def is_trained_wording(text: str) -> bool:
    """Return whether the embedded judge was trained on every word of a text."""
    known = training_words()
    return bool(known) and not find_unknown_words(text, (), known)


def choose_splitter(
    name: str, *, is_tuned: bool, lists: ModelLists | None, count: int, seed: int = 0
) -> Splitter | TunedSplitter | ModelSplitter:
    """Return the splitter for one prompt.

    Args:
        name: as in `judge.elements.splitters.registry.SPLITTER_NAMES`.
        is_tuned: whether the model was tuned on a rubric; general models list elements themselves by default.
        lists: what the model has listed so far; None: there is no model to ask.
        count: largest number of elements that the model is asked for.
        seed: for backends that sample.

    Raises:
        InputError: the name is unknown, the splitter is not installed, or there is no model to ask.
    """
    check_splitter(name)
    if lists is not None and (name == "model" or (name == "auto" and not is_tuned)):
        return ModelSplitter(lists, count, seed)
    return TunedSplitter(name) if is_tuned else find_splitter(name)


def list_for_tuned_model(prompt: str, negative_prompt: str = "", **options: Any) -> ElementList:
    """List the elements of a prompt as the pipeline does for a model that was tuned on a rubric."""
    return list_elements(prompt, negative_prompt, split=TunedSplitter(), **options)
