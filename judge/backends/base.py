"""The one seam to a model: what a backend is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from judge.errors import ReplyError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image

    from judge.rubrics.form import Form


@dataclass
class VideoInput:
    """A video as a model sees it."""

    frames: list[Image]
    """RGB pictures of one size, in the order they are shown."""
    times: list[float]
    """When, in seconds from the beginning."""
    duration: float
    """Seconds."""


@dataclass
class Request:
    """One form to fill."""

    images: list[Image]
    """RGB pictures as the model shall see them, in the order of the image parts of `messages`."""
    messages: list[dict[str, Any]]
    """Chat messages; their text is content, whatever it looks like."""
    form: Form
    films: list[VideoInput] = field(default_factory=list)
    """Videos, in the order of the video parts of `messages`; for backends that take them."""
    rubric: str = ""
    """Name of the rubric that asks, for a model that has adapters for some."""
    seed: int = 0
    """For backends that sample; one that decides by argmax ignores it."""


@dataclass
class Reply:
    """A filled form."""

    text: str
    """The JSON text; `form.parse` reads it."""
    probabilities: dict[str, dict[str, float]] = field(default_factory=dict)
    """Path of a choice or branch blank -> label -> probability; each blank's sum to 1.
    The labels of a branch blank are `open` and `close`."""
    exact: bool = True
    """Whether the probabilities are the model's own; false: estimated, for example from top logprobs."""


Target = Mapping[str, Mapping[str, float]]
"""A number that rests on probabilities: path of a blank -> label -> weight. It is the sum of weight times
probability; the labels of a branch blank are `open` and `close`."""
Rasters = list[list["NDArray[np.float32]"]]
"""For each target, for each picture of the ask: (rows, columns) relevance of its patches, 0 or more."""


@dataclass
class TraceRequest:
    """A filled form, and the numbers in it that are to be traced back to the pictures."""

    request: Request
    values: dict[str, Any] | None
    """What stands in the form, as in `Form.render`; None: it is read as `choose` reads it."""
    targets: list[Target]


@dataclass(frozen=True)
class AdapterInfo:
    """What a model says of itself under a rubric that it has an adapter for."""

    adapter: str
    domain: str = ""


@runtime_checkable
class Backend(Protocol):
    """A model that fills forms. Rows are independent: one that fails comes back as a `ReplyError` in its
    place, and no row's answer depends on the others. `BackendError` is raised when the model cannot run.

    A backend that picks an adapter by `Request.rubric` also has `tunings`, a mapping of rubric names to `AdapterInfo`.
    One that takes videos as such has `films`, true; others are shown their frames as pictures. One that reads
    no words has `wordless`, true: it gets no messages, and nothing is measured for it.
    """

    name: str
    version: str
    """Version of the library that runs the model."""
    model: str
    revision: str
    adapter: str | None
    domain: str
    """What the model was trained on, for the reader; empty when unknown."""
    brief: bool
    """The model was tuned on the rubric and takes the brief template."""
    size: int | None
    """Side in pixels of the square the model sees; None: any shape up to its own pixel limit."""

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Read the labels' probabilities at every blank in one forward pass, generating nothing.

        Forms must hold choice blanks only (`form.at_depth("score")`). Each blank is read with the first
        label standing in every blank before it; the text holds the likeliest labels.
        """
        ...

    def complete(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Fill the whole form from left to right under its grammar, the likeliest label at each choice."""
        ...


@runtime_checkable
class Tracer(Protocol):
    """A backend that can tell which parts of the pictures its numbers come from: one with gradients."""

    def trace(self, requests: Sequence[TraceRequest]) -> list[Rasters | ReplyError]:
        """Relevance of each patch for each target: how much, to first order, the number would change if the
        patch looked like the mean of all patches."""
        ...


@runtime_checkable
class Stream(Protocol):
    """A backend that works on many forms at once and hands each back as it is done, for servers that take
    new questions while older ones are being answered. One thread at a time may call it.
    """

    pending: int
    """Keys submitted and neither returned nor aborted."""

    def submit(self, key: str, verb: Literal["choose", "complete"], request: Request) -> None:
        """Take a form in; `key` names it until `step` returns it. Raises `InputError` for a key in use."""
        ...

    def step(self) -> list[tuple[str, Reply | ReplyError]]:
        """Run the model once on all that is pending; returns what was finished by it, often nothing.

        Raises:
            BackendError: the model cannot run; everything pending is lost with it.
        """
        ...

    def abort(self, key: str) -> None:
        """Forget a key, which `step` then never returns; unknown and finished ones are no error."""
        ...
