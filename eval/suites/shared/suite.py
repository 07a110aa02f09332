"""`Suite`, the interface of a benchmark: it reads samples, evaluates verdicts and scores official files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from eval.metrics.metric_value import MetricValue
from eval.suites.shared.samples import JudgedSample, SuiteSample
from judge.types import Depth

MediaKind = Literal["image", "video"]
Metrics = dict[str, MetricValue]
ReadSamples = Callable[..., Iterator[SuiteSample]]
"""`read(data, split=None, *, media=True, **options)`; see `Suite.read`."""


@dataclass(frozen=True)
class Submission:
    """The files that a challenge expects."""

    build_files: Callable[..., dict[str, bytes]]
    """(judged samples, **options) -> file name within the archive -> content. The samples are complete and in
    the order of the benchmark."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Further options of `build_files` with their help: fields of readme.txt."""


@dataclass(frozen=True)
class Suite:
    """One benchmark."""

    name: str
    title: str
    source: str
    """Where the data set is officially obtained."""
    read: ReadSamples
    """Read the samples of a folder (or label file), one after the other.

    Reading is deterministic: the same folder yields the same samples in the same order, and ids are unique.
    `media=False` does not look for images and videos. Missing labels or media raise one `InputError`, which
    says which files are missing, how many, and where the data set is obtained."""
    evaluate: Callable[[Iterable[JudgedSample]], Metrics]
    """Compare verdicts with the ground truth by the official rule.

    Unscored verdicts are counted, and no score is guessed for them."""
    score_files: Callable[..., Metrics] | None = None
    """(path of predictions, path of truth, **options) -> official numbers of files in the organisers' own
    layout; None where the benchmark has no such files."""
    rubric: str = "default"
    """Name of the rubric that fits the labels."""
    kind: MediaKind = "image"
    depth: Depth = "verdict"
    """`score` where numbers suffice; `verdict` where regions are measured."""
    dimension: str = ""
    """Dimension of the verdict that predicts the main human score; empty: the overall score."""
    mos_range: tuple[float, float] | None = None
    """Worst and best value of the human scale of `GroundTruth.mos`; None when the scale is open."""
    splits: tuple[str, ...] = ()
    """Names that `read` accepts as `split`, where the benchmark has any."""
    default_split: str = ""
    """The split that `read` takes without one; empty where the benchmark has no splits."""
    submission: Submission | None = None
    """What the benchmark's challenge expects; None where it takes no files."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Further keyword arguments of `read` with their help; all of them take text."""
    score_options: Mapping[str, str] = field(default_factory=dict)
    """Keyword arguments of `score_files` with their help; all of them take text."""
