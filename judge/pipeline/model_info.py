"""What the pipeline knows about a model before it calls it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from judge.backends.adapter_training import AdapterTraining
from judge.backends.base import AdapterInfo, Tracer
from judge.backends.cards import AppliedCard
from judge.types import ComparisonMethod

if TYPE_CHECKING:
    from judge.backends.base import Backend


@dataclass(frozen=True)
class ModelInfo:
    """Properties of a model and its backend; the fields are those of `judge.backends.base.Backend`."""

    name: str
    version: str
    model: str
    revision: str
    adapter: str | None
    domain: str
    brief: bool
    size: int | None
    adapters: Mapping[str, AdapterInfo] = field(default_factory=dict)
    """Rubric name -> the adapter that the model has for it."""

    takes_video: bool = False
    """Whether the model takes videos. Other models are shown the frames as images."""
    lists_elements: bool = False
    """Whether the model lists the elements of a prompt by default: a general model."""
    images_only: bool = False
    """Whether the model reads no text: it gets no messages, and nothing is measured for it. Its answers cover
    everything that its teacher knew, facts included."""
    has_gradients: bool = False
    """Whether numbers can be traced back to the images; see `judge.explain.heatmap`."""
    teacher: str = ""
    """The model that a student was distilled from; empty for others."""
    training: AdapterTraining | None = None
    """What the adapter was trained on; None if unknown."""

    @property
    def is_general(self) -> bool:
        """Whether the model was not tuned to judge: it has no adapter and does not take the brief template.

        General models are asked by the rubric's texts for them, see `Rubric.for_general_models`.
        """
        return not (self.brief or self.adapter or self.training or self.images_only)

    card: str = ""
    """The settings that a card of `judge examine` applied, in words; empty if none. See
    `judge.backends.cards`."""
    compare: ComparisonMethod | None = None
    """How the card says that two images are compared with "auto"; None: as for other models."""
    notes: tuple[str, ...] = ()
    """What the reader of every verdict should know about the model."""

    def adapter_for(self, rubric: str) -> AdapterInfo:
        """Return the adapter that answers a rubric (its name is empty if there is none) and its domain."""
        return self.adapters.get(rubric) or AdapterInfo(self.adapter or "", self.domain)

    @classmethod
    def from_backend(cls, backend: Backend) -> ModelInfo:
        """Read the properties of a loaded backend."""
        card = getattr(backend, "card", None) or AppliedCard()
        return cls(
            name=backend.name,
            version=backend.version,
            model=backend.model,
            revision=backend.revision,
            adapter=backend.adapter or None,
            domain=backend.domain,
            brief=backend.brief,
            size=backend.size,
            adapters=dict(getattr(backend, "adapters", {})),
            takes_video=bool(getattr(backend, "takes_video", False)),
            lists_elements=bool(getattr(backend, "lists_elements", not backend.brief)),
            images_only=bool(getattr(backend, "images_only", False)),
            has_gradients=isinstance(backend, Tracer),
            teacher=str(getattr(backend, "teacher", "")),
            training=getattr(backend, "training", None),
            card=card.text,
            compare=card.compare,
            notes=tuple(getattr(backend, "notes", ())),
        )
