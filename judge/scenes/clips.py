"""Drawing clips: the objects of a scene in motion, and faults of badly made videos.

Every object is painted once and then moves. It follows a straight path with elastic walls and turns slowly,
while the camera pans slowly over a larger ground. Faults have an exact severity s in (0, 1]:

- flicker: the brightness of each frame is multiplied by 1 + (0.03 + 0.22 s) n with a random n in -1 to 1
- jitter: in each frame the camera leaves its path by a normal step of 0.3 + 1.9 s per cent of the height
- freezing: 12 + 48 s per cent of the frames, in one or two runs, repeat the previous one; afterwards the
  motion continues where it stopped
- skipping: at two to four places the time jumps by 3 + 7 s frames
- morphing: outlines and insides of all objects move by up to 0.6 + 2.8 s per cent of the height
- blur: Gaussian blur of 0.25 + 1.35 s per cent of the height, either constant or coming and going

The ground truth: a fault costs 0.12 + 0.58 s. The dimension with its name is 1 + 4 (1 - cost), 5 without the
fault; quality = 1 + 4 max(0, 1 - sum of all costs). With a the share of the elements that hold,
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

from judge.scenes.drawing.objects import Pose, choose_objects, create_pose, paint_pose
from judge.scenes.drawing.painting import Canvas, Style, paint_background, pick_style
from judge.scenes.labels import (
    make_background_element,
    make_count_element,
    make_object_element,
    write_prompt,
)
from judge.scenes.scene_facts import SceneFacts
from judge.scenes.vocabulary import BACKGROUNDS, CLIP_FAULTS
from judge.types import ElementLabel, LabelledSample, Labels

CLIP_SIZES = ((224, 224), (300, 224), (398, 224), (224, 300))
"""Default widths and heights in pixels."""
FRAME_RATES = (12, 16, 24, 30)
"""Frames per second."""
GROUND_SCALE = 1.25
"""How much larger than the image the ground is that the camera pans over."""


@dataclass(frozen=True)
class Fault:
    """A fault of a clip."""

    kind: str
    """One of `vocabulary.CLIP_FAULTS`."""
    severity: float
    """0 to 1."""

    @property
    def loss(self) -> float:
        """What the fault costs, 0.12 to 0.7."""
        return 0.12 + 0.58 * self.severity


@dataclass
class ClipFacts:
    """Everything that is true of a clip, except its pixels."""

    scene: SceneFacts
    """Its objects and background; positions are those of the first frame."""
    faults: list[Fault]
    """The most severe fault first."""
    frame_rate: int
    """Frames per second."""
    frame_count: int

    def remaining_quality(self, *kinds: str) -> float:
        """Return the quality, 1 to 5, of a clip that has only the faults of these kinds."""
        return 1 + 4 * max(0.0, 1 - sum(f.loss for f in self.faults if f.kind in kinds))


@dataclass
class Clip:
    """A drawn clip with its labels."""

    facts: ClipFacts
    sample: LabelledSample
    size: tuple[int, int]
    """Width and height in pixels."""
    frames: Iterator[NDArray[np.uint8]]
    """RGB, each (height, width, 3). The iterator can be used once."""


def draw_clip(
    seed: int, *, size: tuple[int, int] | None = None, frames: int | None = None, fault: str | None = None
) -> Clip:
    """Draw the clip of a seed. The same arguments give the same pixels and labels.

    Args:
        seed: any non-negative integer.
        size: width and height in pixels, even numbers; default: one of `CLIP_SIZES`.
        frames: number of frames; default: 24 to 40.
        fault: the only fault, or "none"; default: no, one or two random faults.
    """
    r = Random(seed)
    width, height = size or r.choice(CLIP_SIZES)
    frame_count, frame_rate = frames or r.randint(24, 40), r.choice(FRAME_RATES)
    drawing = _ClipDrawing(r, width, height)
    fault_count = r.choice([0, 1, 1, 1, 1, 1, 2, 2])
    kinds = r.sample(CLIP_FAULTS, fault_count) if fault is None else [fault] * (fault != "none")
    faults = sorted((Fault(k, round(r.uniform(0.05, 1), 3)) for k in kinds), key=lambda f: -f.severity)
    facts = ClipFacts(drawing.facts, faults, frame_rate, frame_count)
    sample = label_clip(r, facts, make_clip_elements(r, drawing.facts, r.choice([0, 0, 1, 2, 3, 4])))
    return Clip(facts, sample, (width, height), drawing.render(frame_count, faults))


def make_clip_elements(r: Random, facts: SceneFacts, count: int) -> list[ElementLabel]:
    """Make elements that are true or false during the whole clip.

    Relations are left out because positions change.

    Args:
        r: source of random numbers.
        facts: the scene of the clip.
        count: number of elements; the result is shorter when the scene does not give as many.
    """
    elements: dict[str, ElementLabel] = {}
    for _ in range(12 * count):
        if len(elements) < count:
            makers = (make_object_element, make_count_element, make_background_element)
            make = r.choices(makers, (6, 2, 1))[0]
            if label := make(r, facts):
                elements.setdefault(label.name, label)
    return list(elements.values())


def label_clip(r: Random, facts: ClipFacts, elements: list[ElementLabel]) -> LabelledSample:
    """Return the labelled sample of a clip, with the scores of the module docstring.

    Args:
        r: source of random numbers, used for the wording of the prompt.
        facts: the clip.
        elements: elements to check; without any, the alignment counts as perfect and the prompt is empty.
    """
    share = sum(e.present for e in elements) / len(elements) if elements else 1.0
    quality = facts.remaining_quality(*CLIP_FAULTS)
    labels = Labels(
        score=1 + share * (quality - 1),
        dimensions={
            "alignment": 1 + 4 * share,
            **{kind: facts.remaining_quality(kind) for kind in CLIP_FAULTS},
            "quality": quality,
        },
        elements=elements,
    )
    prompt = write_prompt(r, elements) if elements else ""
    return LabelledSample(prompt=prompt, elements=[e.name for e in elements] or None, labels=labels)


@dataclass
class _Sprite:
    """One painted object and its motion."""

    light: Canvas
    """(h, w, 3): the object on black, that is with its colour multiplied by its coverage."""
    coverage: Canvas
    """(h, w), 0 to 1, with the object in the centre."""
    x: float
    y: float
    """Position in pixels in the first frame."""
    radius: float
    speed: tuple[float, float]
    """Pixels per frame."""
    turn: float
    """Radians per frame."""

    @classmethod
    def from_pose(
        cls, pose: Pose, style: Style, x: float, y: float, radius: float, r: Random, usual_speed: float
    ) -> _Sprite:
        side = 2 * math.ceil(1.6 * radius) + 9
        black, white = np.zeros((side, side, 3), np.float32), np.full((side, side, 3), 255, np.float32)
        for canvas in (black, white):
            paint_pose(canvas, pose, pose.parts, style)
        coverage = 1 - np.clip(white - black, 0, 255).mean(2) / 255
        direction, speed = r.uniform(0, 2 * math.pi), usual_speed * r.uniform(0.6, 1.5)
        turn = r.choice([0.0, 0.0, r.uniform(-0.03, 0.03)])
        velocity = (speed * math.cos(direction), speed * math.sin(direction))
        return cls(black, coverage, x, y, radius, velocity, turn)

    def position(self, time: float, width: int, height: int) -> tuple[float, float]:
        """Return where the object is after some frames; it bounces off the edges."""

        def bounce(start: float, speed: float, end: int) -> float:
            return _fold(start + speed * time, self.radius, end - self.radius)

        return bounce(self.x, self.speed[0], width), bounce(self.y, self.speed[1], height)


def _fold(position: float, low: float, high: float) -> float:
    """Fold a straight path between two walls."""
    if high <= low:
        return (low + high) / 2
    span = high - low
    offset = (position - low) % (2 * span)
    return low + (offset if offset <= span else 2 * span - offset)


@dataclass(frozen=True)
class _Flow:
    """How objects change their shape under the fault "morphing"."""

    reach: float
    """Largest displacement in pixels."""
    pace: float
    """Radians per frame."""
    wavelength: float
    """Pixels."""


class _ClipDrawing:
    """The objects, the ground and the camera of one clip."""

    def __init__(self, r: Random, width: int, height: int) -> None:
        self.r, self.width, self.height = r, width, height
        unit = min(width, height)
        background_kind = r.choice(BACKGROUNDS)
        side = math.ceil(GROUND_SCALE * max(width, height)) + 8
        ground = paint_background(r, background_kind, side)
        self.ground = np.clip(ground, 0, 255).astype(np.uint8)
        style = pick_style(r)
        self.facts = SceneFacts(unit, background_kind, style.name, choose_objects(r, ground[:unit, :unit]))
        pan = r.choice([0.0, 0.0, r.uniform(0.05, 0.45)]) * unit / 100
        direction = r.uniform(0, 2 * math.pi)
        self.pan = (pan * math.cos(direction), pan * math.sin(direction))
        self.sprites = []
        for thing in self.facts.objects:
            x, y, radius = thing.x * width / unit, thing.y * height / unit, thing.radius
            # The pose is painted in the middle of a canvas of its own.
            middle = math.ceil(1.6 * radius) + 4.0
            thing.x, thing.y = middle, middle
            pose = create_pose(r, thing)
            thing.x, thing.y = x, y
            usual_speed = unit * r.uniform(0.7, 1.3) / 100
            self.sprites.append(_Sprite.from_pose(pose, style, x, y, radius, r, usual_speed))

    def render(self, count: int, faults: list[Fault]) -> Iterator[NDArray[np.uint8]]:
        """Yield the frames one by one, each (height, width, 3)."""
        severity = {f.kind: f.severity for f in faults}
        generator = np.random.default_rng(self.r.getrandbits(32))
        times = _frame_times(self.r, count, severity.get("freezing"), severity.get("skipping"))
        shake = self._shake(generator, count, severity.get("jitter"))
        gains = self._gains(generator, count, severity.get("flicker"))
        sigmas = self._blur_sigmas(count, severity.get("blur"))
        flow = self._flow(severity["morphing"]) if "morphing" in severity else None
        last: NDArray[np.uint8] | None = None
        for n, time in enumerate(times):
            if last is not None and time == times[n - 1]:
                yield last
                continue
            last = self._frame(time, shake[n], flow)
            if sigmas[n] > 0.05:
                last = cv2.GaussianBlur(last, (0, 0), sigmas[n]).astype(np.uint8)
            if gains[n] != 1:
                last = cv2.convertScaleAbs(last, alpha=gains[n]).astype(np.uint8)
            yield last

    def _shake(
        self, generator: np.random.Generator, count: int, severity: float | None
    ) -> NDArray[np.float64]:
        """Return how far the camera is off its path in each frame, (count, 2) in pixels."""
        if severity is None:
            return np.zeros((count, 2))
        return generator.normal(0, (0.3 + 1.9 * severity) / 100 * self.height, (count, 2))

    def _gains(
        self, generator: np.random.Generator, count: int, severity: float | None
    ) -> NDArray[np.float64]:
        """Return the factor of the brightness of each frame, (count,)."""
        if severity is None:
            return np.ones(count)
        swing = generator.uniform(0.5, 1, count) * np.where(np.arange(count) % 2, 1, -1)
        swing = swing if self.r.random() < 0.5 else generator.uniform(-1, 1, count)
        gains: NDArray[np.float64] = 1 + (0.03 + 0.22 * severity) * swing
        return gains

    def _blur_sigmas(self, count: int, severity: float | None) -> NDArray[np.float64]:
        """Return the standard deviation of the blur of each frame, (count,) in pixels."""
        if severity is None:
            return np.zeros(count)
        is_constant = self.r.random() < 0.6
        wave = 1.0 if is_constant else 0.55 + 0.45 * np.sin(np.arange(count) * self.r.uniform(0.25, 0.7))
        sigmas: NDArray[np.float64] = np.full(count, (0.25 + 1.35 * severity) / 100 * self.height) * wave
        return sigmas

    def _flow(self, severity: float) -> _Flow:
        r = self.r
        return _Flow(
            reach=(0.6 + 2.8 * severity) / 100 * self.height,
            pace=r.uniform(0.4, 0.55),
            wavelength=r.uniform(0.1, 0.16) * self.height,
        )

    def _frame(self, time: float, shake: NDArray[np.float64], flow: _Flow | None) -> NDArray[np.uint8]:
        width, height = self.width, self.height
        spare = self.ground.shape[0] - width, self.ground.shape[0] - height
        camera = [
            _fold(room / 2 + speed * time, room * 0.2, room * 0.8) + offset
            for room, speed, offset in zip(spare, self.pan, shake, strict=True)
        ]
        move = np.array([[1, 0, -camera[0]], [0, 1, -camera[1]]], np.float32)
        canvas = np.asarray(cv2.warpAffine(self.ground, move, (width, height)), np.uint8)
        for sprite in self.sprites:
            x, y = sprite.position(time, width, height)
            light, coverage = sprite.light, sprite.coverage
            if flow:
                light, coverage = _morph(light, coverage, time, flow)
            _stamp(canvas, light, coverage, x - shake[0], y - shake[1], sprite.turn * time)
        return canvas


def _frame_times(r: Random, count: int, freezing: float | None, skipping: float | None) -> list[float]:
    """Return the moment that each frame shows, in frames of a clip without faults.

    Args:
        r: source of random numbers.
        count: number of frames.
        freezing: severity of the fault, or None.
        skipping: severity of the fault, or None.
    """
    steps = [0.0] + [1.0] * (count - 1)
    if skipping is not None:
        for n in r.sample(range(3, count - 2), min(r.randint(2, 4), count - 5)):
            steps[n] += round(3 + 7 * skipping)
    if freezing is not None:
        frozen = round((0.12 + 0.48 * freezing) * count)
        runs = [frozen] if frozen < 6 or r.random() < 0.5 else [frozen // 2, frozen - frozen // 2]
        span = count // len(runs)
        for index, run in enumerate(runs):
            start = index * span + r.randint(1, max(1, span - run - 1))
            for n in range(start, min(start + run, count)):
                steps[n] = 0.0
    times: list[float] = np.cumsum(steps).tolist()
    return times


def _morph(light: Canvas, coverage: Canvas, time: float, flow: _Flow) -> tuple[Canvas, Canvas]:
    """Move outline and inside of an object along waves that change with time."""
    yy, xx = np.mgrid[0 : coverage.shape[0], 0 : coverage.shape[1]].astype(np.float32)
    a, b = 2 * math.pi / flow.wavelength, flow.pace * time
    dx = flow.reach * np.sin(a * yy + b) * np.cos(0.6 * a * xx - 0.7 * b)
    dy = flow.reach * np.cos(a * xx - b) * np.sin(0.7 * a * yy + 0.6 * b)
    moved = (xx + dx.astype(np.float32), yy + dy.astype(np.float32))
    light, coverage = (
        np.asarray(cv2.remap(plane, *moved, cv2.INTER_LINEAR), np.float32) for plane in (light, coverage)
    )
    return light, coverage


def _stamp(
    canvas: NDArray[np.uint8], light: Canvas, coverage: Canvas, x: float, y: float, turn: float
) -> None:
    """Paint an object onto a canvas, in place, with its centre at (x, y), rotated by `turn` radians."""
    side = coverage.shape[0]
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
    under = 1 - cv2.warpAffine(coverage, move, (side, side))[part]
    mixed = canvas[y0:y1, x0:x1] * under[..., None] + cv2.warpAffine(light, move, (side, side))[part]
    canvas[y0:y1, x0:x1] = np.minimum(mixed, 255)
