"""Measured facts in words, for models that never learned what the numbers mean.

The limits between the words are near quantiles of photographs: 220 of BSDS500 (undistorted) and LIVE in the
Wild (taken with phones, most with a fault). Shares of clipped pixels are told in per cent, which need no
scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

CLIPPED_RANGE = (1e-3, 0.6)
"""Shares of pixels that the facts `highlights` and `shadows` map to 0 and 1, on a logarithmic scale."""


class Wording(NamedTuple):
    """How one fact is told."""

    subject: str
    """What was measured."""
    words: tuple[str, ...]
    """Words from the lowest to the highest value."""
    limits: tuple[float, ...]
    """Values (0..1) at which one word gives way to the next."""


_AMOUNT = ("none", "slight", "moderate", "strong", "very strong")
_FIFTHS = (0.1, 0.3, 0.5, 0.75)
_LIKENESS = ("hardly any", "low", "fair", "high", "nearly perfect")

WORDINGS = {
    "sharpness": Wording(
        "fine detail", ("very little", "little", "usual", "much", "very much"), (0.3, 0.5, 0.75, 0.85)
    ),
    "noise": Wording("grain in the smoothest parts", ("none", "faint", "visible", "strong"), (0.2, 0.5, 0.7)),
    "impulses": Wording("single odd pixels", ("none", "some", "many"), (0.2, 0.5)),
    "blockiness": Wording(
        "blocks of 8 x 8 pixels, as of JPEG", ("none", "traces", "visible", "strong"), (0.2, 0.35, 0.6)
    ),
    "motion": Wording("movement from frame to frame", _AMOUNT, _FIFTHS),
    "frozen": Wording("repeated frames", _AMOUNT, _FIFTHS),
    "leaps": Wording("jumps ahead, as of dropped frames", _AMOUNT, _FIFTHS),
    "flicker": Wording("changes of brightness", _AMOUNT, _FIFTHS),
    "jitter": Wording("shaking", _AMOUNT, _FIFTHS),
    "warping": Wording("outlines that move against each other", _AMOUNT, _FIFTHS),
    "unrest": Wording("the same, compared with their movement", _AMOUNT, _FIFTHS),
    "crispness": Wording("sharpness of edges", ("very low", "low", "fair", "high", "very high"), _FIFTHS),
    "wobble": Wording("sharpness that comes and goes", _AMOUNT, _FIFTHS),
    "ref_ssim": Wording("structural similarity to the reference", _LIKENESS, (0.4, 0.6, 0.8, 0.95)),
    "ref_gmsd": Wording("similarity of edges to the reference", _LIKENESS, (0.4, 0.6, 0.8, 0.95)),
    "ref_psnr": Wording("equality of pixels to the reference", _LIKENESS, (0.4, 0.6, 0.8, 0.95)),
}
"""Fact -> how it is told."""
_CLIPPED = {"highlights": "pure white", "shadows": "pure black"}


def describe_facts(facts: Mapping[str, float]) -> dict[str, str]:
    """Return facts in words.

    Args:
        facts: name -> value, 0..1.

    Returns:
        Name -> phrase, for example "fine detail: little". A fact without words is told as its number of 1000.
    """
    return {name: _describe(name, value) for name, value in facts.items()}


def _describe(name: str, value: float) -> str:
    if name in _CLIPPED:
        low, high = CLIPPED_RANGE
        percent = 100 * (low * (high / low) ** value - low)
        amount = "less than 1 %" if percent < 1 else f"about {percent:.0f} %"
        return f"clipped to {_CLIPPED[name]}: {amount} of the pixels"
    if name not in WORDINGS:
        return f"{name}: {round(value * 100) * 10} of 1000"
    wording = WORDINGS[name]
    return f"{wording.subject}: {wording.words[sum(value >= limit for limit in wording.limits)]}"
