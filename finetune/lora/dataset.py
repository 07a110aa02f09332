"""The training dataset of a fine-tuning, and its sampler."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from torch.utils.data import Dataset, Sampler

from finetune.lora.encoding import Row, RowEncoder
from finetune.lora.targets import TargetSet


class TrainingDataset(Dataset[Row]):
    """All targets of some target sets, at all of their depths. A row is encoded when it is accessed.

    Args:
        target_sets: the targets.
        encoder: encodes them.
    """

    def __init__(self, target_sets: Sequence[TargetSet], encoder: RowEncoder) -> None:
        self.encoder = encoder
        self.target_sets = list(target_sets)
        self.rows = [
            (number, depth, target)
            for number, target_set in enumerate(self.target_sets)
            for depth in target_set.depths
            for target in target_set.targets
        ]
        """Number of the target set, depth, and target of each row."""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        number, depth, target = self.rows[index]
        return self.encoder.encode(target, self.target_sets[number].rubric, depth)


class GroupedSampler(Sampler[int]):
    """Samples the rows of an epoch in random order.

    Each target set is sampled as often as its weight says. Rows that are compared with each other follow one
    another, so that they get into the same batch.

    Args:
        dataset: the dataset.
        seed: of the order.
    """

    def __init__(self, dataset: TrainingDataset, seed: int) -> None:
        self.dataset, self.seed, self.epoch = dataset, seed, 0
        groups: dict[tuple[int, str, str], list[int]] = {}
        for index, (number, depth, target) in enumerate(dataset.rows):
            # Rows that are compared with all others need no group: they get into a batch by chance.
            is_alone = not target.group or " " not in target.group
            name = str(index) if is_alone else target.group
            groups.setdefault((number, depth, name), []).append(index)
        self.groups = [(dataset.target_sets[key[0]].weight, members) for key, members in groups.items()]

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which changes the order."""
        self.epoch = epoch

    def __iter__(self) -> Iterator[int]:
        random = Random(self.seed * 1_000_003 + self.epoch)
        sampled: list[list[int]] = []
        for weight, members in self.groups:
            times = int(weight) + (random.random() < weight % 1)
            sampled += [random.sample(members, len(members)) for _ in range(times)]
        random.shuffle(sampled)
        indices = [index for members in sampled for index in members]
        # `__len__` is fixed beforehand. Chance gives a few more or less, which is evened out at the end.
        yield from (indices * 2)[: len(self)] if indices else []

    def __len__(self) -> int:
        return max(1, round(sum(weight * len(members) for weight, members in self.groups)))
