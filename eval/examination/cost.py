"""What an examination costs on a hosted model: requests and tokens, before any is sent."""

from __future__ import annotations

import math
from dataclasses import dataclass
from urllib.parse import urlsplit

from eval.examination.answers import count_questions
from eval.examination.examine import Examination
from judge.cost.tokens import CHARS_PER_TOKEN, example_answer_chars
from judge.errors import InputError
from judge.pipeline.validation import is_address

PIXELS_PER_TOKEN = 28 * 28
"""Pixels behind one image token, as in Qwen2.5-VL; hosted models differ, and most use fewer tokens."""
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1", "0.0.0.0")


@dataclass(frozen=True)
class ExaminationCost:
    """Estimated cost of an examination."""

    requests: int
    tokens_read: int
    """Image and text tokens of all requests."""
    tokens_written: int
    """Tokens of all answers."""

    def dollars(self, price: tuple[float, float]) -> float:
        """Return the price in dollars.

        Args:
            price: dollars for a million tokens read, and for a million written.
        """
        return (self.tokens_read * price[0] + self.tokens_written * price[1]) / 1e6

    def describe(self, price: tuple[float, float] | None) -> str:
        """Return the cost in words, in dollars too if there is a price."""
        text = (
            f"about {self.requests} requests, {self.tokens_read:,} tokens read and "
            f"{self.tokens_written:,} written"
        )
        return text if price is None else f"{text}: ${self.dollars(price):.2f}"


def estimate_examination(examination: Examination) -> ExaminationCost:
    """Estimate the cost from the first case: its request at each depth, and the longest usual answer."""
    judge, sample = examination.candidate.judge, examination.cases.samples[0]
    counts = count_questions(examination.cases, examination.abilities)
    read = written = 0
    for depth in ("score", "verdict"):
        if is_address(judge.model):
            rubric = judge.rubric.for_general_models()
            messages = rubric.messages(sample.prompt, sample.elements or [], depth=depth)
            form = rubric.form(sample.elements or []).at_depth(depth)
        else:
            request = judge.pipeline.prepare(sample, depth).request
            messages, form = request.messages, request.form
        parts = [part for m in messages for part in m["content"] if not isinstance(m["content"], str)]
        chars = sum(len(part.get("text", "")) for part in parts)
        images = sum(part["type"] == "image" for part in parts) * examination.cases.side**2
        read += counts[depth] * math.ceil(chars / CHARS_PER_TOKEN + images / PIXELS_PER_TOKEN)
        written += counts[depth] * math.ceil(example_answer_chars(form) / CHARS_PER_TOKEN)
    return ExaminationCost(sum(counts.values()), read, written)


def is_hosted(model: str, base_url: str | None) -> bool:
    """Return whether the model runs on another machine, whose owner may charge for it."""
    address = base_url or (model if is_address(model) else "")
    return bool(address) and (urlsplit(address).hostname or "") not in LOCAL_HOSTS


def parse_price(text: str) -> tuple[float, float]:
    """Parse "0.3,2.5": dollars for a million tokens read and written.

    Raises:
        InputError: the text is not of this form.
    """
    try:
        numbers = tuple(map(float, text.split(",")))
        if len(numbers) == 2 and all(0 <= number < math.inf for number in numbers):
            return numbers[0], numbers[1]
    except ValueError:
        pass
    raise InputError("price", text, "READ,WRITTEN in dollars for a million tokens", "for example 0.3,2.5")
