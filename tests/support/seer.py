"""A backend that really looks: it finds red patches in the pictures it is shown, if they are large enough."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image

from judge.backends.base import Reply, Request
from judge.errors import ReplyError
from judge.rubrics.form import dumps

SIDE = 64
LEAST = 6
"""Pixels a patch must be wide and high, as shown, to be seen."""
PATCH = (700.0, 410.0, 716.0, 426.0)


def large(patch: tuple[float, ...] | None = PATCH) -> Image.Image:
    """1024 x 768 with fine grey detail everywhere, and a red patch that 64 x 64 pixels do not show."""
    grey = np.random.default_rng(3).integers(60, 200, (768, 1024, 1), dtype=np.uint8).repeat(3, axis=2)
    if patch:
        x1, y1, x2, y2 = map(int, patch)
        grey[y1:y2, x1:x2] = (250, 20, 20)
    return Image.fromarray(grey)


class Seer:
    name, version, model, revision, domain = "seer", "1", "seer", "", ""
    adapter: str | None = None
    brief = True
    size: int | None = SIDE

    def __init__(
        self,
        *,
        dreams: bool = False,
        elements: Sequence[float] = (),
        confidence: float = 0.9,
        blinks: Collection[int] = (),
    ) -> None:
        self.dreams, self.confidence = dreams, confidence
        """Whether it also names a region that is not there, always at the same place of what it is shown."""
        self.blinks, self.patches = blinks, 0
        """Which of the patches it was shown it overlooks, counted from 1, and how many there were."""
        self.elements = list(elements)
        """Probabilities it gives to elements, one for each time it is asked for any; then 0.99."""
        self.rounds: list[tuple[str, int]] = []
        self.requests: list[Request] = []

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        self.rounds.append(("choose", len(requests)))
        return [self._fill(request) for request in requests]

    def complete(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        self.rounds.append(("complete", len(requests)))
        return [self._fill(request) for request in requests]

    def _fill(self, request: Request) -> Reply:
        self.requests.append(request)
        values, told = {}, {}
        for name, node in request.form.root.members:
            if name == "elements":
                chance = self.elements.pop(0) if self.elements else 0.99
                values[name] = {element: chance >= 0.5 for element, _ in node.members}
                for n in range(len(node.members)):
                    told[f"elements.{n}"] = {"true": chance, "false": 1 - chance}
            elif name == "defects":
                values[name] = self._defects(request.images[0])
                for n in range(len(values[name])):
                    told[f"defects.{n}.open"] = {"open": self.confidence, "close": 1 - self.confidence}
            elif name in ("there", "box"):
                box = self._patch(request.images[0])
                values |= {"there": box is not None, "box": box or [0, 0, 1000, 1000]}
            elif name == "person":
                close = (np.asarray(request.images[0])[..., 0] > 180).mean() > 0.5
                values[name] = 5 if close else 2
            elif name == "explanation":
                values[name] = "seen"
            elif name in ("degradation", "flaw"):
                values[name] = "none"
            else:
                values[name] = 3 if values.get("defects") and name == "structure" else 5
        return Reply(dumps(values), told)

    def _defects(self, image: Image.Image) -> list[dict[str, object]]:
        boxes = [[300, 300, 450, 450]] if self.dreams else []
        patch = self._patch(image)
        self.patches += patch is not None
        if patch and self.patches not in self.blinks:
            boxes.append(patch)
        return [{"kind": "tint", "box": box, "severity": "moderate", "explanation": "red"} for box in boxes]

    def _patch(self, image: Image.Image) -> list[int] | None:
        pixels = np.asarray(image).astype(int)
        red = (pixels[..., 0] > 180) & (pixels[..., 1] < 90) & (pixels[..., 2] < 90)
        ys, xs = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
        if len(xs) < LEAST or len(ys) < LEAST:
            return None
        height, width = red.shape
        edges = (xs[0] / width, ys[0] / height, (xs[-1] + 1) / width, (ys[-1] + 1) / height)
        return [round(1000 * edge) for edge in edges]
