"""The training loop: settings, schedule, log, and checkpoints from which the same command resumes."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import torch

from finetune.nano.data.batch import TextBatch
from finetune.nano.losses import Hits
from finetune.nano.workers import SharedOptimizer

T = TypeVar("T")
LOG_SECONDS = 30
"""Time between two lines of the log."""


@dataclass
class TrainingSettings:
    """Settings of one training."""

    datasets: list[Path]
    """Folders to train on; empty: new scenes."""
    init: Path
    """Model folder to start from."""
    held_out: Path
    """Folder of the data that is measured on."""
    out: Path
    """Folder of checkpoints, log and result."""
    minutes: float
    """Length of the schedule in minutes; see `steps`."""
    lr: float
    """Highest learning rate."""
    batch_size: int
    """Images a step, all workers together."""
    seed: int = 0
    measure_every: float = 5.0
    """Minutes between checkpoints, each with a measurement."""
    max_text_tokens: int = 208
    """Most text tokens about one image."""
    steps: int = 0
    """Length of the schedule in steps, which is the same on any machine; 0: use `minutes`."""
    port: int = 0
    """Port on 127.0.0.1 where the workers meet."""
    varied: float = 0.0
    """Share of varied scenes where `datasets` is empty and scenes are drawn as they are needed."""
    visits: int = 1
    """How often each of them is shown."""
    loaders: int = 0
    """Processes that prepare batches; 0: none, the training prepares them itself."""


class ScheduleClock:
    """Measures the progress of a training, by its own time or by steps.

    Pauses do not count, and the time of earlier runs does.

    Args:
        minutes: length of the schedule.
        steps: length in steps instead; 0: by `minutes`.
    """

    def __init__(self, minutes: float, steps: int = 0) -> None:
        self.limit_seconds, self.steps = minutes * 60, steps
        self.step, self.spent, self._since = 0, 0.0, time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of training so far."""
        return self.spent + time.monotonic() - self._since

    @property
    def progress(self) -> float:
        """Progress of the schedule, 0..1."""
        return min(1.0, self.step / self.steps if self.steps else self.seconds / self.limit_seconds)

    def resume(self, seconds: float) -> None:
        """Continue from this number of seconds. The time since the last call was not training."""
        self.spent, self._since = seconds, time.monotonic()


def learning_rate_factor(progress: float, step: int, warmup: int, hold: float = 0.35) -> float:
    """Return the factor of the learning rate: a linear warmup, a plateau, and a cosine to 1 %.

    Args:
        progress: progress of the schedule, 0..1.
        step: number of steps so far.
        warmup: steps of the warmup.
        hold: progress at the end of the plateau.
    """
    decay = (
        1.0
        if progress < hold
        else 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (progress - hold) / (1 - hold)))
    )
    return min(1.0, (step + 1) / warmup) * decay


class TimedStream(Generic[T]):
    """An endless stream that waits for its first item at once, and adds up how long it waits for the others.

    Args:
        items: the stream.
    """

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)
        self._first = next(self._items)
        self.seconds = 0.0
        """Time of waiting."""

    def __iter__(self) -> Iterator[T]:
        yield self._first
        while True:
            start = time.monotonic()
            item = next(self._items)
            self.seconds += time.monotonic() - start
            yield item


class TrainingLog:
    """Writes a line of JSON every half minute, to the terminal and to a file.

    Args:
        path: file to append to.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.last = path, time.monotonic()
        self.losses: dict[str, list[float]] = {}
        self.hits: dict[str, list[int]] = {}

    def add(self, losses: dict[str, float], hits: Hits) -> None:
        """Add the numbers of a step."""
        for name, value in losses.items():
            self.losses.setdefault(name, []).append(value)
        add_hits(self.hits, hits)

    def is_due(self) -> bool:
        """Return whether it is time for the next line."""
        return time.monotonic() - self.last > LOG_SECONDS

    def write(self, **fields: Any) -> None:
        """Write a line: the fields, the mean losses and the shares of right tokens since the last line."""
        self.last = time.monotonic()
        row = {**fields, **{n: round(sum(v) / len(v), 3) for n, v in self.losses.items()}}
        row["right"] = {n: round(right / total, 3) for n, (right, total) in self.hits.items()}
        self.losses, self.hits = {}, {}
        line = json.dumps(row)
        print(line, flush=True)
        with self.path.open("a") as f:
            f.write(line + "\n")


def add_hits(totals: dict[str, list[int]], hits: Hits) -> None:
    """Add the hits of a batch to the totals by tag, in place."""
    for name, (right, count) in hits.items():
        total = totals.setdefault(name, [0, 0])
        total[0], total[1] = total[0] + right, total[1] + count


BatchT = TypeVar("BatchT", bound=TextBatch)
BatchT_co = TypeVar("BatchT_co", bound=TextBatch, covariant=True)


class BatchStream(Protocol[BatchT_co]):
    """An endless stream of batches."""

    seed: int
    """The trainer changes it before it iterates, so that a resumed training sees other batches."""
    progress: float
    """Progress of training, 0..1; the trainer sets it."""

    def __iter__(self) -> Iterator[BatchT_co]:
        """Yield batches without end."""
        ...


Step = Callable[[BatchT, float], tuple[dict[str, float], Hits]]
"""Computes the gradients of a batch at a progress 0..1. Returns what to log: losses, and hits by tag."""


def train(
    optimizer: SharedOptimizer,
    batches: BatchStream[BatchT],
    settings: TrainingSettings,
    step: Step[BatchT],
    measure: Callable[[], dict[str, float]],
    *,
    warmup: int,
) -> None:
    """Run the schedule to its end.

    The state is saved every few minutes to `settings.out`, and loaded from there if it exists.

    Args:
        optimizer: of this worker.
        batches: training data of this worker.
        settings: of the training.
        step: computes the gradients of a batch.
        measure: measures the model on held-out data; the first worker calls it.
        warmup: steps of the learning rate's warmup; a sixth of a schedule in steps at most.
    """
    if settings.steps:
        warmup = max(1, min(warmup, settings.steps // 6))
    out, workers = settings.out, optimizer.workers
    clock, log = ScheduleClock(settings.minutes, settings.steps), TrainingLog(out / "log.jsonl")
    state_file = out / f"state{optimizer.rank}.pt"
    earlier = load_state(state_file, optimizer, clock)
    batches.seed += 1000 * clock.step  # other batches than before
    stream = TimedStream(batches)  # processes that load take seconds to start: the clock waits for them
    clock.resume(earlier)
    due, progress = math.inf, clock.progress
    for batch in stream:
        log.add(*step(batch, progress))
        clock.step += 1
        # All workers get the mean progress, so they take the branches below together.
        factor = learning_rate_factor(progress, clock.step - 1, warmup)
        progress, seconds = optimizer.step(factor, clock.progress, clock.seconds)
        batches.progress, due = progress, min(due, seconds + settings.measure_every * 60)
        if optimizer.rank == 0 and log.is_due():
            images = clock.step * len(batch.ids) * workers
            log.write(
                minute=round(clock.seconds / 60, 1),
                step=clock.step,
                pictures=images,
                per_second=round(images / clock.seconds, 1),
                waiting=round(stream.seconds / (clock.seconds - earlier), 2),
            )
        if seconds > due or progress >= 1:
            due = seconds + settings.measure_every * 60
            save_state(state_file, {"team": optimizer.state(), "step": clock.step, "seconds": clock.seconds})
            if optimizer.rank == 0:
                pause = clock.seconds
                log.write(minute=round(pause / 60, 1), step=clock.step, held_out=measure())
                clock.resume(pause)
        if progress >= 1:
            return


def load_state(path: Path, optimizer: SharedOptimizer, clock: ScheduleClock) -> float:
    """Restore optimizer and step from a saved state if there is one; return the seconds trained so far."""
    if not path.exists():
        return 0.0
    saved = torch.load(path, weights_only=True)
    optimizer.load(saved["team"])
    clock.step = optimizer.synchronize(saved["step"])
    return float(saved["seconds"])


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write to a temporary file and rename it, so that a crash leaves the last state complete."""
    partial_file = path.with_suffix(".part")
    torch.save(state, partial_file)
    partial_file.rename(path)
