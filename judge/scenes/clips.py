"""Drawing one clip: the objects of a scene in motion, and what time does to them when a video is badly made.

Every object is painted once and then moves: a straight path with elastic walls, a slow turn, a slow pan of
the camera over a larger ground. Faults are injected with an exact severity s in (0, 1]:

- flicker: the brightness of each frame times 1 + (0.03 + 0.22 s) n, n a number in -1..1 of its own
- jitter: the camera is off its path by normal steps of 0.3 + 1.9 s per cent of the height, each frame anew
- freezing: 12 + 48 s per cent of the frames, in one or two runs, repeat the one before; motion goes on
  afterwards where it stood
- skipping: in two to four places time leaps by 3 + 7 s frames
- morphing: outlines and insides of all objects flow by up to 0.6 + 2.8 s per cent of the height
- blur: Gaussian, of 0.25 + 1.35 s per cent of the height, steady or coming and going

The truth: a fault costs 0.12 + 0.58 s. The dimension called like it is 1 + 4 (1 - what it costs), 5 without
it; quality = 1 + 4 max(0, 1 - what all of them cost). With a the share of the statements that hold,
alignment = 1 + 4 a and score = 1 + a (quality - 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import cv2
import numpy as np
from numpy.typing import NDArray

from judge.scenes.drawing.paint import Canvas, Style, background, pick_style
from judge.scenes.facts import Facts
from judge.scenes.scene import Pose, _choose_things, paint, pose_of
from judge.scenes.statements import about_background, about_count, about_object, phrase
from judge.scenes.vocabulary import BACKGROUNDS, FAULTS
from judge.types import ElementLabel, LabelledSample, Labels

SHAPES = ((224, 224), (300, 224), (398, 224), (224, 300))
"""Widths and heights in pixels that a clip may have unless told otherwise."""
RATES = (12, 16, 24, 30)
GROUND = 1.25
"""How much larger than the picture the ground is that the camera pans over."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a clip, and how much of it, 0..1."""

    kind: str
    severity: float

    @property
    def loss(self) -> float:
        return 0.12 + 0.58 * self.severity


@dataclass
class ClipFacts:
    """Everything true of a clip but the pixels."""

    scene: Facts
    """Its objects and background; places are those of the first frame."""
    faults: list[Fault]
    """The worst first."""
    rate: int
    """Frames a second."""
    frames: int

    def left(self, *kinds: str) -> float:
        """1..5: what the faults of these kinds leave of a faultless clip."""
        return 1 + 4 * max(0.0, 1 - sum(f.loss for f in self.faults if f.kind in kinds))


@dataclass
class Clip:
    """A drawn clip."""

    facts: ClipFacts
    sample: LabelledSample
    size: tuple[int, int]
    """Width and height in pixels."""
    frames: Iterator[NDArray[np.uint8]]
    """(height, width, 3) each; to be gone through once."""


def draw_clip(
    seed: int, *, size: tuple[int, int] | None = None, frames: int | None = None, fault: str | None = None
) -> Clip:
    """The clip of a seed. The same arguments give the same pixels and labels.

    Args:
        seed: any non-negative integer.
        size: width and height in pixels, even numbers; default: one of `SHAPES`.
        frames: how many; default: 24 to 40.
        fault: its only fault, "none" for none; default: none, one or two at random.
    """
    r = Random(seed)
    width, height = size or r.choice(SHAPES)
    count, rate = frames or r.randint(24, 40), r.choice(RATES)
    film = _Film(r, width, height)
    kinds = r.choice([0, 1, 1, 1, 1, 1, 2, 2])
    chosen = r.sample(FAULTS, kinds) if fault is None else [fault] * (fault != "none")
    faults = sorted((Fault(k, round(r.uniform(0.05, 1), 3)) for k in chosen), key=lambda f: -f.severity)
    facts = ClipFacts(film.facts, faults, rate, count)
    sample = clip_sample(r, facts, clip_statements(r, film.facts, r.choice([0, 0, 1, 2, 3, 4])))
    return Clip(facts, sample, (width, height), film.roll(count, faults))


def clip_statements(r: Random, facts: Facts, count: int) -> list[ElementLabel]:
    """Statements that hold, or not, all through a clip: nothing about places, which change."""
    asked: dict[str, ElementLabel] = {}
    for _ in range(12 * count):
        if len(asked) < count:
            how = r.choices((about_object, about_count, about_background), (6, 2, 1))[0]
            if label := how(r, facts):
                asked.setdefault(label.name, label)
    return list(asked.values())


def clip_sample(r: Random, facts: ClipFacts, asked: list[ElementLabel]) -> LabelledSample:
    """The labelled sample of a clip for these statements, scored by the rule at the top of this file."""
    share = sum(e.present for e in asked) / len(asked) if asked else 1.0
    quality = facts.left(*FAULTS)
    labels = Labels(
        score=1 + share * (quality - 1),
        dimensions={
            "alignment": 1 + 4 * share,
            **{kind: facts.left(kind) for kind in FAULTS},
            "quality": quality,
        },
        elements=asked,
    )
    prompt = phrase(r, asked) if asked else ""
    return LabelledSample(prompt=prompt, elements=[e.name for e in asked] or None, labels=labels)


@dataclass
class _Sprite:
    """One painted object: its light (h, w, 3), premultiplied, and its coverage (h, w), centred."""

    light: Canvas
    cover: Canvas
    x: float
    y: float
    radius: float
    speed: tuple[float, float]
    """Pixels a frame."""
    turn: float
    """Radians a frame."""

    @classmethod
    def of(
        cls, pose: Pose, style: Style, x: float, y: float, radius: float, r: Random, pace: float
    ) -> _Sprite:
        side = 2 * math.ceil(1.6 * radius) + 9
        black, white = np.zeros((side, side, 3), np.float32), np.full((side, side, 3), 255, np.float32)
        for canvas in (black, white):
            paint(canvas, pose, pose.parts, style)
        cover = 1 - np.clip(white - black, 0, 255).mean(2) / 255
        way, speed = r.uniform(0, 2 * math.pi), pace * r.uniform(0.6, 1.5)
        turn = r.choice([0.0, 0.0, r.uniform(-0.03, 0.03)])
        return cls(black, cover, x, y, radius, (speed * math.cos(way), speed * math.sin(way)), turn)

    def place(self, time: float, width: int, height: int) -> tuple[float, float]:
        """Where it is after so many frames, thrown back by the edges."""

        def bounce(at: float, speed: float, end: int) -> float:
            return _folded(at + speed * time, self.radius, end - self.radius)

        return bounce(self.x, self.speed[0], width), bounce(self.y, self.speed[1], height)


def _folded(at: float, low: float, high: float) -> float:
    """A straight path folded between two walls."""
    if high <= low:
        return (low + high) / 2
    span = high - low
    way = (at - low) % (2 * span)
    return low + (way if way <= span else 2 * span - way)


class _Film:
    """The objects, the ground and the camera of one clip."""

    def __init__(self, r: Random, width: int, height: int) -> None:
        self.r, self.width, self.height = r, width, height
        unit = min(width, height)
        kind = r.choice(BACKGROUNDS)
        side = math.ceil(GROUND * max(width, height)) + 8
        ground = background(r, kind, side)
        self.ground = np.clip(ground, 0, 255).astype(np.uint8)
        style = pick_style(r)
        self.facts = Facts(unit, kind, style.name, _choose_things(r, ground[:unit, :unit]))
        pan = r.choice([0.0, 0.0, r.uniform(0.05, 0.45)]) * unit / 100
        way = r.uniform(0, 2 * math.pi)
        self.pan = (pan * math.cos(way), pan * math.sin(way))
        self.sprites = []
        for thing in self.facts.things:
            x, y, radius = thing.x * width / unit, thing.y * height / unit, thing.radius
            middle = math.ceil(1.6 * radius) + 4.0
            thing.x, thing.y = middle, middle
            pose = pose_of(r, thing)
            thing.x, thing.y = x, y
            pace = unit * r.uniform(0.7, 1.3) / 100
            self.sprites.append(_Sprite.of(pose, style, x, y, radius, r, pace))

    def roll(self, count: int, faults: list[Fault]) -> Iterator[NDArray[np.uint8]]:
        """The frames, one after the other."""
        s = {f.kind: f.severity for f in faults}
        g = np.random.default_rng(self.r.getrandbits(32))
        times = _times(self.r, count, s.get("freezing"), s.get("skipping"))
        shake = np.zeros((count, 2))
        if "jitter" in s:
            shake = g.normal(0, (0.3 + 1.9 * s["jitter"]) / 100 * self.height, (count, 2))
        gains = np.ones(count)
        if "flicker" in s:
            swing = g.uniform(0.5, 1, count) * np.where(np.arange(count) % 2, 1, -1)
            swing = swing if self.r.random() < 0.5 else g.uniform(-1, 1, count)
            gains = 1 + (0.03 + 0.22 * s["flicker"]) * swing
        sigma = np.zeros(count)
        if "blur" in s:
            steady = self.r.random() < 0.6
            wave = 1.0 if steady else 0.55 + 0.45 * np.sin(np.arange(count) * self.r.uniform(0.25, 0.7))
            sigma = np.full(count, (0.25 + 1.35 * s["blur"]) / 100 * self.height) * wave
        flow = self._flow(s["morphing"]) if "morphing" in s else None
        last: NDArray[np.uint8] | None = None
        for n, time in enumerate(times):
            if last is not None and time == times[n - 1]:
                yield last
                continue
            last = self._frame(time, shake[n], flow)
            if sigma[n] > 0.05:
                last = cv2.GaussianBlur(last, (0, 0), sigma[n]).astype(np.uint8)
            if gains[n] != 1:
                last = cv2.convertScaleAbs(last, alpha=gains[n]).astype(np.uint8)
            yield last

    def _flow(self, severity: float) -> tuple[float, float, float]:
        """How far objects flow in pixels, how fast, and in waves how long."""
        r = self.r
        return (
            (0.6 + 2.8 * severity) / 100 * self.height,
            r.uniform(0.4, 0.55),
            r.uniform(0.1, 0.16) * self.height,
        )

    def _frame(
        self, time: float, shake: NDArray[np.float64], flow: tuple[float, float, float] | None
    ) -> NDArray[np.uint8]:
        width, height = self.width, self.height
        spare = self.ground.shape[0] - width, self.ground.shape[0] - height
        camera = [
            _folded(room / 2 + speed * time, room * 0.2, room * 0.8) + off
            for room, speed, off in zip(spare, self.pan, shake, strict=True)
        ]
        move = np.array([[1, 0, -camera[0]], [0, 1, -camera[1]]], np.float32)
        canvas = np.asarray(cv2.warpAffine(self.ground, move, (width, height)), np.uint8)
        for sprite in self.sprites:
            x, y = sprite.place(time, width, height)
            light, cover = sprite.light, sprite.cover
            if flow:
                light, cover = _flowing(light, cover, time, *flow)
            _stamp(canvas, light, cover, x - shake[0], y - shake[1], sprite.turn * time)
        return canvas


def _times(r: Random, count: int, frozen: float | None, dropped: float | None) -> list[float]:
    """Which moment each frame shows, in frames of a faultless clip."""
    steps = [0.0] + [1.0] * (count - 1)
    if dropped is not None:
        for at in r.sample(range(3, count - 2), min(r.randint(2, 4), count - 5)):
            steps[at] += round(3 + 7 * dropped)
    if frozen is not None:
        share = round((0.12 + 0.48 * frozen) * count)
        runs = [share] if share < 6 or r.random() < 0.5 else [share // 2, share - share // 2]
        half = count // len(runs)
        for n, run in enumerate(runs):
            start = n * half + r.randint(1, max(1, half - run - 1))
            for at in range(start, min(start + run, count)):
                steps[at] = 0.0
    times: list[float] = np.cumsum(steps).tolist()
    return times


def _flowing(
    light: Canvas, cover: Canvas, time: float, reach: float, pace: float, wave: float
) -> tuple[Canvas, Canvas]:
    """An object whose outline and inside drift along waves that wander in time."""
    yy, xx = np.mgrid[0 : cover.shape[0], 0 : cover.shape[1]].astype(np.float32)
    a, b = 2 * math.pi / wave, pace * time
    dx = reach * np.sin(a * yy + b) * np.cos(0.6 * a * xx - 0.7 * b)
    dy = reach * np.cos(a * xx - b) * np.sin(0.7 * a * yy + 0.6 * b)
    moved = (xx + dx.astype(np.float32), yy + dy.astype(np.float32))
    light, cover = (
        np.asarray(cv2.remap(still, *moved, cv2.INTER_LINEAR), np.float32) for still in (light, cover)
    )
    return light, cover


def _stamp(canvas: NDArray[np.uint8], light: Canvas, cover: Canvas, x: float, y: float, turn: float) -> None:
    """Put an object on a canvas, its centre at (x, y), turned by some radians."""
    side = cover.shape[0]
    left, top = math.floor(x - side / 2), math.floor(y - side / 2)
    middle = (side - 1) / 2
    c, s = math.cos(turn), math.sin(turn)
    dx, dy = x - left - (middle + 0.5), y - top - (middle + 0.5)
    move = np.array(
        [[c, -s, middle - c * middle + s * middle + dx], [s, c, middle - s * middle - c * middle + dy]],
        np.float32,
    )
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(canvas.shape[1], left + side), min(canvas.shape[0], top + side)
    if x1 <= x0 or y1 <= y0:
        return
    part = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    under = 1 - cv2.warpAffine(cover, move, (side, side))[part]
    mixed = canvas[y0:y1, x0:x1] * under[..., None] + cv2.warpAffine(light, move, (side, side))[part]
    canvas[y0:y1, x0:x1] = np.minimum(mixed, 255)
