"""The sections of a verdict as HTML: headline, image and regions, heat maps, elements, numbers.

Nothing is shown by colour alone: present and absent elements also differ by sign and outline, regions by
number.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from judge.explain.heatmap import blend_heat_map
from judge.explain.style import OUT_OF_DOMAIN_MARK
from judge.serve.page.abstention import abstention
from judge.serve.page.formatting import (
    as_sentence,
    bar,
    box_style,
    escape_text,
    format_percent,
    format_seconds,
    image_url,
    region_color,
    to_percent,
)
from judge.types import Attribute, Comparison, Defect, Dimension, Element, Look, Provenance, Verdict

if TYPE_CHECKING:
    from PIL import Image

HEAT_MAP_SIDE = 480
"""Longer side of a heat map in pixels."""
MAX_TEXT_LINES = 20
"""Lines of writing that are shown."""
_LIKELIEST = ' class="j-top"'


def headline(result: Verdict, prompt: str = "") -> str:
    """Show the score, the explanation and the distribution; of an unscored verdict, the reason.

    Args:
        result: the verdict.
        prompt: the text the image was generated from, for the command that an abstaining judge suggests.
    """
    if result.abstained:
        return abstention(result, prompt)
    if result.status != "scored":
        return _unscored(result)
    explanation = (
        f'<p class="j-says">{escape_text(as_sentence(result.explanation))}</p>' if result.explanation else ""
    )
    number = f"{result.score:.2f}" if result.score is not None else ""
    score = f'<p class="j-score"><b>{number}</b> <span>of 5</span></p>'
    distribution = _distribution(result.distribution or [])
    mark = OUT_OF_DOMAIN_MARK[0].upper() + OUT_OF_DOMAIN_MARK[1:]
    marked = f'<p class="j-mark"><b>{mark}.</b></p>' if result.out_of_domain else ""
    return f'<header class="j-head"><div>{score}{marked}{explanation}</div>{distribution}</header>'


def _unscored(result: Verdict) -> str:
    reason = f"<p>{escape_text(as_sentence(result.reason))}</p><p>An unscored verdict has no numbers.</p>"
    return f'<header class="j-head"><div><p class="j-score"><b>Unscored</b></p>{reason}</div></header>'


def _distribution(shares: Sequence[float]) -> str:
    likeliest = max(shares, default=0.0)
    rows = "".join(
        f'<tr{_LIKELIEST if share == likeliest else ""}><th scope="row">{label}</th>'
        f"<td>{bar(share)}</td><td>{format_percent(share)}</td></tr>"
        for label, share in reversed(list(enumerate(shares, 1)))
    )
    caption = "Probability of each label, 5 is best"
    return f'<table class="j-dist"><caption>{caption}</caption><tbody>{rows}</tbody></table>' if rows else ""


def notes(provenance: Provenance) -> str:
    """Show the notes as a list; nothing if there are none."""
    items = "".join(f"<li>{escape_text(as_sentence(note))}</li>" for note in provenance.notes)
    return f'<aside class="j-notes" aria-label="Notes"><ul>{items}</ul></aside>' if items else ""


def image_and_regions(result: Verdict, image: Image.Image, prompt: str, key: str) -> str:
    """Show the image with its broken regions, and a list of these.

    Args:
        result: the verdict.
        image: the image that was judged.
        prompt: shown below the image.
        key: prefix of the element ids, unique on the page.
    """
    size = result.size or image.size
    boxes = "".join(_region_box(defect, index, size, key) for index, defect in enumerate(result.defects))
    tiny = " j-tiny" if max(image.size) < 160 else ""
    caption = f'<figcaption class="j-prompt">{escape_text(prompt)}</figcaption>' if prompt else ""
    figure = (
        f'<figure class="j-figure"><div class="j-image{tiny}" style="--w:{size[0]};--h:{size[1]}">'
        f'<img src="{image_url(image)}" alt="The image that was judged">{boxes}</div>{caption}</figure>'
    )
    return f'<section class="j-overview">{figure}{_region_list(result)}</section>'


def _region_box(defect: Defect, index: int, size: tuple[int, int], key: str) -> str:
    """Draw a region on the image: a button, so that the keyboard reaches it, with a tooltip."""
    x1, y1, x2, y2 = to_percent(defect.box, size)
    sides = f"{'j-left' if x1 + x2 > 100 else 'j-right'} {'j-up' if y1 > 45 else 'j-down'}"
    tooltip = f"<b>{escape_text(defect.kind)}</b> {escape_text(defect.explanation)}"
    return (
        f'<button type="button" class="j-box {sides} {region_color(index)}" '
        f'style="{box_style(defect.box, size)}" data-region="{index}" '
        f'aria-label="Region {index + 1}: {escape_text(defect.kind)}" aria-describedby="{key}-tip-{index}">'
        f'<span class="j-tag" aria-hidden="true">{index + 1}</span>'
        f'<span class="j-tip" role="tooltip" id="{key}-tip-{index}">{tooltip}</span></button>'
    )


def _region_list(result: Verdict) -> str:
    if result.status != "scored":
        return ""
    if result.provenance.depth == "score":
        return '<p class="j-none">Regions are not asked for at score depth.</p>'
    if not result.defects:
        return '<p class="j-none">No broken region was found.</p>'
    items = "".join(_region_item(defect, index) for index, defect in enumerate(result.defects))
    return f'<ol class="j-regions" aria-label="Regions">{items}</ol>'


def _region_item(defect: Defect, index: int) -> str:
    text = f"<b>{escape_text(defect.kind)}</b> <span>{escape_text(defect.explanation)}</span>"
    details = f"{defect.severity} · {defect.family} · {format_percent(defect.confidence)} sure"
    return (
        f'<li class="j-region {region_color(index)}" data-region="{index}">'
        f'<span class="j-tag">{index + 1}</span>'
        f'<div>{text}<p class="j-fine">{details}</p></div></li>'
    )


def heat_maps(result: Verdict, image: Image.Image) -> str:
    """Show each heat map over the image in grey, the score's first; a defect's map belongs to its region."""
    if result.heat is None:
        return ""
    small = image.convert("RGB")
    small.thumbnail((HEAT_MAP_SIDE, HEAT_MAP_SIDE))
    size = result.size or image.size
    figures = [_heat_map(small, result.heat.score, "the score", "", "")]
    for index, (defect, url) in enumerate(zip(result.defects, result.heat.defects, strict=True)):
        frame = f'<span class="j-frame" style="{box_style(defect.box, size)}"></span>'
        caption = f'<span class="j-tag">{index + 1}</span> {escape_text(defect.kind)}'
        attributes = f' class="{region_color(index)}" data-region="{index}"'
        figures.append(_heat_map(small, url, caption, attributes, frame))
    hint = '<span class="j-fine">where a change of the image would change the answer most</span>'
    return f'<section><h3>Heat maps {hint}</h3><ul class="j-heat">{"".join(figures)}</ul></section>'


def _heat_map(image: Image.Image, url: str, caption: str, attributes: str, frame: str) -> str:
    subject = "a region" if frame else "the score"
    blended = f'<img src="{image_url(blend_heat_map(image, url))}" alt="Heat map of {subject}">'
    return (
        f"<li{attributes}><figure><div>{blended}{frame}</div><figcaption>{caption}</figcaption></figure></li>"
    )


def elements(result: Verdict) -> str:
    """Show each element with its sign and probability; nothing if there are none."""
    if not result.elements:
        return ""
    chips = "".join(map(_element_chip, result.elements))
    word = "present" if all(element.expected for element in result.elements) else "as asked"
    count = f"{sum(element.present for element in result.elements)} of {len(result.elements)} {word}"
    hint = f'<span class="j-fine">{count}, each with its probability</span>'
    return f'<section><h3>Elements {hint}</h3><ul class="j-chips">{chips}</ul></section>'


def _element_chip(element: Element) -> str:
    kind, sign = ("j-present", "✓") if element.present else ("j-absent", "✗")
    words = ("absent", "present") if element.expected else ("not as asked", "as asked")
    word = words[element.present]
    return (
        f'<li class="{kind}"><span class="j-sign" aria-hidden="true">{sign}</span>'
        f'<span class="j-hidden">{word}: </span><span>{escape_text(element.label)}</span>'
        f'<span class="j-how">{format_percent(element.probability)}</span></li>'
    )


def writing(result: Verdict) -> str:
    """List the lines of writing that were read; nothing if there are none."""
    rows = "".join(
        f"<dt>{format_percent(line.confidence)} sure</dt><dd>{escape_text(line.text)}</dd>"
        for line in result.texts[:MAX_TEXT_LINES]
    )
    more = len(result.texts) - MAX_TEXT_LINES
    rest = f'<p class="j-fine">and {more} more lines</p>' if more > 0 else ""
    return f'<section><h3>Writing</h3><dl class="j-facts">{rows}</dl>{rest}</section>' if rows else ""


def dimensions_and_attributes(result: Verdict) -> str:
    """Show the scores of all dimensions and the labels of all attributes; nothing if there are none."""
    rows = [_dimension(name, result.dimensions[name]) for name in result.dimensions]
    rows += [_attribute(name, result.attributes[name]) for name in result.attributes]
    title = "<h3>Dimensions and attributes</h3>"
    return f'<section>{title}<dl class="j-facts">{"".join(rows)}</dl></section>' if rows else ""


def _dimension(name: str, dimension: Dimension) -> str:
    share = (dimension.score - 1) / 4
    return f"<dt>{escape_text(name)}</dt><dd>{bar(share)}<b>{dimension.score:.2f}</b> of 5</dd>"


def _attribute(name: str, attribute: Attribute) -> str:
    """Show the label with its probability, and up to three other labels of at least 2 %."""
    shares = sorted(attribute.probabilities.items(), key=lambda pair: -pair[1])
    others = [
        f"{escape_text(label)} {format_percent(share)}"
        for label, share in shares
        if label != attribute.label and share >= 0.02
    ][:3]
    probability = attribute.probabilities.get(attribute.label)
    percent = f" {format_percent(probability)}" if probability is not None else ""
    rest = f'<span class="j-fine">{", ".join(others)}</span>' if others else ""
    return f"<dt>{escape_text(name)}</dt><dd><b>{escape_text(attribute.label)}</b>{percent} {rest}</dd>"


def zoom_ins(result: Verdict, size: tuple[int, int]) -> str:
    """Show the zoom-ins (closer looks): where each was, what was asked, and the answer."""
    if not result.trace:
        return ""
    items = "".join(_zoom_in(look, size) for look in result.trace)
    title = f'Zoom-ins <span class="j-fine">{len(result.trace)} after the first look</span>'
    return f'<details class="j-trace"><summary>{title}</summary><ol>{items}</ol></details>'


def _zoom_in(look: Look, size: tuple[int, int]) -> str:
    x1, y1, x2, y2 = map(round, look.region)
    part = f'<span style="{box_style(look.region, size)}"></span>'
    place = f'<span class="j-where" style="--w:{size[0]};--h:{size[1]}" aria-hidden="true">{part}</span>'
    details = f"{x1}, {y1} to {x2}, {y2} · {format_seconds(look.milliseconds / 1000)}"
    text = f"<b>{escape_text(look.question)}</b> <span>{escape_text(look.answer)}</span>"
    return f'<li>{place}<div>{text}<p class="j-fine">{details}</p></div></li>'


def origin(provenance: Provenance, seconds: float | None, *, per_image: bool = False) -> str:
    """Show times, model, backend, rubric and version, and what the model was trained on.

    Args:
        provenance: of the verdict.
        seconds: how long the visitor waited, None if unknown.
        per_image: the verdict's time is that of each image of a comparison.
    """
    adapter = f" + {escape_text(provenance.adapter)}" if provenance.adapter else ""
    version = f" {escape_text(provenance.backend_version)}" if provenance.backend_version else ""
    waited = f", {format_seconds(seconds)} from click to answer" if seconds is not None else ""
    time = format_seconds(provenance.milliseconds / 1000)
    parts = [
        f"<b>{time}</b> {'per image' if per_image else 'for the verdict'}{waited}",
        f"{escape_text(provenance.model)}{adapter}",
        f"{escape_text(provenance.backend)}{version}",
        f"rubric {escape_text(provenance.rubric)} {escape_text(provenance.rubric_hash[:8])}",
        f"{provenance.depth} depth",
        f"judge {escape_text(provenance.version)}",
    ]
    domain = as_sentence(provenance.domain, capital=False)
    training = f"<p>Trained on: {escape_text(domain)}</p>" if provenance.domain else ""
    return f'<footer class="j-origin"><p>{" · ".join(parts)}</p>{training}</footer>'


def json_block(result: Verdict | Comparison) -> str:
    """Show the complete JSON, folded, with a button that copies it."""
    text = escape(result.model_dump_json(indent=2))
    button = '<button type="button" class="j-copy">Copy</button><span class="j-copied" role="status"></span>'
    code = f'<pre tabindex="0" aria-label="The verdict as JSON">{text}</pre>'
    return f'<details class="j-json"><summary>JSON</summary><div>{button}{code}</div></details>'
