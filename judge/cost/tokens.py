"""How many tokens one image, its prompt and its answer take."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from judge.cost.architecture import Architecture, checkpoint_folder
from judge.pipeline.pipeline import MAX_PIXELS
from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Box, Choice, Node, Object, Repeat
from judge.rubrics.rubric import Rubric
from judge.types import Depth

PROMPT = (
    "a photograph of an old red bicycle that leans against a white wall beside two green doors, evening light"
)
"""Example prompt of usual length."""
SENTENCE = "a part of the bicycle's front wheel is missing where it meets the ground"
"""Example explanation of usual length, put into every free-text blank."""
CHARS_PER_TOKEN = 4.0
"""Characters per token of running text, used when no tokenizer is available."""
CHARS_PER_JSON_TOKEN = 3.0
"""The same for JSON, whose tokens are shorter."""


@dataclass(frozen=True)
class TokenCounts:
    """Token counts of one image, its request and its answer."""

    patches: int
    """Vision patches of the image."""
    image: int
    """Tokens of the image in the language model."""
    text: int
    """Tokens of the rubric's instructions with the prompt and its elements."""
    answer: int
    """Tokens of the filled form."""
    blanks: int
    """Blanks of the form at which probabilities are read."""
    counted: bool
    """Whether the model's own tokenizer counted the text; false: estimated from its characters."""


def count_tokens(
    model: str,
    architecture: Architecture,
    size: tuple[int, int],
    depth: Depth,
    *,
    rubric: str = "default",
    elements: int = 6,
    defects: int = 1,
    max_pixels: int = MAX_PIXELS,
) -> TokenCounts:
    """Count the tokens of one judged image.

    Args:
        model: name or folder, as in `judge.cost.architecture.load_config`; its tokenizer is used if it is a
            local folder.
        architecture: of the same model.
        size: width and height of the image in pixels.
        depth: "score" or "verdict".
        rubric: name or `.toml` file of the rubric.
        elements: elements per prompt.
        defects: defects per image in the answer.
        max_pixels: images with more pixels are scaled down first, for models without a fixed input size.

    Raises:
        InputError: a number or the rubric is unusable; `RubricError` is a subclass.
    """
    loaded = Rubric.load(rubric)
    names = [f"element number {number}" for number in range(1, elements + 1)]
    form = loaded.form(names).at_depth(depth)
    fixed_side, is_brief = _judge_settings(model)
    text = loaded.messages(PROMPT, names, brief=is_brief, depth=depth)[0]["content"][-1]["text"]
    segments = form.segments(_example_answer(form.root, defects))
    answer = "".join(segment.text for segment in segments)
    step = architecture.patch_size * architecture.merge_size
    width, height = _model_input_size(size, step, fixed_side, max_pixels)
    patches = width // architecture.patch_size * (height // architecture.patch_size)
    count = _load_token_counter(model)
    return TokenCounts(
        patches=patches,
        image=patches // architecture.merge_size**2,
        text=count(text) if count else math.ceil(len(text) / CHARS_PER_TOKEN),
        answer=count(answer) if count else math.ceil(len(answer) / CHARS_PER_JSON_TOKEN),
        blanks=sum(segment.role in ("choice", "branch") for segment in segments),
        counted=count is not None,
    )


def example_answer_chars(form: Form, defects: int = 1) -> int:
    """Return the number of characters of a form's example answer, with a usual number of defects."""
    return sum(len(segment.text) for segment in form.segments(_example_answer(form.root, defects)))


def _example_answer(node: Node, defects: int) -> Any:
    """Fill a form: the first label of each choice, one sentence per text, `defects` defects."""
    match node:
        case Object():
            return {key: _example_answer(member, defects) for key, member in node.members}
        case Repeat():
            return [_example_answer(node.item, defects) for _ in range(min(defects, node.max))]
        case Choice():
            return node.labels[0] if node.quoted else json.loads(node.labels[0])
        case Box():
            return [100, 100, 400, 400]
        case _:
            return SENTENCE[: node.max_chars]


def _judge_settings(model: str) -> tuple[int | None, bool]:
    """Read `judge.json` of a model with the layout of the embedded judge.

    Returns:
        The side in pixels of its fixed square input (None: any size), and whether it takes the
        brief template.
    """
    folder = checkpoint_folder(model)
    if folder is None or not (folder.parent / "judge.json").is_file():
        return None, False
    settings = json.loads((folder.parent / "judge.json").read_text("utf-8"))
    return settings.get("size"), bool(settings.get("brief"))


def _model_input_size(
    size: tuple[int, int], step: int, fixed_side: int | None, max_pixels: int
) -> tuple[int, int]:
    """Width and height of the model's input: scaled as in `judge.media.image`, rounded to whole tokens."""
    if fixed_side is not None:
        return fixed_side, fixed_side
    scale = min(1.0, math.sqrt(max_pixels / (size[0] * size[1])))
    width, height = (max(step, round(math.floor(length * scale) / step) * step) for length in size)
    return width, height


def _load_token_counter(model: str) -> Callable[[str], int] | None:
    """Return a function that counts a text's tokens, or None when the tokenizer is not available locally."""
    folder = checkpoint_folder(model)
    if folder is None or not (folder / "tokenizer.json").is_file():
        return None
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return lambda text: len(tokenizer.encode(text).ids)
