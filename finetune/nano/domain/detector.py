"""The detector's network: its training, its threshold, and its file.

Five convolutions of stride 2, and the mean and the maximum of the last one's channels: 53,000 parameters. The
threshold is chosen on a tenth of the images that the training does not see, so that `MAX_REJECTED` of the
drawings there are rejected.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from judge.evidence.drawings import INPUT_SIDE, SOURCES_KEY, THRESHOLD_KEY

WIDTHS = (16, 24, 32, 48, 64)
"""Channels of the convolutions."""
MAX_REJECTED = 0.003
HELD_SHARE = 10
"""Every tenth pair of images chooses the threshold."""
BATCH = 64


class Detector(nn.Module):
    """uint8 images (n, side, side, 3) -> logit that each is a drawing (n,)."""

    def __init__(self) -> None:
        super().__init__()
        inputs = (3, *WIDTHS)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU())
                for a, b in zip(inputs, WIDTHS, strict=False)
            )
        )
        self.head = nn.Linear(2 * WIDTHS[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        x = self.layers(images.permute(0, 3, 1, 2).float() / 127.5 - 1)
        logits: Tensor = self.head(torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1))[:, 0]
        return logits


def train_detector(
    images: NDArray[np.uint8],
    is_drawing: NDArray[np.bool_],
    *,
    epochs: int = 30,
    seed: int = 0,
    report: Callable[[str], None] = print,
) -> tuple[Detector, float]:
    """Train the network and choose its threshold.

    Args:
        images: (n, side, side, 3).
        is_drawing: (n,): whether each is a drawing. Drawings and others alternate.
        epochs: passes over the images.
        seed: of weights, order and changes.
        report: called with a line after each epoch.

    Returns:
        The network, and the logit from which an image counts as a drawing.
    """
    torch.manual_seed(seed)
    held = np.arange(len(images)) // 2 % HELD_SHARE == 0
    x, y = torch.from_numpy(images[~held]), torch.from_numpy(is_drawing[~held]).float()
    model, steps = Detector(), epochs * (len(x) // BATCH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps, pct_start=0.2)
    threshold = 0.0
    for epoch in range(epochs):
        model.train()
        order, total = torch.randperm(len(x)), 0.0
        for batch in order[: len(x) // BATCH * BATCH].split(BATCH):
            # Smoothed labels keep the logits of both kinds apart without extremes.
            target = y[batch] * 0.96 + 0.02
            loss = nn.functional.binary_cross_entropy_with_logits(model(_augment(x[batch])), target)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += float(loss.detach()) * len(batch)
        if epoch % 3 == 2 or epoch == epochs - 1:
            logits = predict(model, images[held])
            threshold = float(np.quantile(logits[is_drawing[held]], MAX_REJECTED))
            passed = float((logits[~is_drawing[held]] >= threshold).mean())
            report(
                f"epoch {epoch + 1}: loss {total / len(x):.4f}, "
                f"threshold {threshold:.2f}, others above it {passed:.4f}"
            )
    return model.eval(), threshold


def _augment(images: Tensor) -> Tensor:
    """Mirror, shift, permute the colour channels, and change the brightness of a batch."""
    if torch.rand(()) < 0.5:
        images = images.flip(2)
    images = images[..., torch.randperm(3)] if torch.rand(()) < 0.5 else images
    shift = torch.randint(-8, 9, (2,)).tolist()
    images = images.roll(shift, (1, 2)) if torch.rand(()) < 0.5 else images
    gain = 1 + 0.3 * (torch.rand(len(images), 1, 1, 1) - 0.5)
    bias = 40 * (torch.rand(len(images), 1, 1, 1) - 0.5)
    return (images.float() * gain + bias).clamp(0, 255)


def predict(model: Detector, images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the logits (n,) of images (n, side, side, 3)."""
    model.eval()
    with torch.inference_mode():
        parts = [model(part) for part in torch.from_numpy(images).split(256)]
    result: NDArray[np.float32] = torch.cat(parts).numpy()
    return result


def write_detector(model: Detector, threshold: float, sources: list[str], path: Path) -> None:
    """Write the ONNX file that `judge.evidence.drawings` loads.

    Args:
        model: the network; batch normalisation is folded into its convolutions.
        threshold: the logit from which an image counts as a drawing; kept in the file.
        sources: names of the folders of other images that it was fitted on; kept in the file.
        path: the file.
    """
    import onnx

    example = torch.zeros(2, INPUT_SIDE, INPUT_SIDE, 3, dtype=torch.uint8)
    program = torch.onnx.export(
        _fold(model), (example,), dynamo=True, input_names=["images"], output_names=["logits"],
        dynamic_shapes={"images": {0: torch.export.Dim("n", min=1, max=64)}},
    )  # fmt: skip
    assert program is not None
    content = program.model_proto
    onnx.helper.set_model_props(
        content, {THRESHOLD_KEY: repr(threshold), SOURCES_KEY: json.dumps(sorted(sources))}
    )
    onnx.checker.check_model(content)
    path.write_bytes(content.SerializeToString())


def _fold(model: Detector) -> nn.Module:
    """Fold batch normalisation into the convolutions before it."""
    folded = Detector().eval()
    layers = [
        nn.Sequential(nn.utils.fusion.fuse_conv_bn_eval(block[0], block[1]), nn.ReLU())  # type: ignore[index]
        for block in model.eval().layers
    ]
    folded.layers, folded.head = nn.Sequential(*layers), model.head
    return folded.eval()
