"""The answer of a judge that abstains, as HTML: why it does, and what can be done with the image."""

from __future__ import annotations

import shlex

from judge.pipeline.domain import EMBEDDED, rubrics_for_any_image, without_way_out
from judge.serve.page.formatting import as_sentence, escape_text
from judge.types import Verdict

SUGGESTED_MODEL = "Qwen/Qwen3-VL-8B-Instruct"
MAX_COMMAND_PROMPT = 160
"""Characters of a prompt that is repeated in a command."""


def abstention(result: Verdict, prompt: str) -> str:
    """Show why the judge abstains, what it can do on this image, and the command for a larger model.

    The buttons carry `data-run`: the name of a rubric, or "anyway" for the numbers all the same.

    Args:
        result: a verdict that abstains.
        prompt: the text the image was generated from.
    """
    reason = escape_text(as_sentence(without_way_out(result.reason)))
    head = (
        '<header class="j-head"><div><p class="j-score"><b>No score</b></p>'
        f'<p class="j-says">{reason}</p></div></header>'
    )
    is_embedded = result.provenance.model == EMBEDDED
    parts = [_possible_rubrics(), _larger_model(result, prompt)] if is_embedded else []
    anyway = (
        '<p class="j-fine"><button type="button" class="j-run" data-run="anyway">Show numbers anyway</button>'
        " They mean little, and are marked.</p>"
    )
    return f'{head}<section class="j-can">{"".join(parts)}{anyway}</section>'


def _possible_rubrics() -> str:
    items = "".join(
        f'<li><button type="button" class="j-run" data-run="{name}">{escape_text(title)}</button> '
        f'<span class="j-fine">{escape_text(details)}</span></li>'
        for name, (title, details) in rubrics_for_any_image().items()
    )
    return f"<h3>What it can do on this image</h3><ul>{items}</ul>"


def _larger_model(result: Verdict, prompt: str) -> str:
    is_short = 0 < len(prompt) <= MAX_COMMAND_PROMPT
    prompt_option = f" --prompt {shlex.quote(prompt) if is_short else '...'}" if prompt else ""
    rubric = result.provenance.rubric
    rubric_option = "" if rubric == "default" else f" --rubric {shlex.quote(rubric)}"
    command = f"judge verdict IMAGE{prompt_option}{rubric_option} --model {SUGGESTED_MODEL}"
    return (
        f"<h3>For a full verdict: a larger model</h3><pre>{escape_text(command)}</pre>"
        '<p class="j-fine"><code>judge models</code> lists the models that fit a machine.</p>'
    )
