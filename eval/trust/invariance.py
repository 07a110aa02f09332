"""What must not matter: company, order, backend; and what should matter little: a mirror, a save, a pixel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from eval.trust.material import Part, Scene, Tick, deltas, greatest, mean, recompressed, repainted, scores
from judge.types import Sample, Verdict

MIRRORED = {"left of": "right of", "right of": "left of"}
WORDS = (
    "The picture is meant to be seen on a screen, it may be looked at for as long as anybody likes, and "
    "there is nothing else that has to be known about it or about the way in which it came to be made. "
)
"""Says nothing about the picture."""


def measure(
    judge: Any,
    scenes: Sequence[Scene],
    known: Sequence[Verdict],
    others: Mapping[str, Callable[[], Any]],
    seed: int,
    batch: int,
    tick: Tick,
) -> Part:
    part = Part()
    samples = [scene.sample for scene in scenes]
    alone = scores(judge, samples, 1, tick)
    order = list(range(len(samples)))
    Random(seed).shuffle(order)
    shuffled = dict(zip(order, scores(judge, [samples[n] for n in order], batch, tick), strict=True))
    company = [deltas(known, alone), deltas(known, [shuffled[n] for n in range(len(samples))])]
    part.numbers["batch_delta"] = greatest([value for found in company for value in found])
    part.notes["batch_delta"] = "largest, alone or in another order against in a batch"
    _backends(part, known, samples, others, batch, tick)
    _pairs(part, judge, scenes)
    changed = {
        "flip_delta": [_mirrored(scene.sample) for scene in scenes],
        "recompress_delta": [repainted(s, recompressed(s.image)) for s in samples],
        "crop_delta": [repainted(s, s.image[1:-1, 1:-1].copy()) for s in samples],
        "verbosity_bias": [s.model_copy(update={"prompt": f"{s.prompt}. {WORDS}"}) for s in samples],
        "element_order_delta": [_reversed(s) for s in samples],
    }
    for name, altered in changed.items():
        apart = deltas(known, scores(judge, altered, batch, tick))
        part.numbers[name] = mean(apart if name == "verbosity_bias" else [abs(value) for value in apart])
    part.notes["verbosity_bias"] = "mean change by 40 empty words in the prompt"
    part.notes["recompress_delta"] = "mean distance after JPEG of quality 90"
    return part


def _backends(
    part: Part,
    known: Sequence[Verdict],
    samples: Sequence[Sample],
    others: Mapping[str, Callable[[], Any]],
    batch: int,
    tick: Tick,
) -> None:
    apart: list[float] = []
    for make in others.values():
        apart += deltas(known, scores(make(), samples, batch, tick))
    part.numbers["backend_delta"] = greatest(apart)
    named = ", ".join(others)
    part.notes["backend_delta"] = f"largest, against {named}" if named else "no other backend was compared"


def _pairs(part: Part, judge: Any, scenes: Sequence[Scene]) -> None:
    """Both orders of pairs of two pictures under one prompt."""
    bias = []
    for scene, other in zip(scenes[::2], scenes[1::2], strict=False):
        asked = {"prompt": scene.sample.prompt, "elements": scene.sample.elements}
        there = judge.compare(scene.sample.image, other.sample.image, **asked).probability
        back = judge.compare(other.sample.image, scene.sample.image, **asked).probability
        if there is not None and back is not None:
            bias.append(there - (1 - back))
    part.numbers["order_bias"] = greatest(bias)
    part.notes["order_bias"] = "largest, of the probability that one of two pictures is better"


def _mirrored(sample: Sample) -> Sample:
    """The mirror image, asked about with left and right changed over."""

    def turned(text: str) -> str:
        for one, other in MIRRORED.items():
            if one in text:
                return text.replace(one, other)
        return text

    elements = [turned(name) for name in sample.elements or []]
    if len(set(elements)) < len(elements):  # the scene asks for both sides
        return sample
    fresh = {"image": sample.image[:, ::-1].copy(), "prompt": _both(sample.prompt), "elements": elements}
    return sample.model_copy(update=fresh)


def _both(text: str) -> str:
    """A text with every left and right changed over."""
    return text.replace("left of", "\0").replace("right of", "left of").replace("\0", "right of")


def _reversed(sample: Sample) -> Sample:
    return sample.model_copy(update={"elements": list(reversed(sample.elements or []))})
