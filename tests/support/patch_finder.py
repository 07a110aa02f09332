"""A backend that really looks at images: it finds red patches in them if they are large enough."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from PIL import Image

from judge.backends.base import Reply, Request
from judge.errors import ReplyError
from judge.rubrics.form_nodes import canonical_json

INPUT_SIDE = 64
"""Side in pixels of the images that the backend is shown."""
MIN_PATCH_SIDE = 6
"""Minimum width and height in pixels, as shown, of a patch that the backend finds."""
PATCH = (700.0, 410.0, 716.0, 426.0)
IMAGINED_BOX = [300, 300, 450, 450]
"""Box (0..1000) of a defect that is not there."""


def draw_wall(patch: tuple[float, ...] | None = PATCH) -> Image.Image:
    """1024 x 768 pixels of fine grey noise, with a red patch that is too small to see at 64 x 64 pixels."""
    grey = np.random.default_rng(3).integers(60, 200, (768, 1024, 1), dtype=np.uint8).repeat(3, axis=2)
    if patch:
        x1, y1, x2, y2 = map(int, patch)
        grey[y1:y2, x1:x2] = (250, 20, 20)
    return Image.fromarray(grey)


class PatchFinder:
    """Names a red patch as a defect, and as the part of an image that a question looks for.

    Args:
        imagines_defect: also name a defect that is not there, always at the same place of what is shown.
        element_probabilities: probabilities of elements, one for each request with elements; then 0.99.
        confidence: confidence of each defect.
        missed_patches: numbers of the patches, counted from 1 in the order they are shown, to overlook.
    """

    name, version, model, revision, domain = "patch-finder", "1", "patch-finder", "", ""
    adapter: str | None = None
    brief = True
    size: int | None = INPUT_SIDE

    def __init__(
        self,
        *,
        imagines_defect: bool = False,
        element_probabilities: Sequence[float] = (),
        confidence: float = 0.9,
        missed_patches: Collection[int] = (),
    ) -> None:
        self.imagines_defect, self.confidence = imagines_defect, confidence
        self.missed_patches, self.patch_count = missed_patches, 0
        self.element_probabilities = list(element_probabilities)
        self.rounds: list[tuple[str, int]] = []
        """Method and number of requests of each call."""
        self.requests: list[Request] = []
        """All requests so far."""

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        self.rounds.append(("choose", len(requests)))
        return [self._fill(request) for request in requests]

    def complete(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        self.rounds.append(("complete", len(requests)))
        return [self._fill(request) for request in requests]

    def _fill(self, request: Request) -> Reply:
        self.requests.append(request)
        values, probabilities = {}, {}
        for name, node in request.form.root.members:
            if name == "elements":
                p = self.element_probabilities.pop(0) if self.element_probabilities else 0.99
                values[name] = {element: p >= 0.5 for element, _ in node.members}
                for n in range(len(node.members)):
                    probabilities[f"elements.{n}"] = {"true": p, "false": 1 - p}
            elif name == "defects":
                values[name] = self._defects(request.images[0])
                for n in range(len(values[name])):
                    shares = {"open": self.confidence, "close": 1 - self.confidence}
                    probabilities[f"defects.{n}.open"] = shares
            elif name in ("there", "box"):
                box = self._find_patch(request.images[0])
                values |= {"there": box is not None, "box": box or [0, 0, 1000, 1000]}
            elif name == "person":
                is_closeup = (np.asarray(request.images[0])[..., 0] > 180).mean() > 0.5
                values[name] = 5 if is_closeup else 2
            elif name in ("explanation", "reasoning"):
                values[name] = "seen"
            elif name in ("degradation", "flaw"):
                values[name] = "none"
            else:
                values[name] = 3 if values.get("defects") and name == "structure" else 5
        return Reply(canonical_json(values), probabilities)

    def _defects(self, image: Image.Image) -> list[dict[str, object]]:
        boxes = [IMAGINED_BOX] if self.imagines_defect else []
        patch = self._find_patch(image)
        self.patch_count += patch is not None
        if patch and self.patch_count not in self.missed_patches:
            boxes.append(patch)
        return [{"kind": "tint", "box": box, "severity": "moderate", "explanation": "red"} for box in boxes]

    def _find_patch(self, image: Image.Image) -> list[int] | None:
        """Return the box (0..1000) of the red pixels; None if they are too few to see."""
        pixels = np.asarray(image).astype(int)
        red = (pixels[..., 0] > 180) & (pixels[..., 1] < 90) & (pixels[..., 2] < 90)
        ys, xs = np.flatnonzero(red.any(1)), np.flatnonzero(red.any(0))
        if len(xs) < MIN_PATCH_SIDE or len(ys) < MIN_PATCH_SIDE:
            return None
        height, width = red.shape
        edges = (xs[0] / width, ys[0] / height, (xs[-1] + 1) / width, (ys[-1] + 1) / height)
        return [round(1000 * edge) for edge in edges]
