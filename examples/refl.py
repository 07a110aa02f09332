"""A small generator of pictures learns to draw them undamaged, by gradient through the judge (ReFL).

    python examples/refl.py --out runs/refl

1. A tiny diffusers UNet is trained on drawn scenes to redraw a damaged picture at any strength of its damage:
   asked for 1000 it gives it as it is, asked for 0 without. It starts as a generator that is asked for 1000.
2. ReFL then trains it, still asked for 1000, by how sound the judge expects the picture to be (`structure` of
   the rubric `default`; `quality` also tells the model what was measured, which no gradient passes), and the
   gradient reaches the pixels. By default only the UNet's embedding of the strength is trained, so that it
   can do no more than what it has learnt. With `--train all` every weight is, and a generator so free may
   find pixels that please the judge without being better; the kit's `Divergence` watches for that.
3. On pictures of neither training, reward and truth are written to `curves.json` and `curves.png`. The truth
   is exact: what is left of the damage, |drawn - clean| / |damaged - clean|, 1 at first.
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
from judge.backends.torchvision_compat import mend
from judge.reward import Differentiable
from judge.reward.hacking import Divergence
from judge.reward.refl import refl_loss
from judge.scenes import draw
from judge.scenes.drawing.degrade import degrade

mend()  # before diffusers: it imports torchvision, which may not have been built for this torch
from diffusers import UNet2DModel  # noqa: E402

KINDS = ("noise", "low contrast")
FULL = 1000
"""The strength that a generator is asked for to leave the damage as it is."""


def pictures(seed: int, count: int) -> tuple[Tensor, Tensor]:
    """Clean scenes and the same damaged, (count, 3, 224, 224) each, in 0..1."""
    r, clean, damaged = random.Random(seed), list[np.ndarray](), list[np.ndarray]()
    while len(clean) < count:
        scene = draw(r.getrandbits(31), flaws=(1.0, 0.0, 0.0, 0.0))
        if scene.facts.level == 0:
            clean.append(scene.image)
            damaged.append(degrade(scene.image, KINDS[len(clean) % len(KINDS)], 3, r.getrandbits(31)))
    return tensor(clean), tensor(damaged)


def tensor(images: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255


class Generator(torch.nn.Module):
    """Redraws pictures: the damaged one plus what a UNet at half its size adds."""

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
        added = self.unet(pixel_unshuffle(damaged, 2) * 2 - 1, strength).sample
        return (damaged + pixel_shuffle(added, 2)).clamp(0, 1)


def trained(clean: Tensor, damaged: Tensor, steps: int, seed: int) -> Generator:
    """A generator that can redraw a damaged picture at any strength of its damage."""
    torch.manual_seed(seed)
    generator = Generator()
    rate = torch.optim.AdamW(generator.parameters(), lr=2e-3)
    plan = torch.optim.lr_scheduler.OneCycleLR(rate, 4e-3, total_steps=steps)
    for step in range(steps):
        some = torch.randint(len(clean), (6,))
        strength = torch.randint(0, FULL + 1, (6,))
        # The ends half of the time: they are what it will be asked for.
        strength = torch.where(torch.rand(6) < 0.5, (strength > FULL // 2) * FULL, strength)
        share = (strength / FULL)[:, None, None, None]
        wanted = clean[some] + share * (damaged[some] - clean[some])
        loss = (generator(damaged[some], strength) - wanted).square().mean().sqrt()
        rate.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(generator.parameters(), 1.0)
        rate.step()
        plan.step()
        if step % 25 == 0:
            print(f"pre-training {step}/{steps}: loss {loss.item():.4f}", flush=True)
    return generator


def drawn(generator: Generator, damaged: Tensor) -> Tensor:
    return generator(damaged, torch.full((len(damaged),), FULL))


def asked(reward: Differentiable, images: Tensor) -> Tensor:
    """Whatever they show: nothing of a prompt is checked."""
    return reward(images, prompts=["a picture"] * len(images), elements=[[]] * len(images))


def exam(generator: Generator, reward: Differentiable, clean: Tensor, damaged: Tensor) -> dict[str, float]:
    """Mean expected soundness and mean severity left, on pictures that were never trained on."""
    with torch.no_grad():
        images = drawn(generator, damaged)
        scores = asked(reward, images)
        left = (images - clean).flatten(1).norm(dim=1) / (damaged - clean).flatten(1).norm(dim=1)
    return {"reward": scores.mean().item(), "truth": left.mean().item()}


def refl(
    generator: Generator, reward: Differentiable, damaged: Tensor, steps: int, rate: float, whole: bool
) -> Iterator[int]:
    """Train by the judge's gradient; yields the number of each step once it is done."""
    chosen = generator if whole else generator.unet.time_embedding
    generator.requires_grad_(False)
    chosen.requires_grad_(True)
    optimizer = torch.optim.Adam(chosen.parameters(), lr=rate)
    for step in range(1, steps + 1):
        some = torch.randint(len(damaged), (6,))
        scores = asked(reward, drawn(generator, damaged[some]))
        loss = refl_loss(scores, scale=1.0)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(chosen.parameters(), 1.0)
        optimizer.step()
        yield step


def plot(curve: list[dict[str, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    steps = [row["step"] for row in curve]
    axes.plot(steps, [row["reward"] for row in curve], label="reward: expected structure")
    axes.plot(steps, [row["truth"] for row in curve], label="truth: damage left")
    axes.set(
        xlabel="ReFL step", ylabel="held-out pictures, mean", ylim=(0, None), title="ReFL through the judge"
    )
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for curves.json and curves.png")
    parser.add_argument("--smoke", action="store_true", help="a minute's size, to see that everything runs")
    parser.add_argument("--steps", type=int, default=60, help="of ReFL, 6 pictures each")
    parser.add_argument("--pretraining", type=int, default=700, help="steps before it, 6 pictures each")
    parser.add_argument(
        "--train", choices=("strength", "all"), default="strength", help="what ReFL may change"
    )
    parser.add_argument("--rate", type=float, help="learning rate of ReFL: 1e-2 for strength, 3e-4 for all")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    if told.smoke:
        told.steps, told.pretraining = 2, 4
    told.out.mkdir(parents=True, exist_ok=True)

    whole = told.train == "all"
    rate = told.rate or (3e-4 if whole else 1e-2)
    clean, damaged = pictures(told.seed, 12 if told.smoke else 120)
    held = pictures(told.seed + 1, 3 if told.smoke else 18)
    generator = trained(clean, damaged, told.pretraining, told.seed)
    reward = Differentiable(Judge(), weights={"structure": 1})
    curve, watch = [{"step": 0, **exam(generator, reward, *held)}], Divergence(0.05)
    watch(0, curve[0]["reward"], -curve[0]["truth"])
    every = max(1, told.steps // 10)
    for step in refl(generator, reward, damaged, told.steps, rate, whole):
        if step % every and step != told.steps:
            continue
        row = {"step": step, **exam(generator, reward, *held)}
        curve.append(row)
        parted = watch(step, row["reward"], -row["truth"])
        told_more = ", REWARD AND TRUTH HAVE PARTED" if parted else ""
        print(f"step {step}: reward {row['reward']:.3f}, left {row['truth']:.3f}{told_more}", flush=True)
    (told.out / "curves.json").write_text(json.dumps(curve, indent=1) + "\n", encoding="utf-8")
    plot(curve, told.out / "curves.png")
    first, last = curve[0], curve[-1]
    print(f"reward {first['reward']:.3f} -> {last['reward']:.3f}")
    print(f"damage left {first['truth']:.3f} -> {last['truth']:.3f}")


if __name__ == "__main__":
    main()
