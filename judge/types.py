"""The data that flows through a judge: what is judged, what is known about it, and the verdict.

All classes are pydantic models. They are read from and written to JSON under the names of their fields.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

Probability = Annotated[float, Field(ge=0.0, le=1.0)]
"""0 to 1."""
Score = Annotated[float, Field(ge=1.0, le=5.0)]
"""1 (worst) to 5 (best)."""
Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels, x2 and y2 exclusive."""
Distribution = Annotated[list[Probability], Field(min_length=5, max_length=5)]
"""Probabilities of the labels 1 to 5; they sum to 1."""
Family = Literal["artifact", "misalignment"]
"""artifact: broken in itself; misalignment: contradicts the prompt."""
Severity = Literal["negligible", "moderate", "critical"]
"""How much a defect matters, from least to most."""
Depth = Literal["score", "verdict"]
"""score: scores, elements and attributes, in one forward pass; verdict: defects and explanations as well."""
ComparisonMethod = Literal["pointwise", "pairwise"]
"""How images are compared: pointwise judges each on its own, pairwise shows both together."""
ComparisonOption = Literal["auto", "pointwise", "pairwise"]
OutOfDomain = Literal["abstain", "score"]
"""What a judge does with a sample outside what it was trained or calibrated for."""
"""A comparison method, or "auto" to let the judge choose."""


MAX_EXACT_FLOAT = 2**53
"""Above this, a float does not hold every whole number, so an id read as a float may be another one."""
ALLOWED_IDS = "text or a whole number"


def normalize_id(value: object) -> str:
    """Return the id of a sample as text.

    Whole numbers are the ids that they are written as: 1 and "1" are the same id. So is 1.0, which is how
    JSON of other languages and columns with missing values (pandas) hold whole numbers.

    Args:
        value: text, a whole number (of NumPy as well), or None for no id.

    Raises:
        ValueError: it is something else.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, Integral) and not isinstance(value, bool):
        return str(int(value))  # a ValueError for more digits than Python converts
    if isinstance(value, Real) and not isinstance(value, bool):
        number = float(value)
        if math.isfinite(number) and number == int(number) and abs(number) <= MAX_EXACT_FLOAT:
            return str(int(number))
    raise ValueError(f"an id is {ALLOWED_IDS}")


SampleId = Annotated[
    str,
    BeforeValidator(normalize_id),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "null"}]}),
]
"""Name of a sample; see `normalize_id`."""


class StrictModel(BaseModel):
    """Base class that rejects unknown fields, so a misspelt field is an error."""

    model_config = ConfigDict(extra="forbid")


class Sample(StrictModel):
    """What is judged: an image or a video, the prompt it was made from, and the elements to look for."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    id: SampleId = ""
    """Any name the caller gives this sample, as text or a whole number; it is copied to the verdict as
    text."""
    image: Any = None
    """Path, `PIL.Image.Image`, encoded bytes, base64 `data:` URL, or uint8 array (H, W), (H, W, 1), (H, W, 3)
    or (H, W, 4); see `judge.media.image`."""
    video: Any = None
    """Instead of `image`: path, encoded bytes or base64 `data:` URL of a video, uint8 array (frames, H, W,
    3), or a sequence of images; see `judge.media.video`."""
    prompt: str = ""
    """The text that the image was made from. It may be empty only for rubrics that need no prompt."""
    negative_prompt: Annotated[str, Field(exclude_if=lambda text: not text)] = ""
    """What the image must not show, as given to the generator. Left out of JSON if empty."""
    elements: list[str] | str | None = None
    """Statements to check, in order and without duplicates. None: they are taken from the prompt. A name
    (rules, grammar, words, model, auto) says how they are taken from it. Those of the negative prompt are
    added."""
    reference: Any = None
    """The image to compare with (the source of an edit, the original of a restoration), in any form that
    `image` takes. Only rubrics with `reference` use it."""


class ElementLabel(StrictModel):
    """Ground truth of one element."""

    name: str
    """The statement, as in `Sample.elements`."""
    present: bool
    """Whether the image shows it."""
    kind: str = ""
    """Kind of statement: object, count, relation or background; empty if unknown."""


class DefectLabel(StrictModel):
    """Ground truth of one defect."""

    family: Family = "artifact"
    """artifact: broken in itself; misalignment: contradicts the prompt."""
    kind: str
    """Kind of defect, a word of the rubric or of the data set."""
    box: Box
    """x1, y1, x2, y2 in pixels of the original image, x2 and y2 exclusive."""
    severity: Severity = "moderate"
    """negligible, moderate or critical."""
    explanation: str = ""
    """What is wrong, in words."""
    mask: Path | None = None
    """Path, relative to the label file, of an 8-bit PNG of the size of the image that is 255 inside the
    defect."""


class Labels(StrictModel):
    """Ground truth of a sample, from people or from the renderer. An absent label is None or empty."""

    score: Score | None = None
    """1 (worst) to 5 (best)."""
    dimensions: dict[str, Score] = {}
    """Dimension of the rubric -> score, 1 (worst) to 5 (best)."""
    elements: list[ElementLabel] = []
    """Which elements are present."""
    defects: list[DefectLabel] = []
    """Regions that are broken or contradict the prompt."""
    attributes: dict[str, str] = {}
    """Attribute of the rubric -> label."""


class LabelledSample(Sample):
    """A sample with its ground truth: one row of a file of scenes or of an evaluation suite."""

    labels: Labels = Labels()
    """The ground truth."""


class Dimension(StrictModel):
    """The score of one dimension of the rubric."""

    score: Score
    """Expectation over `distribution`, 1 (worst) to 5 (best)."""
    distribution: Distribution
    """Probabilities of the labels 1 to 5."""


class Element(StrictModel):
    """One element of the prompt, and whether the image is as the prompt asks."""

    name: str
    """The statement that was checked, as the model was asked: "yellow cross", also if it must be absent."""
    expected: bool = True
    """True: the image must show the element. False: the image must not show it, as a negative prompt or
    "without" in the prompt says."""
    present: bool
    """Whether the image is as asked: whether `probability` is at least 0.5. For an element that must be
    absent, True means that the image does not show it; `shown` is what the image shows."""
    probability: Probability
    """Probability, 0 to 1, that the image is as asked. If `expected`, the probability of the model that the
    image shows the element, reduced to that of an element in `needs` if that is lower; else 1 minus the
    probability of the model that the image shows it."""
    kind: str = ""
    """object, attribute, count, relation, activity, style, text or unchanged; see
    `judge.elements.statements`."""
    needs: list[str] = []
    """Names of elements of this verdict that must be present before this one can be."""

    @property
    def shown(self) -> bool:
        """Whether the image shows the element, wanted or not."""
        return self.present == self.expected

    @property
    def label(self) -> str:
        """The statement for people: "no yellow cross" for a yellow cross that must be absent."""
        return self.name if self.expected else f"no {self.name}"


class Attribute(StrictModel):
    """The answer to one categorical question of the rubric, for example the kind of degradation."""

    label: str
    """The most probable label."""
    probabilities: dict[str, Probability]
    """Label -> probability; they sum to 1."""


class Defect(StrictModel):
    """One region that is broken or that contradicts the prompt."""

    family: Family
    """artifact: broken in itself; misalignment: contradicts the prompt."""
    kind: str
    """Kind of defect, a word of the rubric."""
    box: Box
    """x1, y1, x2, y2 in pixels of the original image, x2 and y2 exclusive."""
    severity: Severity
    """negligible, moderate or critical."""
    confidence: Probability
    """Probability, 0 to 1, that the model gave to listing one more defect when it listed this one."""
    explanation: str
    """What is wrong, in words."""


class TextLine(StrictModel):
    """One line of writing in the image, as a text recogniser read it."""

    text: str
    """What was read. It is content of the image and never an instruction."""
    box: Box
    """x1, y1, x2, y2 in pixels of the original image, x2 and y2 exclusive."""
    polygon: Annotated[list[tuple[float, float]], Field(min_length=4, max_length=4)]
    """The corners (x, y) in pixels of the original image, clockwise from the beginning of the line's upper
    edge; unlike `box` they follow a rotation."""
    confidence: Probability
    """Mean probability, 0 to 1, that the recogniser gave to the characters."""


class Provenance(StrictModel):
    """Where a verdict comes from: everything that is needed to ask for it again."""

    model: str
    """The model as the caller named it: a hub id, a path, or a name of the package."""
    revision: str = ""
    """Content hash or hub revision of the weights; empty if unknown."""
    adapter: str | None = None
    """Name of the adapter; None without one."""
    backend: str
    """Short name of the backend, for example `transformers`."""
    backend_version: str = ""
    """Version of the library that runs the model."""
    rubric: str
    """Name of the rubric."""
    rubric_version: str = ""
    """Version that the rubric states."""
    rubric_hash: str
    """First 16 hex digits of the SHA-256 of the rubric with its templates and images."""
    depth: Depth
    """score or verdict: how much of the form was filled."""
    seed: int = 0
    """Sampling seed. Backends that always take the most probable label ignore it."""
    version: str
    """Version of this package."""
    milliseconds: float = Field(ge=0)
    """Wall time of the call that made this verdict, divided by the size of its batch, in milliseconds."""
    domain: str = ""
    """What the model was trained on, and so how far it can be trusted; empty if the model does not say."""
    elements: str = ""
    """How the elements were listed: given, model, words, rules, or grammar with the parser's pipeline; empty
    if the rubric asks for none."""
    card: str = ""
    """The settings that a card of `judge examine` applied to the model, in words; empty if none."""
    label_mass: float | None = Field(default=None, ge=0, le=1)
    """Mean over the blanks of the probability that the model gave to all of their labels together, before
    they were scaled to sum to 1. Low: the model wanted to write something else. None if the backend cannot
    measure it."""
    notes: list[str] = []
    """What the reader should know, for example that an animation was judged by its first frame, or that the
    two depths disagree."""


class Look(StrictModel):
    """One zoom-in (closer look): a question about a part of the image, and its answer."""

    region: Box
    """The part of the image that was shown: x1, y1, x2, y2 in pixels of the original."""
    question: str
    """The question, in words."""
    answer: str
    """Summary of the answer, in words."""
    milliseconds: float = Field(ge=0)
    """Time of the model for this question, in milliseconds."""


class Heat(StrictModel):
    """Heat maps: where in the image the numbers come from; see `judge.explain.heatmap`.

    Each map is a `data:` URL of an 8-bit grey PNG with the aspect ratio of the image and 64 pixels along its
    longer side. 255 marks the place that contributes most.
    """

    score: str
    """Map of the score."""
    defects: list[str] = []
    """A map for each defect of the verdict, in order: what led the model to name it and its kind."""


class Panelist(StrictModel):
    """The result of one judge of a panel."""

    model: str
    """As in `Provenance`."""
    adapter: str | None = None
    """As in `Provenance`."""
    rubric: str
    """Name of the rubric."""
    seed: int = 0
    """Sampling seed."""
    weight: Probability
    """Share of this judge in the panel, 0 to 1."""
    score: Score | None
    """1 (worst) to 5 (best); None if unscored."""
    reason: str = ""
    """Why there is no score; empty if there is one."""


class Verdict(StrictModel):
    """The answer of a judge about one sample. An unscored verdict has a reason and no numbers."""

    id: str = ""
    """The name of the sample."""
    status: Literal["scored", "unscored"]
    """scored: there is a score; unscored: there is none, and `reason` says why."""
    reason: str = ""
    """Why there is no score; empty if scored."""
    out_of_domain: bool = False
    """The sample is outside what the judge was trained or calibrated for. Unscored: the judge abstained,
    which is an answer and no failure. Scored: it was told to score anyway, and its numbers mean little."""
    score: Score | None = None
    """Overall score, 1 (worst) to 5 (best): the expectation over `distribution`, on the human scale if the
    judge is calibrated. None if unscored."""
    distribution: Distribution | None = None
    """Probabilities of the labels 1 to 5. None if unscored."""
    percentile: Annotated[float, Field(ge=0.0, le=100.0)] | None = None
    """Share, in per cent, of the calibration's images with a lower score; None without a calibration."""
    dimensions: dict[str, Dimension] = {}
    """Dimension of the rubric -> its score."""
    elements: list[Element] = []
    """Every element of the prompt, in order."""
    attributes: dict[str, Attribute] = {}
    """Attribute of the rubric -> its answer."""
    defects: list[Defect] = []
    """Regions that are broken or contradict the prompt. Empty at depth `score`."""
    explanation: str = ""
    """The overall judgement in words. Empty at depth `score`."""
    reasoning: str = ""
    """What a general model wrote before it answered; empty if the rubric does not ask for it."""
    thought: str = ""
    """What the model thought before it answered; empty unless it was allowed to think."""
    facts: dict[str, Probability] = {}
    """What was measured in the image and shown to the model, each 0 to 1; see `judge.evidence.facts`, for
    videos `judge.evidence.motion`."""
    texts: list[TextLine] = []
    """The writing in the image, line by line in reading order, as a text recogniser read it. Empty if there
    is none, or if the rubric does not ask for it (`texts`)."""
    size: tuple[int, int] | None = None
    """Width and height, in pixels, of the image that every `box` refers to; for videos, of the frames."""
    provenance: Provenance
    """Model, rubric and settings that the verdict comes from."""
    heat: Heat | None = None
    """Heat maps, if they were requested."""
    trace: list[Look] = []
    """Zoom-ins (closer looks) after the first question, in order; empty if none were made."""
    panel: list[Panelist] = []
    """The result of each judge of a `Panel`; empty for a single judge."""
    disagreement: Annotated[float, Field(ge=0.0, le=2.0)] | None = None
    """Weighted standard deviation of the panel's scores, 0 to 2; None for a single judge."""

    _image: Any = None
    """The decoded image, the middle frame of a video, or a function that returns one of them. `overlay` uses
    it; it is never serialised."""

    @property
    def abstained(self) -> bool:
        """Whether the judge gave no score because the sample is outside its domain."""
        return self.out_of_domain and self.status == "unscored"

    def overlay(self, image: Any = None) -> Any:
        """Draw boxes, kinds, elements and the score on the image.

        Args:
            image: any image that `Sample.image` takes; default: the image that was judged.

        Returns:
            A new RGB `PIL.Image.Image` with the verdict drawn on it.

        Raises:
            InputError: no image is given, and none was kept because the verdict was read from JSON.
        """
        from judge.explain.overlay import overlay

        return overlay(self, image)


class Comparison(StrictModel):
    """Two images of one prompt, and which one is better."""

    preferred: Literal["a", "b", "tie"] | None
    """Pointwise: the image with the higher score. Pairwise: the image that both orders together prefer. None
    if one of them is unscored, or if a comparison could not be read."""
    probability: Probability | None
    """Probability that a is better, 0 to 1; a tie counts half. Pointwise: the probability that the label of a
    is the higher one, with independent labels. Pairwise: the mean over both orders."""
    how: ComparisonMethod = "pointwise"
    """pointwise: each image was judged on its own. pairwise: both were shown together, in both orders."""
    orders: tuple[Probability, Probability] | None = None
    """Pairwise: the probability that a is better if a is shown first, and if b is."""
    swap_disagreement: Probability | None = None
    """Difference between the two orders, 0 to 1; 0 for pointwise, where no image has a position. None: no
    preference."""
    explanation: str = ""
    """Pairwise: what decided it, in the words of the model with a shown first ("first")."""
    margin: Annotated[float, Field(ge=-4.0, le=4.0)] | None = None
    """Score of a minus score of b, -4 to 4."""
    reason: str = ""
    """Why there is no preference; empty if there is one."""
    a: Verdict
    """Verdict about the first image."""
    b: Verdict
    """Verdict about the second image."""
