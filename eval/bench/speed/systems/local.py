"""In one process: transformers' `generate`, our walker, outlines, and the forward pass alone.

All systems get the same weights with the same dtype, the same prompts, and the same images in their final
size. The baselines (`generate` and outlines) run the model as transformers loads it, with the adapter
merged; the forward pass runs the judge's own model. The time of the baselines starts with messages and
image and ends with values parsed from JSON; the time of the judge starts with the sample and ends with the
verdict.

A small model may never end its answer without constraints. The baselines therefore stop after as many
tokens as the longest correct answer of their batch has: their rate is that of a model that stops at the
right place, and the share of usable answers is reported with it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from eval.bench.speed.backend import ForwardPass, record_passes, replay_passes
from eval.bench.speed.systems.base import SystemUnavailableError, TimedRun, with_unique_images
from judge import Judge
from judge.backends.base import Reply, Request
from judge.backends.transformers.backend import Transformers
from judge.errors import ReplyError
from judge.types import Depth, Sample

NAMES = ("generate", "walker", "outlines", "outlines_open", "bare_forward")
OUTLINES_STEP = 8
"""`outlines` answers only every eighth sample, because it answers one by one and its rate needs no more."""

Generate = Callable[[Sequence[Request], int, Depth], list[str]]
"""(requests, largest number of tokens, depth) -> texts."""


class LocalGroup:
    """A `SystemGroup` with the systems `NAMES`.

    Args:
        model: `embedded`, a checkpoint, or a folder with the layout of the embedded judge.
        adapter: name or folder of a LoRA adapter.
        samples: samples that are judged; their images are arrays.
        batch: number of images that are judged together; 1 for `outlines`, which has one schema a batch,
            while the schema of our forms names the elements.
    """

    def __init__(self, model: str, adapter: str | None, samples: Sequence[Sample], batch: int) -> None:
        self.samples, self.batch = samples, batch
        self.judge = Judge(model, adapter=adapter, backend="transformers", batch=batch)
        self.model_options: dict[str, Any] = {"model": model, "adapter": adapter, "batch": batch}
        self._cache: dict[Any, Any] = {}

    def start(self) -> dict[str, dict[str, Any]]:
        """Load the model of the baselines."""
        self._plain_model = self._load_plain_model()
        return {name: {"batch": 1 if name == "outlines" else self.batch} for name in NAMES}

    def stop(self) -> None:
        """Release cached generators and lengths."""
        self._cache.clear()

    def run(self, name: str, depth: Depth, run_id: int, count: int) -> TimedRun:
        """Judge the first `count` samples once."""
        samples = with_unique_images(self.samples[:count], run_id)
        match name:
            case "walker":
                return self._run_walker(samples, depth)
            case "bare_forward":
                return self._run_forward(depth)
            case "generate":
                return self._run_baseline(self._generate, samples, depth)
            case "outlines":
                return self._run_baseline(
                    self._generate_with_outlines, samples, depth, step=OUTLINES_STEP, batch=1
                )
            case _:
                return self._run_baseline(self._generate_with_open_schema, samples, depth)

    def _run_walker(self, samples: Sequence[Sample], depth: Depth) -> TimedRun:
        start = time.perf_counter()
        verdicts = list(self.judge.many(samples, depth=depth, batch=self.batch))
        seconds = time.perf_counter() - start
        return TimedRun(seconds, len(samples), sum(verdict.status == "scored" for verdict in verdicts))

    def _run_baseline(
        self, generate: Generate, samples: Sequence[Sample], depth: Depth, step: int = 1, batch: int = 0
    ) -> TimedRun:
        """Answer every `step`-th sample with `generate`."""
        requests = [self.judge.pipeline.prepare(sample, depth).request for sample in samples][::step]
        lengths, size = self._answer_lengths(depth)[::step], batch or self.batch
        usable, start = 0, time.perf_counter()
        for first in range(0, len(requests), size):
            group, max_tokens = requests[first : first + size], max(lengths[first : first + size])
            usable += sum(map(_fits_form, group, generate(group, max_tokens, depth)))
        return TimedRun(time.perf_counter() - start, len(requests), usable)

    def _answer_lengths(self, depth: Depth) -> list[int]:
        """Return the number of tokens of each sample's answer by the walker, with the end token."""
        if ("lengths", depth) not in self._cache:
            backend = self._backend
            requests = [self.judge.pipeline.prepare(sample, depth).request for sample in self.samples]
            replies = backend.choose(requests) if depth == "score" else backend.complete(requests)
            texts = [reply.text if isinstance(reply, Reply) else "" for reply in replies]
            self._cache["lengths", depth] = [len(backend.tokenizer.encode_text(text)) + 1 for text in texts]
        lengths: list[int] = self._cache["lengths", depth]
        return lengths

    # -- transformers' generate ----------------------------------------------------------------------

    def _generate(self, requests: Sequence[Request], max_tokens: int, depth: Depth) -> list[str]:
        import torch

        chats = [self._render_chat(request) for request in requests]
        images = [request.images for request in requests]
        inputs = self._processor(text=chats, images=images, padding=True, return_tensors="pt")
        inputs = inputs.to(self._model.device)
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, do_sample=False, max_new_tokens=max_tokens)
        generated = tokens[:, inputs["input_ids"].shape[1] :]
        return list(self._processor.batch_decode(generated, skip_special_tokens=True))

    def _render_chat(self, request: Request) -> str:
        render = self._processor.apply_chat_template
        return str(render(request.messages, tokenize=False, add_generation_prompt=True))

    def _load_plain_model(self) -> Any:
        """Load the model as transformers and peft load it, without the faster layers of our backend."""
        return Transformers(**self.model_options, fast_layers=False)._model

    @property
    def _backend(self) -> Any:
        """The backend of the judge; the other systems use its processor and tokenizer."""
        return self.judge.backend

    @property
    def _model(self) -> Any:
        self._plain_model.model.rope_deltas = None  # set by the previous generation
        return self._plain_model

    @cached_property
    def _processor(self) -> Any:
        """A copy of the processor, because outlines modifies it."""
        processor = copy.deepcopy(self._backend._processor)
        processor.tokenizer.padding_side = "left"
        return processor

    # -- outlines -------------------------------------------------------------------------------------

    def _generate_with_outlines(
        self, requests: Sequence[Request], max_tokens: int, depth: Depth
    ) -> list[str]:
        """Generate with the schema of the form, as a user must do to get usable answers."""
        generator = self._get_generator(requests[0].form.json_schema())
        return [
            generator(self._make_input(request), do_sample=False, max_new_tokens=max_tokens)
            for request in requests
        ]

    def _generate_with_open_schema(
        self, requests: Sequence[Request], max_tokens: int, depth: Depth
    ) -> list[str]:
        """Generate in batches with one schema for all forms; the model chooses the names of the elements."""
        schema = requests[0].form.json_schema()
        schema["properties"]["elements"] = {"type": "object", "additionalProperties": {"type": "boolean"}}
        inputs = [self._make_input(request) for request in requests]
        return list(self._get_generator(schema).batch(inputs, do_sample=False, max_new_tokens=max_tokens))

    def _make_input(self, request: Request) -> list[Any]:
        from outlines.inputs import Image

        return [self._render_chat(request), *map(Image, request.images)]

    def _get_generator(self, schema: dict[str, Any]) -> Any:
        """Return the cached generator of a schema."""
        import outlines

        key = repr(schema)
        if key not in self._cache:
            output_type = outlines.json_schema(schema)
            self._cache[key] = outlines.Generator(self._outlines_model, output_type, backend="llguidance")
        return self._cache[key]

    @cached_property
    def _outlines_model(self) -> Any:
        import outlines

        return outlines.from_transformers(self._model, self._processor)

    # -- The forward pass alone -----------------------------------------------------------------------

    def _run_forward(self, depth: Depth) -> TimedRun:
        if depth != "score":
            raise SystemUnavailableError("a verdict takes more than one pass")
        passes = self._passes
        start = time.perf_counter()
        replay_passes(passes)
        return TimedRun(time.perf_counter() - start, len(self.samples), len(self.samples))

    @cached_property
    def _passes(self) -> list[ForwardPass]:
        """The forward passes at depth `score` over all samples, with exactly the tensors of the judge."""

        def judge_samples() -> None:
            list(self.judge.many(self.samples, depth="score", batch=self.batch))

        return record_passes(self._backend._model, judge_samples)


def _fits_form(request: Request, text: str) -> bool:
    try:
        request.form.parse(text)
    except ReplyError:
        return False
    return True
