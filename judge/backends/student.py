"""A student: a small vision network that has learnt a teacher's answers under one rubric, run by onnxruntime.

It sees pictures only. No words are written for it, nothing is measured for it, and it answers at depth
`score`. `judge finetune distill` makes one:

    FOLDER/student.json    `Plan`
    FOLDER/student.onnx    whole (n, S, S, 3) uint8 and patches (n, G * P, G * P, 3) uint8 -> probabilities
                           (n, labels of all blanks, one blank after the other)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib import metadata
from importlib.resources import files
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from judge.backends.base import Reply, Request
from judge.errors import BackendError, InputError, ReplyError
from judge.rubrics.form import Choice, Form, Literal
from judge.runtime.thread_map import thread_map
from judge.types import Model

EMBEDDED = "embedded-student"
"""The student that is part of the package."""
PLAN, NETWORK = "student.json", "student.onnx"
TOGETHER = 32
"""Pictures in one run of the network at most: what is kept between its layers grows with them."""

Pixels = NDArray[np.uint8]


class Plan(Model):
    """What is known of a student beside its weights."""

    rubric: str
    """The rubric it answers."""
    blanks: dict[str, list[str]]
    """Path of a blank -> its labels, in the order of the outputs."""
    whole: int
    """Side in pixels of the square that the whole picture is reduced to."""
    grid: int
    """Patches across and down."""
    patch: int
    """Side of a patch, which shows the picture as fine as it is."""
    domain: str = ""
    teacher: str = ""

    def patches(self, picture: Pixels, chance: np.random.Generator | None = None) -> Pixels:
        """Squares of a picture in full detail, from even places all over it, set side by side (the fragments
        of FAST-VQA: Wu et al. 2022). They overlap where the picture is small.

        Args:
            picture: (H, W, 3) uint8 RGB.
            chance: takes each from a place near its own, for training.

        Returns:
            (grid * patch, grid * patch, 3) uint8.
        """
        short = [max(0, self.patch - side) for side in picture.shape[:2]]
        if any(short):
            picture = np.pad(picture, ((0, short[0]), (0, short[1]), (0, 0)), "edge")
        rows, columns = (self._starts(side, chance) for side in picture.shape[:2])
        return np.concatenate(
            [
                np.concatenate([picture[y : y + self.patch, x : x + self.patch] for x in columns], axis=1)
                for y in rows
            ]
        )

    def _starts(self, side: int, chance: np.random.Generator | None) -> list[int]:
        room = side - self.patch
        step = room / max(1, self.grid - 1)
        off = 0.0 if chance is None else chance.uniform(-0.5, 0.5, self.grid) * step
        return [round(v) for v in np.clip(np.arange(self.grid) * step + off, 0, room)]

    def reduced(self, picture: Image.Image) -> Pixels:
        """The whole picture, (whole, whole, 3) uint8."""
        square = (self.whole, self.whole)
        small = picture.convert("RGB").resize(square, Image.Resampling.BICUBIC, reducing_gap=2.0)
        return np.asarray(small)

    def told(self, row: NDArray[np.float32]) -> dict[str, dict[str, float]]:
        """The probabilities of each blank's labels, from a row (labels of all blanks,) of the network's."""
        shares, told = iter(row.astype(float).tolist()), {}
        for blank, labels in self.blanks.items():
            own = [next(shares) for _ in labels]
            told[blank] = {label: share / sum(own) for label, share in zip(labels, own, strict=True)}
        return told


class Student:
    """A student from its folder.

    Args:
        folder: what `judge finetune distill` wrote, or `embedded-student`.
        threads: that one run of the network uses; 0: as onnxruntime decides.

    Raises:
        BackendError: the folder or onnxruntime is not usable.
    """

    name = "onnxruntime"
    adapter: str | None = None
    brief = True
    size: int | None = None
    wordless = True

    def __init__(self, folder: str | Path = EMBEDDED, *, threads: int = 0) -> None:
        place = found(folder)
        if place is None:
            mend = "`judge finetune distill` writes one"
            raise BackendError(f"{folder}: there is no student ({PLAN} is missing): {mend}")
        try:
            import onnxruntime
        except ImportError:
            mend = "install onnxruntime"
            raise BackendError(f"{folder}: a student runs on onnxruntime, which is missing: {mend}") from None
        try:
            self.plan = Plan.model_validate_json((place / PLAN).read_text("utf-8"))
            weights = (place / NETWORK).read_bytes()
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = threads
            # Its threads would go on spinning for a while after each run, and those that decode the next
            # pictures need the cores.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            self._session: Any = onnxruntime.InferenceSession(
                weights, options, providers=onnxruntime.get_available_providers()
            )
        except Exception as error:  # onnxruntime's own have no common class
            raise BackendError(f"{folder}: no usable student: {' '.join(str(error).split())[:200]}") from None
        self.version = metadata.version("onnxruntime")
        self.model = EMBEDDED if str(folder) == EMBEDDED else str(folder)
        self.revision = hashlib.sha256(weights).hexdigest()[:16]
        self.domain = self.plan.domain

    def choose(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        for request in requests:
            self._check(request.form)
        return [
            reply
            for n in range(0, len(requests), TOGETHER)
            for reply in self._answered(requests[n : n + TOGETHER])
        ]

    def complete(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        """Raises `InputError`: a student writes nothing."""
        raise InputError("depth", "verdict", "score", "a student writes no words: ask it at depth score")

    def _answered(self, requests: Sequence[Request]) -> list[Reply | ReplyError]:
        views = thread_map(self._views, [request.images[0] for request in requests], len(requests))
        whole, patches = zip(*views, strict=True)
        given = {"whole": np.stack(whole), "patches": np.stack(patches)}
        [probabilities] = self._session.run(None, given)
        told = [self.plan.told(row) for row in probabilities]
        return [Reply(likeliest(request.form, one), one) for request, one in zip(requests, told, strict=True)]

    def _views(self, picture: Image.Image) -> tuple[Pixels, Pixels]:
        return self.plan.reduced(picture), self.plan.patches(np.asarray(picture))

    def _check(self, form: Form) -> None:
        if blanks_of(form) != self.plan.blanks:
            mend = "a student answers the rubric that it was distilled for, at depth score"
            raise InputError("rubric", "another one", self.plan.rubric, mend)


def found(model: str | Path) -> Path | None:
    """The folder of a student, where a model's name stands for one."""
    folder = Path(str(files("judge"))) / "assets" / "student" if str(model) == EMBEDDED else Path(model)
    return folder if (folder / PLAN).is_file() else None


def blanks_of(form: Form) -> dict[str, list[str]]:
    """The choices of a form of depth `score`: path -> labels."""
    return {part.name: list(part.labels) for part in form.parts if isinstance(part, Choice)}


def likeliest(form: Form, told: Mapping[str, Mapping[str, float]]) -> str:
    """The text of a form of depth `score` with the likeliest label in each blank."""
    walk, text = form.walk(), ""
    piece = next(walk)
    while True:
        if isinstance(piece, Literal):
            text, label = text + piece.text, ""
        else:
            label = max(told[piece.name].items(), key=itemgetter(1))[0]
            text += label
        try:
            piece = walk.send(label)
        except StopIteration:
            return text
