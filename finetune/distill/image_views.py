"""The images of a distillation as the student sees them: cut once, and memory-mapped.

`write_views` writes OUT/whole.npy (n * views, S, S, 3) and OUT/patches.npy (n * views, G * P, G * P, 3),
uint8. The views of one image follow one another. If the student uses them, OUT/pretrained.npy (n, features)
float32 has the pretrained features of each image. OUT/views.json is written last, so it marks a complete
folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from judge.backends.student import Pixels, StudentConfig
from judge.evidence.pretrained import FEATURE_LENGTH, extract_batch
from judge.media.image import load_image, resize_to_fit
from judge.pipeline.pipeline import MAX_PIXELS
from judge.runtime.process_pool import create_process_pool

Features = NDArray[np.float32]


class ViewBatch(NamedTuple):
    """Views of k images."""

    whole: Pixels
    """(k, S, S, 3) whole images."""
    patches: Pixels
    """(k, G * P, G * P, 3)."""
    pretrained: Features | None
    """(k, features); None if the student uses none."""
    flips: NDArray[np.bool_]
    """(k,) which views are mirrored. The pretrained features are of images that are not."""


class ImageViews:
    """The views of all images, as `write_views` wrote them.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        settings = json.loads((folder / "views.json").read_text("utf-8"))
        self.views: int = settings["views"]
        """Views of each image."""
        self.whole: Any = np.load(folder / "whole.npy", mmap_mode="r")
        self.patches: Any = np.load(folder / "patches.npy", mmap_mode="r")
        reads_features = settings["plan"]["pretrained"] > 0
        self.pretrained: Any = np.load(folder / "pretrained.npy", mmap_mode="r") if reads_features else None

    def sample(self, indices: Sequence[int], rng: np.random.Generator) -> ViewBatch:
        """Draw one view of each of some images, and mirror half of them at random.

        Args:
            indices: (k,) of the images.
            rng: random generator.
        """
        rows = [n * self.views + int(rng.integers(self.views)) for n in indices]
        flips = rng.random(len(rows)) < 0.5

        def take(array: Any) -> Pixels:
            views = (array[row] for row in rows)
            return np.stack(
                [view[:, ::-1] if flip else view for view, flip in zip(views, flips, strict=True)]
            )

        pretrained = None if self.pretrained is None else np.array(self.pretrained[indices])
        return ViewBatch(take(self.whole), take(self.patches), pretrained, flips)


def write_views(
    out: Path,
    files: Sequence[str],
    student: StudentConfig,
    views: int,
    seed: int,
    tick: Callable[[int], None],
) -> ImageViews:
    """Cut the views of all images, unless `out` has them. The first view of each is the one used in serving.

    Args:
        out: folder to write.
        files: image files.
        student: sizes of the whole image and of the patches.
        views: views of each image.
        seed: of the places of the patches.
        tick: called with the number of images done.

    Raises:
        MediaError: an image cannot be read.
    """
    settings = {"files": list(files), "plan": student.model_dump(), "views": views, "seed": seed}
    settings_file = out / "views.json"
    if settings_file.is_file() and json.loads(settings_file.read_text("utf-8")) == settings:
        return ImageViews(out)
    out.mkdir(parents=True, exist_ok=True)
    settings_file.unlink(missing_ok=True)
    count, side = len(files) * views, student.grid * student.patch
    whole = _create_array(out / "whole.npy", (count, student.whole, student.whole, 3))
    patches = _create_array(out / "patches.npy", (count, side, side, 3))
    pretrained = None
    if student.pretrained:
        shape = (len(files), FEATURE_LENGTH)
        pretrained = _create_array(out / "pretrained.npy", shape, np.float32)
    jobs = [(file, seed * 1_000_003 + n) for n, file in enumerate(files)]
    with create_process_pool() as pool:
        cut = pool.map(partial(_cut_views, student, views), jobs, chunksize=8)
        for n, (small, patch_views, features) in enumerate(cut):
            whole[n * views : (n + 1) * views] = small
            patches[n * views : (n + 1) * views] = patch_views
            if pretrained is not None:
                pretrained[n] = features
            tick(n + 1)
    for array in (whole, patches, pretrained):
        if array is not None:
            array.flush()
    partial_file = out / "views.json.part"
    partial_file.write_text(json.dumps(settings) + "\n", "utf-8")
    partial_file.rename(settings_file)
    return ImageViews(out)


def _create_array(path: Path, shape: tuple[int, ...], dtype: Any = np.uint8) -> Any:
    return np.lib.format.open_memmap(path, "w+", dtype, shape)


def _cut_views(
    student: StudentConfig, views: int, job: tuple[str, int]
) -> tuple[Pixels, list[Pixels], Features | None]:
    """Return the reduced whole image, the patches of each view, and the pretrained features."""
    import torch

    torch.set_num_threads(1)  # there is a process for each CPU
    file, seed = job
    image, _ = resize_to_fit(load_image(file), side=None, max_pixels=MAX_PIXELS)
    pixels, rng, served = np.asarray(image), np.random.default_rng(seed), student.make_view(image)
    moved = [student.extract_patches(pixels, rng) for _ in range(views - 1)]
    features = None if served.pretrained is None else extract_batch(served.pretrained[None])[0]
    return served.whole, [served.patches, *moved], features
