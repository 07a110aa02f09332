"""Configuration of a reinforcement: a TOML file, see `finetune.config`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from finetune.config import TomlConfig
from finetune.lora.config import (
    AdapterConfig,
    Count,
    HeldOutConfig,
    ModelConfig,
    ScoredSourceConfig,
    SourceConfig,
    Weight,
)
from judge.types import StrictModel

Share = Annotated[float, Field(ge=0, le=1)]


class PolicyModelConfig(ModelConfig):
    """The model to start from."""

    adapter: str | None = "embedded"
    """Adapter to continue from (`embedded`: the shipped one). Without one nothing has learned the form yet,
    and a new adapter is trained."""
    thinking: Annotated[int, Field(ge=0)] = 0
    """Greatest number of tokens of a thought before the form, which is trained along. 0: no thought. Only for
    models whose chat template opens a thought."""


class ScenesConfig(StrictModel):
    """Drawn scenes without end: new ones in each step, with exact truth (`judge.scenes`)."""

    share: Share = 1.0
    """Share of the images of a step that are new scenes. The others are from `data`."""
    rubric: str = "default"
    seed: Annotated[int, Field(ge=100_000)] = 1_000_000
    """Seed of the data set that the scenes belong to. Sets that are drawn for training or measuring have
    smaller ones."""
    defects: tuple[Share, Share, Share, Share] = (0.45, 0.28, 0.18, 0.09)
    """Shares of scenes with no, one, two and three defects, at the end of the training."""
    easy: tuple[Share, Share, Share, Share] | None = None
    """The same at its beginning, for a curriculum from easy to hard. Default: no curriculum."""
    focus: Share = 0.0
    """How far scenes are drawn by where the model fails: 0 not at all, 1 by the failures alone. Kinds of
    scenes are told apart by their number of defects."""
    replay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the scenes that are drawn again from those that failed most."""


class RewardConfig(StrictModel):
    """Weights of the rewards; 0 switches a reward off. `finetune.rl.rewards` has their sources."""

    elements: Weight = 1.0
    attributes: Weight = 0.5
    boxes: Weight = 1.5
    counts: Weight = 0.5
    kinds: Weight = 0.5
    severities: Weight = 0.25
    scores: Weight = 0.5
    ranks: Weight = 0.5
    consistency: Weight = 0.0
    agreement: bool = True
    """Weight each element by the agreement of its annotators."""

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each reward by name."""
        return {name: value for name, value in self.model_dump().items() if name != "agreement"}


class PolicyConfig(StrictModel):
    """How answers are sampled, and how the policy follows their rewards (`finetune.rl.objective`)."""

    group: Annotated[int, Field(ge=2)] = 8
    """Answers about each image."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    texts: Literal["drawn", "likeliest"] = "drawn"
    """Free text: drawn and trained, or its likeliest tokens, which are not trained. The text that ends a form
    is then left out, because nothing is drawn behind it."""
    credit: Literal["parts", "each", "whole"] = "parts"
    """What a reward credits. parts: the decisions that it is about. each: as parts, and every box by itself.
    whole: all decisions of the answer, as usual in GRPO."""
    exact: bool = True
    """Blanks that one token decides are trained by the exact expectation over their labels where the reward
    depends on nothing else, in place of the sampled label."""
    scale: Literal["group", "batch", "none"] = "none"
    """What advantages are divided by: the spread of the rewards in the group (GRPO), that in the step, or
    nothing (Dr. GRPO)."""
    loss: Literal["answer", "token", "constant"] = "token"
    """Mean over the decisions of each answer and then over answers (GRPO), over all decisions (DAPO), or sum
    over decisions divided by a constant (Dr. GRPO)."""
    clip: Annotated[float, Field(gt=0)] = 0.2
    """Lowest ratio of probabilities that still counts: 1 - clip (PPO)."""
    clip_high: Annotated[float, Field(gt=0)] = 0.28
    """Highest one: 1 + clip_high (DAPO)."""
    kl: Weight = 0.0
    """Weight of the divergence from the model that the training starts from."""
    updates: Count = 1
    """Updates on the same answers."""


class ScheduleConfig(StrictModel):
    """The schedule."""

    steps: Count = 200
    minutes: Annotated[float, Field(ge=0)] = 0.0
    """Stop after this time, and let the learning rate follow the time in place of the steps. 0: no limit."""
    images: Count = 16
    """Images of a step, in each process."""
    rollout_batch: Count = 16
    """Images whose answers are sampled at once."""
    batch: Count = 4
    """Images in one training pass."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-4
    warmup: Annotated[int, Field(ge=0)] = 5
    """Steps."""
    clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the gradients."""
    weight_decay: Weight = 0.0
    checkpointing: bool = False
    """Recompute activations in the backward pass: slower, and far less memory."""
    autocast: bool = False
    """Run the training pass in bfloat16."""
    log_every: Count = 5
    """Steps between two lines of the log."""


class RlHeldOutConfig(HeldOutConfig):
    """Held-out samples that choose the checkpoint."""

    score_depth: bool = True
    """Also measure at depth `score`, which is not trained: its measures show what a reinforcement costs."""


class Config(TomlConfig):
    """A reinforcement."""

    name: str
    description: str = ""
    seed: int = 0
    model: PolicyModelConfig = PolicyModelConfig()
    lora: AdapterConfig = AdapterConfig()
    scenes: ScenesConfig = ScenesConfig()
    data: list[ScoredSourceConfig] = []
    rewards: RewardConfig = RewardConfig()
    policy: PolicyConfig = PolicyConfig()
    training: ScheduleConfig = ScheduleConfig()
    held: RlHeldOutConfig | None = None

    @model_validator(mode="before")
    @classmethod
    def _new_adapter(cls, raw: Any) -> Any:
        """A base that is named starts with a new adapter, unless one is named too."""
        model = raw.get("model") if isinstance(raw, dict) else None
        if isinstance(model, dict) and model.get("base", "embedded") != "embedded":
            return {**raw, "model": {"adapter": None, **model}}
        return raw

    @model_validator(mode="after")
    def _check(self) -> Config:
        if not any(self.rewards.weights.values()):
            raise ValueError("all rewards are switched off: set one of rewards above 0")
        if self.scenes.share < 1 and not self.data:
            raise ValueError("scenes.share is below 1, but there is no data for the other images")
        if self.scenes.share == 1 and self.data:
            raise ValueError("data is never used with scenes.share = 1: lower scenes.share")
        if not sum(self.scenes.defects) or (self.scenes.easy is not None and not sum(self.scenes.easy)):
            raise ValueError("all shares of scenes.defects or scenes.easy are 0")
        if self.rewards.consistency and self.policy.texts != "drawn":
            raise ValueError('rewards.consistency is about texts: it needs policy.texts = "drawn"')
        if self.model.thinking and self.model.base == "embedded":
            raise ValueError("model.thinking needs a model that thinks; the embedded judge does not")
        return self

    def sections_with_rubric(self) -> Iterable[SourceConfig | ScenesConfig]:
        """Return the data, the scenes and the held-out samples."""
        return [*self.data, self.scenes, *([self.held] if self.held else [])]
