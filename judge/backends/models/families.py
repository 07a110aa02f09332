"""The model families that run in this process, one entry each.

An entry states facts of the published checkpoints and of the code of transformers and vLLM; `sources` says
where they are from. A checkpoint's own files overrule it where they say the same (patch size, pixel limits).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal

from judge.backends.models.boxes import BoxConvention
from judge.errors import InputError

LayerKind = Literal["full_attention", "linear_attention"]
"""Kinds of layers of a language model, as in `layer_types` of its config. `linear_attention` is Gated
DeltaNet, a recurrent layer: it keeps a state instead of keys and values, and ignores attention masks."""


class Thinking(Enum):
    """How the chat templates of a family begin an answer."""

    NONE = "none"
    """There is no thought."""
    OPENED = "opened"
    """Templates of thinking checkpoints open the thought: the prompt ends with `<think>`."""
    SWITCH = "switch"
    """`enable_thinking` decides: true opens the thought, false writes a closed empty one."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """What is known of the checkpoints with one `model_type`."""

    model_type: str
    """`model_type` of the checkpoint's config."""
    title: str
    """Name of the family in messages."""
    sources: tuple[str, ...]
    """Where the facts of this entry are from."""
    boxes: BoxConvention
    """How the family writes boxes."""
    patch_size: int
    """Side of a vision patch in pixels."""
    merge_size: int = 2
    """Side of an image token in patches."""
    temporal_patch_size: int = 2
    """Frames of a video in one patch."""
    min_pixels: int
    """Smaller images are enlarged to this many pixels by the published processor."""
    max_pixels: int
    """Larger images are reduced to this many pixels by the published processor."""
    thinking: tuple[Thinking, ...] = (Thinking.NONE,)
    """What the templates of the published checkpoints do; the template of a checkpoint decides."""
    template_options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Arguments of the chat template for an answer without a thought."""
    layer_kinds: frozenset[LayerKind] = frozenset({"full_attention"})
    """Kinds of layers that the language model may have."""
    has_experts: bool = False
    """Whether the MLPs are mixtures of experts. Their weights are stacked in one tensor for all experts, and
    that is no linear layer: neither LoRA nor bitsandbytes changes it."""
    lora_layers: str
    """Regular expression for the full names of the linear layers of the language model that LoRA adapts."""
    unquantized_modules: tuple[str, ...] = ("lm_head", "model.visual")
    """Modules that are kept as they are in 4 or 8 bit."""
    engine_options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    """Recommended arguments of `vllm.EngineArgs`."""
    server_flags: tuple[str, ...] = ()
    """Recommended further flags of `vllm serve`."""

    @property
    def is_recurrent(self) -> bool:
        """Whether some layers keep a state that attention masks do not reach."""
        return "linear_attention" in self.layer_kinds


_ATTENTION = "q_proj|k_proj|v_proj|o_proj"
_MLP = "gate_proj|up_proj|down_proj"
_DELTA_NET = "in_proj_qkv|in_proj_z|out_proj"  # without the gates of a few numbers (in_proj_a, in_proj_b)


def _language_layers(*names: str) -> str:
    """Return a pattern of layers of the language model, whose last names also occur in vision towers."""
    return rf".*language_model\.layers\..*\.({'|'.join(names)})"


_DATA_PARALLEL_VISION = MappingProxyType({"mm_encoder_tp_mode": "data"})
"""On several GPUs, each runs the small vision tower on its own images: vLLM's recipes for Qwen3-VL."""
_BOX_ANSWERS = "QwenLM/Qwen3-VL issues 676, 721 and 866 (boxes)"
_QWEN3_5_SOURCES = (
    "config.json, preprocessor_config.json and chat template of Qwen/Qwen3.5-27B and Qwen/Qwen3.5-35B-A3B",
    "transformers 5.19 models/qwen3_5 (Gated DeltaNet ignores 4-D masks; layer names)",
    "boxes as Qwen3-VL: model cards of Qwen3.5",
)
_QWEN3_5_THINKING = MappingProxyType({"enable_thinking": False})

_ENTRIES = (
    Family(
        model_type="qwen2_vl",
        title="Qwen2-VL",
        sources=(
            "Qwen2-VL, Wang et al. 2024, section 2.2 (boxes 0 to 1000)",
            "preprocessor_config.json of Qwen/Qwen2-VL-7B-Instruct",
            _BOX_ANSWERS,
        ),
        boxes=BoxConvention.RELATIVE_1000_XYXY,
        patch_size=14,
        min_pixels=3136,
        max_pixels=12_845_056,
        lora_layers=_language_layers(_ATTENTION, _MLP),
    ),
    Family(
        model_type="qwen2_5_vl",
        title="Qwen2.5-VL",
        sources=(
            "Qwen2.5-VL, Bai et al. 2025, section 2.2 (boxes in pixels of the resized image)",
            "preprocessor_config.json of Qwen/Qwen2.5-VL-7B-Instruct",
            _BOX_ANSWERS,
        ),
        boxes=BoxConvention.RESIZED_PIXELS_XYXY,
        patch_size=14,
        min_pixels=3136,
        max_pixels=12_845_056,
        lora_layers=_language_layers(_ATTENTION, _MLP),
    ),
    Family(
        model_type="qwen3_vl",
        title="Qwen3-VL",
        sources=(
            "Qwen3-VL, Bai et al. 2025 (boxes 0 to 1000)",
            "preprocessor_config.json of Qwen/Qwen3-VL-8B-Instruct",
            "chat template of Qwen/Qwen3-VL-8B-Thinking",
            _BOX_ANSWERS,
        ),
        boxes=BoxConvention.RELATIVE_1000_XYXY,
        patch_size=16,
        min_pixels=65_536,
        max_pixels=16_777_216,
        thinking=(Thinking.NONE, Thinking.OPENED),
        lora_layers=_language_layers(_ATTENTION, _MLP),
        engine_options=_DATA_PARALLEL_VISION,
        server_flags=("--reasoning-parser", "qwen3"),
    ),
    Family(
        model_type="qwen3_vl_moe",
        title="Qwen3-VL with experts",
        sources=(
            "preprocessor_config.json of Qwen/Qwen3-VL-30B-A3B-Instruct",
            "chat template of Qwen/Qwen3-VL-30B-A3B-Thinking",
            "transformers 5.19 models/qwen3_vl_moe (experts are stacked tensors)",
            _BOX_ANSWERS,
        ),
        boxes=BoxConvention.RELATIVE_1000_XYXY,
        patch_size=16,
        min_pixels=65_536,
        max_pixels=16_777_216,
        thinking=(Thinking.NONE, Thinking.OPENED),
        has_experts=True,
        lora_layers=_language_layers(_ATTENTION, _MLP),
        engine_options=_DATA_PARALLEL_VISION,
        server_flags=("--reasoning-parser", "qwen3", "--enable-expert-parallel"),
    ),
    Family(
        model_type="qwen3_5",
        title="Qwen3.5",
        sources=_QWEN3_5_SOURCES,
        boxes=BoxConvention.RELATIVE_1000_XYXY,
        patch_size=16,
        min_pixels=65_536,
        max_pixels=16_777_216,
        thinking=(Thinking.SWITCH,),
        template_options=_QWEN3_5_THINKING,
        layer_kinds=frozenset({"full_attention", "linear_attention"}),
        lora_layers=_language_layers(_ATTENTION, _MLP, _DELTA_NET),
        engine_options=_DATA_PARALLEL_VISION,
        server_flags=("--reasoning-parser", "qwen3"),
    ),
    Family(
        model_type="qwen3_5_moe",
        title="Qwen3.5 with experts",
        sources=_QWEN3_5_SOURCES,
        boxes=BoxConvention.RELATIVE_1000_XYXY,
        patch_size=16,
        min_pixels=65_536,
        max_pixels=16_777_216,
        thinking=(Thinking.SWITCH,),
        template_options=_QWEN3_5_THINKING,
        layer_kinds=frozenset({"full_attention", "linear_attention"}),
        has_experts=True,
        lora_layers=_language_layers(_ATTENTION, _MLP, _DELTA_NET),
        engine_options=_DATA_PARALLEL_VISION,
        server_flags=("--reasoning-parser", "qwen3", "--enable-expert-parallel"),
    ),
)
FAMILIES: Mapping[str, Family] = MappingProxyType({family.model_type: family for family in _ENTRIES})
"""`model_type` -> the family."""
SERVED_ONLY: Mapping[str, str] = MappingProxyType(
    {
        "qwen2_5_omni": "Qwen2.5-Omni",
        "qwen2_5_omni_thinker": "Qwen2.5-Omni",
        "qwen3_omni_moe": "Qwen3-Omni",
        "qwen3_omni_moe_thinker": "Qwen3-Omni",
    }
)
"""`model_type` -> name of a family that is judged behind a server only.

The part of an omni model that reads images (its thinker) is built in another way: its text model takes no
images, the rope positions count audio too, and config and processor are those of three models in one.
"""


def find_family(config: Any) -> Family | None:
    """Return the family of a checkpoint; None if it is not known to be right in this process.

    Args:
        config: its config: of transformers, as a dict (`config.json`), or the `model_type` alone.
    """
    if isinstance(config, Mapping):
        return FAMILIES.get(str(config.get("model_type", "")))
    return FAMILIES.get(config if isinstance(config, str) else str(getattr(config, "model_type", "")))


def family_boxes(config: Any) -> BoxConvention:
    """Return how the family of a checkpoint writes boxes; relative coordinates if it is not known.

    Args:
        config: as for `find_family`.
    """
    family = find_family(config)
    return BoxConvention.RELATIVE_1000_XYXY if family is None else family.boxes


_NAMED_CONVENTIONS = (
    (r"qwen[-_ ]?2[._-]?5[-_ ]?(vl|omni)", BoxConvention.RESIZED_PIXELS_XYXY),
    (r"gemini", BoxConvention.RELATIVE_1000_YXYX),
)
"""Pattern of the names of models -> how they write boxes. Gemini: ai.google.dev, image understanding."""


def boxes_by_name(name: str) -> BoxConvention:
    """Guess from the name of a model how it writes boxes; relative coordinates for other names.

    Args:
        name: as a server or the hub has it, for example `Qwen/Qwen2.5-VL-7B-Instruct` or `qwen2.5vl:7b`.
    """
    for pattern, convention in _NAMED_CONVENTIONS:
        if re.search(pattern, name, re.IGNORECASE):
            return convention
    return BoxConvention.RELATIVE_1000_XYXY


def thinks_by_name(name: str) -> bool:
    """Guess from the name of a model whether its chat template begins the answer with a thought.

    Args:
        name: as for `boxes_by_name`.
    """
    return re.search(r"thinking|qwen[-_ ]?3[._-]5", name, re.IGNORECASE) is not None


def check_family(config: Any, model: str, field: str = "model") -> Family:
    """Return the family of a checkpoint that is to run in this process.

    Args:
        config: as for `find_family`.
        model: the checkpoint, as the caller named it.
        field: what the error calls it.

    Raises:
        InputError: the family is not in `FAMILIES`, or the config has layers of a kind that the family's
            entry does not name.
    """
    settings = config if isinstance(config, Mapping) else config.to_dict()
    family = find_family(settings)
    if family is None:
        raise unsupported_family(settings, model, field)
    text = settings.get("text_config") or settings
    unknown = set(text.get("layer_types") or ()) - family.layer_kinds
    if unknown:
        value = f"{model} ({family.model_type} with layers {', '.join(sorted(unknown))})"
        allowed = f"{family.title} with layers {', '.join(sorted(family.layer_kinds))}"
        raise InputError(field, value, allowed, _serving_advice(model))
    return family


def unsupported_family(settings: Mapping[str, Any], model: str, field: str = "model") -> InputError:
    """Return the error for a checkpoint of a family that does not run in this process.

    Args:
        settings: its config.
        model: the checkpoint, as the caller named it.
        field: what the error calls it.
    """
    model_type = str(settings.get("model_type") or "no model_type")
    kind = f"{SERVED_ONLY[model_type]}, {model_type}" if model_type in SERVED_ONLY else model_type
    supported = ", ".join(family.title for family in FAMILIES.values())
    return InputError(field, f"{model} ({kind})", f"in this process {supported}", _serving_advice(model))


def _serving_advice(model: str) -> str:
    return (
        f"start `vllm serve {model}` or another OpenAI-compatible server, and judge with --backend openai "
        "--base-url http://127.0.0.1:8000/v1"
    )
