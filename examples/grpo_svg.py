"""A tiny language model learns to draw what it is asked for, with the judge as its only teacher.

    python examples/grpo_svg.py --out runs/grpo

1. A Llama of 0.5 million parameters is trained from nothing on captioned SVGs whose captions are often wrong,
   as captions from the web are. It then writes sound SVG, and a quarter of what it is asked for.
2. `trl.GRPOTrainer` goes on with it. Each completion is rendered by resvg and scored by the embedded judge.
3. On prompts of combinations that were in neither training, the judge's reward and the exact truth are
   written to `curves.json` and `curves.png`. The truth is read from the SVG's own elements, by no model.

With `--weights structure=1` the reward no longer asks for the prompt, which invites hacking: drawings
that are sound, and not what was asked for. The kit's `Divergence` watches for the two drifting apart.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import resvg_py
import torch

from judge import Judge
from judge.backends.torchvision_compat import mend
from judge.reward import Canary, Reward
from judge.reward.hacking import Divergence
from judge.reward.trl import reward_func
from judge.scenes.drawing.figures import BUILDERS
from judge.scenes.vocabulary import COLORS, SHAPES, plural

mend()  # before transformers: it imports torchvision, which may not have been built for this torch
from transformers import (  # noqa: E402
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    TrainerCallback,
)

SIDE, CELL = 224, 56
NAMES = [color for color in COLORS if color not in ("white", "brown")]
SIZES = (36, 44, 52)
SPOTS = [(x, y) for y in range(0, SIDE, CELL) for x in range(0, SIDE, CELL)]
MOST = 5
"""Objects in one drawing."""


# ---------------------------------------------------------------------------------- what is drawn, and how


def symbol(kind: str) -> str:
    """One shape of the scenes' own, as an SVG symbol in -1.25..1.25."""
    contours = [contour for part in BUILDERS[kind](random.Random(0)) for contour in part.contours]
    rings = ["M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in contour) + "Z" for contour in contours]
    path = f'<path fill-rule="evenodd" d="{"".join(rings)}"/>'
    return f'<symbol id="{kind}" viewBox="-1.25 -1.25 2.5 2.5">{path}</symbol>'


HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{SIDE}" height="{SIDE}"><style>'
    + "".join(f".{color}{{fill:rgb{COLORS[color]}}}" for color in NAMES)
    + "</style><defs>"
    + "".join(map(symbol, SHAPES))
    + f'</defs><rect width="{SIDE}" height="{SIDE}" fill="#f2efe6"/>'
)
"""What stands before everything that the model writes."""


def thing(color: str, kind: str, spot: tuple[int, int], size: int) -> list[str]:
    """One object as the model writes it, in four tokens."""
    at = f' x="{spot[0]}" y="{spot[1]}"'
    return [f'<use href="#{kind}"', f' class="{color}"', at, f' width="{size}" height="{size}"/>']


def render(text: str) -> np.ndarray:
    """The drawing as pixels (224, 224, 3). What is no SVG shows nothing, as in a browser."""
    from io import BytesIO

    from PIL import Image

    try:
        png = resvg_py.svg_to_bytes(svg_string=f"{HEAD}{text}</svg>")
    except (ValueError, RuntimeError):
        png = resvg_py.svg_to_bytes(svg_string=f"{HEAD}</svg>")
    return np.asarray(Image.open(BytesIO(bytes(png))).convert("RGB"))


def truth(text: str, elements: list[str]) -> float:
    """The share of elements that the SVG holds, read from its own tags; an object that a later one covers by
    half or more is not there."""
    try:
        uses = ElementTree.fromstring(f"<svg>{text}</svg>").findall("use")
    except ElementTree.ParseError:
        uses = []
    boxes = [tuple(float(use.get(name, 0)) for name in ("x", "y", "width", "height")) for use in uses]
    seen = [
        f"{use.get('class')} {use.get('href', '#')[1:]}"
        for n, use in enumerate(uses)
        if all(covered(boxes[n], later) < 0.5 for later in boxes[n + 1 :])
    ]
    return float(np.mean([holds(seen, element) for element in elements]))


def holds(seen: list[str], element: str) -> bool:
    if element.startswith("two "):
        return any(element == two(name) and seen.count(name) == 2 for name in seen)
    return element in seen


def covered(box: tuple[float, ...], other: tuple[float, ...]) -> float:
    width = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    height = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    return max(0.0, width) * max(0.0, height) / (box[2] * box[3] or 1.0)


def two(name: str) -> str:
    color, kind = name.split()
    return f"two {color} {plural(kind)}"


# --------------------------------------------------------------------------------------------- the prompts


def task(r: random.Random) -> tuple[str, list[str], list[tuple[str, str]]]:
    """Caption, elements, and the objects that would fulfil it."""
    elements: list[str] = []
    things: list[tuple[str, str]] = []
    for color, kind in zip(r.sample(NAMES, 2), r.sample(SHAPES, 2), strict=True):
        twice = r.random() < 0.25
        elements.append(two(f"{color} {kind}") if twice else f"{color} {kind}")
        things += [(color, kind)] * (1 + twice)
    caption = " and ".join(e if e.startswith("two ") else f"a {e}" for e in elements)
    return caption, elements, things


def held_out(things: list[tuple[str, str]]) -> bool:
    """One combination of two objects in eight is kept from both trainings."""
    return sum(hash_of(color + kind) for color, kind in set(things)) % 8 == 0


def hash_of(word: str) -> int:
    return sum(ord(letter) * (n + 1) for n, letter in enumerate(word))


def tasks(seed: int, count: int, kept: bool) -> list[tuple[str, list[str], list[tuple[str, str]]]]:
    r, found = random.Random(seed), []
    while len(found) < count:
        one = task(r)
        if held_out(one[2]) == kept:
            found.append(one)
    return found


def careless(r: random.Random, things: list[tuple[str, str]]) -> str:
    """An SVG for a caption by somebody who gets about half of it right."""
    drawn = []
    for color, kind in things:
        u = r.random()
        color = r.choice(NAMES) if u < 0.25 else color
        kind = r.choice(SHAPES) if 0.2 < u < 0.45 else kind
        drawn += [(color, kind)] if u < 0.93 else []
    if r.random() < 0.2:
        drawn.append((r.choice(NAMES), r.choice(SHAPES)))
    r.shuffle(drawn)
    spots = r.choices(SPOTS, k=len(drawn)) if r.random() < 0.15 else r.sample(SPOTS, len(drawn))
    written = (thing(*what, spot, r.choice(SIZES)) for what, spot in zip(drawn, spots, strict=True))
    return "".join(token for tokens in written for token in tokens)


# -------------------------------------------------------------------------------------- the language model


def tokenizer() -> PreTrainedTokenizerFast:
    """One token for each word of a caption and each piece of an SVG."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    words = ["\n", " a", " and", " two", *(f" {w}" for w in (*NAMES, *SHAPES, *map(plural, SHAPES)))]
    pieces = {token for color in NAMES for kind in SHAPES for token in thing(color, kind, SPOTS[0], SIZES[0])}
    pieces |= {thing("red", "star", spot, size)[i] for spot in SPOTS for size in SIZES for i in (2, 3)}
    raw = Tokenizer(models.WordLevel({"<pad>": 0, "</svg>": 1, "<unk>": 2}, unk_token="<unk>"))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.Whitespace(), decoders.Fuse()
    raw.add_tokens([AddedToken(token, normalized=False) for token in [*words, *sorted(pieces)]])
    return PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        eos_token="</svg>",
        unk_token="<unk>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def question(caption: str) -> str:
    return f" {caption}\n"


def pretrained(words: PreTrainedTokenizerFast, steps: int, seed: int) -> LlamaForCausalLM:
    """A model that has read carelessly captioned drawings for a while."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(words), hidden_size=128, intermediate_size=256, num_hidden_layers=3,
        num_attention_heads=4, max_position_embeddings=64,
        pad_token_id=words.pad_token_id, eos_token_id=words.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    model, r = LlamaForCausalLM(config), random.Random(seed)
    corpus = tasks(seed, 4000, kept=False)
    rate = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    plan = torch.optim.lr_scheduler.OneCycleLR(rate, 2e-3, total_steps=steps)
    for step in range(steps):
        some = r.choices(corpus, k=64)
        texts = [f"{question(caption)}{careless(r, things)}</svg>" for caption, _, things in some]
        batch = words(texts, return_tensors="pt", padding=True, padding_side="right")
        labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
        loss = model(batch.input_ids, attention_mask=batch.attention_mask, labels=labels).loss
        rate.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        rate.step()
        plan.step()
        if step % 50 == 0:
            print(f"pre-training {step}/{steps}: loss {loss.item():.3f}", flush=True)
    return model


# ------------------------------------------------------------------------------------------- the training


class Exam(TrainerCallback):
    """Scores held-out prompts by the judge and by the truth, and lets the kit look at both."""

    def __init__(self, words: Any, reward: Reward, prompts: list, every: int, canary: Canary) -> None:
        self.words, self.reward, self.prompts, self.every = words, reward, prompts, every
        self.curve: list[dict[str, float]] = []
        self.canary, self.divergence = canary, Divergence(0.05)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.sit(0, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self.sit(state.global_step, model)

    def sit(self, step: int, model: Any) -> None:
        if self.curve and self.curve[-1]["step"] == step:
            return
        captions = [question(caption) for caption, _, _ in self.prompts]
        batch = self.words(captions, return_tensors="pt", padding=True)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            drawn = model.generate(
                batch.input_ids,
                attention_mask=batch.attention_mask,
                do_sample=True,
                max_new_tokens=4 * MOST + 1,
            )
        texts = self.words.batch_decode(drawn[:, batch.input_ids.shape[1] :], skip_special_tokens=True)
        results = self.reward(
            prompts=[caption for caption, _, _ in self.prompts],
            images=map(render, texts),
            metadata=[{"elements": elements} for _, elements, _ in self.prompts],
        )
        scored = [result for result in results if result.score is not None]
        row = {
            "step": step,
            "reward": float(np.mean([result.score for result in scored])),
            "truth": float(np.mean([truth(t, e) for t, (_, e, _) in zip(texts, self.prompts, strict=True)])),
            **{name: float(np.mean([r.parts[name] for r in scored])) for name in scored[0].parts},
            "unscored": len(results) - len(scored),
        }
        self.curve.append(row)
        drift = self.canary(step)
        parted = self.divergence(step, row["reward"], row["truth"])
        told = f"step {step}: reward {row['reward']:.3f}, truth {row['truth']:.3f}"
        told += f", canary moved by {drift.largest:.1e}" if drift else ""
        print(told + (", REWARD AND TRUTH HAVE PARTED" if parted else ""), flush=True)


def train(
    model: Any, words: Any, reward: Reward, exam: Exam, out: Path, steps: int, batch: int, seed: int
) -> None:
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    rows = [{"prompt": question(c), "caption": c, "elements": e} for c, e, _ in tasks(seed + 1, 2000, False)]
    judged = reward_func(reward, render=render, prompt="caption")
    options = GRPOConfig(
        output_dir=str(out), max_steps=steps, learning_rate=1e-3, lr_scheduler_type="constant_with_warmup",
        warmup_steps=3, per_device_train_batch_size=batch,
        # A judge is never quite sure: divided by a group's own spread, the hundredths between drawings that
        # are all wrong would count as much as right and wrong elsewhere.
        num_generations=batch // 8, scale_rewards="batch", max_completion_length=4 * MOST + 1,
        temperature=1.0, beta=0.0, seed=seed, use_cpu=True, bf16=False, gradient_checkpointing=False,
        logging_steps=5, save_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    GRPOTrainer(
        model=model,
        reward_funcs=judged,
        args=options,
        train_dataset=Dataset.from_list(rows),
        processing_class=words,
        callbacks=[exam],
    ).train()


def plot(curve: list[dict[str, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    steps = [row["step"] for row in curve]
    axes.plot(steps, [row["reward"] for row in curve], label="reward: the judge's score")
    axes.plot(steps, [row["truth"] for row in curve], label="truth: elements in the SVG")
    axes.set(
        xlabel="GRPO step", ylabel="held-out prompts, mean", ylim=(0, 1), title="GRPO on a tiny writer of SVG"
    )
    axes.legend()
    figure.savefig(path, dpi=120, bbox_inches="tight")


def weights_of(text: str) -> dict[str, float]:
    return {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", text)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for curves.json and curves.png")
    parser.add_argument("--smoke", action="store_true", help="a minute's size, to see that everything runs")
    parser.add_argument("--steps", type=int, default=120, help="of GRPO, 8 prompts with 16 completions each")
    parser.add_argument("--pretraining", type=int, default=500, help="steps before it, 64 drawings each")
    parser.add_argument(
        "--weights", default="score=1", help="parts of the reward, for example alignment=1,structure=.5"
    )
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args()
    if told.smoke:
        told.steps, told.pretraining = 2, 40
    told.out.mkdir(parents=True, exist_ok=True)

    words, reward = tokenizer(), Reward(Judge(), weights=weights_of(told.weights))
    model = pretrained(words, told.pretraining, told.seed)
    exams = tasks(told.seed + 2, 4 if told.smoke else 96, kept=True)
    frozen = tasks(told.seed + 3, 2 if told.smoke else 8, kept=True)
    r = random.Random(told.seed)
    canary = Canary(
        reward,
        prompts=[caption for caption, _, _ in frozen],
        images=[render(careless(r, things)) for _, _, things in frozen],
        every=max(1, told.steps // 4),
    )
    exam = Exam(words, reward, exams, every=max(1, told.steps // 8), canary=canary)
    train(model, words, reward, exam, told.out, told.steps, 16 if told.smoke else 128, told.seed)
    (told.out / "curves.json").write_text(json.dumps(exam.curve, indent=1) + "\n", encoding="utf-8")
    plot(exam.curve, told.out / "curves.png")
    first, last = exam.curve[0], exam.curve[-1]
    print(f"reward {first['reward']:.3f} -> {last['reward']:.3f}")
    print(f"truth {first['truth']:.3f} -> {last['truth']:.3f}")
    alarms = exam.divergence.alarms or "none"
    print(f"{reward.unscored} of {reward.asked} pictures unscored; alarms: {alarms}")


if __name__ == "__main__":
    main()
