"""Measuring a model while it is trained: the very backend that serves it, on a suite's held-out samples."""

from __future__ import annotations

from functools import lru_cache
from importlib.metadata import version
from inspect import signature
from typing import Any

from eval.suites.base import Row
from finetune.lora.base import Checked
from finetune.lora.config import Held
from finetune.lora.targets import read
from judge.backends.base import Request
from judge.backends.decoding import walker
from judge.backends.decoding.tokens import PhraseCache, Wording
from judge.backends.transformers.backend import Transformers
from judge.errors import InputError, ReplyError
from judge.judge import Judge
from judge.rubrics.rubric import Rubric
from judge.types import Depth


class Live(Transformers):
    """A model that is in memory already, as a backend.

    Args:
        model: a Qwen-VL, adapters and all; it must be in evaluation mode whenever it is asked.
        processor: the model's.
        base: what is known of it.
        batch: most rows in one forward pass.
    """

    def __init__(self, model: Any, processor: Any, base: Checked, batch: int = 16) -> None:
        self.version, self.batch, self.model = version("transformers"), batch, base.source
        self.domain, self.size, self.brief, self.tunings = base.domain, base.size, base.brief, {}
        self.adapter, self.revision = "in training", ""
        self._model = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._processor, self.wording = processor, Wording(processor)
        self._habits = PhraseCache(map(self.wording.plain, base.phrases))
        self._texts = lru_cache(maxsize=64)(self._text)

    @property
    def paced(self) -> bool:
        """The model is told the time between the frames of a video in numbers, not only in words."""
        return "second_per_grid_ts" in signature(self._model.forward).parameters

    def encoded(self, request: Request) -> walker.Row:
        """A question as this backend would feed it: tokens up to the answer, and the patches of its pictures.

        Raises:
            InputError: the model cannot take its pictures or videos.
        """
        (row,) = self._rows([request], lambda request: walker.read(request.form, self.wording))
        if isinstance(row, ReplyError):
            raise InputError("image", "this one", "pictures that the model can be shown", str(row))
        return row


class Examination:
    """A suite's held-out samples, read once.

    Args:
        held: which, and the measure that counts.

    Raises:
        InputError: the suite or its data is unusable, empty, or has no such measure.
    """

    def __init__(self, held: Held) -> None:
        self.held = held
        self.suite, self.items = read(held, "held")
        self.rubric = Rubric.load(held.rubric or self.suite.rubric)
        self.depth: Depth = held.depth or self.suite.depth
        known = self.suite.measure([])
        if held.metric not in known:
            raise InputError("held.metric", held.metric, ", ".join(known), "name one of these")

    def __call__(self, backend: Live, max_pixels: int) -> dict[str, float]:
        """All measures of the suite that are defined, by name."""
        judge = Judge(backend=backend, rubric=self.rubric, max_pixels=max_pixels)
        asked = (item.asked() for item in self.items)
        verdicts = judge.many(asked, depth=self.depth, batch=self.held.batch)
        rows = [Row(item, verdict) for item, verdict in zip(self.items, verdicts, strict=True)]
        found = self.suite.measure(rows)
        return {name: measure.value for name, measure in found.items() if measure.value is not None}
