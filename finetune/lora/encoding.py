"""Encodes targets as rows of tokens, and rows as the tensors of a batch.

`judge.pipeline.pipeline` builds the request of a row and the backend itself encodes it, the answer as the
backend feeds it: piece by piece for the embedded judge, as the tokenizer writes the whole text for other
models. So a model is trained on exactly what it is served. At score depth a brief model is read with the
first label in all blanks before a blank, and is trained in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import torch
from torch import Tensor

from finetune.lora.config import LossConfig
from finetune.lora.evaluation import TrainingBackend
from finetune.lora.losses import bell_distribution, opinion_distribution
from finetune.lora.targets import Target
from judge.backends.base import Request
from judge.backends.decoding.forward_input import VisionInputs, vision_arguments
from judge.backends.decoding.natural.canonical import CanonicalText
from judge.pipeline.model_info import ModelInfo
from judge.pipeline.pipeline import Pipeline
from judge.rubrics.form import Form, Segment
from judge.rubrics.form_nodes import BOX_CORNERS, Choice
from judge.rubrics.rubric import Rubric
from judge.rubrics.schema import SCORE_LABELS
from judge.types import Depth

DEFAULT_SPREAD = 0.6
"""Standard deviation of opinions for pairs, if the dataset does not have it."""

SoftTarget = tuple[int, list[int], list[float], float]
"""Place in the answer, tokens, their shares (summing to 1), weight."""


@dataclass
class Row(VisionInputs):
    """One chat with its answer."""

    ids: list[int]
    answer_length: int
    """Number of the last tokens that belong to the answer, including the end of the turn."""
    target: Target
    token_targets: dict[int, tuple[int, float]] = field(default_factory=dict)
    """Place in the answer -> right token, weight."""
    soft_targets: list[SoftTarget] = field(default_factory=list)
    score_place: int = -1
    """Place of the blank for the main human score; -1: not labelled."""


class RowEncoder:
    """Encodes rows for a model, with the prompts that `Judge` would use.

    Args:
        backend: the model that is trained.
        weights: weights of the losses.
        max_pixels: larger images are reduced to this many pixels, unless the model has a fixed size.
    """

    def __init__(self, backend: TrainingBackend, weights: LossConfig, max_pixels: int) -> None:
        self.backend, self.weights, self.max_pixels = backend, weights, max_pixels
        self.tokenizer = backend.tokenizer
        self.end_of_turn = self.tokenizer.hf_tokenizer.convert_tokens_to_ids("<|im_end|>")
        self.score_tokens = [self.tokenizer.encode_text(label)[0] for label in SCORE_LABELS]

    def encode(self, target: Target, rubric: Rubric, depth: Depth) -> Row:
        """Encode one target at one depth. Its image or video is decoded here.

        Raises:
            MediaError: the image or video cannot be read.
        """
        pipeline = Pipeline(rubric, lambda: ModelInfo.from_backend(self.backend), max_pixels=self.max_pixels)
        elements = list(target.elements) if rubric.elements else None
        sample = target.sample.to_sample().model_copy(update={"elements": elements})
        request = pipeline.prepare(
            sample, depth, keep_for_overlay=False, field=f"{target.sample.id}: image"
        ).request
        translated = self.backend.box_translator.request(request)
        encoded = self.backend.encode_request(translated)
        vision = {field.name: getattr(encoded, field.name) for field in fields(VisionInputs)}
        row = Row(list(encoded.prompt), 0, target, **vision)
        values = {name: target.values[name] for name, _ in request.form.root.members}
        if translated is not request:
            values = self._translate_boxes(values, request, target)
        if self.backend.vocabulary is None:
            for segment in translated.form.segments(values):
                self._add_segment(row, segment, depth)
        elif depth == "score" and self.backend.brief:
            self._add_placeholders(row, translated.form, values)
        else:
            self._add_text(row, translated.form.segments(values))
        row.token_targets[row.answer_length] = self.end_of_turn, self.weights.literals
        row.ids.append(self.end_of_turn)
        row.answer_length += 1
        return row

    def _translate_boxes(self, values: dict[str, Any], request: Request, target: Target) -> dict[str, Any]:
        """Return the values with boxes as the model's family writes them, from the labels' own pixels."""
        translator = self.backend.box_translator
        defects = [
            {**defect, "box": list(box)} for defect, box in zip(values["defects"], target.boxes, strict=True)
        ]
        return translator.values(request.form, {**values, "defects": defects}, translator.frame(request))

    def _add_segment(self, row: Row, segment: Segment, depth: Depth) -> None:
        tokens, inputs = self.tokenizer.encode_text(segment.text), self.tokenizer.encode_text(segment.text)
        weight = self._segment_weight(segment, row.target)
        if depth == "score" and segment.role == "choice":
            inputs, tokens = self.tokenizer.encode_text(segment.labels[0]), tokens[:1]
        soft = self._soft_labels(segment, row.target) if weight else None
        if segment.blank == row.target.score_blank and segment.blank in row.target.opinions:
            row.score_place = row.answer_length
        if soft is not None:
            row.soft_targets.append((row.answer_length, *soft, weight))
        elif weight:
            for ahead, token in enumerate(tokens):
                row.token_targets[row.answer_length + ahead] = token, weight
        row.ids += inputs
        row.answer_length += len(inputs)

    def _add_text(self, row: Row, segments: Sequence[Segment]) -> None:
        """Add an answer in the tokens of its whole text, which may reach over several segments."""
        assert self.backend.vocabulary is not None
        spans, position = list[tuple[int, int, Segment]](), 0
        for segment in segments:
            end = position + len(segment.text.encode())
            spans.append((position, end, segment))
            position = end
        position = 0
        for token in self.tokenizer.encode_text("".join(segment.text for segment in segments)):
            text = self.backend.vocabulary.token_bytes(token)
            covered = [span for span in spans if span[0] < position + len(text) and span[1] > position]
            begun = [segment for start, _, segment in covered if start >= position]
            self._add_token(row, token, text.decode("utf-8", "replace"), [one[2] for one in covered], begun)
            position += len(text)

    def _add_token(
        self, row: Row, token: int, text: str, covered: Sequence[Segment], begun: Sequence[Segment]
    ) -> None:
        """Add one token of an answer.

        Args:
            row: the row.
            token: the token.
            text: its text.
            covered: the segments that it is part of.
            begun: those that begin in it.
        """
        weights = {segment: self._segment_weight(segment, row.target) for segment in covered}
        filled = [weights[segment] for segment in covered if segment.role != "literal"]
        # A token that decides a blank without a label teaches nothing, whatever else it holds.
        weight = (max(filled) if min(filled) else 0.0) if filled else max(weights.values())
        place = row.answer_length
        soft = None
        for segment in begun:
            if segment.blank == row.target.score_blank and segment.blank in row.target.opinions:
                row.score_place = place
            if weight and segment.text == text:
                soft = self._soft_labels(segment, row.target)
        if soft is not None:
            row.soft_targets.append((place, *soft, weight))
        elif weight:
            row.token_targets[place] = token, weight
        row.ids.append(token)
        row.answer_length += 1

    def _add_placeholders(self, row: Row, form: Form, values: Mapping[str, Any]) -> None:
        """Add the answer of a form of choices with the first label in each blank, as a backend reads it."""
        assert self.backend.vocabulary is not None
        text, answers, segments = (
            CanonicalText(self.backend.vocabulary),
            list[str](),
            form.segments(dict(values)),
        )
        walk = form.walk()
        piece = next(walk)
        for segment in segments:
            if isinstance(piece, Choice):
                answer = piece.labels[0]
                tokens, _ = text.append_blank(piece, form, answers, answer)
                self._add_inputs(row, tokens)
                self._add_choice(row, segment, text.first_tokens[piece.labels.index(segment.text)])
                answers.append(answer)
            else:
                answer = ""
                text.append(segment.text)
            with suppress(StopIteration):
                piece = walk.send(answer)
        self._add_inputs(row, text.finish())

    def _add_inputs(self, row: Row, tokens: Sequence[int]) -> None:
        row.ids += tokens
        row.answer_length += len(tokens)

    def _add_choice(self, row: Row, segment: Segment, first_token: int) -> None:
        """Set the target of a choice that is read at the next place."""
        place = row.answer_length
        weight = self._segment_weight(segment, row.target)
        if segment.blank == row.target.score_blank and segment.blank in row.target.opinions:
            row.score_place = place
        if weight and (soft := self._soft_labels(segment, row.target)) is not None:
            row.soft_targets.append((place, *soft, weight))
        elif weight:
            row.token_targets[place] = first_token, weight

    def _segment_weight(self, segment: Segment, target: Target) -> float:
        weights, blank = self.weights, segment.blank
        if segment.role == "literal":
            return weights.literals
        if not target.is_labelled(blank):
            return 0.0
        if segment.role == "text":
            return weights.text
        if segment.role == "branch":
            return weights.branches
        if blank.startswith("elements."):
            return weights.elements * (target.agreement[blank] if weights.agreement else 1.0)
        if blank.startswith("attributes."):
            return weights.attributes
        if blank == "score" or blank.startswith("dimensions."):
            return weights.scores
        return weights.boxes if blank.rpartition(".")[2] in BOX_CORNERS else weights.kinds

    def _soft_labels(self, segment: Segment, target: Target) -> tuple[list[int], list[float]] | None:
        """Return tokens and shares of a blank whose target is a distribution; None if it is one label."""
        weights, blank = self.weights, segment.blank
        if blank in target.opinions and weights.soft_scores:
            opinion = target.opinions[blank]
            return self.score_tokens, opinion_distribution(opinion.mean, opinion.spread)
        if segment.role == "choice" and blank.rpartition(".")[2] in BOX_CORNERS and weights.box_spread:
            labels = [self.tokenizer.encode_text(label) for label in segment.labels]
            if all(len(label) == 1 for label in labels):  # the digits of a number have no neighbors
                index = segment.labels.index(segment.text)
                shares = bell_distribution(index, len(labels), weights.box_spread)
                return [label[0] for label in labels], shares
        return None

    def collate(self, rows: Sequence[Row]) -> dict[str, Any]:
        """Build a batch of B rows, padded on the left so that all answers end together.

        Returns:
            The arguments of the model's forward, and `targets`. These hold, for the last K tokens: `tokens`
            and `weights` (B, K); `soft`: `at` (n, 2) row and place, `ids` and `shares` (n, labels), `weights`
            (n,); `pairs`: `at` (m, 2), `ids` (labels,), `mean`, `spread` and `group` (m,) of the rows that
            may be compared.
        """
        count, length = len(rows), max(len(row.ids) for row in rows)
        answer_length = max(row.answer_length for row in rows)
        padding = self.tokenizer.hf_tokenizer.pad_token_id or 0
        ids, attention = np.full((count, length), padding), np.zeros((count, length), np.int64)
        tokens = np.zeros((count, answer_length), np.int64)
        weights = np.zeros((count, answer_length), np.float32)
        soft: list[tuple[tuple[int, int], list[int], list[float], float]] = []
        for n, row in enumerate(rows):
            start = length - len(row.ids)
            ids[n, start:], attention[n, start:] = row.ids, 1
            shift = answer_length - row.answer_length
            for place, (token, weight) in row.token_targets.items():
                tokens[n, shift + place], weights[n, shift + place] = token, weight
            soft += [((n, shift + place), labels, shares, w) for place, labels, shares, w in row.soft_targets]
        tensor = torch.from_numpy
        token_types = (ids == self.tokenizer.image_token) + 2 * (ids == self.tokenizer.video_token)
        frame_times = [seconds for row in rows for seconds in row.seconds_per_patch]
        takes_times = bool(frame_times) and self.backend.takes_frame_times
        return {
            "input_ids": tensor(ids),
            "attention_mask": tensor(attention),
            "mm_token_type_ids": tensor(token_types * attention).int(),
            **vision_arguments(rows),
            **({"second_per_grid_ts": torch.tensor(frame_times)} if takes_times else {}),
            "targets": {
                "tokens": tensor(tokens),
                "weights": tensor(weights),
                "soft": _soft_tensors(soft),
                "pairs": self._pair_tensors(rows, answer_length),
            },
        }

    def _pair_tensors(self, rows: Sequence[Row], answer_length: int) -> dict[str, Tensor]:
        usable = [(n, row) for n, row in enumerate(rows) if row.score_place >= 0 and row.target.group]
        opinions = [row.target.opinions[row.target.score_blank] for _, row in usable]
        groups = {row.target.group: n for n, row in usable}
        places = [(n, answer_length - row.answer_length + row.score_place) for n, row in usable]
        return {
            "at": torch.tensor(places).view(-1, 2),
            "ids": torch.tensor(self.score_tokens),
            "mean": torch.tensor([o.mean for o in opinions]),
            "spread": torch.tensor([DEFAULT_SPREAD if o.spread is None else o.spread for o in opinions]),
            "group": torch.tensor([groups[row.target.group] for _, row in usable], dtype=torch.long),
        }


def _soft_tensors(
    soft: Sequence[tuple[tuple[int, int], list[int], list[float], float]],
) -> dict[str, Tensor]:
    """Pad the soft targets of a batch to the same number of labels."""
    width = max((len(labels) for _, labels, _, _ in soft), default=1)
    ids, shares = torch.zeros(len(soft), width, dtype=torch.long), torch.zeros(len(soft), width)
    for n, (_, own_labels, own_shares, _) in enumerate(soft):
        ids[n, : len(own_labels)] = torch.tensor(own_labels)
        shares[n, : len(own_shares)] = torch.tensor(own_shares)
    return {
        "at": torch.tensor([at for at, *_ in soft], dtype=torch.long).view(-1, 2),
        "ids": ids,
        "shares": shares,
        "weights": torch.tensor([weight for *_, weight in soft]),
    }
