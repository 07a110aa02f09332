"""What a fine-tuning is asked to do: a TOML file, checked before anything is loaded.

Paths are relative to where the command is given. Unknown names are errors, so a misspelt one never passes.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from judge.errors import InputError
from judge.types import Depth, Model

CONFIGS = Path(__file__).parents[1] / "configs"
LANGUAGE = r".*language_model\.layers\..*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
"""Linear layers of the language model. The vision tower has some of the same names, and vLLM serves no
adapter for it unless told to, so the expression names the way to them."""

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
    """The fresh adapter; an adapter that is gone on from keeps its own shape."""

    rank: Count = 16
    alpha: Count | None = None
    """Default: twice the rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: str = LANGUAGE
    """Regular expression of the layers' whole names."""


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


class Data(Source):
    """Samples to learn from."""

    weight: Annotated[float, Field(gt=0)] = 1.0
    """How often its rows come in an epoch: 2 twice, 0.5 every second one."""
    depths: tuple[Depth, ...] = ()
    """Depths that are trained; default: those the suite is judged at."""
    score: str = ""
    """Human dimension that answers the overall score; default: the suite's main one."""
    scale: tuple[float, float] | None = None
    """Worst and best of the human scale, where the suite does not say."""
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


class Config(Model):
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

    @classmethod
    def load(cls, source: str | Path, changes: Sequence[str] = ()) -> Config:
        """Read a configuration by name (one of `finetune/configs`) or from a `.toml` file.

        Args:
            source: name or path.
            changes: `key=value`, for example `data.0.path=/data/clive` or `training.batch=4`.

        Raises:
            InputError: no such file, not TOML, an unknown or unusable field.
        """
        path = _locate(source)
        try:
            raw = tomllib.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise InputError("config", str(path), "a readable TOML file", f"mend it: {error}") from None
        for change in changes:
            _change(raw, change)
        made = cls.of(raw, path.name)
        for part in [*made.data, *([made.held] if made.held else [])]:
            beside = path.parent / (part.rubric or "")
            if beside.is_file():
                part.rubric = str(beside.resolve())
        return made

    @classmethod
    def of(cls, raw: Mapping[str, Any], where: str = "config") -> Config:
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join([where, *map(str, first["loc"])])
            mend = "mend the file"
            if first["type"] == "extra_forbidden":
                mend = _nearest(str(first["loc"][-1]), first["loc"][:-1])
            raise InputError(name, first.get("input"), first["msg"], mend) from None


def _locate(source: str | Path) -> Path:
    named = CONFIGS / f"{source}.toml"
    if isinstance(source, str) and "/" not in source and named.is_file():
        return named
    if Path(source).is_file():
        return Path(source)
    known = sorted(path.stem for path in CONFIGS.glob("*.toml"))
    near = get_close_matches(str(source), known, n=1, cutoff=0.0)
    raise InputError(
        "config", str(source), f"{', '.join(known)}, or a .toml file", f"did you mean {near[0]!r}?"
    )


def _nearest(name: str, path: tuple[int | str, ...]) -> str:
    known: dict[str, Any] = {
        "model": Base, "lora": Adapter, "data": Data, "losses": Losses, "training": Training, "held": Held,
    }  # fmt: skip
    owner: Any = known.get(str(path[0]), Config) if path else Config
    near = get_close_matches(name, list(owner.model_fields), n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(owner.model_fields)}"


def _change(raw: dict[str, Any], change: str) -> None:
    """Put one `key=value` into the tables; the value is TOML, or else plain text."""
    key, given, text = change.partition("=")
    names = key.strip().split(".")
    if not given or not all(names):
        raise InputError("set", change, "key=value", "for example training.batch=4")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except ValueError:
        value = text
    at: Any = raw
    try:
        for name in names[:-1]:
            at = at[int(name)] if isinstance(at, list) else at.setdefault(name, {})
        at[int(names[-1]) if isinstance(at, list) else names[-1]] = value
    except (ValueError, IndexError, AttributeError, TypeError):
        raise InputError("set", change, "a field of the configuration", "check its name") from None
