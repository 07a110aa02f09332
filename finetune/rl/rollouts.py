"""Samples a group of forms for each image. The prompt and the image are read once for the whole group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from finetune.lora.evaluation import TrainingBackend
from finetune.lora.targets import Target
from finetune.rl.sampling import NaturalText, PieceText, Rollout, Sampler, SampleText, sample_program
from judge.backends.base import Reply, Request
from judge.backends.decoding.batch import run_groups
from judge.backends.decoding.forward_input import Row
from judge.errors import ReplyError
from judge.pipeline.model_info import ModelInfo
from judge.pipeline.pipeline import Pipeline
from judge.rubrics.rubric import Rubric


@dataclass(frozen=True)
class Example:
    """One image to sample answers about, with its truth."""

    key: str
    """The same for the same image."""
    target: Target
    rubric: Rubric
    stratum: str = ""
    """Kind of difficulty of a drawn scene; empty for other images."""


@dataclass
class Group:
    """The answers that were sampled about one image."""

    example: Example
    row: Row
    """Prompt and image as the model takes them."""
    rollouts: list[Rollout]
    answers: list[dict[str, Any]] = field(default_factory=list)
    """Values of the form of each rollout, with boxes in 0 to 1000."""


class RolloutEngine:
    """Samples answers from the model in training.

    Args:
        backend: the model in training, in evaluation mode.
        max_pixels: larger images are reduced to this many pixels, unless the model has a fixed size.
        size: number of answers about each image.
        temperature: logits are divided by it.
        seed: of the whole run.
        draws_texts: whether free text is drawn; else its likeliest tokens are written.
    """

    def __init__(
        self,
        backend: TrainingBackend,
        max_pixels: int,
        size: int,
        temperature: float,
        seed: int,
        draws_texts: bool = True,
    ) -> None:
        self.backend, self.max_pixels, self.size = backend, max_pixels, size
        self.temperature, self.seed, self.draws_texts = temperature, seed, draws_texts

    def sample(self, examples: Sequence[Example], step: int, first: int = 0) -> list[Group]:
        """Sample a group for each example.

        Args:
            examples: the images.
            step: of the training. The same seed, step and place give the same random numbers.
            first: place of the first example in the step.

        Raises:
            InputError: the model cannot take an image.
            ReplyError: the model answers NaN, or the tokens of a form's labels cannot be told apart.
        """
        groups, programs = list[Group](), list[list[Row]]()
        requests = [self._request(example) for example in examples]
        for place, (example, request) in enumerate(zip(examples, requests, strict=True), first):
            translated = self.backend.box_translator.request(request)
            row = self.backend.encode_request(translated)
            rollouts = [Rollout() for _ in range(self.size)]
            groups.append(Group(example, row, rollouts))
            rows = []
            for number, rollout in enumerate(rollouts):
                random = np.random.default_rng((self.seed, step, place, number))
                phrases = self.backend.phrases.child()
                sampler = Sampler(self._text(), random, self.temperature, rollout, phrases, self.draws_texts)
                program = sample_program(sampler, translated.form, self.backend.tokenizer)
                vision = {"pixels": row.pixels, "grid": row.grid, "video_pixels": row.video_pixels}
                vision |= {"video_grid": row.video_grid, "seconds_per_patch": row.seconds_per_patch}
                rows.append(Row(program, row.prompt, **vision))
            programs.append(rows)
        tokenizer, model = self.backend.tokenizer, self.backend.network("")
        replies = run_groups(model, programs, tokenizer.image_token, tokenizer.video_token)
        for group, request, own in zip(groups, requests, replies, strict=True):
            group.answers = [self._parse(reply, request) for reply in own]
        return groups

    def _request(self, example: Example) -> Request:
        target = example.target
        pipeline = Pipeline(
            example.rubric, lambda: ModelInfo.from_backend(self.backend), max_pixels=self.max_pixels
        )
        elements = list(target.elements) if example.rubric.elements else None
        sample = target.sample.to_sample().model_copy(update={"elements": elements})
        return pipeline.prepare(
            sample, "verdict", keep_for_overlay=False, field=f"{example.key}: image"
        ).request

    def _text(self) -> SampleText:
        grammar = self.backend.text_grammar
        if self.backend.vocabulary is None:
            return PieceText(self.backend.tokenizer, grammar.allowed_tokens)
        return NaturalText(self.backend.vocabulary, grammar.allowed_tokens)

    def _parse(self, reply: Reply | ReplyError, request: Request) -> dict[str, Any]:
        if isinstance(reply, Reply):
            reply = self.backend.box_translator.reply(reply, request)
        if isinstance(reply, ReplyError):
            raise reply
        return request.form.parse(reply.text)
