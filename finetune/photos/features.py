"""Cached vision-tower features of photographs, and an endless stream of batches of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor

from finetune.nano.batched_forward import BatchedForward, ImageFeatures
from finetune.nano.data.batch import TextBatch
from finetune.nano.data.rows import RowBuilder
from finetune.photos.dataset import PhotoDataset
from finetune.photos.estimators import cross_fit_opinions
from finetune.photos.image_jobs import Example
from finetune.photos.tasks import judge_photo
from judge.evidence.facts import ImageMeasurement, load_estimators
from judge.rubrics.rubric import Rubric

SOURCE_SHARES = {"distorted": 0.55, "scene": 0.15, "opinion": 0.3}
"""Shares of a batch by source. Sources that no dataset has are left out."""
ENCODING_BATCH = 32
"""Images that are encoded at once."""


@dataclass
class PhotoBatch(TextBatch):
    """Images with the prompts about them, as features of the vision tower."""

    stacked_features: Tensor
    """(B, 1 + deepstacks, IMAGE_TOKENS, width)."""
    sources: Tensor
    """(B,) index into SOURCE_SHARES."""

    @property
    def features(self) -> ImageFeatures:
        """The features, without those of the patches."""
        tokens, *deepstack = self.stacked_features.unbind(1)
        return ImageFeatures(tokens[:, :0], tokens, deepstack)


@dataclass
class FeatureDataset:
    """A dataset of photographs with the features of the vision tower in place of the images."""

    rows: list[Example]
    facts: list[dict[str, float]]
    """Facts for the prompt about each image. An opinion that an estimator was fitted on is estimated from
    other photographs."""
    features: Tensor
    """(n, 1 + deepstacks, IMAGE_TOKENS, width) float16."""

    @classmethod
    def load(
        cls, folder: Path, forward: BatchedForward, base: Path, *, is_fitted_on: bool = True
    ) -> FeatureDataset:
        """Load a dataset. The first call encodes the images, and caches the features in its folder.

        Args:
            folder: folder of the dataset.
            forward: the base.
            base: model folder of the base.
            is_fitted_on: whether the estimators were fitted on the opinions of this dataset.
        """
        dataset = PhotoDataset(folder)
        weights = hashlib.sha256((base / "model.safetensors").read_bytes()).hexdigest()[:8]
        cache = folder / f"seen-{weights}.pt"
        if not cache.is_file():
            partial_file = cache.with_suffix(".part")
            torch.save(_encode_images(dataset, forward), partial_file)
            partial_file.rename(cache)
        features = torch.load(cache, weights_only=True, mmap=True)
        facts = [ImageMeasurement(np.array(vector)).to_facts() for vector in dataset.measured]
        if is_fitted_on and {row.source for row in dataset.rows} == {"opinion"}:
            opinions = cross_fit_opinions(dataset)
        else:
            opinions = load_estimators().estimate_opinions(np.array(dataset.features))
        for own_facts, opinion in zip(facts, opinions, strict=True):
            own_facts["seems_good"] = float(opinion)
        return cls(dataset.rows, facts, features)


@torch.inference_mode()
def _encode_images(dataset: PhotoDataset, forward: BatchedForward) -> Tensor:
    parts = []
    for start in range(0, len(dataset.rows), ENCODING_BATCH):
        images = torch.from_numpy(np.array(dataset.images[start : start + ENCODING_BATCH]))
        features = forward.encode_images(images)
        parts.append(torch.stack([features.tokens, *features.deepstack], 1).half())
    return torch.cat(parts)


class PhotoBatches:
    """Draws batches from some datasets without end, each source with its share.

    Args:
        datasets: the datasets.
        row_builder: builds the rows.
        size: images in a batch.
        max_text_tokens: most text tokens about one image.
        seed: of the images and the tasks.
    """

    def __init__(
        self,
        datasets: Sequence[FeatureDataset],
        row_builder: RowBuilder,
        *,
        size: int,
        max_text_tokens: int,
        seed: int,
    ) -> None:
        self.row_builder, self.size, self.max_text_tokens = row_builder, size, max_text_tokens
        self.seed = seed
        self.progress = 0.0
        """Set by the trainer; not used here."""
        self.rubric = Rubric.load("quality")
        images = [(dataset, i) for dataset in datasets for i in range(len(dataset.rows))]
        self.by_source = {
            source: [(dataset, i) for dataset, i in images if dataset.rows[i].source == source]
            for source in SOURCE_SHARES
        }

    def __iter__(self) -> Iterator[PhotoBatch]:
        r = Random(self.seed)
        sources = [source for source, images in self.by_source.items() if images]
        shares = [SOURCE_SHARES[source] for source in sources]
        while True:
            chosen = [r.choice(self.by_source[s]) for s in r.choices(sources, shares, k=self.size)]
            yield self.build_batch(chosen, r)

    def build_batch(self, images: Sequence[tuple[FeatureDataset, int]], r: Random) -> PhotoBatch:
        """Build the batch of some images, each with one task at verdict depth and one at score depth."""
        rows = []
        for dataset, i in images:
            tasks = [
                judge_photo(r, self.rubric, dataset.rows[i], dataset.facts[i], score_only=score_only)
                for score_only in (False, True)
            ]
            rows.append(self.row_builder.build_row(tasks, None, self.max_text_tokens))
        sources = list(SOURCE_SHARES)
        return PhotoBatch(
            **self.row_builder.text_tensors(rows),
            stacked_features=torch.stack([dataset.features[i] for dataset, i in images]).float(),
            sources=torch.tensor([sources.index(dataset.rows[i].source) for dataset, i in images]),
        )
