"""Choose how the elements of a prompt are listed: by the model, by grammar, by rules.

`auto` is the model itself for general models. Models that were tuned on a rubric get phrases for prompts
that are
written in the words of the embedded judge's training, as in that training; for other prompts they get the
default
of this installation (`judge.elements.splitters.registry.default_splitter`).
"""

from __future__ import annotations

from collections.abc import Callable

from judge.elements.splitters.model_lists import ModelLists, ModelSplitter
from judge.elements.splitters.registry import PHRASES, Splitter, check_splitter, find_splitter
from judge.elements.statements import Statement

ElementSplitter = Callable[[str, int], list[Statement]]


class TunedSplitter:
    """A splitter for one prompt and a model that was tuned on a rubric.

    Args:
        name: auto, rules, grammar or words.
        is_trained: tells whether the model's training had every word of a text.

    Raises:
        InputError: `grammar` is not installed.
    """

    def __init__(self, name: str, is_trained: Callable[[str], bool]) -> None:
        self._name, self._splitter, self._is_trained = name, find_splitter(name), is_trained

    def __call__(self, text: str, limit: int) -> list[Statement]:
        """Return the statements of a text; see `judge.elements.splitters.registry.Splitter.split`."""
        if self._name in ("auto", "rules") and self._is_trained(text):
            self._splitter = PHRASES
        return self._splitter.split(text, limit)

    @property
    def label(self) -> str:
        """The way the elements were listed, for the provenance."""
        return self._splitter.label


def choose_splitter(
    name: str,
    *,
    is_tuned: bool,
    is_trained: Callable[[str], bool],
    lists: ModelLists | None,
    count: int,
    seed: int = 0,
) -> Splitter | TunedSplitter | ModelSplitter:
    """Return the splitter for one prompt.

    Args:
        name: as in `judge.elements.splitters.registry.SPLITTER_NAMES`.
        is_tuned: whether the model was tuned on a rubric; general models list elements themselves by default.
        is_trained: as in `TunedSplitter`.
        lists: what the model has listed so far; None: there is no model to ask.
        count: largest number of elements that the model is asked for.
        seed: for backends that sample.

    Raises:
        InputError: the name is unknown, the splitter is not installed, or there is no model to ask.
    """
    check_splitter(name)
    if lists is not None and (name == "model" or (name == "auto" and not is_tuned)):
        return ModelSplitter(lists, count, seed)
    return TunedSplitter(name, is_trained) if is_tuned else find_splitter(name)
