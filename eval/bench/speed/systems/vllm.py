"""vLLM in this process: our backend, and the engine without our code.

The requests to the engine are recorded while our backend answers each sample once: tokens, sampling
parameters with the grammar or the label tokens, and which request follows which reply. After that only the
images change; they are passed to the engine as arrays. The time of both systems starts with the samples.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from eval.bench.speed.systems.base import SystemUnavailableError, TimedRun, with_unique_images
from judge import Judge
from judge.errors import JudgeError
from judge.types import Depth, Sample

NAMES = ("vllm_raw", "vllm")


@dataclass
class RecordedRequests:
    """The requests to the engine for one sample."""

    stages: list[list[Any]] = field(default_factory=list)
    """Requests that are sent together. Each stage waits for the replies to the stage before."""


class VllmGroup:
    """A `SystemGroup` with the systems `vllm_raw` and `vllm`.

    Args:
        model: name or folder of the model.
        adapter: name or folder of a LoRA adapter.
        samples: samples that are judged; their images are arrays.
    """

    def __init__(self, model: str, adapter: str | None, samples: Sequence[Sample]) -> None:
        self.samples = samples
        self.judge = Judge(model, adapter=adapter, backend="vllm")
        self._recorded: dict[Depth, list[RecordedRequests]] = {}

    def start(self) -> dict[str, dict[str, Any]]:
        """Load the model."""
        try:
            backend: Any = self.judge.backend
        except JudgeError as error:
            raise SystemUnavailableError(str(error)) from None
        self.backend = backend
        max_sequences = backend._engine.vllm_config.scheduler_config.max_num_seqs
        return {name: {"sequences": max_sequences} for name in NAMES}

    def stop(self) -> None:
        """Close the backend."""
        if "backend" in vars(self.judge):
            self.backend.close()

    def run(self, name: str, depth: Depth, run_id: int, count: int) -> TimedRun:
        """Judge the first `count` samples once."""
        if depth not in self._recorded:
            self._recorded[depth] = self._record_requests(depth)
        samples = with_unique_images(self.samples[:count], run_id)
        if name == "vllm_raw":
            return self._run_engine(samples, self._recorded[depth])
        start = time.perf_counter()
        verdicts = list(self.judge.many(samples, depth=depth, batch=len(samples)))
        seconds = time.perf_counter() - start
        return TimedRun(seconds, len(samples), sum(verdict.status == "scored" for verdict in verdicts))

    # -- The engine without our code ------------------------------------------------------------------

    def _record_requests(self, depth: Depth) -> list[RecordedRequests]:
        """Let our backend answer every sample, and record its requests to the engine."""
        samples = with_unique_images(self.samples, 0)
        requests = [self.judge.pipeline.prepare(sample, depth).request for sample in samples]
        with self._recording() as recorded:
            for number, request in enumerate(requests):
                self.backend.submit(str(number), "choose" if depth == "score" else "complete", request)
            while self.backend.pending:
                self.backend.step()
        return [recorded[str(number)] for number in range(len(requests))]

    @contextmanager
    def _recording(self) -> Iterator[dict[str, RecordedRequests]]:
        """Record the requests to the engine, by the key of the sample."""
        recorded: dict[str, RecordedRequests] = {}
        add = self.backend._add_request

        def record(key: str, job: Any, number: int, request: Any) -> None:
            stages = recorded.setdefault(key, RecordedRequests()).stages
            if number == 0:
                stages.append([])
            stages[-1].append(request)
            add(key, job, number, request)

        self.backend._add_request = record
        try:
            yield recorded
        finally:
            del self.backend._add_request

    def _run_engine(self, samples: Sequence[Sample], recorded: Sequence[RecordedRequests]) -> TimedRun:
        """Send the requests of all samples to the engine; its outputs are not parsed."""
        engine, stages = self.backend._engine, self._add_sampling(recorded)
        lora = self.backend.lora_request(self.judge.pipeline.prepare(samples[0]).request)
        images: dict[int, dict[str, Any]] = {}
        pending = [0] * len(samples)  # unfinished requests of each sample
        stage = [-1] * len(samples)  # current stage of each sample
        number, sample_of = 0, dict[str, int]()

        def send_next_stage(index: int) -> None:
            nonlocal number
            stage[index] += 1
            if stage[index] < len(stages[index]):
                for request, params in stages[index][stage[index]]:
                    prompt = {"prompt_token_ids": request.tokens, **images[index]}
                    engine.add_request(f"raw {number}", prompt, params, lora_request=lora)
                    sample_of[f"raw {number}"] = index
                    number, pending[index] = number + 1, pending[index] + 1

        start = time.perf_counter()
        for index, sample in enumerate(samples):
            images[index] = self._prepare_image(sample)
            send_next_stage(index)
        while sample_of:
            for output in engine.step():
                if output.finished:
                    index = sample_of.pop(output.request_id)
                    pending[index] -= 1
                    if not pending[index]:
                        send_next_stage(index)
        return TimedRun(time.perf_counter() - start, len(samples), len(samples))

    def _prepare_image(self, sample: Sample) -> dict[str, Any]:
        """Return the image of a sample in the size of the model, as the engine takes it."""
        image, side = Image.fromarray(sample.image), self.backend.size
        if side is None:
            return {"multi_modal_data": {"image": [image]}}
        image = image.resize((side, side), Image.Resampling.BICUBIC)
        return {"multi_modal_data": {"image": [image]}, "mm_processor_kwargs": {"do_resize": False}}

    def _add_sampling(self, recorded: Sequence[RecordedRequests]) -> list[list[list[tuple[Any, Any]]]]:
        """Return (request, its sampling parameters) by sample and stage; the parameters are not timed."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        common: dict[str, Any] = {"temperature": 0.0, "detokenize": False, "flat_logprobs": True}
        common["output_kind"] = RequestOutputKind.FINAL_ONLY
        return [
            [[(r, SamplingParams(**common, **r.sampling)) for r in stage] for stage in requests.stages]
            for requests in recorded
        ]
