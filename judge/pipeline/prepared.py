"""What is known of a model before it is asked, and a sample on its way to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from judge.backends.base import AdapterInfo, Request, Tracer
from judge.types import Depth

if TYPE_CHECKING:
    from PIL import Image

    from judge.backends.base import Backend


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a model without asking it; the fields are those of `Backend`."""

    name: str
    version: str
    model: str
    revision: str
    adapter: str | None
    domain: str
    brief: bool
    size: int | None
    tunings: Mapping[str, AdapterInfo] = field(default_factory=dict)
    """Rubrics that the model has adapters for."""

    films: bool = False
    """It takes videos as such; otherwise it is shown their frames as pictures."""
    wordless: bool = False
    """It looks at pictures alone: no words are written for it and nothing is measured for it. Its answers
    stand for all that its teacher knew, facts included."""
    traces: bool = False
    """Its numbers can be traced back to the pictures: `judge.explain.heatmap`."""

    def under(self, rubric: str) -> AdapterInfo:
        """The adapter that answers a rubric (empty: none) and what it was trained on."""
        return self.tunings.get(rubric) or AdapterInfo(self.adapter or "", self.domain)

    @classmethod
    def of(cls, backend: Backend) -> ModelInfo:
        return cls(
            name=backend.name,
            version=backend.version,
            model=backend.model,
            revision=backend.revision,
            adapter=backend.adapter or None,
            domain=backend.domain,
            brief=backend.brief,
            size=backend.size,
            tunings=dict(getattr(backend, "tunings", {})),
            films=bool(getattr(backend, "films", False)),
            wordless=bool(getattr(backend, "wordless", False)),
            traces=isinstance(backend, Tracer),
        )


@dataclass(frozen=True)
class PreparedSample:
    """One checked sample on its way through the backend."""

    id: str
    depth: Depth
    request: Request
    size: tuple[int, int]
    """Width and height of the original in pixels."""
    facts: dict[str, float]
    """What was measured; see `judge.evidence.facts` and `judge.evidence.motion`."""
    notes: list[str]
    image: Image.Image | None
    """The decoded original where the verdict is to keep it."""
    outside: str = ""
    """Why the verdict abstains: the picture is outside the calibration's domain."""
    prompt: str = ""
    """As it was checked."""
    picture: Image.Image | None = None
    """The picture as the model sees it."""
    reference: Image.Image | None = None
    """The reference as the model sees it, where it is shown one."""
    original: Image.Image | None = None
    """The decoded picture in full size, where closer looks may want it."""
    moving: bool = False
    """It is a video."""
