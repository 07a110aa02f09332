"""Configuration of a fine-tuning: a TOML file, see `finetune.config`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from finetune.config import DEFAULT_MAX_DAMAGED_SHARE, TomlConfig
from judge.backends.models import FAMILIES
from judge.types import Depth, StrictModel

LANGUAGE_LAYERS = FAMILIES["qwen3_5"].lora_layers
"""Linear layers of the language model of every family; only Qwen3.5 has those of Gated DeltaNet. The pattern
includes the path, because some layers of the vision tower have the same names, and vLLM serves no adapter for
them by default."""


def join_patterns(*patterns: str) -> str:
    """Return a regular expression that matches what any of these matches. Empty ones match nothing."""
    return "|".join(f"({pattern})" for pattern in patterns if pattern)


Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class ModelConfig(StrictModel):
    """The model to start from."""

    base: str = "embedded"
    """embedded; a Qwen-VL checkpoint by folder or hub name; or a folder in the layout of the embedded
    judge."""
    revision: str | None = None
    """Hub revision of the base."""
    adapter: str | None = None
    """Adapter to continue from (`embedded`: the shipped one); default: a new one."""
    brief: bool | None = None
    """Use the brief template. Default: as the base was tuned; the full template for a plain checkpoint."""
    bits: Literal[4, 8] | None = None
    """Quantize the language model on a GPU (QLoRA, Dettmers et al. 2023). On a CPU nothing is quantized."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Type of the frozen weights. auto: float32 on a CPU, bfloat16 on a GPU. The adapter is float32."""
    max_pixels: Count = 1_003_520
    """Larger images are reduced to this many pixels, for models without a fixed input size."""


class AdapterConfig(StrictModel):
    """A new adapter. An adapter that is continued keeps its own settings, except `also`."""

    rank: Count = 16
    alpha: Count | None = None
    """Default: twice the rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: str = LANGUAGE_LAYERS
    """Regular expression for the full names of the layers."""
    also: str = ""
    """The same for further layers, for example of the vision tower. They get new matrices, in addition to
    `targets` or to the layers of the adapter that is continued. vLLM loads those of the vision tower with
    `enable_tower_connector_lora`, which our backend sets."""

    @property
    def layers(self) -> str:
        """Regular expression for all layers of a new adapter."""
        return join_patterns(self.targets, self.also)


class SourceConfig(StrictModel):
    """Labelled samples of a suite."""

    suite: str
    path: Path
    split: str | None = None
    rubric: str | None = None
    """Name or `.toml` file, relative to the configuration or the working directory. Default: the suite's
    own."""
    options: dict[str, str] = {}
    """Keyword arguments of the suite's reader."""
    skip: Annotated[int, Field(ge=0)] = 0
    """Skip this many rows."""
    limit: Count | None = None
    """Use at most this many rows, after those skipped."""
    max_damaged_share: Annotated[float, Field(ge=0, le=1)] = DEFAULT_MAX_DAMAGED_SHARE
    """Rows whose image or video cannot be read are skipped; if they are more than this share of the rows, the
    training does not begin."""


class ScoredSourceConfig(SourceConfig):
    """Samples with scores to learn from."""

    weight: Annotated[float, Field(gt=0)] = 1.0
    """How often its rows are used: 2 twice, 0.5 half as often."""
    score: str = ""
    """Dimension of the labels that is learned as the overall score. Default: the suite's main one."""
    scale: tuple[float, float] | None = None
    """Worst and best of the human scale, if the suite does not define it."""


class DataConfig(ScoredSourceConfig):
    """Samples to learn from."""

    depths: tuple[Depth, ...] = ()
    """Depths that are trained. Default: those that the suite is judged at."""
    pairs: Literal["none", "group", "all"] = "none"
    """Rows that are compared: those of one prompt or scene (the suite's group), or all."""
    explain: bool = True
    """Learn explanations that are written from the labels. False: explanations are not trained."""


class LossConfig(StrictModel):
    """Weights of the losses; 0 switches a loss off. `finetune.lora.losses` has their sources."""

    literals: Weight = 0.03
    text: Weight = 0.35
    attributes: Weight = 1.5
    branches: Weight = 4.0
    """Whether another defect follows."""
    kinds: Weight = 1.5
    """Kind and severity of a defect."""
    boxes: Weight = 1.3
    box_spread: Annotated[float, Field(ge=0)] = 1.2
    """Width of the bell around a coordinate, in steps of the form's grid. 0: the coordinate only."""
    elements: Weight = 4.0
    agreement: bool = True
    """Weight each element by the agreement of its annotators."""
    scores: Weight = 3.0
    soft_scores: bool = True
    """Learn the distribution of opinions. False: the nearest label."""
    pairs: Weight = 0.0
    pair_loss: Literal["fidelity", "rank"] = "fidelity"


class TrainingConfig(StrictModel):
    """The schedule."""

    epochs: Annotated[float, Field(gt=0)] = 1.0
    steps: Annotated[int, Field(ge=0)] = 0
    """Number of steps, in place of epochs. 0: use `epochs`."""
    minutes: Annotated[float, Field(ge=0)] = 0.0
    """Stop after this time. 0: no limit. The learning rate follows the steps, not the time."""
    batch: Count = 8
    """Rows on each device at once."""
    accumulate: Count = 1
    """Batches in a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Share of the steps."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradients."""
    weight_decay: Weight = 0.0
    checkpointing: bool = False
    """Recompute activations in the backward pass: slower, and far less memory."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that read images. 0: the training process itself."""
    log_every: Count = 10
    """Steps between two lines of the log."""


class HeldOutConfig(SourceConfig):
    """Held-out samples that choose the checkpoint. They are never trained on."""

    metric: str = "srcc"
    """Name of one of the suite's measures."""
    greater: bool = True
    """Whether a greater value is better."""
    depth: Depth | None = None
    """Default: the suite's."""
    batch: Count = 16
    every: Count = 100
    """Steps between two measurements, each with a checkpoint."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Stop after this many measurements without a better one. 0: never."""
    before: bool = True
    """Also measure before the first step."""


class Config(TomlConfig):
    """A fine-tuning."""

    name: str
    description: str = ""
    seed: int = 0
    model: ModelConfig = ModelConfig()
    lora: AdapterConfig = AdapterConfig()
    data: Annotated[list[DataConfig], Field(min_length=1)]
    losses: LossConfig = LossConfig()
    training: TrainingConfig = TrainingConfig()
    held: HeldOutConfig | None = None

    @model_validator(mode="after")
    def _check_pairs(self) -> Config:
        if self.losses.pairs and all(source.pairs == "none" for source in self.data):
            raise ValueError("losses.pairs is on, but no data says which rows are compared (pairs)")
        if self.losses.pairs and self.training.batch < 2:
            raise ValueError("losses.pairs compares rows of a batch: training.batch must be 2 or more")
        return self

    def sections_with_rubric(self) -> Iterable[SourceConfig]:
        """Return the data and the held-out samples."""
        return [*self.data, *([self.held] if self.held else [])]
