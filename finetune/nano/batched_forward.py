"""A fast forward pass of a Qwen3-VL for training, over the library's own modules and parameters.

The library's forward accepts images of different sizes, and builds masks and positions for each call. In
training all images are 224x224, the prompts about an image share one pass over it, and some attention logits
are needed. `BatchedForward` runs the same modules with less work. A test checks that both ways give the same
logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from finetune.nano.network import CELLS, GRID, IMAGE_TOKENS, MERGE, PATCH_PIXELS

MENTION_LAYER, BOX_LAYER, STATEMENT_LAYER = 1, 2, 3
"""Language layers whose attention is taught: to where a named object is (head 0); to where the box being
written is (head 1); and, from a statement's blank, back to the first and the last object it names (heads 0
and 1)."""


@dataclass
class AttentionQueries:
    """Query tokens whose attention is read out, each as rows and columns (n,)."""

    mentions: tuple[Tensor, Tensor]
    box_tokens: tuple[Tensor, Tensor]
    statements: tuple[Tensor, Tensor]


@dataclass
class AttentionReadout:
    """Attention logits and states of the query tokens."""

    mention_logits: Tensor
    """(n, heads, 1 + IMAGE_TOKENS) on the first token of the row and on the image."""
    mention_states: Tensor
    """(n, width) states of the named objects' tokens after that layer."""
    box_logits: Tensor
    """(n, heads, 1 + IMAGE_TOKENS)."""
    statement_logits: Tensor
    """(n, heads, L) on the whole row; -inf where a query may not attend."""
    statement_states: Tensor
    """(n, width) states of the statements' tokens after that layer."""

    def detach(self) -> AttentionReadout:
        """Return the same values, through which no gradient flows."""
        return AttentionReadout(**{name: value.detach() for name, value in vars(self).items()})


@dataclass
class ImageFeatures:
    """Outputs of the vision tower for a batch of images."""

    patches: Tensor
    """(B, GRID * GRID, vision width), in merge order."""
    tokens: Tensor
    """(B, IMAGE_TOKENS, width)."""
    deepstack: list[Tensor]
    """Deepstack features, each of the shape of `tokens`."""

    def detach(self) -> ImageFeatures:
        """Return the same values, through which no gradient flows."""
        deepstack = [level.detach() for level in self.deepstack]
        return ImageFeatures(self.patches.detach(), self.tokens.detach(), deepstack)


def _rotate_half(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), -1)


class BatchedForward:
    """Forward pass of a Qwen3-VL for 224x224 images.

    Args:
        model: a `Qwen3VLForConditionalGeneration`.
        prefix: column of the first image token.
    """

    def __init__(self, model: Any, prefix: int) -> None:
        self.visual, self.language, self.head = model.model.visual, model.model.language_model, model.lm_head
        self.prefix = prefix
        device = self.visual.pos_embed.weight.device
        order = (
            torch.arange(GRID * GRID, device=device)
            .view(CELLS, MERGE, CELLS, MERGE)
            .permute(0, 2, 1, 3)
            .reshape(-1)
        )
        self.order = order
        """Raster index of each patch in merge order."""
        dim = self.visual.blocks[0].attn.head_dim
        rate = 1.0 / (10000.0 ** (torch.arange(0, dim // 2, 2, device=device).float() / (dim // 2)))
        angle = torch.cat([(order // GRID)[:, None] * rate, (order % GRID)[:, None] * rate], -1)
        angle = torch.cat([angle, angle], -1)
        self.dtype = self.visual.pos_embed.weight.dtype
        self.cos, self.sin = angle.cos()[None, None].to(self.dtype), angle.sin()[None, None].to(self.dtype)

    def encode_images(self, images: Tensor) -> ImageFeatures:
        """Run the vision tower.

        Args:
            images: (B, 224, 224, 3) uint8.
        """
        v, b = self.visual, images.shape[0]
        x = (images.to(self.dtype) / 127.5 - 1.0).view(
            b, CELLS, MERGE, PATCH_PIXELS, CELLS, MERGE, PATCH_PIXELS, 3
        )
        x = x.permute(0, 1, 4, 2, 5, 7, 3, 6).reshape(b, GRID * GRID, 3 * PATCH_PIXELS * PATCH_PIXELS)
        # To Qwen-VL a still image is two equal frames: the two temporal slices of the kernel add up.
        kernel = v.patch_embed.proj.weight.sum(2).reshape(-1, 3 * PATCH_PIXELS * PATCH_PIXELS)
        h = F.linear(x, kernel, v.patch_embed.proj.bias) + v.pos_embed.weight[self.order]
        deepstack = list[Tensor]()
        for i, block in enumerate(v.blocks):
            h = h + self._vision_attention(block.attn, block.norm1(h))
            h = h + block.mlp(block.norm2(h))
            if i in v.deepstack_visual_indexes:
                merger = v.deepstack_merger_list[len(deepstack)]
                deepstack.append(merger(h).view(b, IMAGE_TOKENS, -1))
        return ImageFeatures(h, v.merger(h).view(b, IMAGE_TOKENS, -1), deepstack)

    def _vision_attention(self, attention: Any, h: Tensor) -> Tensor:
        b, n, _ = h.shape
        q, k, value = attention.qkv(h).view(b, n, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
        cos, sin = self.cos, self.sin
        out = F.scaled_dot_product_attention(
            q * cos + _rotate_half(q) * sin, k * cos + _rotate_half(k) * sin, value
        )
        attended: Tensor = attention.proj(out.transpose(1, 2).reshape(b, n, -1))
        return attended

    def run_language_model(
        self,
        ids: Tensor,
        features: ImageFeatures,
        positions: Tensor,
        mask: Tensor,
        queries: AttentionQueries | None = None,
    ) -> tuple[Tensor, AttentionReadout | None]:
        """Run the language model.

        Args:
            ids: (B, L) token ids. The placeholders of the image are at prefix .. prefix + IMAGE_TOKENS.
            features: of the images.
            positions: (3, B, L) rotary positions.
            mask: (B, 1, L, L), True where a query may attend.
            queries: query tokens whose attention is read out, each in its own layer (`MENTION_LAYER` and so
                on).

        Returns:
            Last hidden states (B, L, width), and the readout of the queries.
        """
        first, last = self.prefix, self.prefix + IMAGE_TOKENS
        image_columns = torch.tensor([0, *range(first, last)], device=ids.device)
        e = self.language.embed_tokens(ids)
        h = torch.cat([e[:, :first], features.tokens.to(e.dtype), e[:, last:]], 1)
        rotary = self.language.rotary_emb(h, positions)
        readout: dict[str, Tensor] = {}
        for i, layer in enumerate(self.language.layers):
            if queries and i == MENTION_LAYER:
                readout["mention_logits"] = self._attention_logits(
                    layer, h, rotary, *queries.mentions, image_columns
                )
            if queries and i == BOX_LAYER:
                readout["box_logits"] = self._attention_logits(
                    layer, h, rotary, *queries.box_tokens, image_columns
                )
            if queries and i == STATEMENT_LAYER:
                row, column = queries.statements
                columns = torch.arange(ids.shape[1], device=ids.device)
                logits = self._attention_logits(layer, h, rotary, row, column, columns)
                readout["statement_logits"] = logits.masked_fill(~mask[row, 0, column][:, None], -torch.inf)
            h = layer(h, attention_mask=mask, position_embeddings=rotary)
            if i < len(features.deepstack):
                image = h[:, first:last] + features.deepstack[i].to(h.dtype)
                h = torch.cat([h[:, :first], image, h[:, last:]], 1)
            if queries and i == MENTION_LAYER:
                readout["mention_states"] = h[queries.mentions]
            if queries and i == STATEMENT_LAYER:
                readout["statement_states"] = h[queries.statements]
        return self.language.norm(h), AttentionReadout(**readout) if queries else None

    def _attention_logits(
        self, layer: Any, h: Tensor, rotary: tuple[Tensor, Tensor], row: Tensor, column: Tensor, keys: Tensor
    ) -> Tensor:
        """Compute the attention logits (n, heads, keys) of some queries in a layer, before it runs."""
        attention, n = layer.self_attn, layer.input_layernorm(h)
        dim = attention.head_dim
        heads = self.language.config.num_attention_heads  # not -1: a small batch may have no such token
        q = attention.q_norm(attention.q_proj(n[row, column]).view(len(row), heads, dim))
        k = attention.k_norm(attention.k_proj(n[:, keys]).view(h.shape[0], len(keys), -1, dim))[:, :, 0]
        cos, sin = rotary
        q = q * cos[row, column][:, None] + _rotate_half(q) * sin[row, column][:, None]
        k = k * cos[:, keys] + _rotate_half(k) * sin[:, keys]
        logits: Tensor = torch.einsum("shd,snd->shn", q.float(), k.float()[row]) * dim**-0.5
        return logits
