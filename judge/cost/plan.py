"""Option texts and printed table of `judge plan`."""

from __future__ import annotations

from judge.cost.accelerators import Accelerator
from judge.cost.estimate import CostEstimate
from judge.errors import InputError


def parse_size(text: str) -> tuple[int, int]:
    """Parse "1024x768" as width and height in pixels.

    Raises:
        InputError: the text is not of this form, or a side is 0.
    """
    width, cross, height = text.lower().partition("x")
    if cross and width.isascii() and width.isdigit() and height.isascii() and height.isdigit():
        if int(width) and int(height):
            return int(width), int(height)
    raise InputError("pixels", text, "WIDTHxHEIGHT, for example 1024x1024", "write it in this form")


def parse_count(text: str) -> int:
    """Parse a number of images such as "1e6", "1_000_000" or "1,000,000".

    Raises:
        InputError: the text is not a whole number from 1 to 1e15.
    """
    try:
        number = float(text.replace("_", "").replace(",", ""))
        if 1 <= number <= 1e15 and number == int(number):
            return int(number)
    except (ValueError, OverflowError):
        pass
    raise InputError("images", text, "a whole number from 1, for example 1e6", "write it in this form")


def table_rows(estimate: CostEstimate, accelerator: Accelerator, efficiency: float) -> list[tuple[str, str]]:
    """Return the printed table: name and value of each row."""
    tokens, total = estimate.tokens, estimate.to_dict()["total"]
    note = "" if tokens.counted else "; text estimated from its characters"
    spread = f" on {estimate.cards} cards" if estimate.cards > 1 else ""
    weights, cache = _gigabytes(estimate.weights), _gigabytes(estimate.cache)
    return [
        ("images", f"{estimate.images:,}"),
        ("tokens per image", f"{tokens.image} image + {tokens.text} text + {tokens.answer} answer{note}"),
        ("tokens", f"{total['tokens']:.3g}"),
        ("prefill", f"{total['prefill_flops']:.3g} FLOPs"),
        ("decode", f"{total['decode_flops']:.3g} FLOPs, {total['traffic']:.3g} bytes from memory"),
        ("memory", f"{weights} weights + {estimate.batch} x {cache}{spread}"),
        ("images per second", f"{1 / estimate.seconds:,.1f} by one copy of the model"),
        ("GPU-hours", f"{estimate.gpu_hours:,.1f} at {efficiency:.0%} of {accelerator.name}"),
    ]


def _gigabytes(count: int) -> str:
    """Format a number of bytes in gigabytes."""
    return f"{count / 1e9:.3g} GB"
