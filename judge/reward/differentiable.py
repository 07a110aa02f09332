"""`Differentiable`: the judge's expected score with a gradient to the pixels, for ReFL, DRaFT and others.

    score = Differentiable(Judge())
    loss = -score(images, prompts=prompts).mean()     # images (N, 3, H, W) in 0..1
    loss.backward()

This is the score of `depth="score"`, from the same forward pass, on pixels that went through the
processor's own resizing and normalisation. A calibration is left out, since it changes no order. Only a
model in this process has a gradient: backend "transformers".
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from judge.backends.base import Request
from judge.backends.decoding.batch import log_probabilities
from judge.backends.decoding.choice_reading import ChoiceReader
from judge.backends.decoding.forward_input import Row
from judge.backends.transformers.backend import Transformers
from judge.errors import InputError, ReplyError
from judge.evidence.facts import measure_image
from judge.evidence.reference import REFERENCE_FACTS
from judge.judge import Judge
from judge.media.differentiable_resize import extract_patches, resize_bicubic
from judge.media.image import compute_fitted_size, list_detail_boxes
from judge.media.tensors import check_float_images, load_image_or_tensor
from judge.pipeline.validation import check_elements, check_prompt
from judge.reward.core import check_weights
from judge.reward.result import NO_ISSUE, part_names
from judge.rubrics.schema import SCORE_LABELS
from judge.tables.cells import read_elements, read_text
from judge.tables.chat_turns import chat_text
from judge.types import Sample

log = logging.getLogger("judge.reward")

_PreparedRow = tuple[list[dict[str, Any]], ChoiceReader, list[bool]]
"""Chat messages and the blanks of the form."""


class Differentiable:
    """A judge as a differentiable reward. The model's weights are frozen.

    Args:
        judge: with the backend "transformers"; default: the embedded judge.
        weights: weights of the parts, as in `Reward` at depth "score".
        batch: images in one forward pass, 1 or more. Each pass is run again when its gradient is computed,
            so the memory is that of one pass and the pixels, whatever the number of images.
        exact: True (default): the model sees pixels rounded to 8 bits as by the processor, and the gradient
            is passed straight through the rounding. False: a smooth function of the pixels that differs by
            less than one level of 255.

            Where an image is resized, single pixels may differ by one or two levels of 255 from those that
            the processor makes, and scores by a little (.0005 and more with random weights).

    A loss needs a number, so the judge does not abstain here: use one that knows the images.

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
            mend = "use a checkpoint with backend='transformers'"
            raise InputError("judge", backend.name, "a model in this process", mend)
        if batch < 1:
            raise InputError("batch", batch, "1 or more", "4 is the usual value")
        self.backend, self.batch, self.exact = backend, batch, exact
        self.weights = check_weights(weights, part_names(self.judge.rubric, "score"))
        self.network = backend.network(self.judge.rubric.name).requires_grad_(False)

    def __call__(
        self,
        images: Tensor,
        *,
        prompts: Sequence[Any],
        elements: Sequence[Any] | None = None,
        negative_prompts: Sequence[Any] | None = None,
    ) -> Tensor:
        """Score images.

        Args:
            images: (N, 3, H, W) floats in 0..1. Floats outside are refused, but for the rounding that
                `judge.media.tensors.MAX_OVERSHOOT` allows.
            prompts: one per image: texts or chats, as `Reward` takes them.
            elements: statements to check, a list or None per image; default and None: those of the prompt.
            negative_prompts: what must not be shown, one text per image; default: nothing.

        Returns:
            Scores (N,), 0 (worst) to 1 (best), with a gradient to the pixels. An image with a prompt,
            elements or a negative prompt that cannot be read has NaN without a gradient; the reason is
            logged.

        Raises:
            InputError: a shape or range is unusable, or no row can be read.
        """
        parts = self.parts(images, prompts=prompts, elements=elements, negative_prompts=negative_prompts)
        total = sum(self.weights.values())
        return sum((w * parts[name] for name, w in self.weights.items()), parts["score"] * 0) / total

    def parts(
        self,
        images: Tensor,
        *,
        prompts: Sequence[Any],
        elements: Sequence[Any] | None = None,
        negative_prompts: Sequence[Any] | None = None,
    ) -> dict[str, Tensor]:
        """Return the parts of the score by name, (N,) each; see `Reward`.

        Args:
            images: as in `__call__`.
            prompts: as in `__call__`.
            elements: as in `__call__`.
            negative_prompts: as in `__call__`.

        Raises:
            InputError: as in `__call__`.
        """
        _check_arguments(images, prompts, elements, negative_prompts)
        samples, problems = self._read_samples(prompts, elements, negative_prompts)
        if problems:
            number, problem = next(iter(problems.items()))
            if len(problems) == len(samples):
                raise problem
            log.error("%d of %d unscored; row %d: %s", len(problems), len(samples), number, problem)
        kept = [number for number in range(len(samples)) if number not in problems]
        found = self._score_rows(images if not problems else images[kept], [samples[n] for n in kept])
        if not problems:
            return found
        scattered = {}
        for name, values in found.items():
            scattered[name] = torch.full((len(samples),), torch.nan, dtype=values.dtype, device=values.device)
            scattered[name] = scattered[name].index_put((torch.tensor(kept, device=values.device),), values)
        return scattered

    def _read_samples(
        self, prompts: Sequence[Any], elements: Sequence[Any] | None, negative_prompts: Sequence[Any] | None
    ) -> tuple[list[Sample], dict[int, InputError]]:
        """Read the texts of the rows.

        Returns:
            A sample for each row, and the rows that cannot be read with their errors.
        """
        samples, problems = list[Sample](), dict[int, InputError]()
        columns = (prompts, elements, negative_prompts)
        cells = zip(*([None] * len(prompts) if column is None else column for column in columns), strict=True)
        for number, (prompt, given, negative) in enumerate(cells):
            try:
                sample = Sample(
                    prompt="" if not self.judge.rubric.needs_prompt and prompt is None else chat_text(prompt),
                    negative_prompt=read_text(negative, "negative_prompts"),
                    elements=read_elements(given),
                )
                check_prompt(sample.prompt, self.judge.rubric.needs_prompt, [])
                check_prompt(sample.negative_prompt, False, [], "negative_prompts")
                check_elements(sample.elements)
            except InputError as error:
                sample, problems[number] = Sample(), error
            samples.append(sample)
        return samples, problems

    def _score_rows(self, images: Tensor, samples: Sequence[Sample]) -> dict[str, Tensor]:
        """Return the parts of the score by name, one number for each row."""
        self.judge.ask_for_elements(samples)
        parts: list[dict[str, Tensor]] = []
        for start in range(0, len(samples), self.batch):
            batch = slice(start, start + self.batch)
            facts = self._measure_facts(images[batch])
            rows = [self._prepare_row(*row) for row in zip(images[batch], samples[batch], facts, strict=True)]
            logs: Any = checkpoint(self._forward, images[batch], rows, use_reentrant=False)
            parts += [
                self._read_parts(reader, row_logs, expected)
                for (_, reader, expected), row_logs in zip(rows, logs, strict=True)
            ]
        return {name: torch.stack([row[name] for row in parts]) for name in parts[0]}

    def _measure_facts(self, images: Tensor) -> list[dict[str, float]]:
        """Measure the facts that the rubric tells the model about each image. They have no gradient."""
        rubric = self.judge.pipeline.asked_rubric
        names = [name for name in rubric.facts if name not in REFERENCE_FACTS]  # there are no references here
        if not names:
            return [{}] * len(images)
        return [measure_image(load_image_or_tensor(image).image, names) for image in images]

    def _prepare_row(self, image: Tensor, sample: Sample, facts: Mapping[str, float]) -> _PreparedRow:
        """Return the messages and the blanks for one image, as `judge.pipeline.pipeline` makes them.

        A general model is read behind the labels that it chooses itself, which have no gradient.
        """
        rubric = self.judge.pipeline.asked_rubric
        prompt, listed = self.judge.pipeline.prompts.read(sample, [])
        names = [statement.name for statement in listed.statements]
        form = rubric.form(names, self.judge.max_defects).at_depth("score")
        messages = rubric.messages(
            prompt,
            names,
            brief=self.backend.brief,
            depth="score",
            max_defects=self.judge.max_defects,
            images=self.judge.pipeline.images_per_sample,
            facts=facts,
        )
        values = None
        if self.backend.vocabulary is not None and not self.backend.brief:
            sample = Sample(image=load_image_or_tensor(image.detach()).image, prompt=prompt, elements=names)
            shown = self.judge.pipeline.prepare(sample, "score", keep_for_overlay=False).request.images
            context = self.backend.fill_context(Request(shown, messages, form), None)
            if isinstance(context, ReplyError):
                raise context
            form, values = context
        reader = ChoiceReader.for_form(
            form, self.backend.tokenizer, values, vocabulary=self.backend.vocabulary
        )
        return messages, reader, [statement.expected for statement in listed.statements]

    def _forward(self, images: Tensor, prepared: list[_PreparedRow]) -> list[Tensor]:
        """Return the log-probabilities of the labels' tokens, (edges,) for each image."""
        inputs = self._model_inputs(images)  # (N, views, 3, H, W)
        views = inputs.shape[1]
        pixels, grid = extract_patches(inputs.flatten(0, 1), self.backend.processor.image_processor)
        patches, tokenizer = len(pixels) // len(grid), self.backend.tokenizer
        rows = [
            Row(
                program=None,
                prompt=tokenizer.encode_chat(
                    messages, [patches // tokenizer.merge_size**2] * views, thinks=False
                ),
                pixels=pixels[n * views * patches : (n + 1) * views * patches],
                grid=grid[n * views : (n + 1) * views],
                step=reader.step,
            )
            for n, (messages, reader, _) in enumerate(prepared)
        ]
        return log_probabilities(self.network, rows, tokenizer.image_token, tokenizer.video_token)

    def _model_inputs(self, images: Tensor) -> Tensor:
        """Resize images as `judge.media.image` and the processor do: the whole image, then its detail views.

        Args:
            images: (N, 3, H, W).

        Returns:
            (N, views, 3, height, width).
        """
        height, width = images.shape[-2:]
        side, rubric = self.backend.size, self.judge.rubric
        new_width, new_height = compute_fitted_size(
            width, height, side=side, max_pixels=self.judge.max_pixels
        )
        whole = resize_bicubic(images, new_width, new_height, exact=self.exact)
        if side is not None:
            boxes = list_detail_boxes(width, height, side, rubric.details)
            crops = [images[..., top:bottom, left:right] for left, top, right, bottom in boxes]
            views = [resize_bicubic(crop, side, side, exact=self.exact) for crop in crops]
            return torch.stack([whole, *views], dim=1)
        from qwen_vl_utils import smart_resize

        processor = self.backend.processor.image_processor
        min_pixels, max_pixels = processor.size["shortest_edge"], processor.size["longest_edge"]
        step = processor.patch_size * processor.merge_size
        new_height, new_width = smart_resize(new_height, new_width, step, min_pixels, max_pixels)
        return resize_bicubic(whole, new_width, new_height, exact=self.exact)[:, None]

    def _read_parts(self, reader: ChoiceReader, logs: Tensor, expected: Sequence[bool]) -> dict[str, Tensor]:
        """Return the parts of one image from its log-probabilities, 0 to 1 each."""
        rubric, probabilities = self.judge.rubric, reader.probabilities(logs)
        dimensions = {
            d.name: _expected_score(probabilities[f"dimensions.{d.name}"]) for d in rubric.dimensions
        }
        # What must be absent counts by the probability that the image does not show it.
        present = [
            probabilities[f"elements.{n}"]["true" if is_expected else "false"]
            for n, is_expected in enumerate(expected)
        ]
        if present and "alignment" in dimensions:
            dimensions["alignment"] = 1 + 4 * torch.stack(present).mean()
        by_rule: Any = rubric.combine(dimensions)
        score = _expected_score(probabilities["score"]) if by_rule is None else by_rule
        parts = {name: (value - 1) / 4 for name, value in {"score": score, **dimensions}.items()}
        for question in rubric.attributes:
            if NO_ISSUE in question.labels:
                parts[question.name] = probabilities[f"attributes.{question.name}"][NO_ISSUE]
        return parts


def _expected_score(probabilities: Mapping[str, Tensor]) -> Tensor:
    """Return the expectation of a score over the probabilities of its labels, 1 to 5."""
    return torch.stack([int(label) * probabilities[label] for label in SCORE_LABELS]).sum()


def _check_arguments(
    images: Any,
    prompts: Any,
    elements: Any,
    negative_prompts: Any,
) -> None:
    """Raise `InputError` for images of a wrong shape, type or range, and for lists of a wrong length."""
    allowed = "a float tensor (N, 3, H, W) in 0..1 with N of at least 1"
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3 or not len(images):
        value = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise InputError("images", value, allowed, "stack the images, channels first")
    if not images.dtype.is_floating_point:
        raise InputError("images", images.dtype, allowed, "divide by 255")
    check_float_images(images)
    allowed = f"a list of {len(images)}"
    if isinstance(prompts, str) or len(prompts) != len(images):
        raise InputError("prompts", len(prompts), allowed, "give one for each image")
    if elements is not None and len(elements) != len(images):
        raise InputError("elements", len(elements), allowed, "give one list for each image")
    if negative_prompts is not None and (
        isinstance(negative_prompts, str) or len(negative_prompts) != len(images)
    ):
        raise InputError("negative_prompts", len(negative_prompts), allowed, "give one for each image")
