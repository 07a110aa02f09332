"""Invariance: batch, order and backend must not change a score; mirroring, JPEG and a crop only a little."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from eval.trust.scenes import TrustScene, compress_as_jpeg, with_image
from eval.trust.scores import Measurement, Tick, largest, mean, score_differences, score_samples
from judge.types import Sample, Verdict

MIRRORED = {"left of": "right of", "right of": "left of"}
"""Phrases of elements and their counterparts in the mirrored image."""
EMPTY_WORDS = (
    "The picture is meant to be seen on a screen, it may be looked at for as long as anybody likes, and "
    "there is nothing else that has to be known about it or about the way in which it came to be made. "
)
"""A text that says nothing about the image."""


def measure_invariance(
    judge: Any,
    scenes: Sequence[TrustScene],
    verdicts: Sequence[Verdict],
    others: Mapping[str, Callable[[], Any]],
    seed: int,
    batch: int,
    tick: Tick,
) -> Measurement:
    """Measure how far the score changes with changes that should not matter.

    Args:
        judge: the judge.
        scenes: the scenes.
        verdicts: the judge's verdicts on the scenes.
        others: functions that create the same judge on other backends, by name.
        seed: seed of the shuffled order.
        batch: number of images that are judged together.
        tick: called after each verdict.

    Returns:
        Largest absolute differences: `batch_delta` (alone, and in another order, against in a batch),
        `backend_delta` and `order_bias` (probability of "a is better" for both orders of a pair).
        Mean absolute differences of the score: `flip_delta`, `recompress_delta`, `crop_delta` and
        `element_order_delta`. Mean difference of the score: `verbosity_bias`.
    """
    result = Measurement()
    samples = [scene.sample for scene in scenes]
    alone = score_samples(judge, samples, 1, tick)
    order = list(range(len(samples)))
    Random(seed).shuffle(order)
    reordered = score_samples(judge, [samples[n] for n in order], batch, tick)
    shuffled = dict(zip(order, reordered, strict=True))
    in_order = [shuffled[n] for n in range(len(samples))]
    batch_differences = [*score_differences(verdicts, alone), *score_differences(verdicts, in_order)]
    result.numbers["batch_delta"] = largest(batch_differences)
    result.notes["batch_delta"] = "largest difference: alone, or in another order, against in a batch"
    _compare_backends(result, verdicts, samples, others, batch, tick)
    _compare_pair_orders(result, judge, scenes)
    changed = {
        "flip_delta": [_mirror(scene.sample) for scene in scenes],
        "recompress_delta": [with_image(s, compress_as_jpeg(s.image)) for s in samples],
        "crop_delta": [with_image(s, s.image[1:-1, 1:-1].copy()) for s in samples],
        "verbosity_bias": [s.model_copy(update={"prompt": f"{s.prompt}. {EMPTY_WORDS}"}) for s in samples],
        "element_order_delta": [_reverse_elements(s) for s in samples],
    }
    for name, changed_samples in changed.items():
        changes = score_differences(verdicts, score_samples(judge, changed_samples, batch, tick))
        result.numbers[name] = mean(changes if name == "verbosity_bias" else [abs(c) for c in changes])
    result.notes["verbosity_bias"] = "mean change by 40 empty words in the prompt"
    result.notes["recompress_delta"] = "mean absolute change by JPEG of quality 90"
    return result


def _compare_backends(
    result: Measurement,
    verdicts: Sequence[Verdict],
    samples: Sequence[Sample],
    others: Mapping[str, Callable[[], Any]],
    batch: int,
    tick: Tick,
) -> None:
    changes: list[float] = []
    for make_judge in others.values():
        changes += score_differences(verdicts, score_samples(make_judge(), samples, batch, tick))
    result.numbers["backend_delta"] = largest(changes)
    names = ", ".join(others)
    note = f"largest difference from {names}" if names else "no other backend was compared"
    result.notes["backend_delta"] = note


def _compare_pair_orders(result: Measurement, judge: Any, scenes: Sequence[TrustScene]) -> None:
    """Compare pairs of images under the prompt of the first one, in both orders."""
    bias = []
    for scene, other in zip(scenes[::2], scenes[1::2], strict=False):
        question = {"prompt": scene.sample.prompt, "elements": scene.sample.elements}
        forward = judge.compare(scene.sample.image, other.sample.image, **question).probability
        backward = judge.compare(other.sample.image, scene.sample.image, **question).probability
        if forward is not None and backward is not None:
            bias.append(forward - (1 - backward))
    result.numbers["order_bias"] = largest(bias)
    result.notes["order_bias"] = "largest difference in the probability that one of two images is better"


def _mirror(sample: Sample) -> Sample:
    """Return the sample with its image mirrored and left and right exchanged in its texts.

    The sample is returned unchanged if its elements ask for both sides.
    """

    def exchange_first(text: str) -> str:
        for phrase, counterpart in MIRRORED.items():
            if phrase in text:
                return text.replace(phrase, counterpart)
        return text

    elements = [exchange_first(name) for name in sample.elements or []]
    if len(set(elements)) < len(elements):
        return sample
    prompt = sample.prompt.replace("left of", "\0").replace("right of", "left of").replace("\0", "right of")
    image = sample.image[:, ::-1].copy()
    return sample.model_copy(update={"image": image, "prompt": prompt, "elements": elements})


def _reverse_elements(sample: Sample) -> Sample:
    return sample.model_copy(update={"elements": list(reversed(sample.elements or []))})
