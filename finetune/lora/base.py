"""The model a fine-tuning starts from: found, checked from its files alone, then loaded with its adapter.

`Checked` costs no loading of weights, so that a base that is no Qwen-VL, or an adapter of another base, is
one error before anything starts.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.lora.config import Adapter, Base, either
from judge.backends import torchvision_compat as _torchvision
from judge.backends.checkpoints import EMBEDDED, Folder
from judge.errors import BackendError, InputError

_torchvision.mend()  # before anything imports a Qwen-VL from transformers
FAMILIES = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl")
SKIPPED = ["lm_head", "model.visual"]
"""Left unquantised: what is small and what sees. (The bare name "visual" would skip nothing.)"""


@dataclass(frozen=True)
class Checked:
    """A base whose files say that it can be trained."""

    source: str
    """Folder or hub name of the checkpoint itself."""
    revision: str | None
    adapter: Path | None
    brief: bool
    size: int | None
    """Side of the square the model sees; None: any shape."""
    phrases: tuple[str, ...]
    domain: str
    config: Any
    """The checkpoint's own configuration."""

    @property
    def family(self) -> str:
        return str(self.config.model_type)


def check(wanted: Base) -> Checked:
    """Find the base and read its configuration.

    Raises:
        InputError: there is no such checkpoint, it is no Qwen-VL, or the adapter was made for another base.
    """
    folder = Folder.of(wanted.base)
    adapter = EMBEDDED / "adapter" if wanted.adapter == "embedded" else wanted.adapter
    config = _config(wanted, folder.source)
    checked = Checked(
        source=folder.source,
        revision=wanted.revision,
        adapter=None if adapter is None else Path(adapter),
        brief=folder.brief if wanted.brief is None else wanted.brief,
        size=folder.size,
        phrases=tuple(folder.phrases),
        domain=folder.domain,
        config=config,
    )
    if checked.adapter is not None:
        _check_adapter(checked.adapter, config)
    return checked


def _config(wanted: Base, source: str) -> Any:
    from transformers import AutoConfig

    allowed = "a Qwen2-VL, Qwen2.5-VL or Qwen3-VL checkpoint"
    try:
        config = AutoConfig.from_pretrained(source, revision=wanted.revision)
    except (OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError("model.base", wanted.base, allowed, f"it cannot be read: {reason}") from None
    if config.model_type not in FAMILIES:
        mend = f"this is {config.model_type}, which shows no pictures to its language model: name another"
        raise InputError("model.base", wanted.base, allowed, mend)
    return config


def _check_adapter(folder: Path, config: Any) -> None:
    """Compare the adapter's matrices with the shapes of the base's layers; raises `InputError`."""
    from safetensors import SafetensorError, safe_open

    weights = folder / "adapter_model.safetensors"
    if not (folder / "adapter_config.json").is_file() or not weights.is_file():
        mend = "it has no adapter_config.json and adapter_model.safetensors: check the path"
        raise InputError("model.adapter", str(folder), "a folder with a LoRA adapter", mend)
    layers = _shapes(config)
    try:
        with safe_open(weights, "pt") as file:
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise InputError("model.adapter", str(weights), "readable safetensors", f"damaged: {error}") from None
    for name, shape in shapes.items():
        layer, _, part = name.removeprefix("base_model.model.").partition(".lora_")
        known = layers.get(layer)
        side = {"A": 1, "B": 0}.get(part[:1])
        if known is None or side is None or shape[side] != known[side]:
            found = "no such layer" if known is None else f"{known[0]} x {known[1]} there"
            mend = f"it was made for another base: {layer} has {found}, the adapter {shape}"
            raise InputError("model.adapter", str(folder), "an adapter of this base", mend)


def meta_model(config: Any) -> Any:
    """The model without weights: shapes only, whatever its size."""
    import torch
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"):
        return AutoModelForImageTextToText.from_config(config)


def _shapes(config: Any) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(module.weight.shape)
        for name, module in meta_model(config).named_modules()
        if getattr(getattr(module, "weight", None), "ndim", 0) == 2
    }


def load(checked: Checked, wanted: Base, shape: Adapter) -> tuple[Any, Any]:
    """The model with a trainable adapter, everything else frozen, and its processor.

    Raises:
        BackendError: the weights cannot be loaded.
        InputError: no layer is called as `lora.targets` and `lora.also` say.
    """
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training

    library: Any = transformers
    gpu = torch.cuda.is_available()
    dtype = ("bfloat16" if gpu else "float32") if wanted.dtype == "auto" else wanted.dtype
    options: dict[str, Any] = {"dtype": getattr(torch, dtype), "attn_implementation": "sdpa"}
    if wanted.bits and gpu:
        options["quantization_config"] = library.BitsAndBytesConfig(
            load_in_4bit=wanted.bits == 4,
            load_in_8bit=wanted.bits == 8,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
            llm_int8_skip_modules=SKIPPED,
        )
        options["device_map"] = {"": torch.cuda.current_device()}
    try:
        processor = library.AutoProcessor.from_pretrained(checked.source, revision=checked.revision)
        model = library.AutoModelForImageTextToText.from_pretrained(
            checked.source, revision=checked.revision, **options
        )
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise BackendError(f"{checked.source}: cannot be loaded ({reason})") from error
    if wanted.bits and gpu:
        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    if checked.adapter is not None:
        tuned = _gone_on(model, checked.adapter, shape.also)
        tuned.peft_config["default"].base_model_name_or_path = checked.source  # it is looked up when saving
    else:
        alpha = 2 * shape.rank if shape.alpha is None else shape.alpha
        try:
            tuned = get_peft_model(
                model,
                LoraConfig(
                    r=shape.rank,
                    lora_alpha=alpha,
                    lora_dropout=shape.dropout,
                    target_modules=shape.layers,
                    task_type="CAUSAL_LM",
                ),
            )
        except ValueError as error:
            raise InputError("lora.targets", shape.layers, "a pattern of layers", str(error)[:160]) from None
    for parameter in trainable(tuned):
        parameter.data = parameter.data.float()
    return tuned, processor


def _gone_on(model: Any, adapter: Path, also: str) -> Any:
    """The model with an adapter to go on from, and fresh matrices in the layers of `also` that it leaves out.

    Raises:
        InputError: no layer is called as `also` says.
    """
    from peft import PeftConfig, PeftModel

    config: Any = PeftConfig.from_pretrained(str(adapter))
    if also:
        if not any(re.fullmatch(also, name) for name, _ in model.named_modules()):
            raise InputError("lora.also", also, "a pattern of layers", "no layer of the model is called so")
        config.target_modules = either(layers_of(config.target_modules), also)
    with warnings.catch_warnings():
        if also:  # what is fresh is not in the adapter's file, which peft warns of
            warnings.filterwarnings("ignore", message="Found missing adapter keys")
        return PeftModel.from_pretrained(model, str(adapter), is_trainable=True, config=config)


def layers_of(targets: str | Iterable[str]) -> str:
    """An adapter's layers as one expression; its configuration may list their last names instead."""
    return targets if isinstance(targets, str) else rf"(.*\.)?({'|'.join(map(re.escape, sorted(targets)))})"


def trainable(model: Any) -> Iterator[Any]:
    """The parameters that training changes."""
    return (parameter for parameter in model.parameters() if parameter.requires_grad)
