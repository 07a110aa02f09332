"""vLLM in this process: our backend, and the engine below it handed the same requests without our code.

The requests are taken down while our backend answers every sample once: tokens, sampling with its grammar
or label tokens, what is asked after which reply. Then only the pictures change, which are handed over as
arrays are without our code; the clocks of both start at the samples.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from eval.bench.speed.contenders import CannotRun, Lap, fresh
from judge import Judge
from judge.errors import JudgeError
from judge.types import Depth, Sample

NAMES = ("vllm_raw", "vllm")


@dataclass
class Script:
    """What the engine was asked about one sample."""

    stages: list[list[Any]] = field(default_factory=list)
    """Questions asked at once, stage after stage: each waits for the replies to the one before."""


class Vllm:
    """See the module.

    Args:
        model, adapter: as `Judge` takes them.
        samples: what is judged; their pictures are arrays.
    """

    def __init__(self, model: str, adapter: str | None, samples: Sequence[Sample]) -> None:
        self.samples = samples
        self.judge = Judge(model, adapter=adapter, backend="vllm")
        self._scripts: dict[Depth, list[Script]] = {}

    def start(self) -> dict[str, dict[str, Any]]:
        try:
            backend: Any = self.judge.backend
        except JudgeError as error:
            raise CannotRun(str(error)) from None
        self.backend, room = backend, backend._engine.vllm_config.scheduler_config.max_num_seqs
        return {name: {"sequences": room} for name in NAMES}

    def stop(self) -> None:
        if "backend" in vars(self.judge):
            self.backend.close()

    def lap(self, name: str, depth: Depth, visit: int, count: int) -> Lap:
        if depth not in self._scripts:
            self._scripts[depth] = self._taken_down(depth)
        samples = fresh(self.samples[:count], visit)
        if name == "vllm_raw":
            return self._raw(samples, self._scripts[depth])
        start = time.perf_counter()
        verdicts = list(self.judge.many(samples, depth=depth, batch=len(samples)))
        seconds = time.perf_counter() - start
        return Lap(seconds, len(samples), sum(verdict.status == "scored" for verdict in verdicts))

    # -- Without our code -----------------------------------------------------------------------------

    def _taken_down(self, depth: Depth) -> list[Script]:
        """Let our backend answer every sample, and keep what it asks the engine."""
        requests = [self.judge.pipeline.prepare(sample, depth).request for sample in fresh(self.samples, 0)]
        with self._noting() as scripts:
            for at, request in enumerate(requests):
                self.backend.submit(str(at), "choose" if depth == "score" else "complete", request)
            while self.backend.pending:
                self.backend.step()
        return [scripts[str(at)] for at in range(len(requests))]

    @contextmanager
    def _noting(self) -> Iterator[dict[str, Script]]:
        scripts: dict[str, Script] = {}
        add = self.backend._add

        def noted(key: str, job: Any, number: int, question: Any) -> None:
            stages = scripts.setdefault(key, Script()).stages
            if number == 0:
                stages.append([])
            stages[-1].append(question)
            add(key, job, number, question)

        self.backend._add = noted
        try:
            yield scripts
        finally:
            del self.backend._add

    def _raw(self, samples: Sequence[Sample], scripts: Sequence[Script]) -> Lap:
        """The requests of all samples, straight to the engine; nothing is read from the outputs."""
        engine, sampling = self.backend._engine, self._sampling(scripts)
        lora = self.backend.lora_of(self.judge.pipeline.prepare(samples[0]).request)
        shown: dict[int, dict[str, Any]] = {}
        left = [0] * len(samples)
        stage = [-1] * len(samples)
        number, of = 0, dict[str, int]()

        def ask_on(at: int) -> None:
            nonlocal number
            stage[at] += 1
            if stage[at] < len(scripts[at].stages):
                for question, params in sampling[at][stage[at]]:
                    prompt = {"prompt_token_ids": question.tokens, **shown[at]}
                    engine.add_request(f"raw {number}", prompt, params, lora_request=lora)
                    of[f"raw {number}"] = at
                    number, left[at] = number + 1, left[at] + 1

        start = time.perf_counter()
        for at, sample in enumerate(samples):
            shown[at] = self._shown(sample)
            ask_on(at)
        while of:
            for output in engine.step():
                if output.finished:
                    at = of.pop(output.request_id)
                    left[at] -= 1
                    if not left[at]:
                        ask_on(at)
        return Lap(time.perf_counter() - start, len(samples), len(samples))

    def _shown(self, sample: Sample) -> dict[str, Any]:
        picture, side = Image.fromarray(sample.image), self.backend.size
        if side is None:
            return {"multi_modal_data": {"image": [picture]}}
        picture = picture.resize((side, side), Image.Resampling.BICUBIC)
        return {"multi_modal_data": {"image": [picture]}, "mm_processor_kwargs": {"do_resize": False}}

    def _sampling(self, scripts: Sequence[Script]) -> list[list[list[tuple[Any, Any]]]]:
        """By sample and stage: questions with their parameters as the engine takes them, made beforehand."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        fixed: dict[str, Any] = {"temperature": 0.0, "detokenize": False, "flat_logprobs": True}
        fixed["output_kind"] = RequestOutputKind.FINAL_ONLY
        return [
            [[(q, SamplingParams(**fixed, **q.sampling)) for q in stage] for stage in script.stages]
            for script in scripts
        ]
