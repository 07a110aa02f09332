"""Prepares batches in processes of their own, so that a GPU does not wait for drawing and tokenizing."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, cast

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from finetune.nano.data.batch import SceneBatch
from finetune.nano.data.scene_batches import SceneBatches

AHEAD = 2
"""Batches that each process prepares ahead."""


class LoadedBatches:
    """The batches of `SceneBatches`, in the order in which some processes finish them.

    Each process has scenes and tasks of its own. Their order depends on the machine, so a training with them
    is not repeatable bit by bit.

    Args:
        batches: builds the batches.
        processes: number of processes, 1 or more.
    """

    def __init__(self, batches: SceneBatches, processes: int) -> None:
        self.batches, self.processes, self.seed = batches, processes, batches.seed
        self._progress = torch.zeros(()).share_memory_()

    @property
    def progress(self) -> float:
        """Progress of training, 0..1; the trainer sets it. The processes see it when they begin a batch."""
        return float(self._progress)

    @progress.setter
    def progress(self, value: float) -> None:
        self._progress.fill_(value)

    def __iter__(self) -> Iterator[SceneBatch]:
        self.batches.seed = self.seed
        loader = DataLoader(
            _BatchesOfOneProcess(self.batches, self._progress),
            batch_size=None,
            num_workers=self.processes,
            prefetch_factor=AHEAD,
            in_order=False,
            # A fork would copy locks of OpenCV's and torch's threads, and no thread that opens them.
            multiprocessing_context="forkserver",
        )
        return cast("Iterator[SceneBatch]", iter(loader))


class _BatchesOfOneProcess(IterableDataset[Any]):
    def __init__(self, batches: SceneBatches, progress: torch.Tensor) -> None:
        self.batches, self.progress = batches, progress

    def __iter__(self) -> Iterator[SceneBatch]:
        worker = get_worker_info()
        if worker is None:
            raise AssertionError("this runs in a process of the loader")
        own = copy.copy(self.batches)
        own.seed = own.seed * worker.num_workers + worker.id
        for batch in own:
            yield batch
            own.progress = float(self.progress)
