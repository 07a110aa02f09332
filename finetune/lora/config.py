"""What a fine-tuning is asked to do: a TOML file, see `finetune.config`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from finetune.config import Configured
from judge.types import Depth, Model

LANGUAGE = r".*language_model\.layers\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
"""Linear layers of the language model. The vision tower has some of the same names, and vLLM serves no
adapter for it unless told to, so the expression names the way to them."""


def either(*expressions: str) -> str:
    """An expression of what any of these matches; empty ones match nothing."""
    return "|".join(f"({one})" for one in expressions if one)


Weight = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]


class Base(Model):
    """The model to start from."""

    base: str = "embedded"
    """embedded; folder or hub name of a Qwen-VL checkpoint; or a folder laid out as the embedded judge is."""
    revision: str | None = None
    adapter: str | None = None
    """Adapter to go on from (`embedded`: the shipped one's); else a fresh one is made."""
    brief: bool | None = None
    """Ask with the brief template; default: as the base was tuned, for a bare checkpoint the full one."""
    bits: Literal[4, 8] | None = None
    """Quantise the language model on a GPU (QLoRA, Dettmers et al. 2023); on a CPU nothing is quantised."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Of the frozen weights; auto: float32 on a CPU, bfloat16 on a GPU. The adapter is float32."""
    max_pixels: Count = 1_003_520
    """Pictures are reduced to this many pixels for models without a fixed input size."""


class Adapter(Model):
    """The fresh adapter; an adapter that is gone on from keeps its own shape but for `also`."""

    rank: Count = 16
    alpha: Count | None = None
    """Default: twice the rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: str = LANGUAGE
    """Regular expression of the layers' whole names."""
    also: str = ""
    """The same of further layers, of the vision tower say: fresh matrices, beside `targets` or those of the
    adapter that is gone on from. vLLM loads what lies in the vision tower when it is told to, as our backend
    tells it (`enable_tower_connector_lora`)."""

    @property
    def layers(self) -> str:
        """Expression of all layers of a fresh adapter."""
        return either(self.targets, self.also)


class Source(Model):
    """A suite's labelled samples."""

    suite: str
    path: Path
    split: str | None = None
    rubric: str | None = None
    """Name or `.toml` file, beside the configuration or from where the command is given; default: the suite's
    own."""
    options: dict[str, str] = {}
    """Keywords of the suite's reader."""
    skip: Annotated[int, Field(ge=0)] = 0
    limit: Count | None = None
    """Only so many rows, after the first `skip`."""


class Rated(Source):
    """Samples with scores to learn from."""

    weight: Annotated[float, Field(gt=0)] = 1.0
    """How often its rows come: 2 twice, 0.5 half as often."""
    score: str = ""
    """Dimension of the labels that answers the overall score; default: the suite's main one."""
    scale: tuple[float, float] | None = None
    """Worst and best of the human scale, where the suite does not say."""


class Data(Rated):
    """Samples to learn from."""

    depths: tuple[Depth, ...] = ()
    """Depths that are trained; default: those the suite is judged at."""
    pairs: Literal["none", "group", "all"] = "none"
    """Which rows are compared: those of one prompt or scene (the suite's group), or all."""
    explain: bool = True
    """Explanations are written from the labels and learnt; no: they are left to the model as it is."""


class Losses(Model):
    """Weights of what is compared; 0 switches a loss off. Sources: `finetune.lora.losses`."""

    literals: Weight = 0.03
    text: Weight = 0.35
    attributes: Weight = 1.5
    branches: Weight = 4.0
    """Whether another defect follows."""
    kinds: Weight = 1.5
    """Kind and severity of a defect."""
    boxes: Weight = 1.3
    box_spread: Annotated[float, Field(ge=0)] = 1.2
    """Width of the bell around a coordinate in steps of the form's grid; 0: the coordinate alone."""
    elements: Weight = 4.0
    agreement: bool = True
    """Weigh each element by how far its annotators agree."""
    scores: Weight = 3.0
    soft_scores: bool = True
    """Learn the distribution of opinions; no: the nearest label."""
    pairs: Weight = 0.0
    pair_loss: Literal["fidelity", "rank"] = "fidelity"


class Training(Model):
    """The schedule."""

    epochs: Annotated[float, Field(gt=0)] = 1.0
    steps: Annotated[int, Field(ge=0)] = 0
    """Instead of epochs; 0: epochs."""
    minutes: Annotated[float, Field(ge=0)] = 0.0
    """Stop by the clock; 0: never. The learning rate follows the steps, not the clock."""
    batch: Count = 8
    """Rows on each device at once."""
    accumulate: Count = 1
    """Batches a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Share of the steps."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    weight_decay: Weight = 0.0
    checkpointing: bool = False
    """Recompute activations instead of keeping them: slower, and far less memory."""
    workers: Annotated[int, Field(ge=0)] = 0
    """Processes that read pictures; 0: this one."""
    log_every: Count = 10


class Held(Source):
    """Samples that are measured on and never trained on."""

    metric: str = "srcc"
    """Name of one of the suite's measures."""
    greater: bool = True
    depth: Depth | None = None
    """Default: the suite's."""
    batch: Count = 16
    every: Count = 100
    """Steps between two measurings, each with a checkpoint."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Stop after so many measurings without a better one; 0: never."""
    before: bool = True
    """Measure before the first step, too."""


class Config(Configured):
    """A fine-tuning."""

    name: str
    description: str = ""
    seed: int = 0
    model: Base = Base()
    lora: Adapter = Adapter()
    data: Annotated[list[Data], Field(min_length=1)]
    losses: Losses = Losses()
    training: Training = Training()
    held: Held | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.losses.pairs and all(source.pairs == "none" for source in self.data):
            raise ValueError("losses.pairs is on, but no data says which rows are compared (pairs)")
        if self.losses.pairs and self.training.batch < 2:
            raise ValueError("losses.pairs compares rows of a batch: training.batch must be 2 or more")
        return self

    def with_rubrics(self) -> Iterable[Source]:
        return [*self.data, *([self.held] if self.held else [])]
