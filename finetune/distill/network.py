"""The student's network: two small towers of convolutions, and features of a pretrained network if wanted.

One tower sees patches in full resolution, the other the reduced whole image. The features are an input: their
weights are those of a package, and are neither trained nor exported here.

The outputs of their layers are summarized by mean, spread and maximum. Spread matters as much as the mean:
noise, blur and compression change the distribution of local contrasts (Mittal, Moorthy and Bovik 2012). For
this reason both towers also see the contrast-normalized image, and the logarithm of its local contrast.

The names of the attributes are keys of the saved weights.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from finetune.distill.config import NetworkConfig
from judge.evidence.pretrained import FEATURE_LENGTH, extract_batch

CONTRAST_WINDOW = 5
"""Side in pixels of the window in which local contrast is measured."""


class ConvBlock(nn.Sequential):
    """A 3 x 3 convolution with normalization. By default it halves the resolution.

    Args:
        channels_in: input channels.
        channels_out: output channels.
        stride: 2 halves the resolution, 1 keeps it.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int = 2) -> None:
        super().__init__(
            nn.Conv2d(channels_in, channels_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.SiLU(inplace=True),
        )


class ResidualBlock(nn.Module):
    """A block of the same resolution whose output is added to its input.

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.step = ConvBlock(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the sum of input and block, of the input's shape."""
        added: Tensor = x + self.step(x)
        return added


class Tower(nn.Module):
    """Stages whose outputs are summarized by mean, spread and maximum over the image.

    The mean shows what is everywhere, the spread how uneven it is, the maximum what is at one place only.

    Args:
        stages: the stages, one after the other.
    """

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> Tensor:
        """Return the summary of all stages, (n, 3 * channels of all stages), for (n, channels, H, W)."""
        return self.run_stages(x)[0]

    def run_stages(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Run the stages.

        Args:
            x: (n, channels, H, W).

        Returns:
            The summary of all stages, (n, 3 * channels of all stages), and the output of each stage.
        """
        summary, outputs = list[Tensor](), list[Tensor]()
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
            values = x.float()  # layers trained in bfloat16 are too coarse for differences
            mean = values.mean((2, 3))
            spread = ((values - mean[:, :, None, None]).square().mean((2, 3)) + 1e-4).sqrt()
            summary += [mean, spread, values.amax((2, 3))]
        return torch.cat(summary, 1), outputs


class StudentNetwork(nn.Module):
    """The whole network.

    Args:
        config: sizes.
        blanks: path of a blank -> its labels.
        facts: number of measured facts that are predicted in training.
        kinds: number of kinds of defects that are predicted in training.
        dropout: before the last layers.
    """

    def __init__(
        self,
        config: NetworkConfig,
        blanks: Mapping[str, Sequence[str]],
        facts: int = 0,
        kinds: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        w, c = config.width, config.coarse
        self.sizes = [len(labels) for labels in blanks.values()]
        self.contrasts = Contrasts()
        self.fine = Tower(
            [
                ConvBlock(5, w),
                nn.Sequential(ConvBlock(w, 2 * w), ResidualBlock(2 * w)),
                nn.Sequential(ConvBlock(2 * w, 4 * w), ResidualBlock(4 * w)),
                nn.Sequential(ConvBlock(4 * w, 6 * w), ResidualBlock(6 * w)),
                nn.Sequential(ConvBlock(6 * w, 8 * w), ResidualBlock(8 * w)),
            ]
        )
        self.coarse = Tower(
            [
                ConvBlock(5, c),
                ConvBlock(c, 2 * c),
                nn.Sequential(ConvBlock(2 * c, 4 * c), ResidualBlock(4 * c)),
                nn.Sequential(ConvBlock(4 * c, 6 * c), ResidualBlock(6 * c)),
                nn.Sequential(ConvBlock(6 * c, 8 * c), ResidualBlock(8 * c)),
            ]
        )
        summary = 3 * (w + c) * (1 + 2 + 4 + 6 + 8) + (FEATURE_LENGTH if config.pretrained else 0)
        self.trunk = nn.Sequential(
            nn.BatchNorm1d(summary), nn.Linear(summary, config.hidden), nn.SiLU(), nn.Dropout(dropout)
        )
        self.answers = nn.Linear(config.hidden, sum(self.sizes))
        self.facts = nn.Linear(config.hidden, facts) if facts else None
        self.kinds = nn.Linear(config.hidden, kinds) if kinds else None
        widths = (4 * c, 6 * c) if kinds else ()
        self.regions = nn.ModuleList(nn.Conv2d(width, 1 + kinds, 1) for width in widths)

    def forward(self, whole: Tensor, patches: Tensor, pretrained: Tensor | None = None) -> Tensor:
        """Return the probabilities (n, labels of all blanks); see `features`."""
        return self.probabilities(self.features(whole, patches, pretrained)[0])

    def features(
        self, whole: Tensor, patches: Tensor, pretrained: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """Compute the features that the last layers read, and the region maps.

        Args:
            whole: (n, S, S, 3) uint8.
            patches: (n, G * P, G * P, 3) uint8.
            pretrained: (n, FEATURE_LENGTH) float32 features of `judge.evidence.pretrained`; None if the
                network was built without them.

        Returns:
            Features (n, hidden). For each layer of `regions`: logits (n, 1 + kinds, h, w) of the kind of
            defect at each place of the whole image; the first is for no defect.
        """
        small, fine = (self._add_contrasts(x) for x in (whole, patches))
        coarse, layers = self.coarse.run_stages(small)
        maps = [head(layer) for head, layer in zip(self.regions, layers[2:], strict=False)]
        summary = [self.fine(fine), coarse, *([] if pretrained is None else [pretrained])]
        return self.trunk(torch.cat(summary, 1)), maps

    def _add_contrasts(self, pixels: Tensor) -> Tensor:
        image = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
        return torch.cat([image, self.contrasts(image)], 1)

    def probabilities(self, features: Tensor) -> Tensor:
        """Return the probabilities (n, labels of all blanks) for some features."""
        return torch.cat([part.softmax(-1) for part in self.answers(features).split(self.sizes, -1)], -1)

    def remove_auxiliary_heads(self) -> StudentNetwork:
        """Remove the heads for training, switch to evaluation mode, and return the network."""
        self.facts = self.kinds = None
        self.regions = nn.ModuleList()
        return self.eval()


class Contrasts(nn.Module):
    """Computes the contrast-normalized luminance, and the logarithm of the local contrast.

    Local means are a convolution, which runtimes compute in a twentieth of the time of pooling.
    """

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        size = CONTRAST_WINDOW
        window = torch.eye(2)[:, :, None, None].expand(2, 2, size, size) / size**2
        self.register_buffer("window", window.clone(), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Return (n, 2, H, W) for an image (n, 3, H, W) in -1..1."""
        light = image.mean(1, keepdim=True)
        with torch.autocast(image.device.type, enabled=False):  # differences of squares
            both = F.conv2d(torch.cat([light, light * light], 1), self.window, padding=CONTRAST_WINDOW // 2)
        mean, square = both.chunk(2, 1)
        spread = (square - mean * mean).clamp_min(0).add(1e-5).sqrt()
        return torch.cat([(light - mean) / (spread + 0.01), spread.log() / 3], 1)


def count_parameters(network: nn.Module) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in network.parameters())


def count_flops(network: StudentNetwork, config: NetworkConfig) -> int:
    """Return the operations for one image by torch's counter: multiplications and additions each count.

    Those of pretrained features are included.
    """
    from torch.utils.flop_counter import FlopCounterMode

    inputs = example_inputs(config)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(*inputs)
        if side := config.pretrained:
            extract_batch(np.zeros((1, side, side, 3), np.uint8))
    return int(counter.get_total_flops())


def example_inputs(config: NetworkConfig, count: int = 1) -> tuple[Tensor, ...]:
    """Return inputs of zeros: whole images, patches and, if the network reads them, pretrained features."""
    side = config.grid * config.patch
    return (
        torch.zeros(count, config.whole, config.whole, 3, dtype=torch.uint8),
        torch.zeros(count, side, side, 3, dtype=torch.uint8),
        *([torch.zeros(count, FEATURE_LENGTH)] if config.pretrained else []),
    )
