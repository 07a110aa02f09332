"""A backend that prefers brighter images, and judges around it."""

from __future__ import annotations

import numpy as np
from PIL import Image
from random_backend import RandomBackend

from judge.backends.base import Reply, Request
from judge.judge import Judge
from judge.rubrics.form_nodes import canonical_json


def grey_image(value: int) -> Image.Image:
    """A uniform image of one brightness, 0 to 255."""
    return Image.new("L", (32, 32), value).convert("RGB")


class PrefersBright(RandomBackend):
    """Scores brighter images higher. In a comparison it favours the first image by `bias`."""

    def __init__(self, bias: float = 0.0, **options) -> None:
        super().__init__(**options)
        self.bias = bias

    def _fill(self, request: Request) -> Reply:
        brightness = [np.asarray(image).mean() / 255 for image in request.images]
        if "better" in dict(request.form.root.members):
            self.requests.append(request)
            first = min(1.0, max(0.0, 0.5 + (brightness[-2] - brightness[-1]) / 2 + self.bias))
            values = {"explanation": "lighter", "better": "first" if first > 0.5 else "second"}
            members = {key: values[key] for key, _ in request.form.root.members}
            return Reply(
                canonical_json(members), {"better": {"first": first, "second": 1 - first, "tie": 0.0}}
            )
        reply = super()._fill(request)
        best = brightness[-1]
        distribution = {"1": 1 - best, "2": 0.0, "3": 0.0, "4": 0.0, "5": best}
        scores = {
            name: distribution for name in reply.probabilities if name == "score" or "dimensions" in name
        }
        return Reply(reply.text, reply.probabilities | scores)


def general_judge(bias: float = 0.0) -> Judge:
    """A judge around a general model, which compares pairwise."""
    return Judge(backend=PrefersBright(bias, brief=False), rubric="quality")


def tuned_judge() -> Judge:
    """A judge around a model tuned on single images, which compares pointwise."""
    return Judge(backend=PrefersBright(), rubric="aesthetics")
