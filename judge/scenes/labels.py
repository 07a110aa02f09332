"""Labels of a scene: elements that are true or false of it, a prompt, and the labelled sample.

An element is a statement that a judge checks, such as "two red cats" or "striped background".
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from judge.scenes.scene_facts import MIN_CENTER_DISTANCE, SCENE_SIZE, SceneFacts, defect_severity, scene_score
from judge.scenes.vocabulary import (
    BACKGROUNDS,
    COLORS,
    COUNTS,
    OBJECT_KINDS,
    RELATIONS,
    SEVERITIES,
    name_objects,
)
from judge.types import Box, DefectLabel, ElementLabel, LabelledSample, Labels


def make_elements(r: Random, facts: SceneFacts, count: int, objects_only: float = 0.0) -> list[ElementLabel]:
    """Make elements for a scene, some true and some false, without duplicates.

    Args:
        r: source of random numbers.
        facts: the scene.
        count: number of elements. The result is shorter when the scene does not give as many.
        objects_only: probability, 0 to 1, that an element is about an object. It makes an easier start for
            training.
    """
    elements: dict[str, ElementLabel] = {}
    for _ in range(count * 12):
        if len(elements) >= count:
            break
        u = r.random() * (0.52 if r.random() < objects_only else 1)
        label = (
            make_object_element(r, facts)
            if u < 0.52
            else make_count_element(r, facts)
            if u < 0.7
            else make_relation_element(r, facts)
            if u < 0.88
            else make_background_element(r, facts)
        )
        if label and label.name not in elements:
            elements[label.name] = label
    return list(elements.values())


def make_object_element(r: Random, facts: SceneFacts) -> ElementLabel | None:
    """Make an element about one object, such as "red cat". Returns None when the draw gives none."""
    thing = r.choice(facts.objects)
    if r.random() < 0.12:  # a kind without its colour
        kind = thing.kind if r.random() < 0.5 else r.choice(OBJECT_KINDS)
        return ElementLabel(name=kind, present=facts.count("", kind) > 0, kind="object")
    if r.random() < 0.5:
        return ElementLabel(name=thing.name, present=True, kind="object")
    u = r.random()
    color = r.choice(list(COLORS)) if u < 0.4 or u >= 0.8 else thing.color
    kind = r.choice(OBJECT_KINDS) if u >= 0.4 else thing.kind
    return (
        None
        if facts.count(color, kind)
        else ElementLabel(name=name_objects(1, color, kind), present=False, kind="object")
    )


def make_count_element(r: Random, facts: SceneFacts) -> ElementLabel | None:
    """Make an element about a number of objects, such as "two red cats", or None."""
    color, kind = r.choice(facts.objects).color_and_kind
    true_count = facts.count(color, kind)
    if true_count > 1 and r.random() < 0.6:
        return ElementLabel(name=name_objects(true_count, color, kind), present=True, kind="count")
    count = r.choice([2, 3, 4] if true_count > 1 else [2, 2, 3])
    if count == true_count or (true_count == 1 and r.random() < 0.4):
        return None
    return ElementLabel(name=name_objects(count, color, kind), present=False, kind="count")


def make_relation_element(r: Random, facts: SceneFacts) -> ElementLabel | None:
    """Make an element about the position of two objects, such as "red cat left of blue car", or None.

    Only objects that are unique in the scene are used, and only pairs whose centres differ clearly.
    """
    unique = [thing for thing in facts.objects if facts.count(*thing.color_and_kind) == 1]
    if len(unique) < 2:
        return None
    a, b = r.sample(unique, 2)
    relation = r.choice(RELATIONS)
    gap = {"left of": b.x - a.x, "right of": a.x - b.x, "above": b.y - a.y, "below": a.y - b.y}[relation]
    if abs(gap) < MIN_CENTER_DISTANCE * facts.size / SCENE_SIZE:
        return None
    return ElementLabel(name=f"{a.name} {relation} {b.name}", present=gap > 0, kind="relation")


def make_background_element(r: Random, facts: SceneFacts) -> ElementLabel:
    """Make an element about the background, such as "striped background"."""
    kind = (
        facts.background if r.random() < 0.5 else r.choice([b for b in BACKGROUNDS if b != facts.background])
    )
    return ElementLabel(name=f"{kind} background", present=kind == facts.background, kind="background")


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


def write_prompt(r: Random, elements: list[ElementLabel]) -> str:
    """Write a prompt that asks for all elements, in one of several wordings.

    Args:
        r: source of random numbers.
        elements: at least one.
    """
    decorate = _with_article if r.random() < 0.75 else str
    backgrounds = [e.name for e in elements if e.kind == "background"]
    others = [e.name for e in elements if e.kind != "background"]
    tail = ""
    if backgrounds and others and r.random() < 0.6:
        tail = f" {r.choice(['on', 'with', 'in front of'])} {decorate(backgrounds[0])}"
        backgrounds = backgrounds[1:]
    items = [_decorate_relation(decorate, name) for name in others + backgrounds]
    glue = r.choice([" and ", ", ", " and "])
    body = (
        glue.join(items) if glue == " and " or len(items) < 2 else ", ".join(items[:-1]) + " and " + items[-1]
    )
    return r.choice(_OPENINGS).format(body) + tail


def _with_article(text: str) -> str:
    first = text.split()[0]
    if first in COUNTS.values():
        return text
    return f"an {text}" if first[0] in "aeiou" else f"a {text}"


def _decorate_relation(decorate: Callable[[str], str], name: str) -> str:
    """Apply `decorate` to an element; for a relation to each of its two objects."""
    for relation in RELATIONS:
        a, separator, b = name.partition(f" {relation} ")
        if separator:
            return f"{decorate(a)} {relation} {decorate(b)}"
    return decorate(name)


def label_scene(r: Random, facts: SceneFacts, elements: list[ElementLabel]) -> LabelledSample:
    """Return the labelled sample of a scene for these elements.

    Args:
        r: source of random numbers, used for the wording of the prompt.
        facts: the scene.
        elements: elements to check; without any, the alignment counts as perfect.

    Returns:
        A sample without an image. Its score follows the formula in `judge.scenes.scene_facts`.
    """
    share = sum(e.present for e in elements) / len(elements) if elements else 1.0
    labels = Labels(
        score=scene_score(share, facts.quality),
        dimensions={"alignment": 1 + 4 * share, "structure": 1 + 4 * facts.quality},
        elements=elements,
        defects=[
            DefectLabel(
                kind=defect.kind,
                box=_to_float_box(defect.box),
                severity=defect_severity(defect.box, facts.size),
                explanation=defect.explanation,
            )
            for defect in facts.defects
        ],
        attributes={"degradation": facts.degradation, "severity": SEVERITIES[facts.level]},
    )
    prompt = write_prompt(r, elements) if elements else "a picture"
    return LabelledSample(prompt=prompt, elements=[e.name for e in elements], labels=labels)


def _to_float_box(box: tuple[int, int, int, int]) -> Box:
    return float(box[0]), float(box[1]), float(box[2]), float(box[3])
