"""Samples of a benchmark: with ground truth, and with a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from pydantic import ConfigDict, Field

from judge.types import LabelledSample, Labels, Sample, Verdict


class GroundTruth(Labels):
    """`Labels`, and what only benchmarks have: human scores on their own scale, annotator shares, ranks.

    Run folders store a fingerprint of the data, a hash of the JSON of all samples. The serialisation aliases
    keep that JSON as it was before fields were renamed, so that runs begun earlier can continue.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    mos: float | None = None
    """The main human score (mean opinion score) on the benchmark's own scale, greater is better; see
    `Suite.mos_range`."""
    mos_std: float | None = Field(default=None, serialization_alias="spread")
    """Standard deviation of the opinions behind `mos`, where the benchmark has it."""
    mos_by_dimension: dict[str, float] = Field(default={}, serialization_alias="mos_by")
    """Human scores by dimension, on the benchmark's own scale; the main one is among them."""
    element_shares: dict[str, float | None] = Field(default={}, serialization_alias="shares")
    """Element as the benchmark names it -> share of annotators who see it, 0..1; None where not labelled."""
    ranks: dict[str, float] = Field(default={}, serialization_alias="places")
    """Comparison -> rank in it, 1 is best; equal ranks are a human tie."""
    annotations: list[list[Any]] = []
    """What each annotator marked, in the benchmark's own format."""
    load_mask: Any = Field(default=None, exclude=True)
    """Ground-truth regions: a callable without arguments that returns a mask of shape (height, width); None
    where they are unknown. Not serialised."""


class SuiteSample(LabelledSample):
    """One sample of a benchmark, with its ground truth."""

    labels: GroundTruth = GroundTruth()
    video: Any = None
    """The video to judge, in place of `image`: its path, or encoded bytes."""
    split: str = ""
    """The part of the benchmark the sample belongs to, where the label file names it."""
    generator: str = ""
    """The model or camera that made the image; empty when the benchmark does not name it."""
    group: str = ""
    """What the sample is compared within: a prompt, a scene, a source video; empty when there is none."""

    @property
    def media_file(self) -> str:
        """The path of the image or video to judge."""
        return str(self.image if self.video is None else self.video)

    def to_sample(self) -> Sample:
        """Return what the judge receives: no labels, only the names of the elements to check."""
        names = [element.name for element in self.labels.elements]
        return Sample(
            id=self.id,
            image=self.image,
            video=self.video,
            prompt=self.prompt,
            negative_prompt=self.negative_prompt,
            elements=names or self.elements,
            reference=self.reference,
        )


class JudgedSample(NamedTuple):
    """A sample with its verdict."""

    sample: SuiteSample
    verdict: Verdict | Mapping[str, Any]
    """A `Verdict`, or one as read from JSON."""


def parse_verdict(judged: JudgedSample) -> Verdict:
    """Return the verdict as a `Verdict`, whether it is one or was read from JSON."""
    verdict = judged.verdict
    return verdict if isinstance(verdict, Verdict) else Verdict.model_validate(verdict)


def get_predicted_score(judged: JudgedSample, dimension: str = "") -> float | None:
    """Return the score that a verdict predicts, without parsing a verdict read from JSON.

    Args:
        judged: the sample and its verdict.
        dimension: the dimension whose score is wanted. Without a name, and where the verdict has no such
            dimension, it is the overall score.

    Returns:
        The score, 1..5, or None when the verdict is unscored.
    """
    verdict = judged.verdict
    if isinstance(verdict, Verdict):
        own = verdict.dimensions.get(dimension)
        return verdict.score if own is None else own.score
    dimensions = verdict.get("dimensions") or {}
    value = dimensions[dimension]["score"] if dimension in dimensions else verdict.get("score")
    return None if value is None else float(value)


def get_dimension_score(judged: JudgedSample, dimension: str) -> float | None:
    """Return the score of a dimension, 1..5, or None where the verdict has no such dimension."""
    verdict = judged.verdict
    if isinstance(verdict, Verdict):
        own = verdict.dimensions.get(dimension)
        return None if own is None else own.score
    found = (verdict.get("dimensions") or {}).get(dimension)
    return None if found is None else float(found["score"])
