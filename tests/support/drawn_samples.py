"""Drawn scenes and clips as samples, to compare the verdicts of two backends."""

from __future__ import annotations

import pytest

from judge.scenes import draw_scene
from judge.scenes.clips import draw_clip
from judge.scenes.vocabulary import CLIP_FAULTS
from judge.types import Sample, Verdict


def draw_samples(count: int, seed: int) -> list[Sample]:
    """Draw scenes like those that the judge was trained on, as samples."""
    drawn = [draw_scene(1_000_003 * seed + number) for number in range(count)]
    return [
        Sample(
            id=str(number),
            image=scene.image,
            prompt=scene.sample.prompt,
            elements=[element.name for element in scene.sample.labels.elements] or None,
        )
        for number, scene in enumerate(drawn)
    ]


def draw_clip_samples(count: int) -> list[Sample]:
    """Draw short clips, each with another fault, as samples."""
    drawn = [draw_clip(n, frames=12, fault=CLIP_FAULTS[n % len(CLIP_FAULTS)]) for n in range(count)]
    return [Sample(id=str(n), video=list(c.frames), prompt=c.sample.prompt) for n, c in enumerate(drawn)]


def verdicts_agree(one: Verdict, other: Verdict, within: float) -> bool:
    """Return whether two verdicts have nearly equal scores and the same findings."""
    assert one.status == other.status == "scored", (one.reason, other.reason)
    return (
        one.score == pytest.approx(other.score, abs=within)
        and [(e.name, e.present) for e in one.elements] == [(e.name, e.present) for e in other.elements]
        and [(d.kind, d.severity) for d in one.defects] == [(d.kind, d.severity) for d in other.defects]
        and all(a.box == pytest.approx(b.box, abs=2) for a, b in zip(one.defects, other.defects, strict=True))
    )
