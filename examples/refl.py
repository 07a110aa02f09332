"""A small generator learns to draw undamaged images by the gradient of the judge (ReFL).

    python examples/refl.py --out runs/refl

1. A small diffusers UNet is trained on drawn scenes to redraw a damaged image at any strength of its damage:
   at strength 1000 it returns the image as it is, at 0 without damage. It is then used as a generator at
   1000.
2. ReFL trains the generator, still at strength 1000, by how sound the judge expects the image to be
   (`structure` of the rubric `default`). The gradient reaches the pixels. The rubric `quality` would also
   tell the model what was measured, which no gradient passes. By default only the UNet's embedding of the
   strength is trained, so that the generator can do no more than what it has learned. With `--train all`
   every weight is trained. Such a generator may find pixels that please the judge without being better;
   `judge.reward.hacking.Divergence` reports that.
3. On images from neither training, reward and truth are written to `curves.json` and `curves.png`. The truth
   is exact: the damage that is left, |drawn - clean| / |damaged - clean|, which is 1 at first.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from judge import Judge
from judge.backends.torchvision_compat import patch_imports
from judge.reward import Differentiable
from judge.reward.hacking import Divergence
from judge.reward.refl import refl_loss
from judge.scenes import draw_scene
from judge.scenes.drawing.degradations import degrade

patch_imports()  # before diffusers: it imports torchvision, which may not have been built for this torch
from diffusers import UNet2DModel  # noqa: E402

DEGRADATIONS = ("noise", "low contrast")
FULL_STRENGTH = 1000
"""Strength at which the generator is asked to leave the damage as it is."""
BATCH = 6
"""Images per training step."""


def draw_images(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Draw clean scenes and damaged versions of them, (count, 3, 224, 224) each, in 0..1."""
    rng, clean, damaged = random.Random(seed), list[np.ndarray](), list[np.ndarray]()
    while len(clean) < count:
        scene = draw_scene(rng.getrandbits(31), defect_shares=(1.0, 0.0, 0.0, 0.0))
        if scene.facts.level == 0:
            clean.append(scene.image)
            kind = DEGRADATIONS[len(clean) % len(DEGRADATIONS)]
            damaged.append(degrade(scene.image, kind, 3, rng.getrandbits(31)))
    return to_tensor(clean), to_tensor(damaged)


def to_tensor(images: list[np.ndarray]) -> Tensor:
    """Stack uint8 images (H, W, 3) as floats (N, 3, H, W) in 0..1."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


class Generator(torch.nn.Module):
    """Redraws images: the damaged image plus the output of a UNet at half its size."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet2DModel(
            in_channels=12, out_channels=12, layers_per_block=1, block_out_channels=(24, 48),
            norm_num_groups=8, down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D",
            "UpBlock2D"), add_attention=False,
        )  # fmt: skip
        torch.nn.init.zeros_(self.unet.conv_out.weight)
        torch.nn.init.zeros_(self.unet.conv_out.bias)

    def forward(self, damaged: Tensor, strength: Tensor) -> Tensor:
        """Redraw images (N, 3, H, W) at strengths (N,)."""
        residual = self.unet(pixel_unshuffle(damaged, 2) * 2 - 1, strength).sample
        return (damaged + pixel_shuffle(residual, 2)).clamp(0, 1)


def pretrain(clean: Tensor, damaged: Tensor, steps: int, seed: int) -> Generator:
    """Train a generator that can redraw a damaged image at any strength of its damage."""
    torch.manual_seed(seed)
    generator = Generator()
    optimizer = torch.optim.AdamW(generator.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for step in range(steps):
        rows = torch.randint(len(clean), (BATCH,))
        strength = torch.randint(0, FULL_STRENGTH + 1, (BATCH,))
        # Half of the strengths are at the ends, since the generator is used there.
        ends = (strength > FULL_STRENGTH // 2) * FULL_STRENGTH
        strength = torch.where(torch.rand(BATCH) < 0.5, ends, strength)
        share = (strength / FULL_STRENGTH)[:, None, None, None]
        target = clean[rows] + share * (damaged[rows] - clean[rows])
        loss = (generator(damaged[rows], strength) - target).square().mean().sqrt()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(generator.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        if step % 25 == 0:
            print(f"pre-training {step}/{steps}: loss {loss.item():.4f}", flush=True)
    return generator


def generate(generator: Generator, damaged: Tensor) -> Tensor:
    """Redraw images at full strength."""
    return generator(damaged, torch.full((len(damaged),), FULL_STRENGTH))


def score(reward: Differentiable, images: Tensor) -> Tensor:
    """Score images without regard to what they show: no element of a prompt is checked."""
    return reward(images, prompts=["a picture"] * len(images), elements=[[]] * len(images))


def evaluate(
    generator: Generator, reward: Differentiable, clean: Tensor, damaged: Tensor
) -> dict[str, float]:
    """Return the mean reward and the mean damage that is left, on images from neither training."""
    with torch.no_grad():
        images = generate(generator, damaged)
        scores = score(reward, images)
        remaining = (images - clean).flatten(1).norm(dim=1) / (damaged - clean).flatten(1).norm(dim=1)
    return {"reward": scores.mean().item(), "truth": remaining.mean().item()}


def train_refl(
    generator: Generator,
    reward: Differentiable,
    damaged: Tensor,
    steps: int,
    learning_rate: float,
    train_all: bool,
) -> Iterator[int]:
    """Train by the judge's gradient. Yields the number of each step when it is done."""
    trained = generator if train_all else generator.unet.time_embedding
    generator.requires_grad_(False)
    trained.requires_grad_(True)
    optimizer = torch.optim.Adam(trained.parameters(), lr=learning_rate)
    for step in range(1, steps + 1):
        rows = torch.randint(len(damaged), (BATCH,))
        loss = refl_loss(score(reward, generate(generator, damaged[rows])), scale=1.0)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        yield step


def plot(curve: list[dict[str, float]], path: Path) -> None:
    """Write reward and truth over the steps as an image."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    steps = [row["step"] for row in curve]
    axes.plot(steps, [row["reward"] for row in curve], label="reward: expected structure")
    axes.plot(steps, [row["truth"] for row in curve], label="truth: damage left")
    axes.set(
        xlabel="ReFL step", ylabel="held-out images, mean", ylim=(0, None), title="ReFL through the judge"
    )
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for curves.json and curves.png")
    parser.add_argument("--smoke", action="store_true", help="a run of one minute, to test the example")
    parser.add_argument("--steps", type=int, default=60, help="ReFL steps, 6 images each")
    parser.add_argument("--pretraining", type=int, default=700, help="steps before, 6 images each")
    parser.add_argument(
        "--train", choices=("strength", "all"), default="strength", help="what ReFL may change"
    )
    parser.add_argument("--rate", type=float, help="learning rate of ReFL: 1e-2 for strength, 3e-4 for all")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.smoke:
        options.steps, options.pretraining = 2, 4
    return options


def main() -> None:
    """Run the example."""
    options = parse_options()
    options.out.mkdir(parents=True, exist_ok=True)
    train_all = options.train == "all"
    learning_rate = options.rate or (3e-4 if train_all else 1e-2)
    clean, damaged = draw_images(options.seed, 12 if options.smoke else 120)
    held_out = draw_images(options.seed + 1, 3 if options.smoke else 18)
    generator = pretrain(clean, damaged, options.pretraining, options.seed)
    reward = Differentiable(Judge(), weights={"structure": 1})
    curve = [{"step": 0, **evaluate(generator, reward, *held_out)}]
    divergence = Divergence(0.05)
    divergence(0, curve[0]["reward"], -curve[0]["truth"])
    every = max(1, options.steps // 10)
    for step in train_refl(generator, reward, damaged, options.steps, learning_rate, train_all):
        if step % every and step != options.steps:
            continue
        row = {"step": step, **evaluate(generator, reward, *held_out)}
        curve.append(row)
        has_diverged = divergence(step, row["reward"], -row["truth"])
        note = ", REWARD AND TRUTH DIVERGE" if has_diverged else ""
        print(f"step {step}: reward {row['reward']:.3f}, left {row['truth']:.3f}{note}", flush=True)
    (options.out / "curves.json").write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")
    plot(curve, options.out / "curves.png")
    first, last = curve[0], curve[-1]
    print(f"reward {first['reward']:.3f} -> {last['reward']:.3f}")
    print(f"damage left {first['truth']:.3f} -> {last['truth']:.3f}")


if __name__ == "__main__":
    main()
