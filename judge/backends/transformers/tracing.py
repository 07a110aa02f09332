"""Trace a number back to the patches of the images by gradient x input (Shrikumar et al. 2016).

The baseline is the mean patch of the image: the relevance of a patch is |gradient . (patch - mean patch)|.
"""

from __future__ import annotations

from typing import Any

from judge.backends.base import Target


def target_value(target: Target, probabilities: dict[str, dict[str, Any]]) -> Any:
    """Compute the value of a target.

    Args:
        target: weights of labels.
        probabilities: path of a blank -> label -> probability, as tensors.

    Returns:
        The sum of weight times probability, a tensor with the gradient of the probabilities.
    """
    return sum(
        weight * probabilities[blank][label]
        for blank, weights in target.items()
        for label, weight in weights.items()
    )


def patch_relevance(gradient: Any, pixels: Any, grid: Any, merge_size: int) -> list[Any]:
    """Compute the relevance of each patch of each image.

    Args:
        gradient: (patches, values) gradient of a number with respect to the patches.
        pixels: (patches, values) the patches of all images, in blocks of merge_size x merge_size.
        grid: (images, 3) number of patches of each image in time, height and width.
        merge_size: patches along one side of a block.

    Returns:
        For each image, an array (rows, columns) of relevance, 0 or more.
    """
    counts, maps = grid.prod(dim=1).tolist(), []
    images = zip(gradient.split(counts), pixels.split(counts), grid.tolist(), strict=True)
    for gradients, patches, (_, rows, columns) in images:
        relevance = (gradients * (patches - patches.mean(dim=0))).sum(dim=1).abs().float()
        blocks = relevance.reshape(rows // merge_size, columns // merge_size, merge_size, merge_size)
        maps.append(blocks.permute(0, 2, 1, 3).reshape(rows, columns).numpy(force=True))
    return maps
