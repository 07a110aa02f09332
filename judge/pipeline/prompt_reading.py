"""What the prompt of a sample asks for: the text that the model is shown, and the elements to check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from judge.elements.element_list import (
    MAX_LISTED_ELEMENTS,
    ElementList,
    list_elements,
    list_given_elements,
    remove_repeated,
    shown_text,
)
from judge.elements.splitters.choice import ElementSplitter, choose_splitter
from judge.elements.splitters.model_lists import ListQuestion, ModelLists, ModelSplitter
from judge.elements.splitters.registry import check_splitter
from judge.elements.statements import Statement, singularise_last
from judge.errors import InputError
from judge.pipeline import domain
from judge.pipeline.model_info import ModelInfo
from judge.pipeline.validation import check_elements, check_max_elements, check_prompt, check_sample
from judge.pipeline.writing.reading import add_text_statements, find_sample_texts
from judge.rubrics.rubric import Rubric
from judge.types import Sample


@dataclass(frozen=True)
class PromptReader:
    """Reads the prompts of samples for one model under one rubric."""

    rubric: Rubric
    load_model_info: Callable[[], ModelInfo]
    """Called when a prompt is to be split and the splitter depends on the model."""
    is_embedded: bool = False
    """Whether the model is the embedded judge, which was trained on few words."""
    max_elements: int = MAX_LISTED_ELEMENTS
    """Elements taken from a prompt, at most."""
    splitter: str = "auto"
    """How elements are taken from a prompt, as in `judge.elements.splitters.registry.SPLITTER_NAMES`."""
    model_lists: ModelLists = field(default_factory=ModelLists)
    """The lists that the model has made."""
    seed: int = 0

    def read(
        self, sample: Sample, notes: list[str], max_elements: int | None = None
    ) -> tuple[str, ElementList]:
        """Check the prompts of a sample and list the elements to ask about.

        Args:
            sample: the sample.
            notes: notes for the verdict are appended.
            max_elements: elements taken from the prompt, at most; default: as many as the reader takes.

        Returns:
            The prompt that the model is shown, and the elements; none if the rubric asks for none.

        Raises:
            InputError: a prompt or an element is not usable.
        """
        limit = check_max_elements(self.max_elements if max_elements is None else max_elements)
        prompt = check_prompt(sample.prompt, self.rubric.needs_prompt, notes)
        negative_prompt = check_prompt(sample.negative_prompt, False, notes, "negative_prompt")
        listed = self._list_elements(sample, limit, notes)
        if not self.is_embedded:
            # A general model reads the prompt as its author wrote it.
            return (f"{prompt} Negative prompt: {negative_prompt}" if negative_prompt else prompt), listed
        if negative_prompt and not self.rubric.elements:
            notes.append(f"the negative prompt was not used: rubric {self.rubric.name} asks for no elements")
        return shown_text(listed) or prompt, listed

    def questions(
        self, sample: Sample | Mapping[str, Any], max_elements: int | None = None
    ) -> list[ListQuestion]:
        """Return what the model has to be asked so that it lists the elements of a sample.

        Args:
            sample: the sample, or its fields; one that is not usable has no questions.
            max_elements: as in `read`.

        Returns:
            Questions for `complete`; store the replies in `model_lists`. None if another splitter is used,
            the sample has its own elements, or its list is known.
        """
        try:
            checked = check_sample(sample)
            limit = check_max_elements(self.max_elements if max_elements is None else max_elements)
            if not self.rubric.elements or isinstance(checked.elements, list):
                return []
            check_prompt(checked.prompt, self.rubric.needs_prompt, [])
            splitter = self._splitter(checked, limit)
        except InputError:
            return []  # `read` raises it again
        if isinstance(splitter, ModelSplitter):
            self._list_from_prompt(checked, splitter, limit)
            return splitter.questions
        return []

    def _splitter(self, sample: Sample, limit: int) -> ElementSplitter:
        """Return the splitter for the prompt of a sample."""
        return self.choose_splitter(
            check_splitter(sample.elements) if isinstance(sample.elements, str) else self.splitter, limit
        )

    def choose_splitter(self, name: str, limit: int) -> ElementSplitter:
        """Return the splitter for one prompt.

        Args:
            name: as in `judge.elements.splitters.registry.SPLITTER_NAMES`.
            limit: largest number of elements that the model is asked for.

        Raises:
            InputError: the splitter is not installed, or the model cannot list elements.
        """
        is_tuned = self.is_embedded or not self.load_model_info().lists_elements
        has_model = name == "model" or not is_tuned
        lists = self.model_lists if has_model and not self.load_model_info().images_only else None
        return choose_splitter(
            name,
            is_tuned=is_tuned,
            is_trained=domain.is_trained_wording,
            lists=lists,
            count=limit,
            seed=self.seed,
        )

    def _list_from_prompt(self, sample: Sample, splitter: ElementSplitter, limit: int) -> ElementList:
        has_reference = self.rubric.reference != "none" and sample.reference is not None
        return list_elements(
            sample.prompt, sample.negative_prompt, split=splitter, limit=limit, has_reference=has_reference
        )

    def _list_elements(self, sample: Sample, limit: int, notes: list[str]) -> ElementList:
        """Return the sample's own elements or those of its prompt, with those of its negative prompt."""
        given = check_elements(sample.elements)
        if not self.rubric.elements:
            if given:
                notes.append(
                    f"rubric {self.rubric.name} does not ask for elements: those given were not used"
                )
            return replace(list_given_elements(sample.prompt, []), splitter="")
        if given is not None:
            listed = list_given_elements(sample.prompt, given, sample.negative_prompt)
        else:
            splitter = self._splitter(sample, limit)
            listed = self._list_from_prompt(sample, splitter, limit)
            notes += getattr(splitter, "notes", [])
            if self.rubric.reference == "required" and not listed.is_edit:
                # The prompt of an edit is an instruction: what it describes need not be in the image.
                listed = listed.without_statements()
        if self.rubric.texts:
            listed = add_text_statements(listed, find_sample_texts(sample))
        return self._leave_out_negatives(listed, notes)

    def _leave_out_negatives(self, listed: ElementList, notes: list[str]) -> ElementList:
        """Leave out what must be absent where the rubric or the embedded judge does not ask about it."""
        notes += listed.notes
        unwanted = [statement for statement in listed.statements if not statement.expected]
        if not unwanted or (self.rubric.negatives and not self.is_embedded):
            return listed
        kept: list[Statement] = []
        reason = f"rubric {self.rubric.name} does not ask what must be absent"
        if self.rubric.negatives:
            kept = [s.model_copy(update={"name": singularise_last(s.name)}) for s in unwanted]
            kept = [s for s in kept if domain.names_known_object(s.name)]
            reason = "the embedded judge was not trained on the words of what must be absent"
        wanted = [statement for statement in listed.statements if statement.expected]
        result = replace(listed, statements=remove_repeated([*wanted, *kept]))
        names = {singularise_last(statement.name) for statement in kept}
        left_out = [s.name for s in unwanted if singularise_last(s.name) not in names]
        if left_out:
            notes.append(f"{reason}: left out {', '.join(left_out[:5])}" + (", ..." if left_out[5:] else ""))
        return result
