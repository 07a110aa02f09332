"""A small language model learns to draw what its prompt asks for, with the judge as its only teacher.

    python examples/grpo_svg.py --out runs/grpo

1. A Llama of 0.5 million parameters is trained from scratch on SVG drawings with captions that are often
   wrong, as captions from the web are. After that it writes valid SVG that shows a quarter of what the prompt
   asks for.
2. `trl.GRPOTrainer` continues the training. Each completion is rendered by resvg and scored by the embedded
   judge.
3. On prompts with combinations that were in neither training, the judge's reward and the exact truth are
   written to `curves.json` and `curves.png`. The truth is read from the SVG's own elements, without a model.

With `--weights structure=1` the reward does not depend on the prompt. This invites reward hacking: drawings
that are sound but do not show what was asked for. `judge.reward.hacking.Divergence` reports when reward and
truth diverge.
"""

from __future__ import annotations

import argparse
import json
import random
import re
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import resvg_py
import torch
from PIL import Image

from judge import Judge
from judge.backends.torchvision_compat import patch_imports
from judge.reward import Canary, Reward
from judge.reward.hacking import Divergence
from judge.reward.trl import reward_func
from judge.scenes.drawing.figures import FIGURE_BUILDERS
from judge.scenes.vocabulary import COLORS, SHAPES, pluralize

patch_imports()  # before transformers: it imports torchvision, which may not have been built for this torch
from transformers import (  # noqa: E402
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    TrainerCallback,
)

CANVAS_SIDE, CELL_SIDE = 224, 56
"""Pixels."""
COLOR_NAMES = [color for color in COLORS if color not in ("white", "brown")]
OBJECT_SIZES = (36, 44, 52)
"""Pixels."""
POSITIONS = [(x, y) for y in range(0, CANVAS_SIDE, CELL_SIDE) for x in range(0, CANVAS_SIDE, CELL_SIDE)]
"""Upper left corners of the cells in which objects are placed."""
MAX_OBJECTS = 5
"""Objects in one drawing at most."""


# -- Drawings ------------------------------------------------------------------------------------------


def shape_symbol(shape: str) -> str:
    """A shape of the drawn scenes as an SVG symbol in -1.25..1.25."""
    contours = [contour for part in FIGURE_BUILDERS[shape](random.Random(0)) for contour in part.contours]
    rings = ["M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in contour) + "Z" for contour in contours]
    path = f'<path fill-rule="evenodd" d="{"".join(rings)}"/>'
    return f'<symbol id="{shape}" viewBox="-1.25 -1.25 2.5 2.5">{path}</symbol>'


SVG_HEAD = (
    f'<svg xmlns="http://www.w3.org/2000/svg" width="{CANVAS_SIDE}" height="{CANVAS_SIDE}"><style>'
    + "".join(f".{color}{{fill:rgb{COLORS[color]}}}" for color in COLOR_NAMES)
    + "</style><defs>"
    + "".join(map(shape_symbol, SHAPES))
    + f'</defs><rect width="{CANVAS_SIDE}" height="{CANVAS_SIDE}" fill="#f2efe6"/>'
)
"""Precedes everything that the model writes."""


def object_tokens(color: str, shape: str, position: tuple[int, int], size: int) -> list[str]:
    """One object as the model writes it, in four tokens."""
    at = f' x="{position[0]}" y="{position[1]}"'
    return [f'<use href="#{shape}"', f' class="{color}"', at, f' width="{size}" height="{size}"/>']


def render(text: str) -> np.ndarray:
    """Render a drawing as pixels (224, 224, 3). Invalid SVG gives an empty canvas, as in a browser."""
    try:
        png = resvg_py.svg_to_bytes(svg_string=f"{SVG_HEAD}{text}</svg>")
    except (ValueError, RuntimeError):
        png = resvg_py.svg_to_bytes(svg_string=f"{SVG_HEAD}</svg>")
    return np.asarray(Image.open(BytesIO(bytes(png))).convert("RGB"))


def measure_truth(text: str, elements: list[str]) -> float:
    """Return the share of elements that a drawing shows, read from its SVG tags.

    An object that a later one covers by half or more does not count.
    """
    try:
        uses = ElementTree.fromstring(f"<svg>{text}</svg>").findall("use")
    except ElementTree.ParseError:
        uses = []
    boxes = [tuple(float(use.get(name, 0)) for name in ("x", "y", "width", "height")) for use in uses]
    visible = [
        f"{use.get('class')} {use.get('href', '#')[1:]}"
        for n, use in enumerate(uses)
        if all(covered_share(boxes[n], later) < 0.5 for later in boxes[n + 1 :])
    ]
    return float(np.mean([has_element(visible, element) for element in elements]))


def has_element(visible: list[str], element: str) -> bool:
    """Whether a drawing shows an element, such as "red star" or "two red stars"."""
    if element.startswith("two "):
        return any(element == describe_two(name) and visible.count(name) == 2 for name in visible)
    return element in visible


def covered_share(box: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Share of a box (x, y, width, height) that another box covers."""
    width = min(box[0] + box[2], other[0] + other[2]) - max(box[0], other[0])
    height = min(box[1] + box[3], other[1] + other[3]) - max(box[1], other[1])
    return max(0.0, width) * max(0.0, height) / (box[2] * box[3] or 1.0)


def describe_two(name: str) -> str:
    """The element for two objects of a name: "red star" gives "two red stars"."""
    color, shape = name.split()
    return f"two {color} {pluralize(shape)}"


# -- Prompts -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DrawingTask:
    """A prompt, its elements, and the objects that fulfil it."""

    caption: str
    elements: list[str]
    objects: list[tuple[str, str]]
    """Colour and shape of each object."""


def random_task(rng: random.Random) -> DrawingTask:
    """A prompt for two kinds of objects, of each one or two."""
    elements: list[str] = []
    objects: list[tuple[str, str]] = []
    for color, shape in zip(rng.sample(COLOR_NAMES, 2), rng.sample(SHAPES, 2), strict=True):
        is_pair = rng.random() < 0.25
        elements.append(describe_two(f"{color} {shape}") if is_pair else f"{color} {shape}")
        objects += [(color, shape)] * (1 + is_pair)
    caption = " and ".join(e if e.startswith("two ") else f"a {e}" for e in elements)
    return DrawingTask(caption, elements, objects)


def is_held_out(task: DrawingTask) -> bool:
    """Whether a task is kept out of both trainings: one combination of two objects in eight."""
    return sum(word_hash(color + shape) for color, shape in set(task.objects)) % 8 == 0


def word_hash(word: str) -> int:
    """A hash that is the same in every process."""
    return sum(ord(letter) * (n + 1) for n, letter in enumerate(word))


def random_tasks(seed: int, count: int, held_out: bool) -> list[DrawingTask]:
    """Tasks that are all held out, or all not."""
    rng, tasks = random.Random(seed), []
    while len(tasks) < count:
        task = random_task(rng)
        if is_held_out(task) == held_out:
            tasks.append(task)
    return tasks


def careless_drawing(rng: random.Random, objects: list[tuple[str, str]]) -> str:
    """An SVG of the objects in which about half of the drawings have a mistake."""
    drawn = []
    for color, shape in objects:
        u = rng.random()
        color = rng.choice(COLOR_NAMES) if u < 0.25 else color
        shape = rng.choice(SHAPES) if 0.2 < u < 0.45 else shape
        drawn += [(color, shape)] if u < 0.93 else []
    if rng.random() < 0.2:
        drawn.append((rng.choice(COLOR_NAMES), rng.choice(SHAPES)))
    rng.shuffle(drawn)
    may_overlap = rng.random() < 0.15
    positions = rng.choices(POSITIONS, k=len(drawn)) if may_overlap else rng.sample(POSITIONS, len(drawn))
    tokens = (
        object_tokens(*item, position, rng.choice(OBJECT_SIZES))
        for item, position in zip(drawn, positions, strict=True)
    )
    return "".join(token for object_ in tokens for token in object_)


# -- The language model --------------------------------------------------------------------------------


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer with one token for each word of a caption and each piece of an SVG."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    nouns = (*COLOR_NAMES, *SHAPES, *map(pluralize, SHAPES))
    words = ["\n", " a", " and", " two", *(f" {noun}" for noun in nouns)]
    pieces = {
        token
        for color in COLOR_NAMES
        for shape in SHAPES
        for token in object_tokens(color, shape, POSITIONS[0], OBJECT_SIZES[0])
    }
    pieces |= {
        object_tokens("red", "star", position, size)[i]
        for position in POSITIONS
        for size in OBJECT_SIZES
        for i in (2, 3)
    }
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


def model_prompt(caption: str) -> str:
    """A caption as the model reads it."""
    return f" {caption}\n"


def pretrain(tokenizer: PreTrainedTokenizerFast, steps: int, seed: int) -> LlamaForCausalLM:
    """Train a model from scratch on carelessly captioned drawings."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=128, intermediate_size=256, num_hidden_layers=3,
        num_attention_heads=4, max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id, bos_token_id=None,
    )  # fmt: skip
    model, rng = LlamaForCausalLM(config), random.Random(seed)
    corpus = random_tasks(seed, 4000, held_out=False)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for step in range(steps):
        tasks = rng.choices(corpus, k=64)
        texts = [f"{model_prompt(t.caption)}{careless_drawing(rng, t.objects)}</svg>" for t in tasks]
        batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
        labels = batch.input_ids.masked_fill(batch.attention_mask == 0, -100)
        loss = model(batch.input_ids, attention_mask=batch.attention_mask, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        if step % 50 == 0:
            print(f"pre-training {step}/{steps}: loss {loss.item():.3f}", flush=True)
    return model


# -- The training --------------------------------------------------------------------------------------


class Evaluation(TrainerCallback):
    """Scores held-out prompts by the judge and by the truth, and checks for signs of reward hacking.

    Args:
        tokenizer: of the model.
        reward: the judge's reward.
        tasks: held-out tasks.
        every: steps between two evaluations.
        canary: checked at each evaluation.
    """

    def __init__(
        self, tokenizer: Any, reward: Reward, tasks: list[DrawingTask], every: int, canary: Canary
    ) -> None:
        self.tokenizer, self.reward, self.tasks, self.every = tokenizer, reward, tasks, every
        self.curve: list[dict[str, float]] = []
        self.canary, self.divergence = canary, Divergence(0.05)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.evaluate(0, model)

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self.evaluate(state.global_step, model)

    def evaluate(self, step: int, model: Any) -> None:
        """Add a point to the curve, and print it."""
        if self.curve and self.curve[-1]["step"] == step:
            return
        texts = self.generate(model)
        results = self.reward(
            prompts=[task.caption for task in self.tasks],
            images=map(render, texts),
            metadata=[{"elements": task.elements} for task in self.tasks],
        )
        scored = [result for result in results if result.score is not None]
        pairs = zip(texts, self.tasks, strict=True)
        row = {
            "step": step,
            "reward": float(np.mean([result.score for result in scored])),
            "truth": float(np.mean([measure_truth(text, task.elements) for text, task in pairs])),
            **{name: float(np.mean([r.parts[name] for r in scored])) for name in scored[0].parts},
            "unscored": len(results) - len(scored),
        }
        self.curve.append(row)
        drift = self.canary(step)
        has_diverged = self.divergence(step, row["reward"], row["truth"])
        line = f"step {step}: reward {row['reward']:.3f}, truth {row['truth']:.3f}"
        line += f", canary moved by {drift.largest:.1e}" if drift else ""
        print(line + (", REWARD AND TRUTH DIVERGE" if has_diverged else ""), flush=True)

    def generate(self, model: Any) -> list[str]:
        """Return one drawing for each task, sampled with a fixed seed."""
        prompts = [model_prompt(task.caption) for task in self.tasks]
        batch = self.tokenizer(prompts, return_tensors="pt", padding=True)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            generated = model.generate(
                batch.input_ids,
                attention_mask=batch.attention_mask,
                do_sample=True,
                max_new_tokens=4 * MAX_OBJECTS + 1,
            )
        completions = generated[:, batch.input_ids.shape[1] :]
        return self.tokenizer.batch_decode(completions, skip_special_tokens=True)


def train(
    model: Any,
    tokenizer: Any,
    reward: Reward,
    evaluation: Evaluation,
    out: Path,
    steps: int,
    batch: int,
    seed: int,
) -> None:
    """Train the model by GRPO on prompts that are not held out."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    rows = [
        {"prompt": model_prompt(task.caption), "caption": task.caption, "elements": task.elements}
        for task in random_tasks(seed + 1, 2000, held_out=False)
    ]
    options = GRPOConfig(
        output_dir=str(out), max_steps=steps, learning_rate=1e-3, lr_scheduler_type="constant_with_warmup",
        warmup_steps=3, per_device_train_batch_size=batch,
        # A judge is never quite certain. With rewards divided by the spread of their own group, differences
        # of a few hundredths between drawings that are all wrong would count as much as right and wrong in
        # other groups.
        num_generations=batch // 8, scale_rewards="batch", max_completion_length=4 * MAX_OBJECTS + 1,
        temperature=1.0, beta=0.0, seed=seed, use_cpu=True, bf16=False, gradient_checkpointing=False,
        logging_steps=5, save_strategy="no", report_to="none", disable_tqdm=True,
    )  # fmt: skip
    GRPOTrainer(
        model=model,
        reward_funcs=reward_func(reward, render=render, prompt="caption"),
        args=options,
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        callbacks=[evaluation],
    ).train()


def plot(curve: list[dict[str, float]], path: Path) -> None:
    """Write reward and truth over the steps as an image."""
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


def parse_weights(text: str) -> dict[str, float]:
    """Parse "alignment=1,structure=.5"."""
    return {name: float(value) for name, value in re.findall(r"(\w+)=([\d.]+)", text)}


def parse_options() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for curves.json and curves.png")
    parser.add_argument("--smoke", action="store_true", help="a run of one minute, to test the example")
    parser.add_argument("--steps", type=int, default=120, help="GRPO steps, 8 prompts x 16 completions each")
    parser.add_argument("--pretraining", type=int, default=500, help="steps before, 64 drawings each")
    parser.add_argument(
        "--weights", default="score=1", help="parts of the reward, for example alignment=1,structure=.5"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.smoke:
        options.steps, options.pretraining = 2, 40
    return options


def main() -> None:
    """Run the example."""
    options = parse_options()
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer, reward = build_tokenizer(), Reward(Judge(), weights=parse_weights(options.weights))
    model = pretrain(tokenizer, options.pretraining, options.seed)
    test_tasks = random_tasks(options.seed + 2, 4 if options.smoke else 96, held_out=True)
    canary_tasks = random_tasks(options.seed + 3, 2 if options.smoke else 8, held_out=True)
    rng = random.Random(options.seed)
    canary = Canary(
        reward,
        prompts=[task.caption for task in canary_tasks],
        images=[render(careless_drawing(rng, task.objects)) for task in canary_tasks],
        every=max(1, options.steps // 4),
    )
    evaluation = Evaluation(tokenizer, reward, test_tasks, every=max(1, options.steps // 8), canary=canary)
    batch = 16 if options.smoke else 128
    train(model, tokenizer, reward, evaluation, options.out, options.steps, batch, options.seed)
    (options.out / "curves.json").write_text(json.dumps(evaluation.curve, indent=1) + "\n", encoding="utf-8")
    plot(evaluation.curve, options.out / "curves.png")
    first, last = evaluation.curve[0], evaluation.curve[-1]
    print(f"reward {first['reward']:.3f} -> {last['reward']:.3f}")
    print(f"truth {first['truth']:.3f} -> {last['truth']:.3f}")
    alarms = evaluation.divergence.alarms or "none"
    print(f"{reward.unscored} of {reward.requested} images unscored; alarms: {alarms}")


if __name__ == "__main__":
    main()
