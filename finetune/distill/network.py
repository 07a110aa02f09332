"""The student's network: two small towers of convolutions, one for patches in full detail and one for the
whole picture reduced, whose layers are read by their mean, their spread and their maximum.

Spread matters as much as the mean: what noise, blur and compression change is how local contrasts are
distributed (Mittal, Moorthy and Bovik 2012). So both towers also see the contrast-normalised picture and the
logarithm of its local contrast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from finetune.distill.config import Network

WINDOW = 5
"""Side in pixels of the window in which contrast is local."""


class Step(nn.Sequential):
    """A convolution of 3 x 3 with normalisation, by default at half the resolution."""

    def __init__(self, before: int, after: int, stride: int = 2) -> None:
        super().__init__(
            nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.SiLU(inplace=True)
        )


class Twice(nn.Module):
    """A step of the same resolution, added to what it was given."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.step = Step(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.step(x)
        return added


class Tower(nn.Module):
    """Stages whose mean, spread and maximum over the picture are all given out: what is everywhere, how
    unevenly, and what is at one place only."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)[0]

    def layers(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What is read of all stages, (n, 3 * channels), and each stage's own output."""
        read, outputs = list[Tensor](), list[Tensor]()
        for stage in self.stages:
            x = stage(x)
            outputs.append(x)
            seen = x.float()  # where the layers are trained in bfloat16, too coarse for differences
            mean = seen.mean((2, 3))
            spread = ((seen - mean[:, :, None, None]).square().mean((2, 3)) + 1e-4).sqrt()
            read += [mean, spread, seen.amax((2, 3))]
        return torch.cat(read, 1), outputs


class StudentNetwork(nn.Module):
    """The whole of it.

    Args:
        shape: of the network.
        blanks: path of a blank -> its labels.
        facts: how many measured facts are learnt beside.
        kinds: how many kinds of regions are learnt beside.
        dropout: before the last layers.
    """

    def __init__(
        self,
        shape: Network,
        blanks: Mapping[str, Sequence[str]],
        facts: int = 0,
        kinds: int = 0,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        w, c = shape.width, shape.coarse
        self.sizes = [len(labels) for labels in blanks.values()]
        self.contrasts = Contrasts()
        self.fine = Tower(
            [
                Step(5, w),
                nn.Sequential(Step(w, 2 * w), Twice(2 * w)),
                nn.Sequential(Step(2 * w, 4 * w), Twice(4 * w)),
                nn.Sequential(Step(4 * w, 6 * w), Twice(6 * w)),
                nn.Sequential(Step(6 * w, 8 * w), Twice(8 * w)),
            ]
        )
        self.coarse = Tower(
            [
                Step(5, c),
                Step(c, 2 * c),
                nn.Sequential(Step(2 * c, 4 * c), Twice(4 * c)),
                nn.Sequential(Step(4 * c, 6 * c), Twice(6 * c)),
                nn.Sequential(Step(6 * c, 8 * c), Twice(8 * c)),
            ]
        )
        read = 3 * (w + c) * (1 + 2 + 4 + 6 + 8)
        self.trunk = nn.Sequential(
            nn.BatchNorm1d(read), nn.Linear(read, shape.hidden), nn.SiLU(), nn.Dropout(dropout)
        )
        self.answers = nn.Linear(shape.hidden, sum(self.sizes))
        self.facts = nn.Linear(shape.hidden, facts) if facts else None
        self.kinds = nn.Linear(shape.hidden, kinds) if kinds else None
        sides = (4 * c, 6 * c) if kinds else ()
        self.regions = nn.ModuleList(nn.Conv2d(side, 1 + kinds, 1) for side in sides)

    def read(self, whole: Tensor, patches: Tensor) -> Tensor:
        """What the last layers see (n, hidden), of (n, S, S, 3) and (n, G * P, G * P, 3) uint8."""
        return self.seen(whole, patches)[0]

    def seen(self, whole: Tensor, patches: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As `read`, and for each of `regions` what kind lies where in the whole, (n, 1 + kinds, h, w)
        logits, the first for none."""
        small, fine = (self._with_contrasts(x) for x in (whole, patches))
        coarse, layers = self.coarse.layers(small)
        maps = [head(layer) for head, layer in zip(self.regions, layers[2:], strict=False)]
        return self.trunk(torch.cat([self.fine(fine), coarse], 1)), maps

    def _with_contrasts(self, pixels: Tensor) -> Tensor:
        picture = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
        return torch.cat([picture, self.contrasts(picture)], 1)

    def without_beside(self) -> StudentNetwork:
        """Itself, evaluating, without what was learnt beside."""
        self.facts = self.kinds = None
        self.regions = nn.ModuleList()
        return self.eval()

    def forward(self, whole: Tensor, patches: Tensor) -> Tensor:
        """Probabilities (n, labels of all blanks)."""
        return self.shares(self.read(whole, patches))

    def shares(self, read: Tensor) -> Tensor:
        return torch.cat([part.softmax(-1) for part in self.answers(read).split(self.sizes, -1)], -1)


class Contrasts(nn.Module):
    """The contrast-normalised luminance and the logarithm of the local contrast: (n, 2, H, W) of (n, 3, H, W)
    in -1..1. Local means are a convolution, which runtimes do in a twentieth of the time of pooling."""

    window: Tensor

    def __init__(self) -> None:
        super().__init__()
        window = torch.eye(2)[:, :, None, None].expand(2, 2, WINDOW, WINDOW) / WINDOW**2
        self.register_buffer("window", window.clone(), persistent=False)

    def forward(self, picture: Tensor) -> Tensor:
        light = picture.mean(1, keepdim=True)
        with torch.autocast(picture.device.type, enabled=False):  # differences of squares
            both = F.conv2d(torch.cat([light, light * light], 1), self.window, padding=WINDOW // 2)
        mean, square = both.chunk(2, 1)
        spread = (square - mean * mean).clamp_min(0).add(1e-5).sqrt()
        return torch.cat([(light - mean) / (spread + 0.01), spread.log() / 3], 1)


def parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def flops(network: StudentNetwork, shape: Network) -> int:
    """Operations for one picture by torch's own counter: multiplications and additions each count."""
    from torch.utils.flop_counter import FlopCounterMode

    whole, patches = example(shape)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.eval()(whole, patches)
    return int(counter.get_total_flops())


def example(shape: Network, count: int = 1) -> tuple[Tensor, Tensor]:
    """Empty input."""
    side = shape.grid * shape.patch
    return (
        torch.zeros(count, shape.whole, shape.whole, 3, dtype=torch.uint8),
        torch.zeros(count, side, side, 3, dtype=torch.uint8),
    )
