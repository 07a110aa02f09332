"""The cost estimate of a number of images on one kind of accelerator.

Operations are those of the matrix products (two for each weight that a token passes) and of attention: causal
in the language model, within windows where the vision tower has windows. Norms, activations and image
decoding are left out. The share of the data sheet that the accelerator reaches is one assumed number,
`efficiency`, used for arithmetic and bandwidth alike.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from judge.cost.accelerators import Accelerator
from judge.cost.architecture import Architecture
from judge.cost.tokens import TokenCounts
from judge.errors import InputError
from judge.types import Depth

MAX_BATCH = 256
"""Most answers that an engine writes at once (the default of vLLM)."""
USABLE_MEMORY = 0.9
"""Share of an accelerator's memory that weights and caches may fill."""
STATE_OPERATIONS = 6
"""Operations of a token on each number of a recurrent state: decay, read with the key, update, read with the
query (transformers' `torch_recurrent_gated_delta_rule`)."""
STATE_BYTES = 4
"""Bytes of a number in a recurrent state: float32."""
BYTES_PER_NUMBER = 2
"""Bytes of a weight and of a number in a cache: bfloat16."""


@dataclass(frozen=True)
class CostEstimate:
    """The cost of one image on average, and the hours of all of them. `to_dict` adds the totals."""

    images: int
    """Number of images."""
    parameters: int
    """Weights of the model."""
    tokens: TokenCounts
    """Token counts of one image."""
    prefill_flops: float
    """Operations per image to read image and text, the vision tower included."""
    decode_flops: float
    """Operations per image to write the answer."""
    traffic: float
    """Bytes per image that decoding reads from memory: the weights, shared by a batch, and its own cache."""
    cards: int
    """Accelerators over which one copy of the model is spread."""
    weights: int
    """Size of the weights in bytes."""
    cache: int
    """Bytes of one image's keys and values, and recurrent states."""
    batch: int
    """Answers that one copy of the model writes at once."""
    seconds: float
    """Seconds per image of one copy of the model."""
    gpu_hours: float
    """Accelerator hours for all images."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data with the totals over all images (`total`) and the bytes in memory (`memory`)."""
        data = asdict(self)
        tokens_per_image = self.tokens.image + self.tokens.text + self.tokens.answer
        data["total"] = {
            "tokens": tokens_per_image * self.images,
            "prefill_flops": self.prefill_flops * self.images,
            "decode_flops": self.decode_flops * self.images,
            "traffic": self.traffic * self.images,
        }
        data["memory"] = self.weights + self.batch * self.cache
        return data


def estimate_cost(
    architecture: Architecture,
    tokens: TokenCounts,
    accelerator: Accelerator,
    *,
    images: int = 1,
    depth: Depth = "verdict",
    efficiency: float = 0.4,
    bytes_per_number: float = BYTES_PER_NUMBER,
) -> CostEstimate:
    """Estimate the cost of judging a number of images.

    Args:
        architecture: weight counts of the model.
        tokens: token counts of one image.
        accelerator: what the model runs on. If one has too little memory, the model is spread evenly
            over several.
        images: number of images, 1 or more.
        depth: at "score" the form is read in one pass and nothing is written.
        efficiency: share of the data sheet's arithmetic and bandwidth that is reached, above 0 up to 1.
        bytes_per_number: bytes of a weight and of a number in a cache; float32, as on a CPU, has 4.

    Raises:
        InputError: a number is out of range.
    """
    if images < 1:
        raise InputError("images", images, "1 or more", "for example 1e6")
    if not 0 < efficiency <= 1:
        raise InputError("efficiency", efficiency, "above 0 up to 1", "0.4 is a usual value")
    prompt, answer = tokens.image + tokens.text, tokens.answer
    read = prompt + answer if depth == "score" else prompt
    written = 0 if depth == "score" else answer
    readouts = tokens.blanks if not written else 1
    prefill = _vision_flops(architecture, tokens) + _prefill_flops(architecture, read, readouts)
    per_token = 2 * (architecture.active_weights + architecture.lm_head_weights)
    decode = written * (per_token + STATE_OPERATIONS * architecture.state_numbers) + (
        4 * architecture.layers * (architecture.query_width * _context_sum(prompt, written))
    )
    weights = int(architecture.parameters * bytes_per_number)
    cache_per_token = int(2 * architecture.layers * architecture.key_width * bytes_per_number)
    state_bytes = architecture.state_numbers * STATE_BYTES
    cache = (prompt + answer) * cache_per_token + state_bytes
    cards = max(1, math.ceil((weights + cache) / (USABLE_MEMORY * accelerator.memory)))
    free = USABLE_MEMORY * cards * accelerator.memory - weights
    batch = max(1, min(MAX_BATCH, int(free // cache)))
    # A large batch uses every expert, so all layer weights are read for each step.
    step_bytes = (architecture.layer_weights + architecture.lm_head_weights) * bytes_per_number
    traffic = written * (step_bytes / batch + 2 * state_bytes) + cache_per_token * _context_sum(
        prompt, written
    )
    flops_rate, memory_rate = (
        rate * cards * efficiency for rate in (accelerator.flops, accelerator.bandwidth)
    )
    seconds = prefill / flops_rate + max(decode / flops_rate, traffic / memory_rate)
    return CostEstimate(
        images=images,
        parameters=architecture.parameters,
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


def _vision_flops(architecture: Architecture, tokens: TokenCounts) -> float:
    """Operations of the vision tower for one image."""
    patches = tokens.patches
    attended = sum(min(patches, span) if span else patches for span in architecture.vision_spans)
    products = architecture.patch_weights * patches + architecture.merger_weights * tokens.image
    return 2.0 * products + 4.0 * architecture.vision_width * patches * attended


def _prefill_flops(architecture: Architecture, count: int, readouts: int) -> float:
    """Operations to read `count` tokens in one pass, with the vocabulary's logits at `readouts` of them."""
    attention = 4.0 * architecture.layers * architecture.query_width * _context_sum(0, count)
    products = architecture.active_weights * count + architecture.lm_head_weights * readouts
    return 2.0 * products + attention + STATE_OPERATIONS * architecture.state_numbers * count


def _context_sum(before: int, count: int) -> int:
    """Sum of the context lengths of `count` tokens that follow `before` others, each token included."""
    return count * before + count * (count + 1) // 2
