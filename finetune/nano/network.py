"""The nano Qwen3-VL: its configuration, and a batched training forward over the library's own modules.

The library's forward takes ragged pictures and builds masks and positions anew for each call. In training
all pictures are 224x224, several questions about a picture share one pass over it, and some attention
logits are wanted, so `Trunk` runs the same modules on the same parameters by a shorter way. A test proves
that both ways give the same logits.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from judge.backends import torchvision_compat as _torchvision

_torchvision.mend()  # before anything imports a Qwen-VL from transformers
PIXELS, PATCH, MERGE = 224, 16, 2
GRID = PIXELS // PATCH
CELLS = GRID // MERGE
IMAGE_TOKENS = CELLS * CELLS
NAME_LAYER, BOX_LAYER, LINK_LAYER = 1, 2, 3
"""Language layers taught where to look: where a named object is (head 0); where the box being written is
(head 1); and, from a statement's blank, back at the first and the last object it names (heads 0 and 1)."""


@dataclass
class Probes:
    """Queries whose attention is wanted, each as rows and columns (n,)."""

    named: tuple[Tensor, Tensor]
    boxed: tuple[Tensor, Tensor]
    linked: tuple[Tensor, Tensor]


@dataclass
class Probed:
    """What the probes read."""

    named: Tensor
    """(n, heads, 1 + IMAGE_TOKENS) attention logits on the first token of the row and on the picture."""
    states: Tensor
    """(n, width) states of the named objects' tokens after that layer."""
    boxed: Tensor
    """(n, heads, 1 + IMAGE_TOKENS)."""
    linked: Tensor
    """(n, heads, L) attention logits on the whole row, -inf where a query may not look."""
    links: Tensor
    """(n, width) states of the statements' tokens after that layer."""


@dataclass(frozen=True)
class Size:
    """Width and depth of a nano."""

    vision_width: int = 192
    vision_depth: int = 6
    width: int = 192
    depth: int = 5
    inner: int = 512
    vocabulary: int = 1024
    head: int = 64


def build_model(tokenizer: Any, size: Size, seed: int = 0) -> Any:
    """A `Qwen3VLForConditionalGeneration` with random weights for this tokenizer."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    token = {name: tokenizer.convert_tokens_to_ids(name) for name in tokenizer.all_special_tokens}
    side = 3 * size.head // 16  # rotary frequencies of a row and of a column; the rest tell time
    text = {
        "vocab_size": size.vocabulary,
        "hidden_size": size.width,
        "intermediate_size": size.inner,
        "num_hidden_layers": size.depth,
        "num_attention_heads": size.width // size.head,
        "num_key_value_heads": 1,
        "head_dim": size.head,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
        "bos_token_id": token["<|endoftext|>"],
        "eos_token_id": token["<|im_end|>"],
        "pad_token_id": token["<|endoftext|>"],
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": [size.head // 2 - 2 * side, side, side],
            "mrope_interleaved": True,
        },
    }
    vision = {
        "depth": size.vision_depth,
        "hidden_size": size.vision_width,
        "intermediate_size": 4 * size.vision_width,
        "num_heads": size.vision_width // size.head,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": 2,
        "out_hidden_size": size.width,
        "num_position_embeddings": GRID * GRID,
        "deepstack_visual_indexes": [max(0, size.vision_depth // 2 - 1)],
        "hidden_act": "gelu_pytorch_tanh",
    }
    ids = {f"{n}_token_id": token[f"<|{n}|>"] for n in ("vision_start", "vision_end")}
    ids |= {f"{n}_token_id": token[f"<|{n}_pad|>"] for n in ("image", "video")}
    torch.manual_seed(seed)
    model = Qwen3VLForConditionalGeneration(
        Qwen3VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **ids)
    )
    model.model.visual.pos_embed.weight.data.copy_(0.45 * _sine_grid(size.vision_width))
    return model


def grow(model: Any, vision_depth: int) -> Any:
    """The same model with more vision blocks at the end, which at first change nothing: what they add is 0.

    Raises:
        ValueError: `vision_depth` is less than the model's.
    """
    config = copy.deepcopy(model.config)
    old = config.vision_config.depth
    if vision_depth < old:
        raise ValueError(f"vision_depth {vision_depth}: the model has {old} blocks already")
    config.vision_config.depth = vision_depth
    torch.manual_seed(vision_depth)
    grown = type(model)(config).to(model.dtype)
    missing, unexpected = grown.load_state_dict(model.state_dict(), strict=False)
    if unexpected or any(not n.startswith("model.visual.blocks.") for n in missing):
        raise AssertionError(f"not only vision blocks differ: {missing[:3]} {unexpected[:3]}")
    for block in grown.model.visual.blocks[old:]:
        for layer in (block.attn.proj, block.mlp.linear_fc2):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    return grown


def _sine_grid(width: int) -> Tensor:
    """2-D sine and cosine position embedding (GRID * GRID, width), from which places are soon told apart."""
    rate = 1 / (100 ** (torch.arange(width // 4).float() / (width // 4)))
    line = torch.arange(GRID).float()[:, None] * rate
    axis = torch.cat([line.sin(), line.cos()], 1)
    return torch.cat([axis[:, None].expand(GRID, GRID, -1), axis[None].expand(GRID, GRID, -1)], -1).reshape(
        GRID * GRID, width
    )


def save_processor(tokenizer: Any, out: Path) -> None:
    """Write the tokenizer and the image and video processor settings that go with the nano."""
    tokenizer.save_pretrained(out)
    common = {
        "patch_size": PATCH,
        "temporal_patch_size": 2,
        "merge_size": MERGE,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        "processor_class": "Qwen3VLProcessor",
    }
    least, most = (PATCH * MERGE) ** 2, PIXELS * PIXELS
    image = {
        **common,
        "image_processor_type": "Qwen2VLImageProcessor",
        "min_pixels": least,
        "max_pixels": most,
        "size": {"shortest_edge": least, "longest_edge": most},
    }
    video = {
        **common,
        "video_processor_type": "Qwen3VLVideoProcessor",
        "size": {"shortest_edge": least, "longest_edge": most * 4},
    }
    for name, settings in (("preprocessor_config.json", image), ("video_preprocessor_config.json", video)):
        (out / name).write_text(json.dumps(settings, indent=1) + "\n")


@dataclass
class Seen:
    """What the vision tower makes of a batch of pictures."""

    patches: Tensor
    """(B, GRID*GRID, vision width), in merge order."""
    tokens: Tensor
    """(B, IMAGE_TOKENS, width)."""
    deep: list[Tensor]
    """Deepstack features, each as `tokens`."""


def _rotate(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), -1)


class Trunk:
    """Training forward of a Qwen3-VL for 224x224 pictures; the picture's tokens start at `prefix`."""

    def __init__(self, model: Any, prefix: int) -> None:
        self.visual, self.language, self.head = model.model.visual, model.model.language_model, model.lm_head
        self.prefix = prefix
        order = torch.arange(GRID * GRID).view(CELLS, MERGE, CELLS, MERGE).permute(0, 2, 1, 3).reshape(-1)
        self.order = order
        """Raster index of each patch in merge order."""
        dim = self.visual.blocks[0].attn.head_dim
        rate = 1.0 / (10000.0 ** (torch.arange(0, dim // 2, 2).float() / (dim // 2)))
        angle = torch.cat([(order // GRID)[:, None] * rate, (order % GRID)[:, None] * rate], -1)
        angle = torch.cat([angle, angle], -1)
        self.dtype = self.visual.pos_embed.weight.dtype
        self.cos, self.sin = angle.cos()[None, None].to(self.dtype), angle.sin()[None, None].to(self.dtype)

    def see(self, pictures: Tensor) -> Seen:
        """Run the vision tower on uint8 pictures (B, 224, 224, 3)."""
        v, b = self.visual, pictures.shape[0]
        x = (pictures.to(self.dtype) / 127.5 - 1.0).view(b, CELLS, MERGE, PATCH, CELLS, MERGE, PATCH, 3)
        x = x.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(b, GRID * GRID, 3 * PATCH * PATCH)
        # A still picture is two equal frames to Qwen: the two temporal slices of the kernel add up.
        kernel = v.patch_embed.proj.weight.sum(2).reshape(-1, 3 * PATCH * PATCH)
        h = F.linear(x, kernel, v.patch_embed.proj.bias) + v.pos_embed.weight[self.order]
        deep = list[Tensor]()
        for i, block in enumerate(v.blocks):
            h = h + self._attend(block.attn, block.norm1(h))
            h = h + block.mlp(block.norm2(h))
            if i in v.deepstack_visual_indexes:
                deep.append(v.deepstack_merger_list[len(deep)](h).view(b, IMAGE_TOKENS, -1))
        return Seen(h, v.merger(h).view(b, IMAGE_TOKENS, -1), deep)

    def _attend(self, attention: Any, h: Tensor) -> Tensor:
        b, n, _ = h.shape
        q, k, value = attention.qkv(h).view(b, n, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
        cos, sin = self.cos, self.sin
        out = F.scaled_dot_product_attention(q * cos + _rotate(q) * sin, k * cos + _rotate(k) * sin, value)
        attended: Tensor = attention.proj(out.transpose(1, 2).reshape(b, n, -1))
        return attended

    def read(
        self,
        ids: Tensor,
        seen: Seen,
        positions: Tensor,
        mask: Tensor,
        probes: Probes | None = None,
    ) -> tuple[Tensor, Probed | None]:
        """Run the language model.

        Args:
            ids: (B, L) token ids; the picture's placeholders stand at prefix .. prefix + IMAGE_TOKENS.
            seen: the pictures.
            positions: (3, B, L) rotary positions.
            mask: (B, 1, L, L), True where a query may look.
            probes: queries whose attention is wanted; the layers of their own are `NAME_LAYER` and so on.

        Returns:
            Last hidden states (B, L, width), and what was probed.
        """
        first, last = self.prefix, self.prefix + IMAGE_TOKENS
        picture = torch.tensor([0, *range(first, last)])
        e = self.language.embed_tokens(ids)
        h = torch.cat([e[:, :first], seen.tokens.to(e.dtype), e[:, last:]], 1)
        rotary = self.language.rotary_emb(h, positions)
        read: dict[str, Tensor] = {}
        for i, layer in enumerate(self.language.layers):
            if probes and i == NAME_LAYER:
                read["named"] = self._probe(layer, h, rotary, *probes.named, picture)
            if probes and i == BOX_LAYER:
                read["boxed"] = self._probe(layer, h, rotary, *probes.boxed, picture)
            if probes and i == LINK_LAYER:
                row, column = probes.linked
                whole = self._probe(layer, h, rotary, row, column, torch.arange(ids.shape[1]))
                read["linked"] = whole.masked_fill(~mask[row, 0, column][:, None], -torch.inf)
            h = layer(h, attention_mask=mask, position_embeddings=rotary)
            if i < len(seen.deep):
                h = torch.cat([h[:, :first], h[:, first:last] + seen.deep[i].to(h.dtype), h[:, last:]], 1)
            if probes and i == NAME_LAYER:
                read["states"] = h[probes.named]
            if probes and i == LINK_LAYER:
                read["links"] = h[probes.linked]
        return self.language.norm(h), Probed(**read) if probes else None

    def _probe(
        self, layer: Any, h: Tensor, rotary: tuple[Tensor, Tensor], row: Tensor, column: Tensor, keys: Tensor
    ) -> Tensor:
        """Attention logits (n, heads, keys) of some queries in a layer, before it runs."""
        attention, n = layer.self_attn, layer.input_layernorm(h)
        dim = attention.head_dim
        q = attention.q_norm(attention.q_proj(n[row, column]).view(len(row), -1, dim))
        k = attention.k_norm(attention.k_proj(n[:, keys]).view(h.shape[0], len(keys), -1, dim))[:, :, 0]
        cos, sin = rotary
        q = q * cos[row, column][:, None] + _rotate(q) * sin[row, column][:, None]
        k = k * cos[:, keys] + _rotate(k) * sin[:, keys]
        logits: Tensor = torch.einsum("shd,snd->shn", q.float(), k.float()[row]) * dim**-0.5
        return logits
