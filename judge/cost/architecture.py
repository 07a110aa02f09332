"""Weight counts and widths of a Qwen-VL model, read from its config."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from judge.backends.models import FAMILIES, find_family
from judge.errors import InputError

ASSETS = Path(str(files("judge"))) / "assets"
CONFIGS_FILE = ASSETS / "sizes.toml"
"""Configs of well-known checkpoints, so that they can be estimated without a download."""


@dataclass(frozen=True)
class Architecture:
    """Weight counts of a Qwen-VL model, grouped by where they are used. Biases and norms are left out."""

    patch_size: int
    """Side of a vision patch in pixels."""
    merge_size: int
    """Side of an image token in patches."""
    vision_spans: tuple[int, ...]
    """For each layer of the vision tower, how many patches attend to each other at most; 0 means all."""
    vision_width: int
    """Hidden size of the vision tower."""
    patch_weights: int
    """Weights that every patch passes."""
    merger_weights: int
    """Weights that every image token passes on its way out of the vision tower."""
    layers: int
    """Layers of the language model with keys and values; the others are recurrent."""
    state_numbers: int
    """Numbers in the states of all recurrent layers for one text, whatever its length."""
    query_width: int
    """Number of attention heads times their width."""
    key_width: int
    """Number of key-value heads times their width."""
    active_weights: int
    """Weights of the language model's layers that every token passes."""
    layer_weights: int
    """All weights of the language model's layers; more than `active_weights` in a mixture of experts."""
    lm_head_weights: int
    """Weights from the last layer to the vocabulary."""
    embedding_weights: int
    """Weights of tables that are looked up and not multiplied."""

    @property
    def parameters(self) -> int:
        """Number of all weights."""
        vision = self.patch_weights + self.merger_weights
        return vision + self.layer_weights + self.lm_head_weights + self.embedding_weights

    @classmethod
    def from_config(cls, config: Any) -> Architecture:
        """Read a transformers config.

        Args:
            config: of a family in `judge.backends.models`.

        Raises:
            InputError: the config is of another model family.
        """
        family = find_family(config)
        if family is None:
            allowed = ", ".join(one.title for one in FAMILIES.values())
            raise InputError("model", str(config.model_type), allowed, "name a checkpoint of one of them")
        text, vision = config.get_text_config(), config.vision_config
        width = getattr(vision, "embed_dim", vision.hidden_size)
        mlp_width = getattr(vision, "intermediate_size", None) or int(width * vision.mlp_ratio)
        mlp_matrices = 3 if family.model_type == "qwen2_5_vl" else 2
        merged_width = width * vision.spatial_merge_size**2
        output_width = getattr(vision, "out_hidden_size", None) or vision.hidden_size
        patch_values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        mergers = 1 + len(getattr(vision, "deepstack_visual_indexes", None) or ())
        head_width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        query_width = text.num_attention_heads * head_width
        key_width = text.num_key_value_heads * head_width
        kinds = getattr(text, "layer_types", None) or ["full_attention"] * text.num_hidden_layers
        recurrent = kinds.count("linear_attention")
        layers = text.num_hidden_layers - recurrent
        # The output gate of Qwen3.5's attention is a second query projection.
        query_matrices = 3 if family.is_recurrent else 2
        attention = layers * text.hidden_size * (query_matrices * query_width + 2 * key_width)
        recurrent_weights, state_numbers = _delta_net(text) if recurrent else (0, 0)
        attention += recurrent * recurrent_weights
        active_mlp, all_mlp = _mlp_weights(text)
        vocabulary = text.vocab_size * text.hidden_size
        positions = getattr(vision, "num_position_embeddings", 0) * width
        is_tied = getattr(text, "tie_word_embeddings", False) or config.tie_word_embeddings
        return cls(
            patch_size=vision.patch_size,
            merge_size=vision.spatial_merge_size,
            vision_spans=_attention_spans(vision),
            vision_width=width,
            patch_weights=patch_values * width
            + vision.depth * (4 * width**2 + mlp_matrices * width * mlp_width),
            merger_weights=mergers * (merged_width**2 + merged_width * output_width),
            layers=layers,
            state_numbers=recurrent * state_numbers,
            query_width=query_width,
            key_width=key_width,
            active_weights=attention + active_mlp,
            layer_weights=attention + all_mlp,
            lm_head_weights=vocabulary,
            embedding_weights=positions + (0 if is_tied else vocabulary),
        )


def _delta_net(text: Any) -> tuple[int, int]:
    """Weights of one Gated DeltaNet layer, and numbers in its states; transformers' models/qwen3_5."""
    key_width = text.linear_num_key_heads * text.linear_key_head_dim
    value_width = text.linear_num_value_heads * text.linear_value_head_dim
    convolved = 2 * key_width + value_width
    per_input = convolved + value_width + 2 * text.linear_num_value_heads  # q, k, v; z; a and b
    weights = text.hidden_size * (per_input + value_width) + convolved * text.linear_conv_kernel_dim
    state = text.linear_num_value_heads * text.linear_key_head_dim * text.linear_value_head_dim
    return weights, state + convolved * text.linear_conv_kernel_dim


def _mlp_weights(text: Any) -> tuple[int, int]:
    """Weights of all gated MLPs of the language model: those that one token passes, and all of them."""
    experts = getattr(text, "num_experts", None) or getattr(text, "num_local_experts", None)
    dense = 3 * text.hidden_size * (getattr(text, "intermediate_size", None) or 0)
    if not experts:
        return text.num_hidden_layers * dense, text.num_hidden_layers * dense
    dense_layers, step = set(getattr(text, "mlp_only_layers", ())), getattr(text, "decoder_sparse_step", 1)
    has_experts = [
        layer not in dense_layers and (layer + 1) % step == 0 for layer in range(text.num_hidden_layers)
    ]
    shared = getattr(text, "shared_expert_intermediate_size", None) or 0
    # An expert that every token passes has a gate of one output of its own.
    router = text.hidden_size * (experts + (3 * shared + 1 if shared else 0))
    expert = 3 * text.hidden_size * text.moe_intermediate_size
    active = sum(router + text.num_experts_per_tok * expert if sparse else dense for sparse in has_experts)
    return active, sum(router + experts * expert if sparse else dense for sparse in has_experts)


def _attention_spans(vision: Any) -> tuple[int, ...]:
    """For each vision layer, how many patches attend to each other at most; 0 means all."""
    window = getattr(vision, "window_size", None)
    if not window:
        return (0,) * int(vision.depth)
    full = set(vision.fullatt_block_indexes)
    patches = (window // vision.patch_size) ** 2
    return tuple(0 if layer in full else int(patches) for layer in range(int(vision.depth)))


def load_config(model: str) -> Any:
    """Load the transformers config of a model.

    Args:
        model: "embedded", a name in `assets/sizes.toml`, a checkpoint folder, or a name on the
            Hugging Face Hub.

    Raises:
        InputError: the config cannot be read.
    """
    from transformers import AutoConfig

    known = tomllib.loads(CONFIGS_FILE.read_text("utf-8"))
    if model in known and not Path(model).is_dir():
        return AutoConfig.for_model(**known[model])
    try:
        return AutoConfig.from_pretrained(checkpoint_folder(model) or model)
    except (OSError, ValueError) as error:
        allowed = f"embedded, a checkpoint folder or hub name, or offline {', '.join(known)}"
        reason = " ".join(str(error).split())[:120]
        raise InputError("model", model, allowed, f"its config cannot be read: {reason}") from None


def checkpoint_folder(model: str) -> Path | None:
    """Return the folder of a checkpoint, or None when the model is not a local folder.

    A folder with the layout of the embedded judge (a `judge.json` next to `base/`) gives its `base` folder.
    """
    folder = ASSETS / "nano" if model == "embedded" else Path(model)
    if not folder.is_dir():
        return None
    return folder / "base" if (folder / "judge.json").is_file() else folder
