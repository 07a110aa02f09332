"""The data that flows through a judge: what is judged, what is known about it, and the verdict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Score = Annotated[float, Field(ge=1.0, le=5.0)]
Box = tuple[float, float, float, float]
Distribution = Annotated[list[Probability], Field(min_length=5, max_length=5)]
Family = Literal["artifact", "misalignment"]
Severity = Literal["negligible", "moderate", "critical"]
Depth = Literal["score", "verdict"]
Way = Literal["pointwise", "pairwise"]
"""How pictures are compared: each judged on its own, or both shown together."""
How = Literal["auto", "pointwise", "pairwise"]


class Model(BaseModel):
    """Strict base: unknown fields are errors, so a misspelt field never passes silently."""

    model_config = ConfigDict(extra="forbid")


class Sample(Model):
    """One thing to judge: a picture or a video, the prompt it was made from, and what to look for."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    id: str = ""
    """The caller's name for this sample; kept in the verdict."""
    image: Any = None
    """Path, `PIL.Image.Image`, encoded bytes, `data:` URL or uint8 array (H, W, 3); see `judge.media.image`."""
    video: Any = None
    """In place of `image`: path, encoded bytes or `data:` URL of a video, uint8 array (frames, H, W, 3), or a
    sequence of pictures; see `judge.media.video`."""
    prompt: str = ""
    """The text the picture was made from; empty only for rubrics that need no prompt."""
    elements: list[str] | None = None
    """Statements to check, in order, without doubles. None: taken from the prompt."""
    reference: Any = None
    """What the picture is compared with (an edit's source, a restoration's original), in any form `image`
    takes. Only rubrics with `reference` show it to the model."""


class ElementLabel(Model):
    """The truth about one element."""

    name: str
    present: bool
    kind: str = ""
    """What sort of statement it is: object, count, relation, background; empty when unknown."""


class DefectLabel(Model):
    """The truth about one region."""

    family: Family = "artifact"
    kind: str
    box: Box
    """x1, y1, x2, y2 in pixels of the original picture, x2 and y2 exclusive."""
    severity: Severity = "moderate"
    explanation: str = ""
    mask: Path | None = None
    """8-bit PNG of the picture's size, 255 inside the region; relative to the label file."""


class Labels(Model):
    """What people, or the renderer, say about a sample. Absent labels are None, never a default."""

    score: Score | None = None
    dimensions: dict[str, Score] = {}
    elements: list[ElementLabel] = []
    defects: list[DefectLabel] = []
    attributes: dict[str, str] = {}


class LabelledSample(Sample):
    """A sample with its truth: one row of a scenes file or of an evaluation suite."""

    labels: Labels = Labels()


class Dimension(Model):
    """One scored dimension."""

    score: Score
    """Expectation over `distribution`, 1 (worst) to 5 (best)."""
    distribution: Distribution
    """Probabilities of the labels 1 to 5."""


class Element(Model):
    """One element of the prompt and whether the picture shows it."""

    name: str
    present: bool
    """`probability` cut at 0.5."""
    probability: Probability
    """The model's own, but no higher than that of an element it needs."""
    kind: str = ""
    """object, attribute, count, relation, activity, style or text; see `judge.elements.statements`."""
    needs: list[str] = []
    """Names of elements of this verdict that must be there before this one can."""


class Attribute(Model):
    """The answer to one categorical question of the rubric (for example the kind of degradation)."""

    label: str
    probabilities: dict[str, Probability]


class Defect(Model):
    """One region that is broken, or that contradicts the prompt."""

    family: Family
    kind: str
    box: Box
    """x1, y1, x2, y2 in pixels of the original picture, x2 and y2 exclusive."""
    severity: Severity
    confidence: Probability
    """Probability the model gave to naming another defect where it named this one."""
    explanation: str


class Provenance(Model):
    """Where a verdict comes from: enough to ask for it again."""

    model: str
    revision: str = ""
    """Content hash or hub revision of the weights."""
    adapter: str | None = None
    backend: str
    backend_version: str = ""
    rubric: str
    rubric_version: str = ""
    rubric_hash: str
    depth: Depth
    seed: int = 0
    version: str
    """Version of this package."""
    milliseconds: float = Field(ge=0)
    """Wall time of the call that made this verdict, divided by the size of its batch."""
    domain: str = ""
    """What the model was trained on, and so how far to trust it; empty when the model does not say."""
    notes: list[str] = []
    """What the reader should know: an animation judged by its first frame, a disagreement of depths, ..."""


class Look(Model):
    """One question put to the model."""

    region: Box
    """The part of the picture shown, in pixels of the original."""
    question: str
    answer: str
    milliseconds: float = Field(ge=0)


class Heat(Model):
    """Where in the picture the numbers come from: see `judge.explain.heatmap`. Each map is an 8-bit grey PNG as a
    `data:` URL, of the picture's shape with 64 pixels along its longer side, 255 where most comes from."""

    score: str
    defects: list[str] = []
    """One for each defect of the verdict, in order: why it was named there, and so called."""


class Panelist(Model):
    """What one judge of a panel gave."""

    model: str
    adapter: str | None = None
    rubric: str
    seed: int = 0
    weight: Probability
    score: Score | None
    reason: str = ""
    """Why there is no score."""


class Verdict(Model):
    """The judge's answer about one sample. Unscored verdicts have a reason and no numbers."""

    id: str = ""
    status: Literal["scored", "unscored"]
    reason: str = ""
    """Why there is no score; empty when scored."""
    score: Score | None = None
    """Expectation over `distribution`, 1 (worst) to 5 (best); on the human scale where it was calibrated."""
    distribution: Distribution | None = None
    percentile: Annotated[float, Field(ge=0.0, le=100.0)] | None = None
    """Share in percent of the calibration's pictures with a lower score; None without a calibration."""
    dimensions: dict[str, Dimension] = {}
    elements: list[Element] = []
    attributes: dict[str, Attribute] = {}
    defects: list[Defect] = []
    explanation: str = ""
    facts: dict[str, Probability] = {}
    """What was measured in the picture and told to the model, each 0..1; see `judge.evidence.facts`, for videos
    `judge.evidence.motion`."""
    size: tuple[int, int] | None = None
    """Width and height in pixels of the picture that `box` refers to; of a video's frames."""
    provenance: Provenance
    heat: Heat | None = None
    """Heat maps, where they were asked for."""
    trace: list[Look] = []
    panel: list[Panelist] = []
    """What each judge of a `Panel` gave; empty for a single judge."""
    disagreement: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    """Weighted standard deviation of the panel's scores; None for a single judge."""

    _image: Any = None
    """The decoded picture, of a video the frame in its middle, or a function that gives it, kept for
    `overlay`; never serialised."""

    def overlay(self, image: Any = None) -> Any:
        """Draw boxes, kinds, elements and score on the picture.

        Args:
            image: the picture as `Sample.image` takes it; default: the one that was judged.

        Returns:
            A new RGB `PIL.Image.Image` with the verdict drawn on it.

        Raises:
            InputError: no picture was kept (a verdict read from JSON) and none is given.
        """
        from judge.explain.overlay import overlay

        return overlay(self, image)


class Comparison(Model):
    """Two pictures of one prompt: which is better."""

    preferred: Literal["a", "b", "tie"] | None
    """Pointwise the one with the higher score, pairwise the one that both orders together prefer; None when
    one of them is unscored, or a comparison could not be read."""
    probability: Probability | None
    """Probability that a is better, a tie counted half. Pointwise: that a's label is the higher one, the two
    taken as independent. Pairwise: the mean over both orders."""
    how: Way = "pointwise"
    """pointwise: each picture was judged on its own; pairwise: both were shown together, in both orders."""
    orders: tuple[Probability, Probability] | None = None
    """Pairwise: probability that a is better where a stands first, and where b does."""
    swap_disagreement: Probability | None = None
    """How far the two orders lie apart; pointwise 0, since no picture has a place. None: no preference."""
    explanation: str = ""
    """Pairwise: what decided it, in the model's words where a ("first") stood first."""
    margin: Annotated[float, Field(ge=-4.0, le=4.0)] | None = None
    """Score of a minus score of b."""
    reason: str = ""
    """Why there is no preference; empty when there is one."""
    a: Verdict
    b: Verdict
