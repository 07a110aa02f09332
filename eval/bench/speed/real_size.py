"""Measure the judge around a model of real size: the vocabulary of Qwen3-VL and about 300 million weights.

The weights are random, so only times and memory mean anything. Three questions are answered:

- Does a score take as long as a bare forward pass over the same tokens? The bare pass has the tokens of all
  passes of the judge in one sequence, plain causal attention, and the logits of as many positions. Random
  weights choose labels that nothing foretells, the worst case for reading ahead; so one image is also scored
  with its own labels as the expected ones, the best case.
- How much of a verdict is spent outside the model: grammar, masks, softmax over the vocabulary, Python? The
  time inside is that of the outermost calls of the model's modules.
- How large do the masks get, and how much memory does a verdict add?

Without a GPU, times are seconds of the processor (`time.process_time`), which other processes do not change;
use one thread. `profile` lists the functions outside the model by their own time, as the profiler of Python
sees it. The profiler slows Python down, so its shares are a little too large.
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from eval.bench.accuracy.scenes import JudgeLike
from eval.bench.speed.backend import ForwardPass, record_passes
from judge.backends.decoding.natural import drafts
from judge.backends.transformers.backend import MAX_ATTENTION_CELLS
from judge.rubrics.form_nodes import Branch, Choice
from judge.types import Sample

HIDDEN, LAYERS = 1024, 14
"""Width and layers of the language model; with the vocabulary they make about 290 million weights."""
SIDE = 448
"""Side in pixels of the images that the model sees."""
MIN_SCORE_TO_FORWARD, MAX_OUTSIDE_SHARE = 0.9, 0.1
"""Goals: rate of scores over the rate of bare passes, and share of a verdict outside the model."""
PROFILE_ROWS = 12


@dataclass
class ModelClock:
    """Seconds inside the outermost calls of a model's modules, and what they were given."""

    seconds: float = 0.0
    passes: int = 0
    mask_bytes: int = 0
    """Size of the largest attention mask."""


def clock() -> float:
    """Seconds of the processor; of the wall if there is a GPU, whose work it waits for."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


@contextmanager
def model_clock(model: Any) -> Iterator[ModelClock]:
    """Measure the time inside a model while the block runs."""
    measured, nesting, start = ModelClock(), 0, 0.0

    def enter(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        nonlocal nesting, start
        if not nesting:
            mask = kwargs.get("attention_mask")
            if mask is not None:
                measured.mask_bytes = max(measured.mask_bytes, mask.nelement() * mask.element_size())
            start = clock()
        nesting += 1

    def leave(*_: Any) -> None:
        nonlocal nesting
        nesting -= 1
        if not nesting:
            measured.seconds += clock() - start
            measured.passes += 1

    # Only modules that the backend may call itself are watched: a hook on each layer would cost time.
    watched = [model, model.model, model.get_output_embeddings()]
    handles = []
    for module in watched:
        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave, always_call=True))
    try:
        yield measured
    finally:
        for handle in handles:
            handle.remove()


def measure_real_size(
    judge: JudgeLike, samples: Sequence[Sample], model: Any, backend: Any, *, rounds: int = 1
) -> dict[str, Any]:
    """Measure scores, verdicts and memory.

    Args:
        judge: the judge; its model is loaded.
        samples: images that are judged together.
        model: the judge's torch model.
        backend: the judge's backend.
        rounds: how often each call is timed; the fastest counts.
    """
    count = len(samples)
    scores = _measure_scores(_asker(judge, samples, "score"), model, rounds)
    first = _asker(judge, samples[:1], "score")
    with expected_labels(read_labels(backend, first)):
        foretold = _measure_scores(first, model, rounds)
    verdict = _asker(judge, samples[:1], "verdict")
    before = _peak_memory()
    verdict()  # compiles grammars and tables of the vocabulary, once for a model
    memory = _peak_memory() - before
    inside, outside = float("inf"), float("inf")
    for _ in range(rounds):
        with model_clock(model) as measured:
            seconds = _seconds(verdict)
        if seconds - measured.seconds < outside:
            inside, outside = measured.seconds, seconds - measured.seconds
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": model.get_output_embeddings().weight.shape[0],
        "tokens": scores.tokens,
        "score_passes": scores.passes,
        "score_seconds": scores.seconds / count,
        "forward_seconds": scores.bare_seconds / count,
        "score_to_forward_rate": scores.rate,
        "foretold_score_passes": foretold.passes,
        "foretold_score_to_forward_rate": foretold.rate,
        "verdict_seconds": inside + outside,
        "verdict_outside_seconds": outside,
        "verdict_outside_share": outside / (inside + outside),
        "verdict_passes": measured.passes,
        "mask_bytes": measured.mask_bytes,
        "mask_bytes_limit": 4 * MAX_ATTENTION_CELLS,
        "verdict_memory_bytes": memory,
        "profile": profile_outside(verdict),
        "notes": {
            "score_to_forward_rate": f"goal: {MIN_SCORE_TO_FORWARD} or more",
            "foretold_score_to_forward_rate": "of one image, whose own labels are expected",
            "verdict_outside_share": f"goal: {MAX_OUTSIDE_SHARE} or less",
            "verdict_memory_bytes": "growth of the peak during the first verdict, masks and cache included",
        },
    }


@dataclass
class ScoreTimes:
    """Seconds of a call that scores, and of a bare pass over the same tokens."""

    seconds: float
    bare_seconds: float
    tokens: int
    passes: int
    """Passes of the judge: calls of the body of the model."""

    @property
    def rate(self) -> float:
        """The rate of scores over that of bare passes."""
        return self.bare_seconds / self.seconds


def _measure_scores(score: Callable[[], None], model: Any, rounds: int) -> ScoreTimes:
    passes = record_passes(model, score)  # warms up as well
    bare = BarePass(model, passes)
    # In turns, so that other work on the machine slows both.
    times = [(_seconds(score), _seconds(bare)) for _ in range(rounds)]
    bodies = sum(one.kwargs.get("input_ids") is not None for one in passes)
    return ScoreTimes(min(a for a, _ in times), min(b for _, b in times), bare.tokens, bodies)


def read_labels(backend: Any, call: Callable[[], None]) -> dict[str, str]:
    """Return the likeliest label of each blank of what a call reads first with `backend.choose`."""
    replies: list[Any] = []
    with patch.object(backend, "choose", _recorded(backend.choose, replies)):
        call()
    found = replies[0][0].probabilities
    return {blank: max(shares, key=lambda label: shares[label]) for blank, shares in found.items()}


def _recorded(function: Callable[..., Any], results: list[Any]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        results.append(function(*args))
        return results[-1]

    return call


@contextmanager
def expected_labels(labels: Mapping[str, str]) -> Iterator[None]:
    """Let drafts expect the given labels (path of a blank -> label) while the block runs."""
    default_label = drafts.default_label

    def expected_label(blank: Choice | Branch) -> str:
        label = labels.get(blank.name)
        return label if label in blank.labels else default_label(blank)

    with patch.object(drafts, "default_label", expected_label):
        yield


class BarePass:
    """One plain causal forward pass over the tokens of recorded passes, with as many rows of logits.

    Args:
        model: the model.
        passes: its outermost calls during a judgement, of the body and of the head.
    """

    def __init__(self, model: Any, passes: Sequence[ForwardPass]) -> None:
        import torch

        self.model, self.head = model, model.get_output_embeddings()
        bodies = [p for p in passes if p.kwargs.get("input_ids") is not None]
        rows = bodies[0].kwargs["input_ids"].shape[0]
        # Rows that are done early take no part in later passes: those passes are left out.
        bodies = [p for p in bodies if p.kwargs["input_ids"].shape[0] == rows]
        self.inputs = {
            name: torch.cat([p.kwargs[name] for p in bodies], dim=-1)
            for name in ("input_ids", "position_ids")
            if bodies[0].kwargs.get(name) is not None
        }
        self.vision = {
            name: value
            for name, value in bodies[0].kwargs.items()
            if name not in ("input_ids", "position_ids", "attention_mask", "past_key_values", "use_cache")
        }
        if "mm_token_type_ids" in self.vision and len(bodies) > 1:
            self.vision["mm_token_type_ids"] = None
        heads = [p.args[0] for p in passes if p.module is self.head and p.args]
        self.readouts = sum(hidden.shape[:-1].numel() for hidden in heads)
        self.tokens = int(self.inputs["input_ids"].numel())

    def __call__(self) -> None:
        """Run the pass."""
        import torch

        with torch.inference_mode():
            hidden = self.model.model(**self.inputs, **self.vision, use_cache=False).last_hidden_state
            flat = hidden.reshape(-1, hidden.shape[-1])
            self.head(flat[-min(self.readouts, len(flat)) :])


def profile_outside(call: Callable[[], None]) -> list[dict[str, Any]]:
    """Return the functions with the largest own time during a call, those of torch's modules left out.

    Returns:
        For each function: its name, own seconds, and share of the time of the whole call.
    """
    profiler = cProfile.Profile(clock)
    profiler.runcall(call)
    stats = pstats.Stats(profiler)
    timings: dict[tuple[str, int, str], tuple[int, int, float, float, Any]] = stats.stats  # type: ignore[attr-defined]
    total = sum(own for _, _, own, _, _ in timings.values())
    rows = [
        (own, f"{_short_path(file)}:{name}")
        for (file, _, name), (_, _, own, _, _) in timings.items()
        if not _is_model(file, name)
    ]
    rows.sort(reverse=True)
    return [
        {"function": name, "seconds": round(own, 4), "share": round(own / total, 4)}
        for own, name in rows[:PROFILE_ROWS]
    ]


MODEL_PARTS = (
    "torch/nn", "torch._C._nn", "transformers/models", "transformers/integrations", "fast_layers", "mkldnn",
    "linear", "rms_norm", "scaled_dot_product_attention", "conv3d", "silu", "gelu", "layer_norm", "matmul",
)  # fmt: skip
"""Parts of the files and names of functions that are the model's: its layers and the operations they call."""


def _is_model(file: str, name: str) -> bool:
    return any(part in file or part in name for part in MODEL_PARTS)


def _short_path(file: str) -> str:
    path = Path(file)
    return "/".join(path.parts[-2:]) if len(path.parts) > 1 else file


def _asker(judge: JudgeLike, samples: Sequence[Sample], depth: str) -> Callable[[], None]:
    def ask() -> None:
        for verdict in judge.many(samples, depth=depth, batch=len(samples)):
            if verdict.score is None:
                raise RuntimeError(f"unscored: {verdict.reason}")

    return ask


def _seconds(call: Callable[[], None]) -> float:
    start = clock()
    call()
    return clock() - start


def _peak_memory() -> int:
    import resource

    kilobyte = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilobyte
