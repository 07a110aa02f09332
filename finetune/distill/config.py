"""What a distillation is asked to do: a TOML file, see `finetune.config`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field

from finetune.config import CONFIGS, Configured
from finetune.lora.config import Count, Held, Rated, Weight
from judge.types import Model

Positive = Annotated[float, Field(gt=0)]


class Teacher(Model):
    """Any judge: what `Judge` takes."""

    model: str = "embedded"
    adapter: str | None = None
    backend: str = "auto"
    base_url: str | None = None
    batch: Count = 32
    """Pictures judged at once."""


class Data(Rated):
    """Pictures of a suite, all of which the teacher labels; those with a human score teach by it as well."""

    rounds: Literal[1, 2] = 2
    """1: left out of the teacher's second round, which would draw it away from them."""


class SelfTraining(Model):
    """The teacher's second round: LoRA on what people said and on its own scores of the first."""

    steps: Count = 150
    batch: Count = 16
    learning_rate: Positive = 2e-4
    labelled: Weight = 2.0
    """How often a row with a human score comes for one of the teacher's own."""
    limit: Count = 1500
    """So many of the teacher's own."""


class Network(Model):
    """The student's shape."""

    whole: Count = 160
    """Side in pixels of the square that the whole picture is reduced to."""
    grid: Annotated[int, Field(ge=1, le=32)] = 8
    """Patches in full detail, across and down."""
    patch: Annotated[int, Field(ge=8)] = 32
    """Side of each in pixels."""
    width: Annotated[int, Field(ge=4)] = 12
    """Channels of the first layers that see the patches; later ones have multiples of it."""
    coarse: Annotated[int, Field(ge=4)] = 15
    """Channels of the first layer that sees the whole; later ones have two to eight times as many."""
    hidden: Count = 160


class Training(Model):
    """The schedule."""

    minutes: Annotated[float, Field(ge=0)] = 0.0
    """Stop by the clock, which the learning rate then follows; 0: `steps` decide."""
    steps: Annotated[int, Field(ge=0)] = 4000
    batch: Count = 64
    learning_rate: Positive = 2e-3
    weight_decay: Weight = 0.02
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    views: Count = 3
    """Sets of patches that are cut of every picture, each from other places."""
    scores: Weight = 4.0
    """Squared error of the score's expectation (of 1, the whole scale)."""
    facts: Weight = 0.5
    """Error of the measured facts in the teacher's verdicts, learnt beside and left out of the student."""
    opinions: Weight = 1.0
    """Weight of what people said for one of what the teacher says of the same picture."""
    regions: Weight = 0.5
    """Which kind of defect the labels have where, learnt beside and left out of the student; of data whose
    labels have regions."""
    kinds: Weight = 2.0
    """Which kinds of defects the labels have at all, likewise."""


class Config(Configured):
    """A distillation."""

    named = CONFIGS / "distill"

    name: str
    description: str = ""
    domain: str = ""
    """What the student is good for, for its readers."""
    seed: int = 0
    rubric: str
    """Name or `.toml` file; one without elements, reference or video."""
    teacher: Teacher = Teacher()
    data: Annotated[list[Data], Field(min_length=1)]
    self_training: SelfTraining | None = None
    network: Network = Network()
    training: Training = Training()
    held: list[Held] = []
    """Samples on which student and teacher are measured, and which nothing is learnt from."""

    def with_rubrics(self) -> Iterable[Any]:
        return [self, *self.data, *self.held]
