"""The model that a fine-tuning starts from: checked from its files, then loaded with its adapter.

`check_base` loads no weights, so a base that is no Qwen-VL, or an adapter of another base, is one error
before anything starts.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.lora.config import AdapterConfig, ModelConfig, join_patterns
from judge.backends.adapter_training import AdapterTraining
from judge.backends.checkpoints import EMBEDDED, Checkpoint, weights_revision
from judge.backends.hub import locate, locate_adapter
from judge.backends.models import FAMILIES, Family, check_family, find_family
from judge.backends.torchvision_compat import patch_imports
from judge.errors import BackendError, InputError, ModelNotFoundError

patch_imports()  # before anything imports a Qwen-VL from transformers
ALLOWED_BASES = f"a checkpoint of {', '.join(family.title for family in FAMILIES.values())}"


@dataclass(frozen=True)
class BaseInfo:
    """A base that can be trained, as far as its files show."""

    source: str
    """Folder or hub name of the checkpoint itself."""
    revision: str | None
    adapter: Path | None
    """Adapter to continue from; None: a new one."""
    brief: bool
    """Whether to use the brief template."""
    size: int | None
    """Side of the square that the model sees; None: any shape."""
    phrases: tuple[str, ...]
    domain: str
    config: Any
    """The checkpoint's own configuration."""
    commit: str | None = None
    """Commit of the hub, if `source` is a folder in its cache."""
    boxes: str | None = None
    """How the base was trained to write boxes; None: as its family does."""
    tokens: str = "natural"
    """How the answer is tokenized, see `judge.backends.checkpoints.Checkpoint.tokens`."""

    @property
    def weights(self) -> str:
        """Commit of the checkpoint on the hub, or the hash of its weights."""
        commit = getattr(self.config, "_commit_hash", None)
        return self.commit or weights_revision(self.source, (), commit, self.revision)

    @property
    def family(self) -> str:
        """The checkpoint's `model_type`."""
        return str(self.config.model_type)

    @property
    def family_info(self) -> Family:
        """What is known of the checkpoint's family."""
        return FAMILIES[self.family]

    def notes(self, bits: int | None) -> list[str]:
        """Return what of the base is left out of training.

        Args:
            bits: `model.bits` of the configuration.
        """
        if not self.family_info.has_experts:
            return []
        stacked = "their weights are stacked in one tensor, which is no linear layer"
        notes = [f"the experts are not trained: {stacked}"]
        return [*notes, f"model.bits = {bits} does not reach the experts: {stacked}"] if bits else notes


def check_base(config: ModelConfig) -> BaseInfo:
    """Find the base and read its configuration.

    Raises:
        InputError: there is no such checkpoint, it is no Qwen-VL, or the adapter was made for another base.
    """
    checkpoint = Checkpoint.resolve(config.base)
    adapter = EMBEDDED / "adapter" if config.adapter == "embedded" else config.adapter
    try:
        location = locate(checkpoint.source, config.revision)
    except ModelNotFoundError as error:
        raise InputError("model.base", config.base, ALLOWED_BASES, error.mend) from None
    continued = None if adapter is None else locate_adapter(adapter, "model.adapter")
    training = AdapterTraining.read(continued or Path(location.source))
    brief = checkpoint.brief if config.brief is None else config.brief
    base = BaseInfo(
        source=location.source,
        revision=config.revision,
        commit=location.commit,
        adapter=continued,
        brief=training.resolve_brief(config.brief) if training else brief,
        size=checkpoint.size,
        phrases=tuple(checkpoint.phrases),
        domain=checkpoint.domain,
        config=_read_config(config, location.source),
        boxes=training.boxes if training else checkpoint.boxes,
        tokens=training.tokenization if training else checkpoint.tokens,
    )
    if base.adapter is not None:
        _check_adapter(base.adapter, base.config)
        if training is not None:
            training.check_base(config.base, base.weights, base.config)
    return base


def _read_config(config: ModelConfig, source: str) -> Any:
    from transformers import AutoConfig, PreTrainedConfig

    try:
        settings, _ = PreTrainedConfig.get_config_dict(source, revision=config.revision)
        if find_family(settings) is None:
            mend = (
                f"its model_type is {settings.get('model_type')}, which cannot be trained here: name another"
            )
            raise InputError("model.base", config.base, ALLOWED_BASES, mend)
        check_family(settings, config.base, "model.base")
        return AutoConfig.from_pretrained(source, revision=config.revision)
    except InputError:
        raise
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError("model.base", config.base, ALLOWED_BASES, f"it cannot be read: {reason}") from None


def _check_adapter(folder: Path, config: Any) -> None:
    """Raise `InputError` if the shapes of the adapter's matrices do not fit the layers of the base."""
    from safetensors import SafetensorError, safe_open

    weights = folder / "adapter_model.safetensors"
    if not (folder / "adapter_config.json").is_file() or not weights.is_file():
        mend = "it has no adapter_config.json and adapter_model.safetensors: check the path"
        raise InputError("model.adapter", str(folder), "a folder with a LoRA adapter", mend)
    base_shapes = _matrix_shapes(config)
    try:
        with safe_open(weights, "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError("model.adapter", str(weights), "readable safetensors", f"damaged: {error}") from None
    for name, shape in shapes.items():
        layer, _, part = name.removeprefix("base_model.model.").partition(".lora_")
        base_shape = base_shapes.get(layer)
        side = {"A": 1, "B": 0}.get(part[:1])
        if base_shape is None or side is None or shape[side] != base_shape[side]:
            actual = "no such layer" if base_shape is None else f"{base_shape[0]} x {base_shape[1]} there"
            mend = f"it was made for another base: {layer} has {actual}, the adapter {shape}"
            raise InputError("model.adapter", str(folder), "an adapter of this base", mend)


def create_meta_model(config: Any) -> Any:
    """Create the model without weights. It has shapes only, so any size fits into memory."""
    import torch
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)


def _matrix_shapes(config: Any) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(module.weight.shape)
        for name, module in create_meta_model(config).named_modules()
        if getattr(getattr(module, "weight", None), "ndim", 0) == 2
    }


def load_trainable_model(
    base: BaseInfo, config: ModelConfig, adapter_config: AdapterConfig
) -> tuple[Any, Any]:
    """Load the model with a trainable adapter and all other weights frozen, and its processor.

    Args:
        base: the checked base.
        config: how its weights are loaded.
        adapter_config: the adapter.

    Raises:
        BackendError: the weights cannot be loaded.
        InputError: `lora.targets` or `lora.also` match no layer.
    """
    model, processor = _load_weights(base, config)
    if base.adapter is not None:
        adapted = continue_adapter(model, base.adapter, adapter_config.also)
        adapted.peft_config["default"].base_model_name_or_path = base.source  # peft looks it up when it saves
    else:
        adapted = _add_adapter(model, adapter_config)
    for parameter in trainable_parameters(adapted):
        parameter.data = parameter.data.float()
    return adapted, processor


def _load_weights(base: BaseInfo, config: ModelConfig) -> tuple[Any, Any]:
    import torch
    import transformers
    from peft import prepare_model_for_kbit_training

    library: Any = transformers
    gpu = torch.cuda.is_available()
    dtype = ("bfloat16" if gpu else "float32") if config.dtype == "auto" else config.dtype
    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "attn_implementation": "sdpa"}
    if config.bits and gpu:
        options["quantization_config"] = library.BitsAndBytesConfig(
            load_in_4bit=config.bits == 4,
            load_in_8bit=config.bits == 8,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=list(base.family_info.unquantized_modules),
        )
        options["device_map"] = {"": torch.cuda.current_device()}
    try:
        processor = library.AutoProcessor.from_pretrained(base.source, revision=base.revision)
        model = library.AutoModelForImageTextToText.from_pretrained(
            base.source, revision=base.revision, **options
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BackendError(f"{base.source}: cannot be loaded ({reason})") from error
    if config.bits and gpu:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return model, processor


def _add_adapter(model: Any, config: AdapterConfig) -> Any:
    from peft import LoraConfig, get_peft_model

    try:
        return get_peft_model(
            model,
            LoraConfig(
                r=config.rank,
                lora_alpha=2 * config.rank if config.alpha is None else config.alpha,
                lora_dropout=config.dropout,
                target_modules=config.layers,
                task_type="CAUSAL_LM",
            ),
        )
    except ValueError as error:
        raise InputError("lora.targets", config.layers, "a pattern of layers", str(error)[:160]) from None


def continue_adapter(model: Any, adapter: Path, also: str = "", *, layers: str = "") -> Any:
    """Add an existing adapter whose training goes on, and new matrices in layers that it does not have.

    All other weights of the model are frozen.

    Args:
        model: the base.
        adapter: folder of the adapter.
        also: regular expression for the full names of further layers; "": none.
        layers: the same for the layers of the adapter that are used; "": all. Matrices of others are dropped.

    Raises:
        InputError: `also` matches no layer.
    """
    from peft import PeftConfig, PeftModel

    config: Any = PeftConfig.from_pretrained(str(adapter))
    if layers:
        config.target_modules = layers
    if also:
        wanted = [name for name, _ in model.named_modules() if re.fullmatch(also, name)]
        if not wanted:
            raise InputError("lora.also", also, "a pattern of layers", "it matches no layer of the model")
        own = layer_pattern(config.target_modules)
        if not all(re.fullmatch(own, name) for name in wanted):
            config.target_modules = join_patterns(own, also)
    with warnings.catch_warnings():
        if also:  # peft warns about new matrices, which the adapter's file does not have
            warnings.filterwarnings("ignore", message="Found missing adapter keys")
        return PeftModel.from_pretrained(model, str(adapter), is_trainable=True, config=config)


def layer_pattern(targets: str | Iterable[str]) -> str:
    """Return an adapter's layers as one regular expression.

    Args:
        targets: `target_modules` of its configuration: a regular expression, or the last names of the layers.
    """
    return targets if isinstance(targets, str) else rf"(.*\.)?({'|'.join(map(re.escape, sorted(targets)))})"


def trainable_parameters(model: Any) -> Iterator[Any]:
    """Yield the parameters that training changes."""
    return (parameter for parameter in model.parameters() if parameter.requires_grad)
