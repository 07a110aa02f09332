"""In this process: transformers' `generate`, our walker, outlines, and the bare forward pass.

All get the same weights in the same type, the same prompts, and the same pictures in their final size. The
rivals run the model as transformers loads it, the adapter merged; the bare pass runs the judge's own. Their
clocks start with messages and picture in hand and stop at values read from JSON; the judge's starts at the
sample and stops at the verdict.

A small model left to itself may never end its answer. So the rivals stop after as many tokens as the longest
right answer of their batch has: their rate is that of a model that ends where it should, and what of their
answers is usable is told beside it.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from eval.bench.speed.backend import Pass, recorded, replay
from eval.bench.speed.contenders import CannotRun, Lap, fresh
from judge import Judge
from judge.backends.base import Reply, Request
from judge.backends.transformers.backend import Transformers
from judge.errors import ReplyError
from judge.types import Depth, Sample

NAMES = ("generate", "walker", "outlines", "outlines_open", "bare_forward")
FEW = 8
"""`outlines`, which answers one by one, is given every eighth sample: its rate needs no more."""

Writer = Callable[[Sequence[Request], int, Depth], list[str]]
"""Asks, most tokens to write, depth -> texts."""


class Local:
    """See the module.

    Args:
        model: `embedded`, a checkpoint, or a folder laid out as the embedded judge is.
        adapter: LoRA adapter to put on it.
        samples: what is judged; their pictures are arrays.
        batch: pictures at once; `outlines` takes one, since it has one schema a batch and ours name elements.
    """

    def __init__(self, model: str, adapter: str | None, samples: Sequence[Sample], batch: int) -> None:
        self.samples, self.batch = samples, batch
        self.judge = Judge(model, adapter=adapter, backend="transformers", batch=batch)
        self.loaded: dict[str, Any] = {"model": model, "adapter": adapter, "batch": batch}
        self._kept: dict[Any, Any] = {}

    def start(self) -> dict[str, dict[str, Any]]:
        self._stock = self._load_stock()
        return {name: {"batch": 1 if name == "outlines" else self.batch} for name in NAMES}

    def stop(self) -> None:
        self._kept.clear()

    def lap(self, name: str, depth: Depth, visit: int, count: int) -> Lap:
        samples = fresh(self.samples[:count], visit)
        match name:
            case "walker":
                return self._walker(samples, depth)
            case "bare_forward":
                return self._bare(depth)
            case "generate":
                return self._rival(self._generate, samples, depth)
            case "outlines":
                return self._rival(self._outline, samples, depth, few=FEW, batch=1)
            case _:
                return self._rival(self._outline_open, samples, depth)

    def _walker(self, samples: Sequence[Sample], depth: Depth) -> Lap:
        start = time.perf_counter()
        verdicts = list(self.judge.many(samples, depth=depth, batch=self.batch))
        seconds = time.perf_counter() - start
        return Lap(seconds, len(samples), sum(verdict.status == "scored" for verdict in verdicts))

    def _rival(
        self, write: Writer, samples: Sequence[Sample], depth: Depth, few: int = 1, batch: int = 0
    ) -> Lap:
        requests = [self.judge.pipeline.prepare(sample, depth).request for sample in samples][::few]
        lengths, size = self._lengths(depth)[::few], batch or self.batch
        usable, start = 0, time.perf_counter()
        for at in range(0, len(requests), size):
            group, most = requests[at : at + size], max(lengths[at : at + size])
            usable += sum(map(_fits, group, write(group, most, depth)))
        return Lap(time.perf_counter() - start, len(requests), usable)

    def _lengths(self, depth: Depth) -> list[int]:
        """Tokens of each sample's right answer, by the walker, and of the mark that ends it."""
        if ("lengths", depth) not in self._kept:
            backend = self._backend
            requests = [self.judge.pipeline.prepare(sample, depth).request for sample in self.samples]
            replies = backend.choose(requests) if depth == "score" else backend.complete(requests)
            texts = [reply.text if isinstance(reply, Reply) else "" for reply in replies]
            self._kept["lengths", depth] = [len(backend.wording.plain(text)) + 1 for text in texts]
        lengths: list[int] = self._kept["lengths", depth]
        return lengths

    # -- transformers' generate ----------------------------------------------------------------------

    def _generate(self, requests: Sequence[Request], most: int, depth: Depth) -> list[str]:
        import torch

        chats, pictures = (
            [self._chat(request) for request in requests],
            [request.images for request in requests],
        )
        inputs = self._processor(text=chats, images=pictures, padding=True, return_tensors="pt")
        inputs = inputs.to(self._model.device)
        with torch.inference_mode():
            tokens = self._model.generate(**inputs, do_sample=False, max_new_tokens=most)
        written = tokens[:, inputs["input_ids"].shape[1] :]
        return list(self._processor.batch_decode(written, skip_special_tokens=True))

    def _chat(self, request: Request) -> str:
        render = self._processor.apply_chat_template
        return str(render(request.messages, tokenize=False, add_generation_prompt=True))

    def _load_stock(self) -> Any:
        """The same model as transformers and peft load it, without what our backend makes quicker in it."""
        return Transformers(**self.loaded, quick=False)._model

    @property
    def _backend(self) -> Any:
        """The judge's, of whose inner parts the others are made."""
        return self.judge.backend

    @property
    def _model(self) -> Any:
        self._stock.model.rope_deltas = None  # left over from the generation before
        return self._stock

    @cached_property
    def _processor(self) -> Any:
        """One of their own: outlines changes what it is given."""
        processor = copy.deepcopy(self._backend._processor)
        processor.tokenizer.padding_side = "left"
        return processor

    # -- outlines -------------------------------------------------------------------------------------

    def _outline(self, requests: Sequence[Request], most: int, depth: Depth) -> list[str]:
        """With the form's own schema, its generator kept: what a user must do to get usable answers."""
        generator = self._generator(requests[0].form.json_schema())
        return [generator(self._input(request), do_sample=False, max_new_tokens=most) for request in requests]

    def _outline_open(self, requests: Sequence[Request], most: int, depth: Depth) -> list[str]:
        """With one schema for all, so that rows share batches: it leaves the elements' names to the model."""
        schema = requests[0].form.json_schema()
        schema["properties"]["elements"] = {"type": "object", "additionalProperties": {"type": "boolean"}}
        inputs = [self._input(request) for request in requests]
        return list(self._generator(schema).batch(inputs, do_sample=False, max_new_tokens=most))

    def _input(self, request: Request) -> list[Any]:
        from outlines.inputs import Image

        return [self._chat(request), *map(Image, request.images)]

    def _generator(self, schema: dict[str, Any]) -> Any:
        import outlines

        key = repr(schema)
        if key not in self._kept:
            kind = outlines.json_schema(schema)
            self._kept[key] = outlines.Generator(self._outlines, kind, backend="llguidance")
        return self._kept[key]

    @cached_property
    def _outlines(self) -> Any:
        import outlines

        return outlines.from_transformers(self._model, self._processor)

    # -- The limit ------------------------------------------------------------------------------------

    def _bare(self, depth: Depth) -> Lap:
        if depth != "score":
            raise CannotRun("a verdict takes more than one pass")
        passes = self._passes
        start = time.perf_counter()
        replay(passes)
        return Lap(time.perf_counter() - start, len(self.samples), len(self.samples))

    @cached_property
    def _passes(self) -> list[Pass]:
        """The passes of score depth over all samples, on exactly the tensors that the judge feeds."""

        def request() -> None:
            list(self.judge.many(self.samples, depth="score", batch=self.batch))

        return recorded(self._backend._model, request)


def _fits(request: Request, text: str) -> bool:
    try:
        request.form.parse(text)
    except ReplyError:
        return False
    return True
