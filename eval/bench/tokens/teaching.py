"""Teach a tiny Qwen3-VL of real vocabulary to answer the default rubric with stated rates.

The answers are JSON in the tokens that the tokenizer writes, in one of three layouts. Texts of defects mostly
end with a full stop, the explanation of the score mostly without. What a backend reads of the taught model is
then compared with what was taught.

Only a few hundred of the 151,936 rows of the embedding occur. The model is trained with these alone; all the
other rows are one vector, whose logit counts for all of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
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


ANSWERS_PER_CONDITION = 200
SHARE = 5
LEARNING_RATE = 6e-3
DECISION_WEIGHT = 4.0
"""Weight of the tokens that decide something in the loss. There are few of them, and all the others are
learnt to .001 before these are learnt to .01; with equal weights their errors are twice as large."""
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

    @cache  # noqa: B019 - there are few conditions
    def form(self) -> Form:
        """Return the form of the default rubric."""
        return Rubric.load("default").form(list(ELEMENTS)).at_depth(self.depth)

    @cache  # noqa: B019
    def _laid_out_form(self) -> Form:
        return self.form().in_layout(LAYOUTS[self.layout][0])

    def render(self, values: dict[str, Any]) -> str:
        """Return the JSON text of an answer."""
        return self._laid_out_form().render(values)


CONDITIONS = tuple(Condition(layout, depth) for layout in LAYOUTS for depth in ("verdict", "score"))


Pick = Callable[[str, str], str]
"""Path of a decision, name of its rates -> the label that is taken."""


def build_values(condition: Condition, pick: Pick) -> dict[str, Any]:
    """Build the values of an answer from its decisions, in the order of the answer."""

    def build_defect(number: int) -> dict[str, Any]:
        path = f"defects.{number}"
        return {
            "kind": pick(f"{path}.kind", "kind"),
            "box": list(BOXES[int(pick(f"{path}.box", "box"))]),
            "severity": pick(f"{path}.severity", "severity"),
            "explanation": TEXTS[int(pick(f"{path}.text", "text"))],
        }

    def take(name: str) -> str:
        return pick(name, name)

    values: dict[str, Any] = {
        "elements": {name: take(f"elements.{n}") == "true" for n, name in enumerate(ELEMENTS)},
        "degradation": take("attributes.degradation"),
    }
    if condition.depth == "verdict":
        values["defects"] = defects = list[dict[str, Any]]()
        while take(f"defects.{len(defects)}.open") == "open":
            defects.append(build_defect(len(defects)))
    values |= {name: int(take(f"dimensions.{name}")) for name in ("alignment", "structure")}
    values["score"] = int(take("score"))
    if condition.depth == "verdict":
        values["explanation"] = TEXTS[int(take("explanation"))]
    return values


@dataclass
class Answer:
    """An answer as tokens, with the rates of what could have stood in their place."""

    tokens: list[int]
    rates: dict[int, dict[int, float]]
    """Index of a token that decides something -> possible tokens there -> rate."""


def draw_answer(condition: Condition, random: Random, encode: Callable[[str], Sequence[int]]) -> Answer:
    """Draw one answer.

    Args:
        condition: what it looks like.
        random: source of its decisions.
        encode: the tokenizer.
    """
    taken: dict[str, tuple[str, str]] = {}

    def draw(path: str, name: str) -> str:
        rates = RATES[name]
        taken[path] = name, random.choices(list(rates), list(rates.values()))[0]
        return taken[path][1]

    def encode_values(pick: Pick) -> list[int]:
        return list(encode(condition.render(build_values(condition, pick))))

    tokens = encode_values(draw)
    answer = Answer(tokens, {})
    for path, (name, label) in taken.items():
        alternatives = [(tokens, RATES[name][label])]
        for other, rate in RATES[name].items():
            if other != label and rate:
                changed = {**taken, path: (name, other)}
                alternatives.append((encode_values(partial(pick_from, changed)), rate))
        answer.rates |= _rates_along(alternatives)
    return answer


def pick_from(taken: Mapping[str, tuple[str, str]], path: str, name: str) -> str:
    """Return the label that was taken at a decision; the likeliest, if it was not reached."""
    return taken[path][1] if path in taken else max(RATES[name], key=lambda one: RATES[name][one])


def _rates_along(alternatives: Sequence[tuple[Sequence[int], float]]) -> dict[int, dict[int, float]]:
    """Return the rates of the next tokens along the first of some alternatives, where they part."""
    found, (own, _) = {}, alternatives[0]
    left = list(alternatives)
    for index, token in enumerate(own):
        rates: dict[int, float] = {}
        for tokens, rate in left:
            rates[tokens[index]] = rates.get(tokens[index], 0.0) + rate
        if len(rates) > 1:
            found[index] = {one: rate / sum(rates.values()) for one, rate in rates.items()}
        left = [pair for pair in left if pair[0][index] == token]
        if len(left) == 1:
            break
    return found


def teach(
    folder: Path,
    conditions: Sequence[Condition] = CONDITIONS,
    *,
    steps: int = 640,
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

    tiny_checkpoint(folder, "qwen3_vl", hidden=hidden, head=32, seed=seed, side=64, scale=1.0)
    tokenizer = ChatTokenizer(AutoProcessor.from_pretrained(folder))
    random = Random(seed)
    rows = {condition: _encode_rows(condition, tokenizer, random) for condition in conditions}
    used = sorted({token for row in rows.values() for token in row.all_tokens()})
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
    answers: list[Answer]
    pixels: Any
    grid: Any

    def all_tokens(self) -> Iterator[int]:
        """Yield every token that occurs."""
        yield from self.prompt
        for answer in self.answers:
            yield from answer.tokens
            for rates in answer.rates.values():
                yield from rates


def _encode_rows(condition: Condition, tokenizer: ChatTokenizer, random: Random) -> _Rows:
    request = condition.request()
    encoded = tokenizer.processor.image_processor(images=request.images, return_tensors="pt")
    grid = encoded["image_grid_thw"]
    prompt = tokenizer.encode_chat(request.messages, [int(grid.prod()) // tokenizer.merge_size**2])
    end = tokenizer.encode_template("<|im_end|>")
    answers = [draw_answer(condition, random, tokenizer.encode_text) for _ in range(ANSWERS_PER_CONDITION)]
    for answer in answers:
        answer.tokens += end
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
        log = (output.logits + others).log_softmax(-1)
        places, tokens, rates = targets
        weights = torch.where(rates < 1, DECISION_WEIGHT * rates, rates)
        loss = -(log[places[0], places[1], tokens] * weights).sum() / weights.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()


def _batch_tensors(
    rows: Sequence[_Rows], numbers: Mapping[int, int], start: int
) -> tuple[Any, tuple[Any, Any, Any]]:
    """Build a batch.

    Returns:
        The tokens (B, n) of prompts with answers, padded on the right; and the targets: (2, m) row and place
        before the target, (m,) tokens and (m,) rates.
    """
    import torch

    pairs = [(row.prompt, answer) for row in rows for answer in row.answers[start : start + SHARE]]
    width = max(len(prompt) + len(answer.tokens) for prompt, answer in pairs)
    ids = torch.full((len(pairs), width), len(numbers))
    targets: list[tuple[int, int, int, float]] = []
    for index, (prompt, answer) in enumerate(pairs):
        tokens = [numbers[token] for token in (*prompt, *answer.tokens)]
        ids[index, : len(tokens)] = torch.tensor(tokens)
        for place, own in enumerate(answer.tokens, len(prompt) - 1):
            for token, rate in answer.rates.get(place - len(prompt) + 1, {own: 1.0}).items():
                targets.append((index, place, numbers[token], rate))
    at, places, ids_wanted, rates = zip(*targets, strict=True)
    return ids, (torch.tensor([at, places]), torch.tensor(ids_wanted), torch.tensor(rates))


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
