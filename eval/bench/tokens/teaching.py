"""Teach a tiny Qwen3-VL of real vocabulary to answer the default rubric with stated rates.

The answers are JSON in the tokens that the tokenizer writes, in one of three layouts. Texts of defects mostly
end with a full stop, the explanation of the score mostly without. What a backend reads of the taught model is
then compared with what was taught.

Only a few hundred of the 151,936 rows of the embedding occur. The model is trained with these alone; all the
other rows are one vector, whose logit counts for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from eval.bench.tokens.checkpoints import tiny_checkpoint
from judge.backends.base import Request
from judge.backends.decoding.chat_tokenizer import ChatTokenizer
from judge.backends.torchvision_compat import patch_imports
from judge.rubrics.form import Form
from judge.rubrics.layouts import LAYOUTS
from judge.rubrics.rubric import Rubric
from judge.types import Depth

ELEMENTS = ("a red cube", "two cats")
BOXES = ((100, 250, 430, 700), (350, 40, 900, 610))
TEXTS = ("Its edge is smeared.", "the rim is torn")
RATES: dict[str, dict[str, float]] = {
    "elements.0": {"true": 0.7, "false": 0.3},
    "elements.1": {"true": 0.35, "false": 0.65},
    "attributes.degradation": {"none": 0.7, "blur": 0.3},
    "defects.0.open": {"open": 0.5, "close": 0.5},
    "defects.1.open": {"open": 0.3, "close": 0.7},
    "defects.2.open": {"open": 0.0, "close": 1.0},
    "kind": {"smeared": 0.6, "missing part": 0.25, "missing object": 0.15},
    "box": {"0": 0.65, "1": 0.35},
    "severity": {"moderate": 0.7, "critical": 0.3},
    "text": {"0": 0.65, "1": 0.35},
    "explanation": {"0": 0.35, "1": 0.65},
    "dimensions.alignment": {"2": 0.2, "3": 0.5, "4": 0.3},
    "dimensions.structure": {"1": 0.1, "3": 0.3, "5": 0.6},
    "score": {"1": 0.1, "2": 0.2, "3": 0.3, "4": 0.3, "5": 0.1},
}
"""Path of a blank, or what is drawn for every defect -> label -> rate. No draw depends on another."""
DEFECT_COUNT = 0.35 + 2 * 0.15
"""Mean number of defects under these rates."""


ANSWERS_PER_CONDITION = 400
SHARE = 5
LEARNING_RATE = 5e-3
IGNORED = -100
VOCABULARY_SIZE = 151936


@dataclass(frozen=True)
class Condition:
    """What an answer of the taught model looks like; the prompt says it."""

    layout: str
    depth: Depth = "verdict"

    def request(self) -> Request:
        """Return the request that the model answers so."""
        from PIL import Image

        text = f"Judge the image. Write {self.layout} JSON, {self.depth}."
        messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
        return Request([Image.new("RGB", (64, 64), "gray")], messages, self.form())

    def form(self) -> Form:
        """Return the form of the default rubric."""
        return Rubric.load("default").form(list(ELEMENTS)).at_depth(self.depth)

    def render(self, values: dict[str, Any]) -> str:
        """Return the JSON text of an answer."""
        return self.form().in_layout(LAYOUTS[self.layout][0]).render(values)


CONDITIONS = tuple(Condition(layout, depth) for layout in LAYOUTS for depth in ("verdict", "score"))


class AnswerSource:
    """Draws answers. Each 20 draws of one kind have exactly their rates, in random order.

    Args:
        random: source of the order.
    """

    def __init__(self, random: Random) -> None:
        self.random = random
        self._waiting: dict[tuple[Condition, str], list[str]] = {}

    def draw(self, condition: Condition) -> str:
        """Draw one answer."""

        def label(name: str) -> str:
            waiting = self._waiting.setdefault((condition, name), [])
            if not waiting:
                waiting += [one for one, rate in RATES[name].items() for _ in range(round(20 * rate))]
                self.random.shuffle(waiting)
            return waiting.pop()

        def defect() -> dict[str, Any]:
            text = TEXTS[int(label("text"))]
            box = list(BOXES[int(label("box"))])
            return {"kind": label("kind"), "box": box, "severity": label("severity"), "explanation": text}

        values: dict[str, Any] = {
            "elements": {name: label(f"elements.{n}") == "true" for n, name in enumerate(ELEMENTS)},
            "degradation": label("attributes.degradation"),
        }
        if condition.depth == "verdict":
            values["defects"] = defects = list[dict[str, Any]]()
            while label(f"defects.{len(defects)}.open") == "open":
                defects.append(defect())
        values |= {name: int(label(f"dimensions.{name}")) for name in ("alignment", "structure")}
        values["score"] = int(label("score"))
        if condition.depth == "verdict":
            values["explanation"] = TEXTS[int(label("explanation"))]
        return condition.render(values)


def teach(
    folder: Path,
    conditions: Sequence[Condition] = CONDITIONS,
    *,
    steps: int = 300,
    hidden: int = 64,
    seed: int = 0,
) -> Path:
    """Write a taught checkpoint.

    Args:
        folder: where to write it.
        conditions: what to teach.
        steps: steps of training.
        hidden: width of the model, a multiple of 64.
        seed: of the weights and of the answers.

    Returns:
        The folder.
    """
    patch_imports()
    import torch
    from transformers import AutoProcessor

    tiny_checkpoint(folder, "qwen3_vl", hidden=hidden, seed=seed, side=64, scale=1.0)
    tokenizer = ChatTokenizer(AutoProcessor.from_pretrained(folder))
    random = Random(seed)
    source = AnswerSource(random)
    rows = {condition: _encode_rows(condition, tokenizer, source) for condition in conditions}
    used = sorted({token for row in rows.values() for ids in (row.prompt, *row.answers) for token in ids})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _compact_model(folder, used)
        _train(model, list(rows.values()), used, steps)
    _write_weights(model, folder, used)
    return folder


@dataclass
class _Rows:
    """The answers to one prompt."""

    prompt: list[int]
    answers: list[list[int]]
    pixels: Any
    grid: Any


def _encode_rows(condition: Condition, tokenizer: ChatTokenizer, source: AnswerSource) -> _Rows:
    request = condition.request()
    encoded = tokenizer.processor.image_processor(images=request.images, return_tensors="pt")
    grid = encoded["image_grid_thw"]
    prompt = tokenizer.encode_chat(request.messages, [int(grid.prod()) // tokenizer.merge_size**2])
    end = tokenizer.encode_template("<|im_end|>")
    answers = [[*tokenizer.encode_text(source.draw(condition)), *end] for _ in range(ANSWERS_PER_CONDITION)]
    return _Rows(prompt, answers, encoded["pixel_values"], grid)


def _compact_model(folder: Path, used: Sequence[int]) -> Any:
    """Return the checkpoint with the used rows of its vocabulary, and one row more for all others."""
    from transformers import AutoConfig, AutoModelForImageTextToText

    config = AutoConfig.from_pretrained(folder)
    config.text_config.vocab_size = len(used) + 1
    config.text_config.initializer_range = 0.1
    for name in ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id"):
        token = getattr(config, name)
        setattr(config, name, used.index(token) if token in used else len(used))
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        setattr(config.text_config, name, None)
    return AutoModelForImageTextToText.from_config(config).train()


def _train(model: Any, rows: Sequence[_Rows], used: Sequence[int], steps: int) -> None:
    """Train on the answers with cross-entropy; a batch holds answers to every prompt."""
    import torch

    numbers = {token: index for index, token in enumerate(used)}
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    vocabulary_size = VOCABULARY_SIZE - len(used)
    others = torch.zeros(len(used) + 1)
    others[-1] = math.log(vocabulary_size)
    for step in range(steps):
        start = step * SHARE % ANSWERS_PER_CONDITION
        ids, targets = _batch_tensors(rows, numbers, start)
        output = model(
            input_ids=ids,
            mm_token_type_ids=(ids == model.config.image_token_id).int(),
            pixel_values=torch.cat([row.pixels for row in rows for _ in range(SHARE)]),
            image_grid_thw=torch.cat([row.grid for row in rows for _ in range(SHARE)]),
            attention_mask=torch.ones_like(ids),
        )
        logits = output.logits[:, :-1] + others
        loss = torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), targets[:, 1:].flatten(), ignore_index=IGNORED
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()


def _batch_tensors(rows: Sequence[_Rows], numbers: Mapping[int, int], start: int) -> tuple[Any, Any]:
    """Return the tokens (B, n) of prompts with answers, padded on the right, and the targets."""
    import torch

    pairs = [(row.prompt, answer) for row in rows for answer in row.answers[start : start + SHARE]]
    width = max(len(prompt) + len(answer) for prompt, answer in pairs)
    ids = torch.full((len(pairs), width), len(numbers))
    targets = torch.full((len(pairs), width), IGNORED)
    for index, (prompt, answer) in enumerate(pairs):
        tokens = torch.tensor([numbers[token] for token in (*prompt, *answer)])
        ids[index, : len(tokens)] = tokens
        targets[index, len(prompt) : len(tokens)] = tokens[len(prompt) :]
    return ids, targets


def _write_weights(model: Any, folder: Path, used: Sequence[int]) -> None:
    """Write the trained weights with the rows of the whole vocabulary."""
    import torch
    from transformers import AutoModelForImageTextToText

    whole = AutoModelForImageTextToText.from_pretrained(folder)
    weights = model.state_dict()
    name = "model.language_model.embed_tokens.weight"
    compact = weights[name]
    table = compact[-1].repeat(VOCABULARY_SIZE, 1)
    table[torch.tensor(used)] = compact[:-1]
    weights |= {key: table for key in (name, "lm_head.weight")}
    whole.load_state_dict(weights)
    config = (folder / "config.json").read_text("utf-8")
    whole.save_pretrained(folder)
    (folder / "config.json").write_text(config, "utf-8")
