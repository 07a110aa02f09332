"""Training tasks about a drawn scene: the prompt, the answer as a filled `Form`, and the boxes of objects.

In pre-training the model describes, locates, counts, checks and finds damage. Judging follows later, as an
adapter. New texts are drawn each time a scene is visited. All functions take the random generator `r`
first, and change no scene.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, get_args

from judge.rubrics.form import Form
from judge.rubrics.form_nodes import Box, Choice, Object, Repeat, Text
from judge.rubrics.rubric import Rubric
from judge.scenes import SceneFacts, label_scene, make_elements
from judge.scenes.labels import make_count_element, make_relation_element
from judge.scenes.scene_facts import SceneObject, defect_severity
from judge.scenes.vocabulary import (
    BACKGROUNDS,
    COLORS,
    COUNTS,
    DEFECT_KINDS,
    DEGRADATIONS,
    OBJECT_KINDS,
    SEVERITIES,
    STYLES,
    name_objects,
    pluralize,
)
from judge.types import Depth, ElementLabel, Severity

PixelBox = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""


@dataclass
class Task:
    """One prompt with its answer."""

    prompt: str
    """Text of the user's turn."""
    form: Form
    values: dict[str, Any]
    """Fills `form`; rendered, it is the answer."""
    boxes: Mapping[str, PixelBox] = field(default_factory=dict)
    """Path of a box in the answer -> the exact box."""
    grounded: bool = False
    """Whether attention is taught to find the objects named in the prompt and in keys of the answer."""
    exact_scores: dict[str, float] = field(default_factory=dict)
    """Path of a score blank -> exact value 1..5 behind the rounded label."""
    statement_kinds: dict[str, str] = field(default_factory=dict)
    """Path of an element's blank -> kind of the statement."""
    placeholders: bool = False
    """Feed the first label of each choice to the model, as a one-pass read does. The targets stay true."""


def _choice(name: str, labels: Any) -> Choice:
    return Choice(name, tuple(labels), quoted=True)


_DESCRIBE = Form(
    Object((
        ("objects", Repeat("objects", Object((
            ("box", Box("box")), ("color", _choice("color", COLORS)), ("kind", _choice("kind", OBJECT_KINDS)),
        )), 0, 6)),
        ("background", _choice("background", BACKGROUNDS)),
        ("style", _choice("style", STYLES)),
    ))
)  # fmt: skip
_LOCATE = Form(Object((("boxes", Repeat("boxes", Object((("box", Box("box")),)), 0, 5)),)))
_DAMAGE = Form(
    Object((
        ("degradation", _choice("attributes.degradation", DEGRADATIONS)),
        ("severity", _choice("attributes.severity", SEVERITIES)),
        ("defects", Repeat("defects", Object((
            ("kind", _choice("kind", DEFECT_KINDS)), ("box", Box("box")),
            ("severity", _choice("severity", get_args(Severity))), ("explanation", Text("explanation", 120)),
        )), 0, 3)),
    ))
)  # fmt: skip
_REPORT = (
    ("degradation", _choice("attributes.degradation", DEGRADATIONS)),
    ("severity", _choice("attributes.severity", SEVERITIES)),
    ("defects", Repeat("defects", Object((("kind", _choice("kind", DEFECT_KINDS)),)), 0, 3)),
    ("summary", Text("summary", 120)),
)


def to_relative_grid(box: PixelBox, size: int, grid: int = 10) -> list[int]:
    """Convert a box to 0..1000 of the image, rounded to a grid and never empty.

    Args:
        box: in the units of `size`.
        size: side of the square image.
        grid: step of the coordinates.
    """
    x1, y1, x2, y2 = (int(round(v / size * 1000 / grid)) * grid for v in box)
    x1, y1 = min(x1, 1000 - grid), min(y1, 1000 - grid)
    return [x1, y1, max(x2, x1 + grid), max(y2, y1 + grid)]


def _in_reading_order(objects: list[SceneObject]) -> list[SceneObject]:
    return sorted(objects, key=lambda t: (t.y, t.x))


def describe(r: Random, facts: SceneFacts) -> Task:
    """List all objects with their boxes, in reading order of their centers, the background and the style."""
    objects = _in_reading_order(facts.objects)
    values = {
        "objects": [
            {"box": to_relative_grid(o.box, facts.size), "color": o.color, "kind": o.kind} for o in objects
        ],
        "background": facts.background,
        "style": facts.style,
    }
    boxes = {f"objects.{i}.box": o.box for i, o in enumerate(objects)}
    return Task("Describe the picture.", _DESCRIBE, values, boxes)


def _draw_object_class(r: Random, facts: SceneFacts) -> tuple[str, str]:
    """Draw a color (or "") and a kind, in most cases those of an object of the scene."""
    chosen = r.choice(facts.objects)
    if r.random() < 0.65:
        return ("" if r.random() < 0.15 else chosen.color), chosen.kind
    color = r.choice(list(COLORS)) if r.random() < 0.5 else chosen.color
    kind = r.choice(OBJECT_KINDS) if r.random() < 0.6 else chosen.kind
    return color, kind


def locate(r: Random, facts: SceneFacts) -> Task:
    """Give the boxes of all objects of a color and kind; there may be none."""
    color, kind = _draw_object_class(r, facts)
    objects = [o for o in _in_reading_order(facts.objects) if o.kind == kind and color in ("", o.color)]
    values = {"boxes": [{"box": to_relative_grid(o.box, facts.size)} for o in objects]}
    boxes = {f"boxes.{i}.box": o.box for i, o in enumerate(objects)}
    return Task(f"Locate: {name_objects(1, color, kind)}", _LOCATE, values, boxes, grounded=True)


def count(r: Random, facts: SceneFacts) -> Task:
    """Count the objects of up to three classes."""
    counts: dict[str, int] = {}
    for _ in range(r.choice([1, 2, 3])):
        color, kind = _draw_object_class(r, facts)
        counts[f"{color} {pluralize(kind)}".strip()] = facts.count(color, kind)
    members = tuple((name, Choice(f"counts.{i}", tuple("012345"))) for i, name in enumerate(counts))
    return Task(
        "Count the objects.", Form(Object((("counts", Object(members)),))), {"counts": counts}, grounded=True
    )


def check(r: Random, facts: SceneFacts, plain: float = 0.0) -> Task:
    """Check which of several statements hold.

    Args:
        r: random generator.
        facts: of the scene.
        plain: probability, 0 to 1, that a statement is about an object; see `make_elements`.
    """
    return _check_statements(make_elements(r, facts, r.choice([3, 4, 5, 6, 7]), plain))


def compare(r: Random, facts: SceneFacts) -> Task:
    """Check statements about counts and places, which are the hardest to learn."""
    candidates = [make_relation_element(r, facts) for _ in range(8)] + [
        make_count_element(r, facts) for _ in range(3)
    ]
    distinct = {e.name: e for e in candidates if e}
    chosen = r.sample(list(distinct.values()), min(6, len(distinct)))
    return _check_statements(chosen or make_elements(r, facts, 2))


def _check_statements(statements: list[ElementLabel]) -> Task:
    members = tuple((e.name, Choice(f"elements.{i}", ("true", "false"))) for i, e in enumerate(statements))
    return Task(
        "Check the picture.",
        Form(Object((("elements", Object(members)),))),
        {"elements": {e.name: e.present for e in statements}},
        grounded=True,
        statement_kinds=_statement_kinds(statements),
    )


def find_damage(r: Random, facts: SceneFacts) -> Task:
    """Name the degradation of the whole image and list all local defects."""
    values = {
        "degradation": facts.degradation,
        "severity": SEVERITIES[facts.level],
        "defects": _defect_values(facts),
    }
    boxes = {f"defects.{i}.box": defect.box for i, defect in enumerate(facts.defects)}
    return Task("Find the damage.", _DAMAGE, values, boxes)


def inspect_objects(r: Random, facts: SceneFacts) -> Task:
    """Name the defect of each object."""
    states = {o.name: "none" for o in r.sample(facts.objects, len(facts.objects))}
    for defect in facts.defects:
        states |= {facts.objects[n].name: defect.kind for n in defect.object_indices}
    members = tuple((name, _choice(f"state.{i}", ("none", *DEFECT_KINDS))) for i, name in enumerate(states))
    return Task(
        "Inspect the objects.", Form(Object((("state", Object(members)),))), {"state": states}, grounded=True
    )


def report(r: Random, facts: SceneFacts) -> Task:
    """Check statements, name the damage, and sum up both in words.

    An adapter cannot make the base write a word that the base never wrote (see LOG.md), so the base learns to
    write whole summaries too.
    """
    statements = make_elements(r, facts, r.choice([0, 1, 2, 3, 4, 5, 6]))
    members = tuple((e.name, Choice(f"elements.{i}", ("true", "false"))) for i, e in enumerate(statements))
    form = Form(Object((*((("elements", Object(members)),) if members else ()), *_REPORT)))
    values = {
        "elements": {e.name: e.present for e in statements},
        "degradation": facts.degradation,
        "severity": SEVERITIES[facts.level],
        "defects": [{"kind": defect.kind} for defect in facts.defects],
        "summary": _summary(facts, sum(e.present for e in statements), len(statements)),
    }
    values = {name: values[name] for name, _ in form.root.members}
    return Task(
        "Report on the picture.", form, values, grounded=True, statement_kinds=_statement_kinds(statements)
    )


def _defect_values(facts: SceneFacts) -> list[dict[str, Any]]:
    return [
        {
            "kind": defect.kind,
            "box": to_relative_grid(defect.box, facts.size),
            "severity": defect_severity(defect.box, facts.size),
            "explanation": defect.explanation,
        }
        for defect in facts.defects
    ]


def _summary(facts: SceneFacts, present: int, total: int) -> str:
    parts = []
    if total:
        parts.append(f"{present} of {total} elements are there")
    parts += [defect.kind for defect in facts.defects]
    if facts.level:
        parts.append(f"{SEVERITIES[facts.level]} {facts.degradation}")
    return "; ".join(parts if len(parts) > bool(total) else [*parts, "no damage"])


def judge_scene(r: Random, facts: SceneFacts, rubric: Rubric, *, score_only: bool) -> Task:
    """Fill the whole form of a rubric about a scene, or its score depth.

    Args:
        r: random generator.
        facts: of the scene.
        rubric: the rubric.
        score_only: depth `score` instead of `verdict`.
    """
    statements = (
        make_elements(r, facts, r.choice([0, 1, 2, 2, 3, 3, 3, 4, 4, 5, 6, 8])) if rubric.elements else []
    )
    labels = label_scene(r, facts, statements).labels
    prompt = label_scene(r, facts, statements).prompt if rubric.needs_prompt else ""
    depth: Depth = "score" if score_only else "verdict"
    names = [e.name for e in statements]
    if labels.score is None:
        raise ValueError("a scene has a score")
    if rubric.elements:
        exact = {**{f"dimensions.{k}": v for k, v in labels.dimensions.items()}, "score": labels.score}
    else:
        exact = {"score": labels.dimensions["structure"]}
    values: dict[str, Any] = {"elements": {e.name: e.present for e in statements}} if statements else {}
    values |= {a.name: labels.attributes[a.name] for a in rubric.attributes}
    if rubric.defects:
        values["defects"] = _defect_values(facts)
    values |= {k.removeprefix("dimensions."): round(v) for k, v in exact.items()}
    values["explanation"] = _summary(facts, sum(e.present for e in statements), len(statements))
    form = rubric.form(names).at_depth(depth)
    values = {k: values[k] for k, _ in form.root.members}
    boxes = {f"defects.{i}.box": defect.box for i, defect in enumerate(facts.defects)}
    return Task(
        prompt=rubric.messages(prompt, names, brief=True, depth=depth)[0]["content"][1]["text"],
        form=form,
        values=values,
        boxes=boxes if "defects" in values else {},
        grounded=True,
        exact_scores=exact,
        statement_kinds=_statement_kinds(statements),
        placeholders=score_only,
    )


def _statement_kinds(statements: list[ElementLabel]) -> dict[str, str]:
    return {f"elements.{i}": e.kind for i, e in enumerate(statements)}


_SINGULAR = {pluralize(k): k for k in OBJECT_KINDS} | {k: k for k in OBJECT_KINDS}
_MENTION = re.compile(
    rf"\b(?:({'|'.join(COLORS)}) )?({'|'.join(sorted(_SINGULAR, key=len, reverse=True))})\b"
)  # fmt: skip


def find_mentions(text: str, facts: SceneFacts) -> Iterator[tuple[int, list[PixelBox]]]:
    """Find the objects that a text names.

    Yields:
        The index of the last character of each name, and the boxes of all such objects in the scene.
    """
    for m in _MENTION.finditer(text):
        color, kind = m.group(1) or "", _SINGULAR[m.group(2)]
        yield m.end() - 1, [o.box for o in facts.objects if o.kind == kind and color in ("", o.color)]


def tokenizer_corpus(facts: list[SceneFacts], seed: int = 0) -> Iterator[str]:
    """Yield texts to train a tokenizer on: the prompts and answers of all tasks over some scenes."""
    r = Random(seed)
    rubric = Rubric.load("default")
    for f in facts:
        for task in [
            describe(r, f),
            locate(r, f),
            count(r, f),
            check(r, f),
            find_damage(r, f),
            inspect_objects(r, f),
            report(r, f),
            judge_scene(r, f, rubric, score_only=False),
        ]:
            yield task.prompt
            for segment in task.form.segments(task.values):
                yield segment.text
    for word in [*COUNTS.values(), *DEFECT_KINDS, *DEGRADATIONS, *SEVERITIES, *STYLES]:
        for _ in range(50):
            yield word
