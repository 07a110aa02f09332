"""Reads the rubric and the data of a distillation, and checks them before anything starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from eval.suites import load_suite
from eval.suites.shared.media_files import read_image_shape
from eval.suites.shared.samples import SuiteSample
from finetune.damaged_media import Report
from finetune.distill.config import Config, DataConfig
from finetune.distill.targets import Region
from finetune.lora.targets import read_samples
from judge.backends.student import StudentConfig, choice_labels
from judge.errors import InputError
from judge.evidence.motion import MOTION_FACTS
from judge.media.regions import scale_box
from judge.rubrics.rubric import Rubric


@dataclass(frozen=True)
class PreparedDistillation:
    """A distillation whose inputs were read and are usable."""

    config: Config
    rubric: Rubric
    samples: list[SuiteSample]
    opinions: list[float | None]
    """People's score of each sample, 1 to 5; None if unknown."""
    sources: list[DataConfig]
    """Source of each sample."""

    @property
    def blanks(self) -> dict[str, list[str]]:
        """Path of a blank at score depth -> its labels."""
        return choice_labels(self.rubric.form(()).at_depth("score"))

    @property
    def second_round(self) -> list[int]:
        """Indices of the samples that are in the teacher's second round."""
        return [n for n, source in enumerate(self.sources) if source.rounds == 2]

    def for_second_round(self) -> PreparedDistillation:
        """Return the distillation with the samples of the second round only."""
        chosen = self.second_round
        return replace(
            self,
            samples=[self.samples[n] for n in chosen],
            opinions=[self.opinions[n] for n in chosen],
            sources=[self.sources[n] for n in chosen],
        )

    def labelled_regions(self) -> list[list[Region] | None]:
        """Return the regions of each sample; None for the samples of a source without any."""
        with_regions = {id(s) for s, i in zip(self.sources, self.samples, strict=True) if i.labels.defects}
        return [
            _read_regions(sample) if id(source) in with_regions else None
            for source, sample in zip(self.sources, self.samples, strict=True)
        ]

    @property
    def student_config(self) -> StudentConfig:
        """The description of the student, for `student.json`."""
        network, config = self.config.network, self.config
        return StudentConfig(
            rubric=self.rubric.name,
            blanks=self.blanks,
            whole=network.whole,
            grid=network.grid,
            patch=network.patch,
            pretrained=network.pretrained,
            domain=config.domain,
            teacher=config.teacher.model,
        )


def prepare(config: Config, report: Report = lambda line: None) -> PreparedDistillation:
    """Read the rubric and the data.

    Args:
        config: the configuration.
        report: called with lines about the rows that are skipped.

    Raises:
        InputError: the rubric needs more than an image, or the data is unusable.
    """
    rubric = Rubric.load(config.rubric)
    _check_rubric(rubric, config)
    samples, opinions, sources = list[SuiteSample](), list[float | None](), list[DataConfig]()
    for n, source in enumerate(config.data):
        suite, own = read_samples(source, f"data.{n}", report)
        if suite.kind != "image" or any(sample.video is not None for sample in own):
            raise InputError(f"data.{n}.suite", source.suite, "images", "a student takes no videos")
        samples += own
        sources += [source] * len(own)
        opinions += [_read_opinion(source, sample, f"data.{n}") for sample in own]
    held_out = {
        sample.media_file
        for n, source in enumerate(config.held)
        for sample in read_samples(source, f"held.{n}", report)[1]
    }
    if both := [sample.id for sample in samples if sample.media_file in held_out]:
        mend = "split the data, or use skip and limit"
        shown = f"{len(both)} images, {both[0]} first"
        raise InputError("held", shown, "images that are not trained on", mend)
    prepared = PreparedDistillation(config, rubric, samples, opinions, sources)
    if config.self_training:
        _check_self_training(prepared)
    return prepared


def _check_rubric(rubric: Rubric, config: Config) -> None:
    for needed, is_needed in (
        ("elements of a prompt", rubric.elements),
        ("a reference image", rubric.reference == "required"),
        ("a video", any(name in MOTION_FACTS for name in rubric.facts)),
    ):
        if is_needed:
            mend = f"{rubric.name} needs {needed}, and a student sees an image only: use quality, for example"
            raise InputError("rubric", config.rubric, "a rubric about images alone", mend)


def _check_self_training(prepared: PreparedDistillation) -> None:
    config = prepared.config
    if all(opinion is None for opinion in prepared.for_second_round().opinions):
        mend = "its rows have no human scores: leave self_training out"
        raise InputError("self_training", "on", "data with labelled rows", mend)
    if config.teacher.backend not in ("auto", "transformers") or config.teacher.base_url:
        mend = "its weights must be on this machine to be tuned: leave self_training out"
        raise InputError("self_training", "on", "a teacher on transformers", mend)


def _read_regions(sample: SuiteSample) -> list[Region]:
    height, width = read_image_shape(Path(sample.media_file))
    return [
        (defect.kind, scale_box(defect.box, 1 / width, 1 / height))
        for defect in sample.labels.defects
        if defect.family == "artifact"
    ]


def _read_opinion(source: DataConfig, sample: SuiteSample, name: str) -> float | None:
    """Return people's score of an image, 1 to 5; None if unknown."""
    labels = sample.labels
    if source.score:
        if source.score not in labels.dimensions:
            known = ", ".join(labels.dimensions) or "none"
            raise InputError(f"{name}.score", source.score, known, f"{sample.id} has no such dimension")
        return labels.dimensions[source.score]
    if labels.mos is None:
        return None
    scale = source.scale or load_suite(source.suite).mos_range
    if scale is None:
        raise InputError(
            f"{name}.scale", None, "worst and best of its scores", "give both, for example [0, 100]"
        )
    score = 1 + 4 * (labels.mos - scale[0]) / (scale[1] - scale[0])
    if not 1 - 1e-6 <= score <= 5 + 1e-6:
        shown = f"{labels.mos:g} of {sample.id}"
        raise InputError(f"{name}.scale", shown, f"{scale[0]:g} to {scale[1]:g}", "correct scale or label")
    return score
