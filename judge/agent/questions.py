"""The questions of closer looks: which part of a picture is shown, and what is asked about it.

A look is one more question to the model about a part of the picture, cut out at full detail. Asked is whether
elements are there, whether anything in the part is broken, where the part is that a dimension is about, and
how good that is by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from judge.backends.base import Request
from judge.media import image as media
from judge.rubrics.form import Box as Corners
from judge.rubrics.form import Choice, Form, Object
from judge.rubrics.rubric import SCALE, Rubric, Scale
from judge.rubrics.templates import PART_PROMPT, template
from judge.types import Box, Depth

if TYPE_CHECKING:
    from judge.pipeline.pipeline import Pipeline
    from judge.pipeline.prepared import PreparedSample

Verb = Literal["choose", "complete"]

CELL = 16
"""Side in pixels of the squares in which lost detail is measured."""
FLAT = 6.0
"""A part has nothing new to show where the model's own view differs from the picture by less (mean of a
cell, 0..255): as much as faint noise does."""
OVERLAP = 0.25
"""Share of a tile's side that it has in common with the next one, so that what is small is whole in one."""
LOOK = "{}-look"
"""Name under which a model has an adapter for parts of pictures beside the one for the rubric: whole pictures
have nothing cut off."""


def verb_at(depth: Depth) -> Verb:
    """How a backend is asked at a depth."""
    return "choose" if depth == "score" else "complete"


@dataclass(frozen=True)
class Question:
    """One thing put to the model."""

    verb: Verb
    request: Request
    region: Box
    """The part shown, in pixels of the original."""
    text: str
    """The question in a few words, for the trace."""


class Questions:
    """Writes questions about parts of one picture."""

    def __init__(self, pipeline: Pipeline, case: PreparedSample) -> None:
        if case.original is None:
            raise ValueError("looks need the original picture")
        self.pipeline, self.case, self.picture = pipeline, case, case.original

    @property
    def side(self) -> int:
        """Side in pixels of the square that the model sees in full detail."""
        return self.pipeline.card.size or math.isqrt(self.pipeline.max_pixels)

    def seen(self) -> Image.Image:
        """The whole picture as the model is shown it."""
        whole = media.Picture(self.picture, *self.picture.size)
        return media.fit(whole, side=self.pipeline.card.size, max_pixels=self.pipeline.max_pixels)[0]

    def elements(self, names: Sequence[str], region: Box) -> Question:
        """Whether elements of the prompt are in a part; read in one pass, nothing is written."""
        whole = self.pipeline.rubric.form(names)
        form = Form(Object(tuple(m for m in whole.root.members if m[0] == "elements")))
        request = self._ask(region, form, self._messages(names))
        return Question("choose", request, region, "; ".join(names))

    def damage(self, region: Box) -> Question:
        """What is broken in a part, whatever the prompt says. The rubric must name artifacts."""
        rubric = structural(self.pipeline.rubric) or self.pipeline.rubric
        asked = [a.name for a in rubric.attributes] + ["defects"] + [d.name for d in rubric.dimensions]
        members = rubric.form((), self.pipeline.max_defects).root.members
        form = Form(Object(tuple(m for m in members if m[0] in asked)))
        name = LOOK.format(self.pipeline.rubric.name)
        request = self._ask(region, form, self._messages(()))
        if name in self.pipeline.card.tunings:
            request.rubric = name
        return Question("complete", request, region, "what is broken here?")

    def where(self, part: str) -> Question:
        """Where the picture shows something, if it does."""
        form = Form(Object((("there", Choice("there", ("true", "false"))), ("box", Corners("box")))))
        whole = (0.0, 0.0, float(self.case.size[0]), float(self.case.size[1]))
        return Question("complete", self._ask(whole, form, self._about(part)), whole, f"where is {part}?")

    def apart(self, part: str, dimensions: Sequence[Scale], region: Box) -> Question:
        """How good a part is by itself, in some dimensions; read in one pass."""
        form = Form(Object(tuple((d.name, Choice(f"dimensions.{d.name}", SCALE)) for d in dimensions)))
        request = self._ask(region, form, self._about(part, dimensions))
        return Question("choose", request, region, f"how good is {part}?")

    def _ask(self, region: Box, form: Form, messages: list[dict[str, Any]]) -> Request:
        cut = cropped(self.picture, region)
        part = media.Picture(cut, *cut.size)
        seen, _ = media.fit(part, side=self.pipeline.card.size, max_pixels=self.pipeline.max_pixels)
        return Request(
            images=[seen],
            messages=messages,
            form=form,
            rubric=self.pipeline.rubric.name,
            seed=self.pipeline.seed,
        )

    def _messages(self, names: Sequence[str]) -> list[dict[str, Any]]:
        rubric, prompt = self.pipeline.rubric, self.case.prompt
        if self.pipeline.card.brief:
            told = (prompt if names else PART_PROMPT) if rubric.needs_prompt else ""
            return rubric.messages(told, names, brief=True)
        limit = self.pipeline.max_defects
        if limit is None:
            limit = rubric.defects.max if rubric.defects else 0
        text = template("look").render(
            rubric=structural(rubric) or rubric, prompt=prompt, elements=list(names), max_defects=limit
        )
        return _turn(text)

    def _about(self, part: str, dimensions: Sequence[Scale] = ()) -> list[dict[str, Any]]:
        return _turn(template("part").render(rubric=self.pipeline.rubric, part=part, dimensions=dimensions))


def _turn(text: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]


def structural(rubric: Rubric) -> Rubric | None:
    """The rubric with artifacts only, since a part contradicts no prompt of the whole; None: it has none."""
    kinds = {"artifact": rubric.defects.kinds.get("artifact", ())} if rubric.defects else {}
    if rubric.defects is None or not kinds["artifact"]:
        return None
    return rubric.model_copy(update={"defects": rubric.defects.model_copy(update={"kinds": kinds})})


def window(about: Box, side: float, size: tuple[int, int]) -> Box:
    """A square of a given side about the middle of a box, moved into the picture; cut where it is wider."""
    across, down = min(side, size[0]), min(side, size[1])
    x = min(max((about[0] + about[2] - across) / 2, 0), size[0] - across)
    y = min(max((about[1] + about[3] - down) / 2, 0), size[1] - down)
    return float(round(x)), float(round(y)), float(round(x + across)), float(round(y + down))


def tiles(picture: Image.Image, seen: Image.Image, least: int, budget: int) -> list[Box]:
    """Overlapping squares over all of a picture in which the model's own view has lost detail.

    Args:
        picture: the original.
        seen: what the model was shown of it.
        least: side in pixels of the smallest tile, which the model sees in full detail.
        budget: tiles are made as large as it takes for so many to be enough.

    Returns:
        Boxes in pixels, most lost detail first; none where fewer than four would do, which is hardly
        closer than the first look.
    """
    lost = lost_detail(picture, seen)
    side, longest = float(least), max(picture.size)
    while side <= longest * 0.6:
        found = [(_most(lost, box), box) for box in _grid(picture.size, round(side))]
        found = [pair for pair in found if pair[0] >= FLAT]
        if len(found) <= budget:
            return [box for _, box in sorted(found, key=lambda pair: -pair[0])]
        side *= 1.12
    return []


def lost_detail(picture: Image.Image, seen: Image.Image) -> NDArray[np.float32]:
    """Mean difference (0..255) of the picture and the model's view of it in cells of `CELL` pixels."""
    shown = seen.resize(picture.size, Image.Resampling.BICUBIC)
    difference = ImageChops.difference(picture, shown)
    worst: NDArray[np.float32] = np.asarray(difference.reduce(CELL), dtype=np.float32).max(axis=2)
    return worst


def cropped(picture: Image.Image, region: Box) -> Image.Image:
    x1, y1, x2, y2 = map(round, region)
    return picture.crop((x1, y1, x2, y2))


def _grid(size: tuple[int, int], side: int) -> Iterator[Box]:
    xs, ys = (_starts(length, side) for length in size)
    for y in ys:
        for x in xs:
            yield (
                float(x),
                float(y),
                float(min(x + side, size[0])),
                float(min(y + side, size[1])),
            )


def _starts(length: int, side: int) -> list[int]:
    """Where tiles begin along one edge: evenly spaced, overlapping by `OVERLAP` at least."""
    if length <= side:
        return [0]
    count = math.ceil((length - side) / (side * (1 - OVERLAP))) + 1
    return [round(n * (length - side) / (count - 1)) for n in range(count)]


def _most(lost: NDArray[np.float32], box: Box) -> float:
    x1, y1, x2, y2 = (int(v) // CELL for v in box)
    return float(lost[y1 : y2 + 1, x1 : x2 + 1].max())
