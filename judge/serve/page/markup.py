"""Verdicts as HTML for the page: pure functions from what a judge says to text for a browser.

Whatever comes from outside (prompts, elements, names, explanations, reasons, notes) is text that somebody
else wrote; `_text` is the only way into the markup for it. Nothing is told by colour alone: present and
absent elements differ by sign and outline, regions by number.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from judge.errors import InputError
from judge.explain.heatmap import painted
from judge.explain.overlay import plain
from judge.types import Attribute, Box, Comparison, Defect, Dimension, Element, Look, Provenance, Verdict

if TYPE_CHECKING:
    from PIL import Image

LARGEST = 1600
"""Longer side in pixels of a picture as it is shown; larger ones are reduced."""
_MAP = 480
"""The same of a heat map."""
_PALETTE = 6
"""Colours of regions in page.css; the seventh region has the first one's again, but its own number."""
_TOP = ' class="j-top"'
_LOSSLESS = 300_000
"""Pictures up to this many pixels are shown as PNG, larger ones as JPEG."""

_FIELDS = {"image": "picture", "a": "picture A", "b": "picture B", "looks": "number of closer looks"}
"""What the page calls what the package calls otherwise."""

_EMPTY = """<div class="j-empty"><p><b>The verdict appears here.</b></p>
<p>Give a picture and the text it was made from, then press Judge, or try one of the scenes.</p></div>"""


def empty() -> str:
    """What stands where the verdict will be."""
    return _EMPTY


def verdict(found: Verdict, picture: Image.Image, *, prompt: str = "", seconds: float | None = None) -> str:
    """One verdict with its picture.

    Args:
        found: scored or unscored; of an unscored one, only the reason and the picture are shown.
        picture: the one that was judged, upright, in RGB.
        prompt: the text the picture was made from.
        seconds: how long the caller waited for the verdict.

    Returns:
        An `article` element. Safe to insert: all foreign text is escaped.
    """
    body = _body(found, picture, "Verdict", prompt) + _made(found.provenance, seconds)
    return _article(found, body + _json(found))


def comparison(
    found: Comparison,
    pictures: Sequence[Image.Image],
    *,
    prompt: str = "",
    seconds: float | None = None,
) -> str:
    """Which of two pictures is better, and both verdicts beside each other. Arguments as for `verdict`."""
    sides = "".join(
        _article(side, _body(side, picture, f"Picture {name}"))
        for name, side, picture in zip("AB", (found.a, found.b), pictures, strict=True)
    )
    said = f'<p class="j-prompt">{_text(prompt)}</p>' if prompt else ""
    inner = f'{_preference(found)}{said}<div class="j-sides">{sides}</div>'
    made = _made(found.a.provenance, seconds, each=True)
    return f'<div class="j-comparison">{inner}{made}{_json(found)}</div>'


def complaint(error: Exception) -> str:
    """What went wrong, as an alert: bad input with how to mend it, anything else in its own words."""
    if isinstance(error, InputError):
        field = _FIELDS.get(error.field, error.field)
        told = f"<p>{_text(_sentence(error.mend))}</p><p>Allowed: {_text(error.allowed)}.</p>"
        return _alert(f"The {_text(field)} cannot be used", told)
    return _alert("No verdict could be given", f"<p>{_text(str(error))}</p>")


def shown(picture: Image.Image) -> str:
    """A picture as a `data:` URL that any browser shows, reduced to `LARGEST`."""
    picture = picture.convert("RGB")
    picture.thumbnail((LARGEST, LARGEST))
    kind = "png" if picture.width * picture.height <= _LOSSLESS else "jpeg"
    file = io.BytesIO()
    picture.save(file, kind, quality=88)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode('ascii')}"


def state(name: str) -> str:
    """A line about a service that is not ready; empty for one that is."""
    told = {
        "loading": "The model is being loaded: wait a moment until this line is gone.",
        "restarting": "The model is being started again: wait a moment until this line is gone.",
        "failed": "The model could not be started. The server's log says why.",
        "draining": "This server is about to stop and takes nothing new.",
    }.get(name, "")
    return f'<p class="j-state" role="status">{told}</p>' if told else ""


def scenes(offered: Sequence[tuple[str, str, Image.Image]]) -> str:
    """Buttons with pictures to try; (title, prompt, picture) each. Empty when there are none."""
    buttons = "".join(
        f'<li><button type="button" data-scene="{index}" title="{_text(prompt)}">'
        f'<img src="{shown(picture)}" alt=""><span>{_text(title)}</span></button></li>'
        for index, (title, prompt, picture) in enumerate(offered)
    )
    return f'<h2 class="j-small">Scenes to try</h2><ul class="j-scenes">{buttons}</ul>' if buttons else ""


# -- Parts ---------------------------------------------------------------------------------------------


def _body(found: Verdict, picture: Image.Image, title: str, prompt: str = "") -> str:
    """What the judge says about one picture, under a title; titles of one page differ."""
    parts = [
        f'<h2 class="j-title" tabindex="-1">{title}</h2>',
        _headline(found) if found.status == "scored" else _unscored(found),
        _notes(found.provenance),
        _seen(found, picture, prompt, key=title.lower().replace(" ", "-")),
        _heat_maps(found, picture),
        _elements(found.elements),
        _facts(found),
        _trace(found, found.size or picture.size),
    ]
    return "".join(parts)


def _article(found: Verdict, inner: str) -> str:
    return f'<article class="j-verdict" data-status="{found.status}">{inner}</article>'


def _headline(found: Verdict) -> str:
    says = f'<p class="j-says">{_text(_sentence(found.explanation))}</p>' if found.explanation else ""
    number = f"{found.score:.2f}" if found.score is not None else ""
    score = f'<p class="j-score"><b>{number}</b> <span>of 5</span></p>'
    return (
        f'<header class="j-head"><div>{score}{says}</div>{_distribution(found.distribution or [])}</header>'
    )


def _distribution(shares: Sequence[float]) -> str:
    likeliest = max(shares, default=0.0)
    rows = "".join(
        f'<tr{_TOP if share == likeliest else ""}><th scope="row">{label}</th>'
        f"<td>{_bar(share)}</td><td>{_percent(share)}</td></tr>"
        for label, share in reversed(list(enumerate(shares, 1)))
    )
    caption = "Probability of each label, 5 is best"
    return f'<table class="j-dist"><caption>{caption}</caption><tbody>{rows}</tbody></table>' if rows else ""


def _unscored(found: Verdict) -> str:
    told = f"<p>{_text(_sentence(found.reason))}</p><p>No number is given where the reply gives none.</p>"
    return f'<header class="j-head"><div><p class="j-score"><b>Unscored</b></p>{told}</div></header>'


def _notes(made: Provenance) -> str:
    items = "".join(f"<li>{_text(_sentence(note))}</li>" for note in made.notes)
    return f'<aside class="j-notes" aria-label="Notes"><ul>{items}</ul></aside>' if items else ""


def _seen(found: Verdict, picture: Image.Image, prompt: str, key: str) -> str:
    size = found.size or picture.size
    boxes = "".join(_box(defect, n, size, key) for n, defect in enumerate(found.defects))
    small = " j-tiny" if max(picture.size) < 160 else ""
    caption = f'<figcaption class="j-prompt">{_text(prompt)}</figcaption>' if prompt else ""
    figure = (
        f'<figure class="j-figure"><div class="j-picture{small}" style="--w:{size[0]};--h:{size[1]}">'
        f'<img src="{shown(picture)}" alt="The picture that was judged">{boxes}</div>{caption}</figure>'
    )
    return f'<section class="j-seen">{figure}{_regions(found)}</section>'


def _box(defect: Defect, n: int, size: tuple[int, int], key: str) -> str:
    """A region on the picture: a button, so that keys reach it, with its explanation as a tip."""
    x1, y1, x2, y2 = _relative(defect.box, size)
    sides = f"{'j-left' if x1 + x2 > 100 else 'j-right'} {'j-up' if y1 > 45 else 'j-down'}"
    tip = f"<b>{_text(defect.kind)}</b> {_text(defect.explanation)}"
    return (
        f'<button type="button" class="j-box {sides} {_color(n)}" style="{_place(defect.box, size)}" '
        f'data-region="{n}" '
        f'aria-label="Region {n + 1}: {_text(defect.kind)}" aria-describedby="{key}-tip-{n}">'
        f'<span class="j-tag" aria-hidden="true">{n + 1}</span>'
        f'<span class="j-tip" role="tooltip" id="{key}-tip-{n}">{tip}</span></button>'
    )


def _regions(found: Verdict) -> str:
    if found.status != "scored":
        return ""
    if found.provenance.depth == "score":
        return '<p class="j-none">Regions are not asked for at score depth.</p>'
    if not found.defects:
        return '<p class="j-none">No region was named as broken.</p>'
    items = "".join(_region(defect, n) for n, defect in enumerate(found.defects))
    return f'<ol class="j-regions" aria-label="Regions">{items}</ol>'


def _region(defect: Defect, n: int) -> str:
    told = f"<b>{_text(defect.kind)}</b> <span>{_text(defect.explanation)}</span>"
    fine = f"{defect.severity} · {defect.family} · {_percent(defect.confidence)} sure"
    return (
        f'<li class="j-region {_color(n)}" data-region="{n}"><span class="j-tag">{n + 1}</span>'
        f'<div>{told}<p class="j-fine">{fine}</p></div></li>'
    )


def _heat_maps(found: Verdict, picture: Image.Image) -> str:
    """Each map over the picture in grey, the score's first; a defect's is lit with its region."""
    if found.heat is None:
        return ""
    small = picture.convert("RGB")
    small.thumbnail((_MAP, _MAP))
    size = found.size or picture.size
    figures = [_heat_map(small, found.heat.score, "the score", "", "")]
    for n, (defect, url) in enumerate(zip(found.defects, found.heat.defects, strict=True)):
        box = f'<span class="j-frame" style="{_place(defect.box, size)}"></span>'
        tag = f'<span class="j-tag">{n + 1}</span> {_text(defect.kind)}'
        figures.append(_heat_map(small, url, tag, f' class="{_color(n)}" data-region="{n}"', box))
    about = '<span class="j-fine">where a change of the picture would change the answer most</span>'
    return f'<section><h3>Heat maps {about}</h3><ul class="j-heat">{"".join(figures)}</ul></section>'


def _heat_map(picture: Image.Image, url: str, caption: str, given: str, box: str) -> str:
    told = "a region" if box else "the score"
    image = f'<img src="{shown(painted(picture, url))}" alt="Heat map of {told}">'
    return f"<li{given}><figure><div>{image}{box}</div><figcaption>{caption}</figcaption></figure></li>"


def _elements(elements: Sequence[Element]) -> str:
    if not elements:
        return ""
    chips = "".join(map(_chip, elements))
    there = f"{sum(element.present for element in elements)} of {len(elements)} there"
    about = f'<span class="j-fine">{there}; with the probability of being there</span>'
    return f'<section><h3>Elements {about}</h3><ul class="j-chips">{chips}</ul></section>'


def _chip(element: Element) -> str:
    kind, sign, word = ("j-there", "✓", "there") if element.present else ("j-absent", "✗", "absent")
    return (
        f'<li class="{kind}"><span class="j-sign" aria-hidden="true">{sign}</span>'
        f'<span class="j-hidden">{word}: </span><span>{_text(element.name)}</span>'
        f'<span class="j-how">{_percent(element.probability)}</span></li>'
    )


def _facts(found: Verdict) -> str:
    rows = [_dimension(name, found.dimensions[name]) for name in found.dimensions]
    rows += [_attribute(name, found.attributes[name]) for name in found.attributes]
    title = "<h3>Dimensions and attributes</h3>"
    return f'<section>{title}<dl class="j-facts">{"".join(rows)}</dl></section>' if rows else ""


def _dimension(name: str, dimension: Dimension) -> str:
    bar = _bar((dimension.score - 1) / 4)
    return f"<dt>{_text(name)}</dt><dd>{bar}<b>{dimension.score:.2f}</b> of 5</dd>"


def _attribute(name: str, attribute: Attribute) -> str:
    """The label and its probability, and what else it might be."""
    shares = sorted(attribute.probabilities.items(), key=lambda pair: -pair[1])
    others = [f"{_text(k)} {_percent(p)}" for k, p in shares if k != attribute.label and p >= 0.02][:3]
    chance = attribute.probabilities.get(attribute.label)
    sure = f" {_percent(chance)}" if chance is not None else ""
    rest = f'<span class="j-fine">{", ".join(others)}</span>' if others else ""
    return f"<dt>{_text(name)}</dt><dd><b>{_text(attribute.label)}</b>{sure} {rest}</dd>"


def _trace(found: Verdict, size: tuple[int, int]) -> str:
    """What was asked after the first look, and where: how the verdict came about."""
    if not found.trace:
        return ""
    count = f"{len(found.trace)} after the first"
    items = "".join(_look(look, size) for look in found.trace)
    title = f'Closer looks <span class="j-fine">{count}</span>'
    return f'<details class="j-trace"><summary>{title}</summary><ol>{items}</ol></details>'


def _look(look: Look, size: tuple[int, int]) -> str:
    x1, y1, x2, y2 = map(round, look.region)
    part = f'<span style="{_place(look.region, size)}"></span>'
    where = f'<span class="j-where" style="--w:{size[0]};--h:{size[1]}" aria-hidden="true">{part}</span>'
    fine = f"{x1}, {y1} to {x2}, {y2} · {_time(look.milliseconds / 1000)}"
    told = f"<b>{_text(look.question)}</b> <span>{_text(look.answer)}</span>"
    return f'<li>{where}<div>{told}<p class="j-fine">{fine}</p></div></li>'


def _made(made: Provenance, seconds: float | None, *, each: bool = False) -> str:
    adapter = f" + {_text(made.adapter)}" if made.adapter else ""
    version = f" {_text(made.backend_version)}" if made.backend_version else ""
    waited = f", {_time(seconds)} from press to answer" if seconds is not None else ""
    parts = [
        f"<b>{_time(made.milliseconds / 1000)}</b> {'each' if each else 'for the verdict'}{waited}",
        f"{_text(made.model)}{adapter}",
        f"{_text(made.backend)}{version}",
        f"rubric {_text(made.rubric)} {_text(made.rubric_hash[:8])}",
        f"{made.depth} depth",
        f"judge {_text(made.version)}",
    ]
    domain = f"<p>Trained on: {_text(_sentence(made.domain, capital=False))}</p>" if made.domain else ""
    return f'<footer class="j-made"><p>{" · ".join(parts)}</p>{domain}</footer>'


def _preference(found: Comparison) -> str:
    if found.preferred is None or found.probability is None:
        return _preferred("No preference", found.reason, "")
    a = found.probability
    if found.preferred == "tie":
        title = "A tie"
        told = "both have the same score" if found.how == "pointwise" else "neither is clearly better"
    else:
        name, chance = ("A", a) if found.preferred == "a" else ("B", 1 - a)
        title = f"Picture {name} is better"
        by = "" if found.margin is None else f"by {abs(found.margin):.2f}, "
        told = f"{by}with probability {_percent(chance)}"
    split = f"<span>A {_percent(a)}</span>{_bar(a)}<span>{_percent(1 - a)} B</span>"
    return _preferred(title, told, f'<div class="j-split" aria-hidden="true">{split}</div>')


def _preferred(title: str, told: str, beside: str) -> str:
    heading = f'<h2 class="j-title j-big" tabindex="-1">{title}</h2>'
    says = f'<p class="j-says">{_text(_sentence(told))}</p>'
    return f'<header class="j-head"><div>{heading}{says}</div>{beside}</header>'


def _json(found: Verdict | Comparison) -> str:
    text = escape(found.model_dump_json(indent=2))
    button = '<button type="button" class="j-copy">Copy</button><span class="j-copied" role="status"></span>'
    code = f'<pre tabindex="0" aria-label="The verdict as JSON">{text}</pre>'
    return f'<details class="j-json"><summary>JSON</summary><div>{button}{code}</div></details>'


# -- Small things --------------------------------------------------------------------------------------


def _alert(title: str, told: str) -> str:
    return f'<div class="j-alert" role="alert"><h2 class="j-title" tabindex="-1">{title}</h2>{told}</div>'


def _text(text: object) -> str:
    """Foreign text as markup: escaped, without characters that hide or reorder others."""
    return escape(plain(str(text)))


def _sentence(text: str, *, capital: bool = True) -> str:
    """With a capital and a full stop, so that notes and reasons read as sentences."""
    text = text.strip()
    text = text[:1].upper() + text[1:] if capital else text
    return text if text.endswith((".", "!", "?", "…")) or not text else f"{text}."


def _percent(share: float) -> str:
    """Whole percents, but never 0 or 100 for what is neither."""
    if 0 < share < 0.005:
        return "&lt;1 %"
    if 0.995 < share < 1:
        return "&gt;99 %"
    return f"{share * 100:.0f} %"


def _time(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _bar(share: float) -> str:
    """Always beside its number, so readers of the screen are spared it."""
    return f'<span class="j-bar" aria-hidden="true"><span style="width:{share * 100:.1f}%"></span></span>'


def _color(n: int) -> str:
    return f"j-c{n % _PALETTE}"


def _place(box: Box, size: tuple[int, int]) -> str:
    """Where on the picture a region lies, as a style."""
    x1, y1, x2, y2 = _relative(box, size)
    return f"left:{x1:.2f}%;top:{y1:.2f}%;width:{x2 - x1:.2f}%;height:{y2 - y1:.2f}%"


def _relative(box: Box, size: tuple[int, int]) -> Box:
    """A box in percent of the picture, its sides inside it and in order."""
    x1, x2 = sorted(min(max(x / size[0] * 100, 0.0), 100.0) for x in (box[0], box[2]))
    y1, y2 = sorted(min(max(y / size[1] * 100, 0.0), 100.0) for y in (box[1], box[3]))
    return x1, y1, x2, y2
