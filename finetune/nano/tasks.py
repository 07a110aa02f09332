"""Questions about a scene, for training: the user's text, the answer as a filled `Form`, and where to look.

Pre-training asks the model to describe, locate, count, check and find damage; judging comes later, as an
adapter. Texts are drawn afresh at every visit of a picture.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any, get_args

from judge.rubrics.form import Box, Choice, Form, Object, Repeat, Text
from judge.rubrics.rubric import Rubric
from judge.scenes import Facts, ask, sample_of
from judge.scenes.facts import Thing, severity_of
from judge.scenes.statements import about_count, about_relation
from judge.scenes.vocabulary import (
    BACKGROUNDS,
    COLORS,
    COUNTS,
    DEFECTS,
    DEGRADATIONS,
    KINDS,
    SEVERITIES,
    STYLES,
    named,
    plural,
)
from judge.types import Depth, ElementLabel, Severity

Area = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels."""


@dataclass
class Task:
    """One question with its answer."""

    user: str
    form: Form
    values: dict[str, Any]
    areas: Mapping[str, Area] = field(default_factory=dict)
    """For boxes in the answer: blank path of the box -> where it is."""
    grounded: bool = False
    """Whether objects named in the user's text and in keys of the answer are to be looked for."""
    soft: dict[str, float] = field(default_factory=dict)
    """Exact values behind rounded score labels: blank path -> 1..5."""
    tags: dict[str, str] = field(default_factory=dict)
    """Kind of statement behind each element's blank."""
    placeholders: bool = False
    """Choices are fed as each blank's first label, as a one-pass read does; the targets stay true."""


def _choice(name: str, labels: Any) -> Choice:
    return Choice(name, tuple(labels), quoted=True)


_DESCRIBE = Form(
    Object((
        ("objects", Repeat("objects", Object((
            ("box", Box("box")), ("color", _choice("color", COLORS)), ("kind", _choice("kind", KINDS)),
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
            ("kind", _choice("kind", DEFECTS)), ("box", Box("box")),
            ("severity", _choice("severity", get_args(Severity))), ("explanation", Text("explanation", 120)),
        )), 0, 3)),
    ))
)  # fmt: skip
_REPORT = (
    ("degradation", _choice("attributes.degradation", DEGRADATIONS)),
    ("severity", _choice("attributes.severity", SEVERITIES)),
    ("defects", Repeat("defects", Object((("kind", _choice("kind", DEFECTS)),)), 0, 3)),
    ("summary", Text("summary", 120)),
)


def relative(box: Area, size: int, grid: int = 10) -> list[int]:
    """A box in 0..1000 of the picture, rounded to the grid, never empty."""
    x1, y1, x2, y2 = (int(round(v / size * 1000 / grid)) * grid for v in box)
    x1, y1 = min(x1, 1000 - grid), min(y1, 1000 - grid)
    return [x1, y1, max(x2, x1 + grid), max(y2, y1 + grid)]


def _reading_order(things: list[Thing]) -> list[Thing]:
    return sorted(things, key=lambda t: (t.y, t.x))


def describe(r: Random, facts: Facts) -> Task:
    """All objects with their boxes, in reading order of their centres; background and style."""
    things = _reading_order(facts.things)
    objects = [{"box": relative(t.box, facts.size), "color": t.color, "kind": t.kind} for t in things]
    values = {"objects": objects, "background": facts.background, "style": facts.style}
    return Task(
        "Describe the picture.", _DESCRIBE, values, {f"objects.{i}.box": t.box for i, t in enumerate(things)}
    )


def _a_kind(r: Random, facts: Facts) -> tuple[str, str]:
    thing = r.choice(facts.things)
    if r.random() < 0.65:
        return ("" if r.random() < 0.15 else thing.color), thing.kind
    return r.choice(list(COLORS)) if r.random() < 0.5 else thing.color, r.choice(
        KINDS
    ) if r.random() < 0.6 else thing.kind


def locate(r: Random, facts: Facts) -> Task:
    """Boxes of every object of a colour and kind; none when there is none."""
    color, kind = _a_kind(r, facts)
    things = [t for t in _reading_order(facts.things) if t.kind == kind and color in ("", t.color)]
    values = {"boxes": [{"box": relative(t.box, facts.size)} for t in things]}
    return Task(
        f"Locate: {named(1, color, kind)}",
        _LOCATE,
        values,
        {f"boxes.{i}.box": t.box for i, t in enumerate(things)},
        grounded=True,
    )


def count(r: Random, facts: Facts) -> Task:
    """How many there are of each of up to three sorts of objects."""
    asked: dict[str, int] = {}
    for _ in range(r.choice([1, 2, 3])):
        color, kind = _a_kind(r, facts)
        asked[f"{color} {plural(kind)}".strip()] = facts.count(color, kind)
    members = tuple((name, Choice(f"counts.{i}", tuple("012345"))) for i, name in enumerate(asked))
    return Task(
        "Count the objects.", Form(Object((("counts", Object(members)),))), {"counts": asked}, grounded=True
    )


def check(r: Random, facts: Facts, plain: float = 0.0) -> Task:
    """Which of several statements hold."""
    return _checked(ask(r, facts, r.choice([3, 4, 5, 6, 7]), plain))


def compare(r: Random, facts: Facts) -> Task:
    """Which of several statements hold about numbers and places, the hardest to learn."""
    tried = [about_relation(r, facts) for _ in range(8)] + [about_count(r, facts) for _ in range(3)]
    hard = {e.name: e for e in tried if e}
    asked = r.sample(list(hard.values()), min(6, len(hard)))
    return _checked(asked or ask(r, facts, 2))


def _checked(asked: list[ElementLabel]) -> Task:
    members = tuple((e.name, Choice(f"elements.{i}", ("true", "false"))) for i, e in enumerate(asked))
    return Task(
        "Check the picture.",
        Form(Object((("elements", Object(members)),))),
        {"elements": {e.name: e.present for e in asked}},
        grounded=True,
        tags=_tags(asked),
    )


def damage(r: Random, facts: Facts) -> Task:
    """The degradation of the whole and every local defect."""
    values = {"degradation": facts.degradation, "severity": SEVERITIES[facts.level], "defects": _flaws(facts)}
    return Task(
        "Find the damage.", _DAMAGE, values, {f"defects.{i}.box": f.box for i, f in enumerate(facts.flaws)}
    )


def inspect(r: Random, facts: Facts) -> Task:
    """What is wrong with each object, by name."""
    state = {t.name: "none" for t in r.sample(facts.things, len(facts.things))}
    for flaw in facts.flaws:
        state |= {facts.things[n].name: flaw.kind for n in flaw.things}
    members = tuple((name, _choice(f"state.{i}", ("none", *DEFECTS))) for i, name in enumerate(state))
    return Task(
        "Inspect the objects.", Form(Object((("state", Object(members)),))), {"state": state}, grounded=True
    )


def report(r: Random, facts: Facts) -> Task:
    """Which statements hold, what is damaged, and both summed up in words.

    An adapter makes the base write no word that the base never wrote (LOG.md), so the base writes whole
    summaries too.
    """
    asked = ask(r, facts, r.choice([0, 1, 2, 3, 4, 5, 6]))
    held = tuple((e.name, Choice(f"elements.{i}", ("true", "false"))) for i, e in enumerate(asked))
    form = Form(Object((*((("elements", Object(held)),) if held else ()), *_REPORT)))
    values = {
        "elements": {e.name: e.present for e in asked},
        "degradation": facts.degradation,
        "severity": SEVERITIES[facts.level],
        "defects": [{"kind": f.kind} for f in facts.flaws],
        "summary": _summary(facts, sum(e.present for e in asked), len(asked)),
    }
    values = {name: values[name] for name, _ in form.root.members}
    return Task("Report on the picture.", form, values, grounded=True, tags=_tags(asked))


def _flaws(facts: Facts) -> list[dict[str, Any]]:
    return [
        {
            "kind": f.kind,
            "box": relative(f.box, facts.size),
            "severity": severity_of(f.box, facts.size),
            "explanation": f.explanation,
        }
        for f in facts.flaws
    ]


def _summary(facts: Facts, present: int, asked: int) -> str:
    parts = []
    if asked:
        parts.append(f"{present} of {asked} elements are there")
    parts += [f.kind for f in facts.flaws]
    if facts.level:
        parts.append(f"{SEVERITIES[facts.level]} {facts.degradation}")
    return "; ".join(parts if len(parts) > bool(asked) else [*parts, "no damage"])


def judge(r: Random, facts: Facts, rubric: Rubric, *, score_only: bool) -> Task:
    """The whole form of a rubric over a scene, or its score depth."""
    asked = ask(r, facts, r.choice([0, 1, 2, 2, 3, 3, 3, 4, 4, 5, 6, 8])) if rubric.elements else []
    labels = sample_of(r, facts, asked).labels
    prompt = sample_of(r, facts, asked).prompt if rubric.needs_prompt else ""
    depth: Depth = "score" if score_only else "verdict"
    names = [e.name for e in asked]
    if labels.score is None:
        raise ValueError("a scene has a score")
    if rubric.elements:
        soft = {**{f"dimensions.{k}": v for k, v in labels.dimensions.items()}, "score": labels.score}
    else:
        soft = {"score": labels.dimensions["structure"]}
    values: dict[str, Any] = {"elements": {e.name: e.present for e in asked}} if asked else {}
    values |= {a.name: labels.attributes[a.name] for a in rubric.attributes}
    if rubric.defects:
        values["defects"] = _flaws(facts)
    values |= {k.removeprefix("dimensions."): round(v) for k, v in soft.items()}
    values["explanation"] = _summary(facts, sum(e.present for e in asked), len(asked))
    form = rubric.form(names).at_depth(depth)
    values = {k: values[k] for k, _ in form.root.members}
    user = rubric.messages(prompt, names, brief=True, depth=depth)[0]["content"][1]["text"]
    areas = {f"defects.{i}.box": f.box for i, f in enumerate(facts.flaws)} if "defects" in values else {}
    return Task(
        user, form, values, areas, grounded=True, soft=soft, tags=_tags(asked), placeholders=score_only
    )


def _tags(asked: list[ElementLabel]) -> dict[str, str]:
    return {f"elements.{i}": e.kind for i, e in enumerate(asked)}


_SINGULAR = {plural(k): k for k in KINDS} | {k: k for k in KINDS}
_MENTION = re.compile(
    rf"\b(?:({'|'.join(COLORS)}) )?({'|'.join(sorted(_SINGULAR, key=len, reverse=True))})\b"
)  # fmt: skip


def mentions(text: str, facts: Facts) -> Iterator[tuple[int, list[Area]]]:
    """Each object named in a text: index of its last character, and where such objects are, if anywhere."""
    for m in _MENTION.finditer(text):
        color, kind = m.group(1) or "", _SINGULAR[m.group(2)]
        yield m.end() - 1, [t.box for t in facts.things if t.kind == kind and color in ("", t.color)]


def corpus(facts: list[Facts], seed: int = 0) -> Iterator[str]:
    """Texts to train a tokenizer on: every task over some scenes, with the coordinates' numbers spelt out."""
    r = Random(seed)
    rubric = Rubric.load("default")
    for f in facts:
        for task in [
            describe(r, f),
            locate(r, f),
            count(r, f),
            check(r, f),
            damage(r, f),
            inspect(r, f),
            report(r, f),
            judge(r, f, rubric, score_only=False),
        ]:
            yield task.user
            for segment in task.form.segments(task.values):
                yield segment.text
    for word in [*COUNTS.values(), *DEFECTS, *DEGRADATIONS, *SEVERITIES, *STYLES]:
        for _ in range(50):
            yield word
