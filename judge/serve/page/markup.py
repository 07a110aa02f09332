"""What the page shows, as HTML: verdicts, comparisons, errors, the state of the service, and examples.

All functions are pure. All text from outside is escaped, see `judge.serve.page.formatting`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from judge.errors import InputError
from judge.serve.page import sections
from judge.serve.page.formatting import as_sentence, bar, escape_text, format_percent, image_url
from judge.types import Comparison, Verdict

if TYPE_CHECKING:
    from PIL import Image

_FIELD_NAMES = {
    "a": "image A", "b": "image B", "looks": "number of zoom-ins", "negative_prompt": "negative prompt",
}  # fmt: skip
"""Names of fields on the page, where they differ from those in the package."""
_EMPTY_RESULT = """<div class="j-empty"><p><b>The verdict appears here.</b></p>
<p>Add an image and the text it was generated from, then press Judge, or try one of the scenes.</p></div>"""
_STATES = {
    "loading": "The model is loading. This line disappears when it is ready.",
    "restarting": "The model is restarting. This line disappears when it is ready.",
    "failed": "The model could not be started. The server's log says why.",
    "draining": "This server is about to stop and accepts no new requests.",
}


def empty_result() -> str:
    """Return what the result panel shows before the first verdict."""
    return _EMPTY_RESULT


def verdict(result: Verdict, image: Image.Image, *, prompt: str = "", seconds: float | None = None) -> str:
    """Show one verdict with its image.

    Args:
        result: scored or unscored; of an unscored one, only the reason and the image are shown.
        image: the image that was judged, upright, in RGB.
        prompt: the text the image was generated from.
        seconds: how long the visitor waited for the verdict.

    Returns:
        An `article` element. It is safe to insert: all text from outside is escaped.
    """
    body = _verdict_body(result, image, "Verdict", prompt) + sections.origin(result.provenance, seconds)
    return _article(result, body + sections.json_block(result))


def comparison(
    result: Comparison,
    images: Sequence[Image.Image],
    *,
    prompt: str = "",
    seconds: float | None = None,
) -> str:
    """Show which of two images is better, and both verdicts side by side.

    Args:
        result: the comparison.
        images: the two images, A first.
        prompt: the text both were generated from.
        seconds: how long the visitor waited.
    """
    sides = "".join(
        _article(side, _verdict_body(side, image, f"Image {name}"))
        for name, side, image in zip("AB", (result.a, result.b), images, strict=True)
    )
    prompt_line = f'<p class="j-prompt">{escape_text(prompt)}</p>' if prompt else ""
    inner = f'{_preference(result)}{prompt_line}<div class="j-sides">{sides}</div>'
    origin = sections.origin(result.a.provenance, seconds, per_image=True)
    return f'<div class="j-comparison">{inner}{origin}{sections.json_block(result)}</div>'


def error_alert(error: Exception) -> str:
    """Show an error as an alert; for bad input, with what to do and what is allowed."""
    if isinstance(error, InputError):
        field = _FIELD_NAMES.get(error.field, error.field)
        text = f"<p>{escape_text(as_sentence(error.mend))}</p><p>Allowed: {escape_text(error.allowed)}.</p>"
        return _alert(f"The {escape_text(field)} cannot be used", text)
    return _alert("No verdict could be given", f"<p>{escape_text(str(error))}</p>")


def service_state(name: str) -> str:
    """Show a line about a service that is not ready; nothing for one that is."""
    text = _STATES.get(name, "")
    return f'<p class="j-state" role="status">{text}</p>' if text else ""


def example_gallery(examples: Sequence[tuple[str, str, Image.Image]]) -> str:
    """Show examples as buttons; nothing if there are none.

    Args:
        examples: title, prompt and image of each.
    """
    buttons = "".join(
        f'<li><button type="button" data-scene="{index}" title="{escape_text(prompt)}">'
        f'<img src="{image_url(image)}" alt=""><span>{escape_text(title)}</span></button></li>'
        for index, (title, prompt, image) in enumerate(examples)
    )
    return f'<h2 class="j-small">Scenes to try</h2><ul class="j-scenes">{buttons}</ul>' if buttons else ""


def _verdict_body(result: Verdict, image: Image.Image, title: str, prompt: str = "") -> str:
    """Show what the judge says about one image, under a title that is unique on the page."""
    parts = [
        f'<h2 class="j-title" tabindex="-1">{title}</h2>',
        sections.headline(result, prompt),
        sections.notes(result.provenance),
        sections.image_and_regions(result, image, prompt, key=title.lower().replace(" ", "-")),
        sections.heat_maps(result, image),
        sections.elements(result),
        sections.writing(result),
        sections.dimensions_and_attributes(result),
        sections.zoom_ins(result, result.size or image.size),
    ]
    return "".join(parts)


def _article(result: Verdict, inner: str) -> str:
    status = "abstained" if result.abstained else result.status
    return f'<article class="j-verdict" data-status="{status}">{inner}</article>'


def _preference(result: Comparison) -> str:
    """Show which image is better, by how much, and with which probability."""
    if result.preferred is None or result.probability is None:
        has_abstained = result.a.abstained or result.b.abstained
        reason = "the judge abstains" if has_abstained else result.reason
        return _preference_header("No preference", reason, "")
    a = result.probability
    if result.preferred == "tie":
        title = "A tie"
        text = "both have the same score" if result.how == "pointwise" else "neither is clearly better"
    else:
        name, probability = ("A", a) if result.preferred == "a" else ("B", 1 - a)
        title = f"Image {name} is better"
        margin = "" if result.margin is None else f"by {abs(result.margin):.2f}, "
        text = f"{margin}with probability {format_percent(probability)}"
    split = f"<span>A {format_percent(a)}</span>{bar(a)}<span>{format_percent(1 - a)} B</span>"
    return _preference_header(title, text, f'<div class="j-split" aria-hidden="true">{split}</div>')


def _preference_header(title: str, text: str, bar_html: str) -> str:
    heading = f'<h2 class="j-title j-big" tabindex="-1">{title}</h2>'
    sentence = f'<p class="j-says">{escape_text(as_sentence(text))}</p>'
    return f'<header class="j-head"><div>{heading}{sentence}</div>{bar_html}</header>'


def _alert(title: str, text: str) -> str:
    return f'<div class="j-alert" role="alert"><h2 class="j-title" tabindex="-1">{title}</h2>{text}</div>'
