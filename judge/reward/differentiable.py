"""The judge's expected score as a function of pixels that has a gradient, for ReFL, DRaFT and the like.

    score = Differentiable(Judge())
    loss = -score(images, prompts=prompts).mean()     # images (N, 3, H, W) in 0..1
    loss.backward()

It is the score of `depth="score"`, by the same forward pass, on pixels that went through the processor's own
resizing and normalising; a calibration is left out, since it changes no order. Only a model in this process
has a gradient: backend `transformers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from judge.backends.decoding import walker
from judge.backends.transformers.backend import Transformers
from judge.elements.splitting import split
from judge.errors import InputError
from judge.evidence import facts as evidence
from judge.evidence import reference as against
from judge.judge import Judge
from judge.media import arrays as pictures
from judge.media import image as media
from judge.pipeline.validation import check_elements, check_prompt
from judge.reward.core import check_weights
from judge.reward.resize import patches, resized
from judge.reward.result import CLEAN, known_parts
from judge.rubrics.rubric import SCALE


class Differentiable:
    """A judge as a differentiable reward. The model's weights are frozen.

    Args:
        judge: with the backend `transformers`; default: the embedded judge.
        weights: as in `Reward`, of the parts of score depth.
        batch: pictures in one forward pass. Memory for the gradient is that of one such pass and the pixels:
            each pass is run again when its gradient is due.
        exact: let the model see what the processor rounds to 8 bits, the gradient passing straight through.
            No: a smooth function of the pixels, which differs by less than one level of 255.

    Raises:
        InputError: the judge's model is not in this process, or an argument is unusable.
        BackendError: the model cannot be loaded.
    """

    def __init__(
        self,
        judge: Judge | None = None,
        *,
        weights: Mapping[str, float] | None = None,
        batch: int = 4,
        exact: bool = True,
    ) -> None:
        self.judge = Judge() if judge is None else judge
        backend = self.judge.backend
        if not isinstance(backend, Transformers):
            mend = "take a checkpoint with backend='transformers'"
            raise InputError("judge", backend.name, "a model in this process", mend)
        if batch < 1:
            raise InputError("batch", batch, "1 or more", "4 is the usual one")
        self.backend, self.batch, self.exact = backend, batch, exact
        self.weights = check_weights(weights, known_parts(self.judge.rubric, "score"))
        self.network = backend.network(self.judge.rubric.name).requires_grad_(False)

    def __call__(
        self,
        images: Tensor,
        *,
        prompts: Sequence[str],
        elements: Sequence[Sequence[str] | None] | None = None,
    ) -> Tensor:
        """Scores (N,) in 0 (worst) to 1 (best), with a gradient to the pixels.

        Args:
            images: (N, 3, H, W) floats in 0..1.
            prompts: one each.
            elements: statements to check, one list each; default, and where None: those of the prompt.

        Raises:
            InputError: a shape, a prompt or an element is unusable.
        """
        parts = self.parts(images, prompts=prompts, elements=elements)
        total = sum(self.weights.values())
        return sum((w * parts[name] for name, w in self.weights.items()), parts["score"] * 0) / total

    def parts(
        self,
        images: Tensor,
        *,
        prompts: Sequence[str],
        elements: Sequence[Sequence[str] | None] | None = None,
    ) -> dict[str, Tensor]:
        """The parts of the score, (N,) each; see `Reward`. Raises as `__call__`."""
        _check(images, prompts, elements)
        asked = elements or [None] * len(prompts)
        found: list[dict[str, Tensor]] = []
        for start in range(0, len(prompts), self.batch):
            some = slice(start, start + self.batch)
            told = zip(prompts[some], asked[some], self._facts(images[some]), strict=True)
            readings = [self._row(*row) for row in told]
            logs: Any = checkpoint(self._forward, images[some], readings, use_reentrant=False)
            found += [self._parts(r, log) for (_, r), log in zip(readings, logs, strict=True)]
        return {name: torch.stack([row[name] for row in found]) for name in found[0]}

    def _facts(self, images: Tensor) -> list[dict[str, float]]:
        """What the rubric has measured in each picture and told to the model; no gradient goes through it."""
        rubric = self.judge.rubric
        names = [name for name in rubric.facts if name not in against.FACTS]  # it takes no references
        if not names:
            return [{}] * len(images)
        return [evidence.measure(pictures.load(image).image, names) for image in images]

    def _row(
        self, prompt: str, elements: Sequence[str] | None, facts: Mapping[str, float]
    ) -> tuple[list[dict[str, Any]], walker.Reading]:
        """The messages and the blanks of one picture, as `judge.pipeline.pipeline` makes them."""
        rubric = self.judge.rubric
        prompt = check_prompt(prompt, rubric.needs_prompt, [])
        names = check_elements(None if elements is None else list(elements))
        if not rubric.elements:
            names = []
        elif names is None:
            names = split(prompt)
        form = rubric.form(names, self.judge.max_defects).at_depth("score")
        messages = rubric.messages(
            prompt,
            names,
            brief=self.backend.brief,
            depth="score",
            max_defects=self.judge.max_defects,
            images=self.judge.pipeline.views,
            facts=facts,
        )
        return messages, walker.Reading.of(form, self.backend.wording)

    def _forward(
        self, images: Tensor, readings: list[tuple[list[dict[str, Any]], walker.Reading]]
    ) -> list[Tensor]:
        """Log-probabilities of the labels' tokens, (edges,) for each picture."""
        seen = self._seen(images)  # (N, views, 3, H, W)
        views = seen.shape[1]
        pixels, grid = patches(seen.flatten(0, 1), self.backend.processor.image_processor)
        each, wording = len(pixels) // len(grid), self.backend.wording
        rows = [
            walker.Row(
                program=None,
                prompt=wording.chat(messages, [each // wording.merge**2] * views),
                pixels=pixels[n * views * each : (n + 1) * views * each],
                grid=grid[n * views : (n + 1) * views],
                chunk=reading.chunk,
            )
            for n, (messages, reading) in enumerate(readings)
        ]
        return walker.log_probabilities(self.network, rows, wording.image_token, wording.video_token)

    def _seen(self, images: Tensor) -> Tensor:
        """The pictures as the model sees them: what `judge.media.image.fit` and `details` and the processor do."""
        height, width = images.shape[-2:]
        side, rubric = self.backend.size, self.judge.rubric
        wide, tall = media.fitted(width, height, side=side, max_pixels=self.judge.max_pixels)
        whole = resized(images, wide, tall, exact=self.exact)
        if side is not None:
            cuts = media.windows(width, height, side, rubric.details)
            parts = [images[..., top:low, left:right] for left, top, right, low in cuts]
            parts = [resized(part, side, side, exact=self.exact) for part in parts]
            return torch.stack([whole, *parts], dim=1)
        from qwen_vl_utils import smart_resize

        processor = self.backend.processor.image_processor
        least, most = processor.size["shortest_edge"], processor.size["longest_edge"]
        tall, wide = smart_resize(tall, wide, processor.patch_size * processor.merge_size, least, most)
        return resized(whole, wide, tall, exact=self.exact)[:, None]

    def _parts(self, reading: walker.Reading, logs: Tensor) -> dict[str, Tensor]:
        rubric, shares = self.judge.rubric, reading.shares(logs)
        dimensions = {d.name: _expected(shares[f"dimensions.{d.name}"]) for d in rubric.dimensions}
        there = [share["true"] for name, share in shares.items() if name.startswith("elements.")]
        if there and "alignment" in dimensions:
            dimensions["alignment"] = 1 + 4 * torch.stack(there).mean()
        score: Any = rubric.combine(dimensions)
        scores = {"score": _expected(shares["score"]) if score is None else score, **dimensions}
        parts = {name: (value - 1) / 4 for name, value in scores.items()}
        for question in rubric.attributes:
            if CLEAN in question.labels:
                parts[question.name] = shares[f"attributes.{question.name}"][CLEAN]
        return parts


def _expected(shares: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([int(label) * shares[label] for label in SCALE]).sum()


def _check(images: Any, prompts: Sequence[str], elements: Sequence[Sequence[str] | None] | None) -> None:
    allowed = "a float tensor (N, 3, H, W) in 0..1 with N of at least 1"
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3 or not len(images):
        shown = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise InputError("images", shown, allowed, "stack the pictures, channels first")
    if not images.dtype.is_floating_point:
        raise InputError("images", images.dtype, allowed, "divide by 255")
    if isinstance(prompts, str) or len(prompts) != len(images):
        raise InputError("prompts", len(prompts), f"a list of {len(images)}", "give one for each picture")
    if elements is not None and len(elements) != len(images):
        raise InputError(
            "elements", len(elements), f"a list of {len(images)}", "give one list for each picture"
        )
