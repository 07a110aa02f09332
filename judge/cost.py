"""What judging many pictures costs, on paper: tokens, arithmetic, bytes, hours and memory of an accelerator.

Read from a model's config; neither weights nor an accelerator are needed. The arithmetic is that of the
matrix products (two operations for each weight a token passes) and of attention (causal in the language
model, within windows where the vision tower has them); norms, activations and the picture's decoding are
left out. What the card reaches of its data sheet is one assumed share, `efficiency`, for arithmetic and
bandwidth alike. `python -m eval.bench plan` holds this against the embedded judge as it runs.
"""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from judge.errors import InputError
from judge.pipeline.pipeline import MAX_PIXELS
from judge.rubrics.form import Box, Choice, Node, Object, Repeat
from judge.rubrics.rubric import Rubric
from judge.types import Depth

ASSETS = Path(str(files("judge"))) / "assets"
PROMPT = (
    "a photograph of an old red bicycle that leans against a white wall beside two green doors, evening light"
)
SENTENCE = "a part of the bicycle's front wheel is missing where it meets the ground"
CHARS = 4.0
"""Characters of a token of running text, where no tokenizer is at hand; JSON has shorter ones."""
CHARS_JSON = 3.0
WIDEST = 256
"""Answers that an engine writes at once at most (the default of vLLM)."""
RESERVE = 0.9
"""Share of a card's memory that weights and caches may fill."""
WEIGHT = 2
"""Bytes of a weight and of a number in a cache: bfloat16."""


# -- What it runs on, and what runs --------------------------------------------------------------------


@dataclass(frozen=True)
class Accelerator:
    """A card as its data sheet describes it."""

    name: str
    flops: float
    """Dense bfloat16 operations a second."""
    bandwidth: float
    """Bytes a second from its memory."""
    memory: float
    """Bytes."""

    @classmethod
    def named(cls, text: str) -> Accelerator:
        """A card of `assets/cards.toml`, or "FLOPS,BANDWIDTH,MEMORY". Raises `InputError`."""
        known = tomllib.loads((ASSETS / "cards.toml").read_text("utf-8"))
        if text in known:
            return cls(**known[text])
        try:
            numbers = [float(part) for part in text.split(",")]
            if len(numbers) == 3 and all(0 < number < math.inf for number in numbers):
                return cls(text, *numbers)
        except ValueError:
            pass
        near = get_close_matches(text, known, n=1, cutoff=0.0)[0]
        allowed = f"{', '.join(known)}, or FLOPS,BANDWIDTH,MEMORY in units of one"
        raise InputError("card", text, allowed, f"did you mean {near!r}?")


@dataclass(frozen=True)
class Sizes:
    """A Qwen-VL model's weights, counted where they are used; biases and norms are left out."""

    patch: int
    """Pixels of a patch's side."""
    merge: int
    """Patches of a picture token's side."""
    vision_layers: tuple[int, ...]
    """For each layer of the vision tower, the patches that attend to each other at most; 0: all."""
    vision_width: int
    patch_weights: int
    """Weights that every patch passes."""
    merger_weights: int
    """Weights that every picture token passes on its way out of the vision tower."""
    layers: int
    heads_width: int
    """Heads of attention times their width."""
    keys_width: int
    """Heads of keys times their width."""
    token_weights: int
    """Weights of the language model that every token passes."""
    stored_weights: int
    """Weights of its layers; more than `token_weights` where experts share the work."""
    head_weights: int
    """Weights from the last layer to the vocabulary."""
    embedding_weights: int
    """Tables that are looked up and not multiplied."""

    @property
    def parameters(self) -> int:
        seen = self.patch_weights + self.merger_weights
        return seen + self.stored_weights + self.head_weights + self.embedding_weights

    @classmethod
    def of(cls, config: Any) -> Sizes:
        """The sizes in a config of Qwen2-VL, Qwen2.5-VL or Qwen3-VL, with experts or without.

        Raises:
            InputError: it is of another kind.
        """
        text, vision = config.get_text_config(), getattr(config, "vision_config", None)
        kind = str(config.model_type)
        if not kind.startswith(("qwen2_vl", "qwen2_5_vl", "qwen3_vl")) or vision is None:
            raise InputError("model", kind, "Qwen2-VL, Qwen2.5-VL or Qwen3-VL", "name such a checkpoint")
        width = getattr(vision, "embed_dim", vision.hidden_size)
        inner = getattr(vision, "intermediate_size", None) or int(width * vision.mlp_ratio)
        gates = 3 if kind.startswith("qwen2_5_vl") else 2
        merged = width * vision.spatial_merge_size**2
        out = getattr(vision, "out_hidden_size", None) or vision.hidden_size
        patch = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
        mergers = 1 + len(getattr(vision, "deepstack_visual_indexes", None) or ())
        head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        queries, keys = text.num_attention_heads * head, text.num_key_value_heads * head
        attention = text.hidden_size * (2 * queries + 2 * keys)
        passed, stored = _feed_forward(text)
        table = text.vocab_size * text.hidden_size
        positions = getattr(vision, "num_position_embeddings", 0) * width
        tied = getattr(text, "tie_word_embeddings", False) or config.tie_word_embeddings
        return cls(
            patch=vision.patch_size,
            merge=vision.spatial_merge_size,
            vision_layers=_spans(vision),
            vision_width=width,
            patch_weights=patch * width + vision.depth * (4 * width**2 + gates * width * inner),
            merger_weights=mergers * (merged**2 + merged * out),
            layers=text.num_hidden_layers,
            heads_width=queries,
            keys_width=keys,
            token_weights=text.num_hidden_layers * attention + passed,
            stored_weights=text.num_hidden_layers * attention + stored,
            head_weights=table,
            embedding_weights=positions + (0 if tied else table),
        )


def _feed_forward(text: Any) -> tuple[int, int]:
    """Weights of all layers' gated feed-forward parts: those a token passes, and all of them."""
    dense = 3 * text.hidden_size * text.intermediate_size
    experts = getattr(text, "num_experts", None) or getattr(text, "num_local_experts", None)
    if not experts:
        return text.num_hidden_layers * dense, text.num_hidden_layers * dense
    alone = set(text.mlp_only_layers)
    sparse = [
        layer not in alone and (layer + 1) % text.decoder_sparse_step == 0
        for layer in range(text.num_hidden_layers)
    ]
    router = text.hidden_size * experts
    one = 3 * text.hidden_size * text.moe_intermediate_size
    passed = sum(router + text.num_experts_per_tok * one if mixed else dense for mixed in sparse)
    return passed, sum(router + experts * one if mixed else dense for mixed in sparse)


def _spans(vision: Any) -> tuple[int, ...]:
    window = getattr(vision, "window_size", None)
    if not window:
        return (0,) * int(vision.depth)
    full = set(vision.fullatt_block_indexes)
    patches = (window // vision.patch_size) ** 2
    return tuple(0 if layer in full else int(patches) for layer in range(int(vision.depth)))


def config_of(model: str) -> Any:
    """The config of a model by its name in `assets/sizes.toml`, its folder, or its name on the hub.

    Raises:
        InputError: it cannot be read.
    """
    from transformers import AutoConfig

    known = tomllib.loads((ASSETS / "sizes.toml").read_text("utf-8"))
    if model in known and not Path(model).is_dir():
        return AutoConfig.for_model(**known[model])
    try:
        return AutoConfig.from_pretrained(_folder(model) or model)
    except (OSError, ValueError) as error:
        allowed = f"embedded, a checkpoint's folder or hub name, or offline {', '.join(known)}"
        reason = " ".join(str(error).split())[:120]
        raise InputError("model", model, allowed, f"its config cannot be read: {reason}") from None


def _folder(model: str) -> Path | None:
    """The folder of the checkpoint, where the model is one: it may be laid out as the embedded judge is."""
    folder = ASSETS / "nano" if model == "embedded" else Path(model)
    if not folder.is_dir():
        return None
    return folder / "base" if (folder / "judge.json").is_file() else folder


# -- Tokens --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tokens:
    """Tokens of one picture's question and answer."""

    patches: int
    image: int
    text: int
    """Of the rubric's instructions with the prompt and its elements."""
    answer: int
    """Of the form, filled."""
    blanks: int
    """Places of the form where probabilities are read."""
    counted: bool
    """By the model's own tokenizer; else estimated from characters."""


def tokens_of(
    model: str,
    sizes: Sizes,
    pixels: tuple[int, int],
    depth: Depth,
    *,
    rubric: str = "default",
    elements: int = 6,
    defects: int = 1,
    max_pixels: int = MAX_PIXELS,
) -> Tokens:
    """Tokens of a picture of (width, height) pixels, asked about and answered.

    Raises:
        InputError: a number or the rubric is unusable; `RubricError` is one.
    """
    asked, names = Rubric.load(rubric), [f"element number {number}" for number in range(1, elements + 1)]
    form = asked.form(names).at_depth(depth)
    side, brief = _habits(model)
    text = asked.messages(PROMPT, names, brief=brief, depth=depth)[0]["content"][-1]["text"]
    segments = form.segments(_filled(form.root, defects))
    answer = "".join(segment.text for segment in segments)
    width, height = _seen(pixels, sizes.patch * sizes.merge, side, max_pixels)
    patches = width // sizes.patch * (height // sizes.patch)
    count = _tokenizer(model)
    return Tokens(
        patches=patches,
        image=patches // sizes.merge**2,
        text=count(text) if count else math.ceil(len(text) / CHARS),
        answer=count(answer) if count else math.ceil(len(answer) / CHARS_JSON),
        blanks=sum(segment.role in ("choice", "branch") for segment in segments),
        counted=count is not None,
    )


def _filled(node: Node, defects: int) -> Any:
    """A typical answer: first labels, one sentence wherever there is one, so many defects."""
    match node:
        case Object():
            return {key: _filled(member, defects) for key, member in node.members}
        case Repeat():
            return [_filled(node.item, defects) for _ in range(min(defects, node.max))]
        case Choice():
            return node.labels[0] if node.quoted else json.loads(node.labels[0])
        case Box():
            return [100, 100, 400, 400]
        case _:
            return SENTENCE[: node.max_chars]


def _habits(model: str) -> tuple[int | None, bool]:
    """The side that a model laid out as the embedded judge sees, and whether it takes the brief template."""
    folder = _folder(model)
    if folder is None or not (folder.parent / "judge.json").is_file():
        return None, False
    card = json.loads((folder.parent / "judge.json").read_text("utf-8"))
    return card.get("size"), bool(card.get("brief"))


def _seen(pixels: tuple[int, int], step: int, side: int | None, max_pixels: int) -> tuple[int, int]:
    """Width and height that the model sees: reduced as `judge.media.image.fit` does, then to whole tokens."""
    if side is not None:
        return side, side
    shrink = min(1.0, math.sqrt(max_pixels / (pixels[0] * pixels[1])))
    width, height = (max(step, round(math.floor(length * shrink) / step) * step) for length in pixels)
    return width, height


def _tokenizer(model: str) -> Callable[[str], int] | None:
    folder = _folder(model)
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text).ids)


# -- Costs ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """The cost of all pictures; `to_dict` has what of it is for one picture."""

    images: int
    parameters: int
    tokens: Tokens
    prefill_flops: float
    """A picture's, the vision tower's included."""
    decode_flops: float
    traffic: float
    """Bytes that decoding reads from memory for a picture: weights, shared by a batch, and its cache."""
    cards: int
    """Cards that one copy of the model is spread over."""
    weights: int
    """Bytes."""
    cache: int
    """Bytes that one picture's keys and values take."""
    batch: int
    """Answers written at once by one copy."""
    seconds: float
    """A picture takes one copy of the model."""
    gpu_hours: float

    def to_dict(self) -> dict[str, Any]:
        """As plain data, with the totals over all pictures."""
        made = asdict(self)
        each = self.tokens.image + self.tokens.text + self.tokens.answer
        made["total"] = {
            "tokens": each * self.images,
            "prefill_flops": self.prefill_flops * self.images,
            "decode_flops": self.decode_flops * self.images,
            "traffic": self.traffic * self.images,
        }
        made["memory"] = self.weights + self.batch * self.cache
        return made


def cost(
    sizes: Sizes,
    tokens: Tokens,
    card: Accelerator,
    *,
    images: int = 1,
    depth: Depth = "verdict",
    efficiency: float = 0.4,
) -> Cost:
    """What so many pictures cost on a card.

    Args:
        sizes: of the model.
        tokens: of one picture.
        card: where it runs; several of them, evenly shared, where one has too little memory.
        images: how many pictures.
        depth: at `score` the form is read in one pass and nothing is written.
        efficiency: share of the data sheet's arithmetic and bandwidth that is reached, above 0 up to 1.

    Raises:
        InputError: a number is out of range.
    """
    if images < 1:
        raise InputError("images", images, "1 or more", "for example 1e6")
    if not 0 < efficiency <= 1:
        raise InputError("efficiency", efficiency, "above 0 up to 1", "0.4 is a usual one")
    prompt, answer = tokens.image + tokens.text, tokens.answer
    read = prompt + answer if depth == "score" else prompt
    written = 0 if depth == "score" else answer
    prefill = _vision_flops(sizes, tokens) + _reading_flops(sizes, read, tokens.blanks if not written else 1)
    decode = written * (2 * (sizes.token_weights + sizes.head_weights)) + 4 * sizes.layers * (
        sizes.heads_width * _sum_of_contexts(prompt, written)
    )
    weights = sizes.parameters * WEIGHT
    cell = 2 * sizes.layers * sizes.keys_width * WEIGHT
    cache = (prompt + answer) * cell
    cards = max(1, math.ceil((weights + cache) / (RESERVE * card.memory)))
    batch = max(1, min(WIDEST, int((RESERVE * cards * card.memory - weights) // cache)))
    streamed = (sizes.stored_weights + sizes.head_weights) * WEIGHT  # a batch of many wakes every expert
    traffic = written * streamed / batch + cell * _sum_of_contexts(prompt, written)
    arithmetic, moved = (speed * cards * efficiency for speed in (card.flops, card.bandwidth))
    seconds = prefill / arithmetic + max(decode / arithmetic, traffic / moved)
    return Cost(
        images=images,
        parameters=sizes.parameters,
        tokens=tokens,
        prefill_flops=prefill,
        decode_flops=float(decode),
        traffic=traffic,
        cards=cards,
        weights=weights,
        cache=cache,
        batch=batch,
        seconds=seconds,
        gpu_hours=images * seconds * cards / 3600,
    )


def _vision_flops(sizes: Sizes, tokens: Tokens) -> float:
    patches = tokens.patches
    attended = sum(min(patches, span) if span else patches for span in sizes.vision_layers)
    passed = sizes.patch_weights * patches + sizes.merger_weights * tokens.image
    return 2.0 * passed + 4.0 * sizes.vision_width * patches * attended


def _reading_flops(sizes: Sizes, count: int, read_out: int) -> float:
    """Of reading so many tokens at once, and the vocabulary's probabilities at some of them."""
    attention = 4.0 * sizes.layers * sizes.heads_width * _sum_of_contexts(0, count)
    return 2.0 * (sizes.token_weights * count + sizes.head_weights * read_out) + attention


def _sum_of_contexts(before: int, count: int) -> int:
    """Tokens that `count` tokens look back on, themselves included, with `before` ahead of them."""
    return count * before + count * (count + 1) // 2


def sized(text: str) -> tuple[int, int]:
    """ "1024x768" as (1024, 768). Raises `InputError`."""
    width, cross, height = text.lower().partition("x")
    if cross and width.isascii() and width.isdigit() and height.isascii() and height.isdigit():
        if int(width) and int(height):
            return int(width), int(height)
    raise InputError("pixels", text, "WIDTHxHEIGHT, for example 1024x1024", "write it so")


def counted(text: str) -> int:
    """ "1e6" as 1,000,000. Raises `InputError`."""
    try:
        number = float(text.replace("_", "").replace(",", ""))
        if 1 <= number <= 1e15 and number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise InputError("images", text, "a whole number from 1, for example 1e6", "write it so")


# -- For people ----------------------------------------------------------------------------------------


def told(found: Cost, card: Accelerator, efficiency: float) -> list[tuple[str, str]]:
    """Lines of a cost: what, and how much."""
    tokens, total = found.tokens, found.to_dict()["total"]
    how = "" if tokens.counted else "; text estimated from its characters"
    spread = f" on {found.cards} cards" if found.cards > 1 else ""
    return [
        ("pictures", f"{found.images:,}"),
        ("tokens a picture", f"{tokens.image} picture + {tokens.text} text + {tokens.answer} answer{how}"),
        ("tokens", f"{total['tokens']:.3g}"),
        ("prefill", f"{total['prefill_flops']:.3g} FLOPs"),
        ("decode", f"{total['decode_flops']:.3g} FLOPs, {total['traffic']:.3g} bytes from memory"),
        (
            "memory",
            f"{_gigabytes(found.weights)} weights + {found.batch} x {_gigabytes(found.cache)}{spread}",
        ),
        ("pictures a second", f"{1 / found.seconds:,.1f} by one copy of the model"),
        ("GPU-hours", f"{found.gpu_hours:,.1f} at {efficiency:.0%} of {card.name}"),
    ]


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.3g} GB"
