"""Statements about a scene, some true and some false, and the prompts that ask for them."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from judge.scenes.facts import CLEAR, SIZE, Facts, score_of, severity_of
from judge.scenes.vocabulary import BACKGROUNDS, COLORS, COUNTS, KINDS, RELATIONS, SEVERITIES, named
from judge.types import Box, DefectLabel, ElementLabel, LabelledSample, Labels


def ask(r: Random, facts: Facts, count: int, plain: float = 0.0) -> list[ElementLabel]:
    """Statements about a scene, some true and some false, without doubles.

    Args:
        facts: the scene.
        count: how many statements; fewer when the scene gives no more.
        plain: probability 0..1 that a statement is restricted to objects (an easier start for training).
    """
    asked: dict[str, ElementLabel] = {}
    for _ in range(count * 12):
        if len(asked) >= count:
            break
        u = r.random() * (0.52 if r.random() < plain else 1)
        label = (
            about_object(r, facts)
            if u < 0.52
            else about_count(r, facts)
            if u < 0.7
            else about_relation(r, facts)
            if u < 0.88
            else about_background(r, facts)
        )
        if label and label.name not in asked:
            asked[label.name] = label
    return list(asked.values())


def about_object(r: Random, facts: Facts) -> ElementLabel | None:
    thing = r.choice(facts.things)
    if r.random() < 0.12:  # a kind without its colour
        kind = thing.kind if r.random() < 0.5 else r.choice(KINDS)
        return ElementLabel(name=kind, present=facts.count("", kind) > 0, kind="object")
    if r.random() < 0.5:
        return ElementLabel(name=thing.name, present=True, kind="object")
    u = r.random()
    color = r.choice(list(COLORS)) if u < 0.4 or u >= 0.8 else thing.color
    kind = r.choice(KINDS) if u >= 0.4 else thing.kind
    return (
        None
        if facts.count(color, kind)
        else ElementLabel(name=named(1, color, kind), present=False, kind="object")
    )


def about_count(r: Random, facts: Facts) -> ElementLabel | None:
    color, kind = r.choice(facts.things).key
    n = facts.count(color, kind)
    if n > 1 and r.random() < 0.6:
        return ElementLabel(name=named(n, color, kind), present=True, kind="count")
    m = r.choice([2, 3, 4] if n > 1 else [2, 2, 3])
    if m == n or (n == 1 and r.random() < 0.4):
        return None
    return ElementLabel(name=named(m, color, kind), present=False, kind="count")


def about_relation(r: Random, facts: Facts) -> ElementLabel | None:
    single = [t for t in facts.things if facts.count(*t.key) == 1]
    if len(single) < 2:
        return None
    a, b = r.sample(single, 2)
    relation = r.choice(RELATIONS)
    gap = {"left of": b.x - a.x, "right of": a.x - b.x, "above": b.y - a.y, "below": a.y - b.y}[relation]
    if abs(gap) < CLEAR * facts.size / SIZE:
        return None
    return ElementLabel(name=f"{a.name} {relation} {b.name}", present=gap > 0, kind="relation")


def about_background(r: Random, facts: Facts) -> ElementLabel:
    kind = (
        facts.background if r.random() < 0.5 else r.choice([b for b in BACKGROUNDS if b != facts.background])
    )
    return ElementLabel(name=f"{kind} background", present=kind == facts.background, kind="background")


def _article(text: str) -> str:
    first = text.split()[0]
    if first in COUNTS.values():
        return text
    return f"an {text}" if first[0] in "aeiou" else f"a {text}"


_OPENINGS = (
    "a picture of {}",
    "{}",
    "an image of {}",
    "a drawing of {}",
    "an image showing {}",
    "an illustration of {}",
    "a scene with {}",
    "please draw {}",
)


def phrase(r: Random, elements: list[ElementLabel]) -> str:
    """A prompt that asks for the elements, in one of several wordings."""
    dress = _article if r.random() < 0.75 else str
    ground = [e.name for e in elements if e.kind == "background"]
    named_things = [e.name for e in elements if e.kind != "background"]
    tail = ""
    if ground and named_things and r.random() < 0.6:
        tail, ground = f" {r.choice(['on', 'with', 'in front of'])} {dress(ground[0])}", ground[1:]
    items = [_dressabout_relation(dress, n) for n in named_things + ground]
    glue = r.choice([" and ", ", ", " and "])
    body = (
        glue.join(items) if glue == " and " or len(items) < 2 else ", ".join(items[:-1]) + " and " + items[-1]
    )
    return r.choice(_OPENINGS).format(body) + tail


def _dressabout_relation(dress: Callable[[str], str], name: str) -> str:
    for relation in RELATIONS:
        a, found, b = name.partition(f" {relation} ")
        if found:
            return f"{dress(a)} {relation} {dress(b)}"
    return dress(name)


def sample_of(r: Random, facts: Facts, elements: list[ElementLabel]) -> LabelledSample:
    """The labelled sample of a scene for these elements, scored by the rule at the top of this file."""
    share = sum(e.present for e in elements) / len(elements) if elements else 1.0
    labels = Labels(
        score=score_of(share, facts.quality),
        dimensions={"alignment": 1 + 4 * share, "structure": 1 + 4 * facts.quality},
        elements=elements,
        defects=[
            DefectLabel(
                kind=f.kind,
                box=_as_box(f.box),
                severity=severity_of(f.box, facts.size),
                explanation=f.explanation,
            )
            for f in facts.flaws
        ],
        attributes={"degradation": facts.degradation, "severity": SEVERITIES[facts.level]},
    )
    prompt = phrase(r, elements) if elements else "a picture"
    return LabelledSample(prompt=prompt, elements=[e.name for e in elements], labels=labels)


def _as_box(box: tuple[int, int, int, int]) -> Box:
    return float(box[0]), float(box[1]), float(box[2]), float(box[3])
