"""The interface between the judge and a model: the requests, the replies, and the protocols of a backend."""

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

Verb = Literal["choose", "complete"]
"""The two ways to answer a form: the methods of `Backend`."""


@dataclass
class VideoInput:
    """A video as the model sees it."""

    frames: list[Image]
    """RGB images of one size, in display order."""
    times: list[float]
    """Time of each frame, in seconds from the start of the video."""
    duration: float
    """Length of the whole video, in seconds."""


@dataclass
class Request:
    """One form to fill, with the chat that asks for it."""

    images: list[Image]
    """RGB images at the size the model sees, in the order of the image parts of `messages`."""
    messages: list[dict[str, Any]]
    """Chat messages. Their text is content: control tokens in it have no effect."""
    form: Form
    videos: list[VideoInput] = field(default_factory=list)
    """Videos, in the order of the video parts of `messages`. Only for backends with `takes_video`."""
    rubric: str = ""
    """Name of the rubric. A model with rubric-specific adapters selects one by it."""
    seed: int = 0
    """Sampling seed. Backends that decode by argmax ignore it."""


@dataclass
class Reply:
    """A filled form."""

    text: str
    """The JSON text; `form.parse` reads it."""
    probabilities: dict[str, dict[str, float]] = field(default_factory=dict)
    """Path of a choice or branch blank -> label -> probability. The probabilities of a blank sum to 1. The
    labels of a branch blank are `open` and `close`."""
    exact: bool = True
    """True if the probabilities are the model's own; False if they are estimates, for example from the top
    log-probabilities of a server."""
    thought: str = ""
    """What the model thought before it filled the form; empty for a model that does not think."""
    label_mass: dict[str, float] | None = None
    """Path of a choice or branch blank -> probability that the model gives to all of its labels together,
    before they are scaled to sum to 1. None if the backend cannot measure it."""
    notes: tuple[str, ...] = ()
    """What the reader of the verdict should know about how the reply was read."""
    missing: dict[str, str] = field(default_factory=dict)
    """Name of a blank, or of a list, without a usable answer -> why. The text leaves it out."""


Target = Mapping[str, Mapping[str, float]]
"""A number computed from probabilities: path of a blank -> label -> weight. Its value is the sum of weight
times probability. The labels of a branch blank are `open` and `close`."""
RelevanceMaps = list[list["NDArray[np.float32]"]]
"""For each target and each image of the request: the relevance (rows, columns) of the image's patches, 0 or
more."""


@dataclass
class TraceRequest:
    """A filled form, and the numbers in it to trace back to the images."""

    request: Request
    values: dict[str, Any] | None
    """Values of the form, as `Form.render` takes them. None: the labels that `choose` reads it behind."""
    targets: list[Target]


@dataclass(frozen=True)
class AdapterInfo:
    """Name and domain of the adapter that a model uses for one rubric."""

    adapter: str
    """Name of the adapter, as provenance reports it."""
    domain: str = ""
    """What the adapter was trained on, in words; empty when unknown."""


@runtime_checkable
class Backend(Protocol):
    """A model that fills forms.

    Rows are independent: no answer depends on the other rows, and a row that fails is returned as a
    `ReplyError` at its index. `BackendError` is raised when the model cannot run at all.

    A backend may define these optional attributes:

    - `adapters`: a mapping of rubric names to `AdapterInfo`, if it selects an adapter by `Request.rubric`.
    - `takes_video`: true if it accepts `Request.videos`. Other backends get the frames of a video as images.
    - `lists_elements`: true if the model lists the elements of a prompt by default, from one question for
    each
      distinct prompt; default: true for a general model (not `brief`).
    - `images_only`: true if the model reads no text. It gets no messages, and no facts are measured for it.
    - `training`: what its adapter was trained on, a `judge.backends.adapter_training.AdapterTraining`.
    - `card`: the settings that a card of `judge examine` applied to it, see `judge.backends.cards`.
    - `notes`: what the reader of every verdict should know, in words.
    """

    name: str
    """Short name of the backend, for example `transformers`."""
    version: str
    """Version of the library that runs the model."""
    model: str
    """The model, as the caller named it."""
    revision: str
    """Revision of the weights; empty when unknown."""
    adapter: str | None
    """Name of the general adapter; None without one."""
    domain: str
    """What the model was trained on, in words; empty when unknown."""
    brief: bool
    """True if the model was fine-tuned on the rubrics and takes the brief prompt template."""
    size: int | None
    """Side in pixels of the square image that the model sees. None: any shape up to the model's own pixel
    limit."""

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Read the label probabilities at every blank of a form without text and lists.

        A model that is `brief` was trained to read all blanks in one forward pass: each is read with the
        first label in every blank before it. Any other model is read from left to right, with its own most
        likely label in each blank before, because behind labels that it would not have written its numbers
        mean something else. That costs a short step for each blank, after a cached beginning.

        Args:
            requests: rows whose forms hold choice blanks only (`form.at_depth("score")`).

        Returns:
            One reply for each request, in order. The text holds the most likely labels.
        """
        ...

    def complete(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Fill the whole form from left to right under its grammar, with the most likely label at a choice.

        Args:
            requests: rows with forms of any kind.

        Returns:
            One reply for each request, in order.
        """
        ...


@runtime_checkable
class Tracer(Protocol):
    """A backend with gradients, which can trace its numbers back to parts of the images."""

    def trace(self, requests: Sequence[TraceRequest]) -> list[RelevanceMaps | ReplyError]:
        """Compute the relevance of each image patch for each target.

        Args:
            requests: filled forms with the targets to trace.

        Returns:
            For each request, the relevance maps: how much, to first order, the target would change if the
            patch looked like the mean of all patches.
        """
        ...


@runtime_checkable
class Stream(Protocol):
    """A backend that works on many forms at once and returns each as soon as it is done.

    Servers use it to accept new requests while older ones are being answered. Only one thread at a time may
    call it.
    """

    pending: int
    """Number of keys that were submitted and neither returned nor aborted."""

    def submit(self, key: str, verb: Verb, request: Request) -> None:
        """Add a form to the work in progress.

        Args:
            key: identifies the form until `step` returns it.
            verb: how to answer it, `choose` or `complete`.
            request: the form.

        Raises:
            InputError: the key is in use.
        """
        ...

    def step(self) -> list[tuple[str, Reply | ReplyError]]:
        """Run the model once on everything that is pending.

        Returns:
            The keys and replies that this run finished; often none.

        Raises:
            BackendError: the model cannot run; everything that is pending is lost.
        """
        ...

    def abort(self, key: str) -> None:
        """Drop a key, so that `step` never returns it. Unknown and finished keys are ignored."""
        ...
