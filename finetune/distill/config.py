"""Configuration of a distillation: a TOML file, see `finetune.config`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from finetune.config import CONFIG_DIR, TomlConfig
from finetune.lora.config import Count, HeldOutConfig, ScoredSourceConfig, Weight
from judge.types import StrictModel

Positive = Annotated[float, Field(gt=0)]


class TeacherConfig(StrictModel):
    """The teacher: any judge. The fields are arguments of `Judge`."""

    model: str = "embedded"
    adapter: str | None = None
    backend: str = "auto"
    base_url: str | None = None
    options: dict[str, Any] = {}
    """Options of its backend and engine, for example `dtype = "bfloat16"`."""
    batch: Count = 32
    """Images judged at once."""
    without_held_out: bool = False
    """For the embedded judge: estimate opinions by the model that was fitted without the rated photographs
    kept for measuring, so that the student can be measured on them."""


class DataConfig(ScoredSourceConfig):
    """Images of a suite. The teacher labels all of them; human scores are used as well."""

    rounds: Literal[1, 2] = 2
    """1: not used in the teacher's second round, whose training would make it worse on them."""


class SelfTrainingConfig(StrictModel):
    """The teacher's second round: LoRA on people's scores and on its own scores of the first round."""

    steps: Count = 150
    batch: Count = 16
    learning_rate: Positive = 2e-4
    labelled: Weight = 2.0
    """How often a row with a human score is used for each row with the teacher's own."""
    limit: Count = 1500
    """Number of rows with the teacher's own scores."""


class NetworkConfig(StrictModel):
    """Sizes of the student's network."""

    whole: Count = 160
    """Side in pixels of the square that the whole image is reduced to."""
    grid: Annotated[int, Field(ge=1, le=32)] = 8
    """Patches in full resolution, across and down."""
    patch: Annotated[int, Field(ge=8)] = 32
    """Side of each patch in pixels."""
    width: Annotated[int, Field(ge=4)] = 12
    """Channels of the first layer of the tower for patches. Later layers have multiples of it."""
    coarse: Annotated[int, Field(ge=4)] = 15
    """Channels of the first layer of the tower for the whole image. Later layers have two to eight times as
    many."""
    hidden: Count = 160
    """Width of the last hidden layer."""
    pretrained: Annotated[int, Field(ge=0)] = 0
    """Side in pixels of the square from which features of a network trained on ImageNet are computed, see
    `judge.evidence.pretrained`; 0: none. People's opinions depend on what an image shows, and a small network
    cannot learn that from some hundred photographs. At 224 pixels the student takes four times as long."""


class TrainingConfig(StrictModel):
    """The schedule, and the weights of the losses."""

    minutes: Annotated[float, Field(ge=0)] = 0.0
    """Length of the schedule in minutes. 0: use `steps`."""
    steps: Annotated[int, Field(ge=0)] = 4000
    batch: Count = 64
    learning_rate: Positive = 2e-3
    weight_decay: Weight = 0.02
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    views: Count = 3
    """Sets of patches that are cut from each image, each at other places."""
    scores: Weight = 4.0
    """Squared error of the score's expectation (1 is the whole scale)."""
    facts: Weight = 0.5
    """Error of the measured facts in the teacher's verdicts. The exported student does not predict them."""
    opinions: Weight = 1.0
    """Weight of people's opinions, relative to the teacher's answer about the same image."""
    regions: Weight = 0.5
    """Kind of defect at each place, for data with labelled regions. Not predicted by the exported student."""
    kinds: Weight = 2.0
    """Kinds of defects in the image. Not predicted by the exported student."""


class Config(TomlConfig):
    """A distillation."""

    config_dir: ClassVar[Path] = CONFIG_DIR / "distill"

    name: str
    description: str = ""
    domain: str = ""
    """What the student was trained on, in words for its users."""
    seed: int = 0
    rubric: str
    """Name or `.toml` file of a rubric without elements, reference or video."""
    teacher: TeacherConfig = TeacherConfig()
    data: Annotated[list[DataConfig], Field(min_length=1)]
    self_training: SelfTrainingConfig | None = None
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    held: list[HeldOutConfig] = []
    """Held-out samples that teacher and student are measured on. They are never trained on."""

    def sections_with_rubric(self) -> Iterable[Any]:
        """Return the distillation itself, the data and the held-out samples."""
        return [self, *self.data, *self.held]
