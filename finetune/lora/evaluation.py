"""Measures a model in training on a suite's held-out samples, with the backend that serves it later."""

from __future__ import annotations

from importlib.metadata import version
from inspect import signature
from typing import Any

from eval.suites.shared.samples import JudgedSample
from finetune.damaged_media import Report
from finetune.lora.base_model import BaseInfo
from finetune.lora.config import HeldOutConfig
from finetune.lora.targets import read_samples
from judge.backends.base import Request
from judge.backends.box_forms import check_convention
from judge.backends.decoding.forward_input import Row as DecodingRow
from judge.backends.transformers.backend import Transformers
from judge.errors import InputError, ReplyError
from judge.judge import Judge
from judge.rubrics.layouts import LAYOUTS
from judge.rubrics.rubric import Rubric
from judge.types import Depth


class TrainingBackend(Transformers):
    """A backend for a model that is in memory already.

    Args:
        model: a Qwen-VL, with its adapter if it has one. It must be in evaluation mode when it is used.
        processor: the model's.
        base: the checked base.
        batch: most rows in one forward pass.
        thinking: greatest number of tokens of a thought before each form.

    Raises:
        InputError: the model is to think, but its chat template opens no thought.
    """

    def __init__(
        self, model: Any, processor: Any, base: BaseInfo, batch: int = 16, thinking: int = 0
    ) -> None:
        self.version, self.batch, self.model = version("transformers"), batch, base.source
        self.domain, self.size, self.brief, self.adapters = base.domain, base.size, base.brief, {}
        self.adapter, self.revision = "in training", ""
        self.boxes = check_convention(base.boxes, base.family_info.boxes)
        self.tokens, self.layouts = base.tokens, LAYOUTS["compact"]
        base_model = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._set_model(base_model, processor, base.phrases, thinking)

    @property
    def takes_frame_times(self) -> bool:
        """Whether the model takes the time between video frames as a number, not only as text."""
        return "second_per_grid_ts" in signature(self._model.forward).parameters

    def encode_request(self, request: Request) -> DecodingRow:
        """Encode a request as this backend does: the tokens up to the answer, and the image patches.

        Raises:
            InputError: the model cannot take the images or videos.
        """
        (row,) = self._build_rows([request], lambda request: None)
        if isinstance(row, ReplyError):
            raise InputError("image", "this one", "images that the model can take", str(row))
        return row


class HeldOutEvaluation:
    """A suite's held-out samples, and how they are measured.

    Args:
        config: the samples, and the measure that counts.
        report: called with lines about the samples that are skipped.

    Raises:
        InputError: the suite or its data is unusable, there are no samples, or the suite has no such measure.
    """

    def __init__(self, config: HeldOutConfig, report: Report = lambda line: None) -> None:
        self.config = config
        self.suite, self.samples = read_samples(config, "held", report)
        self.rubric = Rubric.load(config.rubric or self.suite.rubric)
        self.depth: Depth = config.depth or self.suite.depth
        metrics = self.suite.evaluate([])
        if config.metric not in metrics:
            raise InputError("held.metric", config.metric, ", ".join(metrics), "name one of these")

    def __call__(self, backend: TrainingBackend, max_pixels: int) -> dict[str, float]:
        """Return all measures of the suite that are defined, by name."""
        judge = Judge(backend=backend, rubric=self.rubric, max_pixels=max_pixels)
        samples = (sample.to_sample() for sample in self.samples)
        verdicts = judge.many(samples, depth=self.depth, batch=self.config.batch)
        judged = [
            JudgedSample(sample, verdict) for sample, verdict in zip(self.samples, verdicts, strict=True)
        ]
        measures = self.suite.evaluate(judged)
        return {name: measure.value for name, measure in measures.items() if measure.value is not None}
